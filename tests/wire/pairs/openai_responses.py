"""OpenAI Responses: requests, answers and streams, written by hand."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.pairs.fixture import Fixture
from tests.wire.pairs.meaning import CITY, MAX_TOKENS, NOTHING, PIXEL, SCHEMA

HELLO = {"role": "user", "content": "Grüezi"}
QUESTION = {"role": "user", "content": "Weather?"}


def ask(*items: Any, **more: Any) -> bytes:
    """Return a request."""
    body = {
        "model": "m",
        "input": items or (HELLO,),
        "max_output_tokens": MAX_TOKENS,
        "store": False,
        **more,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def tool(name: str, description: str, schema: object) -> dict[str, Any]:
    """Return a function's definition."""
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": schema,
        "strict": False,
    }


def call(call_id: str, city: str) -> dict[str, Any]:
    """Return a call of ``weather``."""
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": "weather",
        "arguments": json.dumps({"city": city}),
        "status": "completed",
    }


def result(call_id: str, text: str) -> dict[str, Any]:
    """Return what a call brought."""
    return {"type": "function_call_output", "call_id": call_id, "output": text}


WEATHER, CLOCK = tool("weather", "Tells it.", CITY), tool("clock", "Tells time.", NOTHING)
ASKS = {
    "text": ask(),
    "turns": ask(
        HELLO,
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hallo"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Wie geht's?"}]},
    ),
    "system": ask(instructions="Be brief."),
    "tool results": ask(QUESTION, call("c1", "Zug"), result("c1", "15 °C"), tools=[WEATHER]),
    "parallel calls": ask(
        QUESTION,
        call("c1", "Zug"),
        call("c2", "Bern"),
        result("c1", "15 °C"),
        result("c2", "9 °C"),
        tools=[WEATHER],
    ),
    "forced tool": ask(tools=[WEATHER, CLOCK], tool_choice={"type": "function", "name": "clock"}),
    "JSON schema": ask(text={"format": {"type": "json_schema", "name": "v", "schema": SCHEMA}}),
    "image": ask(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
            ],
        }
    ),
    "sampling": ask(temperature=0.25, top_p=0.75),
    "thinking": ask(reasoning={"effort": "low"}),
}

USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
DETAILED = {
    "input_tokens": 100,
    "output_tokens": 50,
    "total_tokens": 150,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens_details": {"reasoning_tokens": 20},
}


def words(text: str, *, is_refusal: bool = False) -> dict[str, Any]:
    """Return a message of the assistant."""
    part = (
        {"type": "refusal", "refusal": text}
        if is_refusal
        else {"type": "output_text", "text": text, "annotations": []}
    )
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Kurz denken."}],
}
SAYS: dict[str, tuple[list[dict[str, Any]], str | None, dict[str, Any]]] = {
    "text": ([words("Grüezi, Welt.")], None, USAGE),
    "call": ([call("c1", "Zug")], None, USAGE),
    "parallel calls": ([call("c1", "Zug"), call("c2", "Bern")], None, USAGE),
    "thinking": ([THOUGHT, words("Grüezi, Welt.")], None, USAGE),
    "refusal": ([words("Das mache ich nicht.", is_refusal=True)], None, USAGE),
    "usage": ([words("Grüezi, Welt.")], None, DETAILED),
    "length": ([words("Grüezi,")], "max_output_tokens", USAGE),
    "filtered": ([words("Grüezi,")], "content_filter", USAGE),
}


def response(output: list[dict[str, Any]], why: str | None, usage: object) -> dict[str, Any]:
    """Return an answer; ``why`` it is incomplete, None if it is whole."""
    return {
        "id": "a1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed" if why is None else "incomplete",
        "incomplete_details": None if why is None else {"reason": why},
        "error": None,
        "output": output,
        "usage": usage,
    }


def stream(output: list[dict[str, Any]], why: str | None, usage: dict[str, Any]) -> bytes:
    """Return the same in pieces."""
    begun = {**response([], None, None), "status": "in_progress"}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(output):
        events += [{**event, "output_index": index} for event in _pieces(item)]
    last = "response.completed" if why is None else "response.incomplete"
    events.append({"type": last, "response": response(output, why, usage)})
    return "".join(
        f"event: {event['type']}\n"
        f"data: {json.dumps({**event, 'sequence_number': number}, ensure_ascii=False)}\n\n"
        for number, event in enumerate(events)
    ).encode()


def _pieces(item: dict[str, Any]) -> list[dict[str, Any]]:
    added, done = "response.output_item.added", "response.output_item.done"
    match item["type"]:
        case "message":
            part = item["content"][0]
            kind, name = "output_text", "text"
            if part["type"] == "refusal":
                kind = name = "refusal"
            empty, text = {**item, "content": []}, part[name]
            where = {"item_id": item["id"], "content_index": 0}
        case "reasoning":
            kind, text = "reasoning_summary_text", item["summary"][0]["text"]
            empty, where = {**item, "summary": []}, {"item_id": item["id"], "summary_index": 0}
        case _:
            kind, text = "function_call_arguments", item["arguments"]
            empty, where = {**item, "arguments": ""}, {"item_id": item["id"]}
    deltas = [
        {"type": f"response.{kind}.delta", "delta": piece, **where}
        for piece in (text[:4], text[4:])
    ]
    return [{"type": added, "item": empty}, *deltas, {"type": done, "item": item}]


FIXTURE = Fixture(
    asks=ASKS,
    answers={
        name: json.dumps(response(*said), ensure_ascii=False).encode()
        for name, said in SAYS.items()
    },
    streams={name: stream(*said) for name, said in SAYS.items()},
    cannot={
        "ask: stop": "has no stop sequences",
        "answer: stop sequence": "has no stop sequences",
    },
    lacks={"ask: sampling": frozenset({"top_k", "seed", "frequency_penalty", "presence_penalty"})},
)
