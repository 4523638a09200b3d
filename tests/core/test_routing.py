"""Routing: who may, who first, and that neither chance nor haste breaks the rules."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.routing import CallNeeds, Choice, EndpointView, Router, RoutingSettings
from sidecar.domain import (
    Endpoint,
    EndpointId,
    Gate,
    HostName,
    ModelName,
    Price,
    Priority,
    ProviderName,
    Quality,
    Route,
    RouteName,
    WireFormat,
)
from tests.core.views import healthy_view

if TYPE_CHECKING:
    from collections.abc import Callable

OPENAI, ANTHROPIC = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES


def endpoint(
    name: str, *, wire: WireFormat = OPENAI, context_tokens: int | None = None
) -> Endpoint:
    """Endpoint ``name/m`` at a host of its own."""
    return Endpoint(
        id=EndpointId(f"{name}/m"),
        provider=ProviderName(name),
        model=ModelName("m"),
        upstream_model="m",
        format=wire,
        host=HostName(f"https://{name}.test:443"),
        context_tokens=context_tokens,
        price=Price(input_usd=1.0, output_usd=1.0),
    )


def view(name: str = "a", *, of: Endpoint | None = None, **changes: object) -> EndpointView:
    """A healthy endpoint but for ``changes``."""
    return healthy_view(of or endpoint(name), **changes)


def needs(*tiers: str, **changes: object) -> CallNeeds:
    """A call on a route with one tier a word: ``"ab"`` is endpoints a/m and b/m."""
    route = Route(
        name=RouteName("route"),
        tiers=tuple(tuple(EndpointId(f"{name}/m") for name in tier) for tier in tiers),
    )
    plain = CallNeeds(
        route=route,
        remaining_s=60.0,
        budget_usd=None,
        format=OPENAI,
        untranslatable=(),
        priority=Priority.INTERACTIVE,
        excluded={},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # each test names real fields


def by_id(views: list[EndpointView]) -> Callable[[EndpointId], EndpointView]:
    """Return what looks one of ``views`` up."""
    return {view.endpoint.id: view for view in views}.__getitem__


def choose(views: list[EndpointView], call: CallNeeds, *, seed: int = 1) -> Choice:
    """Ask a router that remembers nothing, at 0.0."""
    return Router().choose(by_id(views), call, 0.0, random.Random(seed))


def order(choice: Choice) -> str:
    """Return the names in rank order, ``"ab"``."""
    return "".join(ranked.endpoint.id[0] for ranked in choice.ranked)


def wins(views: list[EndpointView], call: CallNeeds) -> dict[str, int]:
    """Count first places over 400 routers that remember nothing."""
    counts = {found.endpoint.id[0]: 0 for found in views}
    rng = random.Random(7)
    for _ in range(400):
        counts[order(Router().choose(by_id(views), call, 0.0, rng))[0]] += 1
    return counts


@pytest.mark.parametrize(
    ("changes", "call", "reason"),
    [
        ({"gate": Gate.BREAKER_OPEN}, {}, Gate.BREAKER_OPEN),
        ({}, {"excluded": {EndpointId("a/m"): Gate.TRIED}}, Gate.TRIED),
        (
            {"of": endpoint("a", wire=ANTHROPIC)},
            {"untranslatable": ("logprobs",)},
            Gate.UNSUPPORTED,
        ),
        (
            {"of": endpoint("a", context_tokens=1000)},
            {"prompt_tokens": 950},
            Gate.CONTEXT_TOO_SMALL,
        ),
        ({}, {"budget_usd": 0.0005}, Gate.TOO_DEAR),
        ({"cost_usd": None}, {"budget_usd": 1.0}, Gate.PRICE_UNKNOWN),
        ({"typical_ttft_s": 10.0}, {"remaining_s": 4.9}, Gate.TOO_SLOW),
        ({"usual_chance": 0.005}, {}, Gate.TOO_SLOW),
        ({}, {"remaining_s": 0.0}, Gate.TOO_SLOW),
        ({"gate": Gate.BREAKER_OPEN}, {"budget_usd": 0.0005}, Gate.TOO_DEAR),
        ({"gate": Gate.GONE}, {"excluded": {EndpointId("a/m"): Gate.TRIED}}, Gate.TRIED),
    ],
)
def test_each_reason_rejects(
    changes: dict[str, object], call: dict[str, object], reason: Gate
) -> None:
    """An endpoint that cannot serve is out, with the most lasting of its reasons."""
    found = choose([view("a", **changes)], needs("a", **call))  # type: ignore[arg-type]  # a table
    assert found.ranked == ()
    assert found.tier is None
    assert found.rejected == ((EndpointId("a/m"), reason),)


@pytest.mark.parametrize(
    ("changes", "call"),
    [
        ({"of": endpoint("a", wire=ANTHROPIC)}, {}),
        ({}, {"untranslatable": ("logprobs",)}),
        ({"of": endpoint("a", context_tokens=1000)}, {"prompt_tokens": 900}),
        ({"cost_usd": None}, {}),
        ({}, {"budget_usd": 0.001}),
        ({"typical_ttft_s": 10.0}, {"remaining_s": 5.0}),
        ({"is_sluggish": True, "is_suspect": True, "reliability": 0.01}, {}),
    ],
)
def test_soft_signals_and_met_constraints_do_not_reject(
    changes: dict[str, object], call: dict[str, object]
) -> None:
    """What can serve, however badly, stays eligible when it is all there is."""
    assert order(choose([view("a", **changes)], needs("a", **call))) == "a"  # type: ignore[arg-type]  # a table


def test_better_tier_wins_whatever_the_score() -> None:
    """Within a tier the score decides, between tiers the tier; lower tiers follow in order."""
    views = [view("a", reliability=0.3), view("b"), view("c")]
    found = choose(views, needs("a", "b", "c"))
    assert order(found) == "abc"
    assert found.tier == 0
    views[0] = replace(views[0], gate=Gate.HOST_OPEN)
    found = choose(views, needs("a", "b", "c"))
    assert order(found) == "bc"
    assert found.tier == 1


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ((0.0, 0.1, 1.0, 1.0), "cdab"),
        ((0.6, 0.95, 0.99, 1.0), "bcda"),
        ((0.8, 0.95, 0.99, 1.0), "abcd"),
        ((0.2, 0.3, 0.2, 0.9), "dabc"),
        ((0.2, 0.25, 0.1, 0.2), "abcd"),
        ((0.0, 0.0, 0.0, 0.0), "abcd"),
    ],
)
def test_a_far_worse_chance_to_be_in_time_yields(chances: tuple[float, ...], expected: str) -> None:
    """The order of tiers is a preference, a deadline is not; who is passed over comes last."""
    views = [view(name, chance=chance) for name, chance in zip("abcd", chances, strict=True)]
    found = choose(views, needs("a", "b", "c", "d"))
    assert order(found) == expected
    assert found.tier == "abcd".index(expected[0])


def test_where_nobody_has_a_chance_the_fastest_is_near() -> None:
    """If all are expected late, a better tier is preferred up to twice the fastest's time."""
    views = [view("a", total_s=30.0), view("b", total_s=11.5), view("c", total_s=6.0)]
    views = [replace(each, chance=0.01) for each in views]
    assert order(choose(views, needs("a", "b", "c", remaining_s=5.0))) == "bca"


