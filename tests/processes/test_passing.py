"""``sidecar run`` passes requests on to a real upstream: uploads, streams, binaries, hang-ups."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.processes.conftest import Sidecar

    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  workshop: {{kind: openai, base_url: "{url}/v1", api_key: {{file: {key}}}}}
  nobody: {{kind: openai, base_url: "http://127.0.0.1:9/v1"}}
models:
  any: {{provider: workshop, model: any, price: {{input: 1, output: 2}}}}
defaults:
  timers: {{connect: 400ms}}
  drain: {{grace: 2s}}
  within: 20s
"""
UPLOAD_BYTES = 20 * 1024 * 1024
GROWTH_KIB_MAX = 8 * 1024
SOUND = bytes(range(256)) * 1000


class Workshop:
    """An upstream whose paths are no door of the sidecar's; ``seen`` are the requests' heads."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.has_left = asyncio.Event()
        self.may_go_on = asyncio.Event()

    def app(self) -> web.Application:
        """Return its paths."""
        app = web.Application(client_max_size=2 * UPLOAD_BYTES, middlewares=[self._note])
        app.router.add_post("/v1/files", self._file)
        app.router.add_get("/v1/events", self._events)
        app.router.add_post("/v1/audio/speech", self._sound)
        app.router.add_get("/v1/zipped", self._zipped)
        app.router.add_get("/v1/status/{status}", self._status)
        app.router.add_route("*", "/v1/echo/{tail:.*}", self._echo)
        app.router.add_get("/v1/half", self._half)
        app.router.add_post("/v1/sink", self._sink)
        app.router.add_get("/v1/hang", self._hang)
        return app

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.seen.append(request)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _sink(self, request: web.Request) -> web.Response:
        try:
            while await request.content.readany():
                pass
        except (asyncio.CancelledError, web.RequestPayloadError, ConnectionError):
            self.has_left.set()
            raise
        return web.Response()

    async def _file(self, request: web.Request) -> web.Response:
        digest, size, name = hashlib.sha256(), 0, None
        async for part in await request.multipart():
            assert isinstance(part, aiohttp.BodyPartReader)
            name = part.filename or name
            while piece := await part.read_chunk(65536):
                if part.name == "file":
                    digest.update(piece)
                    size += len(piece)
        said = {"id": digest.hexdigest(), "bytes": size, "filename": name, "object": "file"}
        return web.json_response({**said, "created_at": 0, "purpose": "batch"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        try:
            await answer.write(b"data: 1\r\n\r\n")
            await self.may_go_on.wait()
            await answer.write(b": odd\n\ndata: 2\n\ndata: [DONE]\n\n")
        except (asyncio.CancelledError, ConnectionError):
            self.has_left.set()
            raise
        await answer.write_eof()
        return answer

    async def _sound(self, _: web.Request) -> web.Response:
        headers = {"content-type": "audio/mpeg", "set-cookie": "c=1", "x-sidecar-model": "forged"}
        return web.Response(body=SOUND, headers=headers)

    async def _zipped(self, _: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"words"), headers={"content-encoding": "gzip"})

    async def _status(self, request: web.Request) -> web.Response:
        status = int(request.match_info["status"])
        return web.Response(status=status, headers={"location": "/elsewhere"})

    async def _echo(self, request: web.Request) -> web.Response:
        said = {
            "method": request.method,
            "target": request.raw_path,
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
            "body": (await request.read()).decode("latin-1"),
        }
        return web.json_response(said)

    async def _half(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-length": "1000"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async def _hang(self, _: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()


@pytest.fixture
async def workshop() -> AsyncIterator[tuple[Workshop, str]]:
    """A running workshop and where it is."""
    made = Workshop()
    runner = web.AppRunner(made.app(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def sidecar(
    start: Callable[[str], Awaitable[Sidecar]], workshop: tuple[Workshop, str], tmp_path: Path
) -> Sidecar:
    """A sidecar before the workshop."""
    key = tmp_path / "key"
    key.write_text("workshop-key")
    return await start(CONFIG.format(url=workshop[1], key=key))


def _peak_kib(sidecar: Sidecar) -> int:
    """Return the most memory that the process has ever had."""
    status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(found)


async def test_an_upload_in_parts(sidecar: Sidecar, workshop: tuple[Workshop, str]) -> None:
    """OpenAI's SDK uploads 20 MiB; it arrives whole and is never in memory whole."""
    content = hashlib.shake_128(b"file").digest(UPLOAD_BYTES)
    base_url = f"{sidecar.url()}/workshop"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="callers", max_retries=0) as client:
        await client.files.create(file=("small.bin", content[: 2 * 1024 * 1024]), purpose="batch")
        before = _peak_kib(sidecar)
        file = await client.files.create(file=("large.bin", content), purpose="batch")
    assert (file.id, file.bytes) == (hashlib.sha256(content).hexdigest(), UPLOAD_BYTES)
    assert file.filename == "large.bin"
    assert _peak_kib(sidecar) - before < GROWTH_KIB_MAX
    assert workshop[0].seen[-1].headers["authorization"] == "Bearer workshop-key"


