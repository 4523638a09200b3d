"""What a request or an answer means, apart from the words of its format; and what to ask and say.

``ASKED`` and ``SAID`` hold one conversation and one answer a feature, in the neutral form. Every
format's fixtures (``fixtures.py``) say the same in its own words.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sidecar.domain import Usage
from sidecar.wire.neutral import (
    Completion,
    Conversation,
    Finish,
    Finished,
    ImagePart,
    OutputFormat,
    OutputMode,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Role,
    Sampling,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    Turn,
    UsageSeen,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.wire.neutral import AnswerPart, Delta, Part

Meaning = dict[str, Any]

MAX_TOKENS = 4000
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
"""A picture of one pixel, base64."""
SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"type": "string"}},
    "required": ["verdict"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}}
WEATHER = Tool(name="weather", description="Tells it.", schema=json.dumps(CITY).encode())
CLOCK = Tool(name="clock", description="Tells time.", schema=json.dumps(NOTHING).encode())


def _user(*parts: Part) -> Turn:
    return Turn(role=Role.USER, parts=parts)


def _assistant(*parts: Part) -> Turn:
    return Turn(role=Role.ASSISTANT, parts=parts)


def _call(call_id: str, city: str) -> ToolCallPart:
    return ToolCallPart(id=call_id, name="weather", arguments=json.dumps({"city": city}))


def _result(call_id: str, text: str) -> ToolResultPart:
    return ToolResultPart(call_id=call_id, content=(TextPart(text=text),))


_HELLO = _user(TextPart(text="Grüezi"))
_BASE = Conversation(system=(), turns=(_HELLO,), max_tokens=MAX_TOKENS)
_QUESTION = _user(TextPart(text="Weather?"))

ASKED: dict[str, Conversation] = {
    "text": _BASE,
    "turns": replace(
        _BASE,
        turns=(_HELLO, _assistant(TextPart(text="Hallo")), _user(TextPart(text="Wie geht's?"))),
    ),
    "system": replace(_BASE, system=("Be brief.",)),
    "tool results": replace(
        _BASE,
        turns=(_QUESTION, _assistant(_call("c1", "Zug")), _user(_result("c1", "15 °C"))),
        tools=(WEATHER,),
    ),
    "parallel calls": replace(
        _BASE,
        turns=(
            _QUESTION,
            _assistant(_call("c1", "Zug"), _call("c2", "Bern")),
            _user(_result("c1", "15 °C"), _result("c2", "9 °C")),
        ),
        tools=(WEATHER,),
    ),
    "forced tool": replace(
        _BASE,
        tools=(WEATHER, CLOCK),
        tool_choice=ToolChoice(mode=ToolChoiceMode.NAMED, name="clock"),
    ),
    "JSON schema": replace(
        _BASE,
        output=OutputFormat(mode=OutputMode.JSON_SCHEMA, schema=json.dumps(SCHEMA).encode()),
    ),
    "image": replace(
        _BASE,
        turns=(_user(TextPart(text="Look."), ImagePart(media_type="image/png", data=PIXEL)),),
    ),
    "stop": replace(_BASE, stop=("ENDE",)),
    "sampling": replace(
        _BASE,
        sampling=Sampling(
            temperature=0.25,
            top_p=0.75,
            top_k=33,
            seed=77,
            frequency_penalty=0.5,
            presence_penalty=0.125,
        ),
    ),
    "thinking": replace(_BASE, reasoning_effort="low"),
}

_WHOLE = Completion(
    id="a1",
    model="m",
    parts=(TextPart(text="Grüezi, Welt."),),
    finish=Finish.STOP,
    usage=Usage(input_tokens=10, output_tokens=5),
)

SAID: dict[str, Completion] = {
    "text": _WHOLE,
    "call": replace(_WHOLE, parts=(_call("c1", "Zug"),), finish=Finish.TOOL_CALLS),
    "parallel calls": replace(
        _WHOLE, parts=(_call("c1", "Zug"), _call("c2", "Bern")), finish=Finish.TOOL_CALLS
    ),
    "thinking": replace(
        _WHOLE, parts=(ReasoningPart(text="Kurz denken."), TextPart(text="Grüezi, Welt."))
    ),
    "refusal": replace(
        _WHOLE, parts=(RefusalPart(text="Das mache ich nicht."),), finish=Finish.REFUSAL
    ),
    "usage": replace(
        _WHOLE,
        usage=Usage(input_tokens=100, output_tokens=50, cached_tokens=40, reasoning_tokens=20),
    ),
    "length": replace(_WHOLE, parts=(TextPart(text="Grüezi,"),), finish=Finish.LENGTH),
    "stop sequence": replace(_WHOLE, finish=Finish.STOP_SEQUENCE, stop_sequence="ENDE"),
    "filtered": replace(_WHOLE, parts=(TextPart(text="Grüezi,"),), finish=Finish.CONTENT_FILTER),
}

_ENDS = {
    Finish.STOP_SEQUENCE: Finish.STOP,
    Finish.REFUSAL: Finish.CONTENT_FILTER,
}
"""Some formats have one word for both."""


def of_request(asked: Conversation) -> Meaning:
    """Return what is asked, aspect by aspect; ids of calls by their order, since not all formats
    have them, thinking as asked for or not, since formats count it differently.
    """
    parts = [(turn.role, part) for turn in asked.turns for part in turn.parts]
    ids = [part.id for _, part in parts if isinstance(part, ToolCallPart)]
    choice = asked.tool_choice or ToolChoice()
    sampling = asked.sampling
    schema = asked.output.schema
    return {
        "system": "\n".join(asked.system),
        "texts": [(role, part.text) for role, part in parts if isinstance(part, TextPart)],
        "calls": [_of_call(part) for _, part in parts if isinstance(part, ToolCallPart)],
        "results": [
            (ids.index(part.call_id), "".join(getattr(one, "text", "") for one in part.content))
            for _, part in parts
            if isinstance(part, ToolResultPart)
        ],
        "images": [(one.media_type, one.data) for _, one in parts if isinstance(one, ImagePart)],
        "tools": [(one.name, one.description, json.loads(one.schema)) for one in asked.tools],
        "tool_choice": (choice.mode, choice.name),
        "max_tokens": asked.max_tokens,
        "stop": asked.stop,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "output": (asked.output.mode, None if schema is None else json.loads(schema)),
        "thinking": bool(asked.reasoning_effort or asked.reasoning_tokens),
    }


def of_answer(said: Completion) -> Meaning:
    """Return what is said; a refusal's words are text, and it ends as a filtered answer does."""
    parts = said.parts
    refused = any(isinstance(part, RefusalPart) for part in parts)
    finish = Finish.REFUSAL if refused and said.finish is Finish.STOP else said.finish
    words = [part.text for part in parts if isinstance(part, TextPart | RefusalPart)]
    thoughts = [part.text for part in parts if isinstance(part, ReasoningPart)]
    usage = said.usage or Usage()
    return {
        "text": "".join(words),
        "calls": [_of_call(part) for part in parts if isinstance(part, ToolCallPart)],
        "thinking": "".join(thoughts),
        "end": None if finish is None else _ENDS.get(finish, finish),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _of_call(part: ToolCallPart) -> tuple[str, object]:
    return part.name, json.loads(part.arguments)


def gathered(deltas: Iterable[Delta]) -> Completion:
    """Return the whole answer that a stream's deltas come to."""
    whole = _Whole()
    for delta in deltas:
        whole.note(delta)
    return whole.completion()


class _Whole:
    """Adds up a stream."""

    def __init__(self) -> None:
        self._parts: list[AnswerPart] = []
        self._calls: dict[int, ToolCallPart] = {}
        self._said = Completion(id="", model="", parts=(), finish=None)

    def note(self, delta: Delta) -> None:
        """Add ``delta``."""
        match delta:
            case TextDelta(text=text):
                self._parts.append(TextPart(text=text))
            case RefusalDelta(text=text):
                self._parts.append(RefusalPart(text=text))
            case ReasoningDelta(text=text):
                self._parts.append(ReasoningPart(text=text))
            case ToolCallStart(index=index, id=call_id, name=name):
                self._calls[index] = ToolCallPart(id=call_id, name=name, arguments="")
            case ToolCallDelta(index=index, arguments=more):
                call = self._calls[index]
                self._calls[index] = replace(call, arguments=call.arguments + more)
            case _:
                self._note_facts(delta)

    def _note_facts(self, delta: Delta) -> None:
        match delta:
            case Finished(finish=finish):
                self._said = replace(self._said, finish=finish)
            case UsageSeen(usage=usage):
                self._said = replace(self._said, usage=usage)
            case Started(usage=usage):
                self._said = replace(self._said, usage=usage)
            case _:
                pass

    def completion(self) -> Completion:
        """Return the whole."""
        calls = [replace(one, arguments=one.arguments or "{}") for one in self._calls.values()]
        return replace(self._said, parts=(*self._parts, *calls))
