"""Calls that some endpoints cannot take: found out before anybody is asked, or by one refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.abilities import Abilities, Ability
from sidecar.domain import Constraints, Endpoint, Route, RouteName, Rung, WireFormat
from sidecar.simulate.evidence import changes, outcomes, requests
from sidecar.simulate.world import (
    ALPHA,
    BETA,
    GAMMA,
    LARGE,
    World,
    default_endpoints,
    default_routes,
    play,
)
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Mapping

LONG = "word " * 400  # about 560 tokens
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
LOOK: dict[str, object] = {"messages": [{"role": "user", "content": [IMAGE]}]}
SCHEMA: dict[str, object] = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
}
FUNCTION = {"type": "function", "function": {"name": "look"}}
FORCED: dict[str, object] = {"tools": [FUNCTION], "tool_choice": "required"}


def endpoints(**changed: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """Return the world's endpoints, those of the named providers with other values."""
    return tuple(replace(one, **changed.get(one.provider, {})) for one in default_endpoints())


def without(*abilities: Ability) -> dict[str, object]:
    """Return an endpoint's values if it is known to lack ``abilities``."""
    return {"abilities": Abilities(cannot=frozenset(abilities))}


@pytest.mark.parametrize(
    ("ability", "extra"),
    [(Ability.VISION, LOOK), (Ability.SCHEMA, SCHEMA), (Ability.FORCED_TOOL, FORCED)],
    ids=lambda value: value.value if isinstance(value, Ability) else "",
)
def test_who_cannot_is_not_asked(ability: Ability, extra: dict[str, object]) -> None:
    """The call goes to the next endpoint at once, others still to the first."""

    async def scenario(world: World) -> None:
        await world.call("reason", extra=extra)
        await world.call("reason")

    world = play(scenario, endpoints=endpoints(alpha=without(ability)))

    assert [one.endpoint for one in world.seen] == [BETA, ALPHA]
    assert world.seen[0].attempts == (f"{BETA}:OK",)


def test_what_nobody_can_is_named_in_the_refusal() -> None:
    """A call that nobody could ever serve is refused unasked, with what each lacks."""

    async def scenario(world: World) -> None:
        await world.call("strong", extra=LOOK)

    blind = without(Ability.VISION)
    world = play(scenario, endpoints=endpoints(alpha=blind, beta=blind))

    (seen,) = world.seen
    assert (seen.status, seen.code) == (422, "infeasible")
    assert seen.message == (
        f"no endpoint of 'strong' can serve this call: {ALPHA} lacks vision; {BETA} lacks vision"
    )
    assert requests(world.alpha, is_probe=False) == requests(world.beta, is_probe=False) == []


def test_a_refusal_names_who_could_not_beside_who_failed() -> None:
    """Where the able one is down, the caller also learns why the other was no help."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500),)
        await world.call("strong", extra=LOOK)

    world = play(scenario, endpoints=endpoints(beta=without(Ability.VISION)))

    (seen,) = world.seen
    assert (seen.status, seen.code) == (503, "unavailable")
    assert f"not able: {BETA} lacks vision" in seen.message


@pytest.mark.parametrize("is_clamped", [False, True])
def test_an_answer_longer_than_the_model_writes(is_clamped: bool) -> None:
    """Who cannot write so much is passed over, unless the route lets answers be clamped."""
    rungs = (Rung.SMALLER, Rung.CLAMP) if is_clamped else (Rung.SMALLER,)
    route = Route(name=RouteName("write"), tiers=((ALPHA,), (BETA,)), within_s=30.0, rungs=rungs)

    async def scenario(world: World) -> None:
        await world.call("write", extra={"max_tokens": 5000})
        await world.call("write", extra={"max_tokens": 500})

    short: dict[str, object] = {"abilities": Abilities(output_tokens_max=1000)}
    world = play(scenario, endpoints=endpoints(alpha=short), routes=(*default_routes(), route))

    first, second = world.seen
    assert (first.endpoint, second.endpoint) == (ALPHA if is_clamped else BETA, ALPHA)
    assert all(one.is_good for one in world.seen)


@pytest.mark.parametrize("format", [WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_prompt_that_does_not_fit_goes_to_who_has_room(
    format: WireFormat,  # noqa: A002 - the word of the domain
    is_stream: bool,
) -> None:
    """An overflow is no failure of anybody: the next one answers, and no breaker moves. The next
    prompt as long goes there straight away, a shorter one does not, and after a while it is tried
    again.
    """

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = replace(LARGE, context_tokens=300)
        for question in (LONG, LONG + LONG, "short"):
            await world.call("reason", question=question, format=format, is_stream=is_stream)
        await world.load(620, rate_per_s=0.05, is_even=True)
        await world.call("reason", question=LONG, format=format, is_stream=is_stream)

    world = play(scenario)

    attempts = [one.attempts for one in world.seen]
    moved = (f"{ALPHA}:CONTEXT", f"{BETA}:OK")
    assert attempts[:3] == [moved, (f"{BETA}:OK",), (f"{ALPHA}:OK",)]
    assert attempts[-1] == moved
    assert all(one.is_good for one in world.seen)
    assert changes(world, ALPHA) == []


def test_a_prompt_that_fits_nowhere_is_the_callers() -> None:
    """Everybody was asked and nobody has room: the caller reads the last provider's own words."""

    async def scenario(world: World) -> None:
        for provider, name in ((world.alpha, "alpha-large"), (world.beta, "beta-large")):
            provider.models[name] = replace(LARGE, context_tokens=300)
        await world.call("strong", question=LONG)
        await world.call("strong", question=LONG)

    world = play(scenario)

    first, second = world.seen
    assert first.attempts == (f"{ALPHA}:CONTEXT", f"{BETA}:CONTEXT")
    assert first.status == second.status == 400
    assert b"prompt is too long" in first.raw
    assert b"prompt is too long" in second.raw
    assert len(second.attempts) == 1, "who refused it just now is not asked a second time"