async def test_a_body_of_unknown_length(sidecar: Sidecar) -> None:
    """A chunked body goes on chunk by chunk; one sent compressed arrives as it was meant."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%04d" % number

    url = f"{sidecar.url()}/workshop/echo/chunked"
    async with sidecar.http.put(url, data=pieces()) as answer:
        said = await answer.json()
    assert said["body"] == "".join(f"{number:04d}" for number in range(100))
    headers = {"content-encoding": "gzip"}
    async with sidecar.http.put(url, data=gzip.compress(b"words"), headers=headers) as answer:
        said = await answer.json()
    assert said["body"] == "words"
    assert "content-encoding" not in dict(said["headers"])


async def test_everything_arrives_but_credentials(sidecar: Sidecar) -> None:
    """Method, path, query, headers and body are the caller's; the key is the provider's."""
    url = f"{sidecar.url()}/workshop/v1/echo/a%2Fb?x=1&key=callers&y=%20"
    given = {"authorization": "Bearer callers", "x-custom": "1", "x-sidecar-budget": "1"}
    async with sidecar.http.patch(
        URL(url, encoded=True), data=b"\x00body", headers=given
    ) as answer:
        assert answer.status == 200
        assert answer.headers["x-sidecar-attempts"] == "workshop:COMMITTED"
        assert answer.headers["x-sidecar-call-id"].startswith("call_")
        assert answer.headers["x-sidecar-dropped"] == "budget"
        assert "x-sidecar-model" not in answer.headers
        said = await answer.json()
    assert (said["method"], said["target"]) == ("PATCH", "/v1/echo/a%2Fb?x=1&y=%20")
    assert said["body"] == "\x00body"
    headers = dict(said["headers"])
    assert headers["authorization"] == "Bearer workshop-key"
    assert headers["x-custom"] == "1"
    assert not [name for name in headers if name.startswith("x-sidecar")]


async def test_binary_answers_are_unchanged(sidecar: Sidecar) -> None:
    """Audio comes through byte by byte, compressed bodies compressed; cookies and forgeries not."""
    base = f"{sidecar.url()}/workshop"
    async with sidecar.http.post(f"{base}/audio/speech", json={}) as answer:
        assert answer.content_type == "audio/mpeg"
        assert answer.headers["content-length"] == str(len(SOUND))
        assert "set-cookie" not in answer.headers
        assert "x-sidecar-model" not in answer.headers
        assert await answer.read() == SOUND
    async with sidecar.http.get(f"{base}/zipped") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert await answer.read() == b"words"
    async with sidecar.http.head(f"{base}/echo/head") as answer:
        assert answer.status == 200
        assert int(answer.headers["content-length"]) > 0


async def test_any_status_is_unchanged(sidecar: Sidecar) -> None:
    """Redirects are the caller's to follow, errors its to read."""
    for status in (201, 204, 302, 304, 404, 418, 500):
        url = f"{sidecar.url()}/workshop/status/{status}"
        async with sidecar.http.get(url, allow_redirects=False) as answer:
            assert answer.status == status
            assert answer.headers["location"] == "/elsewhere"
            assert "x-sidecar-error" not in answer.headers


