"""What is behind a path."""

from __future__ import annotations

import pytest

from sidecar.domain import WireFormat
from sidecar.server.doors import Operation, door_of


@pytest.mark.parametrize(
    ("path", "format_", "name"),
    [
        ("/v1/embeddings", WireFormat.OPENAI_EMBEDDINGS, None),
        ("/embeddings", WireFormat.OPENAI_EMBEDDINGS, None),
        ("/v1/v1/embeddings", WireFormat.OPENAI_EMBEDDINGS, None),
        ("/v1beta/models/a%2Fb:embedContent", WireFormat.GEMINI_EMBEDDINGS, "a/b"),
        ("/v1beta/models/a:b:batchEmbedContents", WireFormat.GEMINI_EMBEDDINGS, "a:b"),
    ],
)
def test_embeddings(path: str, format_: WireFormat, name: str | None) -> None:
    """With and without a version; Gemini's paths name the model and say that it is no stream."""
    door = door_of(path, "", {})
    assert door is not None
    assert (door.operation, door.format, door.name) == (Operation.ANSWER, format_, name)
    assert not door.is_stream


@pytest.mark.parametrize("path", ["/workshop/files", "/v2/embeddings", "/", "/v1/embeddings/x"])
def test_no_door(path: str) -> None:
    """What is none of our paths is left to whoever passes requests on."""
    assert door_of(path, "", {}) is None
