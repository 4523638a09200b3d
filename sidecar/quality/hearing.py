"""Hears what is said of answers, and counts each answer once.

Events come from the ledger, off the path of calls; scores from callers and graders. The last
feedback of a call counts, whatever was said before; a grade counts where nobody gave feedback. Who
knows replaces what was guessed: a score takes back the fault that was seen on the same answer.

Beside what all calls showed, what those calls showed that a model got by chance (explored or
shadowed) is kept apart: only there nothing else than the model differs.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.core.quality import Ages, Evidence, QualityBook
from sidecar.domain import CallId, EndpointId, RouteName
from sidecar.events import AttemptFinished, CallFinished, ShadowFinished
from sidecar.ledger.records import FEEDBACK, GRADE, EvidenceRow, ScoreGiven
from sidecar.quality.signals import ANSWERED, FAULTS, REPEATED_FAULT, Signals
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.ledger.records import CallHead, Kept, Remembered
    from sidecar.quality.signals import Sign

WEIGHTS = {FEEDBACK: 1.0, GRADE: 0.5}
"""A grader is a model too, and errs in the same direction every time."""
GIVEN_MAX = 20_000
BLAMED_MAX = 4096
ALL, CHANCE = "all", "chance"
CHANCE_KINDS = frozenset({"explored", "explore", "shadow", "canary"})
"""Kinds of attempts whose model was drawn and not chosen."""


@value
class Heard:
    """What became of a score: whether it counts for a model, and whether one was replaced."""

    route: str
    endpoint: str | None
    is_counted: bool
    is_replacing: bool


class Hearing:
    """Owns who was scored how. ``book`` is that of the engine, ``chance`` that of drawn calls.

    ``faults`` counts signs by route, endpoint and kind, ``heard`` scores by what became of them.
    """

    def __init__(self, book: QualityBook) -> None:
        self.book = book
        self.chance = QualityBook(self._prior)
        self.faults: Counter[tuple[str, str, str]] = Counter()
        self.heard: Counter[str] = Counter()
        self._signals = Signals()
        self._blamed: dict[str, None] = {}
        self._clean: dict[tuple[RouteName, EndpointId], int] = {}
        self._given: OrderedDict[str, ScoreGiven] = OrderedDict()
        self._dirty: dict[tuple[str, str, str], None] = {}

    def _prior(self, route: RouteName, model: EndpointId) -> float:
        return self.book.prior_of(route, model)  # another one after a reload

    # --- what calls show -----------------------------------------------------------------------

    def hear(self, event: Kept) -> None:
        """Take note of what the end of a call or an attempt shows; 1 us where nothing is wrong."""
        if event.__class__ is CallFinished:
            assert isinstance(event, CallFinished), "the same, for the type checker"
            if event.endpoint is not None and event.result in ANSWERED:
                self._hear_answer(event, event.endpoint)
        elif isinstance(event, AttemptFinished):
            unusable = self._signals.of_attempt(event)
            if unusable is not None:
                self._judge(unusable, event.at)
        elif isinstance(event, ShadowFinished):
            self._note_shadow(event)

    def _note_shadow(self, event: ShadowFinished) -> None:
        """Keep what the engine saw of a copy's answer; it was judged there."""
        route, endpoint = event.route, event.outcome.endpoint
        if event.flaw is not None:
            self.faults[route, endpoint, event.flaw] += 1
        self._dirty[route, endpoint, ALL] = None

    def _hear_answer(self, event: CallFinished, endpoint: EndpointId) -> None:
        own, again = self._signals.of_call(event), self._signals.again(event)
        if own is None:
            pair = (event.route, endpoint)
            self._clean[pair] = self._clean.get(pair, 0) + 1
        if own is not None:
            self._judge(own, event.at)
        if again is not None and again.call_id not in self._given:
            self._blame(again.call_id)
            self._judge(again, event.at)

    def _blame(self, call_id: str) -> None:
        """Remember whose question was asked again, should its score come later."""
        self._blamed[call_id] = None
        if len(self._blamed) > BLAMED_MAX:
            del self._blamed[next(iter(self._blamed))]

    def settle(self, now: float) -> None:
        """Count the answers without fault that came since the last time, all at once."""
        clean, self._clean = self._clean, {}
        for (route, endpoint), count in clean.items():
            if _is_named(route):
                self.book.judge(route, endpoint, 0.0, now, count=count)
                self._dirty[route, endpoint, ALL] = None

    def _judge(self, sign: Sign, now: float) -> None:
        if not _is_named(sign.route):
            return
        self.faults[sign.route, sign.endpoint, sign.kind] += 1
        self.book.judge(sign.route, sign.endpoint, sign.fault, now, count=sign.count)
        self._dirty[sign.route, sign.endpoint, ALL] = None

    # --- what is said --------------------------------------------------------------------------

    def score(self, given: ScoreGiven, call: Remembered) -> Heard:
        """Count a score of a call that is known; ``given.at`` is on the loop's clock."""
        head = call.head
        before = self._given.get(head.call_id)
        if before is None and call.given is not None:
            before = _on_this_clock(call.given)
        is_scored = head.endpoint is not None and _is_named(head.route)
        is_late = before is not None and (before.source, given.source) == (FEEDBACK, GRADE)
        if not is_scored or is_late:
            self.heard["uncounted"] += 1
            return _heard(head, is_counted=False, is_replacing=False)
        arms = (ALL, CHANCE) if call.kinds & CHANCE_KINDS else (ALL,)
        if before is not None:
            self._retract(before, arms, given.at)
        elif call.flaw in FAULTS or head.call_id in self._blamed:
            self._absolve(given, FAULTS.get(call.flaw or "", 0.0))
        self._observe(given, arms)
        self._remember(given)
        self.heard[given.source if before is None else "replaced"] += 1
        return _heard(head, is_counted=True, is_replacing=before is not None)

    def graded(self, route: RouteName, endpoint: EndpointId, grade: float) -> None:
        """Count the grade (0..1) of an answer to a copy of a call, which was drawn by lot."""
        now = clock.now()
        for arm in (ALL, CHANCE):
            self._of(arm).observe(route, endpoint, grade, WEIGHTS[GRADE], now)
            self._dirty[route, endpoint, arm] = None
        self.heard[GRADE] += 1

    def _observe(self, given: ScoreGiven, arms: tuple[str, ...]) -> None:
        route, endpoint = RouteName(given.route), EndpointId(given.endpoint)
        for arm in arms:
            book = self._of(arm)
            book.observe(route, endpoint, given.score, WEIGHTS[given.source], given.at)
            self._dirty[given.route, given.endpoint, arm] = None

    def _retract(self, before: ScoreGiven, arms: tuple[str, ...], now: float) -> None:
        route, endpoint = RouteName(before.route), EndpointId(before.endpoint)
        ages = Ages(at=before.at, now=now)
        for arm in arms:
            book = self._of(arm)
            book.retract(route, endpoint, before.score, WEIGHTS[before.source], ages)

    def _absolve(self, given: ScoreGiven, fault: float) -> None:
        if given.call_id in self._blamed:
            del self._blamed[given.call_id]
            fault += REPEATED_FAULT
        ages = Ages(at=given.at, now=given.at)
        self.book.absolve(RouteName(given.route), EndpointId(given.endpoint), fault, ages)

    def _remember(self, given: ScoreGiven) -> None:
        self._given.pop(given.call_id, None)
        self._given[given.call_id] = given
        if len(self._given) > GIVEN_MAX:
            self._given.popitem(last=False)

    def _of(self, arm: str) -> QualityBook:
        return self.book if arm == ALL else self.chance

    # --- what is kept --------------------------------------------------------------------------

    def changed(self, wall: float) -> Iterable[EvidenceRow]:
        """Return the evidence that changed since the last time."""
        offset_s = wall - clock.now()
        dirty, self._dirty = self._dirty, {}
        rows = []
        for route, endpoint, arm in dirty:
            found = self._of(arm).evidence(RouteName(route), EndpointId(endpoint))
            if found is not None:
                rows.append(_row(route, endpoint, arm, found, offset_s))
        return rows

    def restore(self, rows: Iterable[EvidenceRow], wall: float) -> None:
        """Add what earlier processes learned, the oldest first."""
        now = clock.now()
        for row in rows:
            # A clock that was set back must not make evidence of the future.
            at = min(now, row.at - (wall - now))
            evidence = Evidence(
                scored=row.scored, weight=row.weight, faulty=row.faulty, judged=row.judged, at=at
            )
            book = self._of(row.arm)
            book.restore(RouteName(row.route), EndpointId(row.endpoint), evidence, now)


