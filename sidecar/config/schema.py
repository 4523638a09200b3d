"""The configuration file as types: what may be written, with which default.

One list serves the validation (``walk.py``), the JSON Schema (``sidecar schema``) and the loader.
Mistakes that one member alone cannot show (dangling names, missing variables) are in
``references.py`` and ``surroundings.py``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from sidecar.config.groups import Amount, Duration, Given, section_mark
from sidecar.config.model import DrainSettings
from sidecar.config.texts import NAME_PATTERN
from sidecar.core.account import AccountSettings
from sidecar.core.amplification import AmplificationSettings
from sidecar.core.attempts import AttemptSettings
from sidecar.core.breaker import BreakerSettings
from sidecar.core.hedging import HedgeSettings
from sidecar.core.ladder import LadderSettings
from sidecar.core.latency import LatencySettings
from sidecar.core.life import LifeSettings
from sidecar.core.limit import LimitSettings
from sidecar.core.output import OutputSettings
from sidecar.core.panic import PanicSettings
from sidecar.core.probing import ProbeSettings
from sidecar.core.reliability import PenaltySettings, ReliabilitySettings
from sidecar.core.retry_tokens import RetryTokenSettings
from sidecar.core.routing import RoutingSettings, RoutingWeights
from sidecar.core.silence import SilenceSettings
from sidecar.core.spend import SpendSettings
from sidecar.core.throttle import ThrottleSettings
from sidecar.core.waste import WasteSettings
from sidecar.domain import Timers
from sidecar.engine.admission import AdmissionSettings
from sidecar.engine.cache import CacheSettings
from sidecar.ledger.settings import LedgerSettings

Name = Annotated[
    str,
    Meta(
        description="a name of letters, digits and . _ : -",
        extra={"as": "name"},
        extra_json_schema={"pattern": NAME_PATTERN},
    ),
]
Address = Annotated[
    str, Meta(description='an address such as "127.0.0.1:4180"', extra={"as": "address"})
]
Url = Annotated[
    str, Meta(description='a URL such as "https://api.example.com/v1"', extra={"as": "url"})
]
Text = Annotated[str, Meta(min_length=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
UsdPerDay = Annotated[float, Meta(ge=0, le=1e9)]
UsdPerMillion = Annotated[float, Meta(ge=0, le=1e6)]
"""A dollar a token is no price."""
AttemptsMax = Annotated[int, Meta(ge=1, le=20)]

TimersGiven = Annotated[Given, section_mark(Timers)]
BreakerGiven = Annotated[Given, section_mark(BreakerSettings)]
LimitGiven = Annotated[Given, section_mark(LimitSettings)]
ThrottleGiven = Annotated[Given, section_mark(ThrottleSettings)]
LatencyGiven = Annotated[Given, section_mark(LatencySettings)]
LifeGiven = Annotated[Given, section_mark(LifeSettings)]
SilenceGiven = Annotated[Given, section_mark(SilenceSettings)]
ReliabilityGiven = Annotated[Given, section_mark(ReliabilitySettings)]
PenaltyGiven = Annotated[Given, section_mark(PenaltySettings)]
AccountGiven = Annotated[Given, section_mark(AccountSettings)]
RetryTokensGiven = Annotated[Given, section_mark(RetryTokenSettings)]
OutputGiven = Annotated[Given, section_mark(OutputSettings)]
ProbesGiven = Annotated[Given, section_mark(ProbeSettings)]
SpendGiven = Annotated[Given, section_mark(SpendSettings)]
RoutingGiven = Annotated[Given, section_mark(RoutingSettings)]
RetriesGiven = Annotated[Given, section_mark(AttemptSettings)]
AdmissionGiven = Annotated[Given, section_mark(AdmissionSettings)]
DrainGiven = Annotated[Given, section_mark(DrainSettings)]
HedgeGiven = Annotated[Given, section_mark(HedgeSettings)]
AmplificationGiven = Annotated[Given, section_mark(AmplificationSettings)]
WasteGiven = Annotated[Given, section_mark(WasteSettings)]
PanicGiven = Annotated[Given, section_mark(PanicSettings)]
LadderGiven = Annotated[Given, section_mark(LadderSettings)]
CacheGiven = Annotated[Given, section_mark(CacheSettings)]


SECTIONS: tuple[type, ...] = (
    Timers,
    BreakerSettings,
    LimitSettings,
    ThrottleSettings,
    LatencySettings,
    SilenceSettings,
    ReliabilitySettings,
    PenaltySettings,
    LifeSettings,
    AccountSettings,
    RetryTokenSettings,
    OutputSettings,
    ProbeSettings,
    SpendSettings,
    RoutingSettings,
    RoutingWeights,
    AttemptSettings,
    AdmissionSettings,
    DrainSettings,
    HedgeSettings,
    AmplificationSettings,
    WasteSettings,
    PanicSettings,
    LadderSettings,
    CacheSettings,
)


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file."""


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
    own name.
    """

    provider: Text
    model: Text
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
    silence: SilenceGiven = field(default_factory=dict)
    reliability: ReliabilityGiven = field(default_factory=dict)
    penalty: PenaltyGiven = field(default_factory=dict)
    life: LifeGiven = field(default_factory=dict)


class PromptEntry(Entry, frozen=True):
    """What one model gets instead of the caller's system prompt."""

    system: Text


class RouteEntry(Entry, frozen=True):
    """What callers name: tiers of models, best first; within a tier the score decides."""

    tiers: list[list[Text]]
    within: Duration | None = None
    budget: Amount | None = None
    limits: RouteLimitsEntry = RouteLimitsEntry()
    prompts: dict[str, PromptEntry] = field(default_factory=dict)
    degrade: list[Literal["smaller", "clamp", "stale", "static"]] | None = None
    static: str | None = None
    max_stale: Duration = 3600.0
    hedge: bool = True
    on_break: Literal["error", "continue", "restart"] = "error"
    check_output: bool = True
    attempts: AttemptsMax | None = None


_LEDGER = LedgerSettings()


class LedgerEntry(Entry, frozen=True):
    """What is kept of calls and costs: in the file ``path``, without one in memory."""

    path: Text | None = _LEDGER.path
    keep_days: Annotated[int, Meta(ge=1, le=3660)] = _LEDGER.keep_days
    keep_mib: Annotated[int, Meta(ge=1, le=1_000_000)] = _LEDGER.keep_mib
    memory_calls: Annotated[int, Meta(ge=1, le=1_000_000)] = _LEDGER.memory_calls


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
    namespace: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$")] = "default"
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
    cache: CacheGiven = field(default_factory=dict)


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
    prices: PricesEntry = PricesEntry()
    fleet: FleetEntry = FleetEntry()
    drills: Literal["enabled", "disabled"] = "disabled"
    defaults: DefaultsEntry = DefaultsEntry()
