"""Providers that speak Responses themselves: not a byte is changed, and who keeps what is asked.

Two servers that record raw requests and play fixed answers stand in for two accounts.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.domain import WireFormat
from tests.clients.test_bytes import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from sidecar.app import App

BODY = (
    '{ "model":"odd-model",  "input" : [{"role":"user","content":[{"type":"input_text","text":'
    '"h\\u00e9 \U0001f642"}]}],\n"temperature":1.0,"unheard_of":{"b":1,"a":[1e3,0.10]},'
    '"seed":12345678901234567890 }'
)
ANSWER = (
    b'{"id":"resp_1", "object":"response","status":"completed","model":"vendor/odd-1",\n"output":'
    b'[{"type":"novelty","x":1.50},{"id":"msg_1","type":"message","role":"assistant","content":'
    b'[{"type":"output_text","text":"\\u00e9","annotations":[],"spirit":"good"}]}],"usage":'
    b'{"input_tokens":3,"output_tokens":2,"total_tokens":5},"x_vendor":{"z":1}}'
)
STREAM = (
    b": vendor says hello\n\n"
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":'
    b'{"id":"resp_1","model":"v","status":"in_progress","output":[],"odd":1.0}}\n\n'
    b'event: response.output_text.delta\r\ndata: {"type":"response.output_text.delta","delta":'
    b'"\xc3\xa9","obfuscation":"x","output_index":0}\r\n\r\n'
    b'event: response.novelty\ndata: {"type":"response.novelty","x":1}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1",'
    b'"model":"v","status":"completed","output":[{"id":"msg_1","type":"message","content":[]}],'
    b'"usage":{"input_tokens":3,"output_tokens":2}}}\n\n'
)
PAIR = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  odd: {{kind: openai, base_url: "{one}/v1"}}
  even: {{kind: openai, base_url: "{other}/v1"}}
models:
  odd-model: {{provider: odd, model: "vendor/odd-1", price: {{input: 1, output: 1}}, context: 9000}}
  even-model: {{provider: even, model: "even-1", price: {{input: 1, output: 1}}, context: 9000}}
routes:
  both: {{tiers: [[even-model], [odd-model]], within: 20s, attempts: 3}}
"""


@dataclass
class Pair:
    """A sidecar before two accounts."""

    url: str
    odd: Recorder
    even: Recorder
    servers: list[asyncio.Server]
    http: aiohttp.ClientSession

    async def post(self, body: str | dict[str, Any]) -> tuple[int, Any, bytes]:
        """Return status, headers and body of the answer to ``body``."""
        data = body if isinstance(body, str) else json.dumps(body)
        async with self.http.post(self.url, data=data.encode()) as answer:
            return answer.status, answer.headers, await answer.read()

    def asked(self) -> list[str]:
        """Return who was asked how often, as ``odd`` and ``even``."""
        return ["odd"] * len(self.odd.requests) + ["even"] * len(self.even.requests)


@pytest.fixture(params=[ANSWER, STREAM], ids=["plain", "stream"])
async def pair(
    request: pytest.FixtureRequest,
    start_app: Callable[..., Awaitable[App]],
    http: aiohttp.ClientSession,
) -> AsyncIterator[Pair]:
    """Two accounts, ``odd`` with the answer of the case and ``even`` with one of other ids."""
    recorders = [Recorder(), Recorder()]
    servers = [await asyncio.start_server(one.serve, "127.0.0.1", 0) for one in recorders]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    odd, even = recorders
    odd.answer = request.param
    even.answer = odd.answer.replace(b"resp_1", b"resp_2").replace(b"msg_1", b"msg_2")
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    app = await start_app(
        PAIR.format(one=urls[0], other=urls[1]), also=(WireFormat.OPENAI_RESPONSES,)
    )
    url = f"http://127.0.0.1:{app.ports['data']}/v1/responses"
    yield Pair(url, odd, even, servers, http)
    for server in servers:
        server.close()


def streaming(pair: Pair) -> bool:
    """Return whether the case is a stream."""
    return not pair.odd.answer.startswith(b"{")


async def test_only_the_model_changes(pair: Pair) -> None:
    """The provider gets the caller's bytes with its model renamed, the caller the answer's."""
    body = BODY.rstrip(" }") + ', "stream" : true }' if streaming(pair) else BODY
    status, _, got = await pair.post(body)
    assert status == 200
    ((head, sent),) = pair.odd.requests
    assert head.startswith("POST /v1/responses HTTP/1.1\r\n")
    assert sent.decode() == body.replace('"odd-model"', '"vendor/odd-1"')
    assert got[: len(pair.odd.answer)] == pair.odd.answer
    rest = got[len(pair.odd.answer) :]
    assert rest.startswith(b": sidecar {") if streaming(pair) else rest == b""


