"""Looking at the state and isolating endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sidecar.domain import EndpointId
from sidecar.events import DrillChanged
from sidecar.server.admin import AdminPlane, Controls
from sidecar.server.guard import Guard, GuardSettings
from sidecar.server.timeline import Timeline

if TYPE_CHECKING:
    from sidecar.server.calls_asked import CallsAsked
    from sidecar.server.drill_asked import DrillAsked


class Operated:
    """What the plane drives; remembers what was done."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.timeline = Timeline(lambda _: "https://anthropic.test:443")

    def controls(self) -> Controls:
        """Return the callables the plane is given."""
        return Controls(
            state=self.state,
            calls=self.calls,
            advice=self.advice,
            isolate=self.isolate,
            restore=self.restore,
            explain=lambda query: {"query": query},
            drills=lambda: {"enabled": True, "drills": []},
            drill=self.drill,
            end_drill=self.end_drill,
            timeline=self.timeline,
        )

    def state(self) -> dict[str, object]:
        """Return a state."""
        return {"endpoints": []}

    async def calls(self, asked: CallsAsked) -> list[object]:
        """Return one call, which says what was asked for."""
        return [asked]

    def drill(self, asked: DrillAsked) -> dict[str, object]:
        """Return what was asked for."""
        return {"fault": asked.fault, "for_s": asked.for_s, "share": asked.share}

    def end_drill(self, endpoint: EndpointId) -> dict[str, object]:
        """Return whose drill was to end."""
        return {"endpoint": endpoint, "ended": True}

    async def advice(self, since_s: float | None) -> dict[str, object]:
        """Return advice that says on which period."""
        return {"since_s": since_s}

    def isolate(self, endpoint: EndpointId) -> bool:
        """Note it; only one endpoint exists."""
        self.done.append(("isolate", endpoint))
        return endpoint == "anthropic/claude"

    def restore(self, endpoint: EndpointId) -> bool:
        """Note it; only one endpoint exists."""
        self.done.append(("restore", endpoint))
        return endpoint == "anthropic/claude"


@pytest.fixture
def operated() -> Operated:
    """What the plane drives."""
    return Operated()


@pytest.fixture
def ask(operated: Operated, make_exchange: Any) -> Any:
    """Return a way to ask the plane from this machine."""
    plane = AdminPlane(Guard(GuardSettings()), operated.controls())

    async def ask(method: str, path: str, **headers: str) -> Any:
        exchange = make_exchange(method, path, headers={"host": "localhost:4181"} | headers)
        await plane.handle(exchange)
        return exchange

    return ask


async def test_the_state_is_json_nobody_keeps(ask: Any) -> None:
    """The state is served fresh, and not to be sniffed."""
    exchange = await ask("GET", "/api/v1/state")
    assert (exchange.status, exchange.json()) == (200, {"endpoints": []})
    assert exchange.sent_headers["cache-control"] == "no-store"
    assert exchange.sent_headers["x-content-type-options"] == "nosniff"


