"""What is advised on which evidence, and what is not."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.quality import Posterior
from sidecar.domain import EndpointId, RouteName
from sidecar.quality.advice import advise, moved_first
from sidecar.quality.seen import ModelSeen, RouteSeen

BIG, SMALL = EndpointId("openai/gpt-4o"), EndpointId("cluster/small")
NOTHING = Posterior(alpha=1.0, beta=1.0, n=0.0)


def belief(mean: float, n: float) -> Posterior:
    """Return a belief from ``n`` scores."""
    return Posterior(alpha=1.0 + mean * n, beta=1.0 + (1.0 - mean) * n, n=n)


def model(endpoint: EndpointId, quality: Posterior, cost_usd: float | None = 0.01) -> ModelSeen:
    """Return a model that answers all its thousand attempts within two seconds."""
    return ModelSeen(
        endpoint=endpoint,
        belief=quality,
        drawn=NOTHING,
        configured=0.8,
        faults=0.0,
        answers=1000,
        failures=0,
        calls_per_day=1000.0,
        p50_s=1.0,
        p95_s=2.0,
        cost_usd=cost_usd,
        is_guessed=False,
    )


FIRST = model(BIG, belief(0.9, 5000.0))
SAME = model(SMALL, belief(0.9, 5000.0), cost_usd=0.0004)


def advised(first: ModelSeen, other: ModelSeen, **more: Any) -> dict[str, Any]:
    """Return the advice about a route with these two."""
    seen = RouteSeen(
        route=RouteName("classify"),
        tiers=((first.endpoint,), (other.endpoint,)),
        within_s=10.0,
        models=(first, other),
        grade_usd=None,
    )
    advice: dict[str, Any] = advise([replace(seen, **more)])
    json.dumps(advice, allow_nan=False)
    return dict(advice["routes"][0])


def kinds(route: dict[str, Any]) -> list[str]:
    """Return which changes are advised."""
    return [change["kind"] for change in route["changes"]]


def test_the_same_for_less_is_moved_first() -> None:
    """With the figures in the sentence: difference, interval, evidence, cost, savings."""
    (change,) = advised(FIRST, SAME)["changes"]
    assert change["tiers"] == [["small"], ["gpt-4o"]]
    assert change["saves_usd_per_day"] == pytest.approx(9.6)
    assert change["text"] == (
        "classify: `small` is within 0.01 of `gpt-4o` (95 % interval -0.01 to +0.01, n = 10000)"
        " at 4% of the cost, p95 2.00 s instead of 2.00 s: move it first; saves $9.60/day."
        " more than 99.9% sure, from calls as they came."
    )
    assert change["sure"] > 0.99


FASTER = replace(SAME, cost_usd=0.01, p95_s=1.0)
BETTER = replace(SAME, cost_usd=0.02, belief=belief(0.96, 5000.0))


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (FASTER, ["faster"]),
        (BETTER, ["better"]),
        (replace(SAME, cost_usd=0.0095), []),  # a twentieth is no gain
        (replace(SAME, cost_usd=None), []),  # nobody knows what it costs
        (replace(SAME, belief=belief(0.9, 25.0)), []),  # too few scores
        (replace(SAME, belief=belief(0.85, 5000.0)), []),  # worse
        (replace(SAME, failures=100), []),  # a tenth of its attempts failed
        (replace(SAME, p95_s=11.0), []),  # too slow for the route
        (replace(SAME, answers=0, p95_s=None, p50_s=None), []),  # never seen here
        (replace(FASTER, cost_usd=0.011), []),  # faster for more money
    ],
)
def test_what_is_advised(other: ModelSeen, kind: list[str]) -> None:
    """A change needs a gain, enough evidence, and no loss elsewhere."""
    assert kinds(advised(FIRST, other)) == kind


def test_a_first_model_with_few_scores_is_no_yardstick() -> None:
    """Both sides of a comparison need evidence."""
    assert kinds(advised(replace(FIRST, belief=belief(0.9, 5.0)), SAME)) == []


def test_drawn_calls_are_preferred() -> None:
    """Where both were drawn often enough, what else was seen does not count."""
    misled = replace(SAME, belief=belief(0.5, 5000.0), drawn=belief(0.9, 4000.0))
    route = advised(replace(FIRST, drawn=belief(0.9, 4000.0)), misled)
    assert [change["basis"] for change in route["changes"]] == ["chance"]
    assert "from calls drawn by chance" in route["changes"][0]["text"]
    assert kinds(advised(FIRST, misled)) == [], "one side alone was drawn"


def test_what_is_missing_has_a_price() -> None:
    """How many scores, of whom, and what the answers to be scored cost."""
    unknown = replace(SAME, belief=belief(0.9, 40.0))
    route = advised(replace(FIRST, belief=belief(0.9, 6000.0)), unknown, grade_usd=0.001)
    assert route["changes"] == []
    (lacks,) = route["missing"]
    own, first = lacks["scores_needed"]["small"], lacks["scores_needed"]["gpt-4o"]
    assert (own > 500, first) == (True, 0)
    assert lacks["cost_usd"] == pytest.approx(own * (0.0004 + 2 * 0.001), rel=1e-3)
    assert lacks["text"].startswith(
        "classify: whether `small` is as good as `gpt-4o`, which would save $9.60/day, needs about"
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(SAME, belief=belief(0.5, 400.0)),  # hopeless
        replace(
            SAME, cost_usd=0.02, configured=0.6, belief=NOTHING
        ),  # dear and not said to be good
    ],
)
def test_what_promises_nothing_is_not_looked_for(other: ModelSeen) -> None:
    """Nobody is asked to pay for finding out what would not help."""
    assert advised(FIRST, other)["missing"] == []


def test_one_change_a_route_the_best() -> None:
    """Two models that would do: the one that saves more is advised, the other is named."""
    third = replace(SAME, endpoint=EndpointId("a/tiny"), cost_usd=0.0001)
    seen = RouteSeen(
        route=RouteName("classify"),
        tiers=((BIG, SMALL), (third.endpoint,)),
        within_s=math.inf,
        models=(FIRST, SAME, third),
        grade_usd=None,
    )
    advice: dict[str, Any] = advise([seen])
    assert [one["model"] for one in advice["changes"]] == ["tiny"]
    assert advice["changes"][0]["tiers"] == [["tiny"], ["gpt-4o", "small"]]
    assert [one["model"] for one in advice["routes"][0]["alternatives"]] == ["small"]


def test_a_peer_of_the_first_tier_comes_alone() -> None:
    """Whoever is moved first leaves its tier; no tier stays empty."""
    assert moved_first(((BIG, SMALL),), SMALL) == ((SMALL,), (BIG,))
    assert moved_first(((BIG,), (SMALL,)), SMALL) == ((SMALL,), (BIG,))


def test_nothing_called_nothing_said() -> None:
    """A new sidecar has no advice, and says so by saying nothing."""
    never = replace(SAME, answers=0, belief=NOTHING, cost_usd=None, p50_s=None, p95_s=None)
    route = advised(replace(never, endpoint=BIG), never)
    assert (route["changes"], route["calls_per_day"]) == ([], 2000.0)
    assert route["models"][0]["quality"] == {
        "mean": 0.8,
        "low": None,
        "high": None,
        "n": 0.0,
        "n_chance": 0.0,
        "configured": 0.8,
        "faults": 0.0,
    }
    assert advise([])["changes"] == []
