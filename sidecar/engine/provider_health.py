"""What is known of hosts and accounts: their breakers and blocks, whoever used them.

Below ``health.py``, which adds the endpoints. A request that is merely passed on to a provider has
no endpoint: it takes the host's permit and the account's leave alone, and moves these two alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.account import Account
from sidecar.core.breaker import Breaker
from sidecar.core.local_faults import EgressMonitor
from sidecar.core.outcome import AccountEffect, effects
from sidecar.domain import Gate, OutcomeClass
from sidecar.engine.account_limits import AccountLimits
from sidecar.events import AccountChanged

if TYPE_CHECKING:
    import random

    from sidecar.core.breaker import Permit
    from sidecar.core.outcome import Effects
    from sidecar.domain import HostName, Outcome, ProviderName
    from sidecar.engine.endpoint_health import HealthSettings
    from sidecar.events import Observer


class ProviderHealth:
    """Owns the breaker of each host, the block and the limits of each account."""

    def __init__(self, settings: HealthSettings, rng: random.Random, observer: Observer) -> None:
        self._settings = settings
        self._rng = rng
        self._observer = observer
        self.hosts: dict[HostName, Breaker] = {}
        self.accounts: dict[ProviderName, Account] = {}
        self.account_limits: dict[ProviderName, AccountLimits] = {}
        self.egress = EgressMonitor(settings.egress)
        self.version = 0  # grows with whatever may shut a gate; see ``standing``

    def know(
        self,
        provider: ProviderName,
        host: HostName,
        before: ProviderHealth | None = None,
        *,
        is_same: bool = True,
    ) -> None:
        """Begin to watch a provider and its host, with what was known ``before``; may repeat.

        Not ``is_same``: the name now means another account, of which nothing is known.
        """
        if host not in self.hosts:
            known = None if before is None else before.hosts.get(host)
            self.hosts[host] = known or Breaker(
                host, self._settings.host, self._rng, self._observer.on_event
            )
            self.hosts[host].adapt(self._settings.host)
        if provider in self.accounts:
            return
        if before is not None and is_same and provider in before.accounts:
            self.accounts[provider] = before.accounts[provider]
            self.account_limits[provider] = before.account_limits[provider]
        else:
            self.accounts[provider] = Account(self._settings.account, self._rng)
            self.account_limits[provider] = AccountLimits()
        self.accounts[provider].adapt(self._settings.account)

    def host_gate(self, host: HostName, now: float) -> Gate | None:
        """Return why ``host`` takes nothing now, None if it does."""
        if self.egress.is_suspect(now):
            # Our own way out is gone: nobody is to blame, and asking everybody helps nobody.
            return Gate.EGRESS
        return None if self.hosts[host].refusal(now) is None else Gate.HOST_OPEN

    # --- requests that are passed on -----------------------------------------------------------

    def admit_passage(
        self, provider: ProviderName, host: HostName, now: float, *, lease_s: float
    ) -> Permit | Gate:
        """Take the host's permit for a request to ``provider``, or say which gate refuses."""
        gate = self.accounts[provider].gate(now) or self.host_gate(host, now)
        if gate is not None:
            return gate
        permit = self.hosts[host].admit(now, lease_s=lease_s)
        assert permit is not None, "the host's gate was open a moment ago"
        return permit

    def settle_passage(
        self, provider: ProviderName, host: HostName, permit: Permit, outcome: Outcome
    ) -> None:
        """Carry what became of a request that was passed on to host and account."""
        self.version += 1
        effect = self.charged(host, outcome)
        self.hosts[host].settle(permit, fail=effect.host_fail, now=outcome.ended_at)
        self.settle_account(provider, outcome, effect)

    # --- evidence ------------------------------------------------------------------------------

    def charged(self, host: HostName, outcome: Outcome) -> Effects:
        """Return what an outcome moves; a lost way out of our own moves nothing."""
        now = outcome.ended_at
        if outcome.cls is OutcomeClass.CONNECT:
            self.egress.failed(host, now)
            if self.egress.is_suspect(now):
                return effects(OutcomeClass.LOCAL)
        elif outcome.status is not None or outcome.first_content_at is not None:
            self.egress.succeeded()
        return effects(outcome.cls, status=outcome.status)

    def settle_account(self, provider: ProviderName, outcome: Outcome, effect: Effects) -> None:
        """Block the account or hear that it works, and tell of a change."""
        if effect.account is AccountEffect.NONE:
            return
        now, account = outcome.ended_at, self.accounts[provider]
        if effect.account is AccountEffect.OK:
            account.ok(now)
            return
        before = account.gate(now)
        account.block(effect.account, outcome.retry_after_s, now)
        after = account.gate(now)
        if after is not before:
            self._observer.on_event(
                AccountChanged(
                    at=now,
                    provider=provider,
                    reason=after.value if after is not None else "free",
                    until=account.blocked_until(now),
                )
            )

    def credential_changed(self, provider: ProviderName, now: float) -> None:
        """Forget an AUTH or QUOTA block: the credential is a new one."""
        account = self.accounts[provider]
        self.version += 1
        if account.gate(now) in (Gate.ACCOUNT_AUTH, Gate.ACCOUNT_QUOTA):
            account.unblock(now)
            event = AccountChanged(at=now, provider=provider, reason="new credential", until=None)
            self._observer.on_event(event)
