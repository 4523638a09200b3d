"""How much work a caller's JSON Schema may cause, found out before it is compiled.

A schema comes from a caller and is run on the event loop, so its worst case is bounded first. A
schema without references looks at each value with each of its subschemas at most once; references
can multiply that without end (``a`` asks twice for ``b``, ``b`` twice for ``c``, …). So references
are followed here, down to the depth of the answer at hand, and counted. Whoever goes in circles
without going down, refers elsewhere than into itself, or exceeds a bound is not worth the risk: its
answers go unchecked.

Worst case found at these bounds, together with those of ``output_check.py``: 70 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_BYTES_MAX = 64 * 1024
SCHEMA_DEPTH_MAX = 100
PATTERN = b'"pattern'
PATTERNS_MAX = 50
"""Each may take the regular expression compiler half a millisecond."""
UNROLLED_MAX = 20_000
"""Subschemas after following every reference: more takes too long to count and to compile."""

_TOO_MANY = f"more than {UNROLLED_MAX} subschemas"
_BELOW = frozenset(
    {
        "properties",
        "patternProperties",
        "additionalProperties",
        "items",
        "prefixItems",
        "additionalItems",
        "contains",
        "propertyNames",
    }
)
_BY_NAME = frozenset({"dependentSchemas", "dependencies"})
_ASIDE = frozenset({"$defs", "definitions", "default", "examples"})
_FOREIGN = (
    b'"$dynamicRef"',
    b'"$recursiveRef"',
    b'"$id"',
    b'"$anchor"',
    b'"unevaluatedProperties"',
    b'"unevaluatedItems"',
)
"""Words that make references depend on where they are met, or look at everything twice."""


class TooMuchError(Exception):
    """A schema that may take longer than anybody should wait for it."""


def refuse_costly(raw: bytes) -> None:
    """Look at a schema's text alone.

    Raises:
        TooMuchError: it is too long, has too many patterns, or uses words that cannot be bounded.
    """
    if len(raw) > SCHEMA_BYTES_MAX:
        raise TooMuchError(f"more than {SCHEMA_BYTES_MAX} bytes")
    if raw.count(PATTERN) > PATTERNS_MAX:
        raise TooMuchError(f"more than {PATTERNS_MAX} patterns")
    for word in _FOREIGN:
        if word in raw:
            raise TooMuchError(word.decode())


class Unrolling:
    """Counts the subschemas of one schema."""

    def __init__(self, schema: object) -> None:
        self._root = schema
        self._sizes: dict[int, int] = {}
        self._counts: dict[tuple[int, int], int] = {}
        self._under_way: set[tuple[int, int]] = set()

    def size(self, depth: int) -> int:
        """Return how many subschemas may look at values of an answer ``depth`` levels deep.

        Raises:
            TooMuchError: more than ``UNROLLED_MAX``, or without end.
        """
        if depth not in self._sizes:
            self._counts.clear()
            self._under_way.clear()
            try:
                self._sizes[depth] = self._size(self._root, depth, 0)
            except TooMuchError:
                self._sizes[depth] = UNROLLED_MAX + 1
                raise
        if self._sizes[depth] > UNROLLED_MAX:
            raise TooMuchError(_TOO_MANY)
        return self._sizes[depth]

    def _size(self, node: object, depth: int, nested: int) -> int:
        if depth < 0 or not isinstance(node, (dict, list)):
            return 0
        key = (id(node), depth)
        if key in self._counts:
            return self._counts[key]
        if key in self._under_way:
            raise TooMuchError("a reference that leads back to itself")
        if nested > SCHEMA_DEPTH_MAX or len(self._counts) > UNROLLED_MAX:
            raise TooMuchError("too deep, or too many references")
        self._under_way.add(key)
        size = 1
        for below, levels in self._parts(node):
            size += self._size(below, depth - levels, nested + 1)
            if size > UNROLLED_MAX:
                raise TooMuchError(_TOO_MANY)
        self._under_way.discard(key)
        self._counts[key] = size
        return size

    def _parts(self, node: dict[str, object] | list[object]) -> Iterator[tuple[object, int]]:
        """Yield what else is looked at, and how many levels further down in the answer."""
        if isinstance(node, list):
            yield from ((each, 0) for each in node)
            return
        for word, value in node.items():
            if word == "$ref" and isinstance(value, str):
                yield self._target(value), 0
            elif word in _BELOW and isinstance(value, dict) and word.lower().endswith("properties"):
                many = [value] if word == "additionalProperties" else value.values()
                yield from ((each, 1) for each in many)
            elif word in _BY_NAME and isinstance(value, dict):
                yield from ((each, 0) for each in value.values())
            elif word in {"enum", "const"}:
                yield from (([each], 0) for each in _leaves(value))
            elif word not in _ASIDE:
                yield value, int(word in _BELOW)

    def _target(self, reference: str) -> object:
        """Return what a reference into the schema itself points to (RFC 6901)."""
        if not reference.startswith("#"):
            raise TooMuchError("a reference elsewhere")
        at = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(at, dict) and name in at:
                at = at[name]
            elif isinstance(at, list) and name.isdecimal() and int(name) < len(at):
                at = at[int(name)]
            else:
                raise TooMuchError("a reference to nowhere")
        return at


def _leaves(value: object) -> Iterator[object]:
    """Yield the scalars of a value that an answer is compared with."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
        else:
            yield node
