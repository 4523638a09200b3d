"""Bedrock Converse: recorded requests and answers, its rules, its streams."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.domain import Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire.aws_event_stream import EXCEPTION
from sidecar.wire.formats import CODECS, codec, provider_codec
from sidecar.wire.neutral import (
    Conversation,
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ImagePart,
    OutputFormat,
    OutputMode,
    Part,
    ReasoningDelta,
    ReasoningPart,
    Role,
    Sampling,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    Turn,
    UsageSeen,
)
from sidecar.wire.sse import SseEvent

CODEC = provider_codec(WireFormat.BEDROCK_CONVERSE)
RECORDED = Path(__file__).parent / "recorded" / "bedrock"
NOVA, CLAUDE = "us.amazon.nova-2-lite-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
USER = Turn(role=Role.USER, parts=(TextPart(text="Hi"),))
CALL = ToolCallPart(id="c1", name="weather", arguments='{"a":1}')
CALLED = (
    USER,
    Turn(role=Role.ASSISTANT, parts=(CALL,)),
    Turn(
        role=Role.USER,
        parts=(
            TextPart(text="Go on"),
            ToolResultPart(call_id="c1", content=(TextPart(text="15"),), is_error=True),
        ),
    ),
)


def interactions(field: str) -> list[Any]:
    """Return the recorded calls whose answers have ``field``, named by file."""
    return [
        pytest.param(entry, id=f"{path.stem[:60]}-{number}")
        for path in sorted(RECORDED.glob("*.json"))
        for number, entry in enumerate(json.loads(path.read_bytes())["interactions"])
        if entry["response"].get(field)
    ]


def render(conversation: Conversation, model: str = NOVA) -> tuple[Any, tuple[str, ...]]:
    """Return the request as decoded JSON, and what was dropped."""
    rendered = CODEC.render_request(
        conversation, model=model, is_stream=False, max_tokens_field="maxTokens"
    )
    return json.loads(rendered.body), rendered.dropped


# --- requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (NOVA, "/model/us.amazon.nova-2-lite-v1%3A0/converse"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.x",
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse",
        ),
    ],
)
def test_path(model: str, path: str) -> None:
    """Model ids are one segment of the path, whatever is in them."""
    assert CODEC.path_for(model, is_stream=False) == path
    assert CODEC.path_for(model, is_stream=True) == f"{path}-stream"
    assert WireFormat.BEDROCK_CONVERSE not in CODECS


def read_request(sent: dict[str, Any]) -> Conversation:
    """Return the conversation that a recorded request holds."""
    config = sent.get("inferenceConfig", {})
    tools = sent.get("toolConfig", {})
    choice = None
    if "tool" in tools.get("toolChoice", {}):
        choice = ToolChoice(mode=ToolChoiceMode.NAMED, name=tools["toolChoice"]["tool"]["name"])
    form = sent.get("outputConfig", {}).get("textFormat", {}).get("structure", {})
    output = OutputFormat()
    if form:
        schema = form["jsonSchema"]
        output = OutputFormat(
            mode=OutputMode.JSON_SCHEMA, name=schema["name"], schema=schema["schema"].encode()
        )
    return Conversation(
        system=tuple(block["text"] for block in sent.get("system", ()) if "text" in block),
        turns=tuple(
            Turn(
                role=Role(message.get("role", "assistant")),
                parts=tuple(read_part(block) for block in message["content"]),
            )
            for message in sent["messages"]
        ),
        tools=tuple(
            Tool(
                name=tool["toolSpec"]["name"],
                description=tool["toolSpec"].get("description"),
                schema=json.dumps(tool["toolSpec"]["inputSchema"]["json"]).encode(),
            )
            for tool in tools.get("tools", ())
            if "toolSpec" in tool
        ),
        tool_choice=choice,
        max_tokens=config.get("maxTokens"),
        stop=tuple(config.get("stopSequences", ())),
        sampling=Sampling(temperature=config.get("temperature"), top_p=config.get("topP")),
        output=output,
    )


def read_part(block: dict[str, Any]) -> Part:
    """Return the part that a recorded block is."""
    match block:
        case {"text": text}:
            return TextPart(text=text)
        case {"image": image}:
            kind = f"image/{image['format']}"
            return ImagePart(media_type=kind, data=image["source"]["bytes"])
        case {"toolUse": call}:
            arguments = json.dumps(call["input"])
            return ToolCallPart(id=call["toolUseId"], name=call["name"], arguments=arguments)
        case {"toolResult": result}:
            parts = [read_part(item) for item in result["content"]]
            content = tuple(part for part in parts if isinstance(part, TextPart | ImagePart))
            return ToolResultPart(call_id=result["toolUseId"], content=content)
        case {"json": value}:
            return TextPart(text=json.dumps(value))
        case _:
            raise AssertionError(block)


def plain(sent: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded request without what says nothing."""
    body = {name: value for name, value in sent.items() if value}
    for message in body["messages"]:
        message.setdefault("role", "assistant")
        for block in message["content"]:
            result = block.get("toolResult", {"content": ()})
            if result.get("status") == "success":
                del result["status"]
            for item in result["content"]:
                if "json" in item:
                    item["text"] = json.dumps(item.pop("json"))
    if "toolConfig" in body:
        body["toolConfig"].pop("toolChoice", None)
        body["toolConfig"]["tools"] = [t for t in body["toolConfig"]["tools"] if "toolSpec" in t]
    if "system" in body:
        body["system"] = [block for block in body["system"] if "text" in block]
    return body


