"""Gemini requests → the neutral form, for calls that another format has to carry.

Older callers write calls and results without ids and match them by name; here each call gets an
id, and a result that of the oldest unanswered call of its name. Signatures of thoughts mean
nothing to another provider and are left out. What the neutral form cannot hold is named in
``Conversation.dropped``, unknown members included.
"""

from __future__ import annotations

import msgspec

from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.gemini_inspect import foreign_tools
from sidecar.wire.gemini_names import camel, camel_cased
from sidecar.wire.gemini_parts import Content, is_null
from sidecar.wire.gemini_schema import json_schema
from sidecar.wire.gemini_turns_read import TurnReader
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

_NULL = msgspec.Raw(b"null")
_NOTHING = frozenset({b"null", b"[]", b"{}", b"false", b'""'})
_JSON = "application/json"
_TEXT_TYPES = frozenset({None, "", "text/plain"})
_MODES = {
    "AUTO": ToolChoiceMode.AUTO,
    "VALIDATED": ToolChoiceMode.AUTO,
    "ANY": ToolChoiceMode.REQUIRED,
    "NONE": ToolChoiceMode.NONE,
}
_LEVELS = {"MINIMAL": "low", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}


class _Function(msgspec.Struct, rename="camel"):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = _NULL
    parameters_json_schema: msgspec.Raw = _NULL


class _Tools(msgspec.Struct, rename="camel"):
    function_declarations: list[msgspec.Raw] | None = None


