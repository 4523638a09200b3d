"""Ollama's native format: requests it takes, recorded answers, streams cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire.formats import CODECS, codec, provider_codec
from sidecar.wire.ndjson import LineParser
from sidecar.wire.neutral import (
    Completion,
    Conversation,
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ImagePart,
    OutputFormat,
    OutputMode,
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

CODEC = provider_codec(WireFormat.OLLAMA_CHAT)
RECORDED = Path(__file__).parent / "recorded" / "ollama"
AT = "2026-08-19T10:00:00.123456789Z"
USER = Turn(role=Role.USER, parts=(TextPart(text="Hi"),))
WEATHER = Tool(name="weather", description="d", schema=b'{"type":"object"}')


def interactions(api: str) -> list[Any]:
    """Return the recorded calls of one API, named by file."""
    return [
        pytest.param(entry, id=path.stem[:60])
        for path in sorted(RECORDED.glob(f"{api}_*.json"))
        for entry in json.loads(path.read_bytes())["interactions"]
    ]


def render(conversation: Conversation, *, is_stream: bool = False) -> tuple[Any, tuple[str, ...]]:
    """Return the request as decoded JSON, and what was dropped."""
    rendered = CODEC.render_request(
        conversation, model="qwen3", is_stream=is_stream, max_tokens_field="num_predict"
    )
    return json.loads(rendered.body), rendered.dropped


def line(**message: Any) -> dict[str, Any]:
    """Return one object of a stream."""
    return {"model": "qwen3", "created_at": AT, "message": message, "done": False}


LAST = {**line(content=""), "done": True, "done_reason": "stop"}
COUNTED = {**LAST, "prompt_eval_count": 7, "eval_count": 5}
STREAM = b"".join(
    json.dumps(item, ensure_ascii=False).encode() + b"\n"
    for item in (
        line(role="assistant", content="", thinking="Ü"),
        line(role="assistant", content="It "),
        line(content="is€"),
        line(content="", tool_calls=[{"function": {"name": "weather", "arguments": {"a": 1}}}]),
        line(content="", tool_calls=[{"id": "x", "function": {"name": "now"}}]),
        COUNTED,
    )
)
DELTAS: list[Delta] = [
    Started(id="ollama-20260819100000123456789", model="qwen3", created=1787133600),
    ReasoningDelta(text="Ü"),
    TextDelta(text="It "),
    TextDelta(text="is€"),
    ToolCallStart(index=0, id="call_20260819100000123456789_0", name="weather"),
    ToolCallDelta(index=0, arguments='{"a": 1}'),
    ToolCallStart(index=1, id="x", name="now"),
    ToolCallDelta(index=1, arguments="{}"),
    Finished(finish=Finish.TOOL_CALLS),
    UsageSeen(usage=Usage(input_tokens=7, output_tokens=5)),
    Ended(),
]


def read(*chunks: bytes) -> tuple[list[Delta], bool]:
    """Return all deltas of a stream, and whether it is complete."""
    framer, parser = CODEC.framer(), CODEC.stream_parser()
    events = [event for chunk in chunks for event in framer.feed(chunk)] + framer.end()
    return [delta for event in events for delta in parser.feed(event)], parser.is_complete()


# --- requests ----------------------------------------------------------------------------------


def test_only_providers_speak_it() -> None:
    """No caller speaks this format."""
    assert WireFormat.OLLAMA_CHAT not in CODECS
    assert CODEC.path_for("qwen3", is_stream=True) == "/api/chat"


def test_a_whole_request() -> None:
    """Every wish that the format can carry arrives where Ollama looks for it."""
    conversation = Conversation(
        system=("Be brief.",),
        turns=(
            Turn(role=Role.USER, parts=(TextPart(text="Look"), ImagePart(data="aGk="))),
            Turn(
                role=Role.ASSISTANT,
                parts=(
                    ReasoningPart(text="hm"),
                    ToolCallPart(id="c1", name="weather", arguments='{"a":1}'),
                ),
            ),
            Turn(
                role=Role.USER,
                parts=(ToolResultPart(call_id="c1", content=(TextPart(text="15"),)),),
            ),
        ),
        tools=(WEATHER,),
        max_tokens=20,
        stop=("END",),
        sampling=Sampling(temperature=0.5, top_p=0.9, top_k=40, seed=0, presence_penalty=0.1),
        output=OutputFormat(mode=OutputMode.JSON_SCHEMA, schema=b'{"type":"object"}'),
        reasoning_effort="low",
    )
    body, dropped = render(conversation, is_stream=True)
    assert dropped == ()
    assert body == {
        "model": "qwen3",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look", "images": ["aGk="]},
            {
                "role": "assistant",
                "content": "",
                "thinking": "hm",
                "tool_calls": [
                    {"id": "c1", "function": {"name": "weather", "arguments": {"a": 1}}}
                ],
            },
            {"role": "tool", "content": "15", "tool_name": "weather", "tool_call_id": "c1"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "d",
                    "parameters": {"type": "object"},
                },
            }
        ],
        "options": {
            "num_predict": 20,
            "stop": ["END"],
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "seed": 0,
            "presence_penalty": 0.1,
        },
        "format": {"type": "object"},
        "think": "low",
    }


def test_a_plain_request_says_no_more_than_it_must() -> None:
    """What the caller did not ask for is left to the model's own settings."""
    body, _ = render(Conversation(system=(), turns=(USER,)))
    assert body == {
        "model": "qwen3",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
    }


