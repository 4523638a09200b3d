"""A genuine llama.cpp server (PyPI ``xllamacpp``, MIT) as an OpenAI and as an Anthropic provider.

Its model has random weights and talks nonsense, but its HTTP, streams, token counts, grammars and
errors are those of a server that many run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from sidecar.domain import WireFormat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import aiohttp

    from sidecar.app import App

for package in ("xllamacpp", "gguf", "numpy"):
    pytest.importorskip(package, reason=f"the package {package} is not installed")

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  chat: {{kind: openai, base_url: "{url}/v1", capacity: dedicated}}
  messages: {{kind: anthropic, base_url: "{url}", capacity: dedicated}}
models:
  by-chat: {{provider: chat, model: tiny.gguf, price: {{input: 0, output: 0}}, context: 100000}}
  by-messages:
    {{provider: messages, model: tiny.gguf, price: {{input: 0, output: 0}}, context: 100000}}
"""
BOTH = pytest.mark.parametrize("model", ["by-chat", "by-messages"])
HELLO: Any = [{"role": "user", "content": "hello"}]
COLD: Any = {"temperature": 0.0}
SCHEMA: Any = {
    "type": "object",
    "properties": {"good": {"type": "boolean"}, "kind": {"enum": ["x", "y"]}},
    "required": ["good", "kind"],
    "additionalProperties": False,
}
PROGRAM = Path(__file__).with_name("llama_server.py")


@pytest.fixture(scope="module")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running llama.cpp."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(tmp_path_factory.mktemp("llama"))],
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


@pytest.fixture
async def url(llama_url: str, start_app: Callable[[str], Awaitable[App]]) -> str:
    """A sidecar before both faces of the server."""
    app = await start_app(CONFIG.format(url=llama_url))
    return f"http://127.0.0.1:{app.ports['data']}"


