"""JSON bytes → typed structs, every failure a ``WireError`` that points at the place.

msgspec decodes only the fields a struct names, so that unknown fields cost nothing and never fail.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sidecar.errors import WireError

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, path: str = "$") -> T:
    """Return ``data`` as the decoder's type; ``path`` is where in the whole body ``data`` stands.

    Raises:
        WireError: not JSON, not UTF-8, nested too deeply, or a field is missing or of the wrong
            type.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise WireError(message, path + place.removesuffix("`").removeprefix("$")) from error
    except msgspec.DecodeError as error:
        raise WireError(f"not valid JSON: {error}", path) from error
    except UnicodeDecodeError as error:
        raise WireError("not valid UTF-8", path) from error
    except RecursionError as error:
        raise WireError("nested too deeply", path) from error


def check_utf8(body: bytes) -> None:
    """Check what typed decoding leaves alone: strings in values that stay raw.

    Raises:
        WireError: not UTF-8.
    """
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise WireError("not valid UTF-8") from error
