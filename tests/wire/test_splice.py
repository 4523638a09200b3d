"""Byte surgery on JSON objects."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import WireError
from sidecar.wire.splice import (
    read_members,
    remove_member,
    replace_members,
    replace_string_member,
)

KEYS = st.sampled_from(["model", "mo\\del", 'mo"del', "", "é", "a", "b", "}", ",", "\n"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)
STYLES = st.sampled_from(
    [
        {},
        {"separators": (",", ":")},
        {"indent": 2, "ensure_ascii": False},
        {"separators": (" , ", "\t:\r\n")},
    ]
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(value=OBJECTS, style=STYLES, key=KEYS, new=VALUES)
def test_replace_is_what_a_dict_does(value: dict, style: dict, key: str, new: object) -> None:  # type: ignore[type-arg]  # any JSON
    """Replacing or appending a member equals assigning it."""
    body = json.dumps(value, **style).encode()
    changed = replace_members(body, {key: json.dumps(new).encode()})
    assert json.loads(changed) == {**value, key: new}
    assert list(json.loads(changed)) == list({**value, key: new})


@settings(max_examples=150, deadline=None, derandomize=True)
@given(value=OBJECTS, style=STYLES, key=KEYS)
def test_remove_is_what_a_dict_does(value: dict, style: dict, key: str) -> None:  # type: ignore[type-arg]  # any JSON
    """Removing a member leaves the others and gives back its value."""
    body = json.dumps(value, **style).encode()
    changed, raw = remove_member(body, key)
    left = {k: v for k, v in value.items() if k != key}
    assert json.loads(changed) == left
    assert (raw is None) == (key not in value)
    if raw is None:
        assert changed == body
    else:
        assert json.loads(raw) == value[key]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(value=OBJECTS, style=STYLES, new=TEXT)
def test_other_bytes_stay(value: dict, style: dict, new: str) -> None:  # type: ignore[type-arg]  # any JSON
    """Only the bytes of the replaced value change."""
    rest = {k: v for k, v in value.items() if k != "model"}
    one = json.dumps({**rest, "model": "first", "z": 1.50}, **style).encode()
    expected = one.replace(b'"first"', json.dumps(new, ensure_ascii=False).encode())
    if all(ord(char) >= 32 and char != "\x7f" for char in new):
        assert replace_string_member(one, "model", new) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b' { "x" : 1e2 , "model" : "a" } \n', b' { "x" : 1e2 , "model" : "b" } \n'),
        (b'{"\\u006dodel":"a"}', b'{"\\u006dodel":"b"}'),
        (b'{"x":{"model":"a"},"model":null}', b'{"x":{"model":"a"},"model":"b"}'),
        (b'{"x":"\\"model\\":\\"a\\""}', b'{"x":"\\"model\\":\\"a\\"","model":"b"}'),
        (b"{ }", b'{"model":"b" }'),
        (b'{"model":"a","x":1,"model":"c"}', b'{"model":"b","x":1}'),
        (b'{"x":1,"x":[2, 3],"model":"c"}', b'{"x":[2, 3],"model":"b"}'),
        (b'{"x":1,"x":1}', b'{"x":1,"model":"b"}'),
        (b'{"x":1,"model":1,"x":1}', b'{"x":1,"model":"b"}'),
        (b'{"x":1,"x":22,"model":"a"}', b'{"x":22,"model":"b"}'),
        (b'{"x":"1","\\u0078":"2","model":"a"}', b'{"x":"2","model":"b"}'),
        (b'{"model":"b","x":1}', b'{"model":"b","x":1}'),
    ],
)
def test_replace_model(body: bytes, expected: bytes) -> None:
    """Escaped keys, nested look-alikes, missing and repeated members are all replaced right."""
    assert replace_string_member(body, "model", "b") == expected


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"a":1,}', b'{"a":1} x', b"{'a':1}"])
def test_not_an_object(body: bytes) -> None:
    """What is not a JSON object is refused, not mangled."""
    with pytest.raises(WireError):
        replace_members(body, {"model": b"1"})
    with pytest.raises(WireError):
        remove_member(body, "model")
    with pytest.raises(WireError):
        read_members(body)
