"""Copies of calls for a model on no duty: made when the call is over, answered to nobody.

A call that was answered may be mirrored, with the share that its route says. What waits to be
mirrored is bounded, and so is what runs; too much is let go, for a sample need not be complete. A
copy costs its caller nothing: no time, since the call is over, no money, since its attempts are
told as an event of their own, and no chance, since it leaves no verdict on the endpoint's health
and runs only where there is room to spare: the gates are open, at most half of the limit is in use,
nobody waits for the account's pace. Its own failures make it pause.

What is kept of an answer is whether it was of use, for ``core/quality.py``; never the answer. Money
is set aside before a copy starts and settled by what it cost; what has no price is not mirrored.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.attempts import Start
from sidecar.core.eligibility import rejection
from sidecar.core.probing import ProbeWhy
from sidecar.core.routing import CallNeeds
from sidecar.core.spend import SpendGate, SpendSettings
from sidecar.domain import Constraints, OutcomeClass, Priority
from sidecar.engine.attempt import Attempt, Committed
from sidecar.engine.endpoint_health import SILENT_FACTOR
from sidecar.engine.judging import FINE
from sidecar.engine.prepare import Preparation
from sidecar.engine.prospect import prospect_of
from sidecar.engine.settlement import AttemptPlan, Settlement
from sidecar.engine.ticket import Ticket
from sidecar.engine.timer import Timer
from sidecar.engine.views import Sight
from sidecar.errors import BadRequestError, CallError
from sidecar.events import ShadowFinished
from sidecar.wire.neutral import Finish

if TYPE_CHECKING:
    import asyncio

    from sidecar.catalogue import Catalogue
    from sidecar.core.routing import EndpointView
    from sidecar.domain import Call, EndpointId, Fault, Outcome, RouteName, Usage
    from sidecar.engine.parts import Parts
    from sidecar.engine.prospect import Prospect
    from sidecar.engine.tally import Tally

KIND = "shadow"
WAITING_MAX = 16
RUNNING_MAX = 8
BODY_BYTES_MAX = 1024 * 1024
"""Of what waits or runs; so that copies hold 24 MiB at worst."""
WITHIN_S_MAX = 120.0
USED_MAX = 0.5
"""No copy goes where more than this share of a limit is in use."""
PAUSE_S = 60.0
"""After a refusal that speaks of limits, of the credential or of the model."""
RESTING = frozenset(
    {
        *(OutcomeClass.RATE, OutcomeClass.QUOTA, OutcomeClass.OVERLOAD),
        *(OutcomeClass.AUTH, OutcomeClass.GONE),
    }
)
FAULTS = {"invalid": 1.0, "refused": 1.0, "truncated": 0.5}
"""What a flaw takes of an answer's worth."""


@dataclass(slots=True, kw_only=True)
class Mirrored:
    """What a route's shadow has come to."""

    money: SpendGate
    mirrored_count: int = 0
    answered_count: int = 0
    cost_usd: float = 0.0
    paused_until: float = 0.0


