"""Rows 19 and 20 of the fault catalogue: an answer that breaks off before its end.

After the first content there is no failover: a stream ends with its format's error event and
without its terminal marker. A plain answer has shown nothing yet and fails over.
"""

from __future__ import annotations

import json

import pytest

from sidecar.domain import WireFormat
from sidecar.simulate.evidence import changes, opened_at, outcomes, requests, started
from sidecar.simulate.world import ALPHA, BETA, World, play
from sidecar.upstream.simulated import Ended, Fault, FaultKind, SimulatedProvider

CALLERS = (WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES)
ROUTES = {"alone": ALPHA, "alone-beta": BETA}
RESET = Fault(kind=FaultKind.RESET_AFTER, after_tokens=10)
BREAKS = {
    "reset": (RESET, "RESET_MID"),
    "proper-end": (Fault(kind=FaultKind.EOF_AFTER, after_tokens=10), "TRUNC"),
    "cut-inside-the-framing": (
        Fault(kind=FaultKind.EOF_AFTER, after_tokens=10, is_framed=False),
        "RESET_MID",
    ),
}


def _provider(world: World, route: str) -> SimulatedProvider:
    return world.alpha if ROUTES[route] == ALPHA else world.beta


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("format", CALLERS)
@pytest.mark.parametrize("broken", BREAKS)
def test_broken_stream_ends_with_a_typed_error(
    route: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    broken: str,
) -> None:
    """Rows 19 and 20: what was delivered stays, an error event follows, no terminal marker."""
    fault, cls = BREAKS[broken]

    async def scenario(world: World) -> None:
        _provider(world, route).faults = (fault,)
        await world.call(route, is_stream=True, format=format)

    world = play(scenario)

    seen = world.seen[0]
    name = _provider(world, route).name
    assert len(seen.text.split()) == 10
    assert seen.speakers() == (name,)
    assert not seen.is_complete
    assert b"[DONE]" not in seen.raw
    assert b"message_stop" not in seen.raw
    assert seen.code == "upstream_interrupted"
    last = [line for line in seen.raw.decode().splitlines() if line.startswith("data:")][-1]
    said = json.loads(last.removeprefix("data:"))
    if format is WireFormat.ANTHROPIC_MESSAGES:
        assert (said["type"], said["error"]["type"]) == ("error", "api_error")
    assert said["error"]["sidecar"]["delivered_chars"] == len(seen.text)
    assert said["error"]["message"].startswith(f"{ROUTES[route]} broke off mid-answer")
    assert seen.attempts == (f"{ROUTES[route]}:{cls}",)


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("route", ROUTES)
def test_broken_stream_is_billed_as_far_as_it_went(route: str, broken: str) -> None:
    """Row 19: a broken stream is billed by what was seen, marked as an estimate, not too low.

    The simulation's words are ten letters long and count as one token, an estimate's token has
    four letters: hence the wide bounds.
    """
    fault, _ = BREAKS[broken]

    async def scenario(world: World) -> None:
        _provider(world, route).faults = (fault,)
        await world.call(route, is_stream=True)

    world = play(scenario)

    outcome = outcomes(world, ROUTES[route])[0]
    assert outcome.usage is not None
    assert outcome.usage.is_estimated
    billed = _provider(world, route).log[0]
    assert billed.output_tokens == 10
    assert 10 <= outcome.usage.output_tokens <= 30
    assert billed.cost_usd <= outcome.cost_usd <= 3 * billed.cost_usd
    assert world.seen[0].cost_usd == outcome.cost_usd


@pytest.mark.parametrize("format", CALLERS)
@pytest.mark.parametrize("broken", BREAKS)
def test_broken_plain_answer_fails_over(
    format: WireFormat,  # noqa: A002 - the word of the domain
    broken: str,
) -> None:
    """Rows 19 and 20: half a plain answer is shown to nobody; another endpoint answers."""
    fault, _ = BREAKS[broken]

    async def scenario(world: World) -> None:
        world.alpha.faults = (fault,)
        await world.call("reason", format=format)

    world = play(scenario)

    seen = world.seen[0]
    assert seen.is_good
    assert seen.speakers() == ("beta",)
    assert seen.attempts[-1] == f"{BETA}:OK"
    assert len(seen.attempts) == 2


@pytest.mark.parametrize("format", CALLERS)
@pytest.mark.parametrize("broken", BREAKS)
def test_stream_that_breaks_before_its_content_fails_over(
    format: WireFormat,  # noqa: A002 - the word of the domain
    broken: str,
) -> None:
    """Rows 19 and 20: up to the first content a break is invisible."""
    kind = BREAKS[broken][0].kind
    is_framed = BREAKS[broken][0].is_framed

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=kind, after_tokens=0, is_framed=is_framed),)
        await world.call("reason", is_stream=True, format=format)

    world = play(scenario)

    seen = world.seen[0]
    assert seen.is_good
    assert seen.speakers() == ("beta",)
    assert b"alpha" not in seen.raw


@pytest.mark.parametrize("broken", ["reset", "proper-end"])
def test_breaking_endpoint_is_left(broken: str) -> None:
    """Rows 19 and 20: broken streams are failures: the breaker opens, the next callers are fine.

    The probes see a first token and are content, so it is tried again; each relapse doubles its
    rest.
    """
    start_s, end_s = 40.0, 130.0
    fault, _ = BREAKS[broken]

    async def scenario(world: World) -> None:
        await world.load(start_s, rate_per_s=1.0, is_even=True)
        world.alpha.faults = (fault,)
        await world.load(end_s - start_s, rate_per_s=1.0, is_even=True, stream_share=1.0)

    world = play(scenario)

    assert opened_at(world, ALPHA) - start_s <= 6.0
    during = started(world.seen, start_s)
    harmed = [one for one in during if not one.is_good]
    opens = changes(world, ALPHA, to="open")
    assert len(opens) <= 5
    assert len(harmed) <= 5 * len(opens) + 4, "five to a trip, and what was under way"
    assert all(one.code == "upstream_interrupted" for one in harmed)
    cut = [entry for entry in requests(world.alpha, start_s, is_probe=False) if entry.fault]
    assert {entry.ended for entry in cut} <= {Ended.RESET, Ended.EOF, Ended.COMPLETE}
    assert len(cut) == len(harmed), "nobody else was sent there"
