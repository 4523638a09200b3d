"""Anthropic Messages: requests, answers and streams, written by hand."""

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


def call(call_id: str, city: str) -> dict[str, Any]:
    """Return a call of ``weather``."""
    return {"type": "tool_use", "id": call_id, "name": "weather", "input": {"city": city}}


def results(**texts: str) -> dict[str, Any]:
    """Return what the calls brought, by their ids."""
    blocks = [
        {"type": "tool_result", "tool_use_id": call_id, "content": text}
        for call_id, text in texts.items()
    ]
    return {"role": "user", "content": blocks}


WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": CITY}
CLOCK = {"name": "clock", "description": "Tells time.", "input_schema": NOTHING}
SOURCE = {"type": "base64", "media_type": "image/png", "data": PIXEL}
ASKS = {
    "text": ask(),
    "turns": ask(
        HELLO,
        {"role": "assistant", "content": "Hallo"},
        {"role": "user", "content": [{"type": "text", "text": "Wie geht's?"}]},
    ),
    "system": ask(system="Be brief."),
    "tool results": ask(
        QUESTION,
        {"role": "assistant", "content": [call("c1", "Zug")]},
        results(c1="15 °C"),
        tools=[WEATHER],
    ),
    "parallel calls": ask(
        QUESTION,
        {"role": "assistant", "content": [call("c1", "Zug"), call("c2", "Bern")]},
        results(c1="15 °C", c2="9 °C"),
        tools=[WEATHER],
    ),
    "forced tool": ask(tools=[WEATHER, CLOCK], tool_choice={"type": "tool", "name": "clock"}),
    "JSON schema": ask(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    "image": ask(
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look."}, {"type": "image", "source": SOURCE}],
        }
    ),
    "stop": ask(stop_sequences=["ENDE"]),
    "sampling": ask(temperature=0.25, top_p=0.75, top_k=33),
    "thinking": ask(thinking={"type": "enabled", "budget_tokens": 1024}),
}

USAGE = {"input_tokens": 10, "output_tokens": 5}
DETAILED = {
    "input_tokens": 60,
    "cache_read_input_tokens": 40,
    "cache_creation_input_tokens": 0,
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 20},
}
WORDS = {"type": "text", "text": "Grüezi, Welt."}
HALF = {"type": "text", "text": "Grüezi,"}
SAYS: dict[str, tuple[list[dict[str, Any]], str, dict[str, Any]]] = {
    "text": ([WORDS], "end_turn", USAGE),
    "call": ([call("c1", "Zug")], "tool_use", USAGE),
    "parallel calls": ([call("c1", "Zug"), call("c2", "Bern")], "tool_use", USAGE),
    "thinking": (
        [{"type": "thinking", "thinking": "Kurz denken.", "signature": "c2ln"}, WORDS],
        "end_turn",
        USAGE,
    ),
    "refusal": ([{"type": "text", "text": "Das mache ich nicht."}], "refusal", USAGE),
    "usage": ([WORDS], "end_turn", DETAILED),
    "length": ([HALF], "max_tokens", USAGE),
    "stop sequence": ([WORDS], "stop_sequence", USAGE),
}


def answer(content: list[dict[str, Any]], reason: str, usage: dict[str, Any]) -> bytes:
    """Return a whole answer."""
    body = {
        "id": "a1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": "ENDE" if reason == "stop_sequence" else None,
        "usage": usage,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def stream(content: list[dict[str, Any]], reason: str, usage: dict[str, Any]) -> bytes:
    """Return the same in pieces."""
    message = json.loads(answer([], reason, {**usage, "output_tokens": 1}))
    message |= {"stop_reason": None, "stop_sequence": None}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(content):
        begun, deltas = _pieces(block)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    sequence = "ENDE" if reason == "stop_sequence" else None
    ended = {"stop_reason": reason, "stop_sequence": sequence}
    events.append({"type": "message_delta", "delta": ended, "usage": usage})
    events.append({"type": "message_stop"})
    return "".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"
        for event in events
    ).encode()


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the block as it begins, and what follows."""
    match block["type"]:
        case "text":
            text = block["text"]
            return {**block, "text": ""}, [
                {"type": "text_delta", "text": piece} for piece in (text[:3], text[3:])
            ]
        case "thinking":
            text = block["thinking"]
            return {**block, "thinking": "", "signature": ""}, [
                {"type": "thinking_delta", "thinking": text[:3]},
                {"type": "thinking_delta", "thinking": text[3:]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case _:
            text = json.dumps(block["input"])
            return {**block, "input": {}}, [
                {"type": "input_json_delta", "partial_json": piece}
                for piece in (text[:4], text[4:])
            ]


FIXTURE = Fixture(
    asks=ASKS,
    answers={name: answer(*said) for name, said in SAYS.items()},
    streams={name: stream(*said) for name, said in SAYS.items()},
    cannot={"answer: filtered": "its only word for it is refusal"},
    lacks={"ask: sampling": frozenset({"seed", "frequency_penalty", "presence_penalty"})},
)
