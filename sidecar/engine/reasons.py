"""Why an endpoint is out, in words for an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import Gate

if TYPE_CHECKING:
    from collections.abc import Mapping

SAID: Mapping[Gate, str] = {
    Gate.BREAKER_OPEN: "its breaker is open",
    Gate.BREAKER_TRIAL_TAKEN: "its breaker is on trial with another call",
    Gate.HOST_OPEN: "its host cannot be reached",
    Gate.EGRESS: "this pod seems to have lost its network",
    Gate.ACCOUNT_RATE: "its account is at its rate limit",
    Gate.ACCOUNT_QUOTA: "its account has used up its quota",
    Gate.ACCOUNT_AUTH: "its account's credential is refused",
    Gate.ISOLATED: "an operator took it out",
    Gate.GONE: "the provider does not know this model",
    Gate.CONCURRENCY: "it is full",
    Gate.THROTTLED: "it is spared, since it refuses many calls",
    Gate.TRIED: "this call has tried it",
    Gate.SAME_ACCOUNT: "its account just refused this call",
    Gate.SAME_HOST: "its host just failed this call",
    Gate.TOO_SLOW: "even its first token would come after the deadline",
    Gate.TOO_DEAR: "it would cost more than the budget",
    Gate.PRICE_UNKNOWN: "its price is unknown, and the call has a budget",
    Gate.UNSUPPORTED: "it cannot do what the call asks for",
    Gate.OTHER_SPACE: "its vectors are of another space",
    Gate.CONTEXT_TOO_SMALL: "the prompt is too long for it",
    Gate.OUTPUT_TOO_SMALL: "it cannot write as long an answer",
    Gate.QUALITY: "its quality is below what the call insists on",
    Gate.DRIFT: "it refuses what other endpoints accept",
    Gate.SILENT: "it has fallen silent",
    Gate.ROLLED_BACK: "it was on trial and is worse than the model that it may replace",
    Gate.PROVIDER_SPEND_CAP: "its provider's daily spend cap has no room for the call",
    Gate.ROUTE_SPEND_CAP: "the route's daily spend cap has no room for it",
}
