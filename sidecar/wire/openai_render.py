"""``Conversation`` → an OpenAI Chat Completions request.

What this format cannot say is left out and named: reasoning of earlier turns (strict servers
refuse the field, and a signature means nothing to another provider), a thinking budget,
``top_k``, a tool's error flag. Images in a tool's result, which only user messages may carry
here, move to a user message after the results.
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
    from collections.abc import Sequence

    from sidecar.wire.neutral import OutputFormat, Part, Sampling

_Json = dict[str, object]


def render_request(
    conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
) -> Rendered:
    """Return the request body (see ``Codec``)."""
    dropped = Dropped(conversation.dropped)
    body: _Json = {"model": model, "messages": _render_messages(conversation, dropped)}
    body |= _render_tools(conversation)
    body |= _render_sampling(conversation.sampling, dropped)
    body |= _render_output(conversation.output)
    if conversation.max_tokens is not None:
        body[max_tokens_field] = conversation.max_tokens
    if conversation.stop:
        body["stop"] = conversation.stop
    if conversation.reasoning_effort is not None:
        body["reasoning_effort"] = conversation.reasoning_effort
    if conversation.reasoning_tokens is not None:
        dropped.add("thinking.budget_tokens")
    if conversation.user_id is not None:
        body["user"] = conversation.user_id
    if is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return Rendered(body=msgspec.json.encode(body), dropped=dropped.names())


def _render_messages(conversation: Conversation, dropped: Dropped) -> list[_Json]:
    """Return the messages; every result of a run of tool results comes before anything else."""
    messages: list[_Json] = [{"role": "system", "content": text} for text in conversation.system]
    moved: list[TextPart | ImagePart] = []
    for turn in conversation.turns:
        results = [part for part in turn.parts if isinstance(part, ToolResultPart)]
        if moved and not results:
            messages.append(_render_user(moved))
            moved = []
        messages += [_render_result(result, dropped) for result in results]
        for result in results:
            moved += [part for part in result.content if isinstance(part, ImagePart)]
        if turn.role is Role.ASSISTANT:
            messages += _render_assistant(turn.parts, dropped)
            continue
        said = [part for part in turn.parts if isinstance(part, TextPart | ImagePart)]
        if said:
            messages.append(_render_user([*moved, *said]))
            moved = []
    return [*messages, _render_user(moved)] if moved else messages


def _render_user(said: Sequence[TextPart | ImagePart]) -> _Json:
    return {"role": "user", "content": _render_content(said)}


def _render_result(result: ToolResultPart, dropped: Dropped) -> _Json:
    if result.is_error:
        dropped.add("messages.tool_result.is_error")
    texts = [part for part in result.content if isinstance(part, TextPart)]
    return {"role": "tool", "tool_call_id": result.call_id, "content": _render_content(texts)}


def _render_assistant(parts: Sequence[Part], dropped: Dropped) -> list[_Json]:
    texts = [part for part in parts if isinstance(part, TextPart)]
    refusals = [part.text for part in parts if isinstance(part, RefusalPart)]
    calls = [_render_call(part) for part in parts if isinstance(part, ToolCallPart)]
    if any(isinstance(part, ReasoningPart) for part in parts):
        dropped.add("messages.reasoning")
    if any(isinstance(part, ImagePart) for part in parts):
        dropped.add("messages.image_url")
    if not (texts or refusals or calls):
        return []
    message: _Json = {"role": "assistant", "content": _render_content(texts) if texts else None}
    if refusals:
        message["refusal"] = "".join(refusals)
    if calls:
        message["tool_calls"] = calls
    return [message]


def _render_content(parts: Sequence[TextPart | ImagePart]) -> str | list[_Json]:
    """Return the string form where it says the same."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_render_part(part) for part in parts]


def _render_part(part: TextPart | ImagePart) -> _Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    url = part.url
    if url is None:
        url = f"data:{part.media_type or ''};base64,{part.data or ''}"
    return {"type": "image_url", "image_url": {"url": url}}


def _render_call(part: ToolCallPart) -> _Json:
    function = {"name": part.name, "arguments": part.arguments}
    return {"id": part.id, "type": "function", "function": function}


def _render_tools(conversation: Conversation) -> _Json:
    """Return ``tools`` and what goes with it: without tools a choice is an error here."""
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
    function: _Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema != b"{}":
        function["parameters"] = msgspec.Raw(tool.schema)
    if tool.is_strict is not None:
        function["strict"] = tool.is_strict
    return {"type": "function", "function": function}


def _render_choice(choice: ToolChoice) -> str | _Json:
    if choice.mode is ToolChoiceMode.NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    return str(choice.mode.value)


def _render_sampling(sampling: Sampling, dropped: Dropped) -> _Json:
    if sampling.top_k is not None:
        dropped.add("top_k")
    fields: _Json = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _render_output(output: OutputFormat) -> _Json:
    if output.mode is OutputMode.TEXT:
        return {}
    if output.mode is OutputMode.JSON_OBJECT:
        return {"response_format": {"type": "json_object"}}
    schema: _Json = {"name": output.name or "answer", "schema": msgspec.Raw(output.schema or b"{}")}
    if output.is_strict is not None:
        schema["strict"] = output.is_strict
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
