"""``Conversation`` → a request of Bedrock's Converse, one form for the models of many vendors.

The rules it enforces with a 400 are kept: roles alternate and begin with the user, no text is
blank, results lead their turn, and where calls or results stand in the history there must be tools,
even if none may be called now. Images go as bytes alone. What only some models know travels beside
(``additionalModelRequestFields``): ``top_k`` and thinking for Anthropic's, by the rules that they
have at home. Everything else that has no place is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.anthropic_render import sampling_of, thinking_of
from sidecar.wire.anthropic_turns import tool_input, tool_use_id
from sidecar.wire.neutral import (
    ImagePart,
    OutputMode,
    ReasoningPart,
    RefusalPart,
    Rendered,
    Role,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoiceMode,
    ToolResultPart,
)
from sidecar.wire.openai_content import Dropped

if TYPE_CHECKING:
    from sidecar.wire.neutral import Conversation, OutputFormat, Part, Turn

_Json = dict[str, object]

_IMAGE_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_OPENING: _Json = {"text": "."}
"""Stands where the user's first turn is missing, as in Anthropic's own format."""
_ANY_OBJECT = b'{"type":"object"}'


def render_request(conversation: Conversation, *, model: str, max_tokens_field: str) -> Rendered:
    """Return the request body (see ``ProviderCodec``); model and stream flag are in the path.

    Raises:
        WireError: a tool call's arguments are not JSON of an object.
    """
    dropped = Dropped(conversation.dropped)
    body: _Json = {"messages": _messages(conversation.turns, dropped)}
    system = [{"text": text} for text in conversation.system if text.strip()]
    if system:
        body["system"] = system
    body |= _inference(conversation, model, max_tokens_field, dropped)
    tools = _tools(conversation, dropped)
    if tools:
        body["toolConfig"] = tools
    body |= _output(conversation.output, dropped)
    if conversation.user_id is not None:
        dropped.add("user")
    return Rendered(body=msgspec.json.encode(body), dropped=dropped.names())


# --- messages ----------------------------------------------------------------------------------


def _messages(turns: tuple[Turn, ...], dropped: Dropped) -> list[_Json]:
    merged: list[tuple[Role, list[_Json]]] = []
    for turn in turns:
        blocks = [block for part in turn.parts for block in _blocks(part, dropped)]
        if blocks and merged and merged[-1][0] is turn.role:
            merged[-1][1].extend(blocks)
        elif blocks:
            merged.append((turn.role, blocks))
    if not merged or merged[0][0] is Role.ASSISTANT:
        merged.insert(0, (Role.USER, [_OPENING]))
    role, blocks = merged[-1]
    last = blocks[-1].get("text")
    if role is Role.ASSISTANT and isinstance(last, str):
        blocks[-1] = {"text": last.rstrip()}  # of an answer that the model shall continue
    return [
        {"role": role.value, "content": sorted(blocks, key=lambda block: "toolResult" not in block)}
        for role, blocks in merged
    ]


def _blocks(part: Part, dropped: Dropped) -> list[_Json]:
    """Return the part as no block or one."""
    match part:
        case TextPart() | RefusalPart():
            return [{"text": part.text}] if part.text.strip() else []
        case ImagePart():
            return _image(part, dropped)
        case ToolCallPart():
            arguments = tool_input(part.arguments)
            call = {"toolUseId": tool_use_id(part.id), "name": part.name, "input": arguments}
            return [{"toolUse": call}]
        case ToolResultPart():
            return [_result(part, dropped)]
        case ReasoningPart():
            return _reasoning(part, dropped)


def _image(part: ImagePart, dropped: Dropped) -> list[_Json]:
    kind = _IMAGE_FORMATS.get(part.media_type or "")
    if part.data is None or kind is None:
        dropped.add("messages.image_url")
        return []
    return [{"image": {"format": kind, "source": {"bytes": part.data}}}]


def _result(part: ToolResultPart, dropped: Dropped) -> _Json:
    content = [block for item in part.content for block in _blocks(item, dropped)]
    result: _Json = {"toolUseId": tool_use_id(part.call_id), "content": content}
    if part.is_error:
        result["status"] = "error"
    return {"toolResult": result}


def _reasoning(part: ReasoningPart, dropped: Dropped) -> list[_Json]:
    """Return thinking that is signed or sealed; the models refuse any other."""
    if part.redacted is not None:
        return [{"reasoningContent": {"redactedContent": part.redacted}}]
    if part.signature:
        text = {"text": part.text, "signature": part.signature}
        return [{"reasoningContent": {"reasoningText": text}}]
    dropped.add("messages.reasoning")
    return []


# --- wishes ------------------------------------------------------------------------------------


def _inference(
    conversation: Conversation, model: str, max_tokens_field: str, dropped: Dropped
) -> _Json:
    """Return ``inferenceConfig``, and what only the model itself knows."""
    extra: _Json = {}
    limit = conversation.max_tokens
    if "anthropic." in model:
        lost: list[str] = []
        budget, least = thinking_of(conversation, lost)
        if budget is not None:
            extra["thinking"] = {"type": "enabled", "budget_tokens": budget}
            limit = least
        wanted = sampling_of(conversation, is_thinking=budget is not None, dropped=lost)
        for name in lost:
            dropped.add(name)
    else:
        wanted = _plain_sampling(conversation, dropped)
    if "top_k" in wanted:
        extra["top_k"] = wanted["top_k"]
    stop = [text for text in conversation.stop if text.strip()]
    config: _Json = {
        max_tokens_field: limit,
        "temperature": wanted.get("temperature"),
        "topP": wanted.get("top_p"),
        "stopSequences": stop or None,
    }
    if len(stop) < len(conversation.stop):
        dropped.add("stop")
    config = {name: value for name, value in config.items() if value is not None}
    fields: _Json = {"inferenceConfig": config} if config else {}
    return {**fields, "additionalModelRequestFields": extra} if extra else fields


def _plain_sampling(conversation: Conversation, dropped: Dropped) -> _Json:
    """Return what every model knows; names the rest."""
    sampling = conversation.sampling
    foreign = {
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty or None,
        "presence_penalty": sampling.presence_penalty or None,
        "reasoning_effort": conversation.reasoning_effort,
        "thinking.budget_tokens": conversation.reasoning_tokens,
    }
    for name, value in foreign.items():
        if value is not None:
            dropped.add(name)
    return {"temperature": sampling.temperature, "top_p": sampling.top_p}


def _tools(conversation: Conversation, dropped: Dropped) -> _Json:
    """Return tools and the choice among them."""
    tools = _offered(conversation, dropped)
    if not tools:
        return {}
    config: _Json = {"tools": [_tool(tool) for tool in tools]}
    choice = conversation.tool_choice
    if choice is None or not conversation.tools:
        return config
    if choice.is_parallel is False:
        dropped.add("parallel_tool_calls")
    if choice.mode is ToolChoiceMode.NAMED:
        config["toolChoice"] = {"tool": {"name": choice.name}}
    elif choice.mode is ToolChoiceMode.REQUIRED:
        config["toolChoice"] = {"any": {}}
    return config


def _offered(conversation: Conversation, dropped: Dropped) -> tuple[Tool, ...]:
    """Return the tools to offer.

    There is no choice ``none`` here: without calls in the history the tools are not offered, with
    calls there must be some.
    """
    called = _called(conversation.turns)
    tools = conversation.tools
    choice = conversation.tool_choice
    if tools and choice is not None and choice.mode is ToolChoiceMode.NONE:
        if not called:
            return ()
        dropped.add("tool_choice")
    return tools or tuple(Tool(name=name, schema=_ANY_OBJECT) for name in called)


def _called(turns: tuple[Turn, ...]) -> list[str]:
    """Return the names of the tools that the history has calls of, each once."""
    names = [part.name for turn in turns for part in turn.parts if isinstance(part, ToolCallPart)]
    return list(dict.fromkeys(names))


def _tool(tool: Tool) -> _Json:
    schema = _ANY_OBJECT if tool.schema == b"{}" else tool.schema
    spec: _Json = {"name": tool.name, "inputSchema": {"json": msgspec.Raw(schema)}}
    if tool.description:
        spec["description"] = tool.description
    if tool.is_strict is not None:
        spec["strict"] = tool.is_strict
    return {"toolSpec": spec}


def _output(output: OutputFormat, dropped: Dropped) -> _Json:
    """Return ``outputConfig``; a schema travels as text in it."""
    if output.mode is OutputMode.JSON_SCHEMA and output.schema is not None:
        schema = {"name": output.name or "answer", "schema": output.schema.decode()}
        form = {"type": "json_schema", "structure": {"jsonSchema": schema}}
        return {"outputConfig": {"textFormat": form}}
    if output.mode is not OutputMode.TEXT:
        dropped.add("response_format")
    return {}
