"""The vocabulary: what every layer may name, as frozen values.

Glossary (one word, one meaning):

* **caller**: the program on localhost. **provider**: an account at a company (base URL, key, wire
  format).
* **endpoint**: one model at one provider; the unit of score, breaker and price. Its id is
  ``provider/model``, the names under ``providers:`` and ``models:``.
* **host**: scheme, host and port; its endpoints share connect faults. **account**: a credential
  (a provider entry); its endpoints share rate limits, auth and spend.
* **route**: what a caller names in ``model``: a task with tiers of endpoints, or one model.
* **call**: a request from arrival to last byte. **attempt**: one try of a call at one endpoint.
* **outcome**: verdict on an attempt. **commit**: first usable chunk chosen; after it no other
  attempt may answer.
* **deadline**: an instant (``…_at``). **limit**: a duration (``…_s``).
* **breaker**: electrical: closed passes, open refuses, half-open passes few. **permit**: leave from
  a gate, settled once. **pushback**: the provider says when to return. **probe** / **sample**:
  active check / passive observation. **chunk**: one SSE event.

Nothing here decides anything; the decisions are in ``core``.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.abilities import Abilities, Ability, Dialect
from sidecar.amounts import Price as Price  # noqa: PLC0414
from sidecar.amounts import Timers as Timers  # noqa: PLC0414
from sidecar.amounts import Usage as Usage  # noqa: PLC0414
from sidecar.names import CallId as CallId  # noqa: PLC0414, TC001
from sidecar.names import EndpointId as EndpointId  # noqa: PLC0414, TC001
from sidecar.names import HostName as HostName  # noqa: PLC0414, TC001
from sidecar.names import ModelName as ModelName  # noqa: PLC0414, TC001
from sidecar.names import ProviderName as ProviderName  # noqa: PLC0414, TC001
from sidecar.names import RouteName as RouteName  # noqa: PLC0414, TC001
from sidecar.shares import Adaptive as Adaptive  # noqa: PLC0414, TC001
from sidecar.shares import Grader as Grader  # noqa: PLC0414, TC001
from sidecar.shares import Shadow as Shadow  # noqa: PLC0414, TC001
from sidecar.value import value
from sidecar.verdicts import Capacity as Capacity  # noqa: PLC0414 - parts of the vocabulary
from sidecar.verdicts import Gate as Gate  # noqa: PLC0414
from sidecar.verdicts import OutcomeClass as OutcomeClass  # noqa: PLC0414
from sidecar.verdicts import Priority as Priority  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.tracing import TraceContext


class WireFormat(Enum):
    """A wire format; ``wire/formats.py`` says who speaks it. Of ``EMBEDDINGS`` come vectors."""

    __hash__ = object.__hash__  # they are keys of what each call looks up

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    OPENAI_EMBEDDINGS = "openai-embeddings"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    GEMINI = "gemini"
    GEMINI_EMBEDDINGS = "gemini-embeddings"
    BEDROCK_CONVERSE = "bedrock-converse"
    OLLAMA_CHAT = "ollama-chat"
    REPLICATE = "replicate"


EMBEDDINGS = frozenset({WireFormat.OPENAI_EMBEDDINGS, WireFormat.GEMINI_EMBEDDINGS})


class OnBreak(Enum):
    """When a stream breaks after its first content: ERROR is an explicit error event, CONTINUE
    goes on where it broke (text only), RESTART shows nothing before the answer is whole.
    """

    ERROR = "error"
    CONTINUE = "continue"
    RESTART = "restart"


class Rung(Enum):
    """A step of the degraded-mode ladder that a route may permit."""

    SMALLER = "smaller"
    CLAMP = "clamp"
    STALE = "stale"
    STATIC = "static"


DEFAULT_RUNGS = (Rung.SMALLER, Rung.STATIC)  # a static answer is there only if a route gives one


@value
class Quality:
    """Expected quality of an endpoint's answers, 0..1: by route, else the default."""

    default: float = 0.5
    by_route: Mapping[RouteName, float] = field(default_factory=dict)
    learned: dict[RouteName, float] = field(default_factory=dict, repr=False, compare=False)
    """Of routes of which enough was seen; ``engine/qualities.py`` alone writes it."""

    def of(self, route: RouteName) -> float:
        """Return the expected quality for ``route``: as learned, else as configured."""
        if self.learned and (known := self.learned.get(route)) is not None:
            return known
        return self.by_route.get(route, self.default)

    def configured(self, route: RouteName) -> float:
        """Return the quality for ``route`` that was configured."""
        return self.by_route.get(route, self.default)