def test_no_later_tier_is_looked_at_where_the_first_is_good_enough() -> None:
    """What a first choice costs does not grow with the route."""
    looked: list[str] = []
    views = by_id([view("a", chance=0.95), view("b"), view("c"), view("d")])

    def look(name: EndpointId) -> EndpointView:
        looked.append(name[0])
        return views(name)

    call = needs("a", "b", "c", "d")
    Router().choose(look, call, 0.0, random.Random(1), enough=2)
    assert looked == ["a", "b"]


def test_hopeless_even_at_its_best_hour_is_too_slow() -> None:
    """Who is late now, but usually not, may be asked; who always is may not."""
    slow = view("a", chance=0.001)
    assert order(choose([slow], needs("a"))) == "a"
    found = choose([replace(slow, usual_chance=0.005)], needs("a"))
    assert found.rejected == ((EndpointId("a/m"), Gate.TOO_SLOW),)


# --- wishes --------------------------------------------------------------------------------------


def good(name: str, quality: float, **changes: object) -> EndpointView:
    """A healthy endpoint of this quality."""
    return view(name, of=replace(endpoint(name), quality=Quality(default=quality)), **changes)


def test_a_wish_for_a_first_token_moves_calls_among_equals_only() -> None:
    """A later tier that is as good takes over, a lesser model does not, however fast it is."""
    slow = good("a", 0.9, first_chance=0.1)
    assert order(choose([slow, good("b", 0.9)], needs("a", "b"))) == "ba"
    assert order(choose([slow, good("b", 0.87)], needs("a", "b"))) == "ba", "of one class"
    assert order(choose([slow, good("b", 0.6)], needs("a", "b"))) == "ab"
    near = replace(slow, first_chance=0.8)
    assert order(choose([near, good("b", 0.9)], needs("a", "b"))) == "ab", "hardly worse"
    late = good("b", 0.9, chance=0.5)
    assert order(choose([slow, late], needs("a", "b"))) == "ab", "a deadline goes before a wish"