async def test_a_stream_flows(sidecar: Sidecar, workshop: tuple[Workshop, str]) -> None:
    """Events are passed on as they come, byte by byte, comments and odd line ends included."""
    async with sidecar.http.get(f"{sidecar.url()}/workshop/events") as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readany() == b"data: 1\r\n\r\n"
        workshop[0].may_go_on.set()
        assert await answer.read() == b": odd\n\ndata: 2\n\ndata: [DONE]\n\n"


async def test_a_caller_that_hangs_up(sidecar: Sidecar, workshop: tuple[Workshop, str]) -> None:
    """The upstream's connection is cut, so that it does not work for nobody."""
    async with sidecar.http.get(f"{sidecar.url()}/workshop/events") as answer:
        await answer.content.readany()
    async with asyncio.timeout(30):
        await workshop[0].has_left.wait()


async def test_a_caller_that_leaves_within_its_body(
    sidecar: Sidecar, workshop: tuple[Workshop, str], until: Until
) -> None:
    """The upstream sees a cut and no end, and is not blamed for it."""
    for _ in range(6):
        workshop[0].has_left.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", sidecar.ports["data"])
        head = "POST /workshop/sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
        writer.write(head.encode() + bytes(3_000_000))
        asked = len(workshop[0].seen)

        async def has_arrived(asked: int = asked) -> bool:
            return len(workshop[0].seen) > asked

        await until(has_arrived, "the upstream is asked")
        writer.transport.abort()
        async with asyncio.timeout(30):
            await workshop[0].has_left.wait()
    async with sidecar.http.get(f"{sidecar.url()}/workshop/status/200") as answer:
        assert answer.status == 200


async def test_a_half_answer_is_not_whole(sidecar: Sidecar) -> None:
    """What broke off above breaks off below."""
    async with sidecar.http.get(f"{sidecar.url()}/workshop/half") as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_errors_of_ours(sidecar: Sidecar) -> None:
    """Nobody there, too late, no such provider: OpenAI's shape, our code."""
    base = sidecar.url()
    async with sidecar.http.get(f"{base}/nobody/files") as answer:
        assert (answer.status, answer.headers["x-sidecar-error"]) == (503, "unavailable")
        said = json.loads(await answer.text())
        assert said["error"]["sidecar"]["attempts"][0]["class"] == "CONNECT"
    headers = {"x-sidecar-within": "300ms"}
    async with sidecar.http.get(f"{base}/workshop/hang", headers=headers) as answer:
        assert (answer.status, answer.headers["x-sidecar-error"]) == (504, "deadline_exceeded")
    async with sidecar.http.get(f"{base}/strangers/files") as answer:
        assert (answer.status, answer.headers["x-sidecar-error"]) == (404, "not_found")


async def test_a_drain_waits_for_it(
    sidecar: Sidecar, workshop: tuple[Workshop, str], until: Until
) -> None:
    """What was begun may end, new requests are refused, and the process ends with 0."""
    async with sidecar.http.get(f"{sidecar.url()}/workshop/events") as answer:
        await answer.content.readany()
        sidecar.process.send_signal(signal.SIGTERM)

        async def is_refused() -> bool:
            async with sidecar.http.get(f"{sidecar.url()}/workshop/status/200") as other:
                return other.headers.get("x-sidecar-error") == "draining"

        await until(is_refused, "new requests are refused")
        workshop[0].may_go_on.set()
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
    assert await sidecar.ended() == 0


async def test_a_drain_ends_at_last(sidecar: Sidecar) -> None:
    """When the grace is over, a stream that has not ended is cut."""
    async with sidecar.http.get(f"{sidecar.url()}/workshop/events") as answer:
        await answer.content.readany()
        sidecar.process.send_signal(signal.SIGTERM)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert await sidecar.ended() == 0