class Shadows:
    """Owns what waits to be mirrored, how much runs, and each route's money for it."""

    def __init__(self) -> None:
        self.routes: dict[RouteName, Mirrored] = {}
        self.skipped: Counter[str] = Counter()
        self.running = 0
        self._waiting: deque[tuple[Parts, Call]] = deque()

    def configured(self, catalogue: Catalogue) -> None:
        """Go by the routes of ``catalogue``; what was spent stays spent."""
        terms = {name: r.shadow for name, r in catalogue.routes.items() if r.shadow is not None}
        known, self.routes = self.routes, {}
        for route in catalogue.routes.values():
            shadow = route.shadow
            if shadow is None:
                continue
            settings = SpendSettings(daily_usd=shadow.usd_per_day)
            mirrored = known.get(route.name) or Mirrored(money=SpendGate(settings))
            mirrored.money.adapt(settings)
            self.routes[route.name] = mirrored
        self._waiting = deque(one for one in self._waiting if one[1].route.name in terms)

    def offer(self, parts: Parts, call: Call, answered_by: EndpointId) -> None:
        """Take a call that was answered, or not: by lot, and where there is room to wait."""
        terms, facts = call.route.shadow, call.facts
        if terms is None or parts.rng.random() >= terms.share:
            return
        if terms.endpoint == answered_by or facts.references or facts.inputs_count:
            self.skipped["unfit"] += 1
        elif len(self._waiting) >= WAITING_MAX or len(call.body) > BODY_BYTES_MAX:
            self.skipped["too_much"] += 1
        else:
            self._waiting.append((parts, call))

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin with what waits, as far as there is room."""
        while self._waiting and self.running < RUNNING_MAX:
            parts, call = self._waiting.popleft()
            mirror = self._mirror_of(parts, call)
            if isinstance(mirror, str):
                self.skipped[mirror] += 1
                continue
            self.running += 1
            group.create_task(self._run(mirror))

    def _mirror_of(self, parts: Parts, call: Call) -> _Mirror | str:
        """Return a copy ready to run, or why there is none."""
        terms, mirrored, now = call.route.shadow, self.routes.get(call.route.name), loop_now()
        if terms is None or mirrored is None or terms.endpoint not in parts.health.endpoints:
            return "gone"
        if now < mirrored.paused_until:
            return "paused"
        call = _copied(call, now)
        view = Sight(parts, call, now, least=0.0, may_try=False).look(terms.endpoint)
        hurdle = _hurdle(parts, call, view, mirrored, now)
        if hurdle is not None:
            return hurdle
        try:
            mirror = _Mirror(parts, call, view, mirrored)
        except BadRequestError:
            return "unfit"
        mirrored.money.spent(view.cost_usd or 0.0, now)
        if parts.budgets.caps is not None:
            parts.budgets.caps.reserve(view.endpoint.provider, None, view.cost_usd or 0.0)
        return mirror

    async def _run(self, mirror: _Mirror) -> None:
        try:
            await mirror.run()
        except Exception:  # noqa: BLE001 - a root of a task: a copy must not end the probes beside it
            self.skipped["broken"] += 1
        finally:
            self.running -= 1


class _Mirror:
    """One copy. Its cost was set aside in ``mirrored`` as ``view`` predicts it."""

    def __init__(self, parts: Parts, call: Call, view: EndpointView, mirrored: Mirrored) -> None:
        self._parts, self._call, self._view, self._mirrored = parts, call, view, mirrored
        now, endpoint = loop_now(), view.endpoint
        start = Start(
            endpoint_id=endpoint.id,
            kind=KIND,
            needs_fresh_connection=False,
            view=view,
            next_view=None,
        )
        prospect = prospect_of(parts, call, start, now)
        preparation = Preparation(call)
        self._plan = AttemptPlan(
            call=call,
            ticket=_ticket(call, view, prospect, now),
            request=preparation.body_for(endpoint, max_tokens=None),
            prospect=prospect,
            pacer=parts.health.endpoints[endpoint.id].pacer,
            is_whole=True,
            is_clamped=False,
            is_kept=True,
            flaw_of=parts.output_checks.check_for(call, preparation.conversation),
        )

    async def run(self) -> None:
        """Ask, judge the answer, tell what it cost; whatever happens stays here."""
        plan, parts, timer = self._plan, self._parts, Timer()
        settlement = _Unseen(parts.health, parts.budgets, parts.observer, plan)
        attempt = Attempt(plan, settlement, parts.upstream, timer)
        parts.timers.add(timer)
        try:
            result = await attempt.run()
            if isinstance(result, Committed):
                usage = settlement.usage_of(attempt.tally)
                result.stream.response.close()
                settlement.settle(FINE, usage)
        except CallError:
            pass  # the sidecar stops
        finally:
            parts.timers.discard(timer)
            if settlement.outcome is not None:
                self._end(settlement.outcome, attempt.tally)

    def _end(self, outcome: Outcome, tally: Tally) -> None:
        mirrored, now = self._mirrored, outcome.ended_at
        flaw = _flaw_of(outcome, tally.finish)
        sampler = None if self._call.route.grader is None else self._parts.sampler
        if sampler is not None and outcome.cls is OutcomeClass.OK:
            sampler.take(self._call, tally.text(), outcome.endpoint)
        planned_usd, caps = self._view.cost_usd or 0.0, self._parts.budgets.caps
        mirrored.money.spent(outcome.cost_usd - planned_usd, now)
        if caps is not None:
            caps.settle(self._view.endpoint.provider, None, planned_usd, outcome.cost_usd)
        mirrored.cost_usd += outcome.cost_usd
        mirrored.mirrored_count += 1
        if outcome.cls in RESTING:
            mirrored.paused_until = now + max(PAUSE_S, outcome.retry_after_s or 0.0)
        if outcome.cls in (OutcomeClass.OK, OutcomeClass.DEGENERATE):
            mirrored.answered_count += 1
            fault = 0.0 if flaw is None else FAULTS[flaw]
            self._parts.quality.judge(self._call.route.name, outcome.endpoint, fault, now)
        self._parts.observer.on_event(
            ShadowFinished(
                at=now,
                call_id=self._call.id,
                route=self._call.route.name,
                outcome=outcome,
                flaw=flaw,
            )
        )


class _Unseen(Settlement):
    """The verdict on a copy: it leaves no trace in anybody's health, budgets or limits."""

    def sent(self, now: float) -> None:
        self.plan.ticket.sent_at = now

    def first_content(self, now: float, *, made_tokens: int = 0) -> None:  # noqa: ARG002 - as named above
        self.plan.ticket.first_content_at = now

    def chunk_gap(self, gap_s: float, now: float) -> None:
        pass

    def settle(self, fault: Fault, usage: Usage | None = None) -> Outcome:
        self.plan.ticket.is_settled = True
        outcome = self.verdict(fault, usage)
        if self.plan.pacer is not None and self.plan.ticket.sent_at is not None:
            used = 0 if usage is None else usage.input_tokens + usage.output_tokens
            self.plan.pacer.used(self.plan.tokens_reserved, used)
        return outcome


