"""The table of effects."""

from __future__ import annotations

import pytest

from sidecar.core.outcome import AccountEffect, Kind, LimiterEffect, Next, effects
from sidecar.domain import OutcomeClass as Cls


@pytest.mark.parametrize(
    ("cls", "endpoint_fail", "host_fail", "following"),
    [
        (Cls.OK, 0.0, 0.0, Next.NONE),
        (Cls.CONNECT, 1.0, 1.0, Next.OTHER_HOST),
        (Cls.STALE_CONN, None, None, Next.SAME_FRESH),
        (Cls.HANG, 1.0, 0.5, Next.OTHER),
        (Cls.CALLER_SHORT, None, None, Next.STOP),
        (Cls.S5, 1.0, None, Next.OTHER),
        (Cls.OVERLOAD, 0.5, None, Next.OTHER),
        (Cls.RATE, None, None, Next.OTHER_ACCOUNT),
        (Cls.QUOTA, None, None, Next.OTHER_ACCOUNT),
        (Cls.AUTH, None, None, Next.OTHER_ACCOUNT),
        (Cls.GONE, None, None, Next.OTHER),
        (Cls.CALLER, None, None, Next.CALLER),
        (Cls.CONTEXT, None, None, Next.OTHER),
        (Cls.UNFIT, None, None, Next.OTHER),
        (Cls.RESET_MID, 1.0, 0.5, Next.OTHER),
        (Cls.TRUNC, 1.0, 0.5, Next.OTHER),
        (Cls.STALL_MID, 1.0, None, Next.OTHER),
        (Cls.ERR_MID, 1.0, None, Next.OTHER),
        (Cls.DEGENERATE, 0.5, None, Next.OTHER),
        (Cls.CANCEL, None, None, Next.STOP),
        (Cls.LOCAL, None, None, Next.STOP),
    ],
)
def test_breakers_and_next(
    cls: Cls, endpoint_fail: float | None, host_fail: float | None, following: Next
) -> None:
    """Each class moves the endpoint's and the host's breaker, and the call, as the table says."""
    row = effects(cls)
    assert (row.endpoint_fail, row.host_fail, row.next) == (endpoint_fail, host_fail, following)


@pytest.mark.parametrize("cls", list(Cls))
def test_kind_agrees_with_the_breaker(cls: Cls) -> None:
    """A class that fails the endpoint is a FAILURE, one that succeeds a SUCCESS, others neither."""
    row = effects(cls)
    if row.endpoint_fail is None:
        assert row.kind in (Kind.THROTTLED, Kind.IGNORED)
    else:
        assert row.kind is (Kind.SUCCESS if row.endpoint_fail == 0.0 else Kind.FAILURE)


def test_accounts() -> None:
    """Only what a provider says of the credential touches the account."""
    touched = {cls: effects(cls).account for cls in Cls}
    told = {cls: effect for cls, effect in touched.items() if effect is not AccountEffect.NONE}
    assert told == {
        Cls.OK: AccountEffect.OK,
        Cls.RATE: AccountEffect.RATE,
        Cls.QUOTA: AccountEffect.QUOTA,
        Cls.AUTH: AccountEffect.AUTH,
    }


def test_limiter() -> None:
    """The concurrency limit grows on success and is cut by hangs, overload and 429 alone."""
    cut = [cls for cls in Cls if effects(cls).limiter is LimiterEffect.CUT]
    assert cut == [Cls.HANG, Cls.OVERLOAD, Cls.RATE]
    assert [cls for cls in Cls if effects(cls).limiter is LimiterEffect.GROW] == [Cls.OK]
    assert [cls for cls in Cls if effects(cls).is_overload] == [Cls.OVERLOAD]


@pytest.mark.parametrize(
    ("status", "host_fail"), [(500, None), (502, 0.5), (503, 0.5), (504, 0.5), (520, None)]
)
def test_gateway_statuses_speak_of_the_host(status: int, host_fail: float | None) -> None:
    """An S5 is half a failure of the host only where a gateway says that it has no server."""
    row = effects(Cls.S5, status=status)
    assert (row.endpoint_fail, row.host_fail) == (1.0, host_fail)


@pytest.mark.parametrize(
    ("status", "nature"),
    [
        (529, Cls.OVERLOAD),
        (429, Cls.RATE),
        (402, Cls.QUOTA),
        (401, Cls.AUTH),
        (400, Cls.CALLER),
        (404, Cls.GONE),
    ],
)
def test_error_in_a_stream_is_judged_by_its_type(status: int, nature: Cls) -> None:
    """An error event moves what the same error would move as a status."""
    assert effects(Cls.ERR_MID, status=status) == effects(nature)


def test_error_in_a_stream_of_unknown_type_is_a_failure() -> None:
    """An error event that says nothing known, or a 500, is a failure of the endpoint."""
    assert effects(Cls.ERR_MID, status=500) == effects(Cls.ERR_MID)
    assert effects(Cls.ERR_MID).endpoint_fail == 1.0
