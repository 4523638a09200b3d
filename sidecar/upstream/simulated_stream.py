"""How a simulated answer reaches the wire: paced in time, and broken where a fault says so.

A plain answer takes as long as the stream of the same length would, since a real provider
generates it the same way. Faults of a stream have their likeness in a plain answer: a reset after
half of the body, broken JSON, an error status instead of an error event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.upstream.simulated_answer import ErrorAnswer
from sidecar.upstream.simulated_exchange import (
    Data,
    Eof,
    Garbage,
    Head,
    Never,
    Pulse,
    Reset,
    Step,
    Wait,
    slice_bytes,
)
from sidecar.upstream.simulated_faults import BREAKING_KINDS, Fault, FaultKind
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.upstream.simulated_answer import Ask, Dialect, Reply

PULSE_S = 5.0  # between pings of a silent stream; Anthropic's and OpenRouter's lie near it
SSE_TYPE = ("content-type", "text/event-stream; charset=utf-8")
JSON_TYPE = ("content-type", "application/json")


Headers = tuple[tuple[str, str], ...]

UNANSWERED_STEPS: Mapping[FaultKind, tuple[Step, ...]] = {
    FaultKind.STALE: (Reset(),),
    FaultKind.HANG: (Never(),),
    FaultKind.GARBAGE: (Garbage(b"\x00\x01\x02 this is not HTTP\r\n\r\n"),),
}


@value
class Delivery:
    """One answer and how fast it goes: seconds to the first token, seconds between tokens.

    ``error`` is what an error inside the answer says; ``is_sliced`` writes the stream byte by byte.
    """

    dialect: Dialect
    ask: Ask
    reply: Reply
    headers: Headers
    request_id: str
    ttft_s: float
    itl_s: float
    chunk_tokens: int
    error: ErrorAnswer
    is_sliced: bool = False


def stream_steps(delivery: Delivery, fault: Fault | None) -> tuple[Step, ...]:
    """Return the steps of a streamed answer, broken off by ``fault`` if given."""
    parts = delivery.dialect.stream(
        delivery.reply, delivery.ask, chunk_tokens=delivery.chunk_tokens
    )
    steps: list[Step] = [
        Wait(delivery.ttft_s),
        Head(200, (SSE_TYPE, *delivery.headers)),
        Data(parts.opening),
    ]
    said, pending = 0, fault
    for number, (data, tokens) in enumerate(parts.content):
        if pending is not None and said >= _breaks_after(pending):
            steps += _break(delivery, pending)
            if pending.kind is not FaultKind.MALFORMED:
                return _sliced(steps, delivery)
            pending = None
        if number:
            steps.append(Wait(delivery.itl_s * max(tokens, 1)))
        steps.append(Data(data, tokens))
        said += tokens
    if pending is not None:
        steps += _break(delivery, pending)
        if pending.kind is not FaultKind.MALFORMED:
            return _sliced(steps, delivery)
    steps.append(Data(parts.closing))
    return _sliced(steps, delivery)


def plain_steps(delivery: Delivery, fault: Fault | None) -> tuple[Step, ...]:
    """Return the steps of a whole answer, broken by ``fault`` if given."""
    tokens = delivery.reply.output_tokens - delivery.reply.reasoning_tokens
    body = delivery.dialect.plain(delivery.reply)
    wait = Wait(delivery.ttft_s + delivery.itl_s * max(tokens - 1, 0))
    kind = fault.kind if fault is not None else None
    if kind in (FaultKind.STREAM_ERROR, FaultKind.TOOL_THEN_ERROR):
        head = error_steps(delivery.dialect, delivery.error, delivery.headers, delivery.request_id)
        return (wait, *head)
    if kind is FaultKind.MALFORMED:
        body = body[: len(body) // 2]
    head_step = Head(200, (JSON_TYPE, *delivery.headers, ("content-length", str(len(body)))))
    if kind in (FaultKind.RESET_AFTER, FaultKind.EOF_AFTER):
        end = Reset() if kind is FaultKind.RESET_AFTER else Eof()
        return (wait, head_step, Data(body[: len(body) // 2]), end)
    return (wait, head_step, Data(body, tokens))


def silent_steps(delivery: Delivery) -> tuple[Step, ...]:
    """Return the steps of an answer that begins at once and never says anything."""
    if not delivery.ask.is_stream:
        return (Head(200, (JSON_TYPE, *delivery.headers)), Pulse(PULSE_S, b"\n"))
    silence = delivery.dialect.silence(delivery.reply)
    parts = delivery.dialect.stream(delivery.reply, delivery.ask, chunk_tokens=1)
    return (
        Head(200, (SSE_TYPE, *delivery.headers)),
        Data(parts.opening + silence),
        Pulse(PULSE_S, silence),
    )


def error_steps(
    dialect: Dialect,
    error: ErrorAnswer,
    headers: Headers,
    request_id: str,
) -> tuple[Step, ...]:
    """Return the steps of an error answer in the format's own shape."""
    body = dialect.error(error, request_id)
    return (
        Head(error.status, (JSON_TYPE, *headers, ("content-length", str(len(body))))),
        Data(body),
    )


