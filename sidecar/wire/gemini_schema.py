"""Schemas in Google's own dialect → JSON Schema, which every other format takes.

``parameters`` and ``responseSchema`` are OpenAPI objects: types in capitals, ``nullable``, counts
as decimal strings, ``propertyOrdering``. Their siblings ``parametersJsonSchema`` and
``responseJsonSchema`` are JSON Schema as it is.

    {"type": "OBJECT", "properties": {"n": {"type": "INTEGER", "nullable": true}}}
    → {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.wire.gemini_names import camel

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAPS = frozenset({"properties", "defs", "$defs"})
_COUNTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
_NOT_JSON_SCHEMA = frozenset({"nullable", "propertyOrdering", "example"})
_UNSPECIFIED = "type_unspecified"


def json_schema(raw: msgspec.Raw, path: str) -> bytes:
    """Return Google's schema ``raw`` as JSON Schema.

    Raises:
        WireError: it is not a JSON object.
    """
    try:
        schema = msgspec.json.decode(bytes(raw))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WireError(f"not valid JSON: {error}", path) from error
    if not isinstance(schema, dict):
        raise WireError("Expected `object`", path)
    try:
        return msgspec.json.encode(_schema(schema))
    except RecursionError as error:
        raise WireError("nested too deeply", path) from error


def _schema(schema: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    named = {camel(key): value for key, value in schema.items()}
    for key, value in named.items():
        if key not in _NOT_JSON_SCHEMA:
            found[key] = _value(key, value)
    if found.get("type") == _UNSPECIFIED:
        del found["type"]
    if named.get("nullable") is True:
        _allow_null(found)
    return found


def _value(key: str, value: object) -> object:
    if key == "type" and isinstance(value, str):
        return value.lower()
    if key in _COUNTS and isinstance(value, str) and value.isdigit():
        return int(value)
    if key in _MAPS and isinstance(value, dict):
        return {name: _any(inner) for name, inner in value.items()}
    if key in {"items", "anyOf", "prefixItems", "additionalProperties"}:
        return _any(value)
    return value


def _any(value: object) -> object:
    if isinstance(value, dict):
        return _schema(value)
    return [_any(inner) for inner in value] if isinstance(value, list) else value


def _allow_null(schema: dict[str, object]) -> None:
    kind, choices, values = (schema.get(key) for key in ("type", "anyOf", "enum"))
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
    elif isinstance(choices, list):
        schema["anyOf"] = [*choices, {"type": "null"}]
    if isinstance(values, list) and None not in values:
        schema["enum"] = [*values, None]