def given_now(call: Remembered, score: float, source: str, comment: str | None) -> ScoreGiven:
    """Return a score of ``call`` as it is given now."""
    head = call.head
    return ScoreGiven(
        at=clock.now(),
        call_id=CallId(head.call_id),
        route=head.route,
        endpoint=head.endpoint or "",
        score=score,
        source=source,
        comment=comment,
    )


def _on_this_clock(given: ScoreGiven) -> ScoreGiven:
    """Return a score from the file with its instant on the loop's clock."""
    return replace(given, at=given.at - (clock.wall() - clock.now()))


def _row(route: str, endpoint: str, arm: str, found: Evidence, offset_s: float) -> EvidenceRow:
    return EvidenceRow(
        route=route,
        endpoint=endpoint,
        arm=arm,
        scored=found.scored,
        weight=found.weight,
        faulty=found.faulty,
        judged=found.judged,
        at=found.at + offset_s,
    )


def _is_named(route: str) -> bool:
    """Return whether callers name the route; what stands in brackets is our own."""
    return not route.startswith("(")


def _heard(head: CallHead, *, is_counted: bool, is_replacing: bool) -> Heard:
    return Heard(
        route=head.route,
        endpoint=head.endpoint,
        is_counted=is_counted,
        is_replacing=is_replacing,
    )
