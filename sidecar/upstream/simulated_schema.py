"""Values that fit a JSON schema, for the arguments and JSON answers of a simulated model.

The keywords that tool schemas really use: ``const``, ``enum``, ``$ref``, unions, ``type``,
``properties``, ``items``.
"""

from __future__ import annotations

from collections.abc import Mapping

SCHEMA_DEPTH_MAX = 8  # a schema may refer to itself


def plausible(schema: object, root: object = None, depth: int = 0) -> object:
    """Return a value that fits a JSON schema: the keywords that tool schemas really use."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > SCHEMA_DEPTH_MAX:
        return {}
    if "const" in schema:
        return schema["const"]
    if isinstance(enum := schema.get("enum"), list) and enum:
        return enum[0]
    if isinstance(ref := schema.get("$ref"), str):
        return plausible(_resolve(ref, root), root, depth + 1)
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(union), list) and options:
            return plausible(options[0], root, depth + 1)
    return _typed(schema, root, depth)


def _typed(schema: Mapping[str, object], root: object, depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        properties = schema.get("properties")
        pairs = properties.items() if isinstance(properties, Mapping) else ()
        return {key: plausible(value, root, depth + 1) for key, value in pairs}
    if kind == "array":
        return [plausible(schema.get("items", {"type": "string"}), root, depth + 1)]
    scalars = {"integer": schema.get("minimum", 1), "number": 1.5, "boolean": True, "null": None}
    return scalars.get(str(kind), "Zürich")


def _resolve(ref: str, root: object) -> object:
    found = root
    for key in ref.removeprefix("#/").split("/"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
