"""A store for simulated pods: what ``fleet/sync.lua`` does, in virtual time, with its failures.

The same rules in Python, held against a real server by the same tests. An answer takes a latency
drawn from a log-normal around what a server in the same zone takes; ``mode`` is what is wrong:
*away* refuses at once, *hung* never answers (though what it was told may arrive all the same),
*full* refuses to write, *wrong* answers nonsense. ``flush`` forgets everything; ``yesterday``
returns it to what it held when ``remember`` was called.

``ops_count`` counts the questions, as a real server's operations are.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from sidecar import clock
from sidecar.clock import now as loop_now
from sidecar.errors import FleetStoreError
from sidecar.fleet.push import Push
from sidecar.fleet.view import Pooled, Record, View

if TYPE_CHECKING:
    import random

    from sidecar.fleet.push import Wish

START_S = 1_700_000_000.0
"""The server's clock: pods know nothing of it but differences."""
DAY_S = 86_400
VIEW_S = 0.4
COUNTS_S = 60
PODS_S = 15.0
_PUSH = msgspec.json.Decoder(Push)


@dataclass(slots=True)
class _Outage:
    gen: int = 0
    is_open: bool = False
    k: int = 0
    since: float = 0.0
    until: float = 0.0
    lease_until: float = 0.0
    changed: float | None = None


@dataclass(slots=True)
class _Data:
    """All that the store holds."""

    counts: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    used: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    reporting: dict[tuple[int, str], set[str]] = field(default_factory=dict)
    failing: dict[tuple[int, str], set[str]] = field(default_factory=dict)
    pods: dict[str, float] = field(default_factory=dict)
    outages: dict[str, _Outage] = field(default_factory=dict)
    leases: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    rests: dict[str, dict[str, float]] = field(default_factory=dict)
    totals: dict[tuple[int, str, str], float] = field(default_factory=dict)
    warm: dict[str, tuple[float, float]] = field(default_factory=dict)


