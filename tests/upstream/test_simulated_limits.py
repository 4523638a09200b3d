"""What a simulated provider grants: a window that slides, a crowd that slows, a cold return."""

from __future__ import annotations

import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.simulated import SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_exchange import Ended, SimulatedRequest, Wait
from sidecar.upstream.simulated_limits import SimulatedLimits

BODY = b'{"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}'


def provider(limits: SimulatedLimits) -> SimulatedProvider:
    """Return a provider whose answer takes one second."""
    model = SimulatedModel(ttft_s=1.0, itl_s=0.0)
    return SimulatedProvider("alpha", WireFormat.OPENAI_CHAT, {"sim": model}, limits=limits)


def wait_s(alpha: SimulatedProvider, at_s: float) -> float:
    """Return how long an answer asked for at ``at_s`` takes; it stays under way."""
    plan = alpha.plan(SimulatedRequest(path="/v1/chat/completions", body=BODY, at_s=at_s))
    return sum(step.seconds for step in plan.steps if isinstance(step, Wait))


def statuses(alpha: SimulatedProvider, *instants: float) -> list[int | None]:
    """Return what requests at ``instants`` are told."""
    requests = (
        SimulatedRequest(path="/v1/chat/completions", body=BODY, at_s=at_s) for at_s in instants
    )
    return [alpha.plan(request).entry.status for request in requests]


def test_window_of_requests_has_the_stated_length() -> None:
    """A window of two seconds forgets what was granted two seconds ago."""
    alpha = provider(SimulatedLimits(requests_per_minute=1, rate_window_s=2.0))
    assert statuses(alpha, 0.0, 1.9, 2.0) == [200, 429, 200]


def test_a_crowd_slows_those_who_come() -> None:
    """Up to so many at once at full speed; twice as many take twice as long, until some leave."""
    alpha = provider(SimulatedLimits(swift_at_once=2))
    assert [wait_s(alpha, 0.0) for _ in range(4)] == pytest.approx([1.0, 1.0, 1.5, 2.0])
    for entry in alpha.log[:3]:
        alpha.settle(entry, Ended.COMPLETE, 1.0)
    assert wait_s(alpha, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("at_s", "taken_s"), [(9.0, 1.0), (10.0, 5.0), (20.0, 5 / 3), (30.0, 1.0)])
def test_capacity_grows_after_a_cold_return(at_s: float, taken_s: float) -> None:
    """From a fifth of it at the return to all, evenly; before the return all is there."""
    alpha = provider(SimulatedLimits(swift_at_once=1, cold_s=20.0, cold_share=0.2))
    alpha.chill(10.0)
    assert wait_s(alpha, at_s) == pytest.approx(taken_s)


def test_cold_provider_refuses_earlier() -> None:
    """The bound on requests at once shrinks and grows with the capacity."""
    alpha = provider(SimulatedLimits(requests_at_once=10, cold_s=20.0, cold_share=0.2))
    alpha.chill(0.0)
    assert statuses(alpha, 0.0, 0.0, 0.0, 20.0) == [200, 200, 503, 200]
