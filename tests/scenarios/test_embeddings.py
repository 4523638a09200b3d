"""Calls for vectors: the same race, gates and verdicts as for words, but never another model.

``alpha`` and ``gamma`` both have ``embed-small``, so they can take over from each other; ``gamma``
also has ``embed-large``, whose vectors nobody may get instead.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now as loop_now
from sidecar.domain import (
    Call,
    CallId,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    Price,
    ProviderName,
    Quality,
    Route,
    RouteName,
    Rung,
    WireFormat,
)
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.prepare import Preparation
from sidecar.errors import CallError, InfeasibleError, UnavailableError
from sidecar.simulate.evidence import outcomes, probes, requests
from sidecar.simulate.loop import simulate, throttle_on_loop_time
from sidecar.simulate.world import World, default_endpoints, default_routes
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_embeddings import vector
from sidecar.wire.formats import EMBEDDING_CODECS
from sidecar.wire.vectors import unpack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.upstream.simulated import Plan, SimulatedRequest

OPENAI, GEMINI = WireFormat.OPENAI_EMBEDDINGS, WireFormat.GEMINI_EMBEDDINGS
A_SMALL, G_SMALL = EndpointId("alpha/a-small"), EndpointId("gamma/g-small")
G_LARGE, WORDS = EndpointId("gamma/g-large"), EndpointId("alpha/alpha-large")
MODEL = SimulatedModel(ttft_s=0.1, input_usd=0.02, output_usd=0.0)


def _endpoint(name: EndpointId, upstream_model: str, quality: float = 0.5) -> Endpoint:
    provider, _, model = name.partition("/")
    return Endpoint(
        id=name,
        provider=ProviderName(provider),
        model=ModelName(model),
        upstream_model=upstream_model,
        format=OPENAI,
        host=HostName(f"http://{provider}.test:80"),
        quality=Quality(default=quality),
        price=Price(input_usd=MODEL.input_usd, output_usd=MODEL.output_usd),
        space=upstream_model,
    )


ENDPOINTS = (
    *default_endpoints(),
    _endpoint(A_SMALL, "embed-small"),
    _endpoint(G_SMALL, "embed-small"),
    _endpoint(G_LARGE, "embed-large", quality=0.9),
)


def _route(name: str, *tiers: tuple[EndpointId, ...]) -> Route:
    return Route(name=RouteName(name), tiers=tiers, within_s=20.0)


ROUTES = (
    *default_routes(),
    _route("same", (A_SMALL,), (G_SMALL,)),
    _route("mixed", (A_SMALL,), (G_LARGE,)),
    _route("one-tier", (A_SMALL, G_LARGE)),
    _route("words-first", (WORDS,), (A_SMALL,)),
    replace(_route("static", (A_SMALL,)), static="sorry"),
    replace(_route("stale", (A_SMALL,)), rungs=(Rung.STALE,)),
)


def _call(world: World, route: str, body: dict[str, object], wire: WireFormat = OPENAI) -> Call:
    encoded = json.dumps({"model": route, **body} if wire is OPENAI else body).encode()
    found = world.catalogue.resolve(route)
    return Call(
        id=CallId("call_1"),
        arrived_at=loop_now(),
        deadline_at=loop_now() + found.within_s,
        format=wire,
        route=found,
        body=encoded,
        facts=EMBEDDING_CODECS[wire].inspect_request(encoded),
    )


async def _ask(
    world: World, route: str, wire: WireFormat = OPENAI, **fields: object
) -> PlainAnswer:
    body = fields or {"input": ["a", "b"]}
    answer = await world.engine.answer(_call(world, route, body, wire))
    assert isinstance(answer, PlainAnswer)
    return answer


def _embeddings(answer: PlainAnswer) -> list[object]:
    return [item["embedding"] for item in json.loads(answer.body)["data"]]


def _play(scenario: Callable[[World], Awaitable[object]]) -> World:
    async def main() -> World:
        world = World(endpoints=ENDPOINTS, routes=ROUTES)
        world.alpha.models["embed-small"] = world.gamma.models["embed-small"] = MODEL
        world.gamma.models["embed-large"] = MODEL
        await world.run(scenario)
        return world

    with throttle_on_loop_time():
        return simulate(main())


SMALL = [list(vector("embed-small", text)) for text in ("a", "b")]


def test_an_answer_of_vectors_is_an_answer() -> None:
    """It says who gave it and what it cost; the tokens of vectors are those that were read."""

    async def scenario(world: World) -> None:
        answer = await _ask(world, "same")
        assert _embeddings(answer) == SMALL
        assert answer.disclosure.endpoint == A_SMALL
        assert answer.disclosure.attempts == ("alpha/a-small:OK",)
        assert answer.disclosure.degraded is None
        (billed,) = requests(world.alpha, is_probe=False)
        assert answer.disclosure.cost_usd == pytest.approx(billed.cost_usd)
        assert billed.cost_usd > 0

    world = _play(scenario)
    (outcome,) = outcomes(world, A_SMALL)
    assert outcome.usage is not None
    assert outcome.usage.output_tokens == 0
    assert not outcome.usage.is_estimated


@pytest.mark.parametrize("status", [500, 429, 401, 404, 529])
def test_the_same_model_elsewhere_takes_over(status: int) -> None:
    """A fault of one provider is answered by another with the same model, and shows."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=status),)
        answer = await _ask(world, "same")
        assert answer.disclosure.endpoint == G_SMALL
        assert _embeddings(answer) == SMALL

    _play(scenario)


