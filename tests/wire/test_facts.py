"""Facts that every format's inspection tells alike."""

from __future__ import annotations

import json

import pytest

from sidecar.domain import WireFormat
from sidecar.wire.formats import codec

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CLAUDE = {**CHAT, "max_tokens": 9}
RESPONSES = {"model": "m", "input": "hi"}
GEMINI = {"contents": [{"parts": [{"text": "hi"}]}]}
SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}
WORDY = 'write "json_schema" and "tool_result"'


@pytest.mark.parametrize(
    ("form", "body", "is_bound"),
    [
        (WireFormat.OPENAI_CHAT, CHAT, False),
        (WireFormat.OPENAI_CHAT, {**CHAT, "response_format": {"type": "text"}}, False),
        (WireFormat.OPENAI_CHAT, {**CHAT, "response_format": {"type": "json_object"}}, True),
        (WireFormat.OPENAI_CHAT, {**CHAT, "response_format": SCHEMA}, True),
        (WireFormat.ANTHROPIC_MESSAGES, CLAUDE, False),
        (WireFormat.ANTHROPIC_MESSAGES, {**CLAUDE, "output_config": {"effort": "low"}}, False),
        (WireFormat.ANTHROPIC_MESSAGES, {**CLAUDE, "output_config": {"format": SCHEMA}}, True),
        (WireFormat.ANTHROPIC_MESSAGES, {**CLAUDE, "output_format": SCHEMA}, True),
        (WireFormat.OPENAI_RESPONSES, {**RESPONSES, "input": WORDY}, False),
        (WireFormat.OPENAI_RESPONSES, {**RESPONSES, "text": {"verbosity": "low"}}, False),
        (WireFormat.OPENAI_RESPONSES, {**RESPONSES, "text": {"format": SCHEMA}}, True),
        (
            WireFormat.OPENAI_RESPONSES,
            {**RESPONSES, "text": {"format": {"type": "json_object"}}},
            True,
        ),
        (WireFormat.GEMINI, GEMINI, False),
        (
            WireFormat.GEMINI,
            {**GEMINI, "generationConfig": {"responseMimeType": "application/json"}},
            True,
        ),
        (
            WireFormat.GEMINI,
            {**GEMINI, "generation_config": {"response_mime_type": "application/json"}},
            True,
        ),
    ],
)
def test_who_asks_for_json_is_seen(
    form: WireFormat, body: dict[str, object], *, is_bound: bool
) -> None:
    """Whoever binds the answer to JSON is known, so that nobody else's call is read for it."""
    assert codec(form).inspect_request(json.dumps(body).encode()).may_bind_output is is_bound


@pytest.mark.parametrize(
    ("form", "body", "has_results"),
    [
        (WireFormat.OPENAI_CHAT, {**CHAT, "tools": [{"type": "function"}]}, False),
        (
            WireFormat.OPENAI_CHAT,
            {**CHAT, "messages": [{"role": "tool", "tool_call_id": "c", "content": "1"}]},
            True,
        ),
        (WireFormat.ANTHROPIC_MESSAGES, CLAUDE, False),
        (
            WireFormat.ANTHROPIC_MESSAGES,
            {
                **CLAUDE,
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]}
                ],
            },
            True,
        ),
        (WireFormat.OPENAI_RESPONSES, RESPONSES, False),
        (
            WireFormat.OPENAI_RESPONSES,
            {**RESPONSES, "input": [{"type": "function_call_output", "call_id": "c"}]},
            True,
        ),
        (WireFormat.GEMINI, GEMINI, False),
        (
            WireFormat.GEMINI,
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
            True,
        ),
    ],
)
def test_a_tools_result_is_seen(
    form: WireFormat, body: dict[str, object], *, has_results: bool
) -> None:
    """A tool's result anywhere in the conversation is known: silence may be the answer to it."""
    assert codec(form).inspect_request(json.dumps(body).encode()).has_tool_results is has_results