@value
class Endpoint:
    """One model at one provider.

    ``format`` is what it is asked in unless the caller speaks one of ``also``, which need no
    translation either. ``upstream_model`` is the provider's own name for the model, the field
    ``max_tokens_field`` bounds its answers. ``upstream`` names who really runs the model where that
    is somebody else: endpoints of one upstream, host or account share a fate.
    ``supports_prefill``: the model goes on from a trailing assistant turn.
    ``bills_cut_answers``: in full, as if nobody had hung up. Vectors of one
    ``space`` can be compared. ``hears_trace``: it is told of which trace an attempt is a part.
    """

    id: EndpointId
    provider: ProviderName
    model: ModelName
    upstream_model: str
    format: WireFormat
    host: HostName
    capacity: Capacity = Capacity.SHARED
    quality: Quality = field(default_factory=Quality)
    price: Price | None = None
    timers: Timers = field(default_factory=Timers)
    is_reasoning: bool = False
    context_tokens: int | None = None
    supports_prefill: bool = False
    upstream: str | None = None
    max_tokens_field: str = "max_tokens"
    also: tuple[WireFormat, ...] = ()
    abilities: Abilities = field(default_factory=Abilities)
    dialect: Dialect = field(default_factory=Dialect)
    bills_cut_answers: bool = False
    space: str | None = None
    hears_trace: bool = False

    def format_for(self, asked: WireFormat) -> WireFormat | None:
        """Return in which format a call in ``asked`` is put to it, None if in none."""
        if asked is self.format or asked in self.also:
            return asked
        is_vectors = asked in EMBEDDINGS
        spoken = (self.format, *self.also)
        return next((one for one in spoken if (one in EMBEDDINGS) is is_vectors), None)


@value
class Constraints:
    """What one call asks for on top of its route; None: nothing."""

    within_s: float | None = None
    budget_usd: float | None = None
    first_token_s: float | None = None
    quality: float | None = None
    is_quality_hard: bool = False
    priority: Priority = Priority.INTERACTIVE
    may_hedge: bool = True
    may_use_cache: bool = True
    on_break: OnBreak | None = None


@value
class Route:
    """What callers name: endpoints in tiers, best first, and what holds unless a call says else.

    ``constraints`` are the route's own, for a call that asks for nothing. ``prompts`` replaces the
    system prompt at one endpoint, ``static`` is the last resort, ``rungs`` are the permitted steps
    of the ladder, ``stale_s_max`` bounds the age of stale answers; ``checks_output``: a JSON answer
    must be what was asked for. With ``adaptive`` the tiers are but the first guess. ``canaries``
    are on trial: (endpoint, share of the calls).
    """

    name: RouteName
    tiers: tuple[tuple[EndpointId, ...], ...]
    within_s: float = 120.0
    budget_usd: float | None = None
    first_token_s: float | None = None
    quality: float | None = None
    is_quality_hard: bool = False
    priority: Priority = Priority.INTERACTIVE
    prompts: Mapping[EndpointId, str] = field(default_factory=dict)
    static: str | None = None
    rungs: tuple[Rung, ...] = DEFAULT_RUNGS
    stale_s_max: float = 3600.0
    may_hedge: bool = True
    on_break: OnBreak = OnBreak.ERROR
    attempts_max: int = 3
    is_task: bool = True
    checks_output: bool = True
    grader: Grader | None = None
    adaptive: Adaptive | None = None
    canaries: tuple[tuple[EndpointId, float], ...] = ()
    shadow: Shadow | None = None
    has_lots: bool = field(init=False, repr=False, compare=False)
    constraints: Constraints = field(init=False, repr=False, compare=False)
    _all: tuple[EndpointId, ...] = field(init=False, repr=False, compare=False)
    _best: frozenset[EndpointId] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        everyone = tuple(endpoint for tier in self.tiers for endpoint in tier)
        constraints = Constraints(
            budget_usd=self.budget_usd,
            first_token_s=self.first_token_s,
            quality=self.quality,
            is_quality_hard=self.is_quality_hard,
            priority=self.priority,
        )
        object.__setattr__(self, "constraints", constraints)
        object.__setattr__(self, "_all", everyone)
        best = everyone if self.adaptive is not None else self.tiers[0] if self.tiers else ()
        object.__setattr__(self, "_best", frozenset(best))
        object.__setattr__(self, "has_lots", self.adaptive is not None or bool(self.canaries))

    def endpoints(self) -> tuple[EndpointId, ...]:
        """Return every endpoint of the route, best tier first."""
        return self._all

    def is_best(self, endpoint: EndpointId) -> bool:
        """Return whether ``endpoint`` is of the first tier; of an adaptive route all are equals."""
        return endpoint in self._best


