"""The sidecar object in a body."""

from __future__ import annotations

import pytest

from sidecar.errors import WireError
from sidecar.wire.envelope import take_sidecar


@pytest.mark.parametrize(
    ("body", "left", "taken"),
    [
        (b'{"model":"m"}', b'{"model":"m"}', None),
        (b'{"sidecar":{"within":"1s"},"model":"m"}', b'{"model":"m"}', b'{"within":"1s"}'),
        (b'{"model":"m", "sidecar": {} }', b'{"model":"m" }', b"{}"),
        (b'{"a":1, "sidecar":null, "b":2}', b'{"a":1, "b":2}', b"null"),
        (b'{"x":{"sidecar":1}}', b'{"x":{"sidecar":1}}', None),
        (b'{"x":["sidecar"]}', b'{"x":["sidecar"]}', None),
        (b"not json", b"not json", None),
    ],
)
def test_take_sidecar(body: bytes, left: bytes, taken: bytes | None) -> None:
    """The top-level member alone is taken; every other byte stays."""
    assert take_sidecar(body) == (left, taken)


def test_broken_body_with_the_key() -> None:
    """A body that seems to have the member but is not JSON is refused."""
    with pytest.raises(WireError):
        take_sidecar(b'{"sidecar": {')
