"""What callers may name, as the SDKs list models: OpenAI's shape, or Anthropic's or Google's for
their clients.

Routes and models of one catalogue have no birthday, so the epoch stands in where a shape demands a
date.

    {"object": "list", "data": [{"id": "reason", "object": "model", "created": 0, …}]}
    {"data": [{"type": "model", "id": "reason", "created_at": "1970-…", …}], "has_more": false, …}
    {"models": [{"name": "models/reason", "displayName": "reason", …}]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import WireFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

_METHODS = ("generateContent", "countTokens")


def list_models(names: Sequence[str], form: WireFormat) -> bytes:
    """Return the whole list; there are never so many that pages would help."""
    models = [_model(name, form) for name in names]
    if form is WireFormat.GEMINI:
        return msgspec.json.encode({"models": models})
    if form is not WireFormat.ANTHROPIC_MESSAGES:
        return msgspec.json.encode({"object": "list", "data": models})
    ends = (
        {"first_id": names[0], "last_id": names[-1]}
        if names
        else {"first_id": None, "last_id": None}
    )
    return msgspec.json.encode({"data": models, "has_more": False, **ends})


def show_model(name: str, form: WireFormat) -> bytes:
    """Return one entry of the list."""
    return msgspec.json.encode(_model(name, form))


def _model(name: str, form: WireFormat) -> dict[str, object]:
    match form:
        case WireFormat.ANTHROPIC_MESSAGES:
            born = "1970-01-01T00:00:00Z"
            return {"type": "model", "id": name, "display_name": name, "created_at": born}
        case WireFormat.GEMINI:
            shown: dict[str, object] = {"name": f"models/{name}", "displayName": name}
            return shown | {"version": "sidecar", "supportedGenerationMethods": _METHODS}
        case _:
            return {"id": name, "object": "model", "created": 0, "owned_by": "sidecar"}
