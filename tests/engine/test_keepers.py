"""Who keeps what: learned from answers, bounded, and never guessed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sidecar.catalogue import Catalogue
from sidecar.domain import (
    Call,
    CallId,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    ProviderName,
    Route,
    RouteName,
    WireFormat,
)
from sidecar.engine.keepers import Keepers
from sidecar.errors import BadRequestError
from sidecar.wire.formats import codec

RESPONSES = WireFormat.OPENAI_RESPONSES


def endpoint(provider: str, model: str, *, is_native: bool = True) -> Endpoint:
    """Return an endpoint that speaks Responses, or chat alone."""
    return Endpoint(
        id=EndpointId(f"{provider}/{model}"),
        provider=ProviderName(provider),
        model=ModelName(model),
        upstream_model=model,
        format=WireFormat.OPENAI_CHAT,
        host=HostName(f"https://{provider}"),
        also=(RESPONSES,) if is_native else (),
    )


ENDPOINTS = {
    one.id: one
    for one in (
        endpoint("a", "large"),
        endpoint("a", "small"),
        endpoint("b", "large"),
        endpoint("c", "chat", is_native=False),
    )
}
A, A_SMALL, B, CHAT = ENDPOINTS
CATALOGUE = Catalogue(endpoints=ENDPOINTS, routes={})


def call(*tiers: EndpointId, wire: WireFormat = RESPONSES, **members: object) -> Call:
    """Return a call to a route of one endpoint a tier."""
    said = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "r", "input": said, "messages": said, **members}).encode()
    return Call(
        id=CallId("call_1"),
        arrived_at=0.0,
        deadline_at=9.0,
        format=wire,
        route=Route(name=RouteName("r"), tiers=tuple((name,) for name in tiers)),
        body=body,
        facts=codec(wire).inspect_request(body),
    )


def pinned(keepers: Keepers, asked: Call) -> tuple[EndpointId, ...]:
    """Return who may be asked."""
    return keepers.pinned(asked, CATALOGUE).route.endpoints()


def test_a_call_without_references_is_left_alone() -> None:
    """Nobody is pinned who refers to nothing."""
    asked = call(B, A)
    assert Keepers().pinned(asked, CATALOGUE) is asked


def test_the_keeper_is_the_only_one_asked() -> None:
    """The endpoint that gave an answer is asked, wherever it stands in the route."""
    keepers = Keepers()
    keepers.learn(call(A), "resp_1", ("msg_1",), A)
    assert pinned(keepers, call(B, CHAT, A, previous_response_id="resp_1")) == (A,)
    item = {"type": "item_reference", "id": "msg_1"}
    assert pinned(keepers, call(B, CHAT, A, input=[item])) == (A,)


def test_another_model_of_the_account_may_go_on() -> None:
    """What an account keeps is there for all its models; the best one of the route is asked."""
    keepers = Keepers()
    keepers.learn(call(A), "resp_1", (), A)
    assert pinned(keepers, call(B, A_SMALL, previous_response_id="resp_1")) == (A_SMALL,)


def test_a_keeper_that_cannot_be_asked() -> None:
    """A route without the keeper's account is refused, and so is a keeper that is gone."""
    keepers = Keepers()
    keepers.learn(call(A), "resp_1", (), A)
    keepers.learn(call(A), "resp_2", (), EndpointId("gone/model"))
    for name, keeper in (("resp_1", "a/large"), ("resp_2", "gone/model")):
        with pytest.raises(BadRequestError, match=f"kept by {keeper}") as caught:
            pinned(keepers, call(B, previous_response_id=name))
        assert caught.value.path == "$.previous_response_id"


def test_a_translated_answer_is_kept_by_nobody() -> None:
    """Its id, as the caller saw it, is refused without asking anyone."""
    keepers = Keepers()
    keepers.learn(call(CHAT), "chatcmpl-1", ("msg_x",), None)
    with pytest.raises(BadRequestError, match="nobody keeps"):
        pinned(keepers, call(A, previous_response_id="resp_chatcmpl-1"))


@pytest.mark.parametrize(
    ("tiers", "asked"), [((A,), A), ((CHAT, A), A), ((A_SMALL, A), A_SMALL)], ids=str
)
def test_an_unknown_id_goes_to_the_only_account(
    tiers: tuple[EndpointId, ...], asked: EndpointId
) -> None:
    """Where one account alone could keep it, it is asked."""
    assert pinned(Keepers(), call(*tiers, previous_response_id="resp_9")) == (asked,)


@pytest.mark.parametrize(
    ("tiers", "why"), [((A, B), "one of 2 accounts"), ((CHAT,), "no endpoint")], ids=str
)
def test_an_unknown_id_is_not_guessed(tiers: tuple[EndpointId, ...], why: str) -> None:
    """Where several could keep it, or none, the call is refused."""
    with pytest.raises(BadRequestError, match=why):
        pinned(Keepers(), call(*tiers, previous_response_id="resp_9"))


def test_a_known_reference_decides_for_an_unknown_one() -> None:
    """One reference that leads somewhere is enough; two that lead apart are refused."""
    keepers = Keepers()
    keepers.learn(call(A), "resp_1", (), A)
    keepers.learn(call(B), "resp_2", ("msg_2",), B)
    new, other = ({"type": "item_reference", "id": name} for name in ("msg_9", "msg_2"))
    assert pinned(keepers, call(A, B, input=[new], previous_response_id="resp_1")) == (A,)
    with pytest.raises(BadRequestError, match="different endpoints") as caught:
        pinned(keepers, call(A, B, input=[new, other], previous_response_id="resp_1"))
    assert caught.value.path == "$.input[1].id"


def test_memory_is_bounded() -> None:
    """The oldest is forgotten first; what is used again is young."""
    keepers = Keepers(ids_max=2)
    keepers.learn(call(A), "resp_1", (), A)
    keepers.learn(call(A), "resp_2", (), A)
    pinned(keepers, call(A, B, previous_response_id="resp_1"))
    keepers.learn(call(A), "resp_3", (), A)
    assert pinned(keepers, call(A, B, previous_response_id="resp_1")) == (A,)
    with pytest.raises(BadRequestError, match="not given by this process"):
        pinned(keepers, call(A, B, previous_response_id="resp_2"))


def test_only_answers_of_the_format_are_learned() -> None:
    """Other formats have nothing to refer to, and an answer without a name cannot be named."""
    keepers = Keepers()
    keepers.learn(call(A, wire=WireFormat.OPENAI_CHAT), "resp_1", (), A)
    keepers.learn(call(A), "", (), A)
    keepers.learn(call(A), None, (), A)
    with pytest.raises(BadRequestError, match="not given by this process"):
        pinned(keepers, call(A, B, previous_response_id="resp_1"))


def test_nothing_else_of_the_route_changes() -> None:
    """Limits, prompts and the name stay those of the route."""
    asked = call(B, A, previous_response_id="resp_1")
    keepers = Keepers()
    keepers.learn(asked, "resp_1", (), A)
    got = keepers.pinned(asked, CATALOGUE)
    assert replace(got, route=asked.route) == asked
    assert replace(got.route, tiers=asked.route.tiers) == asked.route