def test_no_room_known_is_not_tried_after_an_overflow() -> None:
    """Who is known to have no more room than who just refused is passed over."""

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = replace(LARGE, context_tokens=300)
        await world.call("reason", question=LONG)

    sizes = {name: {"context_tokens": size} for name, size in (("alpha", 900), ("beta", 800))}
    world = play(scenario, endpoints=endpoints(**sizes))

    assert world.seen[0].attempts == (f"{ALPHA}:CONTEXT", f"{GAMMA}:OK")


def test_room_behind_a_shut_gate_is_no_fault_of_the_caller() -> None:
    """While the one with room is down, the caller is told to come again, not to write less."""

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = replace(LARGE, context_tokens=300)
        world.beta.faults = (Fault(kind=FaultKind.STATUS, status=500),)
        await world.load(60, rate_per_s=1.0, route="alone-beta", is_even=True)
        await world.call("strong", question=LONG)

    world = play(scenario)

    assert (world.seen[-1].status, world.seen[-1].code) == (503, "unavailable")
    assert world.seen[-1].attempts[0] == f"{ALPHA}:CONTEXT"


def test_a_lone_endpoint_is_asked_again() -> None:
    """Where nobody else is left, the provider judges, whatever it refused before."""

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = replace(LARGE, context_tokens=300)
        await world.call("alone", question=LONG)
        world.alpha.models["alpha-large"] = LARGE
        await world.call("alone", question=LONG)

    world = play(scenario)

    assert [one.status for one in world.seen] == [400, 200]
    assert [one.cls.value for one in outcomes(world, ALPHA)] == ["CONTEXT", "OK"]


def test_a_model_that_turns_out_unable_is_no_mistake_of_the_caller() -> None:
    """A refusal for want of an ability moves on; alone, it is passed on in the provider's words."""
    refusal = Fault(
        kind=FaultKind.STATUS, status=400, message="this model does not support image input"
    )

    async def scenario(world: World) -> None:
        world.alpha.faults = (refusal,)
        await world.call("reason", extra=LOOK)
        await world.call("alone", extra=LOOK)

    world = play(scenario)

    first, second = world.seen
    assert first.attempts == (f"{ALPHA}:UNFIT", f"{BETA}:OK")
    assert (second.status, second.attempts) == (400, (f"{ALPHA}:UNFIT",))
    assert b"does not support image input" in second.raw
    assert changes(world, ALPHA) == []


@pytest.mark.parametrize("is_billed", [False, True])
def test_a_cut_answer_costs_what_it_will_be_billed(is_billed: bool) -> None:
    """Who goes on writing when nobody listens is taken to bill the whole answer."""
    slow = replace(LARGE, ttft_s=5.0)

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = slow
        await world.call("alone", constraints=Constraints(within_s=1.0), extra={"max_tokens": 1000})

    world = play(scenario, endpoints=endpoints(alpha={"bills_cut_answers": is_billed}))

    (cut,) = outcomes(world, ALPHA)
    assert cut.usage is not None
    planned = world.engine.output_model(RouteName("alone")).predict(1000, 1.0)
    assert (cut.usage.output_tokens >= round(planned)) is is_billed


def test_a_refusal_inside_a_200_is_still_a_refusal() -> None:
    """A provider that says 400 in the body of a 200 does not make it an answer."""
    said = '{"error": {"message": "filtered", "code": "content_filter", "status": 400}}'
    refusal = Fault(kind=FaultKind.STATUS, status=200, raw_body=said)

    async def scenario(world: World) -> None:
        world.alpha.faults = (refusal,)
        await world.call("reason")

    world = play(scenario)

    (seen,) = world.seen
    assert (seen.status, seen.attempts) == (400, (f"{ALPHA}:CALLER",))
    assert b"filtered" in seen.raw


@pytest.mark.parametrize(("size", "status"), [(600, 200), (300, 422)])
def test_an_estimate_refuses_nobody_who_might_fit(size: int, status: int) -> None:
    """A prompt is passed to who surely has room; where nobody has, who might have it is asked, and
    only what cannot fit is refused unasked, with the figures.
    """
    about = {"context_tokens": size}

    async def scenario(world: World) -> None:
        await world.call("strong", question=LONG)
        await world.call("alone", question=LONG)

    world = play(scenario, endpoints=endpoints(alpha=about))

    first, second = world.seen
    assert (first.endpoint, second.status) == (BETA, status)
    if status != 200:
        assert f"{ALPHA} has a context of 300 tokens (needed: about 5" in second.message
