"""Which models make embeddings, and what of a configuration speaks of that.

A model makes either words or vectors. Asking a chat model for vectors, or the other way round, is
refused by its provider as a missing model or even as a lack of permission, which would shut the
endpoint or the account for everybody; so it is known beforehand: by ``embeds``, else by the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.problems import member
from sidecar.config.references import entries, mapped
from sidecar.domain import EMBEDDINGS
from sidecar.upstream.kinds import KINDS

if TYPE_CHECKING:
    from sidecar.config.problems import Problems
    from sidecar.config.references import Mapped
    from sidecar.config.schema import ModelEntry
    from sidecar.domain import Endpoint, WireFormat
    from sidecar.upstream.kind import Kind


def formats_of(model: ModelEntry, kind: Kind, base_url: str) -> tuple[WireFormat, ...]:
    """Return the formats in which a model of a checked file is asked, best first; at least one."""
    spoken = (kind.format, *kind.also_at(base_url))
    if model.embeds is not None:
        makes_vectors = model.embeds
    else:
        makes_vectors = model.embedding_space is not None or "embed" in model.model.lower()
    fit = tuple(one for one in spoken if (one in EMBEDDINGS) is makes_vectors)
    return fit or spoken


def check_embeddings(raw: Mapped, fitted: Mapped, problems: Problems) -> None:
    """Note models that are to make vectors at a provider of a kind that makes none."""
    providers = mapped(raw, "providers")
    for path, model in entries(fitted, "models"):
        given = next((key for key in ("embedding_space", "embeds") if model.get(key)), None)
        if given is None:
            continue
        if model.get("embeds") is False:
            message = "a model that does not embed has no space; remove one of the two"
            problems.add(member(path, given), message)
        provider = mapped(providers, str(model.get("provider")))
        kind, base_url = KINDS.get(str(provider.get("kind"))), provider.get("base_url")
        if kind is None:
            continue
        also = kind.also_at(base_url if isinstance(base_url, str) else None)
        if not EMBEDDINGS.intersection((kind.format, *also)):
            message = f"kind {kind.name} makes no embeddings; remove it or choose another provider"
            problems.add(member(path, given), message)


def advise_on_spaces(
    path: str, endpoints: list[Endpoint], static: str | None, notes: Problems
) -> None:
    """Note a route whose members cannot take over from each other."""
    spaces = list(dict.fromkeys(one.space for one in endpoints if one.space is not None))
    if not spaces:
        return
    if len(spaces) > 1:
        message = f"vectors of {' and '.join(spaces)} cannot be compared, so only those of"
        hint = "if they are one model, give both the same `embedding_space`"
        notes.add(member(path, "tiers"), f"{message} {spaces[0]} are served; {hint}")
    words = [one.model for one in endpoints if one.space is None]
    if words:
        message = f"{', '.join(words)} makes no embeddings, the rest of this route nothing else"
        notes.add(member(path, "tiers"), f"{message}; make two routes")
    elif static is not None:
        message = "a route of embeddings never gives a static answer"
        notes.add(member(path, "static"), f"{message}; remove it")