async def test_calls_are_asked_for_by_a_query(operated: Operated, make_exchange: Any) -> None:
    """Every part of the query reaches the ledger, and is absent unless given."""
    plane = AdminPlane(Guard(GuardSettings()), operated.controls())
    nothing = {
        "route": None,
        "since_s": None,
        "is_failed_only": False,
        "limit": 100,
        "before": None,
    }
    everything = {
        "route": "a b",
        "since_s": 5400.0,
        "is_failed_only": True,
        "limit": 7,
        "before": 9,
    }
    for query, asked in (
        ("", nothing),
        ("route=a%20b&since=1.5h&failed=true&limit=7&before=9", everything),
        ("failed=false", nothing),
    ):
        exchange = make_exchange(
            "GET", "/api/v1/calls", headers={"host": "localhost:4181"}, query=query
        )
        await plane.handle(exchange)
        assert (exchange.status, exchange.json()) == (200, {"calls": [asked]})


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=-1", "limit=x", "limit=٣", "since=1", "since=", "route="),
        *("failed=maybe", "before=1.5", "colour=red", "limit=1&limit=2", "&".join(["a=1"] * 50)),
    ],
)
async def test_a_query_that_is_not_understood_is_refused(
    operated: Operated, make_exchange: Any, query: str
) -> None:
    """A filter that cannot be read shows no calls at all."""
    plane = AdminPlane(Guard(GuardSettings()), operated.controls())
    headers = {"host": "localhost:4181"}
    exchange = make_exchange("GET", "/api/v1/calls", headers=headers, query=query)
    await plane.handle(exchange)
    assert (exchange.status, exchange.json()["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize("verb", ["isolate", "restore"])
@pytest.mark.parametrize("name", ["anthropic/claude", "anthropic%2Fclaude", "anthropic%2fclaude"])
async def test_an_endpoint_is_named_either_way(
    ask: Any, operated: Operated, verb: str, name: str
) -> None:
    """The slash of an id may be written plainly or encoded."""
    exchange = await ask("POST", f"/api/v1/endpoints/{name}/{verb}")
    assert exchange.status == 200
    assert operated.done == [(verb, "anthropic/claude")]
    assert exchange.json() == {"endpoint": "anthropic/claude", "isolated": verb == "isolate"}


async def test_an_unknown_endpoint_is_404(ask: Any) -> None:
    """A misspelt endpoint is told, not silently accepted."""
    exchange = await ask("POST", "/api/v1/endpoints/anthropic/clod/isolate")
    assert exchange.status == 404
    assert "anthropic/clod" in exchange.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/index.html", "/api/v1/endpoints/", "/api/v1/endpoints/a/b", "/api/v2/state"]
)
async def test_other_paths_are_404_json(ask: Any, path: str) -> None:
    """What does not exist is answered with what does."""
    exchange = await ask("GET", path)
    assert exchange.status == 404
    assert exchange.json()["error"]["code"] == "not_found"
    assert "/api/v1/state" in exchange.json()["error"]["message"]


async def test_methods_are_checked(ask: Any, operated: Operated) -> None:
    """Reading never isolates, and the state is not written."""
    refused = await ask("GET", "/api/v1/endpoints/anthropic/claude/isolate")
    assert (refused.status, refused.sent_headers["allow"]) == (405, "POST")
    refused = await ask("POST", "/api/v1/state")
    assert (refused.status, refused.sent_headers["allow"]) == (405, "GET")
    assert operated.done == []


async def test_pages_may_not_isolate(ask: Any, operated: Operated) -> None:
    """A browser page of another origin cannot drive the plane."""
    path = "/api/v1/endpoints/anthropic/claude/isolate"
    exchange = await ask("POST", path, origin="https://evil.example")
    assert exchange.status == 403
    assert operated.done == []


async def test_an_explanation_is_asked_for_by_a_query(
    operated: Operated, make_exchange: Any
) -> None:
    """The query goes to whoever explains."""
    plane = AdminPlane(Guard(GuardSettings()), operated.controls())
    exchange = make_exchange(
        "GET", "/api/v1/explain", headers={"host": "localhost"}, query="route=reason"
    )
    await plane.handle(exchange)
    assert (exchange.status, exchange.json()) == (200, {"query": "route=reason"})


async def test_a_drill_begins_and_ends(operated: Operated, make_exchange: Any) -> None:
    """What a body asks for reaches the drills; durations and shares have defaults."""
    plane = AdminPlane(Guard(GuardSettings()), operated.controls())
    for body, said in (
        (b'{"endpoint":"a/m","fault":"hang"}', {"fault": "hang", "for_s": 60.0, "share": 1.0}),
        (
            b'{"endpoint":"a/m","fault":"429","for":"1h","share":0.5}',
            {"fault": "429", "for_s": 3600.0, "share": 0.5},
        ),
    ):
        exchange = make_exchange("POST", "/api/v1/drills", body=body, headers={"host": "localhost"})
        await plane.handle(exchange)
        assert (exchange.status, exchange.json()) == (200, said)
    ended = make_exchange("DELETE", "/api/v1/drills/a%2Fm", headers={"host": "localhost"})
    await plane.handle(ended)
    assert ended.json() == {"endpoint": "a/m", "ended": True}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "expected an object"),
        (b"\xff", "expected an object"),
        (b'{"fault":"hang"}', "endpoint: expected"),
        (b'{"endpoint":"a/m","fault":"fire"}', "fault: expected hang or 500"),
        (b'{"endpoint":"a/m","fault":["hang"]}', "fault: expected"),
        (b'{"endpoint":"a/m","fault":"hang","for":"2h"}', "for: expected"),
        (b'{"endpoint":"a/m","fault":"hang","for":60}', "with a unit"),
        (b'{"endpoint":"a/m","fault":"hang","for":"0s"}', "for: expected"),
        (b'{"endpoint":"a/m","fault":"hang","share":0}', "share: expected"),
        (b'{"endpoint":"a/m","fault":"hang","share":true}', "share: expected"),
        (b'{"endpoint":"a/m","fault":"hang","why":"x"}', "no member 'why'"),
    ],
)
async def test_a_drill_that_is_none_is_refused(
    operated: Operated, make_exchange: Any, body: bytes, said: str
) -> None:
    """The member is named, and what is expected."""
    plane = AdminPlane(Guard(GuardSettings()), operated.controls())
    exchange = make_exchange("POST", "/api/v1/drills", body=body, headers={"host": "localhost"})
    await plane.handle(exchange)
    assert exchange.status == 400
    assert said in exchange.json()["error"]["message"]


async def test_the_timeline_is_read_from_a_number(operated: Operated, make_exchange: Any) -> None:
    """What is newer than the number given, and a clear refusal of what is none."""
    operated.timeline.on_event(
        DrillChanged(at=0.0, endpoint=EndpointId("a/m"), fault="hang", share=1.0, until=None)
    )
    plane = AdminPlane(Guard(GuardSettings()), operated.controls())
    seen = []
    for query in ("", "after=1", "after=x"):
        exchange = make_exchange(
            "GET", "/api/v1/timeline", headers={"host": "localhost"}, query=query
        )
        await plane.handle(exchange)
        seen.append((exchange.status, len(exchange.json().get("events", ()))))
    assert seen == [(200, 1), (200, 0), (400, 0)]
