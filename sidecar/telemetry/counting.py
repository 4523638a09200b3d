"""Events to counters and histograms.

Everything here is counted in strokes, off the path of calls, and the same whether anybody looks by
Prometheus or OTLP. Attempts are counted by their own events and not by their call's: a hedge that
lost may settle after its call has ended, and a caller who left gets no list.

Labels come from closed sets: names of the configuration, results, classes, kinds and gates. What a
caller wrote, such as an unknown model, never becomes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import OutcomeClass
from sidecar.events import (
    AccountChanged,
    AttemptFinished,
    BreakerChanged,
    CallFinished,
    CallRefused,
    EndpointEjected,
    PassageFinished,
    ProbeFinished,
)
from sidecar.metrics import Counter, Histogram
from sidecar.telemetry.names import (
    DURATION_BOUNDS,
    PER_TOKEN_BOUNDS,
    TOKEN_BOUNDS,
    TOKEN_USAGE,
    USAGE_COUNTER,
    operation_of,
    provider_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Endpoint, EndpointId, Outcome
    from sidecar.events import Event
    from sidecar.metrics import Labels, Registry, TracePoint
    from sidecar.telemetry.names import Names

NOBODY = "(none)"
HEDGE = "hedge"
WELL = frozenset({"ok", "degraded", "passed", "cancelled"})
"""As the ledger has it: a 4xx passed on and a caller who left are no failures."""
LOST = frozenset({OutcomeClass.CANCEL, OutcomeClass.OUTRUN})
GEN_AI = (
    *("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"),
    *("gen_ai.response.model", "error.type"),
)
_TOKEN_LABELS = (*GEN_AI[:4], "gen_ai.token.type")
_ON, _AT, _ENDS = ("route",), ("endpoint",), ("route", "endpoint")
_USAGES = ("input_tokens", "output_tokens")


class Counting:
    """Owns the instruments that follow from events. ``catalogue`` is that of the moment."""

    def __init__(
        self, registry: Registry, names: Names, catalogue: Callable[[], Catalogue]
    ) -> None:
        self._catalogue = catalogue
        self._known: dict[EndpointId, tuple[Endpoint | None, str, str]] = {}
        self._counts = {
            AttemptFinished: self._attempt,
            CallFinished: self._call,
            CallRefused: self._refused,
            ProbeFinished: self._probe,
            PassageFinished: self._passage,
            BreakerChanged: self._breaker,
            AccountChanged: self._account,
            EndpointEjected: self._ejected,
        }
        self._make_own()
        self._make_conventional(names)
        registry.add(*[one for one in vars(self).values() if isinstance(one, Counter | Histogram)])
        registry.add(*self.usages)

    def _make_own(self) -> None:
        self.calls = _own("calls", "{call}", "Calls that ended, by who answered.", "result", _ENDS)
        self.refused = _own("refused_calls", "{call}", "Requests that became no call.", "code")
        self.degraded = _own(
            "degraded_calls", "{call}", "Calls with a lesser answer.", "level", _ON
        )
        self.rejections = _own(
            "rejections", "{call}", "Who was out for a call, and why.", "reason", _AT
        )
        self.attempts = _own("attempts", "{attempt}", "Attempts at providers.", "class", _ENDS)
        self.kinds = _own("attempt_kinds", "{attempt}", "Attempts by their cause.", "kind", _ON)
        self.hedges = _own("hedges", "{attempt}", "Hedges, by what came of them.", "result", _ON)
        self.pushbacks = _own("pushbacks", "{attempt}", "Answers that say when to return.", _AT[0])
        self.probes = _own("probes", "{probe}", "Probes.", "class", (*_AT, "kind", "why"))
        self.probe_cost = _own("probe_cost", "USD", "What probes cost.", "why", _AT)
        self.passages = _own(
            "passages", "{request}", "Requests passed on.", "status", ("provider",)
        )
        self.breakers = _own(
            "breaker_changes", "{change}", "Breakers' changes of state.", "state", ("name",)
        )
        self.accounts = _own(
            "account_changes", "{change}", "Blocks of accounts.", "reason", ("provider",)
        )
        self.ejections = _own("ejections", "{ejection}", "Soft ejections.", "reason", _AT)
        self.durations = Histogram(
            "sidecar.call.duration",
            "s",
            "From a call's arrival to its answer's end.",
            DURATION_BOUNDS,
            ("route", "result"),
        )
        self.per_token = Histogram(
            "sidecar.time_per_output_token",
            "s",
            "Mean time between the tokens of a stream.",
            PER_TOKEN_BOUNDS,
            GEN_AI[:4],
        )

    def _make_conventional(self, names: Names) -> None:
        self.operation = Histogram(
            names.duration, "s", "GenAI operation duration.", DURATION_BOUNDS, GEN_AI
        )
        self.first_chunk = Histogram(
            names.first_chunk, "s", "Time to the first chunk.", DURATION_BOUNDS, GEN_AI[:4]
        )
        self.tokens: Histogram | None = None
        self.usages: tuple[Counter, ...] = ()
        if names.has_token_histogram:
            self.tokens = Histogram(
                TOKEN_USAGE, "{token}", "Tokens of an operation.", TOKEN_BOUNDS, _TOKEN_LABELS
            )
        else:
            self.usages = tuple(
                [
                    Counter(USAGE_COUNTER + one, "{token}", "Tokens of operations.", GEN_AI[:4])
                    for one in _USAGES
                ]
            )

    def count(self, event: Event, point: TracePoint | None = None) -> None:
        """Count ``event``; ``point`` names its trace if that is recorded."""
        counts = self._counts.get(type(event))
        if counts is not None:
            counts(event, point)  # type: ignore[operator]  # each knows its event

    # --- calls ---------------------------------------------------------------------------------

    def _call(self, event: CallFinished, point: TracePoint | None) -> None:
        route, result = event.route, event.result
        self.calls.add((route, event.endpoint or NOBODY, result))
        self.durations.record((route, result), event.duration_s, point)
        if event.level is not None:
            self.degraded.add((route, event.level))
        for endpoint, gate in event.rejected:
            self.rejections.add((endpoint, gate.value))
        for _, endpoint, gate in event.refusals:
            self.rejections.add((endpoint, gate.value))
        if event.attempts:
            self._operation(event, event.attempts[-1], point)

    def _operation(self, event: CallFinished, last: Outcome, point: TracePoint | None) -> None:
        endpoint = event.endpoint or last.endpoint
        provider, model = self._who(endpoint)
        labels = (operation_of(event.format), provider, event.route, model)
        error = "" if result_is_fine(event.result) else event.result
        self.operation.record((*labels, error), event.duration_s, point)
        usage = last.usage
        if usage is not None and last.endpoint == endpoint:
            pairs = (("input", usage.input_tokens), ("output", usage.output_tokens))
            for (kind, tokens), counter in zip(pairs, self.usages or (None, None), strict=True):
                if self.tokens is not None:
                    self.tokens.record((*labels, kind), tokens, point)
                elif counter is not None:
                    counter.add(labels, tokens)
        first_at = last.first_content_at
        if event.asked is None or not event.asked.is_stream or first_at is None:
            return
        waited_s = first_at - (event.at - event.duration_s)
        self.first_chunk.record(labels, waited_s, point)
        if usage is not None and usage.output_tokens > 1 and last.cls is OutcomeClass.OK:
            mean_s = (last.ended_at - first_at) / (usage.output_tokens - 1)
            self.per_token.record(labels, mean_s, point)

    def _refused(self, event: CallRefused, _: TracePoint | None) -> None:
        self.refused.add((event.code,))

    # --- attempts ------------------------------------------------------------------------------

    def _attempt(self, event: AttemptFinished, _: TracePoint | None) -> None:
        outcome, route = event.outcome, event.route
        self.attempts.add((route, outcome.endpoint, outcome.cls.value))
        self.kinds.add((route, event.kind))
        if outcome.retry_after_s is not None:
            self.pushbacks.add((outcome.endpoint,))
        if event.kind == HEDGE:
            self.hedges.add((route, _came_to(outcome)))

    def _probe(self, event: ProbeFinished, _: TracePoint | None) -> None:
        cls = event.outcome.cls.value
        self.probes.add((event.endpoint, event.kind, event.why, cls))
        self.probe_cost.add((event.endpoint, event.why), event.cost_usd)

    def _passage(self, event: PassageFinished, _: TracePoint | None) -> None:
        status = "none" if event.status is None else f"{event.status // 100}xx"
        self.passages.add((event.provider, status))
        for outcome in event.attempts:
            self.attempts.add(("(passed)", outcome.endpoint, outcome.cls.value))

    # --- states --------------------------------------------------------------------------------

    def _breaker(self, event: BreakerChanged, _: TracePoint | None) -> None:
        self.breakers.add((event.name, event.new))

    def _account(self, event: AccountChanged, _: TracePoint | None) -> None:
        self.accounts.add((event.provider, event.reason))

    def _ejected(self, event: EndpointEjected, _: TracePoint | None) -> None:
        self.ejections.add((event.endpoint, event.reason))

    def _who(self, name: EndpointId) -> tuple[str, str]:
        """Return provider and model as the conventions call them."""
        catalogue = self._catalogue()
        endpoint = catalogue.endpoints.get(name)
        known = self._known.get(name)
        if known is not None and (known[0] is endpoint or endpoint is None):
            return known[1], known[2]
        if endpoint is None:
            return name.partition("/")[0], name.partition("/")[2]
        reach = catalogue.providers.get(endpoint.provider)
        provider = (
            provider_of(reach.kind) if reach is not None and reach.kind else endpoint.provider
        )
        self._known[name] = (endpoint, provider, endpoint.upstream_model)
        return provider, endpoint.upstream_model


def _own(name: str, unit: str, meaning: str, last: str, first: Labels = ()) -> Counter:
    return Counter(f"sidecar.{name}", unit, meaning, (*first, last))


def result_is_fine(result: str) -> bool:
    """Return whether a call's result is no failure of ours or a provider's."""
    return result in WELL


def _came_to(outcome: Outcome) -> str:
    if outcome.cls is OutcomeClass.OK:
        return "won"
    return "lost" if outcome.cls in LOST else "failed"
