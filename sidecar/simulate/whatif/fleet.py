"""A configuration as a world in memory: its providers simulated, its routes and settings as they
are.

A simulated provider speaks OpenAI's format or Anthropic's; what is configured in another is asked
in OpenAI's. Nothing else of the configuration changes: tiers, prices, limits, timers and thresholds
are those of the file.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sidecar.abilities import Dialect
from sidecar.domain import EMBEDDINGS, Route, WireFormat
from sidecar.errors import ConfigError, UnknownModelError
from sidecar.simulate.whatif.inputs import EVERY, USUAL_LATENCY, Flow, Incident, Latency
from sidecar.upstream.simulated import (
    Fault,
    LogEntry,
    Plan,
    SimulatedLimits,
    SimulatedModel,
    SimulatedProvider,
    SimulatedRequest,
)
from sidecar.upstream.simulated_memory import MemoryUpstream
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sidecar.catalogue import Catalogue
    from sidecar.config.model import Config
    from sidecar.domain import Endpoint, EndpointId, ProviderName
    from sidecar.simulate.whatif.timeline import Piece
    from sidecar.upstream.simulated import FaultKind, _Luck
    from sidecar.upstream.simulated_answer import Ask
    from sidecar.upstream.simulated_stream import Delivery, Headers

PLAYED = (WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES)
Z95, Z99 = 1.645, 2.326
"""Standard normal quantiles."""
TTFT_S_MAX = 600.0
PROBE_TOKENS = 5
PROVIDERS_MAX = 1000  # so that no two providers of neighbouring seeds share their luck
USUAL_CALLS_PER_S, USUAL_PROMPT_TOKENS, USUAL_OUTPUT_TOKENS = 1.0, 800, 100


@dataclass(slots=True, kw_only=True)
class Record:
    """One call under way; ``sends`` are its requests as the providers saw them."""

    route: str
    piece: int
    started_at: float
    deadline_at: float
    output_tokens: int
    ended_at: float = 0.0
    is_good: bool = False
    is_degraded: bool = False
    sends: list[LogEntry] = field(default_factory=list)


CURRENT: ContextVar[Record | None] = ContextVar("current_record", default=None)
"""The call of the running task and of those that it starts; None for probes."""


class RehearsedProvider(SimulatedProvider):
    """Draws its speed from quantiles, writes as much as the call's workload says, keeps no log.

    ``on_probe`` is told of requests that belong to no call.
    """

    speeds: Mapping[str, Latency]
    on_probe: Callable[[LogEntry], None]

    def plan(self, request: SimulatedRequest) -> Plan:
        """Decide as ever, and hand the entry to whom it belongs."""
        plan = super().plan(request)
        self._hand_over(plan.entry)
        return plan

    def log_unreached(self, request: SimulatedRequest, kind: FaultKind) -> LogEntry:
        """Note as ever, and hand the entry to whom it belongs."""
        entry = super().log_unreached(request, kind)
        self._hand_over(entry)
        return entry

    def _hand_over(self, entry: LogEntry) -> None:
        self.log.clear()
        record = CURRENT.get()
        if record is None:
            self.on_probe(entry)
        else:
            record.sends.append(entry)

    def _delivery(
        self, ask: Ask, hits: tuple[Fault, ...], luck: _Luck, headers: Headers
    ) -> Delivery:
        """Put the luck in the words of the base: its median is one second and one token."""
        record = CURRENT.get()
        tokens = PROBE_TOKENS if record is None else record.output_tokens
        ttft_s = ttft_of(self.speeds[ask.model], luck.ttft)
        own = replace(luck, ttft=math.log(ttft_s), length=math.log(tokens))
        return super()._delivery(ask, hits, own, headers)


def ttft_of(speed: Latency, z: float) -> float:
    """Return the time to the first token at the standard normal draw ``z``.

    Lognormal between the quantiles (straight in z over the logarithm), the lower half as steep as
    the first stretch, the tail as steep as the last, and never above ``TTFT_S_MAX``.
    """
    p50, p95, p99 = (math.log(s) for s in (speed.ttft_p50_s, speed.ttft_p95_s, speed.ttft_p99_s))
    body, tail = (p95 - p50) / Z95, (p99 - p95) / (Z99 - Z95)
    at = p50 + body * min(z, Z95) + tail * max(0.0, z - Z95)
    return min(TTFT_S_MAX, math.exp(at))


@value
class Fleet:
    """A configuration that can be played."""

    config: Config
    endpoints: Mapping[EndpointId, Endpoint]
    catalogue: Catalogue
    speeds: Mapping[EndpointId, Latency]

    def upstream(self, seed: int, on_probe: Callable[[LogEntry], None]) -> MemoryUpstream:
        """Return the providers, well and idle."""
        made = {
            name: self._provider(name, seed * PROVIDERS_MAX + place, on_probe)
            for place, name in enumerate(self.config.targets)
        }
        return MemoryUpstream(made, self.endpoints)

    def _provider(
        self, name: ProviderName, seed: int, on_probe: Callable[[LogEntry], None]
    ) -> RehearsedProvider:
        own = [one for one in self.endpoints.values() if one.provider == name]
        limits = SimulatedLimits(requests_per_minute=self.config.targets[name].requests_per_minute)
        made = RehearsedProvider(
            name,
            own[0].format if own else WireFormat.OPENAI_CHAT,
            {one.upstream_model: _model(one, self.speeds[one.id]) for one in own},
            seed=seed,
            limits=limits,
        )
        made.speeds = {one.upstream_model: self.speeds[one.id] for one in own}
        made.on_probe = on_probe
        return made

    def concerned(self, incident: Incident) -> tuple[ProviderName, ...]:
        """Return the providers that an incident hits: by their name, else by their kind."""
        targets = self.config.targets
        if incident.provider in targets:
            return tuple(name for name in targets if name == incident.provider)
        return tuple(name for name, one in targets.items() if one.kind == incident.provider)

    def faults(self, piece: Piece) -> dict[ProviderName, tuple[Fault, ...]]:
        """Return what is wrong at each provider during ``piece``."""
        found: dict[ProviderName, tuple[Fault, ...]] = dict.fromkeys(self.config.targets, ())
        for incident in piece.active:
            for name in self.concerned(incident):
                found[name] += tuple(self._faults_of(incident, name))
        return found

    def _faults_of(self, incident: Incident, name: ProviderName) -> list[Fault]:
        models = [
            one.upstream_model
            for one in self.endpoints.values()
            if one.provider == name and incident.model in (one.model, one.upstream_model)
        ]
        chosen: list[str | None] = [None] if incident.model is None else [*dict.fromkeys(models)]
        return [
            Fault(
                kind=incident.kind,
                share=incident.share,
                model=model,
                status=incident.status,
                factor=incident.factor,
            )
            for model in chosen
        ]


def fleet_of(config: Config, latencies: Sequence[Latency]) -> Fleet:
    """Return the fleet of ``config``; models that make vectors are left out."""
    formats = _formats(config)
    endpoints = {
        name: _playable(one, formats[one.provider])
        for name, one in config.catalogue.endpoints.items()
        if one.format not in EMBEDDINGS
    }
    routes = {
        name: route
        for name, route in config.catalogue.routes.items()
        if all(one in endpoints for one in route.endpoints())
    }
    return Fleet(
        config=config,
        endpoints=endpoints,
        catalogue=replace(config.catalogue, endpoints=endpoints, routes=routes),
        speeds={name: speed_of(config, one, latencies) for name, one in endpoints.items()},
    )


def _formats(config: Config) -> dict[ProviderName, WireFormat]:
    """Return what each simulated provider speaks: Anthropic's format if all its models do."""
    spoken: dict[ProviderName, set[WireFormat]] = {name: set() for name in config.targets}
    for one in config.catalogue.endpoints.values():
        spoken[one.provider].add(one.format)
    anthropic = WireFormat.ANTHROPIC_MESSAGES
    return {
        name: anthropic if formats == {anthropic} else WireFormat.OPENAI_CHAT
        for name, formats in spoken.items()
    }


