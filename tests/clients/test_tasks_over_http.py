"""The plain form for shells: ``POST /v1/tasks/{route}``, whole and as a stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sidecar.upstream.simulated import Fault, FaultKind
from sidecar.upstream.simulated_answer import words

if TYPE_CHECKING:
    import aiohttp

    from tests.clients.conftest import World

BOTH = pytest.mark.parametrize("name", ["alpha", "beta"])
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@BOTH
async def test_task(world: World, http: aiohttp.ClientSession, name: str) -> None:
    """Text in, text out, and the figures beside it."""
    body = {"input": "tell me", "system": "Be brief.", "context": ["one", "two"]}
    async with http.post(f"{world.url}/v1/tasks/{name}-first", json=body) as answer:
        said = await answer.json()
        assert answer.headers["x-sidecar-call-id"] == said["call_id"]
    assert said["output"] == "".join(words(name, 12))
    assert (said["model"], said["route"]) == (f"{name}/{name}-model", f"{name}-first")
    assert said["degraded"] is None
    assert said["cost_usd"] > 0
    assert said["finish_reason"] == "stop"
    sent = json.dumps(world.provider_of(name).body())
    assert "Be brief." in sent
    assert "one\\n\\ntwo\\n\\ntell me" in sent


@BOTH
async def test_schema(world: World, http: aiohttp.ClientSession, name: str) -> None:
    """With a schema the output is an object, not text that looks like one."""
    body = {"input": {"where": "here"}, "schema": SCHEMA}
    async with http.post(f"{world.url}/v1/tasks/{name}-first", json=body) as answer:
        said = await answer.json()
    assert isinstance(said["output"]["city"], str)


@BOTH
async def test_stream(world: World, http: aiohttp.ClientSession, name: str) -> None:
    """Pieces, then ``done`` with the figures, then the comment that ends every stream."""
    body = {"input": "tell me", "stream": True}
    async with http.post(f"{world.url}/v1/tasks/{name}-first", json=body) as answer:
        text = await answer.text()
    *events, comment = text.strip().split("\n\n")
    said = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "".join(one["delta"] for one in said[:-1]) == "".join(words(name, 12))
    assert said[-1]["done"] is True
    assert said[-1]["usage"]["completion_tokens"] == 12
    assert said[-1]["cost_usd"] > 0
    assert comment.startswith(": sidecar {")


async def test_broken_stream(world: World, http: aiohttp.ClientSession) -> None:
    """A stream that breaks ends in an error and is never ``done``."""
    for server in world.servers.values():
        await server.set_faults([Fault(kind=FaultKind.EOF_AFTER, after_tokens=3)])
    body = {"input": "tell me", "stream": True}
    async with http.post(f"{world.url}/v1/tasks/alpha-first", json=body) as answer:
        text = await answer.text()
    assert '"done"' not in text
    assert text.count('"delta"') == 3
    assert '"error"' in text


async def test_mistakes(world: World, http: aiohttp.ClientSession) -> None:
    """A misspelt member and an unknown route are refused in plain words."""
    async with http.post(f"{world.url}/v1/tasks/alpha-first", json={"inptu": "x"}) as answer:
        assert answer.status == 400
        assert "inptu" in (await answer.json())["error"]["message"]
    async with http.post(f"{world.url}/v1/tasks/nothing", json={"input": "x"}) as answer:
        assert answer.status == 404
        assert "alpha-first" in (await answer.json())["error"]["message"]