def test_what_is_lost_is_named() -> None:
    """Wishes that this format cannot carry are told."""
    result = ToolResultPart(call_id="?", content=(ImagePart(url="http://i"),), is_error=True)
    conversation = Conversation(
        system=(),
        turns=(
            Turn(role=Role.ASSISTANT, parts=(ReasoningPart(redacted="x"),)),
            Turn(role=Role.USER, parts=(result,)),
        ),
        tools=(WEATHER,),
        tool_choice=ToolChoice(mode=ToolChoiceMode.REQUIRED, is_parallel=False),
        reasoning_tokens=1000,
        user_id="u",
        dropped=("n",),
    )
    body, dropped = render(conversation)
    assert set(dropped) == {
        *("n", "messages.reasoning", "messages.tool_result.is_error", "messages.image_url"),
        *("tool_choice", "parallel_tool_calls", "thinking.budget_tokens", "user"),
    }
    assert body["messages"] == [{"role": "tool", "content": "", "tool_call_id": "?"}]
    assert body["think"] is True


@pytest.mark.parametrize(
    ("choice", "sent", "lost"),
    [
        (None, ["weather", "now"], ()),
        (ToolChoice(), ["weather", "now"], ()),
        (ToolChoice(mode=ToolChoiceMode.NONE), None, ()),
        (ToolChoice(mode=ToolChoiceMode.NAMED, name="now"), ["now"], ("tool_choice",)),
    ],
)
def test_tool_choice(
    choice: ToolChoice | None, sent: list[str] | None, lost: tuple[str, ...]
) -> None:
    """A choice is met by what is offered, as far as that goes."""
    conversation = Conversation(
        system=(), turns=(USER,), tools=(WEATHER, Tool(name="now")), tool_choice=choice
    )
    body, dropped = render(conversation)
    tools = body.get("tools")
    assert (tools and [tool["function"]["name"] for tool in tools]) == sent
    assert dropped == lost


def test_json_without_a_schema() -> None:
    """JSON mode has a name of its own here."""
    output = OutputFormat(mode=OutputMode.JSON_OBJECT)
    assert render(Conversation(system=(), turns=(USER,), output=output))[0]["format"] == "json"


def test_arguments_that_are_no_object() -> None:
    """A call whose arguments nobody could have made is an error of the request."""
    call = ToolCallPart(id="c", name="f", arguments="[1")
    turns = (Turn(role=Role.ASSISTANT, parts=(call,)),)
    with pytest.raises(WireError):
        render(Conversation(system=(), turns=turns))


@pytest.mark.parametrize("entry", interactions("native_chat"))
def test_recorded_requests(entry: Any) -> None:
    """A request of its own client is what we would have written, but for its empty members."""
    sent = json.loads(entry["request"]["body_text"])
    turns: list[Turn] = []
    for message in sent["messages"]:
        text = message["content"]
        if message["role"] == "tool":
            result = ToolResultPart(call_id="c0", content=(TextPart(text=text),))
            turns.append(Turn(role=Role.USER, parts=(result,)))
        elif message["role"] == "assistant":
            (call,) = (each["function"] for each in message["tool_calls"])
            part = ToolCallPart(id="c0", name=call["name"], arguments=json.dumps(call["arguments"]))
            turns.append(Turn(role=Role.ASSISTANT, parts=(part,)))
        else:
            turns.append(Turn(role=Role.USER, parts=(TextPart(text=text),)))
    conversation = Conversation(system=(), turns=tuple(turns))
    body = json.loads(
        CODEC.render_request(
            conversation, model=sent["model"], is_stream=False, max_tokens_field="num_predict"
        ).body
    )
    for message in body["messages"]:
        for name in ("tool_call_id", "tool_name"):
            message.pop(name, None)
        for each in message.get("tool_calls", ()):
            each.pop("id")
    assert body == {name: value for name, value in sent.items() if value or name == "stream"} | {
        "stream": False
    }


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", interactions("native_chat"))
def test_recorded_answers(entry: Any) -> None:
    """Recorded answers are read whole, and callers' formats can say them."""
    body = entry["response"]["body_text"].encode()
    raw = json.loads(body)
    completion = CODEC.parse_response(body)
    assert completion.parts == (TextPart(text=raw["message"]["content"]),)
    assert completion.finish is Finish.STOP
    assert completion.usage == Usage(
        input_tokens=raw.get("prompt_eval_count", 0), output_tokens=raw["eval_count"]
    )
    for target in CODECS:
        again = codec(target).parse_response(codec(target).render_response(completion))
        assert again.parts == completion.parts
        assert again.usage == completion.usage