def recorded_requests() -> list[Any]:
    """Return the recorded requests that hold no video, documents or cache marks in messages."""
    cases = interactions("status")
    return [
        case
        for case in cases
        if (body := case.values[0]["request"].get("body_text"))
        and not any(word in body for word in ('"video"', '"document"'))
    ]


@pytest.mark.parametrize("entry", recorded_requests())
def test_recorded_requests(entry: Any) -> None:
    """What other programs sent with success is what we write of the same conversation."""
    sent = json.loads(entry["request"]["body_text"])
    choice = sent.get("toolConfig", {}).get("toolChoice", {"auto": {}})
    model = CLAUDE if "anthropic" in entry["request"]["url"] else NOVA
    body, dropped = render(read_request(sent), model)
    assert dropped == ()
    if "toolConfig" in body:
        assert body["toolConfig"].pop("toolChoice", {"auto": {}}) == choice
    assert body == plain(sent)


def test_its_rules_are_kept() -> None:
    """Roles alternate from the user on, no text is blank, results lead, prefills are trimmed."""
    turns = (
        Turn(role=Role.ASSISTANT, parts=(TextPart(text="A"), TextPart(text=" "))),
        *CALLED,
        USER,
        Turn(role=Role.ASSISTANT, parts=(TextPart(text="It is \n"),)),
    )
    body, _ = render(Conversation(system=(" ", "S"), turns=turns))
    assert [message["role"] for message in body["messages"]] == [
        *("user", "assistant", "user", "assistant", "user", "assistant")
    ]
    assert body["messages"][0]["content"] == [{"text": "."}]
    assert body["messages"][1]["content"] == [{"text": "A"}]
    assert body["messages"][4]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "15"}], "status": "error"}},
        {"text": "Go on"},
        {"text": "Hi"},
    ]
    assert body["messages"][5]["content"] == [{"text": "It is"}]
    assert body["system"] == [{"text": "S"}]


@pytest.mark.parametrize(
    ("turns", "tools", "mode", "offered", "choice", "lost"),
    [
        (CALLED, (), None, ["weather"], None, ()),
        (CALLED, (Tool(name="now"),), ToolChoiceMode.NONE, ["now"], None, ("tool_choice",)),
        ((USER,), (Tool(name="now"),), ToolChoiceMode.NONE, None, None, ()),
        ((USER,), (Tool(name="now"),), ToolChoiceMode.REQUIRED, ["now"], {"any": {}}, ()),
        ((USER,), (Tool(name="now"),), ToolChoiceMode.AUTO, ["now"], None, ()),
        ((USER,), (), ToolChoiceMode.REQUIRED, None, None, ()),
    ],
)
def test_tools_stand_where_they_must(
    turns: tuple[Turn, ...],
    tools: tuple[Tool, ...],
    mode: ToolChoiceMode | None,
    offered: list[str] | None,
    choice: object,
    lost: tuple[str, ...],
) -> None:
    """A history with calls needs tools; a choice of none without such a history offers none."""
    wanted = None if mode is None else ToolChoice(mode=mode)
    body, dropped = render(Conversation(system=(), turns=turns, tools=tools, tool_choice=wanted))
    config = body.get("toolConfig")
    if offered is None:
        assert config is None
    else:
        assert [tool["toolSpec"]["name"] for tool in config["tools"]] == offered
        assert config["tools"][0]["toolSpec"]["inputSchema"] == {"json": {"type": "object"}}
        assert config.get("toolChoice") == choice
    assert dropped == lost


