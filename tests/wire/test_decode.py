"""JSON errors with their place."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.errors import WireError
from sidecar.wire.decode import decode

DECODER = msgspec.json.Decoder(dict[str, list[int]] | list[msgspec.Raw])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"a":[1,"x"]}', "$.m[...][1]"),
        (b"1", "$.m"),
        (b'{"a":', "$.m"),
        (b'{"\xff":[1]}', "$.m"),
        (b"[" * 100_000 + b"]" * 100_000, "$.m"),
    ],
)
def test_every_failure_is_a_wire_error(body: bytes, path: str) -> None:
    """Wrong types, broken JSON and broken UTF-8 all say where."""
    with pytest.raises(WireError) as caught:
        decode(DECODER, body, "$.m")
    assert caught.value.path == path
