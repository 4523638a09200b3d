"""What `sidecar check` shows of each model: what was found out about it, where, and what was not.

A fallback chain rests on these figures: a budget skips who has no price, a long prompt who has too
small a context. So people see them before an outage does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.abilities import Ability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.abilities import Abilities
    from sidecar.config.facts import ModelFacts
    from sidecar.config.model import Config

UNKNOWN = "unknown"


def described(config: Config) -> Iterator[str]:
    """Yield a line a model."""
    for name, facts in config.facts.items():
        upstream = config.catalogue.endpoints[name].upstream_model
        said = "; ".join((_price(facts), _context(facts), _output(facts), _abilities(facts)))
        yield f"model {name} ({upstream}): {said}"


def _price(facts: ModelFacts) -> str:
    price = facts.price
    if price is None:
        return f"price {UNKNOWN}"
    amounts = f"${price.input_usd:g} in, ${price.output_usd:g} out"
    return f"price {amounts} ({facts.price_from})"


def _context(facts: ModelFacts) -> str:
    if facts.context_tokens is None:
        return f"context {UNKNOWN}"
    return f"context {facts.context_tokens} ({facts.context_from})"


def _output(facts: ModelFacts) -> str:
    longest = facts.abilities.output_tokens_max
    return f"output {UNKNOWN}" if longest is None else f"output {longest} ({facts.output_from})"


def _abilities(facts: ModelFacts) -> str:
    known: Abilities = facts.abilities
    groups = (("can", known.can), ("cannot", known.cannot))
    said = [
        f"{word} {', '.join(ability.value for ability in Ability if ability in group)}"
        for word, group in groups
        if group
    ]
    return "; ".join((*said, "the rest is assumed" if said else "abilities assumed"))
