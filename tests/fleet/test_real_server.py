"""A real server that is stopped, paused, flushed, filled or wrong: no call waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from sidecar.core.breaker import BreakerState
from sidecar.engine.settings import EngineSettings
from sidecar.errors import FleetStoreError
from sidecar.fleet.agent import FleetAgent
from sidecar.fleet.names import Names
from sidecar.fleet.redis_store import RedisStore, StoreAddress
from sidecar.fleet.settings import FleetSettings
from sidecar.fleet.store import PREFIX
from sidecar.simulate.world import ALPHA, World
from sidecar.upstream.simulated import SimulatedModel
from sidecar.upstream.simulated_faults import Fault, FaultKind
from tests.fleet.conftest import SERVER, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Make = Callable[..., Awaitable["Pod"]]

QUICK = FleetSettings(op_s=0.2, connect_s=0.2, pause_s=0.02, pause_s_max=0.05)
PATIENT = FleetSettings(op_s=60.0, connect_s=60.0)
"""With these a question to a paused server waits as long as a test lasts."""
VALKEY = Path(__file__).parents[2] / "k8s" / "fleet" / "valkey.yaml"
KEY = PREFIX.format(namespace="default")


class Pod:
    """A world with one pod's agent on a real store; its providers answer at once."""

    def __init__(self, url: str, settings: FleetSettings, seed: int) -> None:
        self.world = World(seed=seed, settings=EngineSettings())
        for provider in self.world.providers.values():
            provider.models = {name: SimulatedModel() for name in provider.models}
        self.agent = FleetAgent(
            self.world.engine,
            RedisStore(StoreAddress(url=url), settings),
            Names(self.world.catalogue, lambda _: "key"),
            random.Random(seed),
            settings,
        )

    async def heard(self) -> None:
        """Exchange until the store was heard."""
        for _ in range(200):
            await self.agent.exchange()
            if self.agent.is_up:
                return
        pytest.fail(f"never heard: {self.agent.link.last_error}")

    def fails(self, times: int = 8) -> None:
        """Let the fleet hear of failures at alpha."""
        for _ in range(times):
            self.agent.member.tally._add(ALPHA, 1.0, 1.0)

    @property
    def state(self) -> BreakerState:
        """The state of alpha's breaker."""
        return self.world.engine.health.endpoints[ALPHA].breaker.state(0.0)


@pytest.fixture
async def pod(server: Server) -> AsyncIterator[Make]:
    """Make pods; their connections are closed at the end."""
    made: list[Pod] = []

    async def make(settings: FleetSettings = QUICK) -> Pod:
        made.append(Pod(server.url, settings, len(made) + 1))
        return made[-1]

    yield make
    server.resume()
    for one in made:
        await one.agent.link.aclose()


async def command(server: Server, *words: str | int) -> None:
    """Tell the server something."""
    async with Redis(port=server.port) as client:
        await client.execute_command(*words)  # type: ignore[no-untyped-call]  # as redis has it


async def test_an_outage_is_told_from_pod_to_pod(server: Server, pod: Make) -> None:
    """What three pods saw, a fourth knows, over a real server; and their trial is one's."""
    pods = [await pod() for _ in range(4)]
    for one in pods:
        await one.heard()
    for _ in range(3):
        for one in pods[:3]:
            one.fails()
            await one.agent.exchange()
    async with asyncio.timeout(20):
        while pods[3].state is not BreakerState.OPEN:
            await pods[3].agent.exchange()


async def test_calls_pass_while_a_paused_server_is_asked(server: Server, pod: Make) -> None:
    """A question that hangs holds no call: they end while it waits."""
    one = await pod(PATIENT)
    await one.heard()
    server.pause()
    one.fails()
    asking = asyncio.ensure_future(one.agent.exchange())
    for _ in range(5):
        assert (await one.world.call("quick")).status == 200
    assert not asking.done()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


