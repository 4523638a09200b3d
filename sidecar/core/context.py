"""How large a prompt an endpoint has refused, where nobody said how much it takes.

Context sizes are unknown for many models, wrong for some deployments, and a small account's tokens
a minute bound a request just as hard. So a refusal is remembered: one number an endpoint, in our
own estimate of tokens. The estimate errs by a third for some languages, therefore the memory is
short, an answer to as large a prompt ends it, and it keeps a call away only while another endpoint
is left.
"""

from __future__ import annotations

REMEMBERED_S = 600.0
"""Long enough that a long conversation does not knock at every turn, short enough for a mistake."""


class ContextBound:
    """The smallest prompt that was refused lately, None where none was."""

    def __init__(self) -> None:
        self._refused_tokens: int | None = None
        self._until = 0.0

    def refused(self, prompt_tokens: int, now: float) -> None:
        """Note that a prompt of about ``prompt_tokens`` was too long."""
        known = self.tokens(now)
        self._refused_tokens = prompt_tokens if known is None else min(known, prompt_tokens)
        self._until = now + REMEMBERED_S

    def accepted(self, prompt_tokens: int) -> None:
        """Note that a prompt of about ``prompt_tokens`` was answered."""
        if self._refused_tokens is not None and prompt_tokens >= self._refused_tokens:
            self._refused_tokens = None

    def tokens(self, now: float) -> int | None:
        """Return from how many estimated tokens on a prompt would be refused, None if unknown."""
        return self._refused_tokens if now < self._until else None

    def is_short(self, prompt_tokens: int, now: float) -> bool:
        """Return whether a prompt of about ``prompt_tokens`` would be refused."""
        known = self.tokens(now)
        return known is not None and prompt_tokens >= known