def test_a_wish_for_quality_orders_the_tiers() -> None:
    """Those that have it come first, by tiers, then the others by tiers: nobody is lost."""
    views = [good("a", 0.5), good("b", 0.9), good("c", 0.7), good("d", 0.95)]
    assert order(choose(views, needs("a", "b", "c", "d", quality=0.8))) == "bdac"
    assert order(choose(views, needs("a", "b", "c", "d", quality=0.99))) == "abcd"
    assert order(choose(views, needs("a", "b", "c", "d"))) == "abcd"
    for seed in range(9):
        assert order(choose(views, needs("abcd", quality=0.92), seed=seed))[0] == "d"


def test_a_deadline_goes_before_a_wish_for_quality() -> None:
    """A model as good as wished for that would come too late helps nobody."""
    views = [good("a", 0.9, chance=0.2), good("b", 0.6)]
    assert order(choose(views, needs("a", "b", quality=0.8))) == "ba"


def test_rest_of_the_tier_follows_by_weight() -> None:
    """After the winner the best remaining one comes next."""
    views = [view("a", total_s=9.0), view("b", total_s=6.0), view("c", total_s=3.0)]
    for seed in range(20):
        found = order(choose(views, needs("abc"), seed=seed))
        assert found[1:] == "".join(sorted(found[1:], reverse=True))


def test_equal_endpoints_share_the_traffic() -> None:
    """A fleet with the same data must not run to one endpoint."""
    counts = wins([view("a"), view("b")], needs("ab"))
    assert 150 < counts["a"] < 250


@pytest.mark.parametrize(
    "worse",
    [
        {"total_s": 6.0},
        {"reliability": 0.7},
        {"availability": 0.7},
        {"cost_usd": 0.03},
        {"penalty_s": 5.0},
        {"utilisation": 1.0},
        {"slow_start": 0.2},
        {"is_sluggish": True, "total_s": 6.0},
        {"chance": 0.8},
        {"first_chance": 0.8},
    ],
)
def test_worse_in_one_respect_wins_less(worse: dict[str, object]) -> None:
    """Time, reliability, rate limits, price, penalty, load and recovery all move traffic."""
    counts = wins([view("a"), view("b", **worse)], needs("ab"))  # type: ignore[arg-type]  # a table
    assert counts["b"] < 0.6 * counts["a"]


def test_rounding_in_the_draw_ends_at_the_heaviest() -> None:
    """Should the sum of weights not reach the drawn number, the best endpoint is the answer."""

    class Highest(random.Random):
        """Draws past the end of the range."""

        def random(self) -> float:
            """Return a number so high that no weight is left for it."""
            return 1.1

    views = [view("a"), view("b", total_s=9.0)]
    assert order(Router().choose(by_id(views), needs("ab"), 0.0, Highest())) == "ab"


def test_batch_watches_the_bill_where_interactive_does_not() -> None:
    """Dear and fast for people, cheap and slow for machines."""
    views = [view("a", total_s=2.0, cost_usd=0.01), view("b", total_s=7.0, cost_usd=0.001)]
    assert wins(views, needs("ab"))["a"] > 350
    assert wins(views, needs("ab", priority=Priority.BATCH))["b"] > 350


def test_previous_choice_is_kept_while_nearly_best() -> None:
    """Caches at the provider stay warm: no hopping between equals, but no loyalty to the worse."""
    router, rng = Router(), random.Random(3)
    views = [view("a"), view("b")]
    first = order(router.choose(by_id(views), needs("ab"), 0.0, rng))[0]
    for _ in range(50):
        assert order(router.choose(by_id(views), needs("ab"), 0.0, rng))[0] == first
    worse = [
        replace(each, total_s=60.0) if each.endpoint.id[0] == first else each for each in views
    ]
    assert order(router.choose(by_id(worse), needs("ab"), 0.0, rng))[0] != first


@pytest.mark.parametrize("change", [{"is_suspect": True}, {"slow_start": 0.5}])
def test_previous_choice_is_not_kept_when_in_doubt(change: dict[str, object]) -> None:
    """Affinity ends with suspicion, and does not defeat the slow start."""
    router, rng = Router(), random.Random(3)
    router.choose(by_id([view("a"), view("b", gate=Gate.GONE)]), needs("ab"), 0.0, rng)
    views = [view("a", **change), view("b")]  # type: ignore[arg-type]  # a table
    seen = {order(router.choose(by_id(views), needs("ab"), 0.0, rng))[0] for _ in range(30)}
    assert "b" in seen