async def test_the_task_ends_whenever_it_is_told(pod: Make) -> None:
    """A cancellation is never swallowed, at whatever moment of an exchange it comes."""

    async def exchange_on(one: Pod) -> None:
        while True:
            await one.agent.exchange()

    for turns in range(60):
        task = asyncio.ensure_future(exchange_on(await pod()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_pause_is_an_error_and_its_end_is_seen(server: Server, pod: Make) -> None:
    """A paused server runs into the deadline; once it goes on it is heard, its answers its own."""
    one = await pod()
    await one.heard()
    server.pause()
    await one.agent.exchange()
    assert not one.agent.is_up
    assert (await one.world.call("quick")).status == 200
    server.resume()
    await one.heard()
    assert one.agent.member.view.pods == 1


async def test_a_stopped_server_is_survived(server: Server, pod: Make) -> None:
    """Refused connections are errors of nobody's call; a new server on the port is used."""
    one = await pod()
    await one.heard()
    server.stop()
    await one.agent.exchange()
    assert not one.agent.is_up
    assert "lease" not in one.agent.link.last_error
    assert (await one.world.call("quick")).status == 200
    server.start()
    await one.heard()


async def test_a_flushed_server_is_filled_anew(server: Server, pod: Make) -> None:
    """Without data and without scripts the next exchange works, and forgets no pod."""
    one, other = await pod(), await pod()
    for each in (one, other):
        await each.heard()
    await command(server, "FLUSHALL")
    await command(server, "SCRIPT", "FLUSH")
    for each in (one, other):
        await each.agent.exchange()
        assert each.agent.is_up
    assert (await one.world.call("quick")).status == 200


async def test_a_full_server_still_answers(server: Server, pod: Make) -> None:
    """Where writes are refused the view is read all the same, and says so."""
    one = await pod()
    await one.heard()
    await command(server, "CONFIG", "SET", "maxmemory", 1)
    one.fails()
    await one.heard()
    for _ in range(20):
        await command(server, "DEL", f"{KEY}d")
        await one.agent.exchange()
    assert one.agent.member.view.is_full
    assert one.agent.member.view.pooled == {}
    assert one.agent.is_up
    assert (await one.world.call("quick")).status == 200


@pytest.mark.parametrize(
    "words",
    [
        ("SET", f"{KEY}pods", "a string"),
        ("SET", f"{KEY}o", "a string"),
        ("HSET", f"{KEY}o", "a" * 10, "no JSON", "b" * 10, "[]", "c" * 10, '{"g": 1}'),
        ("HSET", f"{KEY}o", "a" * 10, '{"g":"x","s":1,"k":0,"a":0,"u":0,"l":0,"c":1e18}'),
        ("HSET", f"{KEY}w", "a" * 10, '["nan", -1]'),
        ("SET", f"{KEY}d", '{"t": 1e99}'),
        ("RPUSH", f"{KEY}d", "x"),
    ],
)
async def test_wrong_values_are_errors_or_nothing(
    server: Server, pod: Make, words: tuple[str, ...]
) -> None:
    """Whatever stands in the keys, the exchange ends, nothing is opened, and calls pass."""
    await command(server, *words)
    one = await pod()
    for _ in range(4):
        await one.agent.exchange()
    assert one.state is BreakerState.CLOSED
    assert (await one.world.call("quick")).status == 200


async def test_a_forged_record_does_not_outweigh_answers(server: Server, pod: Make) -> None:
    """A record that nobody's experience bears out opens nothing while calls are answered."""
    pods = [await pod() for _ in range(3)]
    for one in pods:
        for _ in range(6):
            one.agent.member.tally._add(ALPHA, 0.0, 1.0)
        await one.heard()
    subject = pods[0].agent.member.names.subjects[ALPHA]
    record = (
        '{"g":5,"s":"open","k":8,"a":1,"u":99999999999999,"l":99999999999999,"c":99999999999999}'
    )
    await command(server, "HSET", f"{KEY}o", subject, record)
    await command(server, "DEL", f"{KEY}d")
    for one in pods:
        await one.heard()
        assert one.state is BreakerState.CLOSED


async def test_every_key_is_ours_and_expires(server: Server, pod: Make) -> None:
    """All keys carry the namespace, the version, and an end."""
    one, other = await pod(), await pod()
    one.world.alpha.faults = (
        Fault(kind=FaultKind.STATUS, status=429, retry_after_s=100, start_s=0),
    )
    for each in (one, other):
        await each.world.call("alone")
        each.fails()
        each.agent.member.heard(each.agent.member.view, 0.0)
        each.agent.member._wish(ALPHA, "open", 0.0)
        await each.heard()
    subject = one.agent.member.names.subjects[ALPHA]
    await one.agent.link.lease(subject, "o1", "pod", 5.0)
    async with Redis(port=server.port) as client:
        keys = await client.keys("*")
        assert len(keys) >= 6
        for key in keys:
            assert isinstance(key, bytes)
            assert key.startswith(KEY.encode())
            assert await client.ttl(key) > 0, key


async def test_a_user_with_few_rights_is_enough(server: Server, pod: Make) -> None:
    """The rights of the example's user suffice; a wrong password is an error that shows none."""
    rights = re.search(r"user sidecar on >PASSWORD (.*)", VALKEY.read_text(encoding="utf-8"))
    assert rights is not None
    await command(server, "ACL", "SETUSER", "sidecar", "on", ">hunter2", *rights[1].split())

    def store(password: str) -> RedisStore:
        address = StoreAddress(url=server.url, username="sidecar", password=lambda: password)
        return RedisStore(address, QUICK)

    allowed, refused = store("hunter2"), store("hunter3")
    push = b'{"p":"x","e":{"aaaaaaaaaa":[1,1]},"u":{"b":1},"r":{"aaaaaaaaaa":5000},"n":true}'
    assert (await allowed.sync(push)).pods == 1
    assert not (await allowed.sync(push)).is_full, "no write was refused"
    assert await allowed.lease("a" * 10, "s", "x", 1.0) == 0.0
    with pytest.raises(FleetStoreError) as raised:
        await refused.sync(push)
    assert "hunter" not in f"{raised.value!r} {store('hunter2')!r} {refused._address!r}"
    await allowed.aclose()
    await refused.aclose()


async def test_tls_is_verified(tmp_path: Path) -> None:
    """Over TLS the certificate must be of an authority that is trusted."""
    if SERVER is None:
        pytest.skip("neither valkey-server nor redis-server is installed")
    files = certificate(tmp_path)
    server = Server(tmp_path, *files, plain=False)
    try:
        url = server.url.replace("redis://127.0.0.1", "rediss://localhost")
        trusting = RedisStore(StoreAddress(url=url, ca_file=str(tmp_path / "ca.pem")), PATIENT)
        strict = RedisStore(StoreAddress(url=url), PATIENT)
        assert (await trusting.sync(b'{"p":"x"}')).pods == 1
        with pytest.raises(FleetStoreError, match=r"(?i)certificate"):
            await strict.sync(b'{"p":"x"}')
        await trusting.aclose()
        await strict.aclose()
    finally:
        server.stop()


def certificate(directory: Path) -> tuple[str, ...]:
    """Make a certificate for localhost that is its own authority; return the server's options."""
    key, cert = directory / "key.pem", directory / "ca.pem"
    asked = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    subprocess.run(
        [*asked.split(), "-keyout", str(key), "-out", str(cert), *names],
        check=True,
        capture_output=True,
    )
    files = ("--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file")
    return (*files, str(cert), "--tls-auth-clients", "no")
