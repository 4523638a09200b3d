"""Gemini's ``generateContent``: requests, answers and streams, written by hand."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.pairs.fixture import Fixture
from tests.wire.pairs.meaning import CITY, MAX_TOKENS, NOTHING, PIXEL, SCHEMA

HELLO = {"role": "user", "parts": [{"text": "Grüezi"}]}
QUESTION = {"role": "user", "parts": [{"text": "Weather?"}]}


def ask(*contents: Any, config: dict[str, Any] | None = None, **more: Any) -> bytes:
    """Return a request; ``config`` adds to its generation config."""
    body = {
        "contents": contents or (HELLO,),
        "generationConfig": {"maxOutputTokens": MAX_TOKENS, **(config or {})},
        **more,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def call(call_id: str, city: str) -> dict[str, Any]:
    """Return a call of ``weather``."""
    return {"functionCall": {"id": call_id, "name": "weather", "args": {"city": city}}}


def results(**texts: str) -> dict[str, Any]:
    """Return what the calls brought, by their ids."""
    parts = [
        {"functionResponse": {"id": call_id, "name": "weather", "response": {"output": text}}}
        for call_id, text in texts.items()
    ]
    return {"role": "user", "parts": parts}


WEATHER = {"name": "weather", "description": "Tells it.", "parametersJsonSchema": CITY}
CLOCK = {"name": "clock", "description": "Tells time.", "parametersJsonSchema": NOTHING}
ASKS = {
    "text": ask(),
    "turns": ask(
        HELLO,
        {"role": "model", "parts": [{"text": "Hallo"}]},
        {"role": "user", "parts": [{"text": "Wie geht's?"}]},
    ),
    "system": ask(systemInstruction={"parts": [{"text": "Be brief."}]}),
    "tool results": ask(
        QUESTION,
        {"role": "model", "parts": [call("c1", "Zug")]},
        results(c1="15 °C"),
        tools=[{"functionDeclarations": [WEATHER]}],
    ),
    "parallel calls": ask(
        QUESTION,
        {"role": "model", "parts": [call("c1", "Zug"), call("c2", "Bern")]},
        results(c1="15 °C", c2="9 °C"),
        tools=[{"functionDeclarations": [WEATHER]}],
    ),
    "forced tool": ask(
        tools=[{"functionDeclarations": [WEATHER, CLOCK]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["clock"]}},
    ),
    "JSON schema": ask(
        config={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    ),
    "image": ask(
        {
            "role": "user",
            "parts": [
                {"text": "Look."},
                {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
            ],
        }
    ),
    "stop": ask(config={"stopSequences": ["ENDE"]}),
    "sampling": ask(
        config={
            "temperature": 0.25,
            "topP": 0.75,
            "topK": 33,
            "seed": 77,
            "frequencyPenalty": 0.5,
            "presencePenalty": 0.125,
        }
    ),
    "thinking": ask(config={"thinkingConfig": {"thinkingBudget": 1024}}),
}

USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
DETAILED = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 30,
    "thoughtsTokenCount": 20,
    "totalTokenCount": 150,
}
WORDS = {"text": "Grüezi, Welt."}
SAYS: dict[str, tuple[list[dict[str, Any]], str, dict[str, Any]]] = {
    "text": ([WORDS], "STOP", USAGE),
    "call": ([call("c1", "Zug")], "STOP", USAGE),
    "parallel calls": ([call("c1", "Zug"), call("c2", "Bern")], "STOP", USAGE),
    "thinking": ([{"text": "Kurz denken.", "thought": True}, WORDS], "STOP", USAGE),
    "refusal": ([{"text": "Das mache ich nicht."}], "SAFETY", USAGE),
    "usage": ([WORDS], "STOP", DETAILED),
    "length": ([{"text": "Grüezi,"}], "MAX_TOKENS", USAGE),
    "stop sequence": ([WORDS], "STOP", USAGE),
    "filtered": ([{"text": "Grüezi,"}], "SAFETY", USAGE),
}


def piece(parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return an answer, or a stream's piece of one."""
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "a1"}


def answer(parts: list[dict[str, Any]], finish: str, usage: dict[str, Any]) -> bytes:
    """Return a whole answer."""
    body = {**piece(parts, finishReason=finish), "usageMetadata": usage}
    return json.dumps(body, ensure_ascii=False).encode()


def stream(parts: list[dict[str, Any]], finish: str, usage: dict[str, Any]) -> bytes:
    """Return the same in pieces: texts cut in two, calls whole, as the API does."""
    pieces: list[dict[str, Any]] = []
    for part in parts:
        texts = (part["text"][:3], part["text"][3:]) if "text" in part else ()
        pieces += [{**part, "text": text} for text in texts] or [part]
    chunks = [piece([part]) for part in pieces]
    chunks.append({**piece([{"text": ""}], finishReason=finish), "usageMetadata": usage})
    events = (f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n" for chunk in chunks)
    return "".join(events).encode()


FIXTURE = Fixture(
    asks=ASKS,
    answers={name: answer(*said) for name, said in SAYS.items()},
    streams={name: stream(*said) for name, said in SAYS.items()},
)
