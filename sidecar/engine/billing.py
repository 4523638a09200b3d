"""What a provider bills for an attempt that ended without telling its usage: an estimate.

Attempts that were cut are often billed in full (losers of a race foremost), so who is silent is
taken to have worked. Some providers go on writing, and billing, when nobody listens any more: their
cut answers cost what the whole answer was expected to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import OutcomeClass

if TYPE_CHECKING:
    from sidecar.core.metering import TokenMeter
    from sidecar.domain import Usage
    from sidecar.engine.ports import UpstreamResponse
    from sidecar.engine.settlement import AttemptPlan, Settlement
    from sidecar.engine.tally import Tally

HTTP_OK = 200
IN_SILENCE = (
    OutcomeClass.CANCEL,
    OutcomeClass.OUTRUN,
    OutcomeClass.CALLER_SHORT,
    OutcomeClass.HANG,
)
"""Verdicts on requests that were read and not refused."""

CUT_BY_US = (OutcomeClass.CANCEL, OutcomeClass.OUTRUN, OutcomeClass.CALLER_SHORT)


def billed(
    settlement: Settlement, response: UpstreamResponse | None, tally: Tally, cls: OutcomeClass
) -> Usage | None:
    """Return the estimated usage of an attempt that ends now as ``cls``, None if it was free.

    After a head with 200 the provider worked: ``tally`` has what came of it. Before a head, who is
    cut off has been read and has written as long as we waited beyond the usual first token.
    """
    plan = settlement.plan
    if response is not None:
        return settlement.usage_of(tally) if response.status == HTTP_OK else None
    if plan.ticket.sent_at is None or cls not in IN_SILENCE:
        return None
    return settlement.meter.usage(
        prompt_tokens=plan.call.facts.prompt_tokens,
        output_tokens=_written(plan, settlement.meter, cls),
    )


def _written(plan: AttemptPlan, meter: TokenMeter, cls: OutcomeClass) -> float:
    """Return the tokens written for an answer of which nothing was seen.

    A stream would have shown them, but for what it thinks first. Who lost a race was late: it may
    have written all the while, somewhere in between, and is taken to have.
    """
    view, sent_at = plan.prospect.start.view, plan.ticket.sent_at
    if cls is OutcomeClass.HANG or sent_at is None:
        return 0.0
    waited_s, hidden = loop_now() - sent_at, meter.hidden_tokens
    first_s = 0.0 if cls is OutcomeClass.OUTRUN else view.ttft_s
    if waited_s <= first_s:
        return hidden * waited_s / first_s
    if view.itl_s <= 0 or (plan.call.facts.is_stream and cls is not OutcomeClass.OUTRUN):
        return hidden
    return hidden + min(view.output_tokens, (waited_s - first_s) / view.itl_s)


def in_full(plan: AttemptPlan, usage: Usage, cls: OutcomeClass) -> Usage:
    """Return ``usage`` as billed: of an answer that we cut off, the rest too where it is written
    all the same.
    """
    if not (plan.ticket.endpoint.bills_cut_answers and usage.is_estimated and cls in CUT_BY_US):
        return usage
    planned = round(plan.prospect.start.view.output_tokens)
    return replace(usage, output_tokens=max(usage.output_tokens, planned))