@pytest.mark.parametrize("route", ["mixed", "one-tier"])
def test_another_model_never_takes_over(route: str) -> None:
    """Vectors of another model would be rubbish among the caller's own: an error is better."""

    async def scenario(world: World) -> None:
        for _ in range(20):
            assert (await _ask(world, route)).disclosure.endpoint == A_SMALL
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500),)
        with pytest.raises(UnavailableError, match="vectors of another model cannot stand in"):
            await _ask(world, route)
        assert requests(world.gamma, is_probe=False) == []

    _play(scenario)


def test_a_model_of_words_is_not_asked_for_vectors() -> None:
    """A chat model in the route is passed over, and a route of such models says what it lacks."""

    async def scenario(world: World) -> None:
        assert (await _ask(world, "words-first")).disclosure.endpoint == A_SMALL
        with pytest.raises(InfeasibleError, match="makes embeddings"):
            await _ask(world, "pair")
        seen = await world.call("same")
        assert seen.status == 422
        assert "answers in words" in (seen.message or "")

    _play(scenario)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (FaultKind.EMPTY, "1 vectors for 2 inputs"),
        (FaultKind.DEGENERATE, "a vector with numbers that are not finite"),
    ],
)
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_bad_vectors_are_no_answer(kind: FaultKind, message: str, encoding: str) -> None:
    """Too few vectors, or numbers that are none, count as a failure and another one answers."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=kind),)
        answer = await _ask(world, "same", input=["a", "b"], encoding_format=encoding)
        assert answer.disclosure.attempts == ("alpha/a-small:DEGENERATE", "gamma/g-small:OK")

    world = _play(scenario)
    assert outcomes(world, A_SMALL)[0].message == message


@pytest.mark.parametrize("kind", [FaultKind.MALFORMED, FaultKind.RESET_AFTER, FaultKind.EOF_AFTER])
def test_a_broken_answer_is_no_answer(kind: FaultKind) -> None:
    """Half of a body is none."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=kind),)
        assert (await _ask(world, "same")).disclosure.endpoint == G_SMALL

    _play(scenario)


