"""Trace context: what a caller's ``traceparent`` says, and the ids of the spans a call will have.

Spans are made after the fact, yet a provider may be told of its attempt's span while it runs, and
callers and log lines name a call before it ends. So no id is drawn: trace ids follow from the
call's id (its 24 hexadecimal digits end the trace id), span ids from what they stand for. Who knows
a call knows its trace.

The format is that of W3C Trace Context, level 2; a header that breaks it is no header at all.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
STATE_CHARS_MAX = 512
SAMPLED = 0x01
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_CALL = re.compile(r"call_([0-9a-f]{24})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


@value
class TraceContext:
    """A span elsewhere, under which ours belong; ids are lower-case hexadecimal, ``state`` is the
    ``tracestate`` header as it came.
    """

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""


def context_in(headers: Mapping[str, str]) -> TraceContext | None:
    """Return the caller's span, None where it names none."""
    given = headers.get(TRACEPARENT)
    if given is None:
        return None
    found = _PARENT.fullmatch(given.strip())
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    if found[2] == _NO_TRACE or found[3] == _NO_SPAN:
        return None
    state = headers.get(TRACESTATE, "")
    return TraceContext(
        trace_id=found[2],
        span_id=found[3],
        is_sampled=bool(int(found[4], 16) & SAMPLED),
        state=state if len(state) <= STATE_CHARS_MAX and state.isprintable() else "",
    )


def trace_id_of(call_id: str) -> str:
    """Return the trace of a call that continues nobody's, 32 hexadecimal digits.

    ``call_00112233445566778899aabb`` is in ``????????00112233445566778899aabb``.
    """
    digest = blake2b(call_id.encode(), digest_size=16).hexdigest()
    found = _CALL.fullmatch(call_id)
    return digest if found is None else digest[:8] + found[1]


def span_id_of(*what: object) -> str:
    """Return the id of the span that stands for ``what``, 16 hexadecimal digits."""
    text = "\0".join([str(one) for one in what])
    return blake2b(text.encode(), digest_size=8).hexdigest()


def attempt_span_id(call_id: str, endpoint: str, started_at: float) -> str:
    """Return the id of an attempt's span; no endpoint is asked twice at once by one call."""
    return span_id_of(call_id, endpoint, started_at)


def traceparent(trace_id: str, span_id: str, *, is_sampled: bool) -> str:
    """Return the header for whoever works under the span."""
    return f"00-{trace_id}-{span_id}-{SAMPLED if is_sampled else 0:02x}"


@value
class Sampler:
    """Which traces are recorded: a ``ratio`` 0..1 of them by the last 16 digits of their ids, as
    all SDKs do, or, ``follows_parent``, as the caller decided where there is one.
    """

    ratio: float
    follows_parent: bool

    def takes(self, trace_id: str, parent: TraceContext | None) -> bool:
        """Return whether the trace is recorded."""
        if parent is not None and self.follows_parent:
            return parent.is_sampled
        if self.ratio >= 1.0:
            return True
        return self.ratio > 0.0 and int(trace_id[16:], 16) < round(self.ratio * (1 << 64))


@value
class Propagation:
    """What providers that may know of our traces are told; ``sampler`` None: nothing is recorded
    here, so that the caller's own span is the nearest.
    """

    sampler: Sampler | None = None

    def headers(
        self, call_id: str, endpoint: str, started_at: float, parent: TraceContext | None
    ) -> tuple[tuple[str, str], ...]:
        """Return the headers of an attempt; baggage never is among them."""
        if self.sampler is None:
            if parent is None:
                return ()
            trace_id, span_id, is_sampled = parent.trace_id, parent.span_id, parent.is_sampled
        else:
            trace_id = trace_id_of(call_id) if parent is None else parent.trace_id
            span_id = attempt_span_id(call_id, endpoint, started_at)
            is_sampled = self.sampler.takes(trace_id, parent)
        said = (TRACEPARENT, traceparent(trace_id, span_id, is_sampled=is_sampled))
        return (said,) if parent is None or not parent.state else (said, (TRACESTATE, parent.state))
