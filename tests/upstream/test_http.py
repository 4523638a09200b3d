"""What the HTTP upstream puts on the wire and gives back, against a provider of raw bytes."""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.domain import EndpointId, OutcomeClass, ProviderName
from sidecar.errors import ConfigError, ConnectionBrokenError, ProtocolBrokenError
from sidecar.upstream.credentials import Credential
from sidecar.upstream.http import HttpUpstream, ProviderTarget
from sidecar.upstream.kinds import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.engine.ports import UpstreamResponse
    from tests.upstream.conftest import Connected, MakeRequest, MakeUpstream, Peer

ENDPOINT = EndpointId("here/model")
CONNECT_S = 5.0


async def _whole(response: UpstreamResponse) -> bytes:
    body = b""
    while data := await response.read():
        body += data
    return body


async def test_request_as_sent(
    connected: Connected, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider sees the body, our key and the kind's headers, nothing else of the caller."""
    monkeypatch.setenv("SOME_KEY", " secret-1\n")
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    headers = (
        ("Authorization", "Bearer caller"),
        ("Cookie", "a=b"),
        ("OpenAI-Beta", "assistants=v2"),
        ("OpenAI-Organization", "org-1"),
        ("traceparent", "00-1-2-01"),
    )
    async with connected(script, credential=Credential(env="SOME_KEY")) as (upstream, _):
        request = make_request(headers=headers, body=b'{"a":1}')
        response = await upstream.open(request, connect_s=CONNECT_S)
        assert (response.status, await _whole(response)) == (200, b"{}")
        response.close()
    first, sent, body = seen[0]
    assert first == "POST /chat HTTP/1.1"
    assert body == b'{"a":1}'
    sent.pop("host")
    assert sent == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "authorization": "Bearer secret-1",
        "content-length": "7",
        "content-type": "application/json",
        "openai-beta": "assistants=v2",
        "traceparent": "00-1-2-01",
        "user-agent": "llm-resilience-sidecar",
    }


@pytest.mark.parametrize("name", ["azure-openai", "mistral", "openrouter", "groq", "vllm"])
async def test_each_kind_shows_our_key_its_own_way(
    name: str,
    connected: Connected,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key is in the kind's header, and none of the caller's in any other."""
    monkeypatch.setenv("SOME_KEY", "secret-1")
    seen: list[dict[str, str]] = []

    async def script(peer: Peer) -> None:
        seen.append((await peer.request())[1])
        await peer.answer()

    callers = (("api-key", "caller"), ("x-api-key", "caller"), ("authorization", "Bearer caller"))
    credential = Credential(env="SOME_KEY")
    async with connected(script, kind=name, credential=credential) as (upstream, _):
        (await upstream.open(make_request(headers=callers), connect_s=CONNECT_S)).close()
    (sent,) = seen
    kind = KINDS[name]
    assert sent[kind.auth_header] == f"{kind.auth_prefix}secret-1"
    assert "caller" not in "".join(sent.values())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [((), "2023-06-01"), ((("anthropic-version", "2026-10-21"),), "2026-10-21")],
)
async def test_anthropic_version(
    connected: Connected,
    make_request: MakeRequest,
    headers: tuple[tuple[str, str], ...],
    expected: str,
) -> None:
    """The caller's own API version passes; without one the version of our codec is sent."""
    seen: list[str] = []

    async def script(peer: Peer) -> None:
        _, sent, _ = await peer.request()
        seen.append(sent["anthropic-version"])
        await peer.answer()

    async with connected(script, kind="anthropic") as (upstream, _):
        (await upstream.open(make_request(headers=headers), connect_s=CONNECT_S)).close()
    assert seen == [expected]


async def test_free_probe_is_a_get_without_body(
    connected: Connected, make_request: MakeRequest
) -> None:
    """The probe path is fetched by GET, with neither body nor content type."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.answer()

    async with connected(script) as (upstream, _):
        path = upstream.free_probe_path(ENDPOINT)
        request = make_request(method="GET", path=path, body=None)
        (await upstream.open(request, connect_s=CONNECT_S)).close()
    assert seen[0][0] == "GET /models HTTP/1.1"
    assert not {"content-type", "content-length"} & seen[0][1].keys()


async def test_large_body_arrives_whole(connected: Connected, make_request: MakeRequest) -> None:
    """A prompt of several MiB is sent with its length."""
    lengths: list[int] = []

    async def script(peer: Peer) -> None:
        lengths.append(len((await peer.request())[2]))
        await peer.answer()

    async with connected(script) as (upstream, _):
        request = make_request(body=b"x" * 3_000_000)
        (await upstream.open(request, connect_s=CONNECT_S)).close()
    assert lengths == [3_000_000]


async def test_chunks_come_as_they_arrive(connected: Connected, make_request: MakeRequest) -> None:
    """A streamed event is readable before the next one exists; the end is an empty read."""
    may_go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n")
        await peer.send(b"Set-Cookie: a=b\r\n\r\n5\r\nfirst\r\n")
        await may_go_on.wait()
        await peer.send(b"4\r\nlast\r\n0\r\n\r\n")

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert response.headers["x-a"] == "1, 2"
        assert "set-cookie" not in response.headers
        assert await response.read() == b"first"
        may_go_on.set()
        assert await response.read() == b"last"
        assert await response.read() == b""
        assert await response.read() == b""
        response.close()
        response.close()


async def test_connection_is_reused_unless_told_not_to(
    connected: Connected, make_request: MakeRequest
) -> None:
    """A connection read to its end serves the next request; a fresh one is opened on demand."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with connected(script) as (upstream, provider):
        for is_fresh, connections in ((False, 1), (False, 1), (True, 2), (False, 2)):
            request = make_request(needs_fresh_connection=is_fresh)
            response = await upstream.open(request, connect_s=CONNECT_S)
            await _whole(response)
            response.close()
            assert provider.connections == connections


async def test_close_before_the_end_cuts_the_connection(
    connected: Connected, make_request: MakeRequest
) -> None:
    """A response dropped half-way takes its connection along: no leftovers for the next one."""
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await peer.gone()
        closed.set()

    async with connected(script) as (upstream, provider):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await response.read() == b"half"
        response.close()
        async with asyncio.timeout(1):
            await closed.wait()
        (await upstream.open(make_request(), connect_s=CONNECT_S)).close()
        assert provider.connections == 2


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        pytest.param("gzip", gzip.compress(b"answer" * 1000), id="gzip"),
        pytest.param("gzip", gzip.compress(b"answer" * 500) * 2, id="two gzip members"),
        pytest.param("deflate", zlib.compress(b"answer" * 1000), id="deflate"),
    ],
)
async def test_compressed_although_not_asked_for(
    connected: Connected, make_request: MakeRequest, encoding: str, packed: bytes
) -> None:
    """A gateway that compresses against our wish is understood, in pieces of any size."""
    half = len(packed) // 2

    async def script(peer: Peer) -> None:
        await peer.request()
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}"
        await peer.send(head.encode() + b"\r\n\r\n" + packed[:half])
        await peer.send(packed[half:])

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert await _whole(response) == b"answer" * 1000
        assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(gzip.compress(b"answer" * 1000)[:-4], ConnectionBrokenError, id="cut"),
        pytest.param(b"not gzip at all", ProtocolBrokenError, id="not gzip"),
    ],
)
async def test_damaged_compression(
    connected: Connected, make_request: MakeRequest, body: bytes, error: type[Exception]
) -> None:
    """A compressed body that is cut or damaged is an error, never a shorter answer."""

    async def script(peer: Peer) -> None:
        await peer.request()
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        await peer.send(head.encode() + body)

    async with connected(script) as (upstream, _):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        with pytest.raises(error):
            await _whole(response)
        response.close()


