"""The background task of a pod in a fleet: once a second a push and the fleet's view back.

It owns the exchange and the clock, ``member.py`` decides, ``sharing.py`` divides, ``link.py`` says
whether the store is asked at all. A call meets none of them: events are counted as they come, and
what was heard is in the breakers and caps before the next call looks. Without a store all goes on
as in a pod that is alone: last values hold for their own time, and a probe is made by chance, so
that the fleet together pays for about one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from sidecar.clock import now as loop_now
from sidecar.core.probing import ProbeWhy
from sidecar.fleet.link import Link
from sidecar.fleet.member import Member
from sidecar.fleet.opinions import Opinions
from sidecar.fleet.settings import DEFAULTS
from sidecar.fleet.sharing import Sharing
from sidecar.metrics import Kind, Observed

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sidecar.core.probing import ProbeNeed
    from sidecar.domain import EndpointId
    from sidecar.engine.engine import Engine
    from sidecar.fleet.names import Names
    from sidecar.fleet.settings import FleetSettings
    from sidecar.fleet.store import Store
    from sidecar.fleet.view import Pooled, View

log = logging.getLogger("sidecar")
LATE_VIEW_S = 5.0
"""An older view says nothing of now."""


class FleetAgent:
    """Runs one pod's part; an observer of events and the engine's ``Fleet``."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        names: Names,
        rng: random.Random,
        settings: FleetSettings = DEFAULTS,
    ) -> None:
        hearsay = engine.join(self)
        self.member = Member(names, hearsay, rng, settings)
        self.link = Link(store, rng, settings)
        self._hearsay = hearsay
        self._sharing = Sharing(hearsay, settings)
        self._opinions = Opinions()
        self._is_listening = False
        self._rng = rng
        self._settings = settings
        self._wake = asyncio.Event()
        self._is_hurried = False
        self._lost_at: float | None = None
        self._is_new = True
        self._was_strange = False

    # --- what the engine sees ------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the others can be heard now."""
        return self.link.is_up

    def on_event(self, event: object) -> None:
        """Count an event; a failure wakes the task."""
        self.member.on_event(event)
        if self.member.tally.is_urgent and not self._is_hurried:
            self._is_hurried = True
            self._wake.set()

    def rate_per_s(self, endpoint: EndpointId) -> float:
        """Return the fleet's outcomes a second."""
        pooled = self._pooled(endpoint)
        return 0.0 if pooled is None else pooled.rate_per_s

    def sampled_at(self, endpoint: EndpointId) -> float | None:
        """Return when anybody was last answered, None if not lately."""
        pooled, at = self._pooled(endpoint), self.member.viewed_at
        if pooled is None or at is None:
            return None
        ages = [age for age, ok, _ in pooled.series if ok > 0.0]
        return at - min(ages) if ages else None

    async def lease(self, subject: str, need: ProbeNeed) -> float | None:
        """Return None if this pod makes the probe, else until when it is left to others."""
        now, settings = loop_now(), self._settings
        short_name = self.member.names.subjects.get(subject)
        if short_name is None:
            return None
        slot, lease_s = self._slot(short_name, need)
        if self._hearsay.is_lost(now):
            return now + lease_s  # what it finds would be its own trouble
        taken_s = await self.link.lease(short_name, slot, self.member.pod, lease_s)
        now = loop_now()
        if taken_s is not None:
            spread_s = self._rng.uniform(0.0, self.member.spread_s())
            return None if taken_s <= 0.0 else now + min(taken_s, lease_s) + spread_s
        is_mine = self._rng.random() < 1.0 / self._pods(now)
        return None if is_mine else now + settings.pause_s * self._rng.uniform(0.75, 1.25)

    def _slot(self, short_name: str, need: ProbeNeed) -> tuple[str, float]:
        """Return what is leased: an outage's trial, or the look of a while."""
        settings = self._settings
        record = self.member.view.records.get(short_name)
        if need.why is ProbeWhy.OPEN:
            is_shared = record is not None and record.is_open
            return (
                (f"o{record.gen}", settings.lease_s)
                if is_shared and record
                else (
                    f"x{self.member.pod}",
                    settings.suspect_lease_s,
                )
            )
        if need.why is ProbeWhy.SUSPECT:
            return "s", settings.suspect_lease_s
        return "i", settings.idle_lease_s

    # --- the task ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Exchange until cancelled."""
        try:
            while True:
                if self.link.is_paused(loop_now()):
                    self.member.tally.drop()
                else:
                    await self.exchange()
                await self._rest()
        finally:
            await self.link.aclose()

    async def exchange(self) -> None:
        """Tell and hear once."""
        now = loop_now()
        names = self.member.names
        push = self.member.push(now)
        push.n = self._is_new
        self._sharing.tell(push, names, now)
        day = self.member.view.day
        if day:
            is_time = self._opinions.tell(push, self._hearsay.book, names, day=day, now=now)
            self._is_listening = self._is_listening or is_time
        view = await self.link.sync(msgspec.json.encode(push))
        now = loop_now()
        if view is None:
            self._lose(now)
            return
        if self._lost_at is not None:
            log.info("fleet store is back pods=%d", view.pods)
            self._lost_at = None
        if self._is_new:
            self._is_new = False
            self._begin(view, now)
        self.member.heard(view, now)
        self._sharing.hear(view, names, push, now)
        if self._is_listening:
            self._is_listening = False
            self._opinions.hear(view, self._hearsay.book, names, now)
        if self.member.is_stranger and not self._was_strange:
            log.warning("fleet: failing where others are answered; this pod's own way is in doubt")
        self._was_strange = self.member.is_stranger

    def adopt(self, names: Names) -> None:
        """Go by another configuration."""
        self.member.names = names

    def status(self) -> dict[str, object]:
        """Return what the admin plane shows."""
        link, member = self.link, self.member
        open_names = [
            name
            for name, subject in member.names.subjects.items()
            if (record := member.view.records.get(subject)) is not None and record.is_open
        ]
        return {
            "up": link.is_up,
            "pods": member.view.pods,
            "syncs": link.syncs_count,
            "errors": link.errors_count,
            "last_error": link.last_error or None,
            "store_full": member.view.is_full,
            "own_way_in_doubt": member.is_stranger,
            "outages": sorted(open_names),
        }

    def observed(self) -> tuple[Observed, ...]:
        """Return the exchange as metrics."""
        link, member = self.link, self.member
        rows: tuple[tuple[str, Kind, str, str, Callable[[], float]], ...] = (
            ("up", Kind.GAUGE, "1", "Whether the store was heard last.", lambda: link.is_up),
            ("pods", Kind.GAUGE, "{pod}", "Pods heard of.", lambda: member.view.pods),
            ("syncs", Kind.COUNTER, "{sync}", "Exchanges begun.", lambda: link.syncs_count),
            (
                "errors",
                Kind.COUNTER,
                "{error}",
                "Questions that failed.",
                lambda: link.errors_count,
            ),
        )
        return tuple(_observed(*row) for row in rows)

    async def _rest(self) -> None:
        """Wait for the next exchange; a failure to tell brings it forward."""
        settings = self._settings
        now = loop_now()
        jitter = self._rng.uniform(1.0 - settings.jitter, 1.0 + settings.jitter)
        until, hurried_at = now + settings.sync_s * jitter, now + settings.hurry_s
        self._wake.clear()
        self._is_hurried = self.member.tally.is_urgent
        while True:
            if self._is_hurried:
                until = min(until, hurried_at)
            now = loop_now()
            self.member.tick(now)
            if now >= until:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(until, self.member.returns_at() or until)):
                    await self._wake.wait()
            self._wake.clear()

    def _begin(self, view: View, now: float) -> None:
        """Let a new pod start from what the others know."""
        names = self.member.names
        for endpoint_id in names.endpoints:
            known = view.warm.get(names.subjects[endpoint_id])
            if known is not None and known[0] > 0.0:
                self._hearsay.waited(endpoint_id, max(1, round(known[1])), known[0], now)
            pooled = view.pooled.get(names.subjects[endpoint_id])
            if pooled is not None and (total := sum(ok + f for _, ok, f in pooled.series)) > 0.0:
                weight = min(1.0, WARM_WEIGHT_MAX / total)
                self._hearsay.saw(
                    endpoint_id,
                    ok=weight * sum(ok for _, ok, _ in pooled.series),
                    fail=weight * sum(f for _, _, f in pooled.series),
                    now=now,
                )

    def _lose(self, now: float) -> None:
        """Note that the store is away; once, divide what is left."""
        self._sharing.missed()
        if self._lost_at is None:
            self._lost_at = now
            log.warning("fleet store is away: %s", self.link.last_error)
            self._sharing.alone(self._pods(now), now)

    def _pods(self, now: float) -> int:
        """Return how many pods there are, as far as is known still."""
        at = self.member.viewed_at
        is_known = at is not None and now - at < self._settings.forget_s
        return self.member.view.pods if is_known else 1

    def _pooled(self, endpoint: EndpointId) -> Pooled | None:
        at = self.member.viewed_at
        subject = self.member.names.subjects.get(endpoint)
        if at is None or subject is None or loop_now() - at > LATE_VIEW_S:
            return None
        return self.member.view.pooled.get(subject)


def _observed(
    name: str, kind: Kind, unit: str, meaning: str, read: Callable[[], float]
) -> Observed:
    return Observed(
        name=f"sidecar.fleet.{name}",
        kind=kind,
        unit=unit,
        meaning=meaning,
        labels=(),
        read=lambda: [((), float(read()))],
    )


WARM_WEIGHT_MAX = 5.0
"""As much as the prior of a reliability weighs."""
