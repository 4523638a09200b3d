"""Recorded exchanges of other APIs (files, images, moderation, …), passed on to their provider.

What has no format here goes through ``/{provider}/…``: the provider gets the client's method, path
and bytes, the client the provider's status and bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from sidecar.domain import WireFormat
from tests.scripted import Answer, Caller, Sidecar, endpoint
from tests.wire.replays import FORMATS, RECORDED, body_of, headers_of

WITHOUT_URL = "**REDACTED**"


@dataclass(frozen=True, kw_only=True)
class Passed:
    """One request and its answer."""

    name: str
    method: str
    path: str
    query: str
    request: bytes
    status: int
    headers: dict[str, str]
    answer: bytes


def _passed(name: str, recorded: dict[str, Any]) -> Passed | None:
    request, response = recorded["request"], recorded["response"]
    if recorded["api"] in FORMATS and body_of(request) and body_of(response) is not None:
        return None  # played in its format
    url = urlsplit(request["url"] if request["url"] != WITHOUT_URL else "https://h/unknown")
    return Passed(
        name=name,
        method=request["method"],
        path=url.path or "/",
        query=url.query,
        request=body_of(request) or b"",
        status=response["status"],
        headers=headers_of(response.get("headers") or {}),
        answer=body_of(response) or b"",
    )


PASSED = [
    one
    for folder in RECORDED
    for path in sorted(folder.glob("*/*.json"))
    for number, recorded in enumerate(json.loads(path.read_bytes())["interactions"])
    if (one := _passed(f"{path.parent.name}-{path.stem[:60]}-{number}", recorded)) is not None
]


@pytest.mark.parametrize("one", PASSED, ids=lambda one: one.name)
def test_it_passes_unchanged(one: Passed) -> None:
    """Nothing is read into it, and nothing is changed."""
    said = Answer(chunks=(one.answer,), status=one.status, headers=one.headers)
    sidecar = Sidecar([(endpoint("recorded", WireFormat.OPENAI_CHAT), said)])
    caller = Caller(
        path=f"/recorded{one.path}", query=one.query, method=one.method, body=one.request
    )
    sidecar.ask(caller)
    (asked,) = sidecar.upstream.passed
    assert (asked.method, asked.path.partition("?")[0]) == (one.method, one.path)
    assert (asked.body or b"") == one.request
    assert (caller.status, caller.received) == (one.status, one.answer)
    assert caller.is_whole


def test_there_are_such_exchanges() -> None:
    """The replay is not empty by mistake."""
    assert len(PASSED) > 80
