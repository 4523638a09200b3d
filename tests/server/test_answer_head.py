"""The head of an answer."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.server.answer_head import AnswerHeads, http_date

if TYPE_CHECKING:
    from collections.abc import Iterator


@given(st.integers(0, 4_000_000_000))
def test_the_date_is_http_s(second: int) -> None:
    """It is written as the standard library writes it."""
    assert http_date(second) == formatdate(second, usegmt=True)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "\r\n\r\nbody"])
def test_no_value_ends_its_line(value: str) -> None:
    """What is in a value stays in its line."""
    lines = AnswerHeads().render(200, {"x-a": value, "x-b": "c"}, "").split(b"\r\n")
    assert [line.partition(b":")[0].lower() for line in lines[1:]] == [
        *(b"server", b"date", b"x-a", b"x-b", b"", b"")
    ]
    assert b"\0" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)


def test_bytes_pass() -> None:
    """What a provider said in no charset is said on in the same bytes."""
    value = b"caf\xc3\xa9 \xff".decode("utf-8", "surrogateescape")
    assert b"x-a: caf\xc3\xa9 \xff\r\n" in AnswerHeads().render(200, {"x-a": value}, "")


@pytest.mark.parametrize(
    ("status", "line"), [(200, b"200 OK"), (429, b"429 Too Many"), (599, b"599 ")]
)
def test_any_status_has_a_first_line(status: int, line: bytes) -> None:
    """A status without a known phrase has an empty one."""
    assert AnswerHeads().render(status, {}, "").startswith(b"HTTP/1.1 " + line)


def test_the_date_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is prepared holds for a second."""
    seconds: Iterator[float] = iter((10.0, 10.9, 11.0))
    monkeypatch.setattr("sidecar.clock.wall", lambda: next(seconds))
    heads = AnswerHeads()
    first, second, third = (heads.render(200, {}, "") for _ in range(3))
    assert first == second != third
    assert b"00:00:11 GMT" in third
