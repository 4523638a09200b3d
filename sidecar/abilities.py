"""What a model can do, and how its provider wants a request spelled: facts, as frozen values.

What is not known is assumed: a table that is out of date must not keep a call from a model that
could have answered it. So a call is kept away only by what is in ``cannot`` (or by a number that is
given), never by what is missing from ``can``.
"""

from __future__ import annotations

from enum import Enum

from sidecar.value import value


class Ability(Enum):
    """Something a call may need and a model may lack; the values are the configuration's words."""

    TOOLS = "tools"
    FORCED_TOOL = "forced_tool"
    PARALLEL_TOOLS = "parallel_tools"
    SCHEMA = "schema"
    VISION = "vision"
    THINKING = "thinking"
    PREFILL = "prefill"
    LOGPROBS = "logprobs"
    SEED = "seed"


POLITE = frozenset({Ability.PARALLEL_TOOLS, Ability.THINKING, Ability.SEED})
"""Wishes that an answer may go without: they are left out and named, and exclude no endpoint."""


@value
class Abilities:
    """``can`` and ``cannot`` are what is known; ``output_tokens_max`` None: unknown."""

    can: frozenset[Ability] = frozenset()
    cannot: frozenset[Ability] = frozenset()
    output_tokens_max: int | None = None

    def over(self, base: Abilities) -> Abilities:
        """Return ``base`` with what is known here in its place."""
        return Abilities(
            can=(base.can - self.cannot) | self.can,
            cannot=(base.cannot - self.can) | self.cannot,
            output_tokens_max=self.output_tokens_max or base.output_tokens_max,
        )

    def missing(self, needs: frozenset[Ability]) -> tuple[Ability, ...]:
        """Return which of ``needs`` are known to be lacking, in the order of ``Ability``."""
        lacking = (needs & self.cannot) - POLITE
        return tuple(ability for ability in Ability if ability in lacking)


@value
class Dialect:
    """How a provider's requests differ from the format that it says it speaks.

    Names are of top-level members. ``renames``: (the format's name, the provider's).
    ``leaves_out``: members that it refuses or that mean something else there; a dotted name is a
    member of each message. ``words``: (member, the format's string, the provider's).
    """

    renames: tuple[tuple[str, str], ...] = ()
    leaves_out: tuple[str, ...] = ()
    words: tuple[tuple[str, str, str], ...] = ()
