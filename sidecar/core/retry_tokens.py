"""Whether a host may be tried again: gRPC's retry throttling (proposal A6), tokens without a clock.

Retries multiply the load on a host that is already sick. Each retryable failure costs a token, each
success earns a tenth; above half of the tokens retries are allowed. No time is involved, unlike
budgets with a ten-second memory, which starve a caller of a few calls a minute. Only retries at the
*same host* ask here: failing over to another host does not burden the sick one.
"""

from __future__ import annotations

from sidecar.core.tunable import Tunable
from sidecar.value import value


@value
class RetryTokenSettings:
    """A6's example numbers: five failures in a row end the retries, ten successes earn one back."""

    tokens_max: float = 10.0
    deposit_per_success: float = 0.1
    withdraw_per_failure: float = 1.0
    retry_above: float = 5.0


class RetryTokens(Tunable[RetryTokenSettings]):
    """The tokens of one host; starts full."""

    def __init__(self, settings: RetryTokenSettings) -> None:
        self._settings = settings
        self.tokens = settings.tokens_max

    def deposit(self) -> None:
        """Note a success."""
        self.tokens = min(
            self._settings.tokens_max, self.tokens + self._settings.deposit_per_success
        )

    def withdraw(self) -> None:
        """Note a retryable failure."""
        self.tokens = max(0.0, self.tokens - self._settings.withdraw_per_failure)

    def may_retry(self) -> bool:
        """Return whether the same host may be tried again."""
        return self.tokens > self._settings.retry_above
