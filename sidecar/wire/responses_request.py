"""An OpenAI Responses request → ``Conversation``.

Reference: OpenAI's OpenAPI description of ``POST /responses``, and recorded traffic. Neighbouring
items of the assistant (reasoning, words, calls) are one turn, as other formats have them, and so
are neighbouring outputs of functions. Every top-level field that finds no place in the neutral
form and asks for something is named in ``dropped``, fields unknown to us included.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.neutral import (
    Conversation,
    ImagePart,
    OutputFormat,
    OutputMode,
    Part,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    Turn,
)
from sidecar.wire.openai_content import Dropped
from sidecar.wire.responses_items import NULL, Item, read_call, read_content, read_reasoning
from sidecar.wire.splice import read_members


class _Kind(msgspec.Struct):
    type: str = "function"


class _Tool(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = NULL
    strict: bool | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = NULL
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _Request(msgspec.Struct):
    model: str
    input: str | list[Item] | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: msgspec.Raw = NULL
    tools: list[msgspec.Raw] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None


_REQUEST = msgspec.json.Decoder(_Request)
_TOOL = msgspec.json.Decoder(_Tool)
_KIND = msgspec.json.Decoder(_Kind)
_HELD = frozenset(_Request.__struct_fields__)
_ASKS_NOTHING = {
    "store": b"false",
    "background": b"false",
    "metadata": b"{}",
    "include": b"[]",
    "truncation": b'"disabled"',
    "service_tier": b'"auto"',
    "top_logprobs": b"0",
}
_CHOICES = {
    "auto": ToolChoiceMode.AUTO,
    "none": ToolChoiceMode.NONE,
    "required": ToolChoiceMode.REQUIRED,
}
_OUTPUTS = {mode.value: mode for mode in OutputMode}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
_SYSTEM_ROLES = frozenset({"system", "developer"})


def parse_request(body: bytes) -> Conversation:
    """Return the whole request in neutral form.

    Raises:
        WireError: not JSON, not UTF-8, no model, no input, or a field of the wrong type.
    """
    check_utf8(body)
    request = decode(_REQUEST, body)
    if not request.model or not request.input:
        place = "input" if request.model else "model"
        raise WireError(f"{place} is empty", f"$.{place}")
    dropped = Dropped()
    system, turns = _read_input(request.input, dropped)
    if request.instructions:
        system = (request.instructions, *system)
    conversation = Conversation(
        system=system,
        turns=turns,
        tools=_read_tools(request.tools or [], dropped),
        tool_choice=_read_choice(request, dropped),
        max_tokens=request.max_output_tokens,
        sampling=Sampling(temperature=request.temperature, top_p=request.top_p),
        output=_read_output(request.text or _Text(), dropped),
        reasoning_effort=_read_effort(request.reasoning or _Reasoning(), dropped),
        user_id=request.user or request.safety_identifier,
    )
    for name, value in read_members(body).items():
        if name not in _HELD and value not in {b"null", _ASKS_NOTHING.get(name)}:
            dropped.add(name)
    return replace(conversation, dropped=dropped.names())


def _read_input(
    items: str | list[Item], dropped: Dropped
) -> tuple[tuple[str, ...], tuple[Turn, ...]]:
    """Split system text from turns; an item without content is no turn."""
    if isinstance(items, str):
        return (), (Turn(role=Role.USER, parts=(TextPart(text=items),)),)
    system: list[str] = []
    turns: list[Turn] = []
    for position, item in enumerate(items):
        path = f"$.input[{position}]"
        if item.kind() == "message" and item.role in _SYSTEM_ROLES:
            said = read_content(item.content, f"{path}.content", dropped)
            text = "".join(part.text for part in said if isinstance(part, TextPart))
            system += [text] if text else []
            continue
        turn = _read_turn(item, position, path, dropped)
        if turn is None:
            continue
        if turns and _is_one(turns[-1], turn):
            turns[-1] = replace(turn, parts=(*turns[-1].parts, *turn.parts))
        else:
            turns.append(turn)
    return tuple(system), tuple(turns)


def _is_one(turn: Turn, following: Turn) -> bool:
    """Return whether two items are one turn: both the assistant's, or both results."""
    if turn.role is Role.ASSISTANT or following.role is Role.ASSISTANT:
        return turn.role is following.role
    parts = (*turn.parts, *following.parts)
    return all(isinstance(part, ToolResultPart) for part in parts)


