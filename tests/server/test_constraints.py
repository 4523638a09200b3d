"""Constraints in headers and bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.domain import OnBreak, Priority
from sidecar.errors import BadRequestError
from sidecar.server.constraints import read_constraints


def from_body(**members: Any) -> bytes:
    """Return the raw ``sidecar`` object."""
    return json.dumps(members).encode()


def test_a_call_without_wishes_has_none() -> None:
    """Saying nothing leaves everything to the route."""
    constraints, unserved = read_constraints({"x-sidecar-other": "1"}, None)
    assert constraints.within_s is None
    assert constraints.budget_usd is None
    assert unserved == ()


def test_headers_and_body_say_the_same() -> None:
    """Each constraint reads alike from a header and from the body."""
    headers = {
        "x-sidecar-within": "500ms",
        "x-sidecar-first-token": "300ms",
        "x-sidecar-budget": "0.01",
        "x-sidecar-quality": "0.8!",
        "x-sidecar-priority": "batch",
        "x-sidecar-on-break": "continue",
        "x-sidecar-cache": "off",
        "x-sidecar-hedge": "off",
    }
    members = {
        "within": "500ms",
        "first_token": "300ms",
        "budget": 0.01,
        "quality!": 0.8,
        "priority": "batch",
        "on_break": "continue",
        "cache": "off",
        "hedge": False,
    }
    by_header = read_constraints(headers, None)
    assert by_header == read_constraints({}, from_body(**members))
    constraints, unserved = by_header
    assert constraints.within_s == 0.5
    assert constraints.first_token_s == 0.3
    assert constraints.budget_usd == 0.01
    assert (constraints.quality, constraints.is_quality_hard) == (0.8, True)
    assert constraints.priority is Priority.BATCH
    assert constraints.on_break is OnBreak.CONTINUE
    assert not constraints.may_use_cache
    assert not constraints.may_hedge
    assert unserved == ()


def test_soft_quality_is_said_to_change_nothing() -> None:
    """A wish that is read but not acted upon is named."""
    _, unserved = read_constraints({"x-sidecar-quality": "0.8"}, None)
    assert unserved == ("quality",)


def test_the_header_wins() -> None:
    """A header overrides the same constraint of the body and leaves the others."""
    constraints, _ = read_constraints(
        {"x-sidecar-within": "1s"}, from_body(within="9s", budget=0.2)
    )
    assert constraints.within_s == 1.0
    assert constraints.budget_usd == 0.2


def test_a_null_member_is_no_wish() -> None:
    """SDK code that passes None for what it does not set is understood."""
    constraints, unserved = read_constraints({}, from_body(within=None, quality=None))
    assert constraints.within_s is None
    assert unserved == ()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("within", "soon"),
        ("within", "2"),
        ("within", "0s"),
        ("within", ""),
        ("within", "-1s"),
        ("first-token", "nan"),
        ("budget", "-0.1"),
        ("budget", "nan"),
        ("budget", "inf"),
        ("budget", "cheap"),
        ("quality", "1.1"),
        ("quality", "high!"),
        ("priority", "urgent"),
        ("on-break", "pray"),
        ("cache", "maybe"),
        ("hedge", "1"),
    ],
)
def test_an_unreadable_header_is_named(header: str, value: str) -> None:
    """A bad value is refused with the field's name and what is expected."""
    with pytest.raises(BadRequestError) as raised:
        read_constraints({f"x-sidecar-{header}": value}, None)
    assert raised.value.path == f"x-sidecar-{header}"
    assert f"x-sidecar-{header}: expected" in raised.value.message


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("within", 2),
        ("within", ["2s"]),
        ("budget", True),
        ("budget", {"usd": 1}),
        ("quality", []),
        ("priority", 1),
        ("on_break", True),
    ],
)
def test_an_unreadable_member_is_named(member: str, value: object) -> None:
    """A member of the wrong type is refused with its path."""
    with pytest.raises(BadRequestError) as raised:
        read_constraints({}, from_body(**{member: value}))
    assert raised.value.path == f"$.sidecar.{member}"


def test_an_unknown_member_is_refused() -> None:
    """A misspelt constraint is an error that lists the known ones."""
    with pytest.raises(BadRequestError, match=r"'withinn'.*within, first_token") as raised:
        read_constraints({}, from_body(withinn="2s"))
    assert raised.value.path == "$.sidecar.withinn"


@pytest.mark.parametrize("raw", [b"[]", b'"fast"', b"3", b"null"])
def test_the_object_must_be_one(raw: bytes) -> None:
    """Anything but an object under ``sidecar`` is refused."""
    with pytest.raises(BadRequestError, match="expected an object"):
        read_constraints({}, raw)
