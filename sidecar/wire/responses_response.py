"""OpenAI Responses answers ↔ ``Completion``, and error bodies.

An answer says in ``status`` whether it is whole. One that failed carries an error and is no answer;
one that is still under way is not complete. Tools that the provider ran itself leave items behind
that only this format knows: they are not read, but an answer that is nothing else is not empty, and
one that waits for its caller to run something ended with a call.
"""

from __future__ import annotations

import msgspec

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire import openai_response
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
from sidecar.wire.openai_content import Dropped
from sidecar.wire.responses_items import (
    Item,
    item_id,
    read_call,
    read_content,
    read_reasoning,
    response_id,
    sealed_reasoning,
)

Json = dict[str, object]


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class UsageObject(msgspec.Struct):
    """``usage`` of an answer."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    """An answer, whole or as a stream's first and last events carry it."""

    id: str | None = None
    output: list[Item] | None = None
    model: str | None = None
    created_at: int | float | None = None
    status: str | None = None
    incomplete_details: _Incomplete | None = None
    usage: UsageObject | None = None


_RESPONSE = msgspec.json.Decoder(Response)
_REASONS = {"max_output_tokens": Finish.LENGTH, "content_filter": Finish.CONTENT_FILTER}
_INCOMPLETE = {
    Finish.LENGTH: "max_output_tokens",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.REFUSAL: "content_filter",
}
_TOLD = frozenset({"message", "reasoning", "function_call"})
"""Items that have a neutral form."""


def parse_response(body: bytes) -> Completion:
    """Return a whole answer.

    Raises:
        WireError: not an answer of this format, or one that failed.
    """
    check_utf8(body)
    answer = decode(_RESPONSE, body)
    if answer.status in {"failed", "cancelled"}:
        raise WireError(f"the answer has {answer.status}", "$.status")
    if answer.output is None:
        raise WireError("the answer has no output", "$.output")
    return Completion(
        id=answer.id or "",
        model=answer.model or "",
        parts=tuple(_read_parts(answer.output)),
        finish=read_finish(answer),
        usage=read_usage(answer.usage),
        created=None if answer.created_at is None else int(answer.created_at),
        item_ids=item_ids(answer),
    )


def read_finish(answer: Response) -> Finish | None:
    """Return why the answer ended, None while it is under way."""
    if answer.status == "incomplete":
        reason = answer.incomplete_details.reason if answer.incomplete_details else None
        return _REASONS.get(reason or "", Finish.OTHER)
    if answer.status not in {None, "completed"}:
        return None
    kinds = {item.kind() for item in answer.output or ()}
    if "function_call" in kinds:
        return Finish.TOOL_CALLS
    # computer_call, custom_tool_call and their like: the caller's turn, unless words follow
    return Finish.TOOL_CALLS if kinds - _TOLD and "message" not in kinds else Finish.STOP


def read_usage(usage: UsageObject | None) -> Usage | None:
    """Return the tokens, None where none were counted; a part is never more than the whole."""
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    read = usage.input_tokens_details or _InputDetails()
    written = usage.output_tokens_details or _OutputDetails()
    prompt = usage.input_tokens or 0
    cached = min(read.cached_tokens or 0, prompt)
    return Usage(
        input_tokens=prompt,
        output_tokens=usage.output_tokens or 0,
        cached_tokens=cached,
        cache_write_tokens=min(read.cache_write_tokens or 0, prompt - cached),
        reasoning_tokens=written.reasoning_tokens or 0,
    )


def item_ids(answer: Response) -> tuple[str, ...]:
    """Return the ids of the answer's items, by which later requests may refer to them."""
    return tuple(item.id for item in answer.output or () if item.id)


def render_response(completion: Completion) -> bytes:
    """Return a ``response``, not stored anywhere."""
    answer_id = response_id(completion.id)
    output: list[Json] = []
    words: list[Json] = []
    for part in completion.parts:
        if isinstance(part, TextPart | RefusalPart):
            if not words:
                output.append(message_item(item_id("msg", answer_id, len(output)), words))
            words.append(word(part))
            continue
        words = []
        output.append(_write_item(part, answer_id, len(output)))
    body = response_object(
        answer_id=answer_id,
        model=completion.model,
        created=completion.created,
        finish=completion.finish,
        output=output,
        usage=completion.usage,
    )
    return msgspec.json.encode(body)


def response_object(
    *,
    answer_id: str,
    model: str,
    created: int | None,
    finish: Finish | None,
    output: list[Json],
    usage: Usage | None,
) -> Json:
    """Return an answer's object; without a ``finish`` it is in progress."""
    reason = None if finish is None else _reason(finish, output)
    done = "completed" if reason is None else "incomplete"
    return {
        "id": answer_id,
        "object": "response",
        "created_at": created or 0,
        "status": "in_progress" if finish is None else done,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "metadata": {},
        **({} if usage is None else {"usage": write_usage(usage)}),
    }


def message_item(own_id: str, content: list[Json], *, status: str = "completed") -> Json:
    """Return the item of a message of the assistant."""
    return {
        "id": own_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def word(part: TextPart | RefusalPart) -> Json:
    """Return a message's content part."""
    if isinstance(part, RefusalPart):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}


def reasoning_item(own_id: str, part: ReasoningPart) -> Json:
    """Return the item of a thought; ``encrypted_content`` only where a signature goes with it."""
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    item: Json = {"id": own_id, "type": "reasoning", "summary": summary}
    sealed = sealed_reasoning(part)
    return item if sealed is None else item | {"encrypted_content": sealed}


def call_item(own_id: str, part: ToolCallPart, *, status: str = "completed") -> Json:
    """Return the item of a function's call."""
    return {
        "id": own_id,
        "type": "function_call",
        "status": status,
        "arguments": part.arguments,
        "call_id": part.id,
        "name": part.name,
    }


def write_usage(usage: Usage) -> Json:
    """Return the ``usage`` object."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def render_error(*, status: int, code: str, message: str, details: dict[str, object]) -> bytes:
    """Return OpenAI's error body; ``param`` names the faulty field where the details know it."""
    body = openai_response.render_error(status=status, code=code, message=message, details=details)
    path = details.get("path")
    if not isinstance(path, str):
        return body
    read: dict[str, Json] = msgspec.json.decode(body)
    read["error"]["param"] = path.removeprefix("$.")
    return msgspec.json.encode(read)


def _reason(finish: Finish, output: list[Json]) -> str | None:
    """Return why an answer is incomplete, None if it is whole: a refusal in words is."""
    if finish is Finish.REFUSAL and b'"type":"refusal"' in msgspec.json.encode(output):
        return None
    return _INCOMPLETE.get(finish)


def _read_parts(output: list[Item]) -> list[AnswerPart]:
    parts: list[AnswerPart] = []
    for position, item in enumerate(output):
        path = f"$.output[{position}]"
        match item.kind():
            case "message":
                said = read_content(item.content, f"{path}.content", Dropped())
                for part in said:
                    if not isinstance(part, ImagePart):
                        parts.append(part)  # noqa: PERF401  # mypy narrows here
            case "reasoning":
                thought = read_reasoning(item, path, Dropped())
                parts += [] if thought is None else [thought]
            case "function_call":
                parts.append(read_call(item, position, path))
            case _:
                pass
    return parts


def _write_item(part: ReasoningPart | ToolCallPart, answer_id: str, position: int) -> Json:
    if isinstance(part, ReasoningPart):
        return reasoning_item(item_id("rs", answer_id, position), part)
    return call_item(item_id("fc", answer_id, position), part)
