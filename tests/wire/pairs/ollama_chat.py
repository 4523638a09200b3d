"""Ollama's native chat: answers and streams, written by hand; callers do not speak it."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.pairs.fixture import Fixture

AT = "2026-08-19T10:00:00.1Z"


def call(city: str) -> dict[str, Any]:
    """Return a call of ``weather``."""
    return {"function": {"name": "weather", "arguments": {"city": city}}}


SAYS: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"content": "Grüezi, Welt."}, "stop"),
    "call": ({"content": "", "tool_calls": [call("Zug")]}, "stop"),
    "parallel calls": ({"content": "", "tool_calls": [call("Zug"), call("Bern")]}, "stop"),
    "thinking": ({"thinking": "Kurz denken.", "content": "Grüezi, Welt."}, "stop"),
    "length": ({"content": "Grüezi,"}, "length"),
    "stop sequence": ({"content": "Grüezi, Welt."}, "stop"),
}


def line(message: dict[str, Any], finish: str | None = None) -> bytes:
    """Return an answer; without a finish a piece of one."""
    body = {
        "model": "m",
        "created_at": AT,
        "message": {"role": "assistant", **message},
        "done": finish is not None,
    }
    if finish is not None:
        body |= {"done_reason": finish, "prompt_eval_count": 10, "eval_count": 5}
    return json.dumps(body, ensure_ascii=False).encode()


def stream(message: dict[str, Any], finish: str) -> bytes:
    """Return the same a line a piece: texts cut in two, calls whole."""
    pieces: list[dict[str, Any]] = []
    for name in ("thinking", "content"):
        text = message.get(name, "")
        pieces += [{"content": "", name: part} for part in (text[:3], text[3:]) if part]
    pieces += [{"content": "", "tool_calls": [one]} for one in message.get("tool_calls", ())]
    lines = [*(line(one) for one in pieces), line({"content": ""}, finish)]
    return b"\n".join(lines) + b"\n"


FIXTURE = Fixture(
    answers={name: line(*said) for name, said in SAYS.items()},
    streams={name: stream(*said) for name, said in SAYS.items()},
    cannot={
        "answer: refusal": "models refuse in plain text",
        "answer: usage": "counts no cached and no reasoning tokens",
        "answer: filtered": "filters nothing",
    },
)
