"""Which models make embeddings, and in which space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.domain import EndpointId, WireFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Config

WORDS, VECTORS = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_EMBEDDINGS


@pytest.mark.parametrize(
    ("model", "format_", "space"),
    [
        ("model: a-big", WORDS, None),
        ("model: text-embedding-3-small", VECTORS, "text-embedding-3-small"),
        ("model: nomic-Embed-text", VECTORS, "nomic-Embed-text"),
        ("model: text-embedding-3-small, embeds: false", WORDS, None),
        ("model: bge-m3, embeds: true", VECTORS, "bge-m3"),
        ("model: bge-m3:f16, embedding_space: bge-m3", VECTORS, "bge-m3"),
    ],
)
def test_what_a_model_makes(
    read: Callable[..., Config], model: str, format_: WireFormat, space: str | None
) -> None:
    """As the entry says, else by its name; the space is the model's own name unless given."""
    endpoint = read(("model: a-big", model)).catalogue.endpoints[EndpointId("a/big")]
    assert (endpoint.format, endpoint.space) == (format_, space)
    other = VECTORS if format_ is WORDS else WORDS
    assert endpoint.format_for(format_) is format_
    assert endpoint.format_for(other) is None


def test_a_name_alone_is_no_claim(read: Callable[..., Config]) -> None:
    """At a kind that makes no embeddings a model of such a name makes words."""
    endpoint = read(("b-small", "embedded-small")).catalogue.endpoints[EndpointId("b/small")]
    assert (endpoint.format, endpoint.space) == (WireFormat.ANTHROPIC_MESSAGES, None)
