"""What a simulated provider bills for one exchange: what it read, thought and wrote by the end.

The bill is the truth that ledgers are held against, so it knows what callers do not always learn: a
plain answer that was cut has been written as far as its time went, and thinking costs like writing,
from the first moment on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.upstream.simulated_exchange import Ended

if TYPE_CHECKING:
    from sidecar.upstream.simulated_exchange import LogEntry
    from sidecar.upstream.simulated_model import SimulatedModel


def billed_usd(
    entry: LogEntry, model: SimulatedModel, ended: Ended, at_s: float, *, is_cancel_ignored: bool
) -> float:
    """Return the price of an exchange answered with 200 that ends at ``at_s``, US dollars."""
    cached_usd = model.input_usd if model.cached_input_usd is None else model.cached_input_usd
    tokens = _output_tokens(entry, ended, at_s, is_cancel_ignored=is_cancel_ignored)
    total = (
        (entry.prompt_tokens - entry.cached_tokens) * model.input_usd
        + entry.cached_tokens * cached_usd
        + tokens * model.output_usd
    )
    return total / 1e6


def _output_tokens(entry: LogEntry, ended: Ended, at_s: float, *, is_cancel_ignored: bool) -> float:
    """Return the tokens made by ``at_s``, thoughts included."""
    if ended is not Ended.CANCELLED:
        return entry.output_tokens + entry.reasoning_tokens
    if is_cancel_ignored:
        return entry.planned_tokens + entry.reasoning_tokens
    made_s = at_s - entry.at_s
    thought = 1.0 if made_s >= entry.first_token_s else made_s / entry.first_token_s
    written: float = entry.output_tokens
    if not entry.is_stream and not written and made_s > entry.first_token_s and entry.itl_s > 0:
        written = min(entry.planned_tokens, 1 + (made_s - entry.first_token_s) // entry.itl_s)
    return written + thought * entry.reasoning_tokens
