"""The running tally of an answer: what a verdict needs to know of it, and no more.

The side parser of every answer: how much content came, whether a finish reason and a terminal
marker were seen, the usage. Whole answers are tallied the same way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.wire.neutral import (
    CONTENT_DELTAS,
    Completion,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageSeen,
)

if TYPE_CHECKING:
    from sidecar.core.metering import TokenMeter
    from sidecar.domain import Usage
    from sidecar.wire.neutral import Delta

DEGENERATE_RUN = 64
"""So many times the same character and nothing else is a broken model, not an answer."""


class Tally:
    """What an answer has said so far; its text too where ``keeps_text`` asks for it."""

    __slots__ = (
        "_is_aside",
        "_is_one_char",
        "_is_whole",
        "_item_ids",
        "_name",
        "_run_char",
        "_texts",
        "_usage",
        "content_chars",
        "content_deltas",
        "error",
        "finish",
        "is_ended",
        "is_refusal",
        "keeps_text",
        "thoughts",
    )

    def __init__(self) -> None:
        self.keeps_text = False
        self._texts: list[str] = []
        self._name: tuple[str, str] | None = None  # id and model
        self._item_ids: tuple[str, ...] = ()
        self.content_chars = 0
        self.content_deltas = 0
        self.thoughts = 0  # parts of it that were thinking aloud
        self._is_whole = False  # it did not come in events
        self.finish: Finish | None = None
        self.is_ended = False
        self.is_refusal = False
        self.error: ErrorSeen | None = None
        self._usage: Usage | None = None
        self._run_char: str | None = None
        self._is_one_char = True
        self._is_aside = False  # a refusal or a tool call was in it

    def note(self, delta: Delta) -> None:
        """Count ``delta``."""
        if isinstance(delta, TextDelta):
            self.add_text(delta.text)
        elif isinstance(delta, CONTENT_DELTAS):
            self._note_content(delta)
        else:
            self._note_event(delta)

    def _note_content(
        self, delta: RefusalDelta | ReasoningDelta | ToolCallStart | ToolCallDelta
    ) -> None:
        match delta:
            case ReasoningDelta():
                self.thoughts += 1
                self._add(delta.text)
            case RefusalDelta():
                self._is_aside = self.is_refusal = True
                self._add(delta.text)
            case ToolCallStart():
                self._add_tool_call(0)
            case ToolCallDelta():
                self._add_tool_call(len(delta.arguments))

    def _note_event(self, delta: Finished | UsageSeen | Started | ErrorSeen | Ended) -> None:
        match delta:
            case Finished():
                self.finish = delta.finish
                self._item_ids = delta.item_ids
            case UsageSeen(usage=usage):
                self._usage = usage
            case Started(usage=usage):
                self._usage = usage or self._usage
                self._name = (delta.id, delta.model)
            case ErrorSeen():
                self.error = delta
            case Ended():
                self.is_ended = True

    def _add(self, text: str) -> None:
        """Count words of any kind."""
        self.content_deltas += 1
        self.content_chars += len(text)
        if self._is_one_char and text:
            self._run_char = self._run_char or text[0]
            self._is_one_char = text.count(self._run_char) == len(text)

    def add_text(self, text: str) -> None:
        """Count text: as ``note`` would, in one step, since most of a stream is text."""
        self.content_deltas += 1
        self.content_chars += len(text)
        if self._is_one_char and text:
            self._run_char = self._run_char or text[0]
            self._is_one_char = text.count(self._run_char) == len(text)
        if self.keeps_text:
            self._texts.append(text)

    def _add_tool_call(self, chars: int) -> None:
        self._is_one_char = False
        self._is_aside = True
        self.content_deltas += 1
        self.content_chars += chars

    def note_whole(self, completion: Completion) -> None:
        """Count a whole answer, of which the text is kept; blank parts say nothing."""
        self.keeps_text = self._is_whole = True
        self._usage = completion.usage
        self._name = (completion.id, completion.model)
        self.finish = completion.finish
        self._item_ids = completion.item_ids
        for part in completion.parts:
            match part:
                case TextPart(text=text) if text:
                    self.add_text(text)
                case RefusalPart(text=text) if text:
                    self._is_aside = self.is_refusal = True
                    self._add(text)
                case ReasoningPart(text=text) if text:
                    self.thoughts += 1
                    self._add(text)
                case ToolCallPart(arguments=arguments):
                    self._add_tool_call(len(arguments))
                case _:
                    pass

    def completion(self) -> Completion | None:
        """Return the answer as a whole if it was text and was kept, None if not."""
        if self._name is None or not self._texts:
            return None
        text = TextPart(text="".join(self._texts))
        name, model = self._name
        return Completion(id=name, model=model, parts=(text,), finish=self.finish)

    def text(self) -> str | None:
        """Return what an answer that ended said in words, None if it is none or was not kept."""
        return "".join(self._texts) if self.finish is not None and not self._is_aside else None

    def structured(self) -> str | None:
        """Return the text where an answer as asked has to be in it: it was kept, ended by itself,
        and is no refusal or tool call.
        """
        if self.finish is not Finish.STOP or self._is_aside or not self._texts:
            return None
        return "".join(self._texts)

    def is_degenerate(self, run: int = DEGENERATE_RUN) -> bool:
        """Return whether the content so far is one character over and over, ``run`` times."""
        return self._is_one_char and self.content_chars >= run

    def usage(self, prompt_tokens: int, meter: TokenMeter) -> Usage:
        """Return the reported usage where it is complete, else an estimate marked as such."""
        reported = self._usage
        if reported is not None and (self._is_whole or self.finish is not None):
            return reported
        estimated = self.output_tokens(meter)
        if reported is None:
            return meter.usage(prompt_tokens=prompt_tokens, output_tokens=estimated)
        if reported.output_tokens >= estimated:
            return reported
        # A stream that broke reported its input and a first token or so of its output.
        return replace(reported, output_tokens=round(estimated), is_estimated=True)

    def output_tokens(self, meter: TokenMeter) -> float:
        """Return the tokens of what came so far, as ``meter`` has learned to tell."""
        if not self.content_deltas:
            return 0.0
        events = 0 if self._is_whole else self.content_deltas
        said = meter.said_tokens(self.content_chars, events)
        return said if self.thoughts else said + meter.hidden_tokens

    def teach(self, meter: TokenMeter, prompt_tokens: int) -> None:
        """Let ``meter`` learn from the usage of a whole answer, if it was reported."""
        if self._usage is not None and self.finish is not None:
            meter.learn(
                self._usage,
                prompt_tokens=prompt_tokens,
                chars=self.content_chars,
                events=0 if self._is_whole else self.content_deltas,
                is_thinking_shown=self.thoughts > 0,
            )

    def answer_id(self) -> str | None:
        """Return what the provider calls the answer, None before it did."""
        return None if self._name is None else self._name[0]

    def item_ids(self) -> tuple[str, ...]:
        """Return what the provider calls the answer's parts, known at its end."""
        return self._item_ids
