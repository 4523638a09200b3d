"""What a pod has to say to the fleet since it last did: counted as it happens, bounded.

An observer of the engine's events, so that the engine knows nothing of it. An event costs a look
at its type, one lookup and an addition. Only outcomes that speak of an endpoint are counted, with
the weights that one's own breaker gives them; a rate limit is the account's, a caller's mistake
nobody's. Prompts, answers, names and keys stay here: what leaves are counts under short names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.core.outcome import PROBE_WEIGHT, effects
from sidecar.domain import OutcomeClass
from sidecar.events import AttemptFinished, ProbeFinished

if TYPE_CHECKING:
    from sidecar.domain import Endpoint, EndpointId, Outcome, ProviderName
    from sidecar.fleet.names import Names

VOTES_MAX = 20.0
"""Outcomes of one endpoint in one push: more make no better witness."""
REST_S_MIN = 0.5


class Wish(msgspec.Struct, array_like=True):
    """The record's next state, asked for by who saw generation ``gen``; jitter is a factor."""

    gen: int
    state: str
    jitter: float
    pushback_ms: float


class Push(msgspec.Struct, omit_defaults=True):
    """What is sent; the letters are those of ``sync.lua``."""

    p: str
    e: dict[str, tuple[float, float]] = {}
    t: dict[str, tuple[float, float]] = {}
    r: dict[str, float] = {}
    q: dict[str, tuple[float, float]] = {}
    u: dict[str, float] = {}
    o: dict[str, Wish] = {}
    y: int = 0
    n: bool = False


class Tally:
    """Owns the counts since the last push. ``is_urgent``: there is a failure among them."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.is_urgent = False
        self.oks: dict[EndpointId, list[float]] = {}
        self._counts: dict[str, list[float]] = {}
        self._waits: dict[str, tuple[float, float]] = {}
        self._rests: dict[ProviderName, float] = {}
        self._used: dict[ProviderName, list[float]] = {}

    def on_event(self, event: object) -> None:
        """Count what speaks of an endpoint or an account."""
        if isinstance(event, AttemptFinished):
            self._count(event.outcome, 1.0)
        elif isinstance(event, ProbeFinished):
            self._count(event.outcome, PROBE_WEIGHT, is_paid=event.kind == "paid")

    def take(self, pod: str, now: float) -> Push:
        """Return what there is to say, and begin anew."""
        names = self.names
        push = Push(
            p=pod,
            e={id_: (min(VOTES_MAX, ok), min(VOTES_MAX, f)) for id_, (ok, f) in self._said()},
            t=self._waits,
            r={
                names.account(provider): round((until - now) * 1000.0)
                for provider, until in self._rests.items()
                if until - now > REST_S_MIN
            },
            q={names.account(name): (used[0], used[1]) for name, used in self._used.items()},
        )
        self.drop()
        return push

    def drop(self) -> None:
        """Forget what was not said: it would be entered as of another second."""
        self._counts, self._waits, self._rests, self._used = {}, {}, {}, {}
        self.is_urgent = False

    def _said(self) -> list[tuple[str, list[float]]]:
        subjects = self.names.subjects
        return [(subjects[name], pair) for name, pair in self._counts.items() if name in subjects]

    def _count(self, outcome: Outcome, weight: float, *, is_paid: bool = True) -> None:
        endpoint = self.names.endpoints.get(outcome.endpoint)
        if endpoint is None:
            return
        effect = effects(outcome.cls, status=outcome.status)
        if is_paid and effect.endpoint_fail is not None:
            self._add(endpoint.id, effect.endpoint_fail, weight)
        if effect.host_fail is not None:
            self._add(endpoint.host, effect.host_fail, weight)
        if outcome.cls is OutcomeClass.RATE and outcome.retry_after_s:
            until = outcome.ended_at + outcome.retry_after_s
            self._rests[endpoint.provider] = max(until, self._rests.get(endpoint.provider, until))
        if is_paid:
            self._note(outcome, endpoint)
            if effect.endpoint_fail == 0.0:
                times = self.oks.setdefault(endpoint.id, [])
                times.append(outcome.ended_at)
                del times[:-OKS_MAX]

    def _note(self, outcome: Outcome, endpoint: Endpoint) -> None:
        """Note what an attempt used, and how long it waited for the first content."""
        used = self._used.setdefault(endpoint.provider, [0.0, 0.0])
        used[0] += 1.0
        if outcome.usage is not None:
            used[1] += outcome.usage.input_tokens + outcome.usage.output_tokens
            if outcome.first_content_at is not None:
                wait_s = outcome.first_content_at - outcome.started_at
                name = self.names.subjects[endpoint.id]
                self._waits[name] = (wait_s, float(max(1, outcome.usage.input_tokens)))

    def _add(self, name: str, fail: float, weight: float) -> None:
        pair = self._counts.setdefault(name, [0.0, 0.0])
        if fail > 0.0:
            pair[1] += fail if fail == 1.0 else fail * weight
            self.is_urgent = True
        else:
            pair[0] += weight


OKS_MAX = 8
"""Times of one's own last successes; overruling the fleet takes three."""
