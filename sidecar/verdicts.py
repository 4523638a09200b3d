"""Enumerations of ``domain``: why an endpoint is out, what became of an attempt, who is shed."""

from __future__ import annotations

from enum import Enum


class Gate(Enum):
    """Why an endpoint is not eligible for a call."""

    __hash__ = object.__hash__  # they are keys of what each call looks up

    BREAKER_OPEN = "breaker_open"
    BREAKER_TRIAL_TAKEN = "breaker_trial_taken"
    HOST_OPEN = "host_open"
    EGRESS = "egress_suspect"
    ACCOUNT_RATE = "account_rate"
    ACCOUNT_QUOTA = "account_quota"
    ACCOUNT_AUTH = "account_auth"
    ISOLATED = "isolated"
    GONE = "gone"
    CONCURRENCY = "concurrency"
    THROTTLED = "throttled"
    TRIED = "tried"
    SAME_ACCOUNT = "same_account"
    SAME_HOST = "same_host"
    TOO_SLOW = "too_slow"
    TOO_DEAR = "too_dear"
    PRICE_UNKNOWN = "price_unknown"
    UNSUPPORTED = "unsupported"
    OTHER_SPACE = "other_space"
    CONTEXT_TOO_SMALL = "context_too_small"
    OUTPUT_TOO_SMALL = "output_too_small"
    QUALITY = "quality"
    DRIFT = "drift"
    SILENT = "silent"
    ROLLED_BACK = "rolled_back"
    PROVIDER_SPEND_CAP = "provider_spend_cap"
    ROUTE_SPEND_CAP = "route_spend_cap"


class OutcomeClass(Enum):
    """Verdict on one attempt; what each one moves is the table in ``core/outcome.py``."""

    __hash__ = object.__hash__  # they are keys of what each call looks up

    OK = "OK"
    CONNECT = "CONNECT"
    STALE_CONN = "STALE_CONN"
    HANG = "HANG"
    CALLER_SHORT = "CALLER_SHORT"
    S5 = "S5"
    OVERLOAD = "OVERLOAD"
    RATE = "RATE"
    QUOTA = "QUOTA"
    AUTH = "AUTH"
    GONE = "GONE"
    CALLER = "CALLER"
    CONTEXT = "CONTEXT"
    UNFIT = "UNFIT"
    RESET_MID = "RESET_MID"
    TRUNC = "TRUNC"
    STALL_MID = "STALL_MID"
    ERR_MID = "ERR_MID"
    DEGENERATE = "DEGENERATE"
    CANCEL = "CANCEL"
    OUTRUN = "OUTRUN"
    LOCAL = "LOCAL"


class Capacity(Enum):
    """Whether our own load slows the endpoint: a public API hardly, our own server surely."""

    SHARED = "shared"
    DEDICATED = "dedicated"


class Priority(Enum):
    """Who is shed first: batch."""

    INTERACTIVE = "interactive"
    BATCH = "batch"