class SimulatedStore:
    """Owns the data and what is wrong. One serves all pods."""

    def __init__(self, rng: random.Random, *, latency_s: float = 0.001) -> None:
        self.mode = "well"
        self.ops_count = 0
        self.views_count = 0
        self._rng = rng
        self._latency_s = latency_s
        self._data = _Data()
        self._remembered = _Data()
        self._view: tuple[float, View] | None = None

    # --- what is wrong -------------------------------------------------------------------------

    def flush(self) -> None:
        """Forget everything."""
        self._data, self._view = _Data(), None

    def remember(self) -> None:
        """Keep a copy of what is there."""
        self._remembered = copy.deepcopy(self._data)

    def yesterday(self) -> None:
        """Be what ``remember`` kept."""
        self._data, self._view = copy.deepcopy(self._remembered), None

    def agreed_at(self, subject: str) -> float:
        """Return when the fleet last agreed on an outage of ``subject``."""
        return self._data.outages[subject].since

    # --- Store ---------------------------------------------------------------------------------

    async def sync(self, push: bytes) -> View:
        """Take a push in, and return the view."""
        await self._travel()
        return self.exchange(_PUSH.decode(push), loop_now())

    async def lease(self, subject: str, slot: str, pod: str, lease_s: float) -> float:
        """Give the lease, or say how long it is another's."""
        await self._travel()
        if self.mode == "full":
            raise FleetStoreError("simulated: full")
        return self.take(subject, slot, pod, lease_s, loop_now())

    async def aclose(self) -> None:
        """Do nothing."""

    async def _travel(self) -> None:
        self.ops_count += 1
        if self.mode == "away":
            raise FleetStoreError("simulated: refused")
        if self.mode == "hung":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self._rng.lognormvariate(0.0, 0.5) * self._latency_s)
        if self.mode == "wrong":
            raise FleetStoreError("simulated: nonsense")

    # --- the rules -----------------------------------------------------------------------------

    def exchange(self, push: Push, now: float) -> View:
        """As the script, at ``now``; a pod without latency may call it directly."""
        if self.mode != "full":
            self._enter(push, now)
        fresh = self._view is not None and now - self._view[0] <= VIEW_S
        if self._view is None or not fresh or (push.o and self.mode != "full"):
            self._view = (now, self._make(now))
            self.views_count += 1
        view = self._view[1]
        return replace(view, warm=dict(self._data.warm)) if push.n else view

    def take(self, subject: str, slot: str, pod: str, lease_s: float, now: float) -> float:
        """As the script for leases."""
        holder, until = self._data.leases.get((subject, slot), ("", 0.0))
        if until > now and holder != pod:
            return until - now
        self._data.leases[subject, slot] = (pod, now + lease_s)
        outage = self._data.outages.get(subject)
        if outage is not None and slot == f"o{outage.gen}":
            outage.lease_until = now + lease_s
            self._view = None
        return 0.0

    def _enter(self, push: Push, now: float) -> None:
        data = self._data
        data.pods[push.p] = now
        self._count(push, int(START_S + now))
        for id_, wait_ms in push.r.items():
            kept = data.rests.setdefault(id_, {})
            kept[push.p] = now + wait_ms / 1000.0
            if len(kept) > 4:  # noqa: PLR2004 - as the script
                del kept[min(kept, key=lambda pod: kept[pod])]
        for name, total in push.u.items() if push.y == self._day() else ():
            key = (push.y, push.p, name)
            data.totals[key] = max(total, data.totals.get(key, 0.0))
        for id_, (wait_s, tokens) in push.t.items():
            old = data.warm.get(id_, (wait_s, tokens))
            data.warm[id_] = (old[0] * 0.9 + wait_s * 0.1, old[1] * 0.9 + tokens * 0.1)
        for id_, wish in push.o.items():
            self._move(data.outages.setdefault(id_, _Outage()), wish, now)

    def _count(self, push: Push, second: int) -> None:
        data, ten = self._data, second // 10
        counts = data.counts.setdefault(second, {})
        for id_, (ok, fail) in push.e.items():
            pair = counts.setdefault(id_, [0.0, 0.0])
            pair[0] += min(20.0, max(0.0, ok))
            pair[1] += min(20.0, max(0.0, fail))
            data.reporting.setdefault((ten, id_), set()).add(push.p)
            if fail > 0.0:
                data.failing.setdefault((ten, id_), set()).add(push.p)
        for id_, (requests, tokens) in push.q.items():
            pair = data.used.setdefault(second, {}).setdefault(id_, [0.0, 0.0])
            pair[0] += requests
            pair[1] += tokens

    @staticmethod
    def _move(outage: _Outage, wish: Wish, now: float) -> None:
        if outage.gen != wish.gen:
            return
        if wish.state == "open":
            if outage.is_open:
                outage.k = min(outage.k + 1, 8)
            else:
                is_relapse = outage.changed is not None and now - outage.changed < 60.0  # noqa: PLR2004
                outage.k = min(outage.k + 1, 8) if is_relapse else 0
                outage.since = now
            backoff_s = min(120.0, 5.0 * 2.0**outage.k) * min(1.25, max(0.75, wish.jitter))
            outage.until = now + min(300.0, max(1.0, backoff_s, wish.pushback_ms / 1000.0))
        outage.is_open, outage.changed, outage.lease_until = wish.state == "open", now, now
        outage.gen += 1

    @staticmethod
    def _day() -> int:
        return int(clock.wall() // DAY_S)  # as the caps, which count days that people live in

    def _forget(self, second: int, now: float) -> None:
        data = self._data
        data.pods = {pod: at for pod, at in data.pods.items() if at > now - PODS_S}
        for table in (data.counts, data.used):
            for old in [at for at in table if at < second - COUNTS_S]:
                del table[old]
        for sets in (data.reporting, data.failing):
            for key in [key for key in sets if key[0] < second // 10 - 6]:
                del sets[key]

    def _make(self, now: float) -> View:
        data, second = self._data, int(START_S + now)
        ten = second // 10
        self._forget(second, now)
        series: dict[str, list[tuple[float, float, float]]] = {}
        demand: dict[str, tuple[float, float]] = {}
        for age in range(20):
            for id_, (ok, fail) in data.counts.get(second - age, {}).items():
                series.setdefault(id_, []).append((float(age), ok, fail))
            for id_, (requests, tokens) in data.used.get(second - age, {}).items():
                sofar = demand.get(id_, (0.0, 0.0))
                demand[id_] = (sofar[0] + requests, sofar[1] + tokens)
        sums: dict[str, float] = {}
        for (day, _, name), total in data.totals.items():
            if day == self._day():
                sums[name] = sums.get(name, 0.0) + total
        return View(
            pods=max(1, len(data.pods)),
            day=self._day(),
            is_full=self.mode == "full",
            pooled={
                id_: Pooled(
                    series=tuple(seen),
                    reporting=_union(data.reporting, ten, id_),
                    failing=_union(data.failing, ten, id_),
                )
                for id_, seen in series.items()
            },
            records={id_: _record(one, now) for id_, one in data.outages.items()},
            rests={id_: _longest(kept, now) for id_, kept in data.rests.items()},
            demand=demand,
            sums=sums,
        )


def _union(sets: dict[tuple[int, str], set[str]], ten: int, id_: str) -> int:
    return len(sets.get((ten, id_), set()) | sets.get((ten - 1, id_), set()))


def _record(outage: _Outage, now: float) -> Record:
    return Record(
        gen=outage.gen,
        is_open=outage.is_open,
        since_s=outage.since - now,
        until_s=outage.until - now,
        lease_s=outage.lease_until - now,
        changed_s=(now if outage.changed is None else outage.changed) - now,
    )


def _longest(kept: dict[str, float], now: float) -> tuple[float, float]:
    first, second, *_ = (*sorted((until - now for until in kept.values()), reverse=True), 0.0, 0.0)
    return first, second