def test_a_callers_mistake_is_passed_on() -> None:
    """A provider's verdict on the request reaches the caller, and nobody else is asked."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=400),)
        answer = await _ask(world, "same")
        assert answer.status == 400
        assert "error" in json.loads(answer.body)
        assert requests(world.gamma, is_probe=False) == []

    _play(scenario)


class _NumbersOnly(SimulatedProvider):
    """A server that has never heard of base64, as many are."""

    def plan(self, request: SimulatedRequest) -> Plan:
        """Answer as if nobody had asked for an encoding."""
        body = request.body.replace(b'"encoding_format"', b'"ignored"')
        return super().plan(replace(request, body=body))


def test_base64_is_served_where_a_server_knows_numbers_only() -> None:
    """Who asked for base64 decodes what comes without looking, so it gets base64."""

    async def scenario(world: World) -> None:
        deaf = _NumbersOnly("alpha", WireFormat.OPENAI_CHAT, {"embed-small": MODEL})
        world.upstream.providers[ProviderName("alpha")] = deaf
        for given in (["a", "b"], [[1], [2, 3]]):
            answer = await _ask(world, "same", input=given, encoding_format="base64")
            found = [list(unpack(str(one))) for one in _embeddings(answer)]
            texts = [one if isinstance(one, str) else repr(one) for one in given]
            assert found == [list(vector("embed-small", text)) for text in texts]
        assert len(requests(deaf, is_probe=False)) == 2

    _play(scenario)


def test_no_static_answer_for_vectors() -> None:
    """Words are no vector: a route's static answer stays where it is."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500),)
        with pytest.raises(CallError):
            await _ask(world, "static")
        assert (await world.call("static")).status == 422  # asked for words, of vectors only

    _play(scenario)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_a_stale_vector_is_as_good_as_new(encoding: str) -> None:
    """The very same request is answered from before when nobody else does, and marked."""

    async def scenario(world: World) -> None:
        fresh = await _ask(world, "stale", input=["a", "b"], encoding_format=encoding)
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500),)
        stale = await _ask(world, "stale", input=["a", "b"], encoding_format=encoding)
        assert _embeddings(stale) == _embeddings(fresh)
        assert stale.disclosure.degraded is not None
        assert "stale" in stale.disclosure.degraded
        with pytest.raises(CallError):
            await _ask(world, "stale", input=["a", "c"], encoding_format=encoding)

    _play(scenario)


def test_a_gemini_caller_is_answered_by_openais_format() -> None:
    """Both of its methods; what got lost is named."""

    async def scenario(world: World) -> None:
        content = {"parts": [{"text": "a"}]}
        answer = await _ask(world, "same", GEMINI, content=content, taskType="CLUSTERING")
        assert json.loads(answer.body) == {"embedding": {"values": SMALL[0]}}
        assert answer.disclosure.dropped == ("taskType",)
        batch = [{"content": content}, {"content": {"parts": [{"text": "b"}]}}]
        answer = await _ask(world, "same", GEMINI, requests=batch)
        assert json.loads(answer.body) == {"embeddings": [{"values": one} for one in SMALL]}
        sized = {"content": content, "outputDimensionality": 3}
        answer = await _ask(world, "same", GEMINI, requests=[sized])
        assert [len(one["values"]) for one in json.loads(answer.body)["embeddings"]] == [3]

    _play(scenario)


def test_a_gemini_provider_is_asked_in_its_own_words() -> None:
    """An OpenAI caller's texts and size go as a batch below the model's own path."""

    async def scenario(world: World) -> None:
        call = _call(world, "same", {"input": ["a"], "dimensions": 3, "user": "u"})
        own = replace(ENDPOINTS[-1], format=GEMINI, upstream_model="gemini-embedding-001")
        sent = Preparation(call).body_for(own, max_tokens=None)
        assert (sent.format, sent.is_translated, sent.dropped) == (GEMINI, True, ("user",))
        assert sent.path == "/models/gemini-embedding-001:batchEmbedContents"
        assert json.loads(sent.body)["requests"][0]["outputDimensionality"] == 3

    _play(scenario)


def test_tokens_have_no_other_format() -> None:
    """Tokens of one model's vocabulary are passed on in the same format alone."""

    async def scenario(world: World) -> None:
        answer = await _ask(world, "same", input=[[1, 2], [3]])
        assert len(_embeddings(answer)) == 2

    _play(scenario)


def test_a_probe_asks_for_a_vector() -> None:
    """A model that makes embeddings only is found recovered by an embedding, not by a chat."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=500, end_s=30.0),)
        for _ in range(8):
            with pytest.raises(CallError):
                await _ask(world, "static")
        asked = len(world.alpha.log)
        breaker = world.engine.health.endpoints[A_SMALL].breaker
        while breaker.refusal(loop_now()) is not None or loop_now() < 30.0:
            await world.load(10.0, rate_per_s=0.01)
        paths = {entry.path for entry in world.alpha.log[asked:] if entry.path != "/models"}
        assert paths == {"/embeddings"}

    world = _play(scenario)
    paid = probes(world, A_SMALL, kind="paid")
    assert {one.outcome.cls.value for one in paid} == {"S5", "OK"}
    assert paid[-1].outcome.usage is not None
    assert paid[-1].outcome.usage.input_tokens > 0