def _playable(one: Endpoint, format_: WireFormat) -> Endpoint:
    if one.format is format_:
        return replace(one, also=())
    return replace(one, format=format_, also=(), dialect=Dialect(), max_tokens_field="max_tokens")


def speed_of(config: Config, one: Endpoint, latencies: Sequence[Latency]) -> Latency:
    """Return the row of an endpoint: its own before ``*``, a provider's name before its kind."""
    rows = {(row.provider, row.model): row for row in latencies}
    kind = config.targets[one.provider].kind
    for provider in (one.provider, kind, EVERY):
        for model in (one.model, one.upstream_model, EVERY):
            row = rows.get((provider, model))
            if row is not None:
                return row
    return USUAL_LATENCY


def _model(one: Endpoint, speed: Latency) -> SimulatedModel:
    """Return the behaviour of an endpoint; a second of tokens goes into one chunk."""
    return SimulatedModel(
        ttft_s=1.0,
        ttft_sigma=1.0,
        itl_s=1.0 / speed.tokens_per_s,
        output_tokens=1,
        output_sigma=1.0,
        input_usd=0.0 if one.price is None else one.price.input_usd,
        output_usd=0.0 if one.price is None else one.price.output_usd,
        chunk_tokens=max(1, round(speed.tokens_per_s)),
    )


def usual_flows(fleet: Fleet) -> tuple[Flow, ...]:
    """Return a call a second, evenly over the tasks (without any, over the models)."""
    routes = fleet.catalogue.routes
    names = [name for name, route in routes.items() if route.is_task] or list(routes)
    return tuple(
        Flow(
            hours=(0, 167),
            route=name,
            calls_per_s=USUAL_CALLS_PER_S / len(names),
            prompt_tokens=USUAL_PROMPT_TOKENS,
            output_tokens=USUAL_OUTPUT_TOKENS,
        )
        for name in names
    )


def check_flows(fleet: Fleet, flows: Sequence[Flow]) -> None:
    """Demand that every route of the workload is known.

    Raises:
        ConfigError: naming those that are not.
    """
    problems = []
    for name in dict.fromkeys(flow.route for flow in flows):
        try:
            fleet.catalogue.resolve(name)
        except UnknownModelError as error:
            problems.append(f"{fleet.config.source}: {error}; the workload calls it")
    if problems:
        raise ConfigError(tuple(problems))


def tied(fleet: Fleet, provider: ProviderName) -> Fleet:
    """Return the fleet as a program uses it that has a single provider: each route leads to its
    best model there, or, if it has none, to the provider's first.
    """
    own = [name for name, one in fleet.endpoints.items() if one.provider == provider]
    routes: dict[str, Route] = {}
    for name, route in fleet.catalogue.routes.items():
        chosen = next((one for one in route.endpoints() if one in own), own[0])
        routes[name] = replace(route, tiers=((chosen,),))
    return replace(fleet, catalogue=replace(fleet.catalogue, routes=routes))
