"""What can go wrong at a simulated provider, as data: kind, window in time, share of requests.

Faults are values in a tuple that may be replaced at any moment, so that a scenario is a list that
can be printed, sent over HTTP and replayed. Of those that hit a request the first that decides
its fate wins; ``SLOW_FIRST``, ``DRIP`` and ``SLICE`` only disturb and go along with any other.

The set follows toxiproxy's toxics (reset, slicer, limit_data, blackhole) and what LLM providers
really do: errors inside a 200, pings without content, empty or degenerate answers.
"""

from __future__ import annotations

import math
from enum import Enum

import msgspec


class FaultKind(Enum):
    """One way to fail. The comment says what the other side sees."""

    REFUSE = "refuse"  # connection refused; kept-alive connections are gone
    BLACKHOLE = "blackhole"  # connecting never completes
    TLS_FAILURE = "tls_failure"  # the handshake fails (memory front only)
    DNS_FAILURE = "dns_failure"  # the name does not resolve (memory front only)
    STALE = "stale"  # reset when a request arrives on a kept-alive connection
    HANG = "hang"  # accepted, never answered
    GARBAGE = "garbage"  # bytes that are not HTTP
    STATUS = "status"  # an error answer with ``status``
    TOKEN_RATE = "token_rate"  # noqa: S105 - 429 when the prompt exceeds ``prompt_tokens_max``
    SILENT_STREAM = "silent_stream"  # head at once, then pings forever
    STREAM_ERROR = "stream_error"  # error event inside a 200, after ``after_tokens``
    TOOL_THEN_ERROR = "tool_then_error"  # a tool call starts, then an error event
    RESET_AFTER = "reset_after"  # RST after ``after_tokens``
    EOF_AFTER = "eof_after"  # end after ``after_tokens`` without the terminal marker
    MALFORMED = "malformed"  # one chunk of broken JSON after ``after_tokens``
    EMPTY = "empty"  # a complete answer without content
    DEGENERATE = "degenerate"  # a complete answer of 200 slashes
    SLOW_FIRST = "slow_first"  # time to first token x ``factor``
    DRIP = "drip"  # gap between tokens x ``factor``
    SLICE = "slice"  # one byte a write, CRLF, data over two lines


CONNECT_KINDS = (
    FaultKind.REFUSE,
    FaultKind.BLACKHOLE,
    FaultKind.TLS_FAILURE,
    FaultKind.DNS_FAILURE,
)
BREAKING_KINDS = (
    FaultKind.STREAM_ERROR,
    FaultKind.TOOL_THEN_ERROR,
    FaultKind.RESET_AFTER,
    FaultKind.EOF_AFTER,
    FaultKind.MALFORMED,
)
DISTURBING_KINDS = (FaultKind.SLOW_FIRST, FaultKind.DRIP, FaultKind.SLICE)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault: when, whom, how.

    ``start_s`` and ``end_s`` bound the window [start, end) on the provider's clock; ``share``
    (0..1) is the part of requests hit; ``model`` limits it to one upstream model. ``hits_models``
    extends it to the free GET of the model list, which otherwise stays well (a list that answers
    proves nothing of completions).

    ``status``, ``retry_after_s``, ``error_type``, ``error_code``, ``message``, ``headers`` and
    ``raw_body`` shape an error answer, in the format's own form unless ``raw_body`` is given;
    ``delay_s`` is the time until it comes. ``after_tokens``: how much is delivered before the
    break. ``is_framed`` (EOF_AFTER): HTTP framing ends properly, only the terminal marker is
    missing; else the connection is closed inside the body.
    """

    kind: FaultKind
    start_s: float = 0.0
    end_s: float = math.inf
    share: float = 1.0
    model: str | None = None
    hits_models: bool = False
    status: int = 500
    retry_after_s: float | None = None
    error_type: str | None = None
    error_code: str | None = None
    message: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    raw_body: str | None = None
    delay_s: float = 0.0
    factor: float = 5.0
    after_tokens: int = 0
    prompt_tokens_max: int = 0
    is_framed: bool = True

    def is_active(self, at_s: float) -> bool:
        """Say whether ``at_s`` lies in the window."""
        return self.start_s <= at_s < self.end_s

    def delayed(self, by_s: float) -> Fault:
        """Return the same fault with its window moved by ``by_s``."""
        return msgspec.structs.replace(self, start_s=self.start_s + by_s, end_s=self.end_s + by_s)


def decode_faults(body: bytes) -> tuple[Fault, ...]:
    """Read a JSON list of faults, ``[{"kind": "status", "status": 503, "end_s": 40}]``.

    Raises:
        msgspec.ValidationError: an unknown field, kind or type; the message names the place.
        msgspec.DecodeError: not JSON.
    """
    return msgspec.json.decode(body, type=tuple[Fault, ...])


def decisive_of(hits: tuple[Fault, ...]) -> Fault | None:
    """Return the first fault that decides a request's fate."""
    return next((fault for fault in hits if fault.kind not in DISTURBING_KINDS), None)


def factor_of(hits: tuple[Fault, ...], kind: FaultKind) -> float:
    """Return the product of the factors of all faults of ``kind``."""
    return math.prod(fault.factor for fault in hits if fault.kind is kind)
