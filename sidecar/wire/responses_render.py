"""``Conversation`` → an OpenAI Responses request, stateless: nothing is to be stored.

What this format cannot say is left out and named: stop sequences, ``top_k``, seed, penalties, a
thinking budget, a tool's error flag, and reasoning of earlier turns, which OpenAI takes only as it
encrypted it. A function that says nothing of ``strict`` is asked for as not strict, since here the
default is strict, which refuses many a schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.neutral import (
    Conversation,
    ImagePart,
    OutputMode,
    ReasoningPart,
    RefusalPart,
    Rendered,
    Role,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
)
from sidecar.wire.openai_content import Dropped

if TYPE_CHECKING:
    from sidecar.wire.neutral import OutputFormat, Part, Sampling, Turn

_Json = dict[str, object]
_OUTPUT_TOKENS_MIN = 16
"""The API's own least bound on an answer."""


def render_request(conversation: Conversation, *, model: str, is_stream: bool) -> Rendered:
    """Return the request body (see ``Codec``)."""
    dropped = Dropped(conversation.dropped)
    instructions, *more = conversation.system or ("",)
    items: list[_Json] = [_message("system", text) for text in more]
    for turn in conversation.turns:
        items += _render_turn(turn, dropped)
    body: _Json = {"model": model, "input": items, "store": False}
    if instructions:
        body["instructions"] = instructions
    if is_stream:
        body["stream"] = True
    body |= _render_tools(conversation)
    body |= _render_sampling(conversation.sampling, dropped)
    body |= _render_output(conversation.output)
    body |= _render_bounds(conversation, dropped)
    if conversation.user_id is not None:
        body["user"] = conversation.user_id
    return Rendered(body=msgspec.json.encode(body), dropped=dropped.names())


def _render_bounds(conversation: Conversation, dropped: Dropped) -> _Json:
    """Return how long the answer and its reasoning may be."""
    body: _Json = {}
    if conversation.max_tokens is not None:
        body["max_output_tokens"] = max(conversation.max_tokens, _OUTPUT_TOKENS_MIN)
        if conversation.max_tokens < _OUTPUT_TOKENS_MIN:
            dropped.add("max_tokens")
    if conversation.stop:
        dropped.add("stop")
    if conversation.reasoning_effort is not None:
        body["reasoning"] = {"effort": conversation.reasoning_effort}
    if conversation.reasoning_tokens is not None:
        dropped.add("thinking.budget_tokens")
    return body


def _render_turn(turn: Turn, dropped: Dropped) -> list[_Json]:
    """Return a turn's items: words together in one message, everything else an item of its own."""
    items: list[_Json] = []
    words: list[_Json] = []

    def flush() -> None:
        if words:
            items.append(_message(turn.role.value, words.copy()))
            words.clear()

    for part in turn.parts:
        word = _render_word(part, turn.role, dropped)
        if word is not None:
            words.append(word)
            continue
        item = _render_item(part, dropped)
        if item is not None:
            flush()
            items.append(item)
    flush()
    return items


def _message(role: str, content: str | list[_Json]) -> _Json:
    """Return a message; its type may be left out, but not every server guesses it."""
    return {"type": "message", "role": role, "content": content}


def _render_word(part: Part, role: Role, dropped: Dropped) -> _Json | None:
    match part:
        case TextPart():
            kind = "input_text" if role is Role.USER else "output_text"
            return {"type": kind, "text": part.text}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.text}
        case ImagePart() if role is Role.USER:
            return _render_image(part)
        case ImagePart():
            dropped.add("messages.image_url")
            return None
        case _:
            return None


def _render_item(part: Part, dropped: Dropped) -> _Json | None:
    match part:
        case ToolCallPart():
            return {
                "type": "function_call",
                "call_id": part.id,
                "name": part.name,
                "arguments": part.arguments,
            }
        case ToolResultPart():
            return _render_result(part, dropped)
        case ReasoningPart():
            dropped.add("messages.reasoning")
            return None
        case _:
            return None


def _render_result(result: ToolResultPart, dropped: Dropped) -> _Json:
    if result.is_error:
        dropped.add("messages.tool_result.is_error")
    output: str | list[_Json]
    if any(isinstance(part, ImagePart) for part in result.content):
        output = [
            {"type": "input_text", "text": part.text}
            if isinstance(part, TextPart)
            else _render_image(part)
            for part in result.content
        ]
    else:
        output = "".join(part.text for part in result.content if isinstance(part, TextPart))
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _render_image(image: ImagePart) -> _Json:
    url = image.url
    if url is None:
        url = f"data:{image.media_type or ''};base64,{image.data or ''}"
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def _render_tools(conversation: Conversation) -> _Json:
    """Return ``tools`` and what goes with it: without tools a choice means nothing."""
    if not conversation.tools:
        return {}
    fields: _Json = {"tools": [_render_tool(tool) for tool in conversation.tools]}
    choice = conversation.tool_choice
    if choice is not None:
        fields["tool_choice"] = _render_choice(choice)
        if choice.is_parallel is not None:
            fields["parallel_tool_calls"] = choice.is_parallel
    return fields


def _render_tool(tool: Tool) -> _Json:
    schema = b'{"type":"object","properties":{}}' if tool.schema == b"{}" else tool.schema
    function: _Json = {
        "type": "function",
        "name": tool.name,
        "parameters": msgspec.Raw(schema),
        "strict": bool(tool.is_strict),
    }
    if tool.description is not None:
        function["description"] = tool.description
    return function


def _render_choice(choice: ToolChoice) -> str | _Json:
    if choice.mode is ToolChoiceMode.NAMED:
        return {"type": "function", "name": choice.name}
    return str(choice.mode.value)


def _render_sampling(sampling: Sampling, dropped: Dropped) -> _Json:
    foreign = {
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    for name, value in foreign.items():
        # A penalty of 0 asks for nothing; a seed of 0 is a seed.
        if value is not None and (value or name == "seed"):
            dropped.add(name)
    fields: _Json = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    return {name: value for name, value in fields.items() if value is not None}


def _render_output(output: OutputFormat) -> _Json:
    if output.mode is OutputMode.TEXT:
        return {}
    wanted: _Json = {"type": output.mode.value}
    if output.mode is OutputMode.JSON_SCHEMA:
        wanted["name"] = output.name or "answer"
        wanted["schema"] = msgspec.Raw(output.schema or b"{}")
        if output.is_strict is not None:
            wanted["strict"] = output.is_strict
    return {"text": {"format": wanted}}