def test_what_only_some_models_know() -> None:
    """Thinking and top_k reach Anthropic's models; for others they are named as lost."""
    conversation = Conversation(
        system=(),
        turns=(USER,),
        max_tokens=9000,
        stop=("", "END"),
        sampling=Sampling(temperature=1.5, top_p=0.5, top_k=5, seed=1, frequency_penalty=0.0),
        reasoning_tokens=2000,
        user_id="u",
        tools=(Tool(name="now", is_strict=True),),
        tool_choice=ToolChoice(is_parallel=False),
        output=OutputFormat(mode=OutputMode.JSON_OBJECT),
    )
    common = {"stop", "parallel_tool_calls", "response_format", "user", "seed"}
    body, dropped = render(conversation, CLAUDE)
    assert body["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 2000}
    }
    assert body["inferenceConfig"] == {"maxTokens": 9000, "stopSequences": ["END"]}
    assert body["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert set(dropped) == common | {"temperature", "top_k", "top_p"}
    body, dropped = render(conversation, NOVA)
    assert body["inferenceConfig"] == {
        "maxTokens": 9000,
        "stopSequences": ["END"],
        "temperature": 1.5,
        "topP": 0.5,
    }
    assert set(dropped) == common | {"top_k", "thinking.budget_tokens"}
    sampled = Conversation(system=(), turns=(USER,), sampling=Sampling(top_k=5))
    assert render(sampled, CLAUDE)[0]["additionalModelRequestFields"] == {"top_k": 5}


def test_parts_that_cannot_be_sent_are_named() -> None:
    """Images by URL or of unknown form and unsigned thinking are left out and named."""
    turns = (
        Turn(role=Role.USER, parts=(ImagePart(url="http://i"), TextPart(text="x"))),
        Turn(
            role=Role.ASSISTANT,
            parts=(
                ReasoningPart(text="a"),
                ReasoningPart(text="b", signature="s"),
                ReasoningPart(redacted="cmVk"),
                TextPart(text="y"),
            ),
        ),
    )
    body, dropped = render(Conversation(system=(), turns=turns))
    assert dropped == ("messages.image_url", "messages.reasoning")
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "b", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "y"},
    ]


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", interactions("body_text"))
def test_recorded_answers(entry: Any) -> None:
    """Recorded answers are read whole and can be said in callers' formats; errors are errors."""
    body = entry["response"]["body_text"].encode()
    raw = json.loads(body)
    if entry["response"]["status"] != 200:
        assert CODEC.error_text(body) == raw["message"]
        with pytest.raises(WireError):
            CODEC.parse_response(body)
        return
    completion = CODEC.parse_response(body)
    blocks = raw["output"]["message"]["content"]
    texts = [part.text for part in completion.parts if isinstance(part, TextPart)]
    assert texts == [block["text"] for block in blocks if "text" in block]
    calls = [part for part in completion.parts if isinstance(part, ToolCallPart)]
    assert [(call.id, call.name, json.loads(call.arguments)) for call in calls] == [
        (block["toolUse"]["toolUseId"], block["toolUse"]["name"], block["toolUse"]["input"])
        for block in blocks
        if "toolUse" in block
    ]
    assert (completion.finish is Finish.TOOL_CALLS) == bool(calls)
    assert completion.usage is not None
    total = completion.usage.input_tokens + completion.usage.output_tokens
    assert total == raw["usage"]["totalTokens"]
    assert completion.usage.cached_tokens == raw["usage"].get("cacheReadInputTokens", 0)
    for target in CODECS:
        again = codec(target).parse_response(codec(target).render_response(completion))
        assert again.usage is not None
        # Not every format has a word for tokens written to a cache.
        written = completion.usage.cache_write_tokens
        assert replace(again.usage, cache_write_tokens=written) == completion.usage
        assert [part for part in again.parts if isinstance(part, ToolCallPart)] == calls


def answer(*blocks: object, stop: str | None = "end_turn") -> bytes:
    """Return an answer with ``blocks``."""
    message = {"role": "assistant", "content": blocks}
    return json.dumps({"output": {"message": message}, "stopReason": stop}).encode()


def test_blocks_of_every_kind() -> None:
    """Thinking, citations and Bedrock's own tools are told apart."""
    completion = CODEC.parse_response(
        answer(
            {"reasoningContent": {"reasoningText": {"text": "h", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "cg=="}},
            {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}]}},
            {"toolUse": {"toolUseId": "i", "name": "n", "input": {}, "type": "server_tool_use"}},
            {"guardContent": {}},
            {"text": ""},
        )
    )
    assert completion.parts == (
        ReasoningPart(text="h", signature="s"),
        ReasoningPart(redacted="cg=="),
        TextPart(text="ab"),
    )
    assert completion.usage is None


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("tool_use", Finish.TOOL_CALLS),
        ("max_tokens", Finish.LENGTH),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("stop_sequence", Finish.STOP_SEQUENCE),
        ("guardrail_intervened", Finish.CONTENT_FILTER),
        ("content_filtered", Finish.CONTENT_FILTER),
        ("something_new", Finish.OTHER),
        (None, None),
    ],
)
def test_stop_reasons(stop: str | None, finish: Finish | None) -> None:
    """Every reason of the API has its meaning; none means not complete."""
    assert CODEC.parse_response(answer({"text": "x"}, stop=stop)).finish is finish