def test_failover_does_not_change_the_preference() -> None:
    """A choice made with endpoints excluded is forgotten."""
    router, rng = Router(), random.Random(3)
    views = [view("a"), view("b")]
    first = order(router.choose(by_id(views), needs("ab"), 0.0, rng))[0]
    tried = {EndpointId(f"{first}/m"): Gate.TRIED}
    router.choose(by_id(views), needs("ab", excluded=tried), 0.0, rng)
    assert order(router.choose(by_id(views), needs("ab"), 0.0, rng))[0] == first


def test_memory_is_bounded() -> None:
    """The oldest route is forgotten first."""
    router, rng = Router(RoutingSettings(memory_max=2)), random.Random(3)
    for name in ("one", "two", "three"):
        call = needs("a")
        router.choose(
            by_id([view("a")]),
            replace(call, route=replace(call.route, name=RouteName(name))),
            0.0,
            rng,
        )
    assert list(router._previous) == ["two", "three"]


def test_reports_when_gates_open() -> None:
    """The soonest reopening among shut gates, and among rate blocks; never one already past."""
    views = [
        view("a", gate=Gate.BREAKER_OPEN, opens_at=5.0),
        view("b", gate=Gate.ACCOUNT_RATE, opens_at=9.0),
        view("c", gate=Gate.ACCOUNT_RATE, opens_at=-1.0),
        view("d", gate=Gate.HOST_OPEN, opens_at=2.0, cost_usd=99.0),
    ]
    found = choose(views, needs("abcd", budget_usd=1.0))
    assert found.soonest_opens_at == 5.0
    assert found.rate_opens_at == 9.0


any_view = st.fixed_dictionaries(
    {
        "gate": st.sampled_from([None, None, None, Gate.BREAKER_OPEN, Gate.ACCOUNT_RATE]),
        "total_s": st.floats(0.1, 100.0),
        "typical_ttft_s": st.floats(0.01, 50.0),
        "reliability": st.floats(0.01, 0.99),
        "slow_start": st.floats(0.1, 1.0),
        "is_sluggish": st.booleans(),
        "cost_usd": st.none() | st.floats(0.0, 1.0),
        "chance": st.floats(0.0, 1.0),
        "first_chance": st.floats(0.0, 1.0),
        "usual_chance": st.sampled_from([0.0, 0.5, 1.0]),
    }
)
any_call = st.fixed_dictionaries(
    {
        "remaining_s": st.floats(0.0, 120.0),
        "budget_usd": st.none() | st.floats(0.0, 1.0),
        "priority": st.sampled_from(Priority),
        "quality": st.sampled_from([0.0, 0.4, 0.9]),
    }
)
any_tiers = st.sampled_from([("abcd",), ("ab", "cd"), ("a", "bc", "d"), ("a", "b", "c", "d")])


@settings(max_examples=80, derandomize=True)
@given(st.lists(any_view, min_size=4, max_size=4), any_call, any_tiers, st.integers(0, 99))
def test_ranked_and_rejected_partition_the_route_and_repeat(
    changes: list[dict[str, object]], call: dict[str, object], tiers: tuple[str, ...], seed: int
) -> None:
    """Each endpoint is ranked or rejected, once; same inputs and seed, same choice."""
    views = [view(name, **each) for name, each in zip("abcd", changes, strict=True)]  # type: ignore[arg-type]  # a table
    found = choose(views, needs(*tiers, **call), seed=seed)
    names = [each.endpoint.id for each in found.ranked] + [name for name, _ in found.rejected]
    assert sorted(names) == ["a/m", "b/m", "c/m", "d/m"]
    assert (found.tier is None) == (found.ranked == ())
    assert choose(views, needs(*tiers, **call), seed=seed) == found


@settings(max_examples=80, derandomize=True)
@given(
    st.lists(any_view, min_size=4, max_size=4),
    any_call,
    any_tiers,
    st.floats(0.0, 1.0),
    st.sets(st.sampled_from("abcd")),
)
def test_more_constraints_never_widen_the_choice(
    changes: list[dict[str, object]],
    call: dict[str, object],
    tiers: tuple[str, ...],
    share: float,
    excluded: set[str],
) -> None:
    """Less time, less money or more exclusions only ever take endpoints away."""
    views = [view(name, **each) for name, each in zip("abcd", changes, strict=True)]  # type: ignore[arg-type]  # a table
    loose = needs(*tiers, **call)
    tight = replace(
        loose,
        remaining_s=loose.remaining_s * share,
        budget_usd=share if loose.budget_usd is None else loose.budget_usd * share,
        excluded={EndpointId(f"{name}/m"): Gate.TRIED for name in sorted(excluded)},
    )
    assert set(order(choose(views, tight))) <= set(order(choose(views, loose)))
