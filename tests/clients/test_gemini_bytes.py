"""Recorded Gemini traffic through the whole sidecar, replayed by a provider, byte for byte."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.server.front import Front, Plane
from tests.clients.conftest import CALLERS_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from sidecar.app import App
    from sidecar.server.exchange import Exchange

RECORDED = Path(__file__).parent.parent / "wire" / "recorded" / "gemini"
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  google: {{kind: gemini, base_url: "{url}/v1beta", api_key: {{env: GOOGLE_KEY}}}}
models:
  flash: {{provider: google, model: gemini-9-flash, price: {{input: 1, output: 2}}}}
defaults:
  breaker: {{run_weight_min: 1000, share_min: 1.0}}
"""
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}


@dataclass
class Replayer:
    """A provider that says what it is given to say, and keeps what it was asked."""

    says: tuple[int, bytes] = (200, b"{}")
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        if exchange.method == "GET":
            await exchange.answer(200, JSON, b'{"models":[]}')
            return
        body = await exchange.read_body(10_000_000)
        headers = {name.lower(): value for name, value in exchange.headers.items()}
        self.asked.append((exchange.path, exchange.query, headers, body))
        status, answer = self.says
        kind = EVENTS if answer.startswith(b"data:") else JSON
        await exchange.answer(status, kind, answer)


@asynccontextmanager
async def running(replayer: Replayer) -> AsyncIterator[str]:
    """Run ``replayer``; yield its address."""
    front = Front()
    port = await front.open(Plane(name="google", host="127.0.0.1", port=0, handler=replayer.handle))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await front.close()


@pytest.fixture
async def google(
    start_app: Callable[[str], Awaitable[App]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Replayer, str]]:
    """A replaying Google, and the address of the sidecar before it."""
    monkeypatch.setenv("GOOGLE_KEY", "our-key")
    replayer = Replayer()
    async with running(replayer) as url:
        app = await start_app(CONFIG.format(url=url))
        yield replayer, f"http://127.0.0.1:{app.ports['data']}/v1beta/models/flash"
        await app.stop()


def recorded() -> list[Any]:
    """Return every recorded interaction that has a body."""
    return [
        interaction
        for path in sorted(RECORDED.glob("*.json"))
        for interaction in json.loads(path.read_text())["interactions"]
        if interaction["request"].get("body_text") and interaction["response"].get("body_text")
    ]


async def test_every_byte_passes(google: tuple[Replayer, str], http: aiohttp.ClientSession) -> None:
    """Request and answer of every recorded call, errors too, arrive as they were sent; the
    provider sees its own key, the path of its own model, and nothing of the caller's.
    """
    replayer, url = google
    interactions = [one for one in recorded() if "enerateContent" in one["api"]]
    assert len(interactions) >= 90
    headers = {"x-goog-api-key": CALLERS_KEY, "x-goog-api-client": "genai", **JSON}
    for interaction in interactions:
        request = interaction["request"]["body_text"].encode()
        answer = interaction["response"]["body_text"].encode()
        is_stream = answer.startswith(b"data:")
        method = "streamGenerateContent" if is_stream else "generateContent"
        if interaction["response"]["status"] == 429:
            continue
        replayer.says = (interaction["response"]["status"], answer)
        query = f"?key={CALLERS_KEY}" + ("&alt=sse" if is_stream else "")
        async with http.post(f"{url}:{method}{query}", data=request, headers=headers) as got:
            assert await got.read() == answer
            assert got.status == interaction["response"]["status"]
        path, asked_query, asked_headers, body = replayer.asked[-1]
        assert body == request
        assert path == f"/v1beta/models/gemini-9-flash:{method}"
        assert asked_query == ("alt=sse" if is_stream else "")
        assert asked_headers["x-goog-api-key"] == "our-key"
        assert CALLERS_KEY not in repr(replayer.asked[-1])
    assert len(replayer.asked) >= 90


async def test_a_count_is_the_providers(
    google: tuple[Replayer, str], http: aiohttp.ClientSession
) -> None:
    """A provider that counts is asked, its model's name in path and body, and its count passed."""
    replayer, url = google
    replayer.says = (200, b'{"totalTokens": 31, "promptTokensDetails": []}')
    request = {"generateContentRequest": {"model": "models/flash", "contents": [{"parts": []}]}}
    async with http.post(f"{url}:countTokens", json=request) as got:
        assert await got.json() == {"totalTokens": 31}
        assert "x-sidecar-estimate" not in got.headers
    path, _, _, body = replayer.asked[-1]
    assert path == "/v1beta/models/gemini-9-flash:countTokens"
    sent = json.loads(body)["generateContentRequest"]
    assert sent == {"model": "models/gemini-9-flash", "contents": [{"parts": []}]}


async def test_a_quota_is_waited_for(
    google: tuple[Replayer, str], http: aiohttp.ClientSession
) -> None:
    """The recorded 429 blocks the account for the stated seconds, and the caller hears of it."""
    replayer, url = google
    (refusal,) = [one["response"] for one in recorded() if one["response"]["status"] == 429]
    replayer.says = (429, refusal["body_text"].encode())
    body = {"contents": [{"parts": [{"text": "hi"}]}], "sidecar": {"within": "2s"}}
    async with http.post(f"{url}:generateContent", json=body) as got:
        assert got.status in {429, 503}
        error = (await got.json())["error"]
        assert error["status"] in {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}
        assert int(got.headers["retry-after"]) > 40
    asked = len(replayer.asked)
    async with http.post(f"{url}:generateContent", json=body) as got:
        assert got.status == 503
    assert len(replayer.asked) == asked


async def test_a_blocked_prompt_is_an_answer(
    google: tuple[Replayer, str], http: aiohttp.ClientSession
) -> None:
    """A prompt that Google refuses is answered so, in any format, and held against nobody."""
    replayer, url = google
    replayer.says = (200, b'{"promptFeedback":{"blockReason":"SAFETY"},"modelVersion":"m"}')
    chat = {"model": "flash", "messages": [{"role": "user", "content": "hi"}]}
    base = url.partition("/v1beta")[0]
    async with http.post(f"{base}/v1/chat/completions", json=chat) as got:
        assert got.status == 200
        assert (await got.json())["choices"][0]["finish_reason"] == "content_filter"
    message = {"max_tokens": 9, **chat}
    async with http.post(f"{base}/v1/messages", json=message) as got:
        assert (await got.json())["stop_reason"] == "refusal"


async def test_a_stream_without_its_end(
    google: tuple[Replayer, str], http: aiohttp.ClientSession
) -> None:
    """A stream that ends without a finish reason is cut short, however politely it ended."""
    replayer, url = google
    chunk = {"candidates": [{"content": {"parts": [{"text": "half"}]}, "index": 0}]}
    replayer.says = (200, b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n")
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    async with http.post(f"{url}:streamGenerateContent?alt=sse", json=body) as got:
        text = await got.text()
    first, last = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]
    assert first == chunk
    assert last["error"]["status"] == "UNAVAILABLE"
