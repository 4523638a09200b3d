"""One pod's part in the fleet: what to say, and what to believe of what the others say.

All decisions are here, synchronous and on the caller's clock; ``agent.py`` carries them over the
wire and ``simulate/`` over a simulated one. Evidence is shared, not verdicts: a pod opens its
breaker when it finds a quorum in the pooled outcomes itself, and writes a *record* only so that all
agree on when the trial is due and who makes it. Of a record alone a pod believes little: not
against three successes of its own, not while others are answered, and never for long.

A pod whose own way out is gone, or which fails where all others are answered, says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sidecar.core.breaker import BreakerState
from sidecar.events import BreakerChanged
from sidecar.fleet.push import Tally, Wish
from sidecar.fleet.settings import DEFAULTS
from sidecar.fleet.verdict import is_outage, is_well
from sidecar.fleet.view import Pooled, View

if TYPE_CHECKING:
    import random

    from sidecar.domain import EndpointId
    from sidecar.fleet.names import Names
    from sidecar.fleet.push import Push
    from sidecar.fleet.settings import FleetSettings
    from sidecar.fleet.view import Record

NOTHING = Pooled()
STRANGE_HOSTS_MIN = 2
JITTER = 0.25
HURRIED_PODS = 50
"""So many of all that see an outage at once hurry to say so: one is enough, all are a herd."""
MISSED_S = 60.0
"""A trial so long overdue has nobody who makes it: each pod is on its own."""


class Beliefs(Protocol):
    """Where a pod's breakers are: ``engine/hearsay.py``, or a coarse pod of the simulation."""

    def state_of(self, name: str, now: float) -> BreakerState | None:
        """Return the state of a breaker."""

    def is_lost(self, now: float) -> bool:
        """Return whether the pod's own way out is in doubt."""

    def opens(self, name: str, until: float, now: float) -> None:
        """Open a breaker, or let an open one's trial be due at ``until``."""

    def recovers(self, name: str, now: float) -> None:
        """Close a breaker."""

    def saw(self, endpoint: EndpointId, *, ok: float, fail: float, now: float) -> None:
        """Count others' outcomes."""


@dataclass(slots=True)
class _Known:
    """What this pod made of the record of one subject. ``returns_at``: when it follows others."""

    gen: int = 0
    followed_gen: int | None = None
    tried_gen: int | None = None
    until: float | None = None
    returns_at: float | None = None


