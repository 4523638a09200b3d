"""JSON errors with their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from sidecar.errors import WireError
from sidecar.wire.decode import decode
from sidecar.wire.formats import PROVIDER_CODECS

if TYPE_CHECKING:
    from sidecar.domain import WireFormat

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


@pytest.mark.parametrize("form", PROVIDER_CODECS)
@pytest.mark.parametrize("member", ["error", "x"])
def test_no_depth_of_an_answer_breaks_its_reader(form: WireFormat, member: str) -> None:
    """What a provider nests a hundred thousand times is no answer, and no error of ours."""
    deep = b'{"%b":%b}' % (member.encode(), b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(WireError):
        PROVIDER_CODECS[form].parse_response(deep)
    PROVIDER_CODECS[form].error_text(deep)
