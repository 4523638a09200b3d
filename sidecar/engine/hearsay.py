"""What other pods know, entered as what it is: hearsay.

Each verb is one kind of knowledge, carried to the owner of the state as ``health.py`` carries an
outcome. None of it is a command: an open breaker that was only heard of makes its own trial when it
is due, closes when that succeeds, and an operator's isolation stands whatever others say. The
caller decides whether to believe at all (``sidecar/fleet``), and bounds every number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sidecar.core.outcome import AccountEffect
from sidecar.core.ring import Cause
from sidecar.domain import EndpointId, HostName
from sidecar.events import AccountChanged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.breaker import Breaker, BreakerState
    from sidecar.core.caps import Cap
    from sidecar.core.quality import QualityBook
    from sidecar.domain import ProviderName
    from sidecar.engine.pacer import Pacer
    from sidecar.engine.parts import Parts

SECOND_HAND = 0.25
"""What one pod's word weighs beside one's own experience."""
TTFT_RANGE_S = (0.01, 300.0)


class Holder(Protocol):
    """Whose parts are in force: the engine."""

    parts: Parts


class Hearsay:
    """The verbs by which a fleet's knowledge enters one engine."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    def state_of(self, name: str, now: float) -> BreakerState | None:
        """Return the state of the breaker of an endpoint or host, None if there is none."""
        breaker = self._breaker(name)
        return None if breaker is None else breaker.state(now)

    def is_lost(self, now: float) -> bool:
        """Return whether this pod's own way out is in doubt."""
        return self._holder.parts.health.egress.is_suspect(now)

    def opens(self, name: str, until: float, now: float) -> None:
        """Take an endpoint or host out until its trial is due at ``until``."""
        breaker = self._breaker(name)
        if breaker is not None:
            breaker.trip(now, Cause.FLEET)
            breaker.follow(until, now)
            self._holder.parts.health.version += 1

    def recovers(self, name: str, now: float) -> None:
        """Let an endpoint or host back in."""
        breaker = self._breaker(name)
        if breaker is not None:
            breaker.trust(now)
            self._holder.parts.health.version += 1

    def blocks(self, provider: ProviderName, wait_s: float, now: float) -> None:
        """Leave an account alone for ``wait_s``, as its provider asked another pod to."""
        parts = self._holder.parts
        account = parts.health.accounts.get(provider)
        if account is None:
            return
        before = account.gate(now)
        account.block(AccountEffect.RATE, wait_s, now)
        parts.health.version += 1
        gate, until = account.gate(now), account.blocked_until(now)
        if gate is not before and gate is not None:
            event = AccountChanged(at=now, provider=provider, reason=gate.value, until=until)
            parts.observer.on_event(event)

    def saw(self, endpoint: EndpointId, *, ok: float, fail: float, now: float) -> None:
        """Count outcomes of others, already weighted, into the reliability."""
        own = self._holder.parts.health.endpoints.get(endpoint)
        if own is None:
            return
        for weight, is_ok in ((ok, True), (fail, False)):
            if weight > 0.0:
                own.reliability.record(is_ok, weight, now)
                own.availability.record(is_ok, weight, now)

    def waited(self, endpoint: EndpointId, prompt_tokens: int, ttft_s: float, now: float) -> None:
        """Begin with what others wait for a first content, where nothing was measured yet."""
        own = self._holder.parts.health.endpoints.get(endpoint)
        if own is not None and own.latency.samples == 0:
            bounded_s = min(TTFT_RANGE_S[1], max(TTFT_RANGE_S[0], ttft_s))
            own.latency.observe_first_content(prompt_tokens, bounded_s, now, weight=SECOND_HAND)

    def caps(self) -> Iterator[tuple[str, str, Cap]]:
        """Yield scope, name and cap of each daily spend cap."""
        caps = self._holder.parts.budgets.caps
        return iter(()) if caps is None else caps.all()

    @property
    def caps_day(self) -> int | None:
        """The day (since the epoch, UTC) that the caps count, None without any."""
        caps = self._holder.parts.budgets.caps
        return None if caps is None else caps.day

    @property
    def book(self) -> QualityBook:
        """What is believed of answers' quality."""
        return self._holder.parts.quality

    def pacers(self) -> Iterator[tuple[ProviderName, Pacer]]:
        """Yield the accounts whose limits are configured, and who paces them."""
        return iter(self._holder.parts.health.pacers.items())

    def _breaker(self, name: str) -> Breaker | None:
        health = self._holder.parts.health
        own = health.endpoints.get(EndpointId(name))
        return own.breaker if own is not None else health.hosts.get(HostName(name))
