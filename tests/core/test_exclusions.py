"""Exclusions: nobody twice, and not where the same fault waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core.attempts import AttemptRecord
from sidecar.core.exclusions import exclusions
from sidecar.domain import (
    Endpoint,
    EndpointId,
    Gate,
    HostName,
    ModelName,
    Outcome,
    OutcomeClass,
    ProviderName,
    WireFormat,
)


def endpoint(name: str, provider: str, host: str) -> Endpoint:
    """An endpoint of an account at a host."""
    return Endpoint(
        id=EndpointId(name),
        provider=ProviderName(provider),
        model=ModelName(name),
        upstream_model=name,
        format=WireFormat.OPENAI_CHAT,
        host=HostName(host),
    )


TRIED = endpoint("tried", "account", "host")
SISTER = endpoint("sister", "account", "host")
NEIGHBOUR = endpoint("neighbour", "other account", "host")
ABROAD = endpoint("abroad", "account", "other host")
STRANGER = endpoint("stranger", "other account", "other host")
ALL = (TRIED, SISTER, NEIGHBOUR, ABROAD, STRANGER)


def after(cls: OutcomeClass) -> dict[str, Gate]:
    """Return the exclusions after one outcome."""
    outcome = Outcome(cls=cls, endpoint=TRIED.id, message="", started_at=0.0, ended_at=1.0)
    record = AttemptRecord(endpoint=TRIED, outcome=outcome, is_transparent=False)
    return {str(name): gate for name, gate in exclusions([record], ALL).items()}


def test_nothing_is_excluded_at_first() -> None:
    """A call that tried nothing may ask anyone."""
    assert exclusions([], ALL) == {}


@pytest.mark.parametrize("cls", [OutcomeClass.S5, OutcomeClass.HANG, OutcomeClass.GONE])
def test_failure_of_the_endpoint_excludes_it_alone(cls: OutcomeClass) -> None:
    """Another model of the same account and host may well answer."""
    assert after(cls) == {"tried": Gate.TRIED}


def test_connect_failure_excludes_the_host() -> None:
    """What is down for one endpoint of a host is down for all."""
    assert after(OutcomeClass.CONNECT) == {
        "tried": Gate.TRIED,
        "sister": Gate.SAME_HOST,
        "neighbour": Gate.SAME_HOST,
    }


@pytest.mark.parametrize("cls", [OutcomeClass.RATE, OutcomeClass.QUOTA, OutcomeClass.AUTH])
def test_refused_credential_excludes_the_account(cls: OutcomeClass) -> None:
    """Endpoints of one account share the limit that was hit, whatever their host."""
    assert after(cls) == {
        "tried": Gate.TRIED,
        "sister": Gate.SAME_ACCOUNT,
        "abroad": Gate.SAME_ACCOUNT,
    }


@pytest.mark.parametrize(
    ("status", "size", "expected"),
    [(400, 1000, {"b"}), (400, None, set()), (429, 1000, set()), (413, 1000, set())],
)
def test_overflow_excludes_who_has_no_more_room(
    status: int, size: int | None, expected: set[str]
) -> None:
    """Who is known to take no more than the one that refused; an account's limit says nothing."""
    first, same, unknown, more = (
        replace(endpoint(name, name, name), context_tokens=tokens)
        for name, tokens in (("a", size), ("b", 1000), ("c", None), ("d", 1001))
    )
    outcome = Outcome(
        cls=OutcomeClass.CONTEXT,
        endpoint=first.id,
        message="",
        started_at=0.0,
        ended_at=1.0,
        status=status,
    )
    record = AttemptRecord(endpoint=first, outcome=outcome, is_transparent=False)
    found = exclusions([record], (same, unknown, more))
    assert found == dict.fromkeys(expected, Gate.CONTEXT_TOO_SMALL)
