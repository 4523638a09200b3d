"""OpenAI's SDK asks for embeddings: of simulated providers, and of a genuine llama.cpp."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.simulated import Fault, FaultKind, SimulatedModel
from sidecar.upstream.simulated_embeddings import vector
from sidecar.upstream.simulated_server import SimulatedServer
from tests.clients.conftest import CALLERS_KEY, RecordingProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import aiohttp

    from sidecar.app import App

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  first: {{kind: openai, base_url: "{first}", api_key: {{env: EMBED_KEY}}}}
  second: {{kind: openai, base_url: "{second}", api_key: {{env: EMBED_KEY}}}}
models:
  first-embed: {{provider: first, model: embed-sim, price: {{input: 2, output: 0}}}}
  second-embed: {{provider: second, model: embed-sim, price: {{input: 2, output: 0}}}}
  other-embed: {{provider: second, model: embed-other, price: {{input: 2, output: 0}}}}
routes:
  vectors: {{tiers: [[first-embed], [second-embed]], within: 20s}}
  mixed: {{tiers: [[first-embed], [other-embed]], within: 20s, attempts: 1}}
"""
LLAMA = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  llama: {{kind: openai, base_url: "{url}/v1", capacity: dedicated}}
models:
  tiny: {{provider: llama, model: tiny.gguf, embeds: true, price: {{input: 0, output: 0}}}}
"""
WIDTH = 32


def _provider(name: str) -> RecordingProvider:
    models = {"embed-sim": SimulatedModel(), "embed-other": SimulatedModel()}
    provider = RecordingProvider(name, WireFormat.OPENAI_CHAT, models, api_key="embed-key")
    provider.requests = []
    return provider


class Pair:
    """A sidecar before two providers with the same model."""

    def __init__(self, app: App, first: RecordingProvider, second: RecordingProvider) -> None:
        self.url = f"http://127.0.0.1:{app.ports['data']}"
        self.first = first
        self.second = second


@pytest.fixture
async def pair(
    start_app: Callable[[str], Awaitable[App]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    """Two providers and the sidecar, all running."""
    monkeypatch.setenv("EMBED_KEY", "embed-key")
    first, second = _provider("first"), _provider("second")
    async with SimulatedServer(first) as a, SimulatedServer(second) as b:
        app = await start_app(CONFIG.format(first=a.base_url, second=b.base_url))
        yield Pair(app, first, second)
        await app.stop()


def _client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=CALLERS_KEY, max_retries=0)


async def test_the_sdk_gets_the_vectors(pair: Pair) -> None:
    """One text or several, in base64 as the SDK asks by itself; the body is the caller's own."""
    async with _client(pair.url) as client:
        raw = await client.embeddings.with_raw_response.create(model="vectors", input=["a", "ü"])
        answer = raw.parse()
        one = await client.embeddings.create(model="vectors", input="a", dimensions=3)
    assert [item.embedding for item in answer.data] == [
        list(vector("embed-sim", text)) for text in ("a", "ü")
    ]
    assert answer.usage.prompt_tokens > 0
    assert raw.headers["x-sidecar-model"] == "first/first-embed"
    assert float(raw.headers["x-sidecar-cost-usd"]) >= 0
    assert [len(item.embedding) for item in one.data] == [3]
    sent, sized = (json.loads(request.body) for request in pair.first.posts())
    assert sent == {"model": "embed-sim", "input": ["a", "ü"], "encoding_format": "base64"}
    assert sized["dimensions"] == 3
    assert pair.first.posts()[0].headers["authorization"] == "Bearer embed-key"


async def test_numbers_for_who_asks_for_numbers(pair: Pair) -> None:
    """``encoding_format: float`` is honoured too, and so is a list of tokens."""
    async with _client(pair.url) as client:
        answer = await client.embeddings.create(
            model="first-embed", input="a", encoding_format="float"
        )
        tokens = await client.embeddings.create(model="first-embed", input=[[1, 2], [3]])
    assert answer.data[0].embedding == list(vector("embed-sim", "a"))
    assert len(tokens.data) == 2


