"""An outage in fleets of 10 to 10,000 pods: ``python -m sidecar.simulate.fleet_scale``.

Ten thousand engines do not fit into one process, so pods are coarse here: each has the production
breaker (``core/breaker.py``) and the production part in the fleet (``fleet/member.py``, which holds
all decisions), but its callers are a Poisson process, its answers take a fixed time, other
endpoints take what this one does not get, suspicion probes are left out, and a pod that just
failed waits for its next exchange instead of hurrying. The store keeps the
rules of ``fleet/sync.lua``; a question takes 1 ms there and 1 ms back. Fleets of twenty whole
engines, whose figures must agree, are in the tests.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

from sidecar.catalogue import Catalogue
from sidecar.core.breaker import Breaker, BreakerSettings, BreakerState
from sidecar.domain import CallId, Outcome, OutcomeClass, RouteName
from sidecar.events import AttemptFinished
from sidecar.fleet.member import Member
from sidecar.fleet.names import Names
from sidecar.fleet.settings import DEFAULTS
from sidecar.simulate.fleet_store import SimulatedStore
from sidecar.simulate.world import ALPHA, default_endpoints
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.domain import EndpointId
    from sidecar.events import BreakerChanged

SIZES = (10, 100, 1_000, 10_000)
RATE_PER_S = 0.1
OUTAGE_S = (30.0, 90.0)
END_S = 150.0
ANSWER_S, ERROR_S, TRIP_S = 1.0, 0.1, 0.001
LOOK_S = 0.25
ROUTE = RouteName("fleet")


@value
class Scale:
    """What one outage came to. Times in seconds; ``alone_s``: the median pod without a store.

    ``detect_s``: until a quorum was found and written down; ``spread_s``: from then until the last
    pod knew.
    ``herd_rate``: the busiest second after the end, as a multiple of the usual load.
    """

    pods: int
    alone_s: float
    detect_s: float
    spread_s: float
    probes: int
    notice_s: float
    return_s: float
    herd_rate: float
    ops_per_s: float
    ops_per_s_max: int


class _Pod:
    """Breaker, callers and prober of one pod; ``Beliefs`` for its ``Member``."""

    def __init__(self, world: _World, number: int) -> None:
        self.world = world
        self.rng = random.Random(number)
        self.opened_at: float | None = None
        self.closed_at: float | None = None
        self.not_before = 0.0
        self.is_probing = False
        self.breaker = Breaker(ALPHA, BreakerSettings(), self.rng, self._changed)
        self.member = Member(world.names, self, self.rng)

    # --- Beliefs -------------------------------------------------------------------------------

    def state_of(self, name: str, now: float) -> BreakerState | None:
        """Return the state of the one breaker."""
        return self.breaker.state(now) if name == ALPHA else None

    def is_lost(self, now: float) -> bool:  # noqa: ARG002 - every way is well here
        """Return that its way out is fine."""
        return False

    def opens(self, name: str, until: float, now: float) -> None:
        """Open, or wait until then."""
        if name == ALPHA:
            self.breaker.trip(now)
            self.breaker.follow(until, now)

    def recovers(self, name: str, now: float) -> None:
        """Close."""
        if name == ALPHA:
            self.breaker.trust(now)

    def saw(self, endpoint: EndpointId, *, ok: float, fail: float, now: float) -> None:
        """Have no reliability."""

    # --- what happens --------------------------------------------------------------------------

    def sync(self, now: float) -> None:
        """Exchange, and come again."""
        world = self.world
        push = self.member.push(now)
        world.op(now)
        view = world.store.exchange(push, now + TRIP_S)

        def heard(then: float) -> None:
            self.member.heard(view, then)
            is_hurried = self.member.tally.is_urgent
            jitter = self.rng.uniform(1.0 - DEFAULTS.jitter, 1.0 + DEFAULTS.jitter)
            gap_s = DEFAULTS.hurry_s if is_hurried else DEFAULTS.sync_s * jitter
            world.at(then + gap_s, self.sync)

        world.at(now + 2 * TRIP_S, heard)

    def call(self, now: float) -> None:
        """Make one call if the endpoint gets it, and come again."""
        world = self.world
        world.at(now + self.rng.expovariate(RATE_PER_S), self.call)
        self.member.tick(now)
        is_taken = self.breaker.state(now) is BreakerState.CLOSED
        if not is_taken or self.rng.random() > self.breaker.slow_start(now):
            return
        world.load[int(now)] += 1
        self.ask(now, lambda _: None)

    def ask(self, now: float, then: Callable[[bool], None], weight: float = 1.0) -> None:
        """Send a request; its outcome moves the breaker and is told."""
        permit = self.breaker.admit(now, lease_s=DEFAULTS.lease_s)
        if permit is None:
            return
        is_ok = not OUTAGE_S[0] <= now < OUTAGE_S[1]
        ended = now + (ANSWER_S if is_ok else ERROR_S)

        def settle(at: float) -> None:
            self.breaker.settle(permit, fail=0.0 if is_ok else weight, now=at)
            self.member.on_event(_attempt(now, at, is_ok=is_ok))
            then(is_ok)

        self.world.at(ended, settle)

    def look(self, now: float) -> None:
        """Make the trial when it is due and nobody else's, and come again."""
        self.world.at(now + LOOK_S, self.look)
        self.member.tick(now)
        due_at = self.breaker.reopens_at(now)
        is_half = self.breaker.state(now) is BreakerState.HALF_OPEN
        is_due = is_half or (due_at is not None and now >= due_at)
        if not is_due or self.is_probing or now < self.not_before:
            return
        world = self.world
        if world.is_shared and not self._is_mine(now):
            return
        self.is_probing = True
        world.probes += 1

        def over(_: bool) -> None:
            self.is_probing = False

        self.ask(now, over)

    def _is_mine(self, now: float) -> bool:
        subject = self.world.names.subjects[ALPHA]
        record = self.member.view.records.get(subject)
        gen = record.gen if record is not None and record.is_open else None
        slot = f"x{self.member.pod}" if gen is None else f"o{gen}"
        self.world.op(now)
        taken_s = self.world.store.take(subject, slot, self.member.pod, DEFAULTS.lease_s, now)
        self.not_before = now + taken_s + self.rng.uniform(0.0, self.member.spread_s())
        return taken_s <= 0.0

    def _changed(self, event: BreakerChanged) -> None:
        if event.new == "open" and self.opened_at is None:
            self.opened_at = event.at
        if event.new == "closed":
            self.closed_at = event.at
        self.member.on_event(event)


