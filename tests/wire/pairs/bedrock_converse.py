"""Bedrock's Converse: answers and streams, written by hand; callers do not speak it."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from tests.wire.pairs.fixture import Fixture


def call(call_id: str, city: str) -> dict[str, Any]:
    """Return a call of ``weather``."""
    return {"toolUse": {"toolUseId": call_id, "name": "weather", "input": {"city": city}}}


USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
CACHED = {
    "inputTokens": 60,
    "cacheReadInputTokens": 40,
    "cacheWriteInputTokens": 0,
    "outputTokens": 50,
    "totalTokens": 150,
}
WORDS = {"text": "Grüezi, Welt."}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Kurz denken.", "signature": "c2ln"}}}
SAYS: dict[str, tuple[list[dict[str, Any]], str, dict[str, Any]]] = {
    "text": ([WORDS], "end_turn", USAGE),
    "call": ([call("c1", "Zug")], "tool_use", USAGE),
    "parallel calls": ([call("c1", "Zug"), call("c2", "Bern")], "tool_use", USAGE),
    "thinking": ([THOUGHT, WORDS], "end_turn", USAGE),
    "refusal": ([{"text": "Das mache ich nicht."}], "guardrail_intervened", USAGE),
    "usage": ([WORDS], "end_turn", CACHED),
    "length": ([{"text": "Grüezi,"}], "max_tokens", USAGE),
    "stop sequence": ([WORDS], "stop_sequence", USAGE),
    "filtered": ([{"text": "Grüezi,"}], "content_filtered", USAGE),
}


def answer(content: list[dict[str, Any]], reason: str, usage: dict[str, Any]) -> bytes:
    """Return a whole answer."""
    message = {"role": "assistant", "content": content}
    body = {"output": {"message": message}, "stopReason": reason, "usage": usage}
    return json.dumps(body, ensure_ascii=False).encode()


def stream(content: list[dict[str, Any]], reason: str, usage: dict[str, Any]) -> bytes:
    """Return the same in pieces."""
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(content):
        at = {"contentBlockIndex": index}
        if "toolUse" in block:
            use = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            events.append(("contentBlockStart", {"start": {"toolUse": use}, **at}))
        events += [("contentBlockDelta", {"delta": delta, **at}) for delta in _pieces(block)]
        events.append(("contentBlockStop", at))
    events.append(("messageStop", {"stopReason": reason}))
    events.append(("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}))
    return b"".join(message(name, payload) for name, payload in events)


def _pieces(block: dict[str, Any]) -> list[dict[str, Any]]:
    if "toolUse" in block:
        text = json.dumps(block["toolUse"]["input"])
        return [{"toolUse": {"input": piece}} for piece in (text[:4], text[4:])]
    if "text" in block:
        return [{"text": piece} for piece in (block["text"][:3], block["text"][3:])]
    thought = block["reasoningContent"]["reasoningText"]
    return [{"reasoningContent": {name: thought[name]}} for name in ("text", "signature")]


def message(event: str, payload: dict[str, Any]) -> bytes:
    """Return one binary message."""
    headers = b"".join(
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in ((":message-type", "event"), (":event-type", event))
    )
    data = json.dumps(payload, ensure_ascii=False).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    head = prelude + struct.pack(">I", zlib.crc32(prelude))
    return head + headers + data + struct.pack(">I", zlib.crc32(head + headers + data))


FIXTURE = Fixture(
    answers={name: answer(*said) for name, said in SAYS.items()},
    streams={name: stream(*said) for name, said in SAYS.items()},
    lacks={"answer: usage": frozenset({"reasoning_tokens"})},
)
