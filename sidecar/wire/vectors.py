"""The neutral form of requests for vectors and of vectors, between wire formats.

Vectors travel as numbers, or as the text that OpenAI's SDKs ask for: base64 of little-endian
float32. JSON knows no NaN; servers that have computed one write ``null``, or ``NaN`` in spite of
JSON. Both are read as NaN, so that the verdict is «degenerate» (the model is broken) and not «no
answer».
"""

from __future__ import annotations

import base64
import math
import re
import struct
from array import array
from typing import TYPE_CHECKING

from sidecar.errors import WireError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.wire.neutral import Completion

_FLOAT_BYTES = 4
_NOT_JSON = re.compile(rb"(?<=[\[,\s])-?(?:NaN|Infinity|inf|nan)(?=[\],\s])")


@value
class Embedding:
    """A whole request for vectors, one for each of ``texts``.

    ``is_packed``: the caller wants base64 instead of numbers. ``is_single``: it asked for one
    vector and not for a list of one. ``dropped`` names what this form could not hold.
    """

    texts: tuple[str, ...]
    dimensions: int | None = None
    is_packed: bool = False
    is_single: bool = False
    dropped: tuple[str, ...] = ()


@value
class Vector:
    """One vector, as it came: packed or not.

    ``numbers`` None: in an encoding that only its provider and the caller know.
    """

    numbers: tuple[float, ...] | None
    is_packed: bool = False


def numbers_of(completion: Completion) -> tuple[tuple[float, ...], ...]:
    """Return the vectors of an answer.

    Raises:
        WireError: one is in an encoding that cannot be read.
    """
    known = tuple(one.numbers for one in completion.vectors if one.numbers is not None)
    if len(known) < len(completion.vectors):
        raise WireError("the vectors are in an encoding of their provider's own")
    return known


def check_texts(embedding: Embedding) -> None:
    """Check that there is something to ask of another format.

    Raises:
        WireError: the caller gave tokens, which mean something to one model only.
    """
    if not embedding.texts:
        raise WireError("tokens have no meaning but to the model that they are of", "$.input")


def pack(values: tuple[float, ...]) -> str:
    """Return ``values`` as base64 of little-endian float32: ``(1.0,)`` is ``"AACAPw=="``.

    Raises:
        WireError: a number does not fit into a float32.
    """
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except OverflowError as error:
        raise WireError("a number of a vector does not fit into 32 bits") from error


def unpack(text: str) -> tuple[float, ...]:
    """Return the numbers in base64 of little-endian float32.

    Raises:
        WireError: not base64, or not a whole number of floats.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise WireError(f"a vector is not base64: {error}") from error
    if len(data) % _FLOAT_BYTES:
        raise WireError(f"a vector of {len(data)} bytes is none of 32-bit floats")
    return struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data)


def is_finite(values: tuple[float, ...]) -> bool:
    """Return whether every number is finite in 32 bits, in which vectors are stored and compared.

    One addition a number, since there may be millions: no sum of so few float32 overflows a double.
    """
    return math.isfinite(sum(array("f", values)))


def read_numbers(numbers: Iterable[float | None]) -> tuple[float, ...]:
    """Return the numbers of a JSON list, NaN for ``null``."""
    return tuple(math.nan if number is None else number for number in numbers)


def without_nan(body: bytes) -> bytes:
    """Return ``body`` with ``null`` for the words that are no JSON."""
    return _NOT_JSON.sub(b"null", body)
