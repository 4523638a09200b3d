"""Going on with an answer that broke off: whether it may be done, how to ask, how to join.

For the ``continue`` mode of broken streams. Only plain text can be continued:
nobody would check that two halves of a tool call or of a JSON document make a whole one, and signed
reasoning means nothing to another model.

A model that takes a prefill is given the delivered text as the beginning of its own answer. Many do
not (newer Claude models answer 400), so others see it as an answer of theirs, and a *user* turn in
the language of the answer asks for the rest; an extra system prompt would change who is speaking
(LiteLLM #18229, #27967, #30242). Reasoning is not asked for a second time: it was done, providers
refuse it beside a prefill, and the caller would see it start in the middle of a text.

A model asked in words often repeats the last ones before it goes on; ``Join`` drops those. After a
prefill it does not, and "3.1" and "14" would lose a digit: there only the white space that had to
be cut off the prefill may come twice.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.wire.language import continue_after
from sidecar.wire.neutral import (
    Finished,
    OutputMode,
    ReasoningDelta,
    RefusalDelta,
    Role,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStart,
    ToolChoiceMode,
    Turn,
)

if TYPE_CHECKING:
    from sidecar.wire.neutral import Conversation, Delta

OVERLAP_CHARS_MAX = 200
"""Longer repetitions are a new answer, not an overlap."""

_BYTES_PER_TOKEN = 3.6
"""Four characters of English a token; other scripts have fewer characters a token, more bytes."""


class Delivered:
    """What the caller holds of one answer; ``note`` every delta that was passed on."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._is_reasoning_last = False
        self._obstacle: str | None = None

    def note(self, delta: Delta) -> None:
        """Remember ``delta``."""
        match delta:
            case TextDelta(text=text):
                self._texts.append(text)
                self._is_reasoning_last = False
            case ReasoningDelta():
                self._is_reasoning_last = True
            case ToolCallStart() | ToolCallDelta():
                self._obstacle = "a tool call was delivered"
            case RefusalDelta():
                self._obstacle = "a refusal was delivered"
            case Finished():
                self._obstacle = "the answer was finished"
            case _:  # names, usage, errors and markers are no part of the answer
                pass

    def text(self) -> str:
        """Return all text so far."""
        return "".join(self._texts)

    def obstacle(self) -> str | None:
        """Return what in the delivered part forbids going on, None if nothing does."""
        if self._obstacle is not None:
            return self._obstacle
        if self._is_reasoning_last:
            return "reasoning was under way"
        return None if any(text.strip() for text in self._texts) else "no text was delivered"


def may_continue(conversation: Conversation, delivered: Delivered) -> str | None:
    """Return why the answer to ``conversation`` must not be continued, None if it may be."""
    if conversation.output.mode is not OutputMode.TEXT:
        return "the answer is JSON"
    choice = conversation.tool_choice
    if choice is not None and choice.mode in (ToolChoiceMode.REQUIRED, ToolChoiceMode.NAMED):
        return "a tool call is required"
    if "n" in conversation.dropped:
        return "several answers were asked for"
    obstacle = delivered.obstacle()
    if obstacle is not None:
        return obstacle
    limit = conversation.max_tokens
    if limit is not None and _tokens(delivered.text()) >= limit:
        return "the answer was as long as allowed"
    return None


def continued(
    conversation: Conversation, delivered_text: str, *, supports_prefill: bool
) -> Conversation:
    """Return the request for the rest of an answer of which ``delivered_text`` was delivered.

    ``max_tokens`` is less by what was delivered (an estimate), at least 1. Only for what
    ``may_continue`` allows.
    """
    # Text that ends in white space is refused at the end of a request (Anthropic's rule).
    said = delivered_text.rstrip() if supports_prefill else delivered_text
    turns = _with_answer(conversation.turns, said)
    if not supports_prefill:
        request = continue_after(delivered_text[-OVERLAP_CHARS_MAX:], delivered_text)
        turns = (*turns, Turn(role=Role.USER, parts=(TextPart(text=request),)))
    limit = conversation.max_tokens
    return replace(
        conversation,
        turns=turns,
        max_tokens=None if limit is None else max(1, limit - _tokens(delivered_text)),
        reasoning_effort=None,
        reasoning_tokens=None,
    )


def _with_answer(turns: tuple[Turn, ...], said: str) -> tuple[Turn, ...]:
    """Return ``turns`` ending in the assistant's ``said``, one text with the caller's prefill."""
    if not turns or turns[-1].role is not Role.ASSISTANT:
        return (*turns, Turn(role=Role.ASSISTANT, parts=(TextPart(text=said),)))
    *before, last = turns
    parts = last.parts
    if parts and isinstance(parts[-1], TextPart):
        parts = (*parts[:-1], TextPart(text=parts[-1].text + said))
    else:
        parts = (*parts, TextPart(text=said))
    return (*before, Turn(role=Role.ASSISTANT, parts=parts))


def _tokens(text: str) -> int:
    return math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)


class Join:
    """Joins the rest to what was delivered, without the words that the model repeats.

    Dropped is the longest beginning of the rest that ends the delivered text, at most
    ``OVERLAP_CHARS_MAX`` characters. Text is held back only while it may still be such a beginning,
    so never more than that; how the rest is cut into pieces changes nothing.
    """

    def __init__(self, delivered_text: str, *, is_prefilled: bool = False) -> None:
        trimmed = len(delivered_text.rstrip()) if is_prefilled else 0
        self._tail = delivered_text[trimmed:][-OVERLAP_CHARS_MAX:]
        self._held = ""
        self._is_joined = not self._tail

    def feed(self, text: str) -> str:
        """Return what of ``text``, and of what was held back, the caller has to get now."""
        if self._is_joined:
            return text
        self._held += text
        return "" if self._may_grow() else self.finish()

    def finish(self) -> str:
        """Return what is still held back, when no more text comes."""
        held, self._held, self._is_joined = self._held, "", True
        for size in range(min(len(held), len(self._tail)), 0, -1):
            if self._tail.endswith(held[:size]):
                return held[size:]
        return held

    def _may_grow(self) -> bool:
        """Return whether all that is held could be the beginning of a longer overlap."""
        at = self._tail.find(self._held)
        return 0 <= at < len(self._tail) - len(self._held)
