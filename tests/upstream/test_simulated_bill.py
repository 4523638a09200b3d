"""What a simulated provider bills: all that was made, also of an answer that nobody waited for."""

from __future__ import annotations

import pytest

from sidecar.upstream.simulated_bill import billed_usd
from sidecar.upstream.simulated_exchange import Ended, LogEntry
from sidecar.upstream.simulated_model import SimulatedModel

MODEL = SimulatedModel(input_usd=1.0, output_usd=10.0, cached_input_usd=0.1)


def entry(*, is_stream: bool = False, output_tokens: int = 0) -> LogEntry:
    """Return an exchange that begins at 100 s: a second to the first token, ten more a second."""
    return LogEntry(
        at_s=100.0,
        path="/",
        is_stream=is_stream,
        prompt_tokens=1000,
        cached_tokens=400,
        output_tokens=output_tokens,
        planned_tokens=20,
        reasoning_tokens=50,
        first_token_s=1.0,
        itl_s=0.1,
    )


@pytest.mark.parametrize(
    ("made", "ended", "at_s", "tokens"),
    [
        (entry(output_tokens=20), Ended.COMPLETE, 103.0, 70),
        (entry(output_tokens=7, is_stream=True), Ended.RESET, 101.7, 57),
        (entry(), Ended.CANCELLED, 100.5, 25),
        (entry(), Ended.CANCELLED, 101.55, 56),
        (entry(), Ended.CANCELLED, 120.0, 70),
        (entry(output_tokens=3, is_stream=True), Ended.CANCELLED, 101.3, 53),
        (entry(is_stream=True), Ended.CANCELLED, 100.2, 10),
    ],
)
def test_bills(made: LogEntry, ended: Ended, at_s: float, tokens: float) -> None:
    """Cached prompt tokens at their price, thoughts and words as far as the time went."""
    usd = billed_usd(made, MODEL, ended, at_s, is_cancel_ignored=False)
    assert usd == pytest.approx((600 * 1.0 + 400 * 0.1 + tokens * 10.0) / 1e6)


def test_who_ignores_a_cancellation_bills_the_whole() -> None:
    """All planned tokens, however early the other side left."""
    usd = billed_usd(entry(), MODEL, Ended.CANCELLED, 100.1, is_cancel_ignored=True)
    assert usd == pytest.approx((640 + 70 * 10.0) / 1e6)
