"""Replicate's predictions: answers and streams, written by hand; callers do not speak it."""

from __future__ import annotations

import json

from tests.wire.pairs.fixture import Fixture

PREDICTION = {
    "id": "a1",
    "model": "m",
    "status": "succeeded",
    "output": ["Grüezi", ", Welt."],
    "error": None,
    "metrics": {"input_token_count": 10, "output_token_count": 5},
}
STREAM = "event: output\ndata: Grüezi\n\nevent: output\ndata: , Welt.\n\nevent: done\ndata: {}\n\n"

FIXTURE = Fixture(
    answers={"text": json.dumps(PREDICTION).encode()},
    streams={"text": STREAM.encode()},
    cannot={
        "answer: call": "knows no tools",
        "answer: parallel calls": "knows no tools",
        "answer: thinking": "models think aloud",
        "answer: refusal": "models refuse in plain text",
        "answer: usage": "counts no cached and no reasoning tokens",
        "answer: length": "says no reason",
        "answer: stop sequence": "says no reason",
        "answer: filtered": "says no reason",
    },
    lacks={"stream: text": frozenset({"input_tokens", "output_tokens"})},
)
