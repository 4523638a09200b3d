"""What every client's tests share: where things are, who answers, what is asked and expected."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

import pytest

WHERE = json.loads(os.environ["CLIENT_ZOO"])
URL: str = WHERE["url"]
KEY = "callers-own-key"
MODELS = ("alpha-model", "beta-model")
BOTH = pytest.mark.parametrize("model", MODELS)
BROKEN = pytest.mark.parametrize("broken", ["alpha-broken", "beta-broken"])
WORDS = 12
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
IMAGE_TOKENS_MIN = 765
"""What a simulated provider counts for a picture that it understood as one."""
ATTEMPTS_MAX = 5
"""The three attempts of one call, and one for each of the two times that a client comes back when
it is told to wait; a client that retried on top of the sidecar would come to nine.
"""
TOOL_PLEASE = "please use a tool"
_TAILS = {4: "·ü", 9: "·日本🙂"}


def said(model: str) -> str:
    """Return what the provider behind ``model`` says, ``alpha:0 alpha:1 …``."""
    name = model.partition("-")[0]
    return " ".join(f"{name}:{i}{_TAILS.get(i % 10, '')}" for i in range(WORDS))


def speaks(wire: str, callers: str) -> pytest.MarkDecorator:
    """Skip where the sidecar does not speak ``wire`` to its callers yet."""
    return pytest.mark.skipif(wire not in WHERE["formats"], reason=callers)


GEMINI = speaks("gemini", "Gemini callers")
PASSED_ON = pytest.mark.skipif(not WHERE["passes_on"], reason="requests that are passed on")
RESPONSES = speaks("openai-responses", "Responses callers")


class Asked:
    """What the providers were asked for since the test began, probes left out."""

    def __init__(self) -> None:
        self._seen = {name: len(_log(name)) for name in ("alpha", "beta")}

    def of(self, model: str) -> list[dict[str, Any]]:
        """Return the requests for completions at the provider of ``model``."""
        name = model.partition("-")[0]
        new = _log(name)[self._seen[name] :]
        return [entry for entry in new if entry["model"] and not entry["is_probe"]]

    def count(self) -> int:
        """Return how many requests there were at both."""
        return sum(len(self.of(model)) for model in MODELS)


def _log(name: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{WHERE[name]}/_sim/log", timeout=10) as answer:
        entries: list[dict[str, Any]] = json.load(answer)["entries"]
        return entries
