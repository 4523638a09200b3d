"""The sidecar object in a body."""

from __future__ import annotations

import pytest

from sidecar.wire.envelope import take_sidecar

DEEP = b'{"x":%b}' % (b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize(
    ("body", "left", "taken"),
    [
        (b'{"model":"m"}', b'{"model":"m"}', None),
        (b'{"sidecar":{"within":"1s"},"model":"m"}', b'{"model":"m"}', b'{"within":"1s"}'),
        (b'{"model":"m", "sidecar": {} }', b'{"model":"m" }', b"{}"),
        (b'{"a":1, "sidecar":null, "b":2}', b'{"a":1, "b":2}', b"null"),
        (b'{"\\u0073idecar":1,"b":2}', b'{"b":2}', b"1"),
        (b'{"x":{"sidecar":1}}', b'{"x":{"sidecar":1}}', None),
        (b'{"x":["sidecar"]}', b'{"x":["sidecar"]}', None),
        (b"not json", b"not json", None),
    ],
)
def test_take_sidecar(body: bytes, left: bytes, taken: bytes | None) -> None:
    """The top-level member alone is taken; every other byte stays."""
    assert take_sidecar(body) == (left, taken)


@pytest.mark.parametrize(
    "body", [b'{"sidecar": {', b'["sidecar"]', b'{"sidecar": 1}, {}', b"\xff", DEEP]
)
def test_what_is_no_object_is_left_to_its_reader(body: bytes) -> None:
    """A body that is not a JSON object has no member to take, whatever stands in it."""
    assert take_sidecar(body) == (body, None)
