"""The health registry: the only writer of what is known about endpoints, and with its base class
(``provider_health.py``) about hosts and accounts.

An attempt asks for a ticket (``admit``), tells when it was sent and when content came, and settles
exactly once. What an outcome moves is looked up in ``core/outcome.py``; here it is merely carried
to the owners of the state: three independent gates (host breaker, account block, endpoint breaker),
the limiter, the estimators. Probes use the same verbs with half the weight, so one classifier
serves both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.contract import ContractGuard
from sidecar.core.local_faults import LagMonitor
from sidecar.core.outcome import HARD_FAIL
from sidecar.core.retry_tokens import RetryTokens
from sidecar.domain import Gate, OutcomeClass
from sidecar.engine.endpoint_health import STATING
from sidecar.engine.provider_health import ProviderHealth
from sidecar.engine.room import Room
from sidecar.engine.standing import Standing, standing
from sidecar.engine.succession import health_of, pacers_of
from sidecar.engine.ticket import Ticket
from sidecar.events import EndpointEjected, EndpointReturned

if TYPE_CHECKING:
    import random

    from sidecar.catalogue import Catalogue
    from sidecar.core.breaker import Permit
    from sidecar.core.outcome import Effects
    from sidecar.domain import Call, Endpoint, EndpointId, HostName, Outcome
    from sidecar.engine.endpoint_health import EndpointHealth, HealthSettings
    from sidecar.engine.succession import Legacy
    from sidecar.events import Observer

PROBE_WEIGHT = 0.5
BAD_REQUEST = 400
SILENT = Gate.SILENT.value
SOFT_GATES = frozenset({Gate.DRIFT, Gate.SILENT})
"""They keep callers away, but for those who have nobody else left; and no probe."""
TELLING = frozenset(
    {OutcomeClass.RATE, OutcomeClass.OUTRUN, OutcomeClass.DEGENERATE, OutcomeClass.HANG}
)
"""Of these a breaker learns more than whether they failed."""
TRIAL_LEASE_SLACK_S = 2.0


class Health(ProviderHealth):
    """Owns every breaker, limiter and estimator of the endpoints."""

    def __init__(
        self,
        catalogue: Catalogue,
        settings: HealthSettings,
        rng: random.Random,
        observer: Observer,
        legacy: Legacy | None = None,
    ) -> None:
        super().__init__(settings, rng, observer)
        self.endpoints: dict[EndpointId, EndpointHealth] = {}
        self.pacers = pacers_of(settings, legacy)
        self.retry_tokens: dict[HostName, RetryTokens] = {}
        self.contract = ContractGuard(settings.contract)
        self.lag = LagMonitor(settings.lag)
        self.room = Room(settings.queue)
        before = None if legacy is None else legacy.health
        same = () if legacy is None else legacy.providers
        if before is not None:
            self.egress, self.contract = before.egress, before.contract
            self.lag, self.room = before.lag, before.room
            self.version = before.version + 1
        for endpoint in catalogue.endpoints.values():
            self.know(endpoint.provider, endpoint.host, before, is_same=endpoint.provider in same)
            self.endpoints[endpoint.id] = health_of(
                endpoint,
                settings,
                rng,
                observer.on_event,
                account_limits=self.account_limits[endpoint.provider],
                pacer=self.pacers.get(endpoint.provider),
                legacy=legacy,
            )
            if endpoint.host not in self.retry_tokens:
                known = None if before is None else before.retry_tokens.get(endpoint.host)
                tokens = known or RetryTokens(settings.retry_tokens)
                tokens.adapt(settings.retry_tokens)
                self.retry_tokens[endpoint.host] = tokens
        for provider, reach in catalogue.providers.items():
            self.know(provider, reach.host, before, is_same=provider in same)

    # --- gates ---------------------------------------------------------------------------------

    def gate(self, endpoint: Endpoint, now: float) -> Gate | None:
        """Return why ``endpoint`` would refuse an attempt now, if it would; no side effect."""
        gate = self.lasting_gate(endpoint, now)
        if gate is None or gate in SOFT_GATES:
            return self.endpoints[endpoint.id].fullness(now) or gate
        return gate

    def lasting_gate(self, endpoint: Endpoint, now: float) -> Gate | None:
        """As ``gate``, but for fullness, which comes and goes with every call."""
        own = self.endpoints[endpoint.id]
        if own.gone_until is not None and now < own.gone_until:
            return Gate.GONE
        gate = (
            self.accounts[endpoint.provider].gate(now)
            or self.host_gate(endpoint.host, now)
            or own.breaker.refusal(now)
        )
        if gate is not None:
            return gate
        # Last, as they hold only where somebody else is left.
        if self.contract.is_ejected(endpoint.id, now):
            return Gate.DRIFT
        return Gate.SILENT if own.silence.is_silent else None

    def standing(self, own: EndpointHealth, now: float) -> Standing:
        """Return how an endpoint stands, worked out anew only where that may have changed."""
        known = own.standing
        if known is None or not known.is_fresh(self.version, now):
            known = own.standing = standing(own.endpoint, self, now)
        return known

    def is_gone(self, endpoint_id: EndpointId, now: float) -> bool:
        """Return whether the provider said that it does not have the model."""
        gone_until = self.endpoints[endpoint_id].gone_until
        return gone_until is not None and now < gone_until

    def opens_at(self, endpoint: Endpoint, now: float) -> float | None:
        """Return when the gates of ``endpoint`` that have a time reopen, None if none is shut."""
        health = self.endpoints[endpoint.id]
        times = (
            health.gone_until,
            self.accounts[endpoint.provider].blocked_until(now),
            self.hosts[endpoint.host].reopens_at(now),
            health.breaker.reopens_at(now),
            now + self.account_limits[endpoint.provider].wait_s(now),
        )
        return max((at for at in times if at is not None and at > now), default=None)

    def admit(  # noqa: PLR0913 - what kind of attempt it is
        self,
        endpoint: Endpoint,
        now: float,
        *,
        prompt_tokens: int,
        hang_s: float | None = None,
        silent_s: float = 0.0,
        is_probe: bool = False,
        is_panic: bool = False,
        is_spilled: bool = False,
    ) -> Ticket | Gate:
        """Take a ticket for one attempt, or say which gate refuses.

        ``hang_s`` as the method of that name has it. ``silent_s``: how long a plain answer may be
        in the making before its first byte, beyond its first token. ``is_panic``: go past shut
        breakers, whose ration the caller keeps. ``is_spilled``: the route prefers another endpoint.
        """
        health = self.endpoints[endpoint.id]
        if hang_s is None:
            hang_s = self.hang_s(endpoint, prompt_tokens, now)
        hang_s += silent_s
        permits: tuple[Permit, Permit] | Gate | None = None
        if not is_panic:
            permits = self._permits(endpoint, now, hang_s, is_probe=is_probe)
        if isinstance(permits, Gate):
            return permits
        if not is_probe and not health.limit.try_acquire(now):
            return Gate.CONCURRENCY
        ticket = Ticket(
            endpoint=endpoint,
            permit=None if permits is None else permits[0],
            host_permit=None if permits is None else permits[1],
            admitted_at=now,
            prompt_tokens=prompt_tokens,
            hang_s=hang_s,
            silent_s=silent_s,
            weight=PROBE_WEIGHT if is_probe else 1.0,
            is_spilled=is_spilled,
            level=health.limit.inflight + is_probe,
            number=0 if is_probe else health.limit.started,
        )
        health.note_start(ticket)
        return ticket

    def _permits(
        self, endpoint: Endpoint, now: float, hang_s: float, *, is_probe: bool
    ) -> tuple[Permit, Permit] | Gate:
        """Take the permits of the endpoint's and its host's breaker, both or none."""
        refusal = self.gate(endpoint, now)
        is_passed = refusal in SOFT_GATES or (is_probe and refusal is Gate.CONCURRENCY)
        if refusal is not None and not is_passed:
            return refusal
        health = self.endpoints[endpoint.id]
        if not is_probe and not health.throttle.admits(now):
            return Gate.THROTTLED
        lease_s = hang_s + TRIAL_LEASE_SLACK_S
        host_permit = self.hosts[endpoint.host].admit(now, lease_s=lease_s)
        permit = health.breaker.admit(now, lease_s=lease_s)
        assert host_permit is not None, "the host's gate was open a moment ago"
        assert permit is not None, "the breaker's gate was open a moment ago"
        return permit, host_permit

    def hang_s(self, endpoint: Endpoint, prompt_tokens: int, now: float) -> float:
        """Return how long silence is tolerated before it is a hang: as configured, else as
        learned.
        """
        if endpoint.timers.first_content_s is not None:
            return endpoint.timers.first_content_s
        return self.endpoints[endpoint.id].latency.hang_s(prompt_tokens, now)

    # --- evidence ------------------------------------------------------------------------------

    def sent(self, ticket: Ticket, now: float) -> None:
        """Note that the request leaves now (pacing is over): its clock starts."""
        ticket.sent_at = now

    def first_content(self, ticket: Ticket, now: float, *, made_tokens: int = 0) -> None:
        """Note the first content of an attempt; a plain answer comes with all its ``made_tokens``
        at once.
        """
        ticket.first_content_at = now
        health = self.endpoints[ticket.endpoint.id]
        if ticket.permit is not None:
            health.breaker.first_content(ticket.permit, now)
        health.learn_first_content(ticket, now, made_tokens=made_tokens)

    def chunk_gap(self, ticket: Ticket, gap_s: float, now: float) -> None:
        """Note the mean time between the tokens of a finished stream, seconds."""
        self.endpoints[ticket.endpoint.id].learn_gap(gap_s, now)

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """Carry ``outcome`` to every owner; a second settlement of the same ticket is a bug."""
        assert not ticket.is_settled, f"{ticket.endpoint.id}: settled twice"
        ticket.is_settled = True
        now, endpoint = outcome.ended_at, ticket.endpoint
        if outcome.cls is not OutcomeClass.OK:
            self.version += 1
        health = self.endpoints[endpoint.id]
        health.note_end(ticket, now)
        effect = self.charged(endpoint.host, outcome)
        is_current = self._settle_breakers(health, ticket, outcome, effect)
        self.settle_account(endpoint.provider, outcome, effect)
        if outcome.cls is OutcomeClass.GONE:
            health.gone_until = now + health.settings.gone_s
        health.settle_limit(ticket, effect, now)
        _settle_throttle(health, effect, now)
        health.learn(ticket, outcome, effect, is_current=is_current)
        if effect.endpoint_fail is not None:
            tokens = self.retry_tokens[endpoint.host]
            if effect.endpoint_fail == 0.0:
                tokens.deposit()
            else:
                tokens.withdraw()
        if effect.endpoint_fail != 0.0 or health.life.is_watched or ticket.permit is None:
            health.note_life(ticket, outcome, effect)
        self.room.made()

    def _settle_breakers(
        self, health: EndpointHealth, ticket: Ticket, outcome: Outcome, effect: Effects
    ) -> bool:
        now, cls = outcome.ended_at, outcome.cls
        host, breaker = self.hosts[ticket.endpoint.host], health.breaker
        if ticket.permit is None or ticket.host_permit is None:
            is_shut = host.reopens_at(now) is not None or breaker.reopens_at(now) is not None
            if effect.endpoint_fail == 0.0 and is_shut and health.life.may_hurry(now):
                # The way is open again: let the breakers find out for themselves, now.
                host.hurry(now)
                breaker.hurry(now)
            return False
        host.settle(ticket.host_permit, fail=_weighted(effect.host_fail, ticket.weight), now=now)
        fail = _weighted(effect.endpoint_fail, ticket.weight)
        if not fail and cls not in TELLING:
            return breaker.settle(ticket.permit, fail=fail, now=now)
        states_when = outcome.status in STATING or cls is OutcomeClass.RATE
        retry_after_s = outcome.retry_after_s if states_when else None
        if fail and ticket.is_probe and not ticket.permit.is_trial:
            is_current = breaker.settle(ticket.permit, fail=None, now=now)
            breaker.observe(fail=fail, now=now, retry_after_s=retry_after_s)
        else:
            is_current = breaker.settle(
                ticket.permit,
                fail=fail,
                now=now,
                retry_after_s=retry_after_s,
                pushback=cls is OutcomeClass.RATE,
            )
        if cls in (OutcomeClass.OUTRUN, OutcomeClass.DEGENERATE):
            breaker.suspect()
        if cls is OutcomeClass.HANG and health.silence.is_proof(ticket.sent_at or 0.0):
            breaker.trip(now)
        return is_current

    def note_failed(self, outcome: Outcome, call: Call) -> bool:
        """Learn from a 400; return whether to ask elsewhere too, as the endpoint refuses everybody:
        who is wrong?
        """
        if outcome.cls is not OutcomeClass.CALLER or outcome.status != BAD_REQUEST:
            return False
        now, guard = outcome.ended_at, self.contract
        is_doubtful = guard.should_verify(outcome.endpoint, now)
        if guard.refused(outcome.endpoint, call.route.name, hash(call.body), now):
            self.version += 1
            event = EndpointEjected(at=now, endpoint=outcome.endpoint, reason="contract_drift")
            self._observer.on_event(event)
        return is_doubtful

    def may_retry(self, endpoint_id: EndpointId) -> bool:
        """Return whether the host of ``endpoint_id`` has retry tokens for a same-host retry."""
        return self.retry_tokens[self.endpoints[endpoint_id].endpoint.host].may_retry()

    # --- time and operators --------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Learn from calls that wait, before they end (every 250 ms)."""
        for endpoint_id, health in self.endpoints.items():
            if health.watch(self.lag, now):
                self.version += 1
                event = EndpointEjected if health.silence.is_silent else EndpointReturned
                self._observer.on_event(event(at=now, endpoint=endpoint_id, reason=SILENT))

    def isolate(self, endpoint_id: EndpointId, now: float) -> None:
        """Take an endpoint out by hand."""
        self.version += 1
        self.endpoints[endpoint_id].breaker.isolate(now)

    def restore(self, endpoint_id: EndpointId, now: float) -> None:
        """Undo ``isolate``, and forget that the model was gone."""
        self.version += 1
        self.endpoints[endpoint_id].breaker.restore(now)
        self.endpoints[endpoint_id].gone_until = None


def _settle_throttle(health: EndpointHealth, effect: Effects, now: float) -> None:
    if effect.is_overload:
        health.throttle.overloaded(now)
    elif effect.endpoint_fail == 0.0:
        health.throttle.accepted(now)


def _weighted(fail: float | None, weight: float) -> float | None:
    """Return what a failure counts.

    A probe's few tokens say less of real calls when they come, not when they fail: a hard failure
    of so little counts in full, or probes alone could hardly open a breaker.
    """
    return fail if fail is None or fail == HARD_FAIL else fail * weight