@value
class RequestFacts:
    """What the engine needs of a request body.

    ``prompt_tokens`` is an estimate. ``untranslatable`` names features that only the caller's own
    format can express: an endpoint of another is not eligible. ``needs`` adds to tools and images.
    ``references`` are (path, id) of what a provider keeps and the call refers to.
    ``inputs_count``: so many vectors are due. ``may_bind_output``: JSON is asked for, maybe under a
    schema. ``has_tool_results``: a tool's result is in the conversation.
    """

    model: str
    is_stream: bool
    prompt_tokens: int
    max_tokens: int | None = None
    has_tools: bool = False
    has_images: bool = False
    wants_usage_in_stream: bool = False
    untranslatable: tuple[str, ...] = ()
    inputs_count: int = 0
    may_bind_output: bool = False
    has_tool_results: bool = False
    references: tuple[tuple[str, str], ...] = ()
    needs: frozenset[Ability] = frozenset()

    def all_needs(self) -> frozenset[Ability]:
        """Return what a model must be able to do."""
        tools = {Ability.TOOLS} if self.has_tools else set()
        return self.needs | tools | ({Ability.VISION} if self.has_images else set())


@value
class Call:
    """One caller request, accepted and resolved; ``body`` is without the ``sidecar`` object,
    ``forward_headers`` are those that a provider of the same format may see. ``trace`` is
    the caller's span, ``door`` the path where the format does not tell it.
    """

    id: CallId
    arrived_at: float
    deadline_at: float
    format: WireFormat
    route: Route
    body: bytes
    facts: RequestFacts
    constraints: Constraints = field(default_factory=Constraints)
    forward_headers: tuple[tuple[str, str], ...] = ()
    trace: TraceContext | None = None
    door: str = ""


_QUOTING = frozenset(
    {
        *(OutcomeClass.OK, OutcomeClass.CALLER, OutcomeClass.CONTEXT),
        *(OutcomeClass.UNFIT, OutcomeClass.DEGENERATE),
    }
)


@value
class Outcome:
    """What became of one attempt; ``message`` holds no secrets, prompts or answers."""

    cls: OutcomeClass
    endpoint: EndpointId
    message: str
    started_at: float
    ended_at: float
    first_content_at: float | None = None
    status: int | None = None
    retry_after_s: float | None = None
    usage: Usage | None = None
    cost_usd: float = 0.0

    def label(self) -> str:
        """Return ``provider/model:CLASS`` as in the ``x-sidecar-attempts`` header."""
        return f"{self.endpoint}:{self.cls.value}"

    def reason(self) -> str:
        """Return ``message`` as operators may see and keep it: a provider that finds fault with a
        request may quote it, so nothing is said of that.
        """
        return "" if self.cls in _QUOTING else self.message


@value
class Fault:
    """A provider's failure, classified: which class, what it said, when to come back.

    ``message`` is the provider's own short text with secrets cut out, ``error_type`` its own type.
    ``body`` is the answer, of the same length, where our key had to be struck out of it.
    """

    cls: OutcomeClass
    message: str
    error_type: str | None = None
    status: int | None = None
    retry_after_s: float | None = None
    body: bytes | None = None
