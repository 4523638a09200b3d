"""Whether a credential may be used: rate limits, quota and refused keys are the account's.

A 429 is no failure: the provider works and says when to return. So it never reaches a breaker; it
blocks every endpoint of the account until then, plus a little chance so that many sidecars do not
return in one tick. A single 401 is often a provider's hiccup, two in a row are a wrong key.
Successes of calls that were already under way when a block began do not end it.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING

from sidecar.core.outcome import AccountEffect
from sidecar.core.tunable import Tunable
from sidecar.domain import Gate
from sidecar.value import value

if TYPE_CHECKING:
    import random


@value
class AccountSettings:
    """How long an account rests.

    ``rate_base_s`` doubling to ``rate_max_s``: a 429 that does not say when to return; a per-minute
    limit is open again after a minute. ``stated_max_s``: the longest pushback that is believed, a
    day, since daily limits exist and a mistaken header must not block for ever. ``jitter``: share
    added to a rate block. ``quota_s``, ``auth_s``: what needs a human is looked at again each 15
    minutes. ``auth_run_min``: refusals in a row that make a key wrong.
    """

    rate_base_s: float = 5.0
    rate_max_s: float = 60.0
    stated_max_s: float = 86_400.0
    jitter: float = 0.1
    quota_s: float = 900.0
    auth_s: float = 900.0
    auth_run_min: int = 2


class Account(Tunable[AccountSettings]):
    """The blocks of one credential. Owns when each kind of block ends."""

    def __init__(self, settings: AccountSettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._until: dict[Gate, float] = {}
        self._unstated_run = 0
        self._auth_run = 0
        self._stated_until = -inf

    def block(self, effect: AccountEffect, retry_after_s: float | None, now: float) -> None:
        """Note that the provider refused; ``retry_after_s`` is its pushback, None if it gave none.

        NONE and OK have no effect.
        """
        stated_s = _believable(retry_after_s, self._settings.stated_max_s)
        match effect:
            case AccountEffect.RATE:
                wait_s = stated_s if stated_s is not None else self._unstated_s(now)
                until = now + self._jittered(wait_s)
                self._extend(Gate.ACCOUNT_RATE, until)
                if stated_s is not None:
                    self._stated_until = max(self._stated_until, until)
            case AccountEffect.QUOTA:
                wait_s = stated_s if stated_s is not None else self._settings.quota_s
                self._extend(Gate.ACCOUNT_QUOTA, now + wait_s)
            case AccountEffect.AUTH:
                self._auth_run += 1
                if self._auth_run >= self._settings.auth_run_min:
                    self._extend(Gate.ACCOUNT_AUTH, now + self._settings.auth_s)
            case _:  # NONE and OK block nothing
                pass

    def ok(self, now: float) -> None:
        """Note that the provider accepted the credential."""
        if self.gate(now) is None:
            self._unstated_run = 0
            self._auth_run = 0

    def unblock(self, _now: float) -> None:
        """Forget every block: the credential was replaced."""
        self._until.clear()
        self._unstated_run = 0
        self._auth_run = 0

    def gate(self, now: float) -> Gate | None:
        """Return what blocks the account now; of several, what needs a human first."""
        if not self._until:
            return None
        for gate in (Gate.ACCOUNT_AUTH, Gate.ACCOUNT_QUOTA, Gate.ACCOUNT_RATE):
            if self._until.get(gate, now) > now:
                return gate
        return None

    def is_guess(self, now: float) -> bool:
        """Return whether what blocks the account now is a rate for which nobody stated a time."""
        return self.gate(now) is Gate.ACCOUNT_RATE and now >= self._stated_until

    def blocked_until(self, now: float) -> float | None:
        """Return when the last block ends, None if there is none now."""
        if not self._until:
            return None
        latest = max(self._until.values())
        return latest if latest > now else None

    def _extend(self, gate: Gate, until: float) -> None:
        self._until[gate] = max(until, self._until.get(gate, until))

    def _jittered(self, wait_s: float) -> float:
        return wait_s * (1.0 + self._rng.uniform(0.0, self._settings.jitter))

    def _unstated_s(self, now: float) -> float:
        # Calls sent side by side are refused side by side: one refusal, not several in a row.
        if self._until.get(Gate.ACCOUNT_RATE, now) <= now or self._unstated_run == 0:
            self._unstated_run += 1
        settings = self._settings
        doublings = min(self._unstated_run - 1, _DOUBLINGS_MAX)
        return min(settings.rate_max_s, settings.rate_base_s * 2.0**doublings)


_DOUBLINGS_MAX = 30
"""Keeps the power finite; the bound in the settings is reached long before."""


def _believable(wait_s: float | None, most_s: float) -> float | None:
    """Return a pushback within reason; zero, negative and not-a-number count as none."""
    if wait_s is None or not isfinite(wait_s) or wait_s <= 0.0:
        return None
    return min(wait_s, most_s)