def _hurdle(
    parts: Parts, call: Call, view: EndpointView, mirrored: Mirrored, now: float
) -> str | None:
    """Return why a copy may not be made now, None if it may."""
    if rejection(view, _needs(call, now), parts.settings.routing) is not None:
        return "unfit"
    pacer = parts.health.endpoints[view.endpoint.id].pacer
    if view.utilisation > USED_MAX or (pacer is not None and pacer.wait_s(now) > 0.0):
        return "no_room"
    usd, caps = view.cost_usd, parts.budgets.caps
    if usd is None or not mirrored.money.may_spend(usd, ProbeWhy.OPEN, now):
        return "no_money"
    is_capped = caps is not None and caps.refusal(view.endpoint.provider, None, usd) is not None
    return "no_money" if is_capped else None


def _copied(call: Call, now: float) -> Call:
    """Return ``call`` as if it came now and nobody were in a hurry."""
    within_s = min(call.route.within_s, WITHIN_S_MAX)
    wishes = Constraints(priority=Priority.BATCH, may_hedge=False, may_use_cache=False)
    return replace(call, arrived_at=now, deadline_at=now + within_s, constraints=wishes)


def _needs(call: Call, now: float) -> CallNeeds:
    return CallNeeds(
        route=call.route,
        remaining_s=call.deadline_at - now,
        budget_usd=None,
        format=call.format,
        untranslatable=call.facts.untranslatable,
        priority=call.constraints.priority,
        prompt_tokens=call.facts.prompt_tokens,
        excluded={},
    )


def _ticket(call: Call, view: EndpointView, prospect: Prospect, now: float) -> Ticket:
    """Return a ticket that no gate gave and nobody settles."""
    silent_s = 0.0 if call.facts.is_stream else SILENT_FACTOR * prospect.output_s
    return Ticket(
        endpoint=view.endpoint,
        permit=None,
        host_permit=None,
        admitted_at=now,
        prompt_tokens=call.facts.prompt_tokens,
        hang_s=prospect.hang_s + silent_s,
        silent_s=silent_s,
    )


def _flaw_of(outcome: Outcome, finish: Finish | None) -> str | None:
    if outcome.cls is OutcomeClass.DEGENERATE:
        return "invalid"
    if outcome.cls is not OutcomeClass.OK:
        return None
    if finish in (Finish.REFUSAL, Finish.CONTENT_FILTER):
        return "refused"
    return "truncated" if finish is Finish.LENGTH else None
