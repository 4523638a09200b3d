"""Gemini answers ↔ the neutral form, and what streams share with them.

    {"candidates": [{"content": {"parts": […], "role": "model"}, "finishReason": "STOP"}],
     "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 40},
     "modelVersion": …, "responseId": …}

``STOP`` is said of tool calls too. Tokens of thoughts are counted beside those of the answer. A
blocked prompt has no candidate, only ``promptFeedback``: nothing was said, and that is complete. A
call that Gemini could not parse itself ends an answer without being one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.anthropic_blocks import object_text
from sidecar.wire.anthropic_turns import tool_input
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.gemini_parts import Content, Part, foreign_kind, is_null
from sidecar.wire.neutral import (
    Completion,
    Finish,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)

if TYPE_CHECKING:
    from sidecar.wire.neutral import AnswerPart

Json = dict[str, object]

_FINISHES = {
    "STOP": Finish.STOP,
    "FUNCTION_CALL": Finish.TOOL_CALLS,  # not Google's, but others' who imitate it
    "MAX_TOKENS": Finish.LENGTH,
    "CONTINUATION": Finish.LENGTH,
    "SAFETY": Finish.CONTENT_FILTER,
    "RECITATION": Finish.CONTENT_FILTER,
    "BLOCKLIST": Finish.CONTENT_FILTER,
    "PROHIBITED_CONTENT": Finish.CONTENT_FILTER,
    "SPII": Finish.CONTENT_FILTER,
    "IMAGE_SAFETY": Finish.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": Finish.CONTENT_FILTER,
    "IMAGE_RECITATION": Finish.CONTENT_FILTER,
    "MODEL_ARMOR": Finish.CONTENT_FILTER,
    "ESCALATION": Finish.CONTENT_FILTER,
}
_NUMBERED = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
_UNFINISHED = frozenset({None, "", "FINISH_REASON_UNSPECIFIED"})
BROKEN = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"})
"""Finish reasons of an answer that broke: not a finish."""
MALFORMED_CALL = "MALFORMED_FUNCTION_CALL"
_REASONS = {
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CONTENT_FILTER: "SAFETY",
    Finish.REFUSAL: "SAFETY",
    Finish.OTHER: "OTHER",
}
_ID_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_ID_CHARS_MAX = 24
"""OpenAI bounds the ids of calls at 40 characters."""


class UsageMetadata(msgspec.Struct, rename="camel"):
    """Running or final counts; ``toolUsePromptTokenCount`` is what Google's own tools read."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class Candidate(msgspec.Struct, rename="camel"):
    """One answer."""

    content: Content | None = None
    finish_reason: str | int | None = None
    finish_message: str | None = None
    index: int = 0


class PromptFeedback(msgspec.Struct, rename="camel"):
    """Why a prompt was not answered at all."""

    block_reason: str | int | None = None


