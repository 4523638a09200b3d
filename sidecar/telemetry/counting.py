"""Events to counters and histograms.

Everything here is counted in strokes, off the path of calls, and the same whether anybody looks by
Prometheus or OTLP. What is alike in a stroke is counted at once: a busy sidecar's calls nearly all
are. Attempts are counted by their own events and not by their call's: a hedge that
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
    from collections.abc import Callable, Iterable, Sequence

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Endpoint, EndpointId, RouteName, WireFormat
    from sidecar.events import Event
    from sidecar.metrics import Labels, Registry, TracePoint
    from sidecar.telemetry.names import Names

    Noted = tuple[Event, TracePoint | None]
    _AlikeCalls = tuple[RouteName, str, EndpointId | None, EndpointId | None, WireFormat | None]
    _AlikeAttempts = tuple[RouteName, EndpointId, OutcomeClass, str, bool]

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

    def count(self, events: Iterable[Noted]) -> None:
        """Count ``events``, each with its trace if that is recorded."""
        calls: dict[_AlikeCalls, list[tuple[CallFinished, TracePoint | None]]] = {}
        attempts: dict[_AlikeAttempts, int] = {}
        for noted in events:
            event = noted[0]
            if event.__class__ is CallFinished:
                assert isinstance(event, CallFinished), "the same, for the type checker"
                last = event.attempts[-1].endpoint if event.attempts else None
                alike = (event.route, event.result, event.endpoint, last, event.format)
                known = calls.get(alike)
                if known is None:
                    known = calls[alike] = []
                known.append(noted)  # type: ignore[arg-type]  # its event is a call
            elif isinstance(event, AttemptFinished):
                outcome = event.outcome
                is_pushback = outcome.retry_after_s is not None
                kind = (event.route, outcome.endpoint, outcome.cls, event.kind, is_pushback)
                attempts[kind] = attempts.get(kind, 0) + 1
            else:
                counts = self._counts.get(event.__class__)
                if counts is not None:
                    counts(event)  # type: ignore[operator]  # each knows its event
        for each in calls.values():
            self._count_calls(each)
        for kind, number in attempts.items():
            self._count_attempts(kind, number)

    # --- calls ---------------------------------------------------------------------------------

    def _count_calls(self, calls: Sequence[tuple[CallFinished, TracePoint | None]]) -> None:
        """Count calls of one route, result, format and endpoint."""
        first, points = calls[0][0], [point for _, point in calls]
        route, result = first.route, first.result
        durations = [event.duration_s for event, _ in calls]
        self.calls.add((route, first.endpoint or NOBODY, result), len(calls))
        self.durations.record((route, result), durations, points)
        for event, _ in calls:
            if event.level is not None:
                self.degraded.add((route, event.level))
            if event.rejected or event.refusals:
                self._count_rejections(event)
        if not first.attempts:
            return
        labels = self._labels(first)
        error = "" if result_is_fine(result) else result
        self.operation.record((*labels, error), durations, points)
        if first.endpoint in (None, first.attempts[-1].endpoint):
            self._count_tokens(labels, calls)
        for event, point in calls:
            if event.asked is not None and event.asked.is_stream:
                self._count_stream(labels, event, point)

    def _count_rejections(self, event: CallFinished) -> None:
        for endpoint, gate in event.rejected:
            self.rejections.add((endpoint, gate.value))
        for _, endpoint, gate in event.refusals:
            self.rejections.add((endpoint, gate.value))

    def _labels(self, event: CallFinished) -> Labels:
        provider, model = self._who(event.endpoint or event.attempts[-1].endpoint)
        return operation_of(event.format), provider, event.route, model

    def _count_tokens(
        self, labels: Labels, calls: Sequence[tuple[CallFinished, TracePoint | None]]
    ) -> None:
        told = [(event.attempts[-1].usage, point) for event, point in calls]
        known = [(usage, point) for usage, point in told if usage is not None]
        amounts = (
            ("input", [usage.input_tokens for usage, _ in known]),
            ("output", [usage.output_tokens for usage, _ in known]),
        )
        points = [point for _, point in known]
        for (kind, tokens), counter in zip(amounts, self.usages or (None, None), strict=True):
            if self.tokens is not None:
                self.tokens.record((*labels, kind), tokens, points)
            elif counter is not None and tokens:
                counter.add(labels, sum(tokens))

    def _count_stream(self, labels: Labels, event: CallFinished, point: TracePoint | None) -> None:
        last = event.attempts[-1]
        first_at, usage = last.first_content_at, last.usage
        if first_at is None:
            return
        waited_s = first_at - (event.at - event.duration_s)
        self.first_chunk.record(labels, (waited_s,), (point,))
        if usage is not None and usage.output_tokens > 1 and last.cls is OutcomeClass.OK:
            mean_s = (last.ended_at - first_at) / (usage.output_tokens - 1)
            self.per_token.record(labels, (mean_s,), (point,))

    def _refused(self, event: CallRefused) -> None:
        self.refused.add((event.code,))

    # --- attempts ------------------------------------------------------------------------------

    def _count_attempts(self, alike: _AlikeAttempts, number: int) -> None:
        route, endpoint, cls, kind, is_pushback = alike
        self.attempts.add((route, endpoint, cls.value), number)
        self.kinds.add((route, kind), number)
        if is_pushback:
            self.pushbacks.add((endpoint,), number)
        if kind == HEDGE:
            self.hedges.add((route, _came_to(cls)), number)

    def _probe(self, event: ProbeFinished) -> None:
        cls = event.outcome.cls.value
        self.probes.add((event.endpoint, event.kind, event.why, cls))
        self.probe_cost.add((event.endpoint, event.why), event.cost_usd)

    def _passage(self, event: PassageFinished) -> None:
        status = "none" if event.status is None else f"{event.status // 100}xx"
        self.passages.add((event.provider, status))
        for outcome in event.attempts:
            self.attempts.add(("(passed)", outcome.endpoint, outcome.cls.value))

    # --- states --------------------------------------------------------------------------------

    def _breaker(self, event: BreakerChanged) -> None:
        self.breakers.add((event.name, event.new))

    def _account(self, event: AccountChanged) -> None:
        self.accounts.add((event.provider, event.reason))

    def _ejected(self, event: EndpointEjected) -> None:
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


def _came_to(cls: OutcomeClass) -> str:
    if cls is OutcomeClass.OK:
        return "won"
    return "lost" if cls in LOST else "failed"
