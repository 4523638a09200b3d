"""The worst case of a caller's schema is known before it is compiled."""

from __future__ import annotations

import pytest

from sidecar.engine.schema_bound import (
    PATTERNS_MAX,
    SCHEMA_BYTES_MAX,
    TooMuchError,
    Unrolling,
    refuse_costly,
)

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        }
    },
    "$ref": "#/$defs/node",
}


def doubling(levels: int) -> dict[str, object]:
    """Return a schema that asks ``2 ** levels`` times for a string."""
    defs: dict[str, object] = {
        f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(levels)
    }
    defs[f"a{levels}"] = {"type": "string"}
    return {"$defs": defs, "$ref": "#/$defs/a0"}


def test_references_are_followed_and_counted() -> None:
    """Each level of references that asks twice doubles the size."""
    sizes = [Unrolling(doubling(levels)).size(0) for levels in (3, 4, 5)]
    assert sizes[0] > 2**3
    assert sizes[1] > 1.9 * sizes[0]
    assert sizes[2] > 1.9 * sizes[1]


def test_a_reference_that_multiplies_is_refused() -> None:
    """A few hundred bytes must not be able to stall the event loop, and refusing is quick."""
    with pytest.raises(TooMuchError):
        Unrolling(doubling(40)).size(0)


def test_a_recursive_schema_is_as_large_as_its_answer_is_deep() -> None:
    """Trees are usual; what they cost depends on the answer at hand."""
    tree = Unrolling(TREE)
    assert tree.size(2) < tree.size(8) < tree.size(40) < 1000


def test_a_refused_depth_does_not_spoil_a_lesser_one() -> None:
    """A deep answer cannot be checked; the next, flat one can."""
    fork = {
        "$defs": {"n": {"anyOf": [{"properties": {"x": {"$ref": "#/$defs/n"}}}] * 2}},
        "$ref": "#/$defs/n",
    }
    unrolling = Unrolling(fork)
    for _ in range(2):
        with pytest.raises(TooMuchError):
            unrolling.size(40)
    assert unrolling.size(3) < 200


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#/allOf/3", "allOf": []},
    ],
)
def test_references_in_circles_elsewhere_and_nowhere_are_refused(schema: object) -> None:
    """None of them can be followed to an end, and nothing is ever fetched."""
    with pytest.raises(TooMuchError):
        Unrolling(schema).size(5)


def test_values_to_compare_with_count() -> None:
    """A long ``enum`` is compared with each value of an answer."""
    assert Unrolling({"enum": [[number] for number in range(500)]}).size(0) > 500
    with pytest.raises(TooMuchError):
        Unrolling({"enum": list(range(30_000))}).size(0)


def test_escaped_and_numbered_references_are_found() -> None:
    """RFC 6901: ``~1`` is a slash, ``~0`` a tilde, a number an element."""
    schema = {"$defs": {"a/b~c": [{"type": "string"}]}, "$ref": "#/$defs/a~1b~0c/0"}
    assert Unrolling(schema).size(0) == 2


def test_by_name_schemas_look_at_the_same_value() -> None:
    """``dependentSchemas`` does not go down, so a circle through it has no end."""
    with pytest.raises(TooMuchError):
        Unrolling({"dependentSchemas": {"items": {"$ref": "#"}}}).size(5)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"description":"' + b"x" * SCHEMA_BYTES_MAX + b'"}',
        b'{"pattern":"a"},' * (PATTERNS_MAX + 1),
        b'{"$dynamicRef":"#a"}',
        b'{"$id":"https://example.com"}',
        b'{"unevaluatedProperties":false}',
    ],
)
def test_costly_texts_are_refused(raw: bytes) -> None:
    """Length, patterns and words whose cost nobody can tell."""
    with pytest.raises(TooMuchError):
        refuse_costly(raw)
    refuse_costly(raw[:4])
