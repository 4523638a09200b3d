"""Vectors as base64 and as numbers."""

from __future__ import annotations

import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import WireError
from sidecar.wire.neutral import Completion, Finish
from sidecar.wire.vectors import (
    Vector,
    is_finite,
    numbers_of,
    pack,
    read_numbers,
    unpack,
    without_nan,
)

FLOATS = st.lists(st.floats(width=32, allow_nan=False)).map(tuple)


@given(FLOATS)
def test_floats_survive_base64(numbers: tuple[float, ...]) -> None:
    """Numbers of 32 bits come back exactly, infinities and the sign of zero included."""
    back = unpack(pack(numbers))
    assert back == numbers
    assert [math.copysign(1, one) for one in back] == [math.copysign(1, one) for one in numbers]


@given(st.binary().map(lambda data: data[: len(data) // 4 * 4]))
def test_base64_survives_numbers(data: bytes) -> None:
    """Any bytes that are whole floats come back as they were, as far as they are numbers."""
    text = base64.b64encode(data).decode()
    numbers = unpack(text)
    assert len(numbers) == len(data) // 4
    if not any(map(math.isnan, numbers)):
        assert pack(numbers) == text


def test_byte_order_is_little_endian() -> None:
    """1.0 is the four bytes 00 00 80 3f, as the SDKs decode it on any machine."""
    assert pack((1.0,)) == "AACAPw=="
    assert unpack("AACAPw==AACAPw=="[:8]) == (1.0,)


@pytest.mark.parametrize("text", ["AAA=", "not base64!", "AACAPwA=", "ä"])
def test_what_is_no_vector_is_refused(text: str) -> None:
    """Text that is not base64, or not whole floats, is an error of the wire."""
    with pytest.raises(WireError):
        unpack(text)


def test_a_number_too_large_for_32_bits_is_refused() -> None:
    """What cannot be said in 32 bits is not rounded to infinity."""
    with pytest.raises(WireError):
        pack((1e300,))


@given(FLOATS)
def test_finite_is_finite(numbers: tuple[float, ...]) -> None:
    """The sum tells exactly whether each number is finite."""
    assert is_finite(numbers) == all(map(math.isfinite, numbers))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("place", [0, 3, 6])
def test_one_bad_number_is_found(bad: float, place: int) -> None:
    """A single number that is none, or too large, gives the vector away wherever it stands."""
    numbers = [0.5] * 7
    numbers[place] = bad
    assert not is_finite(tuple(numbers))


def test_infinities_do_not_cancel() -> None:
    """Plus and minus infinity in one vector are not finite together."""
    assert not is_finite((math.inf, -math.inf))


def test_null_is_not_a_number() -> None:
    """What JSON cannot say is read as what it stands for."""
    numbers = read_numbers([1.0, None])
    assert numbers[0] == 1.0
    assert math.isnan(numbers[1])


def test_words_that_are_no_json_become_null() -> None:
    """NaN and Infinity are replaced where numbers stand, and not within texts."""
    body = b'{"e": [NaN, -Infinity,Infinity,1.0],"model": "NaN-model"}'
    assert without_nan(body) == b'{"e": [null, null,null,1.0],"model": "NaN-model"}'


def test_numbers_of_an_unknown_encoding_are_not_invented() -> None:
    """An answer with one vector that cannot be read has no numbers to give."""
    vectors = (Vector(numbers=(1.0,)), Vector(numbers=None, is_packed=True))
    answer = Completion(id="", model="", parts=(), finish=Finish.STOP, vectors=vectors)
    with pytest.raises(WireError):
        numbers_of(answer)
    assert numbers_of(Completion(id="", model="", parts=(), finish=None)) == ()
