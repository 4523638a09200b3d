"""Anthropic Messages requests → the neutral form, for calls that another format has to carry.

Strict where ``anthropic_request`` is lenient: every field that is translated must have its type.
What the neutral form cannot hold is named in ``Conversation.dropped``, unknown members included.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sidecar.errors import WireError
from sidecar.wire.anthropic_blocks import ToolType, is_set, read_blocks, read_text_blocks
from sidecar.wire.decode import decode
from sidecar.wire.neutral import (
    Conversation,
    OutputFormat,
    OutputMode,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
    ToolChoiceMode,
    Turn,
)

_CHOICES = {
    "auto": ToolChoiceMode.AUTO,
    "any": ToolChoiceMode.REQUIRED,
    "tool": ToolChoiceMode.NAMED,
    "none": ToolChoiceMode.NONE,
}
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[msgspec.Raw]


class _Tool(msgspec.Struct):
    name: str
    input_schema: msgspec.Raw
    description: str | None = None
    strict: bool | None = None
    type: str | None = None


class _Choice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(msgspec.Struct):
    type: str
    schema: msgspec.Raw = msgspec.Raw()


class _OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int
    system: str | list[msgspec.Raw] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None


_REQUEST = msgspec.json.Decoder(_Request)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TOOL_TYPE = msgspec.json.Decoder(ToolType)
_TOOL = msgspec.json.Decoder(_Tool)


def parse_request(body: bytes) -> Conversation:
    """Read a whole message request; errors as in ``Codec.parse_request``."""
    request = decode(_REQUEST, body)
    known = _Request.__struct_fields__
    dropped = [k for k, raw in decode(_MEMBERS, body).items() if k not in known and is_set(raw)]
    system = read_text_blocks(request.system, "$.system", dropped)
    turns: list[Turn] = []
    for index, message in enumerate(request.messages):
        path = f"$.messages[{index}].content"
        if message.role == "system":
            system += read_text_blocks(message.content, path, dropped)
        else:
            turns.append(_turn(message, path, dropped))
    effort, tokens = _reasoning(request, dropped)
    return Conversation(
        system=tuple(system),
        turns=tuple(turns),
        tools=_tools(request.tools or [], dropped),
        tool_choice=_tool_choice(request.tool_choice),
        max_tokens=request.max_tokens,
        stop=tuple(request.stop_sequences or ()),
        sampling=Sampling(
            temperature=request.temperature, top_p=request.top_p, top_k=request.top_k
        ),
        output=_output(request, dropped),
        reasoning_effort=effort,
        reasoning_tokens=tokens,
        user_id=request.metadata.user_id if request.metadata else None,
        dropped=tuple(dict.fromkeys(dropped)),
    )


def _turn(message: _Message, path: str, dropped: list[str]) -> Turn:
    role = Role(message.role)
    if isinstance(message.content, str):
        return Turn(role=role, parts=(TextPart(text=message.content),) if message.content else ())
    return Turn(role=role, parts=read_blocks(message.content, path, dropped))


def _tools(raws: list[msgspec.Raw], dropped: list[str]) -> tuple[Tool, ...]:
    """Read tools that have a schema; the provider's own ones exist nowhere else."""
    tools: list[Tool] = []
    for index, raw in enumerate(raws):
        path = f"$.tools[{index}]"
        kind = decode(_TOOL_TYPE, raw, path).type
        if kind not in {None, "custom"}:
            dropped.append(str(kind))
            continue
        tool = decode(_TOOL, raw, path)
        unknown = [k for k in decode(_MEMBERS, raw, path) if k not in _Tool.__struct_fields__]
        dropped += [k if k == "cache_control" else f"tools.{k}" for k in unknown]
        tools.append(
            Tool(
                name=tool.name,
                description=tool.description,
                schema=bytes(tool.input_schema),
                is_strict=tool.strict,
            )
        )
    return tuple(tools)


def _tool_choice(choice: _Choice | None) -> ToolChoice | None:
    if choice is None:
        return None
    if choice.type == "tool" and choice.name is None:
        raise WireError("Object missing required field `name`", "$.tool_choice")
    is_serial = choice.disable_parallel_tool_use
    return ToolChoice(
        mode=_CHOICES[choice.type],
        name=choice.name if choice.type == "tool" else None,
        is_parallel=None if is_serial is None else not is_serial,
    )


def _reasoning(request: _Request, dropped: list[str]) -> tuple[str | None, int | None]:
    """Return the effort or the thinking budget: at most one, the budget being the exacter wish."""
    wanted = request.output_config.effort if request.output_config else None
    effort = _EFFORTS.get(wanted or "")
    thinking = request.thinking
    if thinking is not None and thinking.display is not None:
        dropped.append("thinking.display")
    if thinking is not None and thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise WireError("Object missing required field `budget_tokens`", "$.thinking")
        if wanted is not None:
            dropped.append("output_config.effort")
        return None, thinking.budget_tokens
    # Adaptive thinking without an effort is "as the model likes", disabled thinking "not at all":
    # neither has a neutral form.
    if thinking is not None and (thinking.type != "adaptive" or effort is None):
        dropped.append("thinking")
    if wanted != effort:
        dropped.append("output_config.effort")
    return effort, None


def _output(request: _Request, dropped: list[str]) -> OutputFormat:
    wanted = request.output_config.format if request.output_config else None
    wanted = wanted or request.output_format
    if wanted is None:
        return OutputFormat()
    if wanted.type != "json_schema" or not is_set(wanted.schema):
        dropped.append("output_config.format")
        return OutputFormat()
    return OutputFormat(mode=OutputMode.JSON_SCHEMA, schema=bytes(wanted.schema))
