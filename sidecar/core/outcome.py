"""What each outcome class moves: breakers, account, limiter, and where a call may go next.

One table instead of branches all over the engine, so that every class is looked at once and in the
same way. The columns are independent: a 429 blocks the account and leaves the breaker alone, since
a provider that refuses politely is healthy; a connect failure speaks of the host as much as of the
endpoint; a caller's mistake moves nothing.

``Next`` says what may follow while nothing was committed; after the commit there is no failover
whatever it says. Two facts are not in a class and stay with the engine: a CANCEL that came after
the hang budget counts as a HANG of the endpoint, and a probe's evidence weighs ``PROBE_WEIGHT`` of
a call's.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sidecar.domain import OutcomeClass
from sidecar.errors import ConnectFailedError, ProtocolBrokenError, StaleConnectionError
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.errors import AttemptError

PROBE_WEIGHT = 0.5
"""What a probe's answer weighs beside a call's: a few artificial tokens say less of real ones. But
a hard failure of so little counts in full (``engine/health.py``).
"""

HARD_FAIL = 1.0
SOFT_FAIL = 0.5
"""Overload and degenerate answers come from a provider that works, only not well."""


class AccountEffect(Enum):
    """What an outcome does to the credential it used."""

    NONE = "none"
    OK = "ok"
    RATE = "rate"
    QUOTA = "quota"
    AUTH = "auth"


class LimiterEffect(Enum):
    """What an outcome does to the endpoint's concurrency limit."""

    NONE = "none"
    GROW = "grow"
    CUT = "cut"


class Next(Enum):
    """Where an uncommitted call may go after an outcome."""

    NONE = "none"  # answered
    OTHER = "other"
    OTHER_HOST = "other_host"
    OTHER_ACCOUNT = "other_account"
    SAME_FRESH = "same_fresh"  # the same endpoint once, on a new connection, free of charge
    CALLER = "caller"  # the answer is for the caller to read
    STOP = "stop"


class Kind(Enum):
    """The coarse verdict, for estimators: THROTTLED and IGNORED say nothing of reliability."""

    SUCCESS = "success"
    FAILURE = "failure"
    THROTTLED = "throttled"
    IGNORED = "ignored"


@value
class Effects:
    """One row. ``*_fail``: None says nothing, 0.0 is a success, above 0 a failure's weight."""

    endpoint_fail: float | None = None
    host_fail: float | None = None
    account: AccountEffect = AccountEffect.NONE
    limiter: LimiterEffect = LimiterEffect.NONE
    next: Next = Next.OTHER
    kind: Kind = Kind.IGNORED
    is_overload: bool = False


def effects(cls: OutcomeClass, *, status: int | None = None) -> Effects:
    """Return what an outcome of class ``cls`` moves.

    ``status`` is the HTTP status or, for an error event in a stream, the status it stands for: it
    decides whether an S5 also speaks of the host, and which class an ERR_MID is by nature (without
    one: a failure of the endpoint).
    """
    if cls is OutcomeClass.ERR_MID:
        by_nature = _ERR_MID_BY_STATUS.get(status) if status is not None else None
        return _TABLE[by_nature] if by_nature is not None else _TABLE[OutcomeClass.ERR_MID]
    if cls is OutcomeClass.S5 and status in _GATEWAY_STATUSES:
        return _S5_OF_GATEWAY
    return _TABLE[cls]


def class_of(error: AttemptError) -> OutcomeClass:
    """Return the outcome class of a failure below HTTP."""
    match error:
        case ConnectFailedError():
            return OutcomeClass.CONNECT
        case StaleConnectionError():
            return OutcomeClass.STALE_CONN
        case ProtocolBrokenError():
            return OutcomeClass.TRUNC
        case _:
            return OutcomeClass.RESET_MID


_GATEWAY_STATUSES = (502, 503, 504)
"""A load balancer's words for nothing behind it; a plain 500 comes from the model's server."""

_ERR_MID_BY_STATUS = {
    400: OutcomeClass.CALLER,
    401: OutcomeClass.AUTH,
    402: OutcomeClass.QUOTA,
    403: OutcomeClass.AUTH,
    404: OutcomeClass.GONE,
    410: OutcomeClass.GONE,
    413: OutcomeClass.CALLER,
    422: OutcomeClass.CALLER,
    429: OutcomeClass.RATE,
    529: OutcomeClass.OVERLOAD,
}

_HARD = Effects(endpoint_fail=HARD_FAIL, kind=Kind.FAILURE)
_BROKEN = Effects(endpoint_fail=HARD_FAIL, host_fail=0.5, kind=Kind.FAILURE)
_S5_OF_GATEWAY = _BROKEN
_STOP = Effects(next=Next.STOP)

_TABLE = {
    OutcomeClass.OK: Effects(
        endpoint_fail=0.0,
        host_fail=0.0,
        account=AccountEffect.OK,
        limiter=LimiterEffect.GROW,
        next=Next.NONE,
        kind=Kind.SUCCESS,
    ),
    OutcomeClass.CONNECT: Effects(
        endpoint_fail=HARD_FAIL, host_fail=HARD_FAIL, next=Next.OTHER_HOST, kind=Kind.FAILURE
    ),
    OutcomeClass.STALE_CONN: Effects(next=Next.SAME_FRESH),
    OutcomeClass.HANG: Effects(
        endpoint_fail=HARD_FAIL, host_fail=0.5, limiter=LimiterEffect.CUT, kind=Kind.FAILURE
    ),
    OutcomeClass.CALLER_SHORT: _STOP,
    OutcomeClass.S5: _HARD,
    OutcomeClass.OVERLOAD: Effects(
        endpoint_fail=SOFT_FAIL, limiter=LimiterEffect.CUT, kind=Kind.FAILURE, is_overload=True
    ),
    OutcomeClass.RATE: Effects(
        account=AccountEffect.RATE,
        limiter=LimiterEffect.CUT,
        next=Next.OTHER_ACCOUNT,
        kind=Kind.THROTTLED,
    ),
    OutcomeClass.QUOTA: Effects(
        account=AccountEffect.QUOTA, next=Next.OTHER_ACCOUNT, kind=Kind.THROTTLED
    ),
    OutcomeClass.AUTH: Effects(account=AccountEffect.AUTH, next=Next.OTHER_ACCOUNT),
    OutcomeClass.GONE: Effects(),
    OutcomeClass.CALLER: Effects(next=Next.CALLER),
    # Another endpoint may have room or be able; where none is, it is the caller's after all.
    OutcomeClass.CONTEXT: Effects(),
    OutcomeClass.UNFIT: Effects(),
    OutcomeClass.RESET_MID: _BROKEN,
    OutcomeClass.TRUNC: _BROKEN,
    OutcomeClass.STALL_MID: _HARD,
    OutcomeClass.ERR_MID: _HARD,
    OutcomeClass.DEGENERATE: Effects(endpoint_fail=SOFT_FAIL, kind=Kind.FAILURE),
    OutcomeClass.CANCEL: _STOP,
    # Silent until a hedge answered: half a failure, or hedges would hide that it hangs.
    OutcomeClass.OUTRUN: Effects(endpoint_fail=SOFT_FAIL, kind=Kind.FAILURE),
    OutcomeClass.LOCAL: _STOP,
}
