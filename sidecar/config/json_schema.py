"""The configuration file as JSON Schema, out of the same types that validate it.

For editors: completion, hints, red underlines. The loader knows more (names that lead nowhere, keys
that are not set), so a file that fits the schema may still be refused.
"""

from __future__ import annotations

import msgspec

from sidecar.config.groups import struct_of
from sidecar.config.schema import File
from sidecar.config.sections import SECTIONS
from sidecar.durations import DURATION_PATTERN, format_duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, object]:
    """Return the schema as plain JSON values."""
    types = [File, *(struct_of(settings) for settings in SECTIONS)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    root = {
        "$schema": DIALECT,
        "title": "llm-resilience-sidecar configuration",
        "$ref": schemas[0]["$ref"],
        "$defs": components,
    }
    _write_durations(root)
    return root


def _write_durations(node: object) -> None:
    """Write durations as the file spells them, type and default, below ``node`` and in place."""
    if isinstance(node, dict):
        choices = [node, *node.get("anyOf", ())]
        is_duration = any(choice.get("pattern") == DURATION_PATTERN for choice in choices)
        if is_duration and isinstance(node.get("default"), float):
            node["default"] = format_duration(node["default"])
        if node.get("pattern") == DURATION_PATTERN:
            node["type"] = "string"
        for item in node.values():
            _write_durations(item)
    elif isinstance(node, list):
        for item in node:
            _write_durations(item)
