"""Gemini requests: both spellings, both schema dialects, ids that are not there, what is lost."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import WireFormat
from sidecar.errors import WireError
from sidecar.wire.formats import codec
from sidecar.wire.gemini_inspect import inspect_count
from sidecar.wire.neutral import (
    Conversation,
    ImagePart,
    OutputMode,
    ReasoningPart,
    Role,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    Turn,
)

GEMINI = codec(WireFormat.GEMINI)
HELLO: dict[str, Any] = {"role": "user", "parts": [{"text": "hello"}]}


def body_of(**members: Any) -> bytes:
    """Return a request with ``members``."""
    return json.dumps({"contents": [HELLO]} | members).encode()


def asked(**members: Any) -> Conversation:
    """Read a request with ``members``."""
    return GEMINI.parse_request(body_of(**members))


def render(conversation: Conversation, model: str = "gemini-3.8-flash") -> tuple[Any, set[str]]:
    """Return a request's body, decoded, and what it could not carry."""
    rendered = GEMINI.render_request(
        conversation, model=model, is_stream=False, max_tokens_field="maxOutputTokens"
    )
    return json.loads(rendered.body), set(rendered.dropped)


CAMEL: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "_-8"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a_b": {"c_d": 1}}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "f", "response": {"a_b": 1}}}],
        },
    ],
    "systemInstruction": {"parts": [{"text": "s"}]},
    "tools": [
        {
            "functionDeclarations": [
                {"name": "f", "parametersJsonSchema": {"properties": {"a_b": {"type": "string"}}}}
            ]
        }
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {"thinkingBudget": 600}},
}
OURS = frozenset(
    {"inlineData", "mimeType", "functionCall", "functionResponse", "systemInstruction"}
    | {"functionDeclarations", "parametersJsonSchema", "toolConfig", "functionCallingConfig"}
    | {"allowedFunctionNames", "generationConfig", "maxOutputTokens", "thinkingConfig"}
    | {"thinkingBudget"}
)


def snake(value: Any) -> Any:
    """Return ``value`` with the API's names in snake case."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in key) if key in OURS else key: snake(
            inner
        )
        for key, inner in value.items()
    }


def test_both_spellings_say_the_same() -> None:
    """Snake case is read like camel case; the caller's own names stay as they are."""
    one, other = json.dumps(CAMEL).encode(), json.dumps(snake(CAMEL)).encode()
    assert b"inline_data" in other
    assert GEMINI.parse_request(one) == GEMINI.parse_request(other)
    assert GEMINI.inspect_request(one) == GEMINI.inspect_request(other)
    call = GEMINI.parse_request(other).turns[1].parts[0]
    assert isinstance(call, ToolCallPart)
    assert json.loads(call.arguments) == {"a_b": {"c_d": 1}}
    image = GEMINI.parse_request(other).turns[0].parts[0]
    assert image == ImagePart(media_type="image/png", data="/+8=")


def test_results_find_their_calls_by_name() -> None:
    """Calls without ids get some, and results those of the calls of their name, in order."""
    calls: Any = [{"functionCall": {"name": name, "args": {}}} for name in ("f", "g", "f")]
    results = [
        {"functionResponse": {"name": name, "response": {"output": f"{name}{at}"}}}
        for at, name in enumerate(("f", "f", "g"))
    ]
    turns = asked(
        contents=[HELLO, {"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    ).turns
    ids = [part.id for part in turns[1].parts if isinstance(part, ToolCallPart)]
    assert len(set(ids)) == 3
    answered = [part for part in turns[2].parts if isinstance(part, ToolResultPart)]
    assert [part.call_id for part in answered] == [ids[0], ids[2], ids[1]]
    assert [part.content for part in answered] == [
        (TextPart(text=text),) for text in ("f0", "f1", "g2")
    ]


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "x"}, "x", False),
        ({"output": {"a": 1}}, '{"a": 1}', False),
        ({"error": "no"}, "no", True),
        ({"a": 1}, '{"a": 1}', False),
        ({"output": "x", "b": 2}, '{"output": "x", "b": 2}', False),
        ({}, "{}", False),
    ],
)
def test_function_responses(response: Any, text: str, is_error: bool) -> None:
    """``output`` and ``error`` alone mean what is within, any other object is the result."""
    part = {"functionResponse": {"name": "f", "id": "7", "response": response}}
    (result,) = asked(contents=[{"parts": [part]}]).turns[0].parts
    assert result == ToolResultPart(
        call_id="7", content=(TextPart(text=text),) if text else (), is_error=is_error
    )


