"""The panic ration: one in two seconds, the likeliest, never past a fact."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.panic import PASSABLE, PanicRation
from sidecar.domain import (
    Endpoint,
    EndpointId,
    Gate,
    HostName,
    ModelName,
    ProviderName,
    WireFormat,
)
from tests.core.views import healthy_view

if TYPE_CHECKING:
    from sidecar.core.routing import EndpointView


def view(name: str, **changes: object) -> EndpointView:
    """An endpoint ``name/m`` behind an open breaker, but for ``changes``."""
    endpoint = Endpoint(
        id=EndpointId(f"{name}/m"),
        provider=ProviderName(name),
        model=ModelName("m"),
        upstream_model="m",
        format=WireFormat.OPENAI_CHAT,
        host=HostName(f"https://{name}.test:443"),
    )
    shut = {"gate": Gate.BREAKER_OPEN, "opens_at": 110.0, "reliability": 0.5, "is_suspect": True}
    return healthy_view(endpoint, **(shut | changes))


def name_of(chosen: EndpointView | None) -> str | None:
    """Return the first letter of the chosen endpoint."""
    return None if chosen is None else chosen.endpoint.id[0]


def test_one_trial_in_two_seconds() -> None:
    """A pod sends one call past the gates each two seconds, and no more."""
    ration = PanicRation()
    assert name_of(ration.choose([view("a")], 100.0)) == "a"
    assert ration.choose([view("a")], 101.99) is None
    assert name_of(ration.choose([view("a")], 102.0)) == "a"


def test_a_ration_without_a_candidate_is_kept() -> None:
    """Having nobody to try does not use the ration up."""
    ration = PanicRation()
    assert ration.choose([view("a", gate=Gate.GONE)], 100.0) is None
    assert name_of(ration.choose([view("a")], 100.0)) == "a"


@pytest.mark.parametrize(
    ("changes", "winner"),
    [
        ({"reliability": 0.6}, "b"),
        ({"reliability": 0.4}, "a"),
        ({"opens_at": 105.0}, "b"),
        ({"opens_at": 130.0}, "a"),
        ({"opens_at": 90.0}, "b"),
        # Half a chance where nothing is known beats a third, not two thirds.
        ({"opens_at": None}, "b"),
        # Ties go to the better ranked.
        ({}, "a"),
        # A bad but nearly open one may be worth less than a good one far away.
        ({"reliability": 0.1, "opens_at": 100.0}, "a"),
    ],
)
def test_likeliest_first(changes: dict[str, object], winner: str) -> None:
    """Reliability times the chance that the gate opens soon decides."""
    assert name_of(PanicRation().choose([view("a"), view("b", **changes)], 100.0)) == winner


def test_everybody_has_a_turn() -> None:
    """Who is likelier is asked more often, but nobody who is back waits for long to be noticed."""
    ration = PanicRation()
    views = [view("a", opens_at=100.0), view("b", opens_at=300.0)]
    names = [name_of(ration.choose(views, 100.0 + 2.0 * number)) for number in range(14)]
    assert names.count("b") == 5
    assert "aaaa" not in "".join(name or "-" for name in names)


@pytest.mark.parametrize("gate", [*(gate for gate in Gate if gate not in PASSABLE), None])
def test_facts_are_never_passed(gate: Gate | None) -> None:
    """Isolated, gone, blocked, full or unable endpoints are not tried, be they ever so reliable."""
    views = [view("a", gate=gate, reliability=1.0, opens_at=100.0), view("b")]
    assert name_of(PanicRation().choose(views, 100.0)) == "b"
    assert PanicRation().choose(views[:1], 100.0) is None


def test_the_gates_that_may_be_passed_are_guesses() -> None:
    """What the rule forbids is on no list of exceptions."""
    never = {Gate.ISOLATED, Gate.GONE, Gate.ACCOUNT_QUOTA, Gate.ACCOUNT_AUTH, Gate.UNSUPPORTED}
    assert not never & PASSABLE


def test_what_the_call_rules_out_stays_out() -> None:
    """An open breaker of an endpoint that cannot speak the call's features is not passed."""
    views = [view("a", reliability=1.0), view("b")]
    rejected = [(EndpointId("a/m"), Gate.UNSUPPORTED), (EndpointId("b/m"), Gate.BREAKER_OPEN)]
    assert name_of(PanicRation().choose(views, 100.0, rejected)) == "b"


SHUT = st.tuples(
    st.sampled_from(list(Gate)), st.none() | st.floats(0.0, 200.0), st.floats(0.0, 1.0)
)


@settings(max_examples=80, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.lists(SHUT, max_size=4)), max_size=30))
def test_agrees_with_a_naive_ration(
    asks: list[tuple[float, list[tuple[Gate, float | None, float]]]],
) -> None:
    """Over any run of asks: the time rule, the gate rule and the greatest product, times how long
    each was not asked.
    """
    ration = PanicRation()
    now = 100.0
    used: dict[float, str] = {}
    for wait_s, shut in asks:
        now += wait_s
        views = [
            view("abcd"[index], gate=gate, opens_at=at, reliability=reliability)
            for index, (gate, at, reliability) in enumerate(shut)
        ]
        worth = {
            found.endpoint.id: found.reliability
            * (0.5 if found.opens_at is None else max(0.4, exp(min(0, now - found.opens_at) / 10)))
            * min(
                60.0,
                now
                - max((at for at, name in used.items() if name == found.endpoint.id), default=0.0),
            )
            for found in views
            if found.gate in PASSABLE
        }
        chosen = ration.choose(views, now)
        if any(now - at < 2.0 for at in used) or not worth:
            assert chosen is None
            continue
        assert chosen is not None
        assert worth[chosen.endpoint.id] == pytest.approx(max(worth.values()))
        used[now] = chosen.endpoint.id
