"""The configuration file as types: what may be written, with which default.

One list serves the validation (``walk.py``), the JSON Schema (``sidecar schema``) and the loader.
Mistakes that one member alone cannot show (dangling names, missing variables) are in
``references.py`` and ``surroundings.py``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from sidecar.config.entries import (
    Address,
    AttemptsMax,
    Entry,
    Fraction,
    Name,
    Share,
    Text,
    Url,
    UsdPerDay,
    UsdPerMillion,
)
from sidecar.config.groups import Amount, Duration
from sidecar.config.sections import (
    AccountGiven,
    AdmissionGiven,
    AmplificationGiven,
    BreakerGiven,
    CacheGiven,
    CanaryGiven,
    DrainGiven,
    ForecastGiven,
    HedgeGiven,
    LadderGiven,
    LatencyGiven,
    LifeGiven,
    LimitGiven,
    OutputGiven,
    PanicGiven,
    PenaltyGiven,
    ProbesGiven,
    QualityGiven,
    ReliabilityGiven,
    RetriesGiven,
    RetryTokensGiven,
    RoutingGiven,
    SilenceGiven,
    SpendGiven,
    ThrottleGiven,
    TimersGiven,
    WasteGiven,
)
from sidecar.ledger.settings import LedgerSettings
from sidecar.telemetry.settings import TelemetrySettings


class ListenEntry(Entry, frozen=True):
    """Where the three planes listen."""

    data: Address = "127.0.0.1:4180"
    admin: Address = "127.0.0.1:4181"
    health: Address = "0.0.0.0:4182"


class SecretEntry(Entry, frozen=True):
    """Where a secret is: the name of an environment variable or the path of a file."""

    env: Text | None = None
    file: Text | None = None


Secret = Annotated[SecretEntry, Meta(extra={"is_secret": True})]


class LimitsEntry(Entry, frozen=True):
    """What the account is allowed a minute: requests and tokens; a day: US dollars."""

    rpm: Annotated[int, Meta(ge=1)] | None = None
    tpm: Annotated[int, Meta(ge=1)] | None = None
    usd_per_day: UsdPerDay | None = None


class RouteLimitsEntry(Entry, frozen=True):
    """What a route's calls may cost together."""

    usd_per_day: UsdPerDay | None = None


class ProviderEntry(Entry, frozen=True):
    """An account at a company: base URL, credential, wire format."""

    kind: Text
    base_url: Url | None = None
    api_key: Secret | None = None
    region: Annotated[str, Meta(pattern="^[a-z0-9-]{1,40}$")] | None = None
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    limits: LimitsEntry = LimitsEntry()
    capacity: Literal["shared", "dedicated"] | None = None
    verify_tls: bool = True
    trace_context: bool = False


class PriceEntry(Entry, frozen=True):
    """US dollars per million tokens."""

    input: UsdPerMillion
    output: UsdPerMillion
    cached_input: UsdPerMillion | None = None
    cache_write: UsdPerMillion | None = None


class CanEntry(Entry, frozen=True):
    """What a model can and cannot do; what is left out is taken from the tables, or assumed."""

    tools: bool | None = None
    forced_tool: bool | None = None
    parallel_tools: bool | None = None
    schema: bool | None = None
    vision: bool | None = None
    thinking: bool | None = None
    prefill: bool | None = None
    logprobs: bool | None = None
    seed: bool | None = None


class ModelEntry(Entry, frozen=True):
    """An endpoint: one model at one provider.

    ``embeds``: it makes embeddings, and nothing else; unless given, its name says so.
    ``embedding_space``: models of one space take over from each other; unless given, the model's
    own name. ``share``: it is on trial, and gets so much of the calls of its routes.
    """

    provider: Text
    model: Text
    share: Share | None = None
    quality: Fraction | dict[str, Fraction] = 0.5
    price: PriceEntry | None = None
    context: Annotated[int, Meta(ge=1)] | None = None
    max_output: Annotated[int, Meta(ge=1)] | None = None
    can: CanEntry = CanEntry()
    reasoning: bool = False
    prefill: bool = False
    upstream: Text | None = None
    embeds: bool | None = None
    embedding_space: Text | None = None
    timers: TimersGiven = field(default_factory=dict)
    breaker: BreakerGiven = field(default_factory=dict)
    limit: LimitGiven = field(default_factory=dict)
    throttle: ThrottleGiven = field(default_factory=dict)
    latency: LatencyGiven = field(default_factory=dict)
    forecast: ForecastGiven = field(default_factory=dict)
    silence: SilenceGiven = field(default_factory=dict)
    reliability: ReliabilityGiven = field(default_factory=dict)
    penalty: PenaltyGiven = field(default_factory=dict)
    life: LifeGiven = field(default_factory=dict)


class PromptEntry(Entry, frozen=True):
    """What one model gets instead of the caller's system prompt."""

    system: Text


class AdaptiveEntry(Entry, frozen=True):
    """What an answer is worth (US dollars, for a quality of 1 and for a second of waiting), and
    which ``share`` of calls and money above the incumbent's price a day may go into finding out.
    """

    worth: Amount | None = None
    per_second: Amount | None = None
    share: Share | None = None
    usd_per_day: Amount | None = None


class ShadowEntry(Entry, frozen=True):
    """A model that gets a copy of a share of the calls, and what that may cost a day."""

    model: Text
    share: Share = 0.02
    usd_per_day: Amount = 1.0


class GraderEntry(Entry, frozen=True):
    """A model that grades a share of the route's answers by a rubric, for so much a day."""

    model: Text
    rubric: Annotated[str, Meta(min_length=1, max_length=8000)]
    share: Fraction = 0.02
    usd_per_day: Amount = 1.0