async def test_the_same_model_takes_over(pair: Pair) -> None:
    """The caller sees the same vectors from the other provider, and who gave them."""
    pair.first.faults = (Fault(kind=FaultKind.STATUS, status=500),)
    async with _client(pair.url) as client:
        raw = await client.embeddings.with_raw_response.create(model="vectors", input="a")
    assert raw.parse().data[0].embedding == list(vector("embed-sim", "a"))
    assert raw.headers["x-sidecar-attempts"] == "first/first-embed:S5,second/second-embed:OK"


async def test_another_model_never_takes_over(pair: Pair) -> None:
    """The SDK raises its own error instead of returning another model's vectors."""
    pair.first.faults = (Fault(kind=FaultKind.STATUS, status=500),)
    async with _client(pair.url) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.embeddings.create(model="mixed", input="a")
    assert caught.value.status_code == 503
    assert pair.second.posts() == []


async def test_errors_are_of_the_callers_format(pair: Pair, http: aiohttp.ClientSession) -> None:
    """What is wrong is said as the SDK reads it; Gemini's callers read Google's shape."""
    async with _client(pair.url) as client:
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="nobody", input="a")
        with pytest.raises(openai.BadRequestError, match="input is empty"):
            await client.embeddings.create(model="vectors", input=[])
        with pytest.raises(openai.UnprocessableEntityError, match="answers in words"):
            await client.chat.completions.create(
                model="vectors", messages=[{"role": "user", "content": "a"}]
            )
    url = f"{pair.url}/v1beta/models/nobody:embedContent"
    async with http.post(url, json={"content": {"parts": [{"text": "a"}]}}) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize("method", ["embedContent", "batchEmbedContents"])
async def test_geminis_callers(pair: Pair, http: aiohttp.ClientSession, method: str) -> None:
    """Google's paths and shapes, answered by a provider of OpenAI's format."""
    one: dict[str, object] = {"content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING"}
    body = one if method == "embedContent" else {"requests": [{**one, "model": "models/vectors"}]}
    url = f"{pair.url}/v1beta/models/vectors:{method}"
    async with http.post(url, json=body) as answer:
        assert answer.status == 200
        assert answer.headers["x-sidecar-dropped"] == "taskType"
        said = await answer.json()
    values = {"values": list(vector("embed-sim", "a"))}
    is_single = method == "embedContent"
    assert said == ({"embedding": values} if is_single else {"embeddings": [values]})


# --- llama.cpp ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running llama.cpp that makes vectors."""
    for package in ("xllamacpp", "gguf", "numpy"):
        pytest.importorskip(package, reason=f"the package {package} is not installed")
    program = Path(__file__).with_name("llama_server.py")
    directory = tmp_path_factory.mktemp("llama-embeddings")
    process = subprocess.Popen(
        [sys.executable, str(program), str(directory), "--embeddings"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()  # ends with the process at the latest
        assert url.startswith("http://"), "llama.cpp did not start"
        yield url
    finally:
        process.kill()
        process.communicate()


async def test_llama_cpp(llama_url: str, start_app: Callable[[str], Awaitable[App]]) -> None:
    """Its vectors come through in both encodings, equal but for rounding, for both formats."""
    app = await start_app(LLAMA.format(url=llama_url))
    url = f"http://127.0.0.1:{app.ports['data']}"
    async with _client(url) as client:
        packed = await client.embeddings.create(model="tiny", input=["hello", "world"])
        plain: Any = await client.embeddings.create(
            model="tiny", input=["hello", "world"], encoding_format="float"
        )
    assert [len(item.embedding) for item in packed.data] == [WIDTH, WIDTH]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.hypot(*one.embedding) == pytest.approx(1.0, abs=1e-3)
    assert packed.data[0].embedding != packed.data[1].embedding
    assert packed.usage.prompt_tokens > 0
