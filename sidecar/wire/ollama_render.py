"""``Conversation`` → a request of Ollama's native API.

Why native, where Ollama speaks OpenAI's format too: only here ``top_k`` has a place, and what the
model thought in earlier turns goes back to it. What it cannot say is named: a forced tool choice
(tools are simply not sent where none may be called), images by URL, a thinking budget. Results of
tools carry the tool's name, which the chat templates of the models want, beside the call's id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.anthropic_turns import tool_input
from sidecar.wire.neutral import (
    Conversation,
    ImagePart,
    OutputMode,
    ReasoningPart,
    RefusalPart,
    Rendered,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoiceMode,
    ToolResultPart,
)
from sidecar.wire.openai_content import Dropped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.wire.neutral import OutputFormat, Part, Tool, Turn

_Json = dict[str, object]


def render_request(
    conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
) -> Rendered:
    """Return the request body (see ``ProviderCodec``).

    Raises:
        WireError: a tool call's arguments are not JSON of an object.
    """
    dropped = Dropped(conversation.dropped)
    body: _Json = {
        "model": model,
        "messages": _messages(conversation, dropped),
        "stream": is_stream,
    }
    tools = _tools(conversation, dropped)
    if tools:
        body["tools"] = tools
    options = _options(conversation, max_tokens_field)
    if options:
        body["options"] = options
    body |= _format(conversation.output)
    if conversation.reasoning_effort is not None:
        body["think"] = conversation.reasoning_effort
    if conversation.reasoning_tokens is not None:
        body.setdefault("think", True)
        dropped.add("thinking.budget_tokens")
    if conversation.user_id is not None:
        dropped.add("user")
    return Rendered(body=msgspec.json.encode(body), dropped=dropped.names())


def _messages(conversation: Conversation, dropped: Dropped) -> list[_Json]:
    messages: list[_Json] = [
        {"role": "system", "content": text} for text in conversation.system if text
    ]
    names: dict[str, str] = {}
    for turn in conversation.turns:
        if turn.role is Role.ASSISTANT:
            calls = [part for part in turn.parts if isinstance(part, ToolCallPart)]
            names |= {call.id: call.name for call in calls}
            messages += _assistant(turn, calls, dropped)
        else:
            messages += _user(turn, names, dropped)
    return messages


def _assistant(turn: Turn, calls: Sequence[ToolCallPart], dropped: Dropped) -> list[_Json]:
    thinking = [part for part in turn.parts if isinstance(part, ReasoningPart)]
    if any(part.redacted is not None for part in thinking):
        dropped.add("messages.reasoning")
    message: _Json = {"role": "assistant", **_content(turn.parts, dropped)}
    text = "".join(part.text for part in thinking)
    if text:
        message["thinking"] = text
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    return [message] if message["content"] or len(message) > len(("role", "content")) else []


def _user(turn: Turn, names: dict[str, str], dropped: Dropped) -> list[_Json]:
    """Return the tools' results, each a message of its own, then what the user says."""
    results = [part for part in turn.parts if isinstance(part, ToolResultPart)]
    messages: list[_Json] = []
    for result in results:
        if result.is_error:
            dropped.add("messages.tool_result.is_error")
        message: _Json = {"role": "tool", **_content(result.content, dropped)}
        if result.call_id in names:
            message["tool_name"] = names[result.call_id]
        messages.append({**message, "tool_call_id": result.call_id})
    said: _Json = {"role": "user", **_content(turn.parts, dropped)}
    return [*messages, said] if said["content"] or "images" in said else messages


def _content(parts: Iterable[Part], dropped: Dropped) -> _Json:
    """Return text and images, which stand apart in this format."""
    texts: list[str] = []
    images: list[str] = []
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            texts.append(part.text)
        elif isinstance(part, ImagePart) and part.data is not None:
            images.append(part.data)
        elif isinstance(part, ImagePart):
            dropped.add("messages.image_url")
    content: _Json = {"content": "\n".join(texts)}
    return {**content, "images": images} if images else content


def _call(part: ToolCallPart) -> _Json:
    function = {"name": part.name, "arguments": tool_input(part.arguments)}
    return {"id": part.id, "function": function}


def _tools(conversation: Conversation, dropped: Dropped) -> list[_Json]:
    """Return the tools that may be called; a choice among them is not for this format."""
    tools = conversation.tools
    choice = conversation.tool_choice
    if tools and choice is not None:
        if choice.mode is ToolChoiceMode.NONE:
            return []
        if choice.mode is not ToolChoiceMode.AUTO:
            dropped.add("tool_choice")
        if choice.mode is ToolChoiceMode.NAMED:
            tools = tuple(tool for tool in tools if tool.name == choice.name)
        if choice.is_parallel is False:
            dropped.add("parallel_tool_calls")
    return [_tool(tool) for tool in tools]


def _tool(tool: Tool) -> _Json:
    function: _Json = {"name": tool.name, "parameters": msgspec.Raw(tool.schema)}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _options(conversation: Conversation, max_tokens_field: str) -> _Json:
    sampling = conversation.sampling
    options: _Json = {
        max_tokens_field: conversation.max_tokens,
        "stop": list(conversation.stop) or None,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    return {name: value for name, value in options.items() if value is not None}


def _format(output: OutputFormat) -> _Json:
    if output.mode is OutputMode.TEXT:
        return {}
    if output.mode is OutputMode.JSON_SCHEMA and output.schema is not None:
        return {"format": msgspec.Raw(output.schema)}
    return {"format": "json"}
