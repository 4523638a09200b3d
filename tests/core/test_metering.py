"""What tokens are worth in characters and events: learned, bounded, and forgotten slowly."""

from __future__ import annotations

import random

import pytest

from sidecar.core.metering import PIECE_CHARS_MAX, TokenMeter
from sidecar.domain import Usage


def taught(
    meter: TokenMeter,
    answers: int,
    *,
    chars_per_token: float = 9.0,
    tokens_per_event: float = 1.0,
    seed: int = 1,
) -> TokenMeter:
    """Return ``meter`` after so many streams of a model."""
    rng = random.Random(seed)
    for _ in range(answers):
        tokens = rng.randint(10, 400)
        meter.learn(
            Usage(input_tokens=60, output_tokens=tokens),
            prompt_tokens=50,
            chars=round(tokens * chars_per_token),
            events=max(1, round(tokens / tokens_per_event)),
            is_thinking_shown=False,
        )
    return meter


def test_unseen_a_short_event_is_a_token_and_a_long_one_is_text() -> None:
    """Before anything was reported: one token an event, unless events are too long for that."""
    meter = TokenMeter()
    assert meter.said_tokens(45, 10) == 10
    assert meter.said_tokens(400, 10) == 100
    assert meter.said_tokens(round(PIECE_CHARS_MAX * 10), 10) == 10
    assert meter.said_tokens(40, 0) == 10
    assert meter.said_tokens(0, 0) == 0


def test_long_words_are_learned() -> None:
    """Ten answers suffice to know that this model's tokens have nine characters."""
    meter = taught(TokenMeter(), 10)
    assert meter.said_tokens(900, 0) == pytest.approx(100, rel=0.02)
    assert meter.said_tokens(900, 100) == pytest.approx(100, rel=0.02)


def test_the_better_teller_is_believed() -> None:
    """Events of random size say little, characters of a steady model much; and the other way."""
    meter, rng = TokenMeter(), random.Random(3)
    for _ in range(30):
        tokens = rng.randint(10, 200)
        events = max(1, tokens // rng.randint(1, 9))
        meter.learn(
            Usage(output_tokens=tokens),
            prompt_tokens=0,
            chars=tokens * 4,
            events=events,
            is_thinking_shown=False,
        )
    assert meter.said_tokens(400, 40) == pytest.approx(100, rel=0.02)
    meter = TokenMeter()
    for _ in range(30):
        tokens = rng.randint(10, 200)
        chars = tokens * rng.randint(2, 9)
        usage = Usage(output_tokens=tokens)
        meter.learn(usage, prompt_tokens=0, chars=chars, events=tokens, is_thinking_shown=False)
    assert meter.said_tokens(900, 100) == pytest.approx(100, rel=0.02)


def test_whole_answers_teach_characters_alone() -> None:
    """Where only whole answers reported, characters are believed over events of unknown size."""
    meter = TokenMeter()
    usage = Usage(output_tokens=300)
    meter.learn(usage, prompt_tokens=0, chars=600, events=0, is_thinking_shown=False)
    assert meter.said_tokens(100, 10) > 40


def test_a_change_of_model_is_followed() -> None:
    """Recent answers outweigh older ones: after two hundred the old ratio is gone."""
    meter = taught(taught(TokenMeter(), 300), 200, chars_per_token=3.0, tokens_per_event=4.0)
    assert meter.said_tokens(300, 25) == pytest.approx(100, rel=0.15)


def test_prompts_and_caches() -> None:
    """Real prompt tokens and the cached share of them come from those that were reported."""
    meter = TokenMeter()
    assert meter.usage(prompt_tokens=50, output_tokens=2.6) == Usage(
        input_tokens=50, output_tokens=3, is_estimated=True
    )
    for _ in range(50):
        usage = Usage(input_tokens=120, output_tokens=5, cached_tokens=30)
        meter.learn(usage, prompt_tokens=100, chars=20, events=5, is_thinking_shown=False)
    told = meter.usage(prompt_tokens=1000, output_tokens=0)
    assert told.input_tokens == pytest.approx(1200, rel=0.01)
    assert told.cached_tokens == pytest.approx(300, rel=0.01)


def test_hidden_thoughts_are_added_and_shown_ones_are_not() -> None:
    """What is thought in silence is the mean of the endpoint; what is shown is counted."""
    silent, aloud = TokenMeter(), TokenMeter()
    for _ in range(50):
        usage = Usage(output_tokens=100, reasoning_tokens=80)
        silent.learn(usage, prompt_tokens=0, chars=80, events=20, is_thinking_shown=False)
        aloud.learn(usage, prompt_tokens=0, chars=400, events=100, is_thinking_shown=True)
    assert silent.hidden_tokens == pytest.approx(80, rel=0.05)
    assert silent.said_tokens(80, 20) == pytest.approx(20, rel=0.05)
    assert aloud.hidden_tokens == 0
    assert aloud.said_tokens(400, 100) == pytest.approx(100, rel=0.05)


def test_of_many_answers_some_teach() -> None:
    """A hundred a second at most are learned from; a clock that was set back holds nobody up."""
    meter = TokenMeter()
    assert [meter.is_curious(at) for at in (0.0, 0.005, 0.011, 0.012, 0.001)] == [
        *(True, False, True, False, True)
    ]


def test_nonsense_is_bounded() -> None:
    """A provider that reports rubbish cannot make an estimate a thousand times too high."""
    meter = TokenMeter()
    for _ in range(100):
        usage = Usage(input_tokens=10**9, output_tokens=10**9)
        meter.learn(usage, prompt_tokens=1, chars=1, events=1, is_thinking_shown=False)
    assert meter.said_tokens(100, 0) <= 200
    assert meter.input_tokens(100) <= 400
