"""The rules of the store, held by a real server and by the simulated one alike."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from sidecar.fleet.push import Push, Wish
from sidecar.fleet.redis_store import RedisStore, StoreAddress
from sidecar.fleet.settings import DEFAULTS
from sidecar.simulate.fleet_store import SimulatedStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.fleet.store import Store
    from sidecar.fleet.view import View

A, B = "a" * 10, "b" * 10


async def tell(store: Store, push: Push) -> View:
    """Send ``push``."""
    return await store.sync(msgspec.json.encode(push))


@pytest.fixture(params=["simulated", "real"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Either store, empty."""
    one: Store
    if request.param == "simulated":
        one = SimulatedStore(random.Random(1), latency_s=0.0)
    else:
        one = RedisStore(StoreAddress(url=request.getfixturevalue("server").url), DEFAULTS)
    yield one
    await one.aclose()


async def fresh(store: Store, pod: str = "reader") -> View:
    """Return a view that is none of before: a record of nobody's makes it new."""
    wish = Wish(0, "closed", 1.0, 0.0)
    return await tell(store, Push(p=pod, o={f"{random.getrandbits(40):010x}": wish}))


async def test_counts_are_added_and_pods_counted_apart(store: Store) -> None:
    """Outcomes of all pods are one sum; who reports and who fails is counted by pod."""
    for pod in ("p1", "p2", "p3"):
        for _ in range(2):
            await tell(store, Push(p=pod, e={A: (3.0, 1.0 if pod == "p1" else 0.0)}))
    pooled = (await fresh(store)).pooled[A]
    assert sum(ok for _, ok, _ in pooled.series) == 18.0
    assert sum(fail for _, _, fail in pooled.series) == 2.0
    assert (pooled.reporting, pooled.failing) == (3, 1)
    assert (await fresh(store)).pods == 4


async def test_one_push_has_bounded_weight(store: Store) -> None:
    """However much a pod claims, a push counts twenty outcomes at most."""
    await tell(store, Push(p="p1", e={A: (1e12, -5.0)}))
    assert (await fresh(store)).pooled[A].series[0][1:] == (20.0, 0.0)


async def test_records_move_once_per_generation(store: Store) -> None:
    """Of many pods that ask for the same change one is heard; backoff doubles; closing ends it."""
    wish = Wish(0, "open", 1.0, 0.0)
    await tell(store, Push(p="p1", o={A: wish}))
    await tell(store, Push(p="p2", o={A: wish}))
    view = await tell(store, Push(p="p3", o={A: wish}))
    record = view.records[A]
    assert (record.gen, record.is_open) == (1, True)
    assert record.until_s == pytest.approx(5.0, abs=0.9)
    view = await tell(store, Push(p="p1", o={A: Wish(1, "open", 1.0, 0.0)}))
    assert view.records[A].until_s == pytest.approx(10.0, abs=0.9)
    view = await tell(store, Push(p="p1", o={A: Wish(2, "open", 1.0, 60_000.0)}))
    assert view.records[A].until_s == pytest.approx(60.0, abs=0.9)
    view = await tell(store, Push(p="p1", o={A: Wish(3, "closed", 1.0, 0.0)}))
    assert (view.records[A].gen, view.records[A].is_open) == (4, False)
    view = await tell(store, Push(p="p1", o={A: Wish(4, "open", 1.0, 1e15)}))
    assert 295.0 <= view.records[A].until_s <= 300.0, "no pushback shuts for longer"


async def test_a_lease_is_one_pods(store: Store) -> None:
    """The first who asks has the probe until its lease is over, and may ask again."""
    assert await store.lease(A, "s", "p1", 5.0) == 0.0
    assert await store.lease(A, "s", "p1", 5.0) == 0.0
    assert 4.0 < await store.lease(A, "s", "p2", 5.0) <= 5.0
    assert await store.lease(B, "s", "p2", 5.0) == 0.0
    assert await store.lease(A, "i", "p2", 0.15) == 0.0
    while (left_s := await store.lease(A, "i", "p1", 5.0)) > 0.0:
        assert left_s <= 0.15


async def test_the_lease_of_a_trial_is_told_to_all(store: Store) -> None:
    """Who makes an outage's trial is in the record, so that others need not ask."""
    await tell(store, Push(p="p1", o={A: Wish(0, "open", 1.0, 0.0)}))
    assert await store.lease(A, "o1", "p1", 20.0) == 0.0
    view = await tell(store, Push(p="p2"))
    assert view.records[A].lease_s == pytest.approx(20.0, abs=0.5)


async def test_long_rests_show_two_witnesses(store: Store) -> None:
    """The longest wait and the second pod's are told apart."""
    await tell(store, Push(p="p1", r={A: 3_600_000.0}))
    await tell(store, Push(p="p2", r={A: 30_000.0}))
    longest, second = (await fresh(store)).rests[A]
    assert longest == pytest.approx(3600.0, abs=0.9)
    assert second == pytest.approx(30.0, abs=0.9)


async def test_totals_of_the_day_count_once(store: Store) -> None:
    """A pod tells its own total; told again, or an older one, it adds nothing."""
    day = (await fresh(store)).day
    for usd in (1.0, 2.5, 2.5, 1.0):
        await tell(store, Push(p="p1", u={A: usd}, y=day))
    await tell(store, Push(p="p2", u={A: 4.0}, y=day))
    await tell(store, Push(p="p2", u={A: 9.0}, y=day - 1))
    assert (await fresh(store)).sums[A] == pytest.approx(6.5)


async def test_a_new_pod_is_told_of_waits(store: Store) -> None:
    """Means of the time to first content go to who asks as a new pod, and to nobody else."""
    await tell(store, Push(p="p1", t={A: (0.5, 100.0)}))
    assert (await tell(store, Push(p="p2"))).warm == {}
    assert (await tell(store, Push(p="p2", n=True))).warm == {A: (0.5, 100.0)}


async def test_demand_is_added(store: Store) -> None:
    """Requests and tokens of an account are one sum."""
    await tell(store, Push(p="p1", q={A: (3.0, 100.0)}))
    await tell(store, Push(p="p2", q={A: (1.0, 50.0)}))
    assert (await fresh(store)).demand[A] == (4.0, 150.0)
