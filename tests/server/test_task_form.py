"""Tasks in the plain form, end to end in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sidecar.engine.answer import PlainAnswer

TASK = b'{"input":"why?","sidecar":{"within":"2s"}}'
COMPLETION: dict[str, Any] = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "because"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def answering(world: Any, body: bytes, status: int = 200) -> None:
    """Let the engine answer with ``body``."""

    async def script(call: Any) -> PlainAnswer:
        usual: PlainAnswer = await type(world.engine)().answer(call)
        return replace(usual, body=body, status=status)

    world.engine.script = script


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """Return one event of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    known = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps(known | {"choices": [choice]}).encode() + b"\n\n"


def events(text: str) -> list[Any]:
    """Return the data of every event."""
    lines = [line for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("path", ["/v1/tasks/reason", "/tasks/reason", "/v1/tasks/re%61son"])
async def test_a_task_is_a_chat_call_in_other_words(world: Any, path: str) -> None:
    """Input goes in as a chat, the output comes out with the facts about it."""
    answering(world, json.dumps(COMPLETION).encode())
    exchange = await world.send("POST", path, TASK)
    (call,) = world.engine.calls
    assert json.loads(call.body)["messages"] == [{"role": "user", "content": "why?"}]
    assert call.deadline_at - call.arrived_at == pytest.approx(2.0)
    answer = exchange.json()
    assert answer["output"] == "because"
    assert answer["model"] == "anthropic/claude"
    assert (answer["route"], answer["call_id"]) == ("reason", call.id)
    assert answer["cost_usd"] == 0.0123


async def test_a_schema_gives_json(world: Any) -> None:
    """With a schema the output is an object, not text that holds one."""
    choice = COMPLETION["choices"][0] | {"message": {"role": "assistant", "content": '{"a": 1}'}}
    answering(world, json.dumps(COMPLETION | {"choices": [choice]}).encode())
    body = b'{"input":"why?","schema":{"type":"object"}}'
    exchange = await world.send("POST", "/v1/tasks/reason", body)
    assert exchange.json()["output"] == {"a": 1}


async def test_a_providers_refusal_stays(world: Any) -> None:
    """A provider's error is not pressed into an answer."""
    answering(world, b'{"error":{"message":"no"}}', status=400)
    exchange = await world.send("POST", "/v1/tasks/reason", TASK)
    assert exchange.status == 400
    assert exchange.json() == {"error": {"message": "no"}}


async def test_a_tasks_stream(world: Any, make_stream: Any) -> None:
    """Deltas become plain events; the last one carries the facts of the end."""
    world.engine.stream = stream = make_stream(
        chunk({"content": "be"}) + chunk({"content": "cause"}),
        chunk({}, "stop"),
        b"data: [DONE]\n\n",
    )
    exchange = await world.send("POST", "/v1/tasks/reason", b'{"input":"why?","stream":true}')
    *deltas, done = events(exchange.text())
    assert deltas == [{"delta": "be"}, {"delta": "cause"}]
    assert (done["done"], done["cost_usd"], done["finish_reason"]) == (True, 0.25, "stop")
    assert stream.closes == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/tasks/reason", b"", 400),
        ("/v1/tasks/reason", b"[]", 400),
        ("/v1/tasks/reason", b'{"input":3}', 400),
        ("/v1/tasks/reason", b'{"input":"a","shema":{}}', 400),
        ("/v1/tasks/reason", b'{"input":"\xff"}', 400),
        ("/v1/tasks/nobody", TASK, 404),
    ],
)
async def test_a_bad_task_is_refused(world: Any, path: str, body: bytes, status: int) -> None:
    """Every mistake in a task is a plain JSON error."""
    exchange = await world.send("POST", path, body)
    assert exchange.status == status
    assert exchange.json()["error"]["message"]
    assert world.engine.calls == []
