"""The admin plane: look at the state and the last calls, take an endpoint out of service and put it
back.

For an operator on the same machine; guarded like the data plane, since a page in that operator's
browser must not isolate endpoints. What the state contains and what isolation means is decided by
the callables given; an endpoint id contains a slash, which callers may write plainly or
percent-encoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from sidecar.domain import EndpointId
from sidecar.errors import BadRequestError, MethodNotAllowedError, NotFoundError
from sidecar.server.calls_asked import CallsAsked, calls_asked
from sidecar.server.rescue import Subject, answer_for
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sidecar.server.exchange import Exchange
    from sidecar.server.guard import Guard

STATE_PATH = "/api/v1/state"
ADVICE_PATH = "/api/v1/advice"
CALLS_PATH = "/api/v1/calls"
ENDPOINTS_PATH = "/api/v1/endpoints/"
HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
_SHOWN_CHARS_MAX = 200


@value
class Controls:
    """What an operator may do; ``isolate`` and ``restore`` return whether the endpoint exists,
    ``calls`` the calls asked for, newest first, ``advice`` that on the last so many seconds.
    """

    state: Callable[[], dict[str, object]]
    calls: Callable[[CallsAsked], Awaitable[Sequence[object]]]
    advice: Callable[[float | None], Awaitable[dict[str, object]]]
    isolate: Callable[[EndpointId], bool]
    restore: Callable[[EndpointId], bool]


class AdminPlane:
    """Answers operators through ``controls``."""

    def __init__(self, guard: Guard, controls: Controls) -> None:
        self._guard = guard
        self._controls = controls

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            self._guard.check(exchange.headers)
            body = await self._act(exchange)
            await exchange.answer(200, HEADERS, msgspec.json.encode(body))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered for
            await answer_for(error, exchange, Subject(allow=_allowed(exchange.path)))

    async def _act(self, exchange: Exchange) -> dict[str, object]:
        method, path = exchange.method, exchange.path
        allowed = _allowed(path)
        if allowed is None:
            shown = path[:_SHOWN_CHARS_MAX]
            message = f"no {shown!r} here; there are GET {STATE_PATH}, {CALLS_PATH}, {ADVICE_PATH}"
            raise NotFoundError(f"{message} and POST {ENDPOINTS_PATH}{{id}}/isolate or restore")
        if method != allowed:
            raise MethodNotAllowedError(f"{path[:_SHOWN_CHARS_MAX]!r} takes {allowed}")
        if path == STATE_PATH:
            return self._controls.state()
        if path == ADVICE_PATH:
            return await self._controls.advice(_since_asked(exchange.query))
        if path == CALLS_PATH:
            return {"calls": await self._controls.calls(calls_asked(exchange.query))}
        quoted, _, verb = path.removeprefix(ENDPOINTS_PATH).rpartition("/")
        endpoint = EndpointId(unquote(quoted))
        act = self._controls.isolate if verb == "isolate" else self._controls.restore
        if not act(endpoint):
            raise NotFoundError(f"no endpoint is called {endpoint[:_SHOWN_CHARS_MAX]!r}")
        return {"endpoint": endpoint, "isolated": verb == "isolate"}


def _since_asked(query: str) -> float | None:
    """Return the period that advice is asked for, seconds; None: not said."""
    asked = calls_asked(query)
    if asked != CallsAsked(since_s=asked.since_s):
        raise BadRequestError("advice takes the parameter since alone")
    return asked.since_s


def _allowed(path: str) -> str | None:
    """Return the method that ``path`` takes, None if there is no such path."""
    if path in (STATE_PATH, CALLS_PATH, ADVICE_PATH):
        return "GET"
    if path.startswith(ENDPOINTS_PATH) and path.endswith(("/isolate", "/restore")):
        return "POST"
    return None