@pytest.fixture
async def ours(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def theirs(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's client."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def native(
    llama_url: str, start_app: Callable[..., Awaitable[App]]
) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client before the server's own ``/v1/responses``."""
    app = await start_app(CONFIG.format(url=llama_url), also=(WireFormat.OPENAI_RESPONSES,))
    url = f"http://127.0.0.1:{app.ports['data']}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@BOTH
async def test_openai_caller(ours: openai.AsyncOpenAI, model: str) -> None:
    """Whole and streamed answers are the same text, with finish reason and figures."""
    ask: Any = {"model": model, "messages": HELLO, "max_tokens": 12, **COLD}
    whole = await ours.chat.completions.create(**ask)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12
    stream = await ours.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    assert text == whole.choices[0].message.content
    assert text != ""
    assert chunks[-1].usage.completion_tokens == 12
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


@BOTH
async def test_anthropic_caller(theirs: anthropic.AsyncAnthropic, model: str) -> None:
    """Whole and streamed answers are the same text, with stop reason and figures."""
    ask: Any = {"model": model, "messages": HELLO, "max_tokens": 12, "extra_body": COLD}
    whole: Any = await theirs.messages.create(**ask)
    assert whole.stop_reason == "max_tokens"
    assert whole.usage.output_tokens == 12
    async with theirs.messages.stream(**ask) as stream:
        final: Any = await stream.get_final_message()
    assert final.content[0].text == whole.content[0].text
    assert final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 12


async def test_faces_agree(ours: openai.AsyncOpenAI, theirs: anthropic.AsyncAnthropic) -> None:
    """llama.cpp's own translation and ours bring the same words to the model.

    The same conversation goes in by four ways; with the temperature at zero the prompt decides.
    """
    texts = []
    for model in ("by-chat", "by-messages"):
        turns: Any = [{"role": "system", "content": "Be brief."}, *HELLO]
        chat = await ours.chat.completions.create(
            model=model, messages=turns, max_tokens=12, **COLD
        )
        texts.append(chat.choices[0].message.content)
        message: Any = await theirs.messages.create(
            model=model, system="Be brief.", messages=HELLO, max_tokens=12, extra_body=COLD
        )
        texts.append(message.content[0].text)
    assert len(set(texts)) == 1


@pytest.mark.parametrize("is_stream", [False, True])
async def test_schema(
    ours: openai.AsyncOpenAI, theirs: anthropic.AsyncAnthropic, is_stream: bool
) -> None:
    """A grammar made of the schema holds random weights to valid JSON, for both callers."""
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    ask: Any = {"model": "by-chat", "messages": HELLO, "max_tokens": 400}
    if is_stream:
        async with ours.chat.completions.stream(**ask, response_format=wanted) as stream:
            chat = await stream.get_final_completion()
    else:
        chat = await ours.chat.completions.create(**ask, response_format=wanted)
    config: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    message: Any = await theirs.messages.create(**ask, output_config=config)
    for text in (chat.choices[0].message.content or "", message.content[0].text):
        assert json.loads(text)["kind"] in {"x", "y"}


@BOTH
async def test_too_long(
    ours: openai.AsyncOpenAI, theirs: anthropic.AsyncAnthropic, model: str
) -> None:
    """The server's own refusal of a long prompt reaches both SDKs as a bad request, once."""
    turns: Any = [{"role": "user", "content": "long " * 2000}]
    with pytest.raises(openai.BadRequestError, match="context size"):
        await ours.chat.completions.create(model=model, messages=turns, max_tokens=9)
    with pytest.raises(anthropic.BadRequestError, match="context size"):
        await theirs.messages.create(model=model, messages=turns, max_tokens=9)


async def test_count(theirs: anthropic.AsyncAnthropic) -> None:
    """Tokens are counted as the server then bills them, and estimated where it cannot be asked."""
    count = await theirs.messages.count_tokens(model="by-messages", messages=HELLO)
    answer = await theirs.messages.create(
        model="by-messages", messages=HELLO, max_tokens=1, extra_body=COLD
    )
    usage = answer.usage
    assert count.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    guess = await theirs.messages.count_tokens(model="by-chat", messages=HELLO)
    assert guess.input_tokens > 0


async def test_responses_speaks_for_itself(native: openai.AsyncOpenAI) -> None:
    """Whole and streamed answers of the server are the same text, translated by nobody."""
    ask: Any = {"model": "by-chat", "input": "hello", "temperature": 0.0, "max_output_tokens": 12}
    raw = await native.responses.with_raw_response.create(**ask)
    assert "x-sidecar-dropped" not in raw.headers
    whole = raw.parse()
    assert whole.usage is not None
    assert whole.usage.output_tokens == 12
    stream: Any = await native.responses.create(**ask, stream=True)
    events = [event async for event in stream]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == whole.output_text != ""
    assert events[-1].type in {"response.completed", "response.incomplete"}


async def test_responses_agrees_with_our_translation(native: openai.AsyncOpenAI) -> None:
    """The same conversation by the server's own Responses and by our chat is the same prompt."""
    said = {"type": "output_text", "text": "two", "annotations": []}
    turns: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"type": "message", "role": "assistant", "content": [said]},
        {"role": "user", "content": "three"},
    ]
    whole = await native.responses.create(
        model="by-chat", input=turns, temperature=0.0, max_output_tokens=12
    )
    turns[2] = {"role": "assistant", "content": "two"}
    chat = await native.chat.completions.create(
        model="by-chat", messages=turns, temperature=0.0, max_tokens=12
    )
    assert whole.output_text == chat.choices[0].message.content


async def test_responses_refuses(native: openai.AsyncOpenAI) -> None:
    """The server's own refusal reaches the SDK as it is."""
    with pytest.raises(openai.BadRequestError, match="context size"):
        await native.responses.create(model="by-chat", input="long " * 2000)


async def test_task(url: str, http: aiohttp.ClientSession) -> None:
    """A shell's task with a schema gets an object from a model that only babbles."""
    body = {"input": "well?", "schema": SCHEMA}
    async with http.post(f"{url}/v1/tasks/by-chat", json=body) as answer:
        assert answer.status == 200
        said = await answer.json()
    assert said["output"]["kind"] in {"x", "y"}
    assert said["cost_usd"] == 0