REFERENCES: list[dict[str, Any]] = [
    {"previous_response_id": "resp_1"},
    {"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "and?"}]},
    {"input": [{"id": "msg_1"}, {"role": "user", "content": "and?"}]},
]


@pytest.mark.parametrize("reference", REFERENCES, ids=["answer", "item", "untyped"])
async def test_the_keeper_is_asked(pair: Pair, reference: dict[str, Any]) -> None:
    """Who gave an answer is asked to go on from it, though another one is preferred; it is said."""
    await pair.post({"model": "odd-model", "input": "hi", "stream": streaming(pair)})
    ask = {"model": "both", "input": "and?", "stream": streaming(pair)} | reference
    status, headers, _ = await pair.post(ask)
    assert status == 200
    assert pair.asked() == ["odd", "odd"]
    assert headers["x-sidecar-pinned"] == "odd/odd-model"
    assert json.loads(pair.odd.requests[1][1]) == ask | {"model": "vendor/odd-1"}
    status, headers, _ = await pair.post({"model": "both", "input": "hi"} | {"stream": False})
    assert "x-sidecar-pinned" not in headers


async def test_no_failover_from_the_keeper(pair: Pair) -> None:
    """If the keeper is down nobody else is asked, and the error says why."""
    await pair.post({"model": "odd-model", "input": "hi", "stream": streaming(pair)})
    pair.servers[0].close()
    ask = {"model": "both", "input": "and?", "previous_response_id": "resp_1"}
    status, headers, body = await pair.post(ask)
    assert (status, headers["x-sidecar-error"]) == (503, "unavailable")
    assert b"odd/odd-model keeps what $.previous_response_id refers to" in body
    assert pair.asked() == ["odd"]


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ({"previous_response_id": "resp_9"}, "previous_response_id"),
        ({"conversation": {"id": "conv_9"}}, "conversation"),
        ({"conversation": "conv_9"}, "conversation"),
        ({"input": [{"type": "item_reference", "id": "rs_9"}]}, "input[0].id"),
    ],
    ids=str,
)
async def test_nobody_is_guessed(pair: Pair, wish: dict[str, Any], path: str) -> None:
    """What no answer has named goes to the only account that could keep it, else it is refused."""
    status, _, body = await pair.post({"model": "both", "input": "hi"} | wish)
    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "bad_request", path)
    assert "one of 2 accounts" in error["message"]
    assert pair.asked() == []
    ask = {"model": "even-model", "input": "hi", "stream": streaming(pair)} | wish
    status, headers, _ = await pair.post(ask)
    assert (status, headers["x-sidecar-pinned"]) == (200, "even/even-model")


async def test_a_keeper_of_another_route(pair: Pair) -> None:
    """A route that cannot ask the keeper refuses, and names it."""
    await pair.post({"model": "odd-model", "input": "hi", "stream": streaming(pair)})
    ask = {"model": "even-model", "input": "and?", "previous_response_id": "resp_1"}
    status, _, body = await pair.post(ask)
    assert status == 400
    assert "kept by odd/odd-model" in json.loads(body)["error"]["message"]


async def test_two_keepers(pair: Pair) -> None:
    """References that lead to different accounts cannot be followed; the second one is named."""
    for model in ("odd-model", "even-model"):
        await pair.post({"model": model, "input": "hi", "stream": streaming(pair)})
    item = {"type": "item_reference", "id": "msg_2"}
    ask = {"model": "both", "input": [item], "previous_response_id": "resp_1"}
    status, _, body = await pair.post(ask)
    assert (status, json.loads(body)["error"]["param"]) == (400, "input[0].id")


ERROR = (
    b'event: error\ndata: {"type":"error","sequence_number":2,"error":{"type":"server_error",'
    b'"code":"server_error","message":"the model fell over","param":null}}\n\n'
    b'event: response.failed\ndata: {"type":"response.failed","response":{"id":"resp_1","status":'
    b'"failed","output":[],"error":{"code":"server_error","message":"the model fell over"}}}\n\n'
)
BEGIN, MIDDLE, _, _ = (
    event + b"}\n\n" for event in STREAM.replace(b"\r\n", b"\n").split(b"}\n\n")[:4]
)


@pytest.mark.parametrize("pair", [STREAM], ids=["stream"], indirect=True)
async def test_an_error_within_a_stream(pair: Pair) -> None:
    """Before the first words another account answers, unseen; after them our event says it all."""
    pair.even.answer = BEGIN + ERROR
    ask = {"model": "both", "input": "hi", "stream": True}
    status, headers, got = await pair.post(ask)
    assert status == 200
    assert headers["x-sidecar-attempts"].startswith("even/even-model:S5,odd/odd-model:")
    assert got.startswith(STREAM)
    pair.odd.answer = pair.even.answer = BEGIN + MIDDLE + ERROR
    _, _, got = await pair.post(ask)
    assert got.startswith(BEGIN + MIDDLE + b"event: error\n")
    assert got.count(b"event: error") == 1
    assert b"response.failed" not in got
    assert b'"code":"upstream_interrupted"' in got
    assert b"the model fell over" in got
