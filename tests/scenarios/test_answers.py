"""Rows 21 to 26 of the fault catalogue: what is wrong with an answer, or only looks wrong.

Up to the first content a fault is invisible: another endpoint answers. After it the stream ends
with its format's error event, and nobody else's words follow.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from sidecar.domain import Constraints, EndpointId, OnBreak, Route, RouteName, WireFormat
from sidecar.events import AttemptFinished
from sidecar.simulate.evidence import answered_by, changes, outcomes, requests, started
from sidecar.simulate.world import ALPHA, BETA, World, default_routes, play
from sidecar.upstream.simulated import Ended, Fault, FaultKind, SimulatedProvider

ALPHA_HOST = "http://alpha.test:80"
CALLERS = (WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES)
FIRST = {"reason": ALPHA, "reverse": BETA}
"""Routes of two endpoints, by the one that is asked first: one of each wire format."""
ROUTES = (
    *default_routes(),
    Route(name=RouteName("reverse"), tiers=((BETA,), (ALPHA,)), within_s=30.0),
)
TOOL = {
    "openai": {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    },
    "anthropic": {
        "name": "weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def _provider(world: World, route: str) -> SimulatedProvider:
    return world.alpha if FIRST[route] == ALPHA else world.beta


def _other(route: str) -> EndpointId:
    return BETA if FIRST[route] == ALPHA else ALPHA


@pytest.mark.parametrize("route", FIRST)
@pytest.mark.parametrize("format", CALLERS)
@pytest.mark.parametrize(("status", "cls"), [(500, "S5"), (529, "OVERLOAD")])
def test_row_21_error_event_before_content(
    route: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    status: int,
    cls: str,
) -> None:
    """Row 21: an error event inside a 200, before any content, is a failover that nobody sees."""

    async def scenario(world: World) -> None:
        error_type = "overloaded_error" if status == 529 else None
        fault = Fault(kind=FaultKind.STREAM_ERROR, status=status, error_type=error_type)
        _provider(world, route).faults = (fault,)
        await world.call(route, is_stream=True, format=format)

    world = play(scenario, routes=ROUTES)

    seen = world.seen[0]
    assert seen.is_good
    assert seen.degraded is None
    assert seen.attempts == (f"{FIRST[route]}:{cls}", f"{_other(route)}:OK")
    assert seen.speakers() == (_other(route).partition("/")[0],)
    assert _provider(world, route).name.encode() not in seen.raw, "not one byte of the first"
    assert seen.took_s < 2.5


@pytest.mark.parametrize("on_break", [OnBreak.ERROR, OnBreak.CONTINUE])
@pytest.mark.parametrize("route", FIRST)
@pytest.mark.parametrize("format", CALLERS)
def test_row_22_error_after_the_start_of_a_tool_call(
    route: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    on_break: OnBreak,
) -> None:
    """Row 22: half a tool call is never continued by anybody: an error event, no terminal mark."""
    is_openai = format is WireFormat.OPENAI_CHAT

    async def scenario(world: World) -> None:
        _provider(world, route).faults = (Fault(kind=FaultKind.TOOL_THEN_ERROR),)
        await world.call(
            route,
            is_stream=True,
            format=format,
            question="Please use a tool.",
            constraints=Constraints(on_break=on_break),
            extra={"tools": [TOOL["openai" if is_openai else "anthropic"]]},
        )

    world = play(scenario, routes=ROUTES)

    seen = world.seen[0]
    assert seen.code == "upstream_interrupted"
    assert not seen.is_complete
    assert b"[DONE]" not in seen.raw
    assert b"message_stop" not in seen.raw
    assert b"weather" in seen.raw, "the call had begun"
    last = [line for line in seen.raw.decode().splitlines() if line.startswith("data:")][-1]
    assert "error" in json.loads(last.removeprefix("data:"))
    assert len(seen.attempts) == 1
    other = world.beta if FIRST[route] == ALPHA else world.alpha
    assert requests(other, is_probe=False) == [], "nobody was asked to go on"


@pytest.mark.parametrize("route", FIRST)
@pytest.mark.parametrize("format", CALLERS)
def test_row_23_stream_split_at_every_byte(
    route: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """Row 23: cut at every byte, CRLF, data over two lines: the same words, and no failure."""

    async def ask(world: World) -> None:
        for _ in range(3):
            await world.call(route, is_stream=True, format=format)

    async def ask_sliced(world: World) -> None:
        _provider(world, route).faults = (Fault(kind=FaultKind.SLICE),)
        await ask(world)

    whole, sliced = play(ask, routes=ROUTES), play(ask_sliced, routes=ROUTES)

    assert all(one.is_good for one in sliced.seen)
    assert not sliced.seen[0].text.isascii(), "letters of several bytes were cut"
    assert [one.text for one in sliced.seen] == [one.text for one in whole.seen]
    assert {one.cls.value for one in outcomes(sliced, FIRST[route])} == {"OK"}
    assert [one.cost_usd for one in sliced.seen] == [one.cost_usd for one in whole.seen]
    assert len(sliced.seen[0].text.split()) == 20


@pytest.mark.parametrize("route", FIRST)
@pytest.mark.parametrize("format", CALLERS)
@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_row_24_malformed_json_before_the_commit(
    route: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    is_stream: bool,
) -> None:
    """Row 24: broken JSON before the first content is a failure that nobody sees."""

    async def scenario(world: World) -> None:
        _provider(world, route).faults = (Fault(kind=FaultKind.MALFORMED, after_tokens=0),)
        await world.call(route, is_stream=is_stream, format=format)

    world = play(scenario, routes=ROUTES)

    seen = world.seen[0]
    assert seen.is_good
    assert seen.attempts == (f"{FIRST[route]}:TRUNC", f"{_other(route)}:OK")
    assert seen.speakers() == (_other(route).partition("/")[0],)


@pytest.mark.parametrize("route", FIRST)
@pytest.mark.parametrize("format", CALLERS)
def test_row_24_malformed_json_after_the_commit(
    route: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """Row 24: broken JSON in the middle ends the stream in an error; the endpoint failed."""

    async def scenario(world: World) -> None:
        _provider(world, route).faults = (Fault(kind=FaultKind.MALFORMED, after_tokens=10),)
        await world.call(route, is_stream=True, format=format)

    world = play(scenario, routes=ROUTES)

    seen = world.seen[0]
    assert seen.code == "upstream_interrupted"
    assert not seen.is_complete
    assert len(seen.text.split()) == 10
    assert seen.attempts == (f"{FIRST[route]}:TRUNC",)
    assert _provider(world, route).log[0].ended is Ended.CANCELLED, "its rest was not waited for"


def test_row_24_malformed_json_opens_the_breaker() -> None:
    """Row 24: an endpoint that sends rubbish is left within five calls, like any that fails."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.MALFORMED, start_s=20.0),)
        await world.load(40, rate_per_s=1.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert changes(world, ALPHA, to="open")[0].at <= 20.0 + 5.5
    assert answered_by(started(world.seen, 20.0))[ALPHA] == 0


@pytest.mark.parametrize("kind", [FaultKind.EMPTY, FaultKind.DEGENERATE])
@pytest.mark.parametrize("route", FIRST)
@pytest.mark.parametrize("format", CALLERS)
def test_row_25_answer_of_nothing(
    route: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    kind: FaultKind,
) -> None:
    """Row 25: an empty answer, or one of slashes alone, is none: another endpoint answers."""

    async def scenario(world: World) -> None:
        _provider(world, route).faults = (Fault(kind=kind),)
        await world.call(route, format=format)

    world = play(scenario, routes=ROUTES)

    seen = world.seen[0]
    assert seen.is_good
    assert seen.attempts == (f"{FIRST[route]}:DEGENERATE", f"{_other(route)}:OK")
    assert seen.speakers() == (_other(route).partition("/")[0],)
    assert seen.cost_usd is not None
    entries = world.alpha.log + world.beta.log
    billed = sum(entry.cost_usd for entry in entries if not entry.is_probe)
    assert seen.cost_usd == pytest.approx(billed, rel=0.05), "the useless answer was paid for too"


@pytest.mark.parametrize("format", CALLERS)
def test_row_25_empty_stream(format: WireFormat) -> None:  # noqa: A002 - the word of the domain
    """Row 25: a stream that ends without a word has shown nothing yet, so it fails over."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.EMPTY),)
        await world.call("reason", is_stream=True, format=format)

    world = play(scenario)

    assert world.seen[0].is_good
    assert world.seen[0].attempts == (f"{ALPHA}:DEGENERATE", f"{BETA}:OK")


@pytest.mark.parametrize("format", CALLERS)
def test_row_25_degenerate_stream(
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """Row 25: slashes that were shown already cannot be taken back: the end says what they were."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.DEGENERATE),)
        await world.call("reason", is_stream=True, format=format)

    world = play(scenario)

    seen = world.seen[0]
    assert seen.code == "upstream_interrupted"
    assert not seen.is_complete
    assert seen.attempts == (f"{ALPHA}:DEGENERATE",)


def test_row_25_degenerate_answers_count_half() -> None:
    """Row 25: five empty answers in a row open nothing, as five errors would; ten do."""

    async def scenario(world: World) -> None:
        await world.load(20, rate_per_s=1.0, route="strong", stream_share=0.0, is_even=True)
        world.alpha.faults = (Fault(kind=FaultKind.EMPTY, start_s=20.0),)
        await world.load(25, rate_per_s=1.0, route="strong", stream_share=0.0, is_even=True)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    bad = [one for one in outcomes(world, ALPHA) if one.cls.value == "DEGENERATE"]
    opens = changes(world, ALPHA, to="open")
    assert opens, "an endpoint that says nothing is left in the end"
    assert 6 <= sum(one.ended_at <= opens[0].at for one in bad) <= 12
    assert changes(world, ALPHA_HOST) == []


def test_row_26_storm_of_stale_connections() -> None:
    """Row 26: every kept-alive connection is dead: one free repetition each, no breaker moves."""
    at_once = 20

    async def scenario(world: World) -> None:
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for number in range(at_once):
                    group.create_task(world.call("reason", is_stream=number % 2 == 0))
            # The balancer restarts: what is kept alive dies, what is dialled anew works.
            world.alpha.faults = (Fault(kind=FaultKind.STALE),)

    world = play(scenario)

    assert all(one.is_good for one in world.seen)
    assert answered_by(world.seen) == {ALPHA: len(world.seen)}, "nobody failed over"
    storm = world.seen[at_once:]
    stale = [one for one in storm if f"{ALPHA}:STALE_CONN" in one.attempts]
    assert len(stale) >= at_once
    assert all(one.attempts == (f"{ALPHA}:STALE_CONN", f"{ALPHA}:OK") for one in stale)
    assert max(one.took_s for one in storm) < 2.5
    assert changes(world, ALPHA) == changes(world, ALPHA_HOST) == []
    kinds = [
        event.kind
        for event in world.recorder.events
        if isinstance(event, AttemptFinished) and event.outcome.cls.value == "OK"
    ]
    assert kinds.count("transparent") == len(stale)
    assert world.engine.health.may_retry(ALPHA), "the repetition used up no retry token"
