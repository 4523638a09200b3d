"""Every exception of the package, in two families.

``AttemptError``: the provider side failed in a phase of one attempt; never seen by callers, always
turned into an ``Outcome``. ``CallError``: what the caller gets, with a fixed code, an HTTP status
and, where waiting helps, a pushback. asyncio, ssl and os errors become ``AttemptError`` in
``upstream/failures.py`` alone; a ``CallError`` becomes HTTP in ``server/rescue.py`` alone. Beside
both, for nobody's call: a configuration that cannot be used, a store of the fleet that fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.domain import Outcome

# --- the provider side, by phase ---------------------------------------------------------------


class AttemptError(Exception):
    """An attempt failed below HTTP."""


class ConnectFailedError(AttemptError):
    """DNS, TCP or TLS did not come up, or not within the connect limit."""


class StaleConnectionError(AttemptError):
    """A reused connection was dead: no byte of an answer arrived on it."""


class ConnectionBrokenError(AttemptError):
    """A connection that worked broke before the answer was complete."""


class ProtocolBrokenError(AttemptError):
    """The provider sent bytes that are not HTTP, not SSE, not JSON, or too many of them."""


# --- other pods --------------------------------------------------------------------------------


class FleetStoreError(Exception):
    """The store that pods share is away, too slow, full, or says what cannot be. Never a call's."""


# --- values on the wire ------------------------------------------------------------------------


class WireError(ValueError):
    """Bytes are not what their format says. ``path`` points at the place,
    ``$.messages[0].role``.
    """

    def __init__(self, message: str, path: str = "$") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


# --- configuration -----------------------------------------------------------------------------


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` lists every mistake found, one a line."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# --- what the caller gets ----------------------------------------------------------------------


class CallError(Exception):
    """A call is refused or failed; the message is written for the caller's developer, ``details``
    for its program: JSON values, added to the error's body.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        retry_after_s: float | None = None,
        attempts: tuple[Outcome, ...] = (),
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.retry_after_s = retry_after_s
        self.attempts = attempts
        self.details = details or {}


class BadRequestError(CallError):
    """The request is not what its format says."""

    code = "bad_request"
    status = 400


class UnauthorizedError(CallError):
    """The bearer token that this plane asks for is missing or wrong."""

    code = "unauthorized"
    status = 401


class ForbiddenError(CallError):
    """A browser page or a foreign host name tried to drive the sidecar."""

    code = "forbidden"
    status = 403


class UnknownModelError(CallError):
    """No route, model or alias has this name."""

    code = "unknown_model"
    status = 404


class SpendCapError(CallError):
    """The day's money of the route, or of every provider that could answer, is spent."""

    code = "spend_cap"
    status = 402


class NotFoundError(CallError):
    """No such path."""

    code = "not_found"
    status = 404


class MethodNotAllowedError(CallError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405


class BodyTooLargeError(CallError):
    """The body exceeds the configured bound."""

    code = "body_too_large"
    status = 413


class InfeasibleError(CallError):
    """No endpoint can meet the constraints; the message names the nearest feasible values."""

    code = "infeasible"
    status = 422


class ShedError(CallError):
    """The sidecar itself is full."""

    code = "shed"
    status = 429


class UnavailableError(CallError):
    """No endpoint of the route can answer now."""

    code = "unavailable"
    status = 503


class DrainingError(CallError):
    """The sidecar is stopping."""

    code = "draining"
    status = 503


class DeadlineExceededError(CallError):
    """The deadline came before an answer."""

    code = "deadline_exceeded"
    status = 504


class UpstreamInterruptedError(CallError):
    """A stream broke after its first content; what was delivered is not a complete answer."""

    code = "upstream_interrupted"
    status = 502