class Member:
    """Owns what a pod says and believes. ``pod`` is its id, drawn anew at each start."""

    def __init__(
        self,
        names: Names,
        beliefs: Beliefs,
        rng: random.Random,
        settings: FleetSettings = DEFAULTS,
    ) -> None:
        self.pod = f"{rng.getrandbits(48):012x}"
        self.tally = Tally(names)
        self.view = View()
        self.viewed_at: float | None = None
        self.is_stranger = False
        self._beliefs = beliefs
        self._rng = rng
        self._settings = settings
        self._known: dict[str, _Known] = {}
        self._wishes: dict[str, Wish] = {}
        self._is_telling = False

    @property
    def names(self) -> Names:
        """Who is who now."""
        return self.tally.names

    @names.setter
    def names(self, names: Names) -> None:
        self.tally.names = names
        self._known = {name: one for name, one in self._known.items() if name in names.subjects}

    # --- saying --------------------------------------------------------------------------------

    def on_event(self, event: object) -> None:
        """Hear of what happened here; what this class itself brought about is not news."""
        if self._is_telling:
            return
        if isinstance(event, BreakerChanged):
            self._heard_own(event)
        else:
            self.tally.on_event(event)

    def push(self, now: float) -> Push:
        """Return what to tell; who is lost or a stranger only tells that it is there."""
        push = self.tally.take(self.pod, now)
        wishes, self._wishes = self._wishes, {}
        if self._beliefs.is_lost(now) or self.is_stranger:
            push.e, push.t, push.r = {}, {}, {}
            return push
        push.o = {self.names.subjects[n]: w for n, w in wishes.items() if n in self.names.subjects}
        return push

    def _heard_own(self, event: BreakerChanged) -> None:
        """A trial made here decides for all: it failed, or the outage is over."""
        known = self._known.get(event.name)
        if known is None or known.followed_gen is None:
            return
        if event.new == BreakerState.CLOSED.value:
            self._wish(event.name, "closed", 0.0)
        elif event.new == BreakerState.OPEN.value and event.old == BreakerState.HALF_OPEN.value:
            known.tried_gen = known.followed_gen
            rest_s = 0.0 if event.reopens_at is None else event.reopens_at - event.at
            self._wish(event.name, "open", rest_s)
        self.tally.is_urgent = True

    def _wish(self, name: str, state: str, rest_s: float) -> None:
        gen = self._known[name].gen
        jitter = self._rng.uniform(1.0 - JITTER, 1.0 + JITTER)
        self._wishes[name] = Wish(gen, state, jitter, rest_s * 1000.0)

    # --- believing -----------------------------------------------------------------------------

    def heard(self, view: View, now: float) -> None:
        """Take in how the fleet stands."""
        gone_s = 0.0 if self.viewed_at is None else now - self.viewed_at
        self.view, self.viewed_at = view, now
        self._is_telling = True
        try:
            self.is_stranger = self._is_strange(now)
            for name, subject in self.names.subjects.items():
                known = self._known.setdefault(name, _Known())
                pooled = view.pooled.get(subject, NOTHING)
                self._follow(name, known, pooled, view.records.get(subject), now)
                self._learn(name, pooled, gone_s, now)
            self.tick(now)
        finally:
            self._is_telling = False

    def tick(self, now: float) -> None:
        """Return to what recovered, each pod at its time."""
        was_telling, self._is_telling = self._is_telling, True
        for name, known in self._known.items():
            if known.returns_at is not None and now >= known.returns_at:
                known.returns_at = None
                self._beliefs.recovers(name, now)
        self._is_telling = was_telling

    def returns_at(self) -> float | None:
        """Return when ``tick`` is due next, None if it is not."""
        return min((k.returns_at for k in self._known.values() if k.returns_at), default=None)

    def spread_s(self) -> float:
        """Return over how long pods spread what all of them could do at once."""
        return min(self._settings.spread_s_max, self.view.pods / self._settings.spread_pods_per_s)

    def _follow(
        self, name: str, known: _Known, pooled: Pooled, record: Record | None, now: float
    ) -> None:
        is_open = record is not None and self._is_in_force(record)
        if record is not None:
            known.gen = record.gen
        elif known.gen:
            known.gen, known.followed_gen, known.until = 0, None, None  # flushed
        if not is_open and record is not None and known.followed_gen is not None:
            known.followed_gen, known.until = None, None
            if not record.is_open:
                known.returns_at = now + self._rng.uniform(0.0, self.spread_s())
        if is_open and record is not None:
            self._believe(name, known, pooled, record, now)
        elif known.returns_at is None and self._sees_outage(name, pooled, now):
            self._wish(name, "open", 0.0)
            if self._rng.random() < HURRIED_PODS / self.view.pods:
                self.tally.is_urgent = True

    def _sees_outage(self, name: str, pooled: Pooled, now: float) -> bool:
        if self._beliefs.is_lost(now) or self.is_stranger:
            return False
        span_s = self._settings.span_s
        is_mine = self._own_oks(name, now - span_s) >= self._settings.own_ok_min
        return not is_mine and is_outage(pooled, self.view.pods, self._settings)

    def _is_in_force(self, record: Record) -> bool:
        is_long_ago = record.until_s < -MISSED_S and record.lease_s < 0.0
        is_believable = record.until_s <= self._settings.trust_s_max and record.since_s <= 0.0
        return record.is_open and is_believable and not is_long_ago

    def _believe(
        self, name: str, known: _Known, pooled: Pooled, record: Record, now: float
    ) -> None:
        """Enter an outage that others agreed on, unless one's own experience says otherwise."""
        state = self._beliefs.state_of(name, now)
        if state is BreakerState.HALF_OPEN or known.followed_gen == record.gen:
            self._wait_for_lease(name, known, record, state, now)
            return
        is_mine = self._own_oks(name, now + record.since_s) >= self._settings.own_ok_min
        if is_mine or is_well(pooled, self._settings):
            return
        known.returns_at = None
        known.followed_gen = record.gen
        rest_s = max(record.until_s, record.lease_s, 0.0)
        if known.tried_gen is not None and record.gen == known.tried_gen + 1:
            rest_s += self._settings.lease_s  # its own trial failed: the next is somebody else's
        known.until = now + rest_s + self._rng.uniform(0.0, self.spread_s())
        self._beliefs.opens(name, known.until, now)

    def _wait_for_lease(
        self,
        name: str,
        known: _Known,
        record: Record,
        state: BreakerState | None,
        now: float,
    ) -> None:
        """Somebody makes the trial: ask again only when its lease is over."""
        until = now + record.lease_s
        if state is BreakerState.OPEN and record.lease_s > 0.0 and (known.until or 0.0) < until:
            known.until = until + self._rng.uniform(0.0, self.spread_s())
            self._beliefs.opens(name, known.until, now)

    def _own_oks(self, name: str, since: float) -> int:
        return sum(at > since for at in self.tally.oks.get(name, ()))  # type: ignore[call-overload]  # hosts have none

    def _learn(self, name: str, pooled: Pooled, gone_s: float, now: float) -> None:
        """Let the fleet's newest outcomes count a little in one's own reliability."""
        endpoint = self.names.endpoints.get(name)  # type: ignore[call-overload]  # hosts are none
        fresh = [(ok, fail) for age, ok, fail in pooled.series if 1.0 <= age < 2.0]  # noqa: PLR2004
        if endpoint is None or not fresh or gone_s <= 0.0:
            return
        ok, fail = fresh[0]
        weight = self._settings.reliance * min(2.0, gone_s) * min(1.0, ok + fail) / (ok + fail)
        self._beliefs.saw(endpoint.id, ok=ok * weight, fail=fail * weight, now=now)

    def _is_strange(self, now: float) -> bool:
        """Return whether this pod fails at several hosts that are well for everybody else."""
        names, strange = self.names, set()
        for endpoint_id, host in names.hosts.items():
            is_shut = any(
                self._beliefs.state_of(name, now) in (BreakerState.OPEN, BreakerState.HALF_OPEN)
                for name in (endpoint_id, host)
            )
            pooled = self.view.pooled.get(names.subjects[endpoint_id], NOTHING)
            if is_shut and is_well(pooled, self._settings):
                strange.add(host)
        return len(strange) >= STRANGE_HOSTS_MIN