def test_answer_with_everything() -> None:
    """Thinking, text and calls; calls without ids get some."""
    calls = [{"function": {"name": "f", "arguments": {}}}, {"function": {"name": "g"}, "id": "i"}]
    message = {"content": "t", "thinking": "h", "tool_calls": calls}
    completion = CODEC.parse_response(json.dumps({**COUNTED, "message": message}).encode())
    assert completion == Completion(
        id="ollama-20260819100000123456789",
        model="qwen3",
        parts=(
            ReasoningPart(text="h"),
            TextPart(text="t"),
            ToolCallPart(id="call_20260819100000123456789_0", name="f", arguments="{}"),
            ToolCallPart(id="i", name="g", arguments="{}"),
        ),
        finish=Finish.TOOL_CALLS,
        usage=Usage(input_tokens=7, output_tokens=5),
        created=1787133600,
    )


@pytest.mark.parametrize(
    ("change", "finish"),
    [
        ({}, Finish.STOP),
        ({"done_reason": None}, Finish.STOP),
        ({"done_reason": "length"}, Finish.LENGTH),
        ({"done_reason": "load"}, Finish.OTHER),
        ({"done": False}, None),
    ],
)
def test_finish(change: dict[str, Any], finish: Finish | None) -> None:
    """Reasons are told apart, and what is not done is never called complete."""
    body = json.dumps({**LAST, "created_at": "?", **change}).encode()
    completion = CODEC.parse_response(body)
    assert completion.finish is finish
    assert completion.usage is None
    assert completion.created is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"message":{}}', b'{"done":true,"message":{"content":1}}', b'{"\xff']
)
def test_what_is_no_answer(body: bytes) -> None:
    """Other JSON is not taken for an answer."""
    with pytest.raises(WireError):
        CODEC.parse_response(body)


def test_error_text() -> None:
    """Errors are one text."""
    assert CODEC.error_text(b'{"error":"model not found"}') == "model not found"
    assert CODEC.error_text(b'{"error":{"message":"m"}}') is None
    assert CODEC.error_text(b"<html>") is None


# --- streams -----------------------------------------------------------------------------------


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_stream_in_pieces(cuts: list[int]) -> None:
    """A stream says the same however it is cut."""
    edges = [0, *sorted(cuts), len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(edges))) == (DELTAS, True)


def test_stream_cut_anywhere() -> None:
    """Wherever a stream is cut in two, it says the same; cut short, it is not complete."""
    for at in range(len(STREAM)):
        assert read(STREAM[:at], STREAM[at:]) == (DELTAS, True)
        parser = CODEC.stream_parser()
        for event in CODEC.framer().feed(STREAM[:at]):
            parser.feed(event)
        assert not parser.is_complete()


@pytest.mark.parametrize("entry", interactions("native_generate"))
def test_recorded_framing(entry: Any) -> None:
    """Recorded streams fall into objects, one a line, in single bytes too."""
    stream = entry["response"]["body_text"].encode()
    framer = LineParser()
    events = [event for at in range(len(stream)) for event in framer.feed(stream[at : at + 1])]
    events += framer.end()
    objects = [json.loads(event.data) for event in events if event.data]
    assert objects == [json.loads(line) for line in stream.splitlines() if line]
    assert [item["done"] for item in objects] == [False] * (len(objects) - 1) + [True]
    chat = [
        {**item, "message": {"role": "assistant", "content": item.pop("response")}}
        for item in objects
    ]
    deltas, is_complete = read(b"".join(msgspec.json.encode(item) + b"\n" for item in chat))
    assert is_complete
    assert "".join(d.text for d in deltas if isinstance(d, TextDelta)).startswith("A")
    assert deltas[-3] == Finished(finish=Finish.STOP)


def test_error_in_the_stream() -> None:
    """An error line is seen, with its data, and completes nothing."""
    raw = b'{"error":"an error was encountered while running the model"}'
    deltas, is_complete = read(STREAM.splitlines(keepends=True)[0], raw + b"\n")
    message = "an error was encountered while running the model"
    assert deltas[-1] == ErrorSeen(message=message, error_type=None, data=raw)
    assert not is_complete


@pytest.mark.parametrize("raw", [b"{\n", b"text\n", b"[1]\n", b'{"done":"no"}\n', b"\xff\n"])
def test_malformed_lines(raw: bytes) -> None:
    """A line that is not JSON of this format is an error, not skipped."""
    with pytest.raises(WireError):
        read(raw)
