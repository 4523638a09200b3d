"""From a name to a socket: which addresses are tried in which order, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import pytest

from sidecar.upstream import connecting
from sidecar.upstream.connecting import Resolver, first_connected, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.upstream.connecting import Place

V4, V6 = socket.AF_INET, socket.AF_INET6


def place(number: int, family: socket.AddressFamily = V4) -> Place:
    """Return the ``number``-th address of a family."""
    return family, (f"10.0.0.{number}", 80)


@pytest.fixture
def listening() -> Iterator[Place]:
    """A place that can be reached."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield V4, listener.getsockname()


@pytest.fixture
def refusing() -> Iterator[Place]:
    """A place that refuses."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield V4, unused.getsockname()


@pytest.fixture
def silent() -> Iterator[Place]:
    """A place that does not answer: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield V4, listener.getsockname()
        for filler in fillers:
            filler.close()


class Names:
    """Stands for DNS: ``known`` names, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known = [place(1), place(2), place(3, V6)]
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()

    async def getaddrinfo(self, host: str, port: int, **_: int) -> list[object]:
        """Answer as the loop's own does."""
        assert port == 80
        self.asked.append(host)
        self.is_asked.set()
        await self.may_answer.wait()
        if host == "nowhere":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in self.known]


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """DNS of the running loop."""
    made = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", made.getaddrinfo)
    return made


@pytest.fixture
async def advance(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a way to move the running loop's clock."""
    loop = asyncio.get_running_loop()
    real_time, offset = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: real_time() + offset[0])

    def move(by_s: float) -> None:
        offset[0] += by_s

    return move


def test_families_take_turns() -> None:
    """A family that does not work here costs one try, not all of them."""
    places = [place(1, V6), place(2, V6), place(3, V6), place(4)]
    assert in_turn(places) == [place(1, V6), place(4), place(2, V6), place(3, V6)]
    assert in_turn([place(1)]) == [place(1)]
    assert in_turn([place(number) for number in range(20)]) == [place(n) for n in range(8)]


async def test_answers_are_kept_for_a_while(names: Names, advance: Callable[[float], None]) -> None:
    """One question in half a minute; each connection begins at another address."""
    resolver = Resolver()
    firsts = [(await resolver.places("a", 80))[0] for _ in range(3)]
    assert sorted(firsts) == sorted(names.known)
    assert names.asked == ["a"]
    advance(31.0)
    names.known = [place(9)]
    assert await resolver.places("a", 80) == [place(9)]
    assert names.asked == ["a", "a"]


async def test_one_question_for_all_who_wait(names: Names) -> None:
    """Who asked first may leave: the others get their answer."""
    names.may_answer.clear()
    resolver = Resolver()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(resolver.places("a", 80)) for _ in range(3)]
        await names.is_asked.wait()
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        names.may_answer.set()
    assert [task.cancelled() for task in waiting] == [True, False, False]
    assert names.asked == ["a"]


async def test_a_failed_question_is_asked_again(names: Names) -> None:
    """Nobody is told of a failure that is over."""
    resolver = Resolver()
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await resolver.places("nowhere", 80)
    assert names.asked == ["nowhere", "nowhere"]


async def test_literal_addresses_need_no_question(names: Names) -> None:
    """IPv4 and IPv6 are their own answers."""
    resolver = Resolver()
    assert await resolver.places("127.0.0.1", 80) == [(V4, ("127.0.0.1", 80))]
    assert await resolver.places("::1", 80) == [(V6, ("::1", 80, 0, 0))]
    assert names.asked == []


async def test_memory_of_names_is_bounded(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answer goes first."""
    monkeypatch.setattr(connecting, "_NAMES_MAX", 2)
    resolver = Resolver()
    for name in ("a", "b", "c", "c", "b", "a"):
        await resolver.places(name, 80)
    assert names.asked == ["a", "b", "c", "a"]


@pytest.mark.parametrize("order", [["refusing", "listening"], ["silent", "listening"]])
async def test_the_next_address_is_tried(
    request: pytest.FixtureRequest, order: list[str], listening: Place
) -> None:
    """One that refuses or does not answer costs a moment, if another one works."""
    places = [request.getfixturevalue(name) for name in order]
    async with asyncio.timeout(5):
        with await first_connected(places) as connected:
            assert connected.getpeername() == listening[1]
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_all_of_them_fail(refusing: Place) -> None:
    """The first one's error is told."""
    with pytest.raises(ConnectionRefusedError):
        await first_connected([refusing, refusing, refusing])
    with pytest.raises(ConnectionRefusedError):
        await first_connected([refusing])


async def test_leaving_closes_what_was_begun(silent: Place, refusing: Place) -> None:
    """Cancelled while it connects, nothing is left open."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(first_connected([silent, refusing, silent]))
        for _ in range(10):
            await asyncio.sleep(0)
        begun = asyncio.all_tasks() - {asyncio.current_task(), task}
        assert begun
        task.cancel()
    assert task.cancelled()
    await asyncio.wait(begun, timeout=1)
    assert all(one.done() for one in begun)
    gc.collect()  # an open socket would be reported
