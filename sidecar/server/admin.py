"""The admin plane: look at the sidecar, ask what it would do, and take an endpoint out of service.

For an operator on the same machine; guarded like the data plane, since a page in that operator's
browser must not isolate endpoints. What each page holds and what each verb does is decided by the
callables given; an endpoint id contains a slash, which callers may write plainly or
percent-encoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from sidecar.domain import EndpointId
from sidecar.errors import BadRequestError, MethodNotAllowedError, NotFoundError
from sidecar.server.calls_asked import CallsAsked, calls_asked
from sidecar.server.drill_asked import drill_asked
from sidecar.server.live import number_after, send_events
from sidecar.server.rescue import Subject, answer_for
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sidecar.server.drill_asked import DrillAsked
    from sidecar.server.exchange import Exchange
    from sidecar.server.guard import Guard
    from sidecar.server.timeline import Timeline

    _Act = Callable[[Exchange], Awaitable[dict[str, object] | None]]

PAGE_PATH, ADVICE_PAGE_PATH = "/", "/advice"
STATE_PATH = "/api/v1/state"
ADVICE_PATH = "/api/v1/advice"
CALLS_PATH = "/api/v1/calls"
EXPLAIN_PATH = "/api/v1/explain"
EVENTS_PATH = "/api/v1/events"
TIMELINE_PATH = "/api/v1/timeline"
DRILLS_PATH = "/api/v1/drills"
ENDPOINTS_PATH = "/api/v1/endpoints/"
HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
BODY_BYTES_MAX = 64 * 1024
_SHOWN_CHARS_MAX = 200


@value
class Controls:
    """What an operator may see and do; what is answered is shown as JSON.

    ``isolate`` and ``restore`` return whether the endpoint exists, ``calls`` the calls asked for,
    newest first, ``advice`` that on the last so many seconds, ``explain`` what would become of the
    call that a query describes. ``drill`` begins one and ``end_drill`` ends it; they raise
    ``CallError`` for what cannot be.
    """

    state: Callable[[], dict[str, object]]
    calls: Callable[[CallsAsked], Awaitable[Sequence[object]]]
    advice: Callable[[float | None], Awaitable[dict[str, object]]]
    isolate: Callable[[EndpointId], bool]
    restore: Callable[[EndpointId], bool]
    explain: Callable[[str], dict[str, object]]
    drills: Callable[[], dict[str, object]]
    drill: Callable[[DrillAsked], dict[str, object]]
    end_drill: Callable[[EndpointId], dict[str, object]]
    timeline: Timeline


class AdminPlane:
    """Answers operators through ``controls``."""

    def __init__(self, guard: Guard, controls: Controls) -> None:
        self._guard = guard
        self._controls = controls
        pages: dict[str, dict[str, _Act]] = {
            PAGE_PATH: {"GET": self._page},
            ADVICE_PAGE_PATH: {"GET": self._advice_page},
            STATE_PATH: {"GET": self._state},
            CALLS_PATH: {"GET": self._calls},
            ADVICE_PATH: {"GET": self._advice},
            EXPLAIN_PATH: {"GET": self._explain},
            EVENTS_PATH: {"GET": self._events},
            TIMELINE_PATH: {"GET": self._timeline},
            DRILLS_PATH: {"GET": self._drills, "POST": self._drill},
        }
        self._pages: Mapping[str, Mapping[str, _Act]] = pages

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        acts = self._acts(exchange.path)
        try:
            self._guard.check(exchange.headers)
            body = await self._act(exchange, acts)
            if body is not None:
                await exchange.answer(200, HEADERS, msgspec.json.encode(body))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered for
            await answer_for(error, exchange, Subject(allow=", ".join(acts) or None))

    def _acts(self, path: str) -> Mapping[str, _Act]:
        """Return what may be done at ``path``, by method; nothing if there is no such path."""
        if path in self._pages:
            return self._pages[path]
        if path.startswith(DRILLS_PATH + "/"):
            return {"DELETE": self._end_drill}
        if path.startswith(ENDPOINTS_PATH) and path.endswith(("/isolate", "/restore")):
            return {"POST": self._operate}
        return {}

    async def _act(self, exchange: Exchange, acts: Mapping[str, _Act]) -> dict[str, object] | None:
        shown = exchange.path[:_SHOWN_CHARS_MAX]
        if not acts:
            there_are = ", ".join([*self._pages, f"{ENDPOINTS_PATH}{{id}}/isolate and /restore"])
            raise NotFoundError(f"no {shown!r} here; there are {there_are}")
        act = acts.get(exchange.method)
        if act is None:
            raise MethodNotAllowedError(f"{shown!r} takes {' or '.join(acts)}")
        return await act(exchange)

    # --- looking -------------------------------------------------------------------------------

    async def _page(self, exchange: Exchange) -> None:
        from sidecar.server import dashboard  # noqa: PLC0415 - with the first who looks

        body = dashboard.page(self._controls.state(), self._controls.timeline)
        await exchange.answer(200, dashboard.headers(), body)

    async def _advice_page(self, exchange: Exchange) -> None:
        from sidecar.server import dashboard, dashboard_advice  # noqa: PLC0415 - as above

        body = dashboard_advice.page(await self._controls.advice(None))
        await exchange.answer(200, dashboard.headers(), body)

    async def _state(self, _: Exchange) -> dict[str, object]:
        return self._controls.state()

    async def _calls(self, exchange: Exchange) -> dict[str, object]:
        return {"calls": await self._controls.calls(calls_asked(exchange.query))}

    async def _advice(self, exchange: Exchange) -> dict[str, object]:
        asked = calls_asked(exchange.query)
        if asked != CallsAsked(since_s=asked.since_s):
            raise BadRequestError("advice takes the parameter since alone")
        return await self._controls.advice(asked.since_s)

    async def _explain(self, exchange: Exchange) -> dict[str, object]:
        return self._controls.explain(exchange.query)

    async def _events(self, exchange: Exchange) -> None:
        await send_events(exchange, self._controls.timeline)

    async def _timeline(self, exchange: Exchange) -> dict[str, object]:
        return {"events": self._controls.timeline.read(number_after(exchange))}

    async def _drills(self, _: Exchange) -> dict[str, object]:
        return self._controls.drills()

    # --- acting --------------------------------------------------------------------------------

    async def _operate(self, exchange: Exchange) -> dict[str, object]:
        quoted, _, verb = exchange.path.removeprefix(ENDPOINTS_PATH).rpartition("/")
        endpoint = EndpointId(unquote(quoted))
        act = self._controls.isolate if verb == "isolate" else self._controls.restore
        if not act(endpoint):
            raise NotFoundError(f"no endpoint is called {endpoint[:_SHOWN_CHARS_MAX]!r}")
        return {"endpoint": endpoint, "isolated": verb == "isolate"}

    async def _drill(self, exchange: Exchange) -> dict[str, object]:
        return self._controls.drill(drill_asked(await exchange.read_body(BODY_BYTES_MAX)))

    async def _end_drill(self, exchange: Exchange) -> dict[str, object]:
        quoted = exchange.path.removeprefix(DRILLS_PATH + "/")
        return self._controls.end_drill(EndpointId(unquote(quoted)))
