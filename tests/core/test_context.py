"""The memory of prompts that were too long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.context import REMEMBERED_S, ContextBound

SIZES = st.integers(0, 10)
STEPS = st.lists(st.tuples(st.sampled_from(["refused", "accepted"]), SIZES, st.floats(0, 400)))


def test_the_smallest_refusal_counts_until_it_is_forgotten() -> None:
    """As long a prompt is short of room, a shorter one is not, and after a while neither."""
    bound = ContextBound()
    assert not bound.is_short(10**9, 0.0)
    bound.refused(500, 0.0)
    bound.refused(800, 10.0)
    assert bound.is_short(500, 10.0)
    assert not bound.is_short(499, 10.0)
    assert bound.tokens(10.0 + REMEMBERED_S - 1) == 500
    assert bound.tokens(10.0 + REMEMBERED_S) is None


def test_an_answer_to_as_long_a_prompt_ends_it() -> None:
    """What was answered fits; a shorter answer proves nothing."""
    bound = ContextBound()
    bound.refused(500, 0.0)
    bound.accepted(499)
    assert bound.is_short(500, 1.0)
    bound.accepted(500)
    assert not bound.is_short(500, 1.0)


@given(STEPS, SIZES)
def test_more_tokens_never_find_more_room(steps: list[tuple[str, int, float]], tokens: int) -> None:
    """Whatever happened, a longer prompt is short wherever a shorter one is; and only what was
    refused within the last while can make it so.
    """
    bound, now = ContextBound(), 0.0
    refused: list[tuple[int, float]] = []
    for verb, size, gap_s in steps:
        now += gap_s
        if verb == "refused":
            bound.refused(size, now)
            refused.append((size, now))
        else:
            bound.accepted(size)
    assert bound.is_short(tokens + 1, now) or not bound.is_short(tokens, now)
    if bound.is_short(tokens, now):
        assert any(at > now - REMEMBERED_S for _, at in refused)
        assert any(size <= tokens for size, _ in refused)