def answer_steps(delivery: Delivery, decisive: Fault | None) -> tuple[Step, ...]:
    """Return the steps of a completion, disturbed by ``decisive`` if it concerns the answer."""
    kind = decisive.kind if decisive is not None else None
    if kind is FaultKind.SILENT_STREAM:
        return silent_steps(delivery)
    breaking = decisive if kind in BREAKING_KINDS else None
    return (stream_steps if delivery.ask.is_stream else plain_steps)(delivery, breaking)


def staged_error_steps(
    fault: Fault, dialect: Dialect, headers: Headers, request_id: str
) -> tuple[Step, ...]:
    """Return the steps of an error that a fault asks for."""
    extra = fault.headers
    if fault.retry_after_s is not None:
        extra += (("retry-after", f"{fault.retry_after_s:g}"),)
    steps = error_steps(dialect, error_of(fault, dialect), headers + extra, request_id)
    if fault.raw_body is not None:
        body = fault.raw_body.encode()
        status = error_of(fault, dialect).status
        head = Head(status, (*headers, *extra, ("content-length", str(len(body)))))
        steps = (head, Data(body))
    return (Wait(fault.delay_s), *steps) if fault.delay_s > 0 else steps


def error_of(fault: Fault | None, dialect: Dialect) -> ErrorAnswer:
    """Return the error that ``fault`` speaks of."""
    if fault is None:
        return ErrorAnswer(status=500)
    if fault.kind is FaultKind.TOKEN_RATE:
        kind = fault.error_type or dialect.token_rate_type
        return ErrorAnswer(status=429, type=kind, message=fault.message)
    return ErrorAnswer(
        status=fault.status,
        type=fault.error_type,
        code=fault.error_code,
        message=fault.message,
    )


def _breaks_after(fault: Fault) -> float:
    return 0 if fault.kind is FaultKind.TOOL_THEN_ERROR else fault.after_tokens


def _break(delivery: Delivery, fault: Fault) -> list[Step]:
    if fault.kind is FaultKind.RESET_AFTER:
        return [Reset()]
    if fault.kind is FaultKind.EOF_AFTER:
        return [] if fault.is_framed else [Eof()]
    if fault.kind is FaultKind.MALFORMED:
        return [Data(delivery.dialect.broken(delivery.reply))]
    event = delivery.dialect.error_event(delivery.error, delivery.request_id)
    if fault.kind is FaultKind.TOOL_THEN_ERROR:
        parts = delivery.dialect.stream(delivery.reply, delivery.ask, chunk_tokens=1)
        return [Data(parts.content[0][0]), Wait(delivery.itl_s), Data(event)]
    return [Data(event)]


def _sliced(steps: list[Step], delivery: Delivery) -> tuple[Step, ...]:
    """Cut each write into bytes where asked; waits of zero are left out."""
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Wait) and step.seconds <= 0:
            continue
        if isinstance(step, Data) and delivery.is_sliced:
            pieces = slice_bytes(step.data)
            kept += [Data(piece) for piece in pieces[:-1]]
            kept.append(Data(pieces[-1], step.tokens))
        else:
            kept.append(step)
    return tuple(kept)