def test_googles_schema_dialect() -> None:
    """Capitals, ``nullable`` and counts in strings become JSON Schema, at every depth."""
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True, "enum": ["A", "B"]},
            "list": {"type": "ARRAY", "minItems": "2", "items": {"type": "INTEGER"}},
            "either": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": True},
        },
        "required": ["type"],
        "propertyOrdering": ["list", "type"],
    }
    expected = {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["A", "B", None]},
            "list": {"type": "array", "minItems": 2, "items": {"type": "integer"}},
            "either": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]},
        },
        "required": ["type"],
    }
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    tools = [{"functionDeclarations": [{"name": "f", "parameters": schema}]}]
    read = asked(generationConfig=config, tools=tools)
    assert read.output.mode is OutputMode.JSON_SCHEMA
    assert json.loads(read.output.schema or b"") == expected
    assert json.loads(read.tools[0].schema) == expected


@pytest.mark.parametrize(
    ("config", "choice", "offered"),
    [
        ({"mode": "AUTO"}, ToolChoice(), ["f", "g", "h"]),
        ({"mode": "none"}, ToolChoice(mode=ToolChoiceMode.NONE), ["f", "g", "h"]),
        ({"mode": "VALIDATED"}, ToolChoice(), ["f", "g", "h"]),
        ({"mode": "ANY"}, ToolChoice(mode=ToolChoiceMode.REQUIRED), ["f", "g", "h"]),
        (
            {"mode": "ANY", "allowedFunctionNames": ["g"]},
            ToolChoice(mode=ToolChoiceMode.NAMED, name="g"),
            ["f", "g", "h"],
        ),
        (
            {"mode": "ANY", "allowedFunctionNames": ["g", "h"]},
            ToolChoice(mode=ToolChoiceMode.REQUIRED),
            ["g", "h"],
        ),
    ],
)
def test_tool_choice(config: Any, choice: ToolChoice, offered: list[str]) -> None:
    """Each mode has its neutral form; "one of these" is any, with these alone on offer."""
    tools = [{"functionDeclarations": [{"name": name} for name in "fgh"]}]
    read = asked(tools=tools, toolConfig={"functionCallingConfig": config})
    assert read.tool_choice == choice
    assert [tool.name for tool in read.tools] == offered


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"tools": [{"googleSearch": {}}]}, "googleSearch"),
        ({"tools": [{"code_execution": {}}]}, "codeExecution"),
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"generationConfig": {"candidateCount": 2}}, "candidateCount"),
        ({"generationConfig": {"responseModalities": ["IMAGE"]}}, "responseModalities"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "responseMimeType"),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://b/x"}}]}]}, "fileData"),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "application/pdf"}}]}]},
            "inlineData",
        ),
        ({"contents": [{"parts": [{"executableCode": {"code": "1"}}]}]}, "executableCode"),
    ],
)
def test_what_only_google_has(members: Any, name: str) -> None:
    """Features that change the answer keep a call at Gemini."""
    assert GEMINI.inspect_request(body_of(**members)).untranslatable == (name,)


def test_what_others_have_too() -> None:
    """Plain settings, one candidate of text, images by address: any format will do."""
    image = {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}}
    config = {"candidateCount": 1, "responseModalities": ["TEXT"], "temperature": 1, "topK": 40.0}
    body = body_of(
        contents=[HELLO, {"parts": [image]}], generationConfig=config, safetySettings=[{"a": 1}]
    )
    facts = GEMINI.inspect_request(body)
    assert facts.untranslatable == ()
    assert (facts.has_images, facts.is_stream, facts.wants_usage_in_stream) == (True, False, True)
    read = GEMINI.parse_request(body)
    assert read.dropped == ("safetySettings",)
    assert read.turns[1].parts == (ImagePart(url="https://example.com/a.png"),)
    assert read.sampling.top_k == 40