def _read_turn(item: Item, position: int, path: str, dropped: Dropped) -> Turn | None:
    parts: tuple[Part, ...] = ()
    role = Role.ASSISTANT
    match item.kind():
        case "message":
            role = _read_role(item, path)
            parts = tuple(read_content(item.content, f"{path}.content", dropped))
        case "function_call":
            parts = (read_call(item, position, path),)
        case "reasoning":
            thought = read_reasoning(item, path, dropped)
            parts = () if thought is None else (thought,)
        case "function_call_output":
            role = Role.USER
            parts = (_read_result(item, path, dropped),)
        case kind:
            dropped.add(f"input.{kind}")
    return Turn(role=role, parts=parts) if parts else None


def _read_role(item: Item, path: str) -> Role:
    if item.role == "user":
        return Role.USER
    if item.role == "assistant":
        return Role.ASSISTANT
    raise WireError(f"unknown role {item.role!r}", f"{path}.role")


def _read_result(item: Item, path: str, dropped: Dropped) -> ToolResultPart:
    if not item.call_id:
        raise WireError("a function_call_output needs its call_id", f"{path}.call_id")
    content = read_content(item.output, f"{path}.output", dropped)
    kept = tuple(part for part in content if isinstance(part, TextPart | ImagePart))
    return ToolResultPart(call_id=item.call_id, content=kept)


def _read_tools(tools: list[msgspec.Raw], dropped: Dropped) -> tuple[Tool, ...]:
    read: list[Tool] = []
    for position, raw in enumerate(tools):
        kind = decode(_KIND, raw, f"$.tools[{position}]").type
        if kind != "function":
            dropped.add(f"tools.{kind}")
            continue
        tool = decode(_TOOL, raw, f"$.tools[{position}]")
        if not tool.name:
            raise WireError("a function needs its name", f"$.tools[{position}].name")
        schema = bytes(tool.parameters)
        read.append(
            Tool(
                name=tool.name,
                description=tool.description,
                schema=b"{}" if schema == b"null" else schema,
                is_strict=tool.strict,
            )
        )
    return tuple(read)


def _read_choice(request: _Request, dropped: Dropped) -> ToolChoice | None:
    choice, is_parallel = request.tool_choice, request.parallel_tool_calls
    if isinstance(choice, _Choice):
        if choice.type == "function" and choice.name:
            name = choice.name
            return ToolChoice(mode=ToolChoiceMode.NAMED, name=name, is_parallel=is_parallel)
        dropped.add("tool_choice")
        choice = None
    if choice is not None:
        if choice not in _CHOICES:
            raise WireError(f"unknown tool_choice {choice!r}", "$.tool_choice")
        return ToolChoice(mode=_CHOICES[choice], is_parallel=is_parallel)
    return None if is_parallel is None else ToolChoice(is_parallel=is_parallel)


def _read_output(text: _Text, dropped: Dropped) -> OutputFormat:
    if text.verbosity not in {None, "medium"}:
        dropped.add("text.verbosity")
    wanted = text.format or _Format()
    mode = _OUTPUTS.get(wanted.type)
    if mode is None:
        dropped.add("text.format")
        return OutputFormat()
    if mode is not OutputMode.JSON_SCHEMA:
        return OutputFormat(mode=mode)
    if wanted.description:
        dropped.add("text.format.description")
    raw = bytes(wanted.schema)
    return OutputFormat(
        mode=mode,
        name=wanted.name,
        schema=b"{}" if raw == b"null" else raw,
        is_strict=wanted.strict,
    )


def _read_effort(reasoning: _Reasoning, dropped: Dropped) -> str | None:
    """Return low, medium or high; what had to be bent is reported."""
    if reasoning.summary or reasoning.generate_summary:
        dropped.add("reasoning.summary")
    if reasoning.effort is None:
        return None
    bent = _EFFORTS.get(reasoning.effort)
    if bent != reasoning.effort:
        dropped.add("reasoning_effort")
    return bent
