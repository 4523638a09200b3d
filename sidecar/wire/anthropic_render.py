"""The neutral form → Anthropic Messages requests that the API accepts.

The API is stricter than other formats, and a 400 for a caller who did nothing wrong is the worst
answer. So its known rules are kept: a bound on every answer, schemas that say ``object``,
temperature up to 1 and not beside ``top_p``, thinking only where budget, tool choice and history
allow it (and ``anthropic_turns``). What had to give way is named in ``Rendered.dropped``.
Sent with ``anthropic-version: 2023-06-01``, since 2026-10-21 refuses sampling parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.anthropic_turns import Block, render_turns, text_block
from sidecar.wire.neutral import (
    OutputMode,
    ReasoningPart,
    Rendered,
    Role,
    ToolCallPart,
    ToolChoiceMode,
)
from sidecar.wire.splice import read_members, write_members

if TYPE_CHECKING:
    from sidecar.wire.neutral import Conversation, Tool

MAX_TOKENS_DEFAULT = 4096
"""The API requires a bound; every model writes this much, few answers need more."""

_THINKING_TOKENS = {"low": 1024, "medium": 4096, "high": 16384}
_THINKING_TOKENS_MIN = 1024
"""The API's own least budget."""

_CHOICES = {
    ToolChoiceMode.AUTO: "auto",
    ToolChoiceMode.REQUIRED: "any",
    ToolChoiceMode.NAMED: "tool",
    ToolChoiceMode.NONE: "none",
}


def render_request(
    conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
) -> Rendered:
    """Write a request; errors as in ``Codec.render_request``: tool arguments that are not JSON."""
    dropped = list(conversation.dropped)
    messages = render_turns(conversation.turns, dropped)
    thinking, max_tokens = thinking_of(conversation, dropped)
    body: Block = {"model": model, max_tokens_field: max_tokens, "messages": messages}
    if is_stream:
        body["stream"] = True
    system = [text_block(text) for text in conversation.system if text.strip()]
    if system:
        body["system"] = system
    if thinking is not None:
        body["thinking"] = {"type": "enabled", "budget_tokens": thinking}
    stop = [text for text in conversation.stop if text.strip()]
    if len(stop) < len(conversation.stop):
        dropped.append("stop")
    if stop:
        body["stop_sequences"] = stop
    if conversation.user_id is not None:
        body["metadata"] = {"user_id": conversation.user_id}
    body |= sampling_of(conversation, is_thinking=thinking is not None, dropped=dropped)
    body |= _tools(conversation)
    body |= _output(conversation, dropped)
    return Rendered(body=msgspec.json.encode(body), dropped=tuple(dict.fromkeys(dropped)))


def thinking_of(conversation: Conversation, dropped: list[str]) -> tuple[int | None, int]:
    """Return the thinking budget, if there may be one, and ``max_tokens``, which includes it."""
    limit = conversation.max_tokens
    name, budget = "reasoning_tokens", conversation.reasoning_tokens
    if budget is None and conversation.reasoning_effort is not None:
        name = "reasoning_effort"
        budget = _THINKING_TOKENS.get(conversation.reasoning_effort, _THINKING_TOKENS["medium"])
    if budget is None:
        return None, MAX_TOKENS_DEFAULT if limit is None else limit
    budget = max(budget, _THINKING_TOKENS_MIN)
    if limit is not None and budget >= limit:
        # The caller's bound is a bound on cost: thinking gets half of it rather than more on top.
        budget = limit // 2
    if budget < _THINKING_TOKENS_MIN or not _may_think(conversation):
        dropped.append(name)
        return None, MAX_TOKENS_DEFAULT if limit is None else limit
    return budget, MAX_TOKENS_DEFAULT + budget if limit is None else limit


def _may_think(conversation: Conversation) -> bool:
    """Return whether the API takes thinking: no forced tool, no prefill, no half-signed tool loop.

    In a tool loop the assistant's turn must begin with its signed thinking, which answers that came
    from another provider do not have.
    """
    choice = conversation.tool_choice
    if choice is not None and choice.mode in {ToolChoiceMode.REQUIRED, ToolChoiceMode.NAMED}:
        return False
    if conversation.turns and conversation.turns[-1].role is Role.ASSISTANT:
        return False
    calling = [
        turn.parts
        for turn in conversation.turns
        if any(isinstance(part, ToolCallPart) for part in turn.parts)
    ]
    return not calling or any(
        isinstance(part, ReasoningPart) and bool(part.signature or part.redacted)
        for part in calling[-1]
    )


def sampling_of(conversation: Conversation, *, is_thinking: bool, dropped: list[str]) -> Block:
    """Return temperature, or else ``top_p``: newer models refuse both, thinking all."""
    wanted = conversation.sampling
    foreign = {
        "seed": wanted.seed,
        "frequency_penalty": wanted.frequency_penalty,
        "presence_penalty": wanted.presence_penalty,
    }
    # A penalty of 0 asks for nothing; a seed of 0 is a seed.
    dropped += [k for k, v in foreign.items() if v is not None and (v or k == "seed")]
    sampling: Block = {}
    if wanted.temperature is not None:
        sampling["temperature"] = min(max(wanted.temperature, 0.0), 1.0)
        if sampling["temperature"] != wanted.temperature:
            dropped.append("temperature")
    if wanted.top_k is not None:
        sampling["top_k"] = wanted.top_k
    if wanted.top_p is not None and wanted.temperature is None:
        sampling["top_p"] = wanted.top_p
    elif wanted.top_p is not None:
        dropped.append("top_p")
    if is_thinking:
        dropped += sampling
        return {}
    return sampling


def _tools(conversation: Conversation) -> Block:
    """Return tools and the choice among them, which the API takes only together."""
    if not conversation.tools:
        return {}
    body: Block = {"tools": [_tool(tool) for tool in conversation.tools]}
    wanted = conversation.tool_choice
    if wanted is None:
        return body
    choice: Block = {"type": _CHOICES[wanted.mode]}
    if wanted.mode is ToolChoiceMode.NAMED:
        choice["name"] = wanted.name
    if wanted.is_parallel is not None and wanted.mode is not ToolChoiceMode.NONE:
        choice["disable_parallel_tool_use"] = not wanted.is_parallel
    body["tool_choice"] = choice
    return body


def _tool(tool: Tool) -> Block:
    block: Block = {"name": tool.name, "input_schema": msgspec.Raw(_object_schema(tool.schema))}
    if tool.description is not None:
        block["description"] = tool.description
    if tool.is_strict is not None:
        block["strict"] = tool.is_strict
    return block


def _object_schema(schema: bytes) -> bytes:
    """Return ``schema`` with the ``type`` that this API requires and others do not."""
    members = read_members(schema)
    if "type" in members:
        return schema
    return write_members({"type": b'"object"', **members})


def _output(conversation: Conversation, dropped: list[str]) -> Block:
    wanted = conversation.output
    if wanted.mode is OutputMode.JSON_SCHEMA and wanted.schema is not None:
        schema = msgspec.Raw(wanted.schema)
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    if wanted.mode is not OutputMode.TEXT:
        dropped.append("response_format")
    return {}