async def test_unknown_encoding(connected: Connected, make_request: MakeRequest) -> None:
    """An encoding that we cannot undo is refused at the head."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx")

    async with connected(script) as (upstream, _):
        with pytest.raises(ProtocolBrokenError):
            await upstream.open(make_request(), connect_s=CONNECT_S)


async def test_redirect_is_not_followed(connected: Connected, make_request: MakeRequest) -> None:
    """A redirect comes back as it is: following it would carry the key elsewhere."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
        )

    async with connected(script) as (upstream, provider):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        assert (response.status, await response.read()) == (307, b"")
        fault = upstream.classify(ENDPOINT, response.status, response.headers, b"")
        assert fault.cls is OutcomeClass.S5
        response.close()
        assert provider.connections == 1


async def test_rotated_key_is_used(
    connected: Connected, make_request: MakeRequest, tmp_path: Path
) -> None:
    """A key file that is replaced takes effect for the next request, and the version grows."""
    keys: list[str] = []
    file = tmp_path / "key"
    file.write_text("old\n")

    async def script(peer: Peer) -> None:
        while True:
            keys.append((await peer.request())[1]["authorization"])
            await peer.answer()

    loop = asyncio.get_running_loop()
    real_time = loop.time
    async with connected(script, credential=Credential(file=str(file))) as (upstream, _):
        before = upstream.credential_version(ProviderName("here"))
        await _whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        (tmp_path / "new").write_text("new\n")
        os.replace(tmp_path / "new", file)  # noqa: PTH105 - the atomic swap that rotates keys
        loop.time = lambda: real_time() + 2  # type: ignore[method-assign]  # the check is due
        await _whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        assert upstream.credential_version(ProviderName("here")) > before
    assert keys == ["Bearer old", "Bearer new"]


async def test_own_key_is_cut_from_faults(
    make_upstream: MakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that quotes our key, of whatever shape, does not get it into a message."""
    monkeypatch.setenv("SOME_KEY", "plainword")
    upstream = make_upstream(1, credential=Credential(env="SOME_KEY"))
    fault = upstream.classify(ENDPOINT, 401, {}, b'{"error":"key plainword is unknown"}')
    assert (fault.cls, fault.message) == (OutcomeClass.AUTH, "key *** is unknown")


@pytest.mark.parametrize(
    "base_url", ["", "api.example.com", "ftp://x", "http://u:p@x/v1", "http://"]
)
def test_bad_base_url(base_url: str) -> None:
    """A base URL that cannot be reached, or holds a password, is a configuration mistake."""
    name = ProviderName("here")
    target = ProviderTarget(name=name, kind=KINDS["openai"], base_url=base_url)
    with pytest.raises(ConfigError) as caught:
        HttpUpstream(providers={name: target}, endpoints={})
    assert "u:p" not in str(caught.value)


def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy named by the environment is used, except for the hosts that it excludes."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "inside.example")
    targets = {
        ProviderName(host): ProviderTarget(
            name=ProviderName(host), kind=KINDS["openai"], base_url=f"http://{host}.example/v1"
        )
        for host in ("inside", "outside")
    }
    upstream = HttpUpstream(providers=targets, endpoints={})
    proxies = {name: entry.proxy is not None for name, entry in upstream._entries.items()}
    assert proxies == {"inside": False, "outside": True}


async def test_pools_of_strangers_are_bounded(make_upstream: MakeUpstream) -> None:
    """Hosts that only answers name do not fill the memory; the provider's own pool stays."""
    upstream = make_upstream(9)
    await upstream.start()
    (own,) = upstream._pools
    for number in range(200):
        upstream._pool_at(replace(own, host=f"host-{number}.example"))
    assert len(upstream._pools) == 65
    assert own in upstream._pools
    await upstream.aclose()
