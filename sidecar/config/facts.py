"""What is known of a model, and from where: the file before the tables, these before an assumption.

The origin is kept for `sidecar check`, which shows people what their fallback chain rests on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.abilities import Abilities, Ability
from sidecar.config.model_table import known_of
from sidecar.domain import Price
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.config.prices import Listed
    from sidecar.config.schema import ModelEntry
    from sidecar.upstream.kind import Kind

FILE, LIST, TABLE, KIND = "file", "price list", "model table", "kind"
FREE = Price(input_usd=0.0, output_usd=0.0)


@value
class ModelFacts:
    """Values with their origins; None where nothing is known."""

    price: Price | None
    price_from: str | None
    context_tokens: int | None
    context_from: str | None
    abilities: Abilities
    output_from: str | None


def facts_of(model: ModelEntry, kind: Kind, listed: Listed | None) -> ModelFacts:
    """Return what is known of ``model`` at a provider of ``kind``."""
    price, price_from = _price(model, kind, listed)
    context_tokens, context_from = model.context, FILE
    if context_tokens is None:
        context_tokens, context_from = listed.context_tokens if listed else None, LIST
    tabled = known_of(model.model)
    said = _said(model)
    # A model's own line knows better than its provider's, except where the provider takes away.
    offered = Abilities(
        can=tabled.can - kind.abilities.cannot,
        cannot=tabled.cannot | kind.abilities.cannot,
        output_tokens_max=tabled.output_tokens_max,
    )
    output_from = FILE if model.max_output else TABLE if tabled.output_tokens_max else None
    return ModelFacts(
        price=price,
        price_from=price_from,
        context_tokens=context_tokens,
        context_from=context_from if context_tokens else None,
        abilities=said.over(offered),
        output_from=output_from,
    )


def _price(model: ModelEntry, kind: Kind, listed: Listed | None) -> tuple[Price | None, str | None]:
    """Return the price given, else the one listed; a server of one's own costs nothing a token."""
    if model.price is not None:
        given = Price(
            input_usd=model.price.input,
            output_usd=model.price.output,
            cached_input_usd=model.price.cached_input,
            cache_write_usd=model.price.cache_write,
        )
        return given, FILE
    found = listed.price() if listed else None
    if found is not None:
        return found, LIST
    return (FREE, KIND) if kind.is_local else (None, None)


def _said(model: ModelEntry) -> Abilities:
    """Return what the file says; ``prefill: true`` is an older word for the ability."""
    said: dict[str, bool | None] = msgspec.structs.asdict(model.can)
    if said[Ability.PREFILL.value] is None and model.prefill:
        said[Ability.PREFILL.value] = True
    return Abilities(
        can=frozenset(ability for ability in Ability if said[ability.value] is True),
        cannot=frozenset(ability for ability in Ability if said[ability.value] is False),
        output_tokens_max=model.max_output,
    )