@pytest.mark.parametrize(
    ("thinking", "effort", "tokens", "dropped"),
    [
        ({"thinkingBudget": 900, "includeThoughts": True}, None, 900, ()),
        ({"thinkingBudget": 0}, None, None, ("thinkingConfig.thinkingBudget",)),
        ({"thinkingBudget": -1}, None, None, ("thinkingConfig.thinkingBudget",)),
        ({"thinkingLevel": "HIGH"}, "high", None, ()),
        ({"thinking_level": "minimal"}, "low", None, ()),
        ({"thinkingLevel": "NEW"}, None, None, ("thinkingConfig.thinkingLevel",)),
    ],
)
def test_thinking(thinking: Any, effort: str | None, tokens: int | None, dropped: Any) -> None:
    """Level or budget of thinking, or a note that it is lost."""
    read = asked(generationConfig={"thinkingConfig": thinking})
    assert (read.reasoning_effort, read.reasoning_tokens, read.dropped) == (effort, tokens, dropped)


@pytest.mark.parametrize(
    ("model", "wanted", "config"),
    [
        ("gemini-4-argon", {"reasoning_effort": "low"}, {"thinkingLevel": "LOW"}),
        ("gemini-2.5-pro", {"reasoning_effort": "low"}, {"thinkingBudget": 1024}),
        ("gemini-2.5-pro", {"reasoning_tokens": 99999}, {"thinkingBudget": 24576}),
        (
            "gemini-2.5-pro",
            {"reasoning_effort": "high", "max_tokens": 4000},
            {"thinkingBudget": 2000},
        ),
        ("gemini-2.5-pro", {"reasoning_effort": "high", "max_tokens": 600}, None),
        ("gemini-2.0-flash", {"reasoning_effort": "high"}, None),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(model: str, wanted: Any, config: Any) -> None:
    """Levels from Gemini 3 on, budgets before, at most half of the bound; else it is named."""
    body, dropped = render(Conversation(system=(), turns=(), **wanted), model)
    got = body.get("generationConfig", {}).get("thinkingConfig")
    assert got == (None if config is None else config | {"includeThoughts": True})
    assert ("reasoning_effort" in dropped) is (config is None)


def test_calls_of_others_go_without_their_signature() -> None:
    """Newer models get the documented word in its place, older ones nothing; thoughts stay out."""
    parts = (
        ReasoningPart(text="hm", signature="somebody's"),
        ToolCallPart(id="1", name="f", arguments=' {"a":1}'),
    )
    result = ToolResultPart(call_id="1", content=(TextPart(text="x"), ImagePart(data="AA==")))
    turns = (
        Turn(role=Role.ASSISTANT, parts=parts),
        Turn(role=Role.USER, parts=(TextPart(text="and?"), result)),
    )
    talk = Conversation(system=("s",), turns=turns, tools=(Tool(name="f", is_strict=True),))
    body, dropped = render(talk)
    opening, calling, answering = body["contents"]
    assert opening == {"role": "user", "parts": [{"text": "."}]}
    call = {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}}
    word = {"thoughtSignature": "skip_thought_signature_validator"}
    assert calling == {"role": "model", "parts": [call | word]}
    assert answering["parts"] == [
        {"functionResponse": {"id": "1", "name": "f", "response": {"output": "x"}}},
        {"text": "and?"},
        {"inlineData": {"mimeType": "image/jpeg", "data": "AA=="}},
    ]
    assert dropped == {"reasoning", "tools.strict"}
    assert render(talk, "gemini-2.5-flash")[0]["contents"][1]["parts"] == [call]


def test_arguments_that_are_no_object() -> None:
    """What is no JSON object is the caller's mistake, not Google's 400."""
    part = ToolCallPart(id="1", name="f", arguments="[1]")
    with pytest.raises(WireError):
        render(Conversation(system=(), turns=(Turn(role=Role.ASSISTANT, parts=(part,)),)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"contents":[]}', b'{"contents":[]}'),
        (b'{"model":"models/a","contents":[]}', b'{"model":"models/m","contents":[]}'),
        (
            b'{"generate_content_request":{"model":"models/a","contents":[]}}',
            b'{"generate_content_request":{"model":"models/m","contents":[]}}',
        ),
        (
            b'{"contents":[{"parts":[{"text":"\\"model\\": 1"}]}]}',
            b'{"contents":[{"parts":[{"text":"\\"model\\": 1"}]}]}',
        ),
    ],
)
def test_the_model_in_the_body(body: bytes, expected: bytes) -> None:
    """Where a body repeats the model's name it is the provider's; else no byte changes."""
    assert GEMINI.rewrite_request(body, model="m") == expected


