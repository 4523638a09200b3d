"""A provider that behaves as told: models, latencies, prices, limits, faults, a truthful log.

Pure apart from a seeded rng: the time comes with each request, and what is to happen goes out as
steps for a front (``simulated_memory``, ``simulated_server``) to perform. The rng is drawn anew
for each request from seed and request number, so that the n-th request meets the same luck
whatever faults are configured: two policies compared on one seed differ by the policy alone
(common random numbers).

The log is the ground truth for telemetry, costs and load factors: what the provider saw and billed.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.upstream import simulated_embeddings
from sidecar.upstream.simulated_answer import (
    Ask,
    AskError,
    Dialect,
    ErrorAnswer,
    Finish,
    compose,
    tool_start,
)
from sidecar.upstream.simulated_anthropic import AnthropicDialect
from sidecar.upstream.simulated_bill import billed_usd
from sidecar.upstream.simulated_exchange import (
    Data,
    Ended,
    Head,
    LogEntry,
    Plan,
    SimulatedRequest,
    Step,
)
from sidecar.upstream.simulated_faults import (
    CONNECT_KINDS,
    Fault,
    FaultKind,
    decisive_of,
    factor_of,
)
from sidecar.upstream.simulated_limits import Grants, SimulatedLimits
from sidecar.upstream.simulated_model import SimulatedModel
from sidecar.upstream.simulated_openai import OpenAiDialect
from sidecar.upstream.simulated_stream import (
    JSON_TYPE,
    UNANSWERED_STEPS,
    Delivery,
    Headers,
    answer_steps,
    error_of,
    error_steps,
    staged_error_steps,
)
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.upstream.simulated_answer import VectorsAsked

__all__ = [
    "Ended",
    "Fault",
    "FaultKind",
    "LogEntry",
    "Plan",
    "SimulatedLimits",
    "SimulatedModel",
    "SimulatedProvider",
    "SimulatedRequest",
]

PROBE_TOKENS_MAX = 16  # an answer bounded so tightly is a probe's
DEGENERATE = ("////",) * 50
WALL_START_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z: second 0, unless a front says otherwise
LOG_ENTRIES_MAX = 1_000_000  # old entries go: a demo that runs for days must not grow


class SimulatedProvider:
    """Owns its faults (replace the tuple at will), its log, and the counts behind its limits.

    ``api_key`` None: any credential passes. ``is_cancel_ignored``: it bills the whole answer of a
    request that was cut, as providers do that do not notice.
    """

    def __init__(
        self,
        name: str,
        format: WireFormat,  # noqa: A002 - the word of the domain
        models: Mapping[str, SimulatedModel],
        *,
        seed: int = 0,
        api_key: str | None = None,
        limits: SimulatedLimits | None = None,
    ) -> None:
        self.name = name
        self.format = format
        self.models = dict(models)
        self.seed = seed
        self.api_key = api_key
        self._grants = Grants(limits or SimulatedLimits())
        self.faults: tuple[Fault, ...] = ()
        self.log: list[LogEntry] = []
        self.in_flight = 0
        self.is_cancel_ignored = False
        self.wall_start_s = WALL_START_S
        self._requests = 0
        self._connects = 0
        is_openai = format is WireFormat.OPENAI_CHAT
        self._dialect: Dialect = OpenAiDialect() if is_openai else AnthropicDialect()

    def chill(self, at_s: float) -> None:
        """Be cold from ``at_s`` on, as ``SimulatedLimits.cold_s`` says."""
        self._grants.chilled_at_s = at_s

    def connect_fault(self, at_s: float) -> FaultKind | None:
        """Return what prevents a new connection at ``at_s``, None if nothing does."""
        self._connects += 1
        rng = random.Random(f"{self.seed}/connect/{self._connects}")
        for fault in self.faults:
            hit = rng.random() < fault.share
            if hit and fault.kind in CONNECT_KINDS and fault.is_active(at_s):
                return fault.kind
        return None

    def log_unreached(self, request: SimulatedRequest, kind: FaultKind) -> LogEntry:
        """Note a request that never arrived, for counts of load on a dead provider."""
        entry = self._entry(request, self._ask(request))
        entry.fault = kind
        entry.ended, entry.ended_at_s = Ended.UNREACHED, request.at_s
        return entry

    def plan(self, request: SimulatedRequest) -> Plan:
        """Decide what becomes of ``request``; the front calls ``settle`` exactly once for it."""
        self._requests += 1
        self.in_flight += 1
        asked = self._ask(request)
        entry = self._entry(request, asked)
        rng = random.Random(f"{self.seed}/{self._requests}")
        luck = _Luck(ttft=rng.gauss(), length=rng.gauss())
        hits = self._hits(request, entry, rng)
        steps = self._steps(request, asked, hits, luck, entry)
        deciding = decisive_of(hits) or (hits[0] if hits else None)
        entry.fault = deciding.kind if deciding is not None else None
        entry.status = next((step.status for step in steps if isinstance(step, Head)), None)
        entry.planned_tokens = sum(step.tokens for step in steps if isinstance(step, Data))
        return Plan(steps=steps, entry=entry)

    def settle(self, entry: LogEntry, ended: Ended, at_s: float) -> None:
        """Complete ``entry``: it is over, and billed by what was made until ``at_s``."""
        assert entry.ended is Ended.OPEN, "an exchange is settled once"
        entry.ended, entry.ended_at_s = ended, at_s
        self.in_flight -= 1
        model = self.models.get(entry.model or "")
        if model is None or entry.status != HTTPStatus.OK:
            return
        entry.cost_usd = billed_usd(
            entry, model, ended, at_s, is_cancel_ignored=self.is_cancel_ignored
        )

    # --- understanding ---------------------------------------------------------------------

    def _ask(self, request: SimulatedRequest) -> _Asked:
        """Return the completion asked for, an error, or the body of another answer."""
        route = request.path.partition("?")[0].removeprefix("/v1")
        is_openai = self.format is WireFormat.OPENAI_CHAT
        if route == "/models" and request.method == "GET":
            return self._dialect.models(tuple(self.models), int(self.wall_start_s))
        if request.method != "POST":
            return ErrorAnswer(status=405, message="Method not allowed")
        try:
            if route == ("/chat/completions" if is_openai else "/messages"):
                return self._dialect.read(request.body)
            if is_openai and route == "/embeddings":
                return simulated_embeddings.read(request.body)
            counted = self._dialect.count(request.body) if route.endswith("/count_tokens") else None
        except AskError as error:
            return error.answer
        return counted or ErrorAnswer(status=404, message=f"Unknown request URL: {route}")

    def _entry(self, request: SimulatedRequest, asked: _Asked) -> LogEntry:
        entry = LogEntry(at_s=request.at_s, path=request.path)
        if isinstance(asked, Ask):
            entry.model, entry.is_stream = asked.model, asked.is_stream
            entry.prompt_tokens = asked.prompt_tokens
            entry.is_probe = asked.max_tokens is not None and asked.max_tokens <= PROBE_TOKENS_MAX
        else:
            entry.is_probe = request.method == "GET"
        if len(self.log) >= LOG_ENTRIES_MAX:
            del self.log[: LOG_ENTRIES_MAX // 2]
        self.log.append(entry)
        return entry

    # --- deciding --------------------------------------------------------------------------

    def _hits(
        self, request: SimulatedRequest, entry: LogEntry, rng: random.Random
    ) -> tuple[Fault, ...]:
        """Return the faults that hit, in their order; each draws its luck whether active or not."""
        drawn = [(fault, rng.random() < fault.share) for fault in self.faults]
        return tuple(
            fault
            for fault, is_hit in drawn
            if is_hit and fault.is_active(request.at_s) and _concerns(fault, request, entry)
        )

    def _steps(
        self,
        request: SimulatedRequest,
        asked: _Asked,
        hits: tuple[Fault, ...],
        luck: _Luck,
        entry: LogEntry,
    ) -> tuple[Step, ...]:
        request_id = f"req_{self.name}{self._requests:08d}"
        headers = self._dialect.id_headers(request_id)
        decisive = decisive_of(hits)
        if decisive is not None and decisive.kind in UNANSWERED_STEPS:
            return UNANSWERED_STEPS[decisive.kind]
        if decisive is not None and decisive.kind in (FaultKind.STATUS, FaultKind.TOKEN_RATE):
            return staged_error_steps(decisive, self._dialect, headers, request_id)
        if not self._is_authorised(request):
            return error_steps(self._dialect, ErrorAnswer(status=401), headers, request_id)
        if isinstance(asked, Ask):
            refusal = self._refusal(asked)
            if refusal is None:
                refusal, more = self._grants.ask(
                    request.at_s, self.in_flight, self._dialect, self.wall_start_s
                )
                headers += more
            if refusal is None:
                slowness = self._grants.slowness(request.at_s, self.in_flight)
                delivery = self._delivery(asked, hits, luck, headers)
                delivery = replace(
                    delivery,
                    ttft_s=delivery.ttft_s * slowness,
                    itl_s=delivery.itl_s * slowness,
                )
                entry.first_token_s, entry.itl_s = delivery.ttft_s, delivery.itl_s
                entry.cached_tokens = delivery.reply.cached_tokens
                entry.reasoning_tokens = delivery.reply.reasoning_tokens
                return answer_steps(delivery, decisive)
            asked = refusal
        if isinstance(asked, ErrorAnswer):
            return error_steps(self._dialect, asked, headers, request_id)
        length = ("content-length", str(len(asked)))
        return (Head(200, (JSON_TYPE, *headers, length)), Data(asked))

    def _is_authorised(self, request: SimulatedRequest) -> bool:
        if self.api_key is None:
            return True
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return self.api_key in (bearer, request.headers.get("x-api-key"))

    def _refusal(self, ask: Ask) -> ErrorAnswer | None:
        """Return why a well-formed request is not served."""
        model = self.models.get(ask.model)
        if model is None:
            return ErrorAnswer(status=404, message=f"The model {ask.model!r} does not exist.")
        if model.context_tokens is not None and ask.prompt_tokens > model.context_tokens:
            message = f"prompt is too long: {ask.prompt_tokens} tokens > {model.context_tokens}"
            code = "context_length_exceeded" if self.format is WireFormat.OPENAI_CHAT else None
            return ErrorAnswer(status=400, code=code, message=message)
        return None

    def _delivery(
        self, ask: Ask, hits: tuple[Fault, ...], luck: _Luck, headers: Headers
    ) -> Delivery:
        model = self.models[ask.model]
        tokens = round(model.output_tokens * math.exp(model.output_sigma * luck.length))
        created = int(self.wall_start_s)
        reply = compose(self.name, self._requests, ask, tokens=tokens, created_at_s=created)
        if model.cached_share or model.reasoning_tokens:
            cached = int(ask.prompt_tokens * model.cached_share) * (self._requests % 2)
            reply = replace(reply, cached_tokens=cached, reasoning_tokens=model.reasoning_tokens)
        decisive = decisive_of(hits)
        kind = decisive.kind if decisive is not None else None
        if reply.vectors is not None:
            reply = replace(reply, vectors=_disturbed(reply.vectors, kind))
        elif kind is FaultKind.EMPTY:
            reply = replace(reply, pieces=(), calls=(), finish=Finish.STOP)
        elif kind is FaultKind.DEGENERATE:
            pieces = DEGENERATE[: ask.max_tokens]
            reply = replace(reply, pieces=pieces, calls=(), finish=Finish.STOP)
        elif kind is FaultKind.TOOL_THEN_ERROR:
            reply = tool_start(reply, self.name, ask)
        return Delivery(
            dialect=self._dialect,
            ask=ask,
            reply=reply,
            headers=headers,
            request_id=headers[0][1],
            ttft_s=model.ttft_s
            * math.exp(model.ttft_sigma * luck.ttft)
            * factor_of(hits, FaultKind.SLOW_FIRST),
            itl_s=model.itl_s * factor_of(hits, FaultKind.DRIP),
            chunk_tokens=model.chunk_tokens,
            error=error_of(decisive, self._dialect),
            is_sliced=any(fault.kind is FaultKind.SLICE for fault in hits),
        )


# A completion, an error, or the body of another answer.
_Asked = Ask | ErrorAnswer | bytes


@value
class _Luck:
    """Standard normal draws of one request."""

    ttft: float
    length: float


def _disturbed(asked: VectorsAsked, kind: FaultKind | None) -> VectorsAsked:
    """Return what a model takes ``asked`` for that loses the last text, or computes rubbish."""
    if kind is FaultKind.EMPTY:
        return replace(asked, texts=asked.texts[:-1])
    return replace(asked, is_rubbish=kind is FaultKind.DEGENERATE)


def _concerns(fault: Fault, request: SimulatedRequest, entry: LogEntry) -> bool:
    """Say whether ``fault`` is of a kind and scope that this request can meet."""
    if fault.kind in CONNECT_KINDS:
        return False
    if fault.kind is FaultKind.STALE:
        return request.is_reused
    if fault.kind is FaultKind.TOKEN_RATE:
        return entry.prompt_tokens > fault.prompt_tokens_max
    if request.method == "GET":
        return fault.hits_models
    return fault.model is None or fault.model == entry.model
