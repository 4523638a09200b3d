"""OpenAI Chat Completions answers ↔ ``Completion``, and error bodies.

Reading is lenient where compatible servers differ (missing ids, content as parts, their own
finish reasons), strict where it matters: an answer without a choice, or one that carries an error
object, is no answer. Servers that end a forced tool call with ``stop`` (OpenAI does) are read as
having called tools.
"""

from __future__ import annotations

import msgspec

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.neutral import (
    AnswerPart,
    Completion,
    Finish,
    ImagePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from sidecar.wire.openai_content import (
    Content,
    Dropped,
    Function,
    ToolCall,
    read_content,
    read_tool_call,
)

_NULL = msgspec.Raw(b"null")


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class UsageObject(msgspec.Struct, gc=False):
    """``usage`` of an answer or a stream; ``prompt_cache_hit_tokens`` is DeepSeek's."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class _Message(msgspec.Struct, gc=False):
    content: Content = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    created: int | float | None = None
    usage: UsageObject | None = None


class _Error(msgspec.Struct):
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    error: str | _Error | None = None
    message: str | None = None
    detail: msgspec.Raw = _NULL


_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()
_ANSWER = msgspec.json.Decoder(_Answer)
_ERROR_BODY = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody])
_TEXT = msgspec.json.Decoder(str)

_FINISHES = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "eos_token": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "end_turn": Finish.STOP,
    "length": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}
_REASONS = {
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.REFUSAL: "content_filter",
}
_ERROR_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
FINISH_ERROR = "error"
"""Mistral's and OpenRouter's finish reason of an answer that broke: not a finish."""


def read_finish(reason: str | None, *, has_calls: bool) -> Finish | None:
    """Return what ``reason`` means, None while the answer is not complete."""
    if not reason or reason == FINISH_ERROR:
        return None
    finish = _FINISHES.get(reason, Finish.OTHER)
    return Finish.TOOL_CALLS if finish is Finish.STOP and has_calls else finish


def write_finish(finish: Finish) -> str:
    """Return the finish reason of this format; what it has no word for is a plain ``stop``."""
    return _REASONS.get(finish, "stop")


def read_usage(usage: UsageObject | None) -> Usage | None:
    """Return the tokens, None where the server counted none.

    Azure's Grok reports more cached tokens than prompt tokens; a part is never more than the whole,
    else an answer would cost less than nothing.
    """
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return None
    read = usage.prompt_tokens_details or _NO_INPUT_DETAILS
    written = usage.completion_tokens_details or _NO_OUTPUT_DETAILS
    prompt = usage.prompt_tokens or 0
    cached = min(read.cached_tokens or usage.prompt_cache_hit_tokens or 0, prompt)
    return Usage(
        input_tokens=prompt,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=cached,
        cache_write_tokens=min(read.cache_write_tokens or 0, prompt - cached),
        reasoning_tokens=written.reasoning_tokens or 0,
    )


def write_usage(usage: Usage) -> dict[str, object]:
    """Return the ``usage`` object; cache writes ride where OpenRouter puts them."""
    read = {"cached_tokens": usage.cached_tokens}
    if usage.cache_write_tokens:
        read["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": read,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def parse_response(body: bytes) -> Completion:
    """Return the first choice of a whole answer.

    Raises:
        WireError: not an answer of this format.
    """
    check_utf8(body)
    answer = decode(_ANSWER, body)
    if not answer.choices:
        raise WireError("the answer has no choice", "$.choices")
    choice = answer.choices[0]
    parts = _read_message(choice.message)
    has_calls = bool(parts) and isinstance(parts[-1], ToolCallPart)
    return Completion(
        id=answer.id or "",
        model=answer.model or "",
        parts=parts,
        finish=read_finish(choice.finish_reason, has_calls=has_calls),
        usage=read_usage(answer.usage),
        created=None if answer.created is None else int(answer.created),
    )


def render_response(completion: Completion) -> bytes:
    """Return a ``chat.completion``."""
    finish = completion.finish
    choice = {
        "index": 0,
        "message": _write_message(completion),
        "logprobs": None,
        "finish_reason": None if finish is None else write_finish(finish),
    }
    answer: dict[str, object] = {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created or 0,
        "model": completion.model,
        "choices": [choice],
    }
    if completion.usage is not None:
        answer["usage"] = write_usage(completion.usage)
    return msgspec.json.encode(answer)


def render_error(*, status: int, code: str, message: str, details: dict[str, object]) -> bytes:
    """Return an error body as the OpenAI SDKs read it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004  # HTTP
    error = {
        "message": message,
        "type": _ERROR_TYPES.get(status, kind),
        "param": None,
        "code": code,
        "sidecar": details,
    }
    return msgspec.json.encode({"error": error})


def error_text(body: bytes) -> str | None:
    """Return the message of a provider's error body, None if there is none to find."""
    try:
        read = _ERROR_BODY.decode(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(read, list):
        read = read[0] if read else _ErrorBody()
    text = read.error.message if isinstance(read.error, _Error) else read.error
    return text or read.message or _detail(bytes(read.detail))


def _detail(raw: bytes) -> str | None:
    """Return FastAPI's ``detail``: text, or a structure that is shown as it is."""
    if raw == b"null":
        return None
    try:
        text: str = _TEXT.decode(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")
    return text or None


def _read_message(message: _Message) -> tuple[AnswerPart, ...]:
    parts: list[AnswerPart] = []
    reasoning = message.reasoning_content or message.reasoning
    if reasoning:
        parts.append(ReasoningPart(text=reasoning))
    if isinstance(message.content, list):
        for part in read_content(message.content, Dropped()):
            if not isinstance(part, ImagePart):
                parts.append(part)  # noqa: PERF401  # mypy narrows here, not in a comprehension
    elif message.content:
        parts.append(TextPart(text=message.content))
    if message.refusal:
        parts.append(RefusalPart(text=message.refusal))
    if message.tool_calls or message.function_call is not None:
        parts += _read_calls(message)
    return tuple(parts)


def _read_calls(message: _Message) -> list[ToolCallPart]:
    """Return the calls of tools, which come last in an answer."""
    calls = list(message.tool_calls or ())
    if message.function_call is not None:
        calls.append(ToolCall(function=message.function_call))
    read = (read_tool_call(call, position) for position, call in enumerate(calls))
    return [call for call in read if call is not None]


def _write_message(completion: Completion) -> dict[str, object]:
    parts = completion.parts
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    refusals = [part.text for part in parts if isinstance(part, RefusalPart)]
    reasoning = [part.text for part in parts if isinstance(part, ReasoningPart) and part.text]
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    message: dict[str, object] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    return message
