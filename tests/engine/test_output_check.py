"""A structured answer is checked against what was asked; its content is never repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sidecar.engine.output_check import (
    ANSWER_CHARS_MAX,
    COMPILED_MAX,
    PATTERN_CHARS_MAX,
    OutputChecks,
)
from sidecar.wire.neutral import OutputFormat, OutputMode
from tests.engine.test_schema_bound import TREE, doubling

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z]"},
        "pets": {"type": "array", "items": {"type": "object", "required": ["kind"]}},
        "age": {"type": "integer", "minimum": 0},
    },
    "required": ["name"],
    "additionalProperties": False,
}
OBJECT = OutputFormat(mode=OutputMode.JSON_OBJECT)


def asked(schema: object) -> OutputFormat:
    """Return the wish for an answer that fits ``schema``."""
    return OutputFormat(mode=OutputMode.JSON_SCHEMA, schema=json.dumps(schema).encode())


@pytest.mark.parametrize(
    ("schema", "answer", "flaw"),
    [
        (PERSON, '{"name":"Ada","age":36,"pets":[{"kind":"cat"}]}', None),
        (PERSON, '{"name":"Ada"', "$: not JSON"),
        (PERSON, '```json\n{"name":"Ada"}\n```', "$: not JSON"),
        (PERSON, "", "$: not JSON"),
        (PERSON, "[" * 100_000, "$: not JSON"),
        (PERSON, "[]", "$: type"),
        (PERSON, "{}", "$: required"),
        (PERSON, '{"name":"ada"}', "$.name: pattern"),
        (PERSON, '{"name":"Ada","age":1.5}', "$.age: type"),
        (PERSON, '{"name":"Ada","pets":[{"kind":1},{}]}', "$.pets[1]: required"),
        (PERSON, '{"name":"Ada","secret":1}', "$: additionalProperties"),
        ({"additionalProperties": {"type": "string"}}, '{"secret":1}', "$.*: type"),
        ({"enum": ["red"]}, '"blue"', "$: enum"),
        (True, '{"anything":1}', None),
        (TREE, '{"children":[{"children":[]},{"children":3}]}', "$.children[1].children: type"),
    ],
)
def test_place_and_rule_are_told(schema: object, answer: str, flaw: str | None) -> None:
    """The place in the answer and the rule it breaks, in the schema's words only."""
    assert OutputChecks().flaw(asked(schema), answer) == flaw


@pytest.mark.parametrize(
    ("answer", "flaw"),
    [('{"a":1}', None), ("[1]", "$: not an object"), ("Sure! {}", "$: not JSON")],
)
def test_a_json_object_is_an_object(answer: str, flaw: str | None) -> None:
    """JSON mode promises an object, of any shape."""
    assert OutputChecks().flaw(OBJECT, answer) == flaw


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (doubling(40), "1"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "1"),
        ({"type": "no such type"}, "1"),
        ({"pattern": "("}, '"a"'),
        ('{"$ref": "http://127.0.0.1:9/schema.json"}', "1"),
        ({"pattern": "(?=(a+)+b)\\1"}, json.dumps("a" * 5000)),
        ({"type": "object"}, json.dumps("a" * ANSWER_CHARS_MAX)),
        (doubling(9), json.dumps([1] * 5000)),
        ({"type": "object", "multipleOf": 3}, "1" * 4000),
        ({"type": "object", "pattern": "a"}, json.dumps("a" * PATTERN_CHARS_MAX)),
        ({"type": "string", "enum": list(range(5000))}, json.dumps(list(range(5000)))),
    ],
)
def test_what_cannot_be_checked_in_time_passes(schema: object, answer: str) -> None:
    """Better unchecked than an event loop at a standstill; a schema that is none is no fault of
    the answer.
    """
    assert OutputChecks().flaw(asked(schema), answer) is None


def test_a_mistake_is_found_even_where_its_place_would_take_too_long() -> None:
    """Telling where costs more than telling whether."""
    schema = {"properties": {f"p{number}": {"maxLength": 3} for number in range(300)}}
    answer = json.dumps({f"p{number}": "abcd" for number in range(300)})
    assert OutputChecks().flaw(asked(schema), answer) == "$: schema"


def test_schemas_are_compiled_once_and_forgotten_in_time() -> None:
    """The memory of schemas is bounded, least recently used out first."""
    checks = OutputChecks()
    first = asked({"const": 0})
    checks.flaw(first, "0")
    kept: Any = checks._compiled
    compiled = kept[first.schema]
    for number in range(1, COMPILED_MAX):
        checks.flaw(asked({"const": number}), "0")
    checks.flaw(first, "0")
    assert kept[first.schema] is compiled
    checks.flaw(asked({"const": COMPILED_MAX}), "0")
    assert len(kept) == COMPILED_MAX
    assert kept[first.schema] is compiled
    assert asked({"const": 1}).schema not in kept


def test_the_validator_is_imported_with_the_first_schema() -> None:
    """A sidecar whose callers ask for text does not carry it."""
    code = (
        "import sys; import sidecar.app; from sidecar.engine.output_check import OutputChecks; "
        "assert 'jsonschema_rs' not in sys.modules; "
        "from sidecar.wire.neutral import OutputFormat, OutputMode as M; "
        "OutputChecks().flaw(OutputFormat(mode=M.JSON_SCHEMA, schema=b'{}'), '1'); "
        "assert 'jsonschema_rs' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