class RouteEntry(Entry, frozen=True):
    """What callers name: tiers of models, best first; within a tier the score decides."""

    tiers: list[list[Text]]
    choose: Literal["configured", "adaptive"] = "configured"
    adaptive: AdaptiveEntry = AdaptiveEntry()
    shadow: ShadowEntry | None = None
    within: Duration | None = None
    first_token: Duration | None = None
    budget: Amount | None = None
    quality: Fraction | None = None
    quality_hard: Fraction | None = field(default=None, name="quality!")
    priority: Literal["interactive", "batch"] = "interactive"
    limits: RouteLimitsEntry = RouteLimitsEntry()
    prompts: dict[str, PromptEntry] = field(default_factory=dict)
    degrade: list[Literal["smaller", "clamp", "stale", "static"]] | None = None
    static: str | None = None
    max_stale: Duration = 3600.0
    hedge: bool = True
    on_break: Literal["error", "continue", "restart"] = "error"
    check_output: bool = True
    attempts: AttemptsMax | None = None
    grader: GraderEntry | None = None


_LEDGER = LedgerSettings()


class LedgerEntry(Entry, frozen=True):
    """What is kept of calls and costs: in the file ``path``, without one in memory."""

    path: Text | None = _LEDGER.path
    keep_days: Annotated[int, Meta(ge=1, le=3660)] = _LEDGER.keep_days
    keep_mib: Annotated[int, Meta(ge=1, le=1_000_000)] = _LEDGER.keep_mib
    memory_calls: Annotated[int, Meta(ge=1, le=1_000_000)] = _LEDGER.memory_calls
    keep_comments: bool = _LEDGER.keep_comments


_TELEMETRY = TelemetrySettings()


class TelemetryEntry(Entry, frozen=True):
    """What traces hold beyond figures; where they go is said by the ``OTEL_*`` variables.

    ``content``: prompts and answers too, up to ``content_chars`` a message, without what matches
    the regular expressions ``redact``.
    """

    content: bool = _TELEMETRY.content
    redact: list[Text] = field(default_factory=list)
    content_chars: Annotated[int, Meta(ge=1, le=1_000_000)] = _TELEMETRY.content_chars


class PricesEntry(Entry, frozen=True):
    """Whether new list prices are fetched while the sidecar runs: how often, and from where.

    An hour at least: hundreds of pods may do the same.
    """

    refresh: Duration | None = None
    url: Url | None = None


class FleetEntry(Entry, frozen=True):
    """The store (Valkey or Redis) over which pods share what they know; without ``url`` nothing is.

    ``namespace``: pods of one namespace are one fleet; ``ca``: whose certificates are trusted.
    """

    url: Text | None = None
    namespace: Name = "default"
    username: Text | None = None
    password: Secret | None = None
    ca: Text | None = None
    verify_tls: bool = True


class DefaultsEntry(Entry, frozen=True):
    """What holds where a model or route says nothing."""

    within: Duration = 120.0
    attempts: AttemptsMax = 3
    timers: TimersGiven = field(default_factory=dict)
    breaker: BreakerGiven = field(default_factory=dict)
    host_breaker: BreakerGiven = field(default_factory=dict)
    limit: LimitGiven = field(default_factory=dict)
    throttle: ThrottleGiven = field(default_factory=dict)
    latency: LatencyGiven = field(default_factory=dict)
    forecast: ForecastGiven = field(default_factory=dict)
    silence: SilenceGiven = field(default_factory=dict)
    reliability: ReliabilityGiven = field(default_factory=dict)
    penalty: PenaltyGiven = field(default_factory=dict)
    life: LifeGiven = field(default_factory=dict)
    account: AccountGiven = field(default_factory=dict)
    retry_tokens: RetryTokensGiven = field(default_factory=dict)
    output: OutputGiven = field(default_factory=dict)
    probes: ProbesGiven = field(default_factory=dict)
    spend: SpendGiven = field(default_factory=dict)
    routing: RoutingGiven = field(default_factory=dict)
    retries: RetriesGiven = field(default_factory=dict)
    admission: AdmissionGiven = field(default_factory=dict)
    drain: DrainGiven = field(default_factory=dict)
    hedge: HedgeGiven = field(default_factory=dict)
    amplification: AmplificationGiven = field(default_factory=dict)
    waste: WasteGiven = field(default_factory=dict)
    panic: PanicGiven = field(default_factory=dict)
    ladder: LadderGiven = field(default_factory=dict)
    quality: QualityGiven = field(default_factory=dict)
    cache: CacheGiven = field(default_factory=dict)
    canary: CanaryGiven = field(default_factory=dict)
    adaptive: AdaptiveEntry = AdaptiveEntry()


class File(Entry, frozen=True):
    """A configuration file."""

    providers: Annotated[dict[Name, ProviderEntry], Meta(min_length=1)]
    models: Annotated[dict[Name, ModelEntry], Meta(min_length=1)]
    routes: dict[Name, RouteEntry] = field(default_factory=dict)
    aliases: dict[Text, Text] = field(default_factory=dict)
    listen: ListenEntry = ListenEntry()
    allow_remote: bool = False
    token: Secret | None = None
    ledger: LedgerEntry = LedgerEntry()
    telemetry: TelemetryEntry = TelemetryEntry()
    prices: PricesEntry = PricesEntry()
    fleet: FleetEntry = FleetEntry()
    drills: Literal["enabled", "disabled"] = "disabled"
    defaults: DefaultsEntry = DefaultsEntry()
