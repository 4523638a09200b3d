"""Graders: a cheap model reads a share of a route's answers and grades them by a rubric.

Off unless a route has a ``grader``. A sampled answer and its request wait in memory, bounded in
number and bytes, and are gone when they are graded; nothing of them is written anywhere. Grading
happens after the answer, beside the calls: two at a time and two a second at most, so that a busy
sidecar grades fewer answers and serves callers as fast as ever. A grade is a batch call on a route
of its own, ``(grader ROUTE)``: it is shed first, and stands in the ledger as what it is, where the
day's spend is looked up, also that of processes before.

Every sample ends as one of: graded, unread (no text, or too long), full, budget, failed (no answer
from the grader), bad (an answer that is no grade), unknown (the call is forgotten).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter, deque
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.core.cost import predicted_cost_usd
from sidecar.domain import Call, CallId, Constraints, Priority, Route, RouteName, WireFormat
from sidecar.engine.answer import PlainAnswer
from sidecar.errors import CallError, WireError
from sidecar.ledger.records import GRADE
from sidecar.ledger.sums import DAY_S
from sidecar.quality.grade_words import (
    GRADE_TOKENS,
    GRADE_TOKENS_REASONING,
    grade_in,
    prompt_text,
    question,
)
from sidecar.value import value
from sidecar.wire.formats import codec
from sidecar.wire.neutral import TextPart

if TYPE_CHECKING:
    from sidecar.domain import Endpoint, EndpointId, Grader
    from sidecar.engine.engine import Engine
    from sidecar.ledger.ledger import Ledger
    from sidecar.quality.desk import Desk

log = logging.getLogger("sidecar")

WAITING_MAX = 32
REQUEST_BYTES_MAX = 128 * 1024
ANSWER_CHARS_MAX = 32 * 1024
AT_ONCE_MAX = 2
STARTS_PER_S_MAX = 2.0
WITHIN_S = 60.0
NONCE_BITS = 64


@value
class Sample:
    """An answer to be graded, and what it answers; ``shadow``: who gave it to a copy of a call."""

    call: Call
    grader: Grader
    text: str
    shadow: EndpointId | None = None


class Graders:
    """Owns the samples that wait, what became of the others, and the tasks that grade."""

    def __init__(self, engine: Engine, ledger: Ledger, desk: Desk) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()
        self._engine = engine
        self._ledger = ledger
        self._desk = desk
        # Chance of its own: sampling must not shift what a seed makes of everything else.
        self._rng = random.SystemRandom()
        self._waiting: deque[Sample] = deque()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._work = asyncio.Semaphore(0)
        self._next_at = 0.0
        self._reserved_usd: Counter[RouteName] = Counter()

    # --- beside a call -------------------------------------------------------------------------

    def wants(self, call: Call) -> bool:
        """Draw whether the answer to a call of a route with a grader will be graded."""
        grader = call.route.grader
        is_drawn = grader is not None and self._rng.random() < grader.share
        return is_drawn and not call.facts.inputs_count

    def take(self, call: Call, text: str | None, shadow: EndpointId | None = None) -> None:
        """Keep an answer; None: it has no text. ``shadow``: who gave it to nobody."""
        grader = call.route.grader
        assert grader is not None, "only answers of such routes are drawn"
        is_long = len(call.body) > REQUEST_BYTES_MAX or len(text or "") > ANSWER_CHARS_MAX
        if not text or is_long:
            self._end(call.route.name, "unread")
        elif len(self._waiting) >= WAITING_MAX:
            self._end(call.route.name, "full")
        else:
            self._waiting.append(Sample(call=call, grader=grader, text=text, shadow=shadow))
            self._work.release()
            self._start()

    # --- grading -------------------------------------------------------------------------------

    def _start(self) -> None:
        """Begin to grade with the first sample."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            # Owned here and ended in `aclose`.
            self._tasks = tuple([loop.create_task(self._serve()) for _ in range(AT_ONCE_MAX)])

    async def aclose(self) -> None:
        """Let go of what waits and of what is being graded; may repeat."""
        tasks, self._tasks = self._tasks, ()
        self._waiting.clear()
        self._work = asyncio.Semaphore(0)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self) -> None:
        while True:
            await self._work.acquire()
            sample = self._waiting.popleft()
            await self._pace()
            try:
                result = await self._grade(sample)
            except Exception:
                # Whatever it is, it must not end the loops that calls depend on.
                log.exception("a grade failed route=%s", sample.call.route.name)
                result = "failed"
            self._end(sample.call.route.name, result)

    async def _pace(self) -> None:
        now = clock.now()
        at = max(now, self._next_at)
        self._next_at = at + 1.0 / STARTS_PER_S_MAX
        if at > now:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await asyncio.get_running_loop().create_future()

    async def _grade(self, sample: Sample) -> str:
        """Grade one answer; return what became of it."""
        endpoint = self._engine.catalogue.endpoints.get(sample.grader.model)
        if endpoint is None:
            return "failed"
        call = self._question(sample, endpoint)
        if call is None:
            return "unread"
        price_usd = predicted_cost_usd(endpoint.price, call.facts.prompt_tokens, GRADE_TOKENS)
        if not self._may_spend(sample, price_usd or 0.0):
            return "budget"
        route = sample.call.route.name
        self._reserved_usd[route] += price_usd or 0.0  # type: ignore[assignment]  # a float counts too
        try:
            text = await self._asked(call)
        finally:
            self._reserved_usd[route] -= price_usd or 0.0  # type: ignore[assignment]
        if text is None:
            return "failed"
        grade = grade_in(text)
        if grade is None:
            return "bad"
        return "graded" if await self._count(sample, grade) else "unknown"

    async def _count(self, sample: Sample, grade: float) -> bool:
        """Have a grade counted; return whether it could be."""
        if sample.shadow is not None:
            self._desk.hearing.graded(sample.call.route.name, sample.shadow, grade)
            return True
        return await self._desk.take(sample.call.id, grade, source=GRADE) is not None

    def _question(self, sample: Sample, endpoint: Endpoint) -> Call | None:
        """Return the call that asks for a grade, None if the request cannot be read."""
        try:
            asked = prompt_text(codec(sample.call.format).parse_request(sample.call.body))
        except WireError:
            return None
        nonce = f"{self._rng.getrandbits(NONCE_BITS):016x}"
        tokens = GRADE_TOKENS_REASONING if endpoint.is_reasoning else GRADE_TOKENS
        body = question(sample.grader.rubric, asked, sample.text, nonce, tokens)
        now = clock.now()
        return Call(
            id=CallId(f"grade_{nonce}"),
            arrived_at=now,
            deadline_at=now + WITHIN_S,
            format=WireFormat.OPENAI_CHAT,
            route=route_of(sample.call.route.name, endpoint.id),
            body=body,
            facts=codec(WireFormat.OPENAI_CHAT).inspect_request(body),
            constraints=Constraints(priority=Priority.BATCH, may_hedge=False, may_use_cache=False),
        )

    async def _asked(self, call: Call) -> str | None:
        """Return what the grader says, None if it says nothing."""
        try:
            answer = await self._engine.answer(call)
        except CallError:
            return None
        if not isinstance(answer, PlainAnswer) or answer.status != 200:  # noqa: PLR2004 - HTTP's OK
            return None
        completion = codec(WireFormat.OPENAI_CHAT).parse_response(answer.body)
        return "".join(part.text for part in completion.parts if isinstance(part, TextPart))

    # --- money ---------------------------------------------------------------------------------

    def _may_spend(self, sample: Sample, usd: float) -> bool:
        route = sample.call.route.name
        spent_usd = self.spent_usd(route) + self._reserved_usd[route]
        return spent_usd + usd <= sample.grader.usd_per_day

    def spent_usd(self, route: RouteName) -> float:
        """Return what the grades of a route cost today (UTC), as the ledger has it."""
        self._ledger.catch_up()
        today, own = int(clock.wall() // DAY_S), _name(route)
        return sum(
            sums.cost_usd
            for (day, name, _), sums in self._ledger.days.items()
            if day == today and name == own
        )

    # --- telling -------------------------------------------------------------------------------

    def shown(self) -> dict[str, object]:
        """Return what became of samples, by route, and what the grades cost today."""
        told: dict[str, dict[str, object]] = {}
        for (route, result), count in sorted(self.ended.items()):
            spent_usd = round(self.spent_usd(RouteName(route)), 6)
            told.setdefault(route, {"spent_usd_today": spent_usd})[result] = count
        return {"waiting": len(self._waiting), "routes": told}

    def _end(self, route: RouteName, result: str) -> None:
        self.ended[route, result] += 1


def route_of(graded: RouteName, grader: EndpointId) -> Route:
    """Return the route of a grader's own calls: one try, no stand-in, no name a caller can use."""
    return Route(
        name=RouteName(_name(graded)),
        tiers=((grader,),),
        within_s=WITHIN_S,
        attempts_max=1,
        rungs=(),
        may_hedge=False,
        is_task=False,
        checks_output=False,
    )


def _name(graded: str) -> str:
    return f"(grader {graded})"
