"""Same format in and out: the bytes of a request and of its answer are not ours to change.

A server that records raw requests and plays fixed answers stands in for the provider, and the
caller is a plain HTTP client: an SDK would tidy up what it sends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from sidecar.app import App

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  odd: {{kind: {kind}, base_url: "{url}"}}
models:
  odd-model: {{provider: odd, model: "vendor/odd-1", price: {{input: 1, output: 1}}, context: 9000}}
"""
CHAT_BODY = (
    '{ "model":"odd-model",  "messages" : [{"role":"user","content":"h\\u00e9 \U0001f642"}],\n'
    '"temperature":1.0,"unheard_of":{"b":1,"a":[1e3,0.10]},"seed":12345678901234567890 }'
)
CHAT_ANSWER = (
    b'{"id":"x", "object":"chat.completion","created":1,"model":"vendor/odd-1-2026",\n'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"\\u00e9","spirit":"good"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},'
    b'"x_vendor":{"z":1,"a":2.50}}'
)
CHAT_STREAM = (
    b": vendor says hello\n\n"
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"o","choices":[{"index":'
    b'0,"delta":{"role":"assistant","content":"\xc3\xa9"},"finish_reason":null}],"odd":[1.50]}\n\n'
    b'data:{"id":"x","object":"chat.completion.chunk","created":1,"model":"o",\r\n'
    b'data: "choices":[{"index":0,"delta":{"content":"\xf0\x9f\x99\x82"},"finish_reason":"stop"}]}'
    b"\r\n\r\ndata: [DONE]\n\n"
)
MESSAGES_BODY = (
    '{"max_tokens":5, "model":"odd-model","messages":[{"role":"user","content":"h\\u00e9"}],'
    '"unheard_of":[{"a" : null}]}'
)
MESSAGES_ANSWER = (
    b'{"type":"message","id":"m","role":"assistant","model":"vendor/odd-1","content":[{"type":'
    b'"text","text":"yes"},{"type":"novelty","x":1.0}],"stop_reason":"end_turn","stop_sequence":'
    b'null, "usage":{"input_tokens":3,"output_tokens":2,"oddities":7}}'
)
MESSAGES_STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","model":"v","content":[],"stop_reason":null,"usage":{"input_tokens":3,'
    b'"output_tokens":1}},"odd":1.0}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
    b'{"type":"text","text":""}}\n\n'
    b'event: ping\ndata: {"type": "ping"}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":'
    b'"text_delta","text":"yes"}}\n\n'
    b'event: novelty\ndata: {"type":"novelty","x":1}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":2}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
Case = tuple[str, str, str, bytes]
CASES = [
    pytest.param(("openai", "/v1/chat/completions", CHAT_BODY, CHAT_ANSWER), id="chat"),
    pytest.param(("openai", "/v1/chat/completions", CHAT_BODY, CHAT_STREAM), id="chat-stream"),
    pytest.param(("anthropic", "/v1/messages", MESSAGES_BODY, MESSAGES_ANSWER), id="messages"),
    pytest.param(("anthropic", "/v1/messages", MESSAGES_BODY, MESSAGES_STREAM), id="mess-stream"),
]


class Recorder:
    """An HTTP server that keeps raw requests and answers each with the same bytes."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests: list[tuple[str, bytes]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line[15:] for line in head.lower().split("\r\n") if line[:15] == _LENGTH]
        body = await reader.readexactly(int(lengths[0])) if lengths else b""
        if head.startswith("POST"):
            self.requests.append((head, body))
        kind = "application/json" if self.answer.startswith(b"{") else "text/event-stream"
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(self.answer)}\r\n"
            "connection: close\r\n\r\n".encode()
        )
        writer.write(self.answer)
        await writer.drain()
        writer.close()


_LENGTH = "content-length:"


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """A running recorder."""
    made = Recorder()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.mark.parametrize("case", CASES)
async def test_only_the_model_changes(
    recorder: Recorder,
    start_app: Callable[[str], Awaitable[App]],
    http: aiohttp.ClientSession,
    case: Case,
) -> None:
    """The provider gets the caller's bytes with its model renamed, the caller gets the answer's.

    Spaces, number spellings, escapes, unknown members and unknown events survive; a stream ends
    with one more line, our comment.
    """
    kind, path, body, answer = case
    base = f"http://127.0.0.1:{recorder.port}" + ("/v1" if kind == "openai" else "")
    app = await start_app(CONFIG.format(kind=kind, url=base))
    recorder.answer = answer
    is_stream = not answer.startswith(b"{")
    if is_stream:
        body = body.rstrip(" }") + ', "stream" : true }'
    url = f"http://127.0.0.1:{app.ports['data']}{path}"
    async with http.post(url, data=body.encode()) as response:
        assert response.status == 200
        got = await response.read()
    ((head, sent),) = recorder.requests
    assert head.startswith(f"POST {path} HTTP/1.1\r\n")
    assert sent.decode() == body.replace('"odd-model"', '"vendor/odd-1"')
    if not is_stream:
        assert got == answer
        return
    assert got.startswith(answer)
    rest = got[len(answer) :]
    assert rest.startswith(b": sidecar {")
    assert rest.count(b"\n") == len(rest) - len(rest.rstrip(b"\n"))


async def test_the_sidecar_object_is_cut_out(
    recorder: Recorder, start_app: Callable[[str], Awaitable[App]], http: aiohttp.ClientSession
) -> None:
    """The body's ``sidecar`` object leaves no trace; all around it stays as it was."""
    app = await start_app(CONFIG.format(kind="openai", url=f"http://127.0.0.1:{recorder.port}/v1"))
    recorder.answer = CHAT_ANSWER
    marked = CHAT_BODY.replace('"temperature"', '"sidecar":{"within":"9s"},"temperature"')
    url = f"http://127.0.0.1:{app.ports['data']}/v1/chat/completions"
    async with http.post(url, data=marked.encode()) as response:
        assert response.status == 200
    ((_, sent),) = recorder.requests
    assert sent.decode() == CHAT_BODY.replace('"odd-model"', '"vendor/odd-1"')
