"""Reading YAML with its lines: what is refused, and how plain scalars are read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.load import load_text
from sidecar.config.yaml_tree import BYTES_MAX, DEPTH_MAX, parse_tree
from sidecar.errors import ConfigError


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "c.yaml:1: $: the file is empty; `sidecar schema` says what may be in it"),
        (b"# nothing\n", "c.yaml:1: $: the file is empty; `sidecar schema` says what may be in it"),
        (
            b"a: 1\nb: \xff\n",
            "c.yaml:2: $: expected UTF-8 text, got byte 0xff; save the file as UTF-8",
        ),
        (
            b"p:\n  x: 1\n  y: 2\n  x: 3\n",
            'c.yaml:4: $.p.x: duplicate key "x", first at line 2; keep one',
        ),
        (
            b"a:\n\tb: 1\n",
            "c.yaml:2: $: not valid YAML: a tab in the indentation; indent with spaces",
        ),
        (
            b"a: 1\n---\nb: 2\n",
            (
                "c.yaml:2: $: expected one document, got a second document; keep one, remove the"
                " `---` line"
            ),
        ),
        (
            b"[" * (DEPTH_MAX + 1),
            "c.yaml:1: $: expected one document, got nested deeper than 32; flatten it",
        ),
        (b"a: *x\n", "c.yaml:1: $: not valid YAML: found undefined alias"),
        (b"1: a\n", "c.yaml:1: $: expected a text key, got 1; put it in quotes"),
        (
            b"a: 1\n? [b]\n: 2\n",
            (
                "c.yaml:2: $: expected a text key, got a collection; remove the `?`, `[` or `{`"
                " before it"
            ),
        ),
        (
            b"a: !!python/name:os.system x\n",
            (
                'c.yaml:1: $.a: expected plain data, got the tag "tag:yaml.org,2002:python/name:'
                'os.system"; remove it'
            ),
        ),
        (b"a: !!int x\n", 'c.yaml:1: $.a: expected a value of tag !!int, got "x"'),
        (b"a:\n  <<: 1\n", "c.yaml:1: $.a: expected a mapping after <<, got 1"),
        (
            b" " * (BYTES_MAX + 1),
            "c.yaml:1: $: expected at most 1048576 bytes, got 1048577",
        ),
    ],
)
def test_unreadable_text_is_one_clear_problem(data: bytes, message: str) -> None:
    """What is not a plain YAML mapping is refused with file, line and what to do."""
    with pytest.raises(ConfigError) as caught:
        parse_tree(data, "c.yaml").problems.raise_any()
    assert caught.value.problems == (message,)


def test_a_node_that_holds_itself_is_refused() -> None:
    """An anchor inside its own node ends at the bound, not in endless recursion."""
    with pytest.raises(ConfigError, match="nested at most 32 deep"):
        parse_tree(b"&a [*a]", "c.yaml")


def test_aliases_that_multiply_are_refused() -> None:
    """A few hundred bytes of nested aliases cannot grow into millions of values."""
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="expected at most 50000 values"):
        parse_tree("\n".join(rows).encode(), "c.yaml")


def test_scalars_follow_the_core_schema() -> None:
    """Only null, true, false and numbers are not text: no ``on``, no sexagesimal, no dates."""
    text = b'[on, no, "1", 12:30, 2026-01-01, 0x1f, 1.5, 1e3, true, null, ~, -7]'
    expected = ["on", "no", "1", "12:30", "2026-01-01", 31, 1.5, 1000.0, True, None, None, -7]
    assert parse_tree(text, "c.yaml").value == expected


def test_members_know_their_lines() -> None:
    """Each member's path leads to its line; merged members to where they were written."""
    text = b'a: &a\n  p: 1\nb:\n  <<: *a\n  "gpt-4.1": 2\n  l:\n    - x\n    - y\n'
    tree = parse_tree(text, "c.yaml")
    assert tree.value == {"a": {"p": 1}, "b": {"p": 1, "gpt-4.1": 2, "l": ["x", "y"]}}
    assert tree.lines == {
        "$": 1,
        "$.a": 1,
        "$.a.p": 2,
        "$.b": 3,
        "$.b.p": 2,
        '$.b["gpt-4.1"]': 5,
        "$.b.l": 6,
        "$.b.l[0]": 7,
        "$.b.l[1]": 8,
    }


def test_json_is_read_too() -> None:
    """JSON with tabs and escapes is YAML enough."""
    data = b'\xef\xbb\xbf{\n\t"a": [1, {"b": "\\u00e9\\/"}]\n}\n'
    assert parse_tree(data, "c.json").value == {"a": [1, {"b": "é/"}]}


_WORDS = st.sampled_from(
    [
        *("providers", "models", "routes", "aliases", "defaults", "listen", "token", "kind"),
        *("openai", "tiers", "within", "2s", "5", "-1", "1.5", ".inf", "true", "null", "~", "&a"),
        *("*a", "<<", ": ", ":\n  ", "\n", "- ", "[", "]", "{", "}", ", ", '"', "'", "|", "!!int"),
        *("? ", "%YAML 9\n", "---\n", "\t", "\x00", "\u2028", "é", "price", "a", "breaker", "env"),
    ]
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(_WORDS, max_size=40).map("".join).map(str.encode) | st.binary(max_size=60))
def test_no_text_raises_anything_else(data: bytes) -> None:
    """Whatever a file holds, loading it fails with ConfigError, or succeeds."""
    with pytest.raises(ConfigError) as caught:
        load_text(data, {}, source="c.yaml")
    assert all(problem.startswith("c.yaml:") for problem in caught.value.problems)
    assert "\n" not in "".join(caught.value.problems)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["providers", "models", "routes", "aliases", "defaults", "listen"]),
        st.dictionaries(_WORDS, _VALUES, max_size=3) | _VALUES,
        max_size=6,
    )
)
def test_no_value_raises_anything_else(value: object) -> None:
    """Whatever values stand where, loading them fails with ConfigError."""
    import yaml  # noqa: PLC0415 - writes the input only

    text = yaml.safe_dump(value, allow_unicode=True).encode()
    with pytest.raises(ConfigError):
        load_text(text, {}, source="c.yaml")


def test_equal_keys_hide_no_other_mistake() -> None:
    """A duplicate key is told together with what is wrong elsewhere, in the order of lines."""
    text = b"providers:\n  a: {kind: opnai}\nmodels: {}\nmodels: {}\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text, {}, source="c.yaml")
    lines = [problem.split(": ")[0] for problem in caught.value.problems]
    assert lines == sorted(lines)
    assert any('did you mean "openai"' in problem for problem in caught.value.problems)
    assert any('duplicate key "models"' in problem for problem in caught.value.problems)
