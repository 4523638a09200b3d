"""The upstream of another configuration: what becomes of connections, keys and calls under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sidecar.domain import Endpoint, EndpointId, HostName, ModelName, ProviderName
from sidecar.errors import ConfigError
from sidecar.upstream.credentials import Credential
from sidecar.upstream.http import HttpUpstream, ProviderTarget
from sidecar.upstream.kinds import KINDS
from tests.upstream.conftest import ENDPOINT, Peer, RawProvider

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.engine.ports import UpstreamResponse
    from tests.upstream.conftest import Connected, MakeRequest

CONNECT_S = 5.0
HERE = ProviderName("here")


async def answers(peer: Peer) -> None:
    """Answer one request after the other."""
    while True:
        await peer.request()
        await peer.answer(b"ok")


async def soon(event: asyncio.Event) -> None:
    """Wait for ``event``, but not for ever."""
    async with asyncio.timeout(10):
        await event.wait()


async def whole(response: UpstreamResponse) -> bytes:
    """Read to the end, and close."""
    body = b""
    while piece := await response.read():
        body += piece
    response.close()
    return body


def succeed(
    upstream: HttpUpstream, port: int, credential: Credential | None = None
) -> HttpUpstream:
    """Return the successor whose provider is at ``port`` of loopback."""
    base_url = f"http://127.0.0.1:{port}"
    target = ProviderTarget(
        name=HERE, kind=KINDS["openai"], base_url=base_url, credential=credential
    )
    endpoint = Endpoint(
        id=EndpointId(ENDPOINT),
        provider=HERE,
        model=ModelName("model"),
        upstream_model="model-1",
        format=KINDS["openai"].format,
        host=HostName(base_url),
    )
    return upstream.successor(providers={HERE: target}, endpoints={ENDPOINT: endpoint})


async def test_connections_of_who_stays_are_used_on(
    connected: Connected, make_request: MakeRequest
) -> None:
    """A provider that stays answers the next call over the connection it has."""
    async with connected(answers) as (upstream, provider):
        await whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        heir = succeed(upstream, provider.port)
        assert await whole(await heir.open(make_request(), connect_s=CONNECT_S)) == b"ok"
        assert provider.connections == 1


async def test_idle_connections_of_who_goes_are_closed(
    connected: Connected, make_request: MakeRequest
) -> None:
    """Nothing is kept open to a provider that is no more."""
    gone = asyncio.Event()

    async def until_gone(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.gone()
        gone.set()

    async with RawProvider(answers).serving() as other, connected(until_gone) as (upstream, _):
        await whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        heir = succeed(upstream, other.port)
        await soon(gone)
        assert await whole(await heir.open(make_request(), connect_s=CONNECT_S)) == b"ok"
        assert other.connections == 1


async def test_an_answer_under_way_is_read_to_its_end(
    connected: Connected, make_request: MakeRequest
) -> None:
    """A call that began before goes on where it began, even asks again; then all is closed."""
    go_on, gone = asyncio.Event(), asyncio.Event()

    async def slowly(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfi")
        await go_on.wait()
        await peer.send(b"rs")
        await peer.gone()
        gone.set()

    async with RawProvider(answers).serving() as other, connected(slowly) as (upstream, provider):
        response = await upstream.open(make_request(), connect_s=CONNECT_S)
        succeed(upstream, other.port)
        again = await upstream.open(make_request(), connect_s=CONNECT_S)
        go_on.set()
        assert await whole(response) == b"firs"
        assert await whole(again) == b"firs"
        await soon(gone)
        assert (provider.connections, other.connections) == (2, 0)


async def test_the_successor_closes_everything(
    connected: Connected, make_request: MakeRequest
) -> None:
    """Who is last closes the connections of all before it."""
    gone = asyncio.Event()

    async def holding(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfi")
        await peer.gone()
        gone.set()

    async with RawProvider(answers).serving() as other, connected(holding) as (upstream, _):
        await upstream.open(make_request(), connect_s=CONNECT_S)
        heir = succeed(succeed(upstream, other.port), other.port)
        await heir.aclose()
        await soon(gone)


async def test_another_key_is_a_newer_version(
    connected: Connected, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Blocks are lifted by a version that differs: by another key, not by a reload alone."""
    monkeypatch.setenv("ONE", "1")
    (tmp_path / "key").write_text("2")
    one, other = Credential(env="ONE"), Credential(file=str(tmp_path / "key"))
    async with connected(answers, credential=one) as (upstream, provider):
        heir, versions = upstream, [upstream.credential_version(HERE)]
        for credential in (one, other, other, one):
            heir = succeed(heir, provider.port, credential)
            versions.append(heir.credential_version(HERE))
    first = versions[0]
    assert versions[1] == first
    assert versions[2] > first
    assert versions[3] == versions[2]
    assert versions[4] > versions[3]


async def test_what_cannot_be_used_changes_nothing(
    connected: Connected, make_request: MakeRequest
) -> None:
    """After a refused successor the one before serves as it did, over the same connection."""
    async with connected(answers) as (upstream, provider):
        await whole(await upstream.open(make_request(), connect_s=CONNECT_S))
        broken = ProviderTarget(name=HERE, kind=KINDS["openai"], base_url="http://user@nowhere")
        with pytest.raises(ConfigError):
            upstream.successor(providers={HERE: broken}, endpoints={})
        assert await whole(await upstream.open(make_request(), connect_s=CONNECT_S)) == b"ok"
        assert provider.connections == 1
