"""One exchange with a simulated provider: the request, the steps of its answer, its log entry.

Deciding and doing are apart: the provider returns steps, a front in memory or on a socket
performs them in order. When they run out the answer has ended properly and the connection may be
kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.upstream.simulated_faults import FaultKind


@value
class SimulatedRequest:
    """A request as it arrives; header names in lower case.

    ``is_reused``: it came on a kept-alive connection.
    """

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    at_s: float = 0.0
    method: str = "POST"
    is_reused: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing happens for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers (lower case); without ``content-length`` the body is chunked."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of the body, one write; ``tokens`` of the answer are complete with them."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """``data`` every ``seconds`` seconds until somebody cuts the connection."""

    seconds: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes outside of HTTP, then the end of the connection."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (RST)."""


@dataclass(frozen=True, slots=True)
class Eof:
    """The connection is closed (FIN), whatever the framing had promised."""


@dataclass(frozen=True, slots=True)
class Never:
    """Nothing ever happens again."""


Step = Wait | Head | Data | Pulse | Garbage | Reset | Eof | Never


class Ended(Enum):
    """How an exchange ended, seen from the provider."""

    OPEN = "open"  # still under way
    COMPLETE = "complete"
    CANCELLED = "cancelled"  # the other side left
    RESET = "reset"
    EOF = "eof"
    UNREACHED = "unreached"  # no connection came about (memory front only)


@dataclass(slots=True, kw_only=True)
class LogEntry:
    """One request as the provider saw it.

    ``status`` None: nothing like HTTP was answered. ``fault`` is the one that decided;
    ``is_probe`` a guess by the bound on tokens. ``output_tokens`` were sent, ``planned_tokens``
    would have been, ``reasoning_tokens`` come before them and are not shown. ``first_token_s`` and
    ``itl_s`` are the answer's own pace.
    """

    at_s: float
    path: str
    model: str | None = None
    is_stream: bool = False
    is_probe: bool = False
    status: int | None = None
    fault: FaultKind | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    planned_tokens: int = 0
    reasoning_tokens: int = 0
    first_token_s: float = 0.0
    itl_s: float = 0.0
    cost_usd: float = 0.0
    ended: Ended = Ended.OPEN
    ended_at_s: float | None = None


@value
class Plan:
    """What to do for one request, and the log entry that ``settle`` completes."""

    steps: tuple[Step, ...]
    entry: LogEntry


def slice_bytes(data: bytes) -> tuple[bytes, ...]:
    """Return SSE ``data`` in the hardest legal form, byte by byte.

    CRLF line ends, and each JSON object opened on one ``data:`` line and continued on the next,
    which a parser must join by a newline.
    """
    hard = data.replace(b"data: {", b"data: {\ndata: ").replace(b"\n", b"\r\n")
    return tuple(hard[i : i + 1] for i in range(len(hard)))
