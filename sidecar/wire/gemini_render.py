"""``Conversation`` → a Gemini request.

An effort is a level of thinking from Gemini 3 on and a budget before; older models refuse both.
What this format cannot say is left out and named: a user's id, a ban of parallel calls,
strictness, more than five stop sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.wire.gemini_turns import render_turns
from sidecar.wire.neutral import Conversation, OutputMode, Rendered, ToolChoiceMode

if TYPE_CHECKING:
    from sidecar.wire.neutral import OutputFormat, Tool, ToolChoice

Json = dict[str, object]

STOP_SEQUENCES_MAX = 5
_NOT_THINKING = ("gemini-1", "gemini-2.0", "gemma", "learnlm")
_BEFORE_3 = ("gemini-1", "gemini-2", "gemma", "learnlm")
"""Models that know no levels of thinking, and do not ask for the signatures of earlier calls."""
_LEVELS = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_THINKING_TOKENS = {"low": 1024, "medium": 8192, "high": 24576}
_THINKING_TOKENS_MIN, _THINKING_TOKENS_MAX = 512, 24576
"""What every thinking model of Google's takes; some take less or more."""
_MODES = {
    ToolChoiceMode.AUTO: "AUTO",
    ToolChoiceMode.NONE: "NONE",
    ToolChoiceMode.REQUIRED: "ANY",
    ToolChoiceMode.NAMED: "ANY",
}


def render_request(conversation: Conversation, *, model: str) -> Rendered:
    """Write a request; errors as in ``Codec.render_request``: tool arguments that are no object."""
    dropped = list(conversation.dropped)
    name = model.removeprefix("models/")
    signs = not name.startswith(_BEFORE_3)
    body: Json = {"contents": render_turns(conversation.turns, dropped, signs=signs)}
    system = [{"text": text} for text in conversation.system if text]
    if system:
        body["systemInstruction"] = {"parts": system}
    body |= _tools(conversation, dropped)
    config = _config(conversation, dropped) | _thinking(conversation, name, dropped)
    if config:
        body["generationConfig"] = config
    if conversation.user_id is not None:
        dropped.append("user")
    return Rendered(body=msgspec.json.encode(body), dropped=tuple(dict.fromkeys(dropped)))


def _config(conversation: Conversation, dropped: list[str]) -> Json:
    sampling = conversation.sampling
    stop = list(conversation.stop)
    if len(stop) > STOP_SEQUENCES_MAX:
        dropped.append("stop")
    fields: Json = {
        "maxOutputTokens": conversation.max_tokens,
        "stopSequences": stop[:STOP_SEQUENCES_MAX] or None,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "frequencyPenalty": sampling.frequency_penalty,
        "presencePenalty": sampling.presence_penalty,
    }
    found = {name: value for name, value in fields.items() if value is not None}
    return found | _output(conversation.output)


def _output(output: OutputFormat) -> Json:
    if output.mode is OutputMode.TEXT:
        return {}
    fields: Json = {"responseMimeType": "application/json"}
    if output.mode is OutputMode.JSON_SCHEMA and output.schema is not None:
        fields["responseJsonSchema"] = msgspec.Raw(output.schema)
    return fields


def _thinking(conversation: Conversation, model: str, dropped: list[str]) -> Json:
    """Return how much to think."""
    effort, budget = conversation.reasoning_effort, conversation.reasoning_tokens
    if budget is None and effort is None:
        return {}
    name = "reasoning_effort" if budget is None else "reasoning_tokens"
    if model.startswith(_NOT_THINKING):
        dropped.append(name)
        return {}
    if budget is None and not model.startswith(_BEFORE_3):
        level = _LEVELS.get(effort or "", _LEVELS["medium"])
        return {"thinkingConfig": {"thinkingLevel": level, "includeThoughts": True}}
    if budget is None:
        budget = _THINKING_TOKENS.get(effort or "", _THINKING_TOKENS["medium"])
    budget = _budget(budget, conversation.max_tokens)
    if budget is None:
        dropped.append(name)
        return {}
    return {"thinkingConfig": {"thinkingBudget": budget, "includeThoughts": True}}


def _budget(wanted: int, limit: int | None) -> int | None:
    """Return a budget that is taken; a bound on the answer includes it, so at most half of that."""
    budget = min(max(wanted, _THINKING_TOKENS_MIN), _THINKING_TOKENS_MAX)
    if limit is not None and budget >= limit:
        budget = limit // 2
    return budget if budget >= _THINKING_TOKENS_MIN else None


def _tools(conversation: Conversation, dropped: list[str]) -> Json:
    """Return the functions and the choice among them, which goes only with them."""
    if not conversation.tools:
        return {}
    if any(tool.is_strict for tool in conversation.tools):
        dropped.append("tools.strict")
    body: Json = {"tools": [{"functionDeclarations": [_tool(t) for t in conversation.tools]}]}
    choice = conversation.tool_choice
    if choice is not None:
        if choice.is_parallel is False:
            dropped.append("parallel_tool_calls")
        body["toolConfig"] = {"functionCallingConfig": _choice(choice)}
    return body


def _tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema != b"{}":
        function["parametersJsonSchema"] = msgspec.Raw(tool.schema)
    return function


def _choice(choice: ToolChoice) -> Json:
    config: Json = {"mode": _MODES[choice.mode]}
    if choice.mode is ToolChoiceMode.NAMED:
        config["allowedFunctionNames"] = [choice.name]
    return config