def test_system_and_bound_are_replaced() -> None:
    """In whichever spelling they came; all else stays."""
    body = (
        b'{"system_instruction": {"parts": []}, "generation_config":'
        b' {"max_output_tokens": 9, "topP": 1.0}, "contents": [ 1 ]}'
    )
    got = GEMINI.rewrite_request(body, model="m", system="S", max_tokens=("ignored", 5))
    assert json.loads(got) == {
        "generation_config": {"topP": 1.0, "maxOutputTokens": 5},
        "contents": [1],
        "systemInstruction": {"parts": [{"text": "S"}]},
    }
    assert b'"topP": 1.0' in got
    bare = GEMINI.rewrite_request(b"{}", model="m", max_tokens=("", 5))
    assert json.loads(bare) == {"generationConfig": {"maxOutputTokens": 5}}


def test_paths() -> None:
    """Model and method are in the path; what a name may hold is escaped."""
    assert GEMINI.path_for("m", is_stream=False) == "/models/m:generateContent"
    assert GEMINI.path_for("models/m", is_stream=True) == "/models/m:streamGenerateContent?alt=sse"
    assert GEMINI.path_for("a?b:c", is_stream=False) == "/models/a%3Fb%3Ac:generateContent"


def test_counting() -> None:
    """Contents alone, or a whole request within: the same estimate of the same words."""
    plain = inspect_count(body_of()).prompt_tokens
    within = json.dumps({"generateContentRequest": {"model": "m", "contents": [HELLO]}}).encode()
    assert inspect_count(within).prompt_tokens == plain == 2
    for body in (b"{}", b'{"contents":[]}', b"[]"):
        with pytest.raises(WireError):
            inspect_count(body)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"contents": "hi"}, "$.contents"),
        ({"contents": []}, "$.contents"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "$.contents[0].parts[0].text"),
        ({"generationConfig": {"maxOutputTokens": "9"}}, "$.generationConfig.maxOutputTokens"),
    ],
)
def test_a_wrong_field_is_named(members: Any, path: str) -> None:
    """The path of the wrong field is part of the error."""
    with pytest.raises(WireError) as raised:
        GEMINI.inspect_request(body_of(**members))
    assert raised.value.path == path


NAMES = (
    *("contents", "parts", "text", "inlineData", "mimeType", "data", "functionCall", "name"),
    *("args", "tools", "type", "function_response", "response", "generationConfig"),
    *("functionDeclarations", "parameters", "properties", "thinkingConfig"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(("", "x", "ANY", "image/png")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(value=JSON, contents=JSON)
def test_no_body_is_a_defect(value: Any, contents: Any) -> None:
    """Whatever a caller sends is read, or refused as the caller's mistake."""
    if isinstance(value, dict):
        value = {"contents": [{"parts": [contents]}], **value}
    body = json.dumps(value).encode()
    for read in (GEMINI.inspect_request, GEMINI.parse_request, inspect_count):
        with contextlib.suppress(WireError):
            read(body)
