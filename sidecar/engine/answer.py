"""What the engine gives back for a call: a whole answer, or a committed stream, each with its
disclosure.

Every answer says what happened: who answered, after which attempts, degraded or not, at which cost.
The server writes these facts as headers and the stream's last comment without interpreting them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import CallId, EndpointId, RouteName


@value
class Disclosure:
    """The facts behind an answer.

    ``attempts`` are ``provider/model:CLASS`` in order; for a stream just committed the last one is
    ``provider/model:COMMITTED``. ``degraded`` is ``level;reason;endpoint`` or None. ``cost_usd`` is
    None where no price is known, and for a stream until its end; ``is_cost_estimated``: a part of
    it was not reported. ``is_pinned``: nobody else could
    be asked, since the call refers to what this endpoint keeps. ``invalid_output`` is where and how
    a stream was not the JSON that its caller asked for (``$.a[0]: type``).
    """

    call_id: CallId
    route: RouteName
    endpoint: EndpointId | None
    attempts: tuple[str, ...] = ()
    degraded: str | None = None
    cost_usd: float | None = None
    dropped: tuple[str, ...] = ()
    is_pinned: bool = False
    invalid_output: str | None = None
    is_cost_estimated: bool = False


@value
class PlainAnswer:
    """A whole answer in the caller's format. ``status`` is 200, or a provider's 4xx passed
    through.
    """

    status: int
    body: bytes
    disclosure: Disclosure
    content_type: str = "application/json"


class Sink(Protocol):
    """Who takes a stream. It is given bytes from where they arrive, without a turn of the loop."""

    def push(self, chunk: bytes) -> bool:
        """Take bytes, never none; return whether more may come before ``room`` was waited for."""

    async def room(self) -> None:
        """Wait until more may come (backpressure).

        Raises:
            ConnectionError: the caller is gone.
        """


class StreamAnswer(Protocol):
    """A committed stream in the caller's format, its first content already at hand.

    Have it sent with ``send_to`` and always ``aclose``, also after cancellation: that is what
    settles the attempt and cuts the provider's connection.
    """

    disclosure: Disclosure

    async def send_to(self, sink: Sink) -> None:
        """Give ``sink`` what comes, as it comes, and return at the end; once. Never raises for
        provider faults: a stream that breaks ends with the format's error event instead of a
        terminal marker.

        Raises:
            ConnectionError: the caller is gone.
        """

    async def aclose(self) -> None:
        """Release everything; may repeat."""


@value
class CountAnswer:
    """Input tokens of a request, as the provider counts them or, where none could, as estimated."""

    input_tokens: int
    is_estimate: bool
    disclosure: Disclosure
