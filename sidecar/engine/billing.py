"""What a provider bills for an attempt that ended without telling its usage: an estimate.

Attempts that were cut are often billed in full (losers of a race foremost), so who is silent is
taken to have worked. Some providers go on writing, and billing, when nobody listens any more: their
cut answers cost what the whole answer was expected to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import OutcomeClass, Usage

if TYPE_CHECKING:
    from sidecar.engine.ports import UpstreamResponse
    from sidecar.engine.settlement import AttemptPlan
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
    plan: AttemptPlan, response: UpstreamResponse | None, tally: Tally, cls: OutcomeClass
) -> Usage | None:
    """Return the estimated usage of an attempt that ends now as ``cls``, None if it was free.

    After a head with 200 the provider worked: ``tally`` has what came of it. Before a head, who is
    cut off has been read and has written as long as we waited.
    """
    prompt_tokens = plan.call.facts.prompt_tokens
    if response is not None:
        return tally.usage(prompt_tokens) if response.status == HTTP_OK else None
    sent_at = plan.ticket.sent_at
    if sent_at is None or cls not in IN_SILENCE:
        return None
    written = 0.0
    if cls is not OutcomeClass.HANG and plan.itl_s > 0:
        planned = max(0.0, plan.tokens_reserved - prompt_tokens)
        written = min(planned, (loop_now() - sent_at) / plan.itl_s)
    return Usage(input_tokens=prompt_tokens, output_tokens=round(written), is_estimated=True)


def in_full(plan: AttemptPlan, usage: Usage, cls: OutcomeClass) -> Usage:
    """Return ``usage`` as billed: of an answer that we cut off, the rest too where it is written
    all the same.
    """
    if not (plan.ticket.endpoint.bills_cut_answers and usage.is_estimated and cls in CUT_BY_US):
        return usage
    planned = round(plan.tokens_reserved - plan.call.facts.prompt_tokens)
    return replace(usage, output_tokens=max(usage.output_tokens, planned))
