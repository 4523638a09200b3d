"""Every caller format with every provider format: nothing is lost without a word.

A new format needs one entry in ``pairs/fixtures.py``; a test says so as long as it has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.domain import WireFormat
from sidecar.wire.anthropic_messages import AnthropicMessagesCodec
from sidecar.wire.formats import CODECS, PROVIDER_CODECS
from sidecar.wire.openai_chat import OpenAIChatCodec
from tests.wire.pairs import verdict as verdicts
from tests.wire.pairs.fixtures import CONVERSATIONS, FIXTURES
from tests.wire.pairs.meaning import ASKED, SAID, of_answer, of_request
from tests.wire.pairs.verdict import (
    Fate,
    LostError,
    answer_verdict,
    ask_verdict,
    provider_says,
)

if TYPE_CHECKING:
    from sidecar.wire.neutral import Completion, Conversation, Rendered

PRESENT = [one for one in CONVERSATIONS if one in FIXTURES]
CALLERS = [one for one in PRESENT if one in CODECS]
FORMATS = pytest.mark.parametrize("provider", PRESENT, ids=lambda one: one.value)
PAIRS = pytest.mark.parametrize(
    ("caller", "provider"),
    [(caller, provider) for caller in CALLERS for provider in PRESENT],
    ids=lambda one: one.value,
)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


def test_every_format_has_fixtures() -> None:
    """Whoever registers a format says what it looks like."""
    missing = [one.value for one in CONVERSATIONS if one not in FIXTURES]
    assert not missing, f"tests/wire/pairs/fixtures.py has no entry for {', '.join(missing)}"


@FORMATS
def test_fixtures_say_all_or_why_not(provider: WireFormat) -> None:
    """A feature without a fixture has a reason, and none has both."""
    fixture = FIXTURES[provider]
    said = {f"answer: {name}" for name in fixture.answers}
    said |= {f"ask: {name}" for name in fixture.asks}
    wanted = {f"answer: {name}" for name in SAID}
    if provider in CODECS:
        wanted |= {f"ask: {name}" for name in ASKED}
    assert said | set(fixture.cannot) == wanted
    assert not said & set(fixture.cannot)
    assert set(fixture.answers) == set(fixture.streams)
    assert {name.replace("stream:", "answer:") for name in fixture.lacks} <= said


@pytest.mark.parametrize("feature", ASKED)
@pytest.mark.parametrize("caller", CALLERS, ids=lambda one: one.value)
def test_requests_mean_the_same_in_every_format(caller: WireFormat, feature: str) -> None:
    """Each format's own request is understood as what was to be asked."""
    body = FIXTURES[caller].asks.get(feature)
    if body is None:
        assert f"ask: {feature}" in FIXTURES[caller].cannot
        return
    asked = CODECS[caller].parse_request(body)
    assert asked.dropped == ()
    lacks = FIXTURES[caller].lacks.get(f"ask: {feature}", frozenset())
    read, wanted = of_request(asked), of_request(ASKED[feature])
    differing = {aspect for aspect in wanted if read[aspect] != wanted[aspect]}
    assert differing == lacks, {aspect: read[aspect] for aspect in differing - lacks}


@STREAMED
@pytest.mark.parametrize("feature", SAID)
@FORMATS
def test_answers_mean_the_same_in_every_format(
    provider: WireFormat, feature: str, stream: bool
) -> None:
    """Each format's own answer is understood as what was to be said."""
    said = provider_says(provider, feature, stream=stream)
    if said is None:
        assert f"answer: {feature}" in FIXTURES[provider].cannot
        return
    read, wanted = of_answer(said), of_answer(SAID[feature])
    lacks = FIXTURES[provider].lacks.get(f"answer: {feature}", frozenset())
    if stream:
        lacks |= FIXTURES[provider].lacks.get(f"stream: {feature}", frozenset())
    differing = {aspect for aspect in wanted if read[aspect] != wanted[aspect]}
    assert differing == lacks, {aspect: read[aspect] for aspect in differing - lacks}


@STREAMED
@pytest.mark.parametrize("feature", ASKED)
@PAIRS
def test_a_request_arrives_or_its_loss_is_told(
    caller: WireFormat, provider: WireFormat, feature: str, stream: bool
) -> None:
    """Exact within a format, and between two: everything arrives, is named, or goes elsewhere."""
    verdict = ask_verdict(caller, provider, feature, stream=stream)
    assert (verdict.fate is Fate.EXACT) is (
        caller is provider and verdict.fate is not Fate.UNSPEAKABLE
    )
    assert (verdict.fate is Fate.UNSPEAKABLE) is (f"ask: {feature}" in FIXTURES[caller].cannot)


@STREAMED
@pytest.mark.parametrize("feature", SAID)
@PAIRS
def test_an_answer_arrives(
    caller: WireFormat, provider: WireFormat, feature: str, stream: bool
) -> None:
    """What the provider said is what a caller's own parser hears, in whole and in pieces."""
    verdict = answer_verdict(caller, provider, feature, stream=stream)
    if verdict.fate is Fate.UNSPEAKABLE:
        assert f"answer: {feature}" in FIXTURES[provider].cannot


class Forgetful(AnthropicMessagesCodec):
    """Loses stop sequences, and does not say so."""

    def render_request(
        self, conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
    ) -> Rendered:
        """Write a request without them."""
        return super().render_request(
            replace(conversation, stop=()),
            model=model,
            is_stream=is_stream,
            max_tokens_field=max_tokens_field,
        )


class Mumbling(OpenAIChatCodec):
    """Loses what an answer cost."""

    def render_response(self, completion: Completion) -> bytes:
        """Write an answer without it."""
        return super().render_response(replace(completion, usage=None))


def test_a_silent_loss_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself works, on both ways."""
    openai, claude = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES
    monkeypatch.setattr(verdicts, "PROVIDER_CODECS", {**PROVIDER_CODECS, claude: Forgetful()})
    with pytest.raises(LostError, match="stop is lost"):
        ask_verdict(openai, claude, "stop", stream=False)
    monkeypatch.setattr(verdicts, "CODECS", {**CODECS, openai: Mumbling()})
    with pytest.raises(LostError, match="input_tokens"):
        answer_verdict(openai, claude, "text", stream=False)