class _CallingConfig(msgspec.Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _CallingConfig | None = None


class _Thinking(msgspec.Struct, rename="camel"):
    thinking_budget: int | None = None
    thinking_level: str | None = None
    include_thoughts: bool | None = None


class _Config(msgspec.Struct, rename="camel"):
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = _NULL
    response_json_schema: msgspec.Raw = _NULL
    thinking_config: _Thinking | None = None


class _Request(msgspec.Struct, rename="camel"):
    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[msgspec.Raw] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: msgspec.Raw = _NULL
    model: str | None = None


_REQUEST = msgspec.json.Decoder(_Request)
_CONFIG = msgspec.json.Decoder(_Config | None)
_TOOLS = msgspec.json.Decoder(_Tools)
_FUNCTION = msgspec.json.Decoder(_Function)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ONE_CANDIDATE = {"candidateCount": b"1", "responseModalities": b'["TEXT"]'}


def parse_request(body: bytes) -> Conversation:
    """Read a whole request; errors as in ``Codec.parse_request``."""
    check_utf8(body)
    body = camel_cased(body)
    request = decode(_REQUEST, body)
    dropped = _unknown(decode(_MEMBERS, body), _Request, "")
    config = decode(_CONFIG, request.generation_config, "$.generationConfig") or _Config()
    if not is_null(request.generation_config):
        members = decode(_MEMBERS, request.generation_config, "$.generationConfig")
        dropped += _unknown(members, _Config, "generationConfig.")
    tools = _tools(request.tools or [], dropped)
    choice, allowed = _tool_choice(request.tool_config)
    reader = TurnReader(dropped)
    turns = tuple(_turns(request.contents, reader))
    effort, tokens = _reasoning(config.thinking_config, dropped)
    return Conversation(
        system=_system(request.system_instruction, dropped),
        turns=turns,
        tools=tuple(tool for tool in tools if not allowed or tool.name in allowed),
        tool_choice=choice,
        max_tokens=config.max_output_tokens,
        stop=tuple(config.stop_sequences or ()),
        sampling=Sampling(
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=None if config.top_k is None else int(config.top_k),
            seed=config.seed,
            frequency_penalty=config.frequency_penalty,
            presence_penalty=config.presence_penalty,
        ),
        output=_output(config, dropped),
        reasoning_effort=effort,
        reasoning_tokens=tokens,
        dropped=tuple(dict.fromkeys(dropped)),
    )


def _unknown(members: dict[str, msgspec.Raw], kind: type[msgspec.Struct], prefix: str) -> list[str]:
    """Return the members that say something and are not read."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    return [
        prefix + name
        for given, raw in members.items()
        if (name := camel(given)) not in known
        and bytes(raw) not in _NOTHING
        and bytes(raw).replace(b" ", b"") != _ONE_CANDIDATE.get(name)
    ]


def _system(content: Content | None, dropped: list[str]) -> tuple[str, ...]:
    if content is None:
        return ()
    parts = TurnReader(dropped).read(content, "$.systemInstruction")
    return tuple(part.text for part in parts if isinstance(part, TextPart))


def _turns(contents: list[Content], reader: TurnReader) -> list[Turn]:
    turns = []
    for index, content in enumerate(contents):
        role = Role.ASSISTANT if content.role == "model" else Role.USER
        parts = reader.read(content, f"$.contents[{index}]")
        turns.append(Turn(role=role, parts=parts))
    return turns


def _tools(raws: list[msgspec.Raw], dropped: list[str]) -> list[Tool]:
    """Read functions; Google's own tools exist nowhere else."""
    tools: list[Tool] = []
    for index, raw in enumerate(raws):
        path = f"$.tools[{index}]"
        dropped += foreign_tools(raw, path)
        functions = decode(_TOOLS, raw, path).function_declarations or []
        for number, function in enumerate(functions):
            place = f"{path}.functionDeclarations[{number}]"
            tools.append(_tool(function, place, dropped))
    return tools


def _tool(raw: msgspec.Raw, path: str, dropped: list[str]) -> Tool:
    function = decode(_FUNCTION, raw, path)
    dropped += _unknown(decode(_MEMBERS, raw, path), _Function, "tools.")
    schema = b"{}"
    if not is_null(function.parameters_json_schema):
        schema = bytes(function.parameters_json_schema)
    elif not is_null(function.parameters):
        schema = json_schema(function.parameters, f"{path}.parameters")
    return Tool(name=function.name, description=function.description, schema=schema)


def _tool_choice(config: _ToolConfig | None) -> tuple[ToolChoice | None, frozenset[str]]:
    """Return the choice, and the only functions that may be called (empty: all).

    A call that must be one of several is a call of any with these alone on offer.
    """
    calling = config.function_calling_config if config else None
    if calling is None or calling.mode is None:
        return None, frozenset()
    mode = _MODES.get(calling.mode.upper(), ToolChoiceMode.AUTO)
    names = calling.allowed_function_names or []
    if mode is ToolChoiceMode.REQUIRED and len(names) == 1:
        return ToolChoice(mode=ToolChoiceMode.NAMED, name=names[0]), frozenset()
    return ToolChoice(mode=mode), frozenset(names)


def _reasoning(thinking: _Thinking | None, dropped: list[str]) -> tuple[str | None, int | None]:
    """Return the effort or the budget; 0 ("not at all") and -1 ("as you like") are neither."""
    if thinking is None:
        return None, None
    if thinking.thinking_budget is not None:
        if thinking.thinking_budget > 0:
            return None, thinking.thinking_budget
        dropped.append("thinkingConfig.thinkingBudget")
        return None, None
    level = (thinking.thinking_level or "").upper()
    if level and level not in _LEVELS:
        dropped.append("thinkingConfig.thinkingLevel")
    return _LEVELS.get(level), None


def _output(config: _Config, dropped: list[str]) -> OutputFormat:
    if config.response_mime_type != _JSON:
        if config.response_mime_type not in _TEXT_TYPES:
            dropped.append("generationConfig.responseMimeType")
        return OutputFormat()
    schema = None
    if not is_null(config.response_json_schema):
        schema = bytes(config.response_json_schema)
    elif not is_null(config.response_schema):
        schema = json_schema(config.response_schema, "$.generationConfig.responseSchema")
    if schema is None:
        return OutputFormat(mode=OutputMode.JSON_OBJECT)
    return OutputFormat(mode=OutputMode.JSON_SCHEMA, schema=schema)