class Response(msgspec.Struct, rename="camel"):
    """A whole answer, or a stream's piece of one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")

    def is_blocked(self) -> bool:
        """Return whether the prompt was refused."""
        return self.prompt_feedback is not None and bool(self.prompt_feedback.block_reason)


_RESPONSE = msgspec.json.Decoder(Response)


def parse_response(body: bytes) -> Completion:
    """Return the first candidate of a whole answer; errors as in ``Codec.parse_response``."""
    check_utf8(body)
    answer = decode(_RESPONSE, body)
    if not answer.candidates:
        if not answer.is_blocked():
            raise WireError("the answer has no candidate", "$.candidates")
        answer.candidates = [Candidate(finish_reason="SAFETY")]
    candidate = answer.candidates[0]
    response_id = answer.response_id or ""
    parts: list[AnswerPart] = []
    for index, part in enumerate(candidate.content.parts or () if candidate.content else ()):
        path = f"$.candidates[0].content.parts[{index}]"
        parts += read_part(part, response_id, len(calls_of(parts)), path)
    return Completion(
        id=response_id,
        model=answer.model_version or "",
        parts=tuple(parts),
        finish=read_finish(reason_of(candidate), has_calls=bool(calls_of(parts))),
        usage=read_usage(answer.usage_metadata),
    )


def calls_of(parts: list[AnswerPart] | tuple[AnswerPart, ...]) -> list[ToolCallPart]:
    """Return the tool calls."""
    return [part for part in parts if isinstance(part, ToolCallPart)]


def read_part(part: Part, response_id: str, call_count: int, path: str) -> list[AnswerPart]:
    """Return what a part says: nothing, or one neutral part.

    What no other format holds is there as a thought that names it: it is content, and no words of
    the answer. ``call_count``: calls before this one, for the id of one that has none.

    Raises:
        WireError: a call's arguments are no object.
    """
    call = part.function_call
    if call is not None:
        text = "{}" if is_null(call.args) else object_text(call.args, f"{path}.functionCall.args")
        made = f"call_{_ID_FOREIGN.sub('_', response_id)[:_ID_CHARS_MAX]}_{call_count}"
        return [ToolCallPart(id=call.id or made, name=call.name, arguments=text)]
    if part.text:
        text = part.text
        return [ReasoningPart(text=text) if part.thought else TextPart(text=text)]
    kind = foreign_kind(part)
    if kind is None and (part.inline_data or part.file_data):
        kind = "inlineData"
    return [] if kind is None else [ReasoningPart(text=f"[{kind}]")]


def reason_of(candidate: Candidate) -> str | None:
    """Return the finish reason by its name; some servers write its number."""
    reason = candidate.finish_reason
    return _NUMBERED.get(reason, "OTHER" if reason else None) if isinstance(reason, int) else reason


def read_finish(reason: str | None, *, has_calls: bool) -> Finish | None:
    """Return what ``reason`` means, None while the answer is not complete, or broken."""
    if reason in _UNFINISHED or reason in BROKEN:
        return None
    finish = _FINISHES.get(reason or "", Finish.OTHER)
    return Finish.TOOL_CALLS if finish is Finish.STOP and has_calls else finish


def write_finish(finish: Finish, *, has_refusal: bool) -> str:
    """Return the finish reason of this format."""
    if finish is Finish.STOP and has_refusal:
        finish = Finish.REFUSAL
    return _REASONS.get(finish, "STOP")


def read_usage(usage: UsageMetadata | None) -> Usage | None:
    """Return the tokens, None where nothing is counted."""
    if usage is None or usage.prompt_token_count is None:
        return None
    prompt = usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0)
    thoughts = usage.thoughts_token_count or 0
    return Usage(
        input_tokens=prompt,
        output_tokens=(usage.candidates_token_count or 0) + thoughts,
        cached_tokens=min(usage.cached_content_token_count or 0, prompt),
        reasoning_tokens=thoughts,
    )


def write_usage(usage: Usage) -> Json:
    """Return ``usageMetadata``; writing to a cache is not counted here."""
    thoughts = min(usage.reasoning_tokens, usage.output_tokens)
    counts: Json = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - thoughts,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    if thoughts:
        counts["thoughtsTokenCount"] = thoughts
    return counts


def render_response(completion: Completion) -> bytes:
    """Write a whole answer.

    Raises:
        WireError: a tool call's arguments are not a JSON object although the answer is whole.
    """
    finish = completion.finish
    parts = [one for part in completion.parts for one in _part(part, finish)]
    candidate: Json = {"content": {"parts": parts, "role": "model"}}
    if finish is not None:
        has_refusal = any(isinstance(part, RefusalPart) for part in completion.parts)
        candidate["finishReason"] = write_finish(finish, has_refusal=has_refusal)
    candidate["index"] = 0
    answer: Json = {"candidates": [candidate]}
    if completion.usage is not None:
        answer["usageMetadata"] = write_usage(completion.usage)
    answer |= {"modelVersion": completion.model, "responseId": completion.id}
    return msgspec.json.encode(answer)


def _part(part: AnswerPart, finish: Finish | None) -> list[Json]:
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            return [{"text": text}]
        case ReasoningPart(text=text):
            return [{"text": text, "thought": True}] if text else []
        case ToolCallPart():
            return _call(part, finish)


def _call(part: ToolCallPart, finish: Finish | None) -> list[Json]:
    """Return a call, none if the token limit cut it short: half a call must not be made."""
    try:
        return [call_part(part.id, part.name, part.arguments)]
    except WireError:
        if finish is Finish.LENGTH:
            return []
        raise


def call_part(call_id: str, name: str, arguments: str) -> Json:
    """Return the part that calls a function.

    Raises:
        WireError: the arguments are not a JSON object.
    """
    return {"functionCall": {"id": call_id, "name": name, "args": tool_input(arguments)}}
