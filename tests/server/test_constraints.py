"""Constraints in headers and bodies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.domain import Constraints, OnBreak, Priority
from sidecar.errors import BadRequestError
from sidecar.server.constraints import read_constraints


def from_body(**members: Any) -> bytes:
    """Return the raw ``sidecar`` object."""
    return json.dumps(members).encode()


def test_a_call_without_wishes_has_none() -> None:
    """Saying nothing leaves everything to the route."""
    route = Constraints(budget_usd=0.1, quality=0.7, priority=Priority.BATCH)
    assert read_constraints({"x-sidecar-other": "1"}, None, route) is route
    assert read_constraints({}, from_body(), route) is route


def test_a_call_goes_before_its_route() -> None:
    """What a call says counts, each constraint by itself; for the rest its route's hold."""
    route = Constraints(
        budget_usd=0.1,
        first_token_s=1.0,
        quality=0.7,
        is_quality_hard=True,
        priority=Priority.BATCH,
    )
    given = read_constraints({"x-sidecar-quality": "0.5"}, from_body(within="3s"), route)
    assert given == replace(route, within_s=3.0, quality=0.5, is_quality_hard=False)
    given = read_constraints({"x-sidecar-priority": "interactive"}, from_body(budget=0), route)
    assert given == replace(route, budget_usd=0.0, priority=Priority.INTERACTIVE)
    given = read_constraints({"x-sidecar-first-token": "200ms"}, None, route)
    assert given == replace(route, first_token_s=0.2)


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
    constraints = read_constraints(headers, None)
    assert constraints == read_constraints({}, from_body(**members))
    assert constraints.within_s == 0.5
    assert constraints.first_token_s == 0.3
    assert constraints.budget_usd == 0.01
    assert (constraints.quality, constraints.is_quality_hard) == (0.8, True)
    assert constraints.priority is Priority.BATCH
    assert constraints.on_break is OnBreak.CONTINUE
    assert not constraints.may_use_cache
    assert not constraints.may_hedge


@pytest.mark.parametrize("is_header", [True, False])
def test_quality_is_a_wish_unless_it_is_a_must(is_header: bool) -> None:
    """Only an exclamation mark makes it hard."""
    if is_header:
        given = read_constraints({"x-sidecar-quality": "0.8"}, None)
    else:
        given = read_constraints({}, from_body(quality=0.8))
    assert (given.quality, given.is_quality_hard) == (0.8, False)


def test_the_header_wins() -> None:
    """A header overrides the same constraint of the body and leaves the others."""
    constraints = read_constraints({"x-sidecar-within": "1s"}, from_body(within="9s", budget=0.2))
    assert constraints.within_s == 1.0
    assert constraints.budget_usd == 0.2


def test_a_null_member_is_no_wish() -> None:
    """SDK code that passes None for what it does not set is understood."""
    constraints = read_constraints({}, from_body(within=None, quality=None))
    assert constraints.within_s is None


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