def test_malformed_output_is_no_answer() -> None:
    """What Bedrock could not read of the model's words is an error, with words for it."""
    body = answer({"text": "x"}, stop="malformed_tool_use")
    with pytest.raises(WireError, match="malformed"):
        CODEC.parse_response(body)
    assert CODEC.error_text(body) == "the model's output was malformed"
    assert CODEC.error_text(answer()) is None
    assert CODEC.error_text(b"<html>") is None


# --- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", interactions("body_b64"))
def test_recorded_streams(entry: Any) -> None:
    """Recorded streams say what a plain reading of their messages says, and end."""
    stream = base64.b64decode(entry["response"]["body_b64"])
    framer, parser = CODEC.framer(), CODEC.stream_parser()
    events = [*framer.feed(stream), *framer.end()]
    deltas = [delta for event in events for delta in parser.feed(event)]
    data = [json.loads(event.data or b"") for event in events]
    texts = [item["delta"].get("text", "") for item in data if "delta" in item]
    assert "".join(d.text for d in deltas if isinstance(d, TextDelta)) == "".join(texts)
    starts = [d for d in deltas if isinstance(d, ToolCallStart)]
    assert [start.index for start in starts] == list(range(len(starts)))
    for start in starts:
        pieces = [
            d.arguments for d in deltas if isinstance(d, ToolCallDelta) and d.index == start.index
        ]
        assert isinstance(json.loads("".join(pieces)), dict)
    assert (Finished(finish=Finish.TOOL_CALLS) in deltas) == bool(starts)
    assert isinstance(deltas[0], Started)
    assert isinstance(deltas[-2], UsageSeen)
    assert deltas[-1] == Ended()
    assert parser.is_complete()


def feed(*events: tuple[str, object]) -> tuple[list[Delta], bool]:
    """Return the deltas of messages given by name and data, and whether they are complete."""
    parser = CODEC.stream_parser()
    deltas = [
        delta
        for name, data in events
        for delta in parser.feed(SseEvent(b"", name, json.dumps(data).encode()))
    ]
    return deltas, parser.is_complete()


def change(index: int, **delta: object) -> tuple[str, object]:
    """Return a message with a piece of block ``index``."""
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}


def test_pieces_of_every_kind() -> None:
    """Thinking, text, calls with and without input, unknown messages, usage before the end."""
    start = {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "i", "name": "f"}}}
    deltas, is_complete = feed(
        ("messageStart", {"role": "assistant"}),
        change(0, reasoningContent={"text": "h"}),
        change(0, reasoningContent={"signature": "s"}),
        change(0, reasoningContent={}),
        change(1, text=""),
        change(1, citation={}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {}}),
        ("contentBlockStart", start),
        change(2, toolUse={"input": ""}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("somethingNew", {}),
        ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 4}}),
        ("messageStop", {"stopReason": "tool_use"}),
    )
    assert deltas == [
        Started(id="", model=""),
        ReasoningDelta(text="h"),
        ReasoningDelta(signature="s"),
        ToolCallStart(index=0, id="i", name="f"),
        ToolCallDelta(index=0, arguments="{}"),
        UsageSeen(usage=Usage(input_tokens=5, output_tokens=2, cached_tokens=4)),
        Finished(finish=Finish.TOOL_CALLS),
        Ended(),
    ]
    assert is_complete


def test_a_stream_without_usage_may_end_after_its_reason() -> None:
    """The stop reason completes an answer; nothing before it does."""
    assert feed(change(0, text="x")) == ([TextDelta(text="x")], False)
    assert feed(("messageStop", {"stopReason": "end_turn"}), ("metadata", {})) == (
        [Finished(finish=Finish.STOP)],
        True,
    )


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ((EXCEPTION, {"type": "throttlingException", "message": "m"}), "throttlingException"),
        (("messageStop", {"stopReason": "malformed_model_output"}), "malformed_model_output"),
    ],
)
def test_errors_in_the_stream(event: tuple[str, object], kind: str) -> None:
    """Exceptions and malformed output are errors, and complete nothing."""
    (delta,), is_complete = feed(event)
    assert isinstance(delta, ErrorSeen)
    assert delta.error_type == kind
    assert json.loads(delta.data)["type"] == kind
    assert not is_complete


@pytest.mark.parametrize("name", ["contentBlockStart", "contentBlockDelta", "messageStop"])
def test_malformed_messages(name: str) -> None:
    """A message without what it must have is an error, not skipped."""
    with pytest.raises(WireError):
        feed((name, {}))
