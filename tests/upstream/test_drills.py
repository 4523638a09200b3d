"""Drills hit whom they name, as often as they say, and end by themselves."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import pytest

from sidecar import clock
from sidecar.domain import EndpointId, OutcomeClass
from sidecar.errors import ConnectionBrokenError
from sidecar.events import DRILL_S_MAX, DrillChanged, DrillFault, Event
from sidecar.simulate.loop import simulate
from sidecar.upstream.drills import SLOW_CHUNK_S, SLOW_HEAD_S, DrilledUpstream, Drills
from tests.upstream.test_simulated_memory import ENDPOINT, asking, build, fetch

OTHER = EndpointId("alpha/other")


class Heard:
    """An observer."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)


def drilled() -> tuple[DrilledUpstream, Drills, Heard]:
    """Return an upstream with drills before it, and who hears of them."""
    heard = Heard()
    drills = Drills(random.Random(1), heard)
    return DrilledUpstream(build()[1], drills), drills, heard


def test_without_a_drill_nothing_changes() -> None:
    """An attempt goes its way, and takes its time."""

    async def run() -> tuple[bytes, float]:
        upstream, drills, _ = drilled()
        drills.start(OTHER, "hang", for_s=60, share=1.0)
        return await fetch(upstream), clock.now()

    body, took_s = simulate(run())

    async def bare() -> tuple[bytes, float]:
        return await fetch(build()[1]), clock.now()

    assert (body, took_s) == simulate(bare())


@pytest.mark.parametrize(("fault", "cls"), [("500", OutcomeClass.S5), ("429", OutcomeClass.RATE)])
def test_a_refusal_reads_as_the_providers_own(fault: DrillFault, cls: OutcomeClass) -> None:
    """Status, body and verdict are those of a provider that refuses; the provider sees nothing."""

    async def run() -> OutcomeClass:
        upstream, drills, _ = drilled()
        drills.start(ENDPOINT, fault, for_s=60, share=1.0)
        response = await upstream.open(asking(), connect_s=3.0)
        assert response.status == int(fault)
        body = await response.read()
        assert await response.read() == b""
        return upstream.classify(ENDPOINT, response.status, response.headers, body).cls

    assert simulate(run()) is cls


def test_a_hang_lasts_until_the_attempt_is_given_up() -> None:
    """It is for the engine's own limits to end it."""

    async def run() -> float:
        upstream, drills, _ = drilled()
        drills.start(ENDPOINT, "hang", for_s=60, share=1.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.0):
                await upstream.open(asking(), connect_s=3.0)
        return clock.now()

    assert simulate(run()) == 7.0


def test_a_cut_breaks_off_within_the_answer() -> None:
    """Something arrives, then the connection is gone."""

    async def run() -> bytes:
        upstream, drills, _ = drilled()
        drills.start(ENDPOINT, "cut", for_s=60, share=1.0)
        response = await upstream.open(asking(), connect_s=3.0)
        piece = await response.read()
        with pytest.raises(ConnectionBrokenError, match="drill"):
            await response.read()
        response.close()
        return piece

    whole = simulate(fetch(build()[1]))
    piece = simulate(run())
    assert piece
    assert whole.startswith(piece[:20])


def test_a_slow_answer_is_whole_and_late() -> None:
    """Head and every piece are late, nothing is lost."""

    async def run(*, is_drilled: bool) -> tuple[bytes, float]:
        upstream, drills, _ = drilled()
        if is_drilled:
            drills.start(ENDPOINT, "slow", for_s=60, share=1.0)
        return await fetch(upstream), clock.now()

    slow, slow_s = simulate(run(is_drilled=True))
    usual, usual_s = simulate(run(is_drilled=False))
    assert len(slow) == len(usual)
    assert slow_s >= usual_s + SLOW_HEAD_S + SLOW_CHUNK_S


def test_a_share_is_a_share_of_the_attempts() -> None:
    """Three in ten, give or take what chance does to a thousand."""

    async def run() -> Counter[str | None]:
        _, drills, _ = drilled()
        drills.start(ENDPOINT, "500", for_s=60, share=0.3)
        return Counter(drills.fault_of(ENDPOINT) for _ in range(1000))

    assert 250 < simulate(run())["500"] < 350


def test_it_ends_by_itself_and_says_so() -> None:
    """Its beginning and its end are told, each once; after it nothing is in the way."""

    async def run() -> list[tuple[float, str, float | None]]:
        _, drills, heard = drilled()
        drills.start(ENDPOINT, "hang", for_s=10, share=1.0)
        drills.start(ENDPOINT, "500", for_s=10 * DRILL_S_MAX, share=1.0)
        await asyncio.sleep(DRILL_S_MAX - 1)
        assert [one.fault for one in drills.active()] == ["500"]
        await asyncio.sleep(2)
        assert drills.active() == ()
        assert drills.fault_of(ENDPOINT) is None
        assert drills.end(ENDPOINT) is False
        return [
            (one.at, one.fault, one.until) for one in heard.events if isinstance(one, DrillChanged)
        ]

    assert simulate(run()) == [
        (0.0, "hang", 10.0),
        (0.0, "hang", None),
        (0.0, "500", DRILL_S_MAX),
        (DRILL_S_MAX, "500", None),
    ]


def test_all_end_at_once() -> None:
    """As when the configuration forbids them."""

    async def run() -> tuple[int, int]:
        _, drills, heard = drilled()
        drills.start(ENDPOINT, "hang", for_s=10, share=1.0)
        drills.start(OTHER, "cut", for_s=10, share=0.5)
        drills.end_all()
        await asyncio.sleep(20)
        return len(drills.active()), len(heard.events)

    assert simulate(run()) == (0, 4)


@pytest.mark.parametrize(("fault", "gap_s"), [("slow", SLOW_CHUNK_S), ("cut", 0.0)])
def test_who_takes_is_drilled_like_who_reads(fault: DrillFault, gap_s: float) -> None:
    """A slowed stream gives a piece a pause, a cut one half of one and then the break."""

    async def run() -> list[tuple[float, bytes | None]]:
        upstream, drills, _ = drilled()
        drills.start(ENDPOINT, fault, for_s=60, share=1.0)
        response = await upstream.open(asking(), connect_s=1)
        taken: list[tuple[float, bytes | None]] = []
        over = asyncio.Event()

        def take() -> None:
            try:
                piece = response.take()
            except ConnectionBrokenError:
                piece = b""
            if piece is not None:
                taken.append((clock.now(), piece))
            if piece == b"":
                response.watch(None)
                over.set()

        response.watch(take)
        take()
        await over.wait()
        response.close()
        return taken

    taken = simulate(run())

    gaps = [later - before for (before, _), (later, _) in itertools.pairwise(taken)]
    assert len(taken) > 1
    assert min(gaps) >= gap_s - 1e-9
    assert len(taken) == 2 or fault == "slow"
