"""The plain task form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.errors import WireError
from sidecar.wire.openai_chat import OpenAIChatCodec
from sidecar.wire.tasks import (
    TaskFacts,
    TaskStream,
    has_schema,
    parse_task,
    render_task_answer,
)

FACTS = TaskFacts(model="p/m", route="sum", call_id="c", degraded="1;down;p/m", cost_usd=0.5)
CLOSING = {
    "model": "p/m",
    "route": "sum",
    "call_id": "c",
    "degraded": "1;down;p/m",
    "cost_usd": 0.5,
}


def task(**members: object) -> dict[str, Any]:
    """Return the chat request of a task, decoded."""
    decoded: dict[str, Any] = json.loads(parse_task(json.dumps(members).encode(), "sum"))
    return decoded


def completion(text: str) -> bytes:
    """Return a chat completion that says ``text``."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 2, "completion_tokens": 1}
    return json.dumps({"id": "i", "model": "m", "choices": [choice], "usage": usage}).encode()


def stream(*deltas: str, is_whole: bool = True) -> bytes:
    """Return a chat stream of these texts."""
    choices = [{"index": 0, "delta": {"content": text}} for text in deltas]
    if is_whole:
        choices.append({"index": 0, "delta": {}, "finish_reason": "length"})
    events = [b"data: " + json.dumps({"id": "i", "choices": [c]}).encode() for c in choices]
    return b"".join(event + b"\n\n" for event in events) + b"data: [DONE]\n\n" * is_whole


def payloads(raw: bytes) -> list[Any]:
    """Return the JSON of each event."""
    return [json.loads(event.removeprefix(b"data: ")) for event in raw.split(b"\n\n") if event]


def test_input_alone() -> None:
    """A task of an input is one user message to the route."""
    assert task(input="hi") == {"model": "sum", "messages": [{"role": "user", "content": "hi"}]}


def test_every_member() -> None:
    """System, context, schema, stream and bound all reach the chat request, which is valid."""
    schema = {"type": "object", "properties": {}}
    request = task(
        input={"a": [1.50, "é"]},
        system="s",
        context=["one", "two"],
        schema=schema,
        stream=True,
        max_tokens=9,
    )
    assert request["messages"][0] == {"role": "system", "content": "s"}
    one, two, last = request["messages"][1]["content"].split("\n\n")
    assert (one, two, json.loads(last)) == ("one", "two", {"a": [1.5, "é"]})
    assert request["response_format"]["json_schema"]["schema"] == schema
    assert (request["stream"], request["max_tokens"]) == (True, 9)
    facts = OpenAIChatCodec().inspect_request(json.dumps(request).encode())
    assert facts.wants_usage_in_stream
    assert has_schema(json.dumps(request).encode())
    assert not has_schema(parse_task(b'{"input":"x","schema":null}', "m"))


def test_context_as_text() -> None:
    """A single context text comes before the input."""
    assert task(input="b", context="a")["messages"][0]["content"] == "a\n\nb"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"{}", "$"),
        (b'{"input":5}', "$.input"),
        (b'{"input":["x"]}', "$.input"),
        (b'{"input":"x","shema":{}}', "$"),
        (b'{"input":"x","context":[1]}', "$.context[0]"),
        (b'{"input":"x","schema":"y"}', "$.schema"),
        (b'{"input":"x","stream":1}', "$.stream"),
        (b'{"input":"\xff"}', "$"),
    ],
)
def test_wrong_tasks_say_where(body: bytes, path: str) -> None:
    """Wrong types and misspelt members are refused with their place."""
    with pytest.raises(WireError) as caught:
        parse_task(body, "m")
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "is_structured", "output"),
    [
        ("hi", False, "hi"),
        ('{"a":1}', False, '{"a":1}'),
        (' {"a":1}\n', True, {"a": 1}),
        ('{"a":', True, '{"a":'),
        ("[1]", True, "[1]"),
    ],
)
def test_answer(text: str, is_structured: bool, output: object) -> None:
    """The output is text, or the object it spells if a schema was given."""
    answer = json.loads(render_task_answer(completion(text), FACTS, is_structured=is_structured))
    assert answer["output"] == output
    assert answer["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] == 2
    assert {key: answer[key] for key in CLOSING} == CLOSING


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_stream(size: int) -> None:
    """A stream is its text deltas and one last event with the facts, however it is cut."""
    raw = stream("a", "é", "")
    parser = TaskStream()
    seen = b"".join(parser.feed(raw[i : i + size]) for i in range(0, len(raw), size))
    assert payloads(seen) == [{"delta": "a"}, {"delta": "é"}]
    assert payloads(parser.finish(FACTS)) == [
        {"done": True, **CLOSING, "finish_reason": "length", "usage": None}
    ]


def test_broken_stream_is_never_done() -> None:
    """An error event is passed on and ends the stream; a cut stream ends in an error."""
    error = OpenAIChatCodec().render_stream_error(code="c", message="m", details={})
    parser = TaskStream()
    events = payloads(parser.feed(stream("a", is_whole=False) + error))
    assert events[0] == {"delta": "a"}
    assert events[1]["error"]["message"] == "m"
    assert parser.finish(FACTS) == b""
    cut = TaskStream()
    cut.feed(stream("a", is_whole=False))
    assert list(payloads(cut.finish(FACTS))[0]) == ["error"]
