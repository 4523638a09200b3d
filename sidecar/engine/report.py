"""What is told of a call: its disclosure to the caller, its last event to the observer.

One place decides what counts as degraded: an answer of an endpoint that is expected to be worse at
this route than every endpoint of the first tier, an answer cut by a budget's clamp, or the static
answer. An equal from the next tier is a failover, visible in the attempts, not a degradation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.ladder import Level, degraded_header
from sidecar.domain import Gate, OutcomeClass, Priority
from sidecar.engine.answer import Disclosure, PlainAnswer
from sidecar.engine.fitness import is_smaller
from sidecar.engine.judging import said_to_caller
from sidecar.engine.output_check import flaw_in
from sidecar.events import CallFinished
from sidecar.wire.formats import codec
from sidecar.wire.neutral import Completion, Finish, Finished, Started, TextDelta, TextPart

if TYPE_CHECKING:
    from sidecar.core.routing import Choice
    from sidecar.decisions import Content
    from sidecar.domain import Call, Endpoint, EndpointId, Outcome
    from sidecar.engine.parts import Parts
    from sidecar.engine.settlement import AttemptPlan
    from sidecar.engine.tally import Tally
    from sidecar.errors import CallError

COMMITTED = "COMMITTED"
_REFUSED = (Finish.REFUSAL, Finish.CONTENT_FILTER)
CUT_SIGMA = 0.5
"""How well the length of an answer that was cut is told from its time."""
EVENT_STREAM = "text/event-stream; charset=utf-8"


class Report:
    """Gathers what one call went through. ``outcomes`` are its settled attempts, in order."""

    def __init__(self, parts: Parts, call: Call) -> None:
        self.outcomes: list[Outcome] = []
        self.rejected: tuple[tuple[EndpointId, Gate], ...] = ()
        self._choice: Choice | None = None
        self._refusals: tuple[tuple[float, EndpointId, Gate], ...] = ()
        self.dropped: tuple[str, ...] = ()
        self._parts = parts
        self._call = call
        self._is_ended = False
        self._committed_at: float | None = None
        self._level: str | None = None
        self._finish: Finish | None = None
        self._answer_id: str | None = None
        self._content: Content | None = None
        self._is_cut = False
        self._flaw: str | None = None
        self._tally: Tally | None = None
        sampler = None if call.route.grader is None else parts.sampler
        self.is_sampled = sampler is not None and sampler.wants(call)
        self.is_continued = False
        self.invalid_output: str | None = None

    def chose(self, choice: Choice) -> None:
        """Note the first decision."""
        self._choice, self.rejected = choice, choice.rejected

    def refused(self, endpoint: EndpointId, gate: Gate) -> None:
        """Note a gate that shut between a choice and its attempt."""
        self._refusals = (*self._refusals, (loop_now(), endpoint, gate))

    def takes(self, plan: AttemptPlan, tally: Tally) -> None:
        """Note whose answer it is; a clamped one that ended by its length was cut by us."""
        self._finish = tally.finish
        if self._parts.keeps_content:
            from sidecar.engine.content import content_of  # noqa: PLC0415 - only if switched on

            self._content = content_of(self._call, tally.completion())
        self.dropped = plan.request.dropped
        self._is_cut = plan.is_clamped and tally.finish is Finish.LENGTH
        self._flaw = None if self._is_cut else _flaw_of(tally, self._call)
        self._tally = tally
        is_kept = not (plan.request.is_translated or self.is_continued)
        keeper = plan.ticket.endpoint.id if is_kept else None
        self._answer_id = tally.answer_id()
        self._parts.keepers.learn(self._call, self._answer_id, tally.item_ids(), keeper)

    def closes(self, plan: AttemptPlan, tally: Tally) -> None:
        """Note the end of a stream: too late for another answer, so say what is wrong with it."""
        self.takes(plan, tally)
        self.invalid_output = flaw_in(tally, plan)

    def is_keepable(self) -> bool:
        """Return whether an answer is what one model said, and what was asked for."""
        return not self.is_continued and self.invalid_output is None

    def spent_usd(self) -> float:
        """Return what the attempts so far cost, US dollars."""
        outcomes = self.outcomes
        if len(outcomes) == 1:
            return outcomes[0].cost_usd
        return sum(outcome.cost_usd for outcome in outcomes)

    def ends(self, plan: AttemptPlan, outcome: Outcome) -> None:
        """Note how an attempt ended; one that was cut had a longer answer than there was time."""
        self.outcomes.append(outcome)
        if outcome.cls is not OutcomeClass.CALLER_SHORT:
            return
        view, tokens = plan.prospect.start.view, 0.0
        if outcome.first_content_at is not None:
            tokens = 0.0 if outcome.usage is None else outcome.usage.output_tokens
        elif not self._call.facts.is_stream and view.itl_s > 0.0:
            tokens = (outcome.ended_at - outcome.started_at - view.ttft_s) / view.itl_s
        model = self._parts.output_model(self._call.route.name)
        model.observe_cut(tokens, outcome.ended_at, sigma=CUT_SIGMA)

    # --- disclosures ---------------------------------------------------------------------------

    def committed(self, endpoint: Endpoint) -> Disclosure:
        """Return what can be said when a stream begins."""
        if self._committed_at is None:
            self._committed_at = loop_now()
        labels = (*self._labels(), f"{endpoint.id}:{COMMITTED}")
        return self._disclosure(endpoint, labels, self._degraded(endpoint), cost_usd=None)

    def answered(self, endpoint: Endpoint, outcome: Outcome) -> Disclosure:
        """Return the final figures, and tell the observer that the call is over."""
        is_ok = outcome.cls is OutcomeClass.OK
        if is_ok and outcome.usage is not None:
            model = self._parts.output_model(self._call.route.name)
            model.observe(outcome.usage.output_tokens, outcome.ended_at)
        if is_ok and self._call.route.shadow is not None and self._parts.shadows is not None:
            self._parts.shadows.offer(self._parts, self._call, endpoint.id)
        degraded, spent_usd = self._degraded(endpoint), self.spent_usd()
        if is_ok:
            self._note_degraded(degraded)
        if self._committed_at is None:
            self._committed_at = outcome.ended_at
        self._end(
            ("degraded" if degraded else "ok") if is_ok else _broken(outcome),
            endpoint.id,
            spent_usd,
        )
        if self.is_sampled and is_ok and self.is_keepable():
            self._sample()
        cost_usd = None if endpoint.price is None else spent_usd
        return self._disclosure(endpoint, self._labels(), degraded, cost_usd=cost_usd)

    def _sample(self) -> None:
        """Hand an answer that was drawn to who grades it."""
        if self._parts.sampler is not None and self._tally is not None:
            self._parts.sampler.take(self._call, self._tally.text())

    def static_answer(self, error: CallError) -> PlainAnswer:
        """Return the route's answer of last resort, instead of ``error``."""
        completion = Completion(
            id=f"static-{self._call.id}",
            model=f"static/{self._call.route.name}",
            parts=(TextPart(text=self._call.route.static or ""),),
            finish=Finish.STOP,
        )
        self._parts.keepers.learn(self._call, completion.id, (), None)
        return self.stand_in(completion, error, "static")

    def stand_in(self, completion: Completion, error: CallError, source: str) -> PlainAnswer:
        """Return an answer that no model gave now, instead of ``error``."""
        call = self._call
        degraded = degraded_header(Level.STALE, error.code, source)
        self._note_degraded(degraded)
        self.ended("degraded", None)
        disclosure = Disclosure(
            call_id=call.id,
            route=call.route.name,
            endpoint=None,
            attempts=self._labels(),
            degraded=degraded,
            cost_usd=self.spent_usd(),
            is_cost_estimated=self._is_estimated(),
        )
        body, content_type = _rendered(call, completion)
        return PlainAnswer(status=200, body=body, disclosure=disclosure, content_type=content_type)

    def passed(self, endpoint: Endpoint) -> Disclosure:
        """Return what is said beside a provider's own 4xx."""
        degraded = self._degraded(endpoint)
        return self._disclosure(endpoint, self._labels(), degraded, cost_usd=self.spent_usd())

    def _disclosure(
        self,
        endpoint: Endpoint,
        labels: tuple[str, ...],
        degraded: str | None,
        *,
        cost_usd: float | None,
    ) -> Disclosure:
        return Disclosure(
            call_id=self._call.id,
            route=self._call.route.name,
            endpoint=endpoint.id,
            attempts=labels,
            degraded=degraded,
            cost_usd=cost_usd,
            dropped=self.dropped,
            is_pinned=bool(self._call.facts.references),
            invalid_output=self.invalid_output,
            is_cost_estimated=cost_usd is not None and self._is_estimated(),
        )

    def _is_estimated(self) -> bool:
        """Return whether a provider did not say what an attempt of this call cost."""
        usages = [outcome.usage for outcome in self.outcomes]
        return any(usage is not None and usage.is_estimated for usage in usages)

    def _labels(self) -> tuple[str, ...]:
        return tuple([outcome.label() for outcome in self.outcomes])

    # --- degradation ---------------------------------------------------------------------------

    def _degraded(self, endpoint: Endpoint) -> str | None:
        """Return ``level;reason;endpoint`` for an answer worse than the route's best tier, else
        None.
        """
        if self.is_continued:
            return degraded_header(Level.OTHER_REGION, "continuation", endpoint.id)
        if self._is_cut:
            return degraded_header(Level.SMALLER, "clamped", endpoint.id)
        route, wished = self._call.route, self._call.constraints.quality
        if wished is None and endpoint.id in route.tiers[0]:
            return None
        reason = self._lack_of_quality(endpoint, wished or 0.0)
        return reason and degraded_header(Level.SMALLER, reason, endpoint.id)

    def _lack_of_quality(self, endpoint: Endpoint, wished: float) -> str | None:
        """Return why no better model than ``endpoint`` answered, None if it is as good as was
        wished for, and of the class of the best tier.
        """
        route, endpoints = self._call.route, self._parts.catalogue.endpoints
        is_chosen = route.adaptive is not None and len(self.outcomes) <= 1
        if is_chosen and not wished:
            return None
        qualities = {one: endpoints[one].quality.of(route.name) for one in route.endpoints()}
        own, best = qualities[endpoint.id], route.tiers[0]
        if own < wished:
            good = tuple(one for one, quality in qualities.items() if quality >= wished)
            return self._reason(good) if good else Gate.QUALITY.value
        is_lesser = endpoint.id not in best and is_smaller(own, (qualities[one] for one in best))
        return self._reason(best) if is_lesser else None

    def _note_degraded(self, degraded: str | None) -> None:
        if degraded is not None:
            self._level = degraded.partition(";")[0]

    def _reason(self, best: tuple[EndpointId, ...]) -> str:
        """Return why ``best`` did not answer: what its attempt met, else what kept it out."""
        for outcome in self.outcomes:
            if outcome.endpoint in best:
                return outcome.cls.value
        return next((gate.value for name, gate in self.rejected if name in best), "choice")

    # --- the end -------------------------------------------------------------------------------

    def ended(self, result: str, endpoint: EndpointId | None) -> None:
        """Tell the observer, once, that the call is over."""
        self._end(result, endpoint, self.spent_usd())

    def _end(self, result: str, endpoint: EndpointId | None, cost_usd: float) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        now, call, finish = loop_now(), self._call, self._finish
        self._parts.observer.on_event(
            CallFinished(
                at=now,
                call_id=call.id,
                route=call.route.name,
                result=result,
                endpoint=endpoint,
                duration_s=now - call.arrived_at,
                cost_usd=cost_usd,
                attempts=tuple(self.outcomes),
                rejected=self.rejected,
                invalid_output=self.invalid_output,
                asked=call.facts,
                wishes=call.constraints,
                format=call.format,
                door=call.door,
                trace=call.trace,
                choice=self._choice,
                refusals=self._refusals,
                committed_at=self._committed_at,
                finish=None if finish is None else finish.value,
                answer_id=self._answer_id,
                level=self._level,
                content=self._content,
                flaw=self._flaw if self.invalid_output is None else "invalid",
                question=self._question(),
            )
        )

    def _question(self) -> int | None:
        """Return by what the same question is known again; programs repeat theirs as a habit."""
        call = self._call
        is_asked = call.constraints.priority is Priority.INTERACTIVE and not call.facts.inputs_count
        return hash((self._parts.salt, call.body)) if is_asked else None


def _flaw_of(tally: Tally, call: Call) -> str | None:
    """Return what can be seen to be wrong with an answer that ended, None if nothing is."""
    if tally.is_refusal or tally.finish in _REFUSED:
        return "refused"
    if tally.finish is Finish.LENGTH:
        return "truncated"
    is_silent = tally.finish is not None and not tally.content_deltas
    return "empty" if is_silent and not call.facts.inputs_count else None


def _broken(outcome: Outcome) -> str:
    return "cancelled" if outcome.cls is OutcomeClass.CANCEL else "upstream_interrupted"


def _rendered(call: Call, completion: Completion) -> tuple[bytes, str]:
    """Return a ready answer as its caller expects it, whole or as a stream all at once."""
    if not call.facts.is_stream:
        return said_to_caller(call, completion), "application/json"
    renderer = codec(call.format).stream_renderer(wants_usage=call.facts.wants_usage_in_stream)
    text = "".join(part.text for part in completion.parts if isinstance(part, TextPart))
    said = (
        Started(id=completion.id, model=completion.model),
        TextDelta(text=text),
        Finished(finish=Finish.STOP),
    )
    return b"".join(renderer.render(delta) for delta in said) + renderer.finish(), EVENT_STREAM
