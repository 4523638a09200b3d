"""An OpenAI Chat Completions request → ``Conversation``.

Reference: OpenAI's OpenAPI description of ``POST /chat/completions``, and recorded traffic of
compatible servers. Every top-level field that finds no place in the neutral form and asks for
something is named in ``dropped``, fields unknown to us included.
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
    ReasoningPart,
    RefusalPart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    Turn,
)
from sidecar.wire.openai_content import (
    Content,
    Dropped,
    ToolCall,
    read_content,
    read_text,
    read_tool_call,
)
from sidecar.wire.splice import read_members

_NULL = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    role: str
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = _NULL
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class _Name(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct):
    type: str
    function: _Name | None = None


class _Schema(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = _NULL
    strict: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: msgspec.Raw = _NULL
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_format: _ResponseFormat | None = None
    reasoning_effort: str | None = None
    user: str | None = None


_REQUEST = msgspec.json.Decoder(_Request)
_HELD = frozenset(_Request.__struct_fields__)
_ASKS_NOTHING = {
    "n": b"1",
    "logprobs": b"false",
    "store": b"false",
    "modalities": b'["text"]',
    "logit_bias": b"{}",
    "metadata": b"{}",
    "functions": b"[]",
    "service_tier": b'"auto"',
}
_CHOICES = {
    "auto": ToolChoiceMode.AUTO,
    "none": ToolChoiceMode.NONE,
    "required": ToolChoiceMode.REQUIRED,
    "any": ToolChoiceMode.REQUIRED,
}
_OUTPUTS = {mode.value: mode for mode in OutputMode}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}


def parse_request(body: bytes) -> Conversation:
    """Return the whole request in neutral form.

    Raises:
        WireError: not JSON, not UTF-8, no model, no messages, or a field of the wrong type.
    """
    check_utf8(body)
    request = decode(_REQUEST, body)
    if not request.model or not request.messages:
        place = "messages" if request.model else "model"
        raise WireError(f"{place} is empty", f"$.{place}")
    dropped = Dropped()
    system, turns = _read_messages(request.messages, dropped)
    tools = _read_tools(request.tools or [], dropped)
    conversation = Conversation(
        system=system,
        turns=turns,
        tools=tools,
        tool_choice=_read_choice(request, dropped),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        sampling=Sampling(
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            seed=request.seed,
            frequency_penalty=request.frequency_penalty,
            presence_penalty=request.presence_penalty,
        ),
        output=_read_output(request.response_format, dropped),
        reasoning_effort=_read_effort(request.reasoning_effort, dropped),
        user_id=request.user,
    )
    for name, value in read_members(body).items():
        if name not in _HELD and value not in {b"null", _ASKS_NOTHING.get(name)}:
            dropped.add(name)
    return replace(conversation, dropped=dropped.names())


def _read_messages(
    messages: list[_Message], dropped: Dropped
) -> tuple[tuple[str, ...], tuple[Turn, ...]]:
    """Split system text from turns; a message without content is no turn."""
    system: list[str] = []
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        if message.name:
            dropped.add("messages.name")
        if message.role in {"system", "developer"}:
            text = read_text(message.content)
            system += [text] if text else []
            continue
        role = Role.ASSISTANT if message.role == "assistant" else Role.USER
        parts = _read_turn(message, f"$.messages[{index}]", dropped)
        turns += [Turn(role=role, parts=parts)] if parts else []
    return tuple(system), tuple(turns)


def _read_turn(message: _Message, path: str, dropped: Dropped) -> tuple[Part, ...]:
    if message.role == "user":
        return tuple(read_content(message.content, dropped))
    if message.role == "assistant":
        return _read_assistant(message, dropped)
    if message.role == "tool":
        return (_read_result(message, path, dropped),)
    if message.role == "function":
        dropped.add("messages.function")
        return ()
    raise WireError(f"unknown role {message.role!r}", f"{path}.role")


def _read_assistant(message: _Message, dropped: Dropped) -> tuple[Part, ...]:
    parts: list[Part] = []
    reasoning = message.reasoning_content or message.reasoning
    if reasoning:
        parts.append(ReasoningPart(text=reasoning))
    parts += read_content(message.content, dropped)
    if message.refusal:
        parts.append(RefusalPart(text=message.refusal))
    for position, call in enumerate(message.tool_calls or ()):
        part = read_tool_call(call, position)
        if part is None:
            dropped.add("messages.tool_calls")
        else:
            parts.append(part)
    if bytes(message.function_call) != b"null":
        dropped.add("messages.function_call")
    if bytes(message.audio) != b"null":
        dropped.add("messages.audio")
    return tuple(parts)


def _read_result(message: _Message, path: str, dropped: Dropped) -> ToolResultPart:
    if not message.tool_call_id:
        raise WireError("a tool message needs its tool_call_id", f"{path}.tool_call_id")
    content = read_content(message.content, dropped)
    kept = tuple(part for part in content if isinstance(part, TextPart | ImagePart))
    return ToolResultPart(call_id=message.tool_call_id, content=kept)


def _read_tools(tools: list[_Tool], dropped: Dropped) -> tuple[Tool, ...]:
    read: list[Tool] = []
    for tool in tools:
        if tool.type != "function" or tool.function is None:
            dropped.add(f"tools.{tool.type}")
            continue
        schema = bytes(tool.function.parameters)
        read.append(
            Tool(
                name=tool.function.name,
                description=tool.function.description,
                schema=b"{}" if schema == b"null" else schema,
                is_strict=tool.function.strict,
            )
        )
    return tuple(read)


def _read_choice(request: _Request, dropped: Dropped) -> ToolChoice | None:
    choice, is_parallel = request.tool_choice, request.parallel_tool_calls
    if isinstance(choice, _Choice):
        if choice.type == "function" and choice.function is not None:
            name = choice.function.name
            return ToolChoice(mode=ToolChoiceMode.NAMED, name=name, is_parallel=is_parallel)
        dropped.add("tool_choice")
        choice = None
    if choice is not None:
        if choice not in _CHOICES:
            raise WireError(f"unknown tool_choice {choice!r}", "$.tool_choice")
        return ToolChoice(mode=_CHOICES[choice], is_parallel=is_parallel)
    return None if is_parallel is None else ToolChoice(is_parallel=is_parallel)


def _read_output(wanted: _ResponseFormat | None, dropped: Dropped) -> OutputFormat:
    if wanted is None:
        return OutputFormat()
    mode = _OUTPUTS.get(wanted.type)
    if mode is None:
        dropped.add("response_format")
        return OutputFormat()
    if mode is not OutputMode.JSON_SCHEMA:
        return OutputFormat(mode=mode)
    if wanted.json_schema is None:
        raise WireError("a json_schema format needs its schema", "$.response_format.json_schema")
    schema = wanted.json_schema
    if schema.description:
        dropped.add("response_format.json_schema.description")
    raw = bytes(schema.schema)
    return OutputFormat(
        mode=mode,
        name=schema.name,
        schema=b"{}" if raw == b"null" else raw,
        is_strict=schema.strict,
    )


def _read_effort(effort: str | None, dropped: Dropped) -> str | None:
    """Return low, medium or high; what had to be bent is reported."""
    if effort is None:
        return None
    bent = _EFFORTS.get(effort)
    if bent != effort:
        dropped.add("reasoning_effort")
    return bent
