"""How many tokens was that? Learned of each endpoint from the answers that report their usage.

Who is cut off does not tell what it bills, and some streams never do. What we see of them is
characters and events; how many tokens those are differs by model, language and provider. So each
answer that reports its usage teaches four ratios, as sums that forget slowly: tokens a character,
tokens an event (most providers send one), real prompt tokens to those we estimated, and how much of
the prompt came from a cache. Of characters and events the better teller is believed: the one that
was less off lately. Sums, not means of ratios, as what must come out right is the total.

Hidden reasoning is written before the first word that we see and billed like it: the mean of the
endpoint is added to what can be counted.
"""

from __future__ import annotations

from sidecar.domain import Usage

MEMORY = 0.98
"""What each answer leaves of the sums before it: the last fifty or so count."""
PRIOR_CHARS_PER_TOKEN = 4.0
"""English prose in the tokenizers of today."""
PRIOR_TOKENS = 32.0
"""The prior weighs as much as a short answer."""
PIECE_CHARS_MAX = 8.0
"""Events longer than this on average hold more than one token, unless learned otherwise."""
CHARS_MISS, EVENTS_MISS = 0.3, 0.25
"""How far off either is taken to be before it was seen, as shares."""
MISS_WEIGHT = 0.1
LEARN_EVERY_S = 0.01
"""A hundred answers a second teach enough; at higher rates learning would only cost time."""


class Ratio:
    """``amount`` a ``unit``, of sums that forget; ``least`` and ``most`` bound what is believed."""

    __slots__ = ("_amount", "_least", "_most", "_units", "is_learned")

    def __init__(self, prior: float, units: float, *, least: float, most: float) -> None:
        self._amount, self._units = prior * units, units
        self._least, self._most = least, most
        self.is_learned = False

    def learn(self, amount: float, units: float) -> None:
        """Take in an answer."""
        self._amount = self._amount * MEMORY + amount
        self._units = self._units * MEMORY + units
        self.is_learned = True

    @property
    def value(self) -> float:
        """The ratio, bounded."""
        return min(self._most, max(self._least, self._amount / self._units))


class TokenMeter:
    """What one endpoint's tokens are worth in what we can see."""

    __slots__ = (
        *("_by_char", "_by_event", "_cached", "_chars_miss", "_events_miss", "_hidden", "_in"),
        "_learned_at",
    )

    def __init__(self) -> None:
        chars = PRIOR_TOKENS * PRIOR_CHARS_PER_TOKEN
        self._by_char = Ratio(1.0 / PRIOR_CHARS_PER_TOKEN, chars, least=1 / 16, most=2.0)
        self._by_event = Ratio(1.0, PRIOR_TOKENS, least=0.25, most=64.0)
        self._in = Ratio(1.0, PRIOR_TOKENS, least=0.25, most=4.0)
        self._cached = Ratio(0.0, 1.0, least=0.0, most=1.0)
        self._hidden = Ratio(0.0, 1.0, least=0.0, most=1e6)
        self._chars_miss, self._events_miss = CHARS_MISS, EVENTS_MISS
        self._learned_at: float | None = None

    # --- learning ------------------------------------------------------------------------------

    def is_curious(self, now: float) -> bool:
        """Return whether the next answer is worth learning from; then it is expected to be."""
        if self._learned_at is not None and 0.0 <= now - self._learned_at < LEARN_EVERY_S:
            return False
        self._learned_at = now
        return True

    def learn(
        self, usage: Usage, *, prompt_tokens: int, chars: int, events: int, is_thinking_shown: bool
    ) -> None:
        """Take in a whole answer whose ``usage`` was reported.

        ``prompt_tokens`` was our estimate of the prompt; ``events`` are 0 for an answer that did
        not come in events. ``is_thinking_shown``: what it thought is among ``chars``.
        """
        if prompt_tokens > 0 and usage.input_tokens > 0:
            self._in.learn(usage.input_tokens, prompt_tokens)
            self._cached.learn(usage.cached_tokens, usage.input_tokens)
        hidden = 0 if is_thinking_shown else min(usage.reasoning_tokens, usage.output_tokens)
        if hidden or self._hidden.is_learned:
            self._hidden.learn(hidden, 1.0)
        said = usage.output_tokens - hidden
        if said <= 0 or chars <= 0:
            return
        self._chars_miss += MISS_WEIGHT * (
            _miss(self._by_char.value * chars, said) - self._chars_miss
        )
        self._by_char.learn(said, chars)
        if events > 0:
            miss = _miss(self._by_event.value * events, said)
            self._events_miss += MISS_WEIGHT * (miss - self._events_miss)
            self._by_event.learn(said, events)

    # --- telling -------------------------------------------------------------------------------

    def said_tokens(self, chars: int, events: int) -> float:
        """Return the tokens of so much visible content, 0 of none."""
        if events <= 0 or self._believes_chars(chars, events):
            return self._by_char.value * chars
        return self._by_event.value * events

    @property
    def hidden_tokens(self) -> float:
        """The tokens of an answer that nobody sees."""
        return self._hidden.value

    def input_tokens(self, prompt_tokens: float) -> float:
        """Return the real tokens of a prompt that we take for ``prompt_tokens``."""
        return self._in.value * prompt_tokens

    def usage(self, *, prompt_tokens: int, output_tokens: float) -> Usage:
        """Return the usage of an attempt that reported none, marked as an estimate."""
        input_tokens = round(self.input_tokens(prompt_tokens))
        return Usage(
            input_tokens=input_tokens,
            output_tokens=round(output_tokens),
            cached_tokens=round(input_tokens * self._cached.value),
            is_estimated=True,
        )

    def _believes_chars(self, chars: int, events: int) -> bool:
        if self._by_event.is_learned:
            return self._chars_miss < self._events_miss
        return self._by_char.is_learned or chars > PIECE_CHARS_MAX * events


def _miss(told: float, real: float) -> float:
    return abs(told - real) / real
