"""Going on with a broken answer: when it may be done, how it is asked for, how it is joined."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sidecar.wire.continuation import OVERLAP_CHARS_MAX, Delivered, Join, continued, may_continue
from sidecar.wire.formats import CODECS, codec
from sidecar.wire.language import _REQUESTS, language_of
from sidecar.wire.neutral import (
    Conversation,
    Delta,
    Ended,
    Finish,
    Finished,
    OutputFormat,
    OutputMode,
    ReasoningDelta,
    RefusalDelta,
    Role,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolCallStart,
    ToolChoice,
    ToolChoiceMode,
    Turn,
)

if TYPE_CHECKING:
    from sidecar.domain import WireFormat

QUESTION = Turn(role=Role.USER, parts=(TextPart(text="Tell me."),))
PLAIN = Conversation(system=("Be brief.",), turns=(QUESTION,))
TEXT = TextDelta(text="Once upon a time ")
CALL = ToolCallStart(index=0, id="c", name="f")


def delivered(*deltas: Delta) -> Delivered:
    """Return what a caller holds after ``deltas``."""
    held = Delivered()
    for delta in deltas:
        held.note(delta)
    return held


def assistant(text: str) -> Turn:
    """Return an answer's turn."""
    return Turn(role=Role.ASSISTANT, parts=(TextPart(text=text),))


# --- may it be done ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deltas",
    [
        (Started(id="i", model="m"), TEXT),
        (ReasoningDelta(text="hm"), ReasoningDelta(signature="s"), TEXT),
    ],
)
def test_text_may_be_continued(deltas: tuple[Delta, ...]) -> None:
    """Plain text, after finished reasoning too, is what a continuation is for."""
    assert may_continue(PLAIN, delivered(*deltas)) is None


@pytest.mark.parametrize(
    ("deltas", "reason"),
    [
        ((), "no text was delivered"),
        ((TextDelta(text=" \n"),), "no text was delivered"),
        ((ReasoningDelta(text="hm"),), "reasoning was under way"),
        ((TEXT, ReasoningDelta(text="hm")), "reasoning was under way"),
        ((TEXT, CALL), "a tool call was delivered"),
        ((CALL, ToolCallDelta(index=0, arguments="{"), TEXT), "a tool call was delivered"),
        ((RefusalDelta(text="no"),), "a refusal was delivered"),
        ((TEXT, Finished(finish=Finish.STOP), Ended()), "the answer was finished"),
    ],
)
def test_delivered_part_may_forbid_it(deltas: tuple[Delta, ...], reason: str) -> None:
    """Tool calls, refusals, open reasoning, nothing at all and finished answers stay."""
    assert may_continue(PLAIN, delivered(*deltas)) == reason


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"output": OutputFormat(mode=OutputMode.JSON_OBJECT)}, "the answer is JSON"),
        ({"output": OutputFormat(mode=OutputMode.JSON_SCHEMA)}, "the answer is JSON"),
        ({"tool_choice": ToolChoice(mode=ToolChoiceMode.REQUIRED)}, "a tool call is required"),
        (
            {"tool_choice": ToolChoice(mode=ToolChoiceMode.NAMED, name="f")},
            "a tool call is required",
        ),
        ({"tool_choice": ToolChoice(), "tools": (Tool(name="f"),)}, None),
        ({"dropped": ("n",)}, "several answers were asked for"),
        ({"max_tokens": 5}, "the answer was as long as allowed"),
        ({"max_tokens": 6}, None),
    ],
)
def test_request_may_forbid_it(request_: dict[str, object], reason: str | None) -> None:
    """JSON, required tools, several choices and a used-up length forbid it; offered tools do not.

    The 17 characters delivered are 5 tokens at 3.6 bytes a token.
    """
    conversation = replace(PLAIN, **request_)  # type: ignore[arg-type]  # a table of fields
    assert may_continue(conversation, delivered(TEXT)) == reason


# --- how to ask --------------------------------------------------------------------------------


def test_prefill_ends_without_white_space() -> None:
    """The delivered text begins the model's own answer; white space at its end would be refused."""
    asked = continued(PLAIN, "Once upon \n", supports_prefill=True)
    assert asked.turns == (QUESTION, assistant("Once upon"))
    assert asked.system == PLAIN.system


def test_prefill_of_the_caller_is_continued() -> None:
    """A caller's own prefill and the delivered text are one text again, its white space kept."""
    conversation = Conversation(system=(), turns=(QUESTION, assistant("Once ")))
    asked = continued(conversation, "upon ", supports_prefill=True)
    assert asked.turns == (QUESTION, assistant("Once upon"))
    asked = continued(conversation, "upon ", supports_prefill=False)
    assert asked.turns[:2] == (QUESTION, assistant("Once upon "))


def test_without_prefill_the_user_asks() -> None:
    """The whole answer stands before a user's request with its last 200 characters."""
    text = "x" * 300 + "the end of it "
    asked = continued(PLAIN, text, supports_prefill=False)
    assert asked.turns[:2] == (QUESTION, assistant(text))
    (part,) = asked.turns[2].parts
    assert asked.turns[2].role is Role.USER
    assert isinstance(part, TextPart)
    assert part.text.startswith("Your answer broke off. Continue exactly after")
    assert part.text.endswith("…" + text[-OVERLAP_CHARS_MAX:])
    assert asked.system == PLAIN.system


