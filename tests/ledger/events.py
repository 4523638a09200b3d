"""Events as the engine would tell them, for tests of the ledger."""

from __future__ import annotations

from sidecar.domain import CallId, EndpointId, Outcome, OutcomeClass, ProviderName, RouteName, Usage
from sidecar.events import AttemptFinished, CallFinished, PassageFinished, ProbeFinished

BIG, SMALL = EndpointId("a/big"), EndpointId("b/small")


def outcome(
    endpoint: EndpointId = BIG,
    cls: OutcomeClass = OutcomeClass.OK,
    *,
    at: float = 10.0,
    cost_usd: float = 0.25,
    is_estimated: bool = False,
) -> Outcome:
    """Return the end of an attempt that took two seconds and 100 and 20 tokens."""
    usage = Usage(
        input_tokens=100,
        output_tokens=20,
        cached_tokens=60,
        cache_write_tokens=5,
        reasoning_tokens=7,
        is_estimated=is_estimated,
    )
    return Outcome(
        cls=cls,
        endpoint=endpoint,
        message="what the provider said",
        started_at=at - 2.0,
        ended_at=at,
        first_content_at=at - 1.5,
        status=200,
        usage=usage,
        cost_usd=cost_usd,
    )


def attempt(
    call: str, ended: Outcome, *, route: str = "reason", kind: str = "first"
) -> AttemptFinished:
    """Return an attempt of ``call``."""
    return AttemptFinished(
        at=ended.ended_at, call_id=CallId(call), route=RouteName(route), kind=kind, outcome=ended
    )


def call(
    name: str,
    *attempts: Outcome,
    route: str = "reason",
    result: str = "ok",
    endpoint: EndpointId | None = BIG,
    at: float = 10.0,
) -> CallFinished:
    """Return the end of a call that took three seconds."""
    return CallFinished(
        at=at,
        call_id=CallId(name),
        route=RouteName(route),
        result=result,
        endpoint=endpoint,
        duration_s=3.0,
        cost_usd=sum(one.cost_usd for one in attempts),
        attempts=attempts,
    )


def probe(ended: Outcome, *, cost_usd: float) -> ProbeFinished:
    """Return a paid look at an idle endpoint."""
    return ProbeFinished(
        at=ended.ended_at,
        endpoint=ended.endpoint,
        kind="paid",
        why="idle",
        outcome=ended,
        cost_usd=cost_usd,
    )


def passage(name: str, status: int | None, *attempts: Outcome, at: float = 10.0) -> PassageFinished:
    """Return a request that was passed on to provider ``a``."""
    return PassageFinished(
        at=at,
        call_id=CallId(name),
        provider=ProviderName("a"),
        method="POST",
        status=status,
        duration_s=1.0,
        attempts=attempts,
    )
