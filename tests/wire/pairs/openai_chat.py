"""OpenAI Chat Completions: requests, answers and streams, written by hand."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.pairs.fixture import Fixture
from tests.wire.pairs.meaning import CITY, MAX_TOKENS, NOTHING, PIXEL, SCHEMA

HELLO = {"role": "user", "content": "Grüezi"}
QUESTION = {"role": "user", "content": "Weather?"}


def ask(*messages: Any, **more: Any) -> bytes:
    """Return a request."""
    body = {"model": "m", "messages": messages or (HELLO,), "max_tokens": MAX_TOKENS, **more}
    return json.dumps(body, ensure_ascii=False).encode()


def tool(name: str, description: str, schema: object) -> dict[str, Any]:
    """Return a function's definition."""
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


def call(call_id: str, city: str) -> dict[str, Any]:
    """Return a call of ``weather``."""
    function = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {"id": call_id, "type": "function", "function": function}


def result(call_id: str, text: str) -> dict[str, Any]:
    """Return what a call brought."""
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def calling(*calls: Any) -> dict[str, Any]:
    """Return the assistant's turn that calls."""
    return {"role": "assistant", "content": None, "tool_calls": calls}


WEATHER, CLOCK = tool("weather", "Tells it.", CITY), tool("clock", "Tells time.", NOTHING)
ASKS = {
    "text": ask(),
    "turns": ask(
        HELLO,
        {"role": "assistant", "content": "Hallo"},
        {"role": "user", "content": [{"type": "text", "text": "Wie geht's?"}]},
    ),
    "system": ask({"role": "system", "content": "Be brief."}, HELLO),
    "tool results": ask(
        QUESTION, calling(call("c1", "Zug")), result("c1", "15 °C"), tools=[WEATHER]
    ),
    "parallel calls": ask(
        QUESTION,
        calling(call("c1", "Zug"), call("c2", "Bern")),
        result("c1", "15 °C"),
        result("c2", "9 °C"),
        tools=[WEATHER],
    ),
    "forced tool": ask(
        tools=[WEATHER, CLOCK],
        tool_choice={"type": "function", "function": {"name": "clock"}},
    ),
    "JSON schema": ask(
        response_format={"type": "json_schema", "json_schema": {"name": "v", "schema": SCHEMA}}
    ),
    "image": ask(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ],
        }
    ),
    "stop": ask(stop=["ENDE"]),
    "sampling": ask(
        temperature=0.25,
        top_p=0.75,
        top_k=33,
        seed=77,
        frequency_penalty=0.5,
        presence_penalty=0.125,
    ),
    "thinking": ask(reasoning_effort="low"),
}

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
DETAILED = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
SAYS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "text": ({"content": "Grüezi, Welt."}, "stop", USAGE),
    "call": ({"tool_calls": [call("c1", "Zug")]}, "tool_calls", USAGE),
    "parallel calls": (
        {"tool_calls": [call("c1", "Zug"), call("c2", "Bern")]},
        "tool_calls",
        USAGE,
    ),
    "thinking": (
        {"reasoning_content": "Kurz denken.", "content": "Grüezi, Welt."},
        "stop",
        USAGE,
    ),
    "refusal": ({"refusal": "Das mache ich nicht."}, "stop", USAGE),
    "usage": ({"content": "Grüezi, Welt."}, "stop", DETAILED),
    "length": ({"content": "Grüezi,"}, "length", USAGE),
    "stop sequence": ({"content": "Grüezi, Welt."}, "stop", USAGE),
    "filtered": ({"content": "Grüezi,"}, "content_filter", USAGE),
}


def answer(message: dict[str, Any], finish: str, usage: dict[str, Any]) -> bytes:
    """Return a whole answer."""
    body = {
        "id": "a1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, **message},
                "finish_reason": finish,
            }
        ],
        "usage": usage,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def stream(message: dict[str, Any], finish: str, usage: dict[str, Any]) -> bytes:
    """Return the same in pieces: texts cut in two, calls in three."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        text = message.get(name) or ""
        deltas += [{name: piece} for piece in (text[:3], text[3:]) if piece]
    for index, one in enumerate(message.get("tool_calls", ())):
        text = one["function"]["arguments"]
        begun = {**one, "index": index, "function": {**one["function"], "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        for piece in (text[:4], text[4:]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas
    ]
    choices += [[{"index": 0, "delta": {}, "finish_reason": finish}], []]
    head: dict[str, Any] = {
        "id": "a1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
    }
    chunks = [{**head, "choices": choice} for choice in choices]
    chunks[-1]["usage"] = usage
    events = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
    return "".join([*events, "data: [DONE]\n\n"]).encode()


FIXTURE = Fixture(
    asks=ASKS,
    answers={name: answer(*said) for name, said in SAYS.items()},
    streams={name: stream(*said) for name, said in SAYS.items()},
)