def test_rest_is_bounded_by_what_is_left() -> None:
    """``max_tokens`` is less by what was delivered; no bound stays none; reasoning is over."""
    thinking = Conversation(
        system=(), turns=(QUESTION,), max_tokens=100, reasoning_tokens=50, reasoning_effort="high"
    )
    asked = continued(thinking, "x" * 36, supports_prefill=True)
    assert (asked.max_tokens, asked.reasoning_tokens, asked.reasoning_effort) == (90, None, None)
    assert continued(thinking, "語" * 60, supports_prefill=True).max_tokens == 50
    assert continued(thinking, "x" * 999, supports_prefill=True).max_tokens == 1
    assert continued(PLAIN, "x", supports_prefill=True).max_tokens is None


@pytest.mark.parametrize("wire_format", CODECS)
@pytest.mark.parametrize("supports_prefill", [True, False])
def test_every_format_can_ask(wire_format: WireFormat, supports_prefill: bool) -> None:
    """The request survives rendering: the same turns are read back."""
    asked = continued(PLAIN, "Once upon a time ", supports_prefill=supports_prefill)
    rendered = codec(wire_format).render_request(
        asked, model="m", is_stream=True, max_tokens_field="max_tokens"
    )
    assert rendered.dropped == ()
    assert codec(wire_format).parse_request(rendered.body).turns == asked.turns


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The cat is on the mat, and it is not yours.", "en"),
        ("Die Katze ist nicht auf der Matte, und das ist gut.", "de"),
        ("Le chat est sur la table et il ne bouge pas.", "fr"),
        ("El gato no está en la mesa, pero los perros son más.", "es"),
        ("Il gatto è sul tavolo e non si muove, che bello.", "it"),
        ("O gato não está em casa, mas os cães são mais do que um.", "pt"),
        ("De kat is niet op de mat en het is een mooie dag.", "nl"),
        ("Kot nie jest na stole, ale to się zmieni.", "pl"),
        ("Kedi çok güzel ama bu bir köpek değil.", "tr"),
        ("猫はマットの上にいます。API を使います。", "ja"),
        ("고양이가 매트 위에 있습니다.", "ko"),
        ("猫在垫子上。请使用 API。", "zh"),
        ("Кошка сидит на коврике.", "ru"),
        ("القطة على السجادة", "ar"),
        ("बिल्ली चटाई पर है।", "hi"),
        ("x = foo(bar) + 1", "en"),
        ("I", "en"),
        ("", "en"),
    ],
)
def test_language(text: str, language: str) -> None:
    """The request is in the language of the answer, English where that is unclear."""
    assert language_of(text) == language
    request = continued(PLAIN, text, supports_prefill=False).turns[-1].parts[0]
    assert isinstance(request, TextPart)
    assert request.text == f"{_REQUESTS[language]}\n\n…{text}"


# --- how to join -------------------------------------------------------------------------------


def join(text: str, *pieces: str, is_prefilled: bool = False) -> str:
    """Return what the caller holds in the end."""
    joined = Join(text, is_prefilled=is_prefilled)
    return text + "".join([*(joined.feed(piece) for piece in pieces), joined.finish()])


def naive_join(text: str, rest: str) -> str:
    """Say the rule plainly."""
    sizes = range(min(len(text), len(rest), OVERLAP_CHARS_MAX), -1, -1)
    overlap = next(size for size in sizes if text.endswith(rest[:size]))
    return text + rest[overlap:]


FEW_LETTERS = st.text("ab ", max_size=12)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(text=FEW_LETTERS, rest=FEW_LETTERS, cuts=st.lists(st.integers(0, 12), max_size=5))
def test_any_cut_joins_alike(text: str, rest: str, cuts: list[int]) -> None:
    """The longest overlap goes, and nothing else, however the rest was cut into pieces."""
    edges = [0, *sorted(min(cut, len(rest)) for cut in cuts), len(rest)]
    expected = naive_join(text, rest)
    assert join(text, *(rest[a:b] for a, b in pairwise(edges))) == expected
    assert join(text, *rest) == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    text=st.text(min_size=1, max_size=300),
    new=st.text(max_size=40),
    size=st.integers(0, OVERLAP_CHARS_MAX),
)
def test_repeated_words_come_once(text: str, new: str, size: int) -> None:
    """A rest that repeats up to 200 characters is joined as if it had not, and whole."""
    repeated = text[len(text) - min(size, len(text)) :]
    result = join(text, *(repeated + new))
    assert result == naive_join(text, repeated + new)
    assume(naive_join(text, repeated + new) == text + new)
    assert result == text + new


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=st.text("ab", max_size=400), rest=st.text("ab", max_size=400))
def test_little_is_held_back(text: str, rest: str) -> None:
    """Never more than an overlap's length waits, and nothing once the overlap is over."""
    joined = Join(text)
    given_out, has_flowed = 0, False
    for count, letter in enumerate(rest, start=1):
        out = joined.feed(letter)
        given_out += len(out)
        assert not has_flowed or out == letter
        has_flowed = has_flowed or bool(out)
        assert count - given_out <= OVERLAP_CHARS_MAX


def test_prefilled_answer_keeps_its_letters() -> None:
    """After a prefill only the white space that was cut off may come twice."""
    assert join("It is 3.1", "14", is_prefilled=True) == "It is 3.114"
    assert join("One.\n", "\n\nTwo", is_prefilled=True) == "One.\n\nTwo"
    assert join("One ", "two", is_prefilled=True) == "One two"
    assert join("One", " two", is_prefilled=True) == "One two"


def test_long_repetition_is_no_overlap() -> None:
    """More than 200 repeated characters are dropped as far as 200 characters tell."""
    text = "".join(chr(0x100 + number) for number in range(300))
    assert join(text, text[-200:] + "!") == text + "!"
    assert join(text, text[-201:] + "!") == text + text[-201:] + "!"