class _World:
    """The clock, the store and what is counted."""

    def __init__(self, count: int, *, is_shared: bool) -> None:
        endpoint = next(one for one in default_endpoints() if one.id == ALPHA)
        self.names = Names(Catalogue(endpoints={ALPHA: endpoint}, routes={}), lambda _: "")
        self.store = SimulatedStore(random.Random(1))
        self.is_shared = is_shared
        self.load: Counter[int] = Counter()
        self.ops: Counter[int] = Counter()
        self.probes = 0
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._serial = 0
        self.pods = [_Pod(self, number) for number in range(count)]

    def op(self, now: float) -> None:
        """Count one question to the store."""
        self.ops[int(now)] += 1

    def at(self, when: float, act: Callable[[float], None]) -> None:
        """Let ``act`` happen."""
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, act))

    def run(self) -> None:
        """Live until the end."""
        for pod in self.pods:
            self.at(pod.rng.expovariate(RATE_PER_S), pod.call)
            self.at(pod.rng.uniform(0.0, LOOK_S), pod.look)
            if self.is_shared:
                self.at(pod.rng.uniform(0.0, 1.0), pod.sync)
        while self._heap and self._heap[0][0] < END_S:
            when, _, act = heapq.heappop(self._heap)
            act(when)


def _attempt(started: float, ended: float, *, is_ok: bool) -> AttemptFinished:
    outcome = Outcome(
        cls=OutcomeClass.OK if is_ok else OutcomeClass.S5,
        endpoint=ALPHA,
        message="",
        started_at=started,
        ended_at=ended,
        status=200 if is_ok else 500,
    )
    return AttemptFinished(at=ended, call_id=CallId(""), route=ROUTE, kind="first", outcome=outcome)


def measure(count: int) -> Scale:
    """Play one outage with ``count`` pods."""
    alone = _World(min(count, 100), is_shared=False)
    alone.run()
    world = _World(count, is_shared=True)
    world.run()
    start, end = OUTAGE_S
    opened = sorted(pod.opened_at for pod in world.pods if pod.opened_at is not None)
    closed = sorted(pod.closed_at for pod in world.pods if pod.closed_at is not None)
    assert len(opened) == len(closed) == count, "a pod never knew of the outage, or of its end"
    agreed_at = world.store.agreed_at(world.names.subjects[ALPHA])
    usual = count * RATE_PER_S
    busiest = max(world.load[second] for second in range(int(end), int(END_S) - 1))
    settled = [world.ops[second] for second in range(2, int(END_S) - 1)]
    by_itself = [(pod.opened_at or END_S) - start for pod in alone.pods]
    return Scale(
        pods=count,
        alone_s=median(by_itself),
        detect_s=agreed_at - start,
        spread_s=opened[-1] - agreed_at,
        probes=world.probes,
        notice_s=closed[0] - end,
        return_s=closed[-1] - closed[0],
        herd_rate=busiest / usual,
        ops_per_s=sum(settled) / len(settled),
        ops_per_s_max=max(settled),
    )


HEAD = (
    "| pods | one alone knows | fleet knows | all know | probes | end noticed | all are back"
    " | busiest second after | store ops/s | at most |"
)


def row(one: Scale) -> str:
    """Return a row of the table in ``docs/fleet.md``."""
    return (
        f"| {one.pods:,} | {one.alone_s:.0f} s | {one.detect_s:.1f} s | +{one.spread_s:.1f} s"
        f" | {one.probes} | +{one.notice_s:.0f} s | +{one.return_s:.1f} s"
        f" | {one.herd_rate:.1f} x | {one.ops_per_s:,.0f} | {one.ops_per_s_max:,} |"
    )


def main() -> None:
    """Print the table, for the sizes given or for all."""
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    lines = [HEAD, "|" + "---|" * 10, *(row(measure(size)) for size in sizes)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
