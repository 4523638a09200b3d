"""What a call asks for on top of its route, in headers or in the body's ``sidecar`` object.

Headers suit shells and proxies, the object suits SDKs; where both speak of one constraint the
header wins, since it was put there later and from outside. A name we do not know or a value we
cannot read is refused instead of ignored: a caller who misspells its deadline must not find out in
production.

    x-sidecar-within: 2s          {"sidecar": {"within": "2s", "budget": 0.01, "quality!": 0.8}}

What a call says nothing of is as its route has it. ``docs/constraints.md`` says what each means.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import Constraints, OnBreak, Priority
from sidecar.durations import EXPECTED as EXPECTED_DURATION
from sidecar.durations import parse_duration
from sidecar.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER_PREFIX = "x-sidecar-"
FIELDS = (
    "within",
    "first_token",
    "budget",
    "quality",
    "priority",
    "on_break",
    "cache",
    "hedge",
)
_HEADERS = tuple((field, HEADER_PREFIX + field.replace("_", "-")) for field in FIELDS)
_HEADER_NAMES = frozenset(header for _, header in _HEADERS)
NO_CONSTRAINTS = Constraints()
_HARD_QUALITY = "quality!"
_ON_BREAK = tuple(mode.value for mode in OnBreak)
_SWITCH = ("on", "off")
_SHOWN_CHARS_MAX = 60
_PRIORITIES = tuple(priority.value for priority in Priority)
_DECODER = msgspec.json.Decoder(dict[str, object])


def read_constraints(
    headers: Mapping[str, str], raw: bytes | None, given: Constraints = NO_CONSTRAINTS
) -> Constraints:
    """Return the constraints of a call; ``given`` itself for one that asks for nothing.

    Args:
        headers: the request's, by lower-case name.
        raw: the body's ``sidecar`` object as JSON, None where there is none.
        given: what holds where the call says nothing.

    Raises:
        BadRequestError: a member is unknown or a value unreadable; names the field and what is
            expected.
    """
    if raw is None and _HEADER_NAMES.isdisjoint(headers):
        return given
    wishes = _collect(headers, {} if raw is None else _members(raw))
    if not wishes:
        return given
    budget_usd, first_token_s = _amount(wishes.get("budget")), _duration(wishes.get("first_token"))
    priority = _one_of(wishes.get("priority"), _PRIORITIES)
    quality = wishes.get("quality")
    on_break = _one_of(wishes.get("on_break"), _ON_BREAK)
    return Constraints(
        within_s=_duration(wishes.get("within")),
        budget_usd=given.budget_usd if budget_usd is None else budget_usd,
        first_token_s=given.first_token_s if first_token_s is None else first_token_s,
        quality=given.quality if quality is None else _quality(quality),
        is_quality_hard=given.is_quality_hard if quality is None else quality.is_hard(),
        priority=given.priority if priority is None else Priority(priority),
        on_break=None if on_break is None else OnBreak(on_break),
        may_use_cache=_one_of(wishes.get("cache"), _SWITCH) != "off",
        may_hedge=_one_of(wishes.get("hedge"), _SWITCH) != "off",
    )


class _Wish:
    """One constraint as the caller wrote it, and where."""

    def __init__(self, place: str, value: object) -> None:
        self.place = place
        self.value = value

    def is_hard(self) -> bool:
        """Return whether a quality is marked with ``!``, at its name or at its value."""
        return self.place.endswith("!") or str(self.value).rstrip().endswith("!")

    def refusal(self, expected: str) -> BadRequestError:
        shown = repr(self.value)[:_SHOWN_CHARS_MAX]
        return BadRequestError(f"{self.place}: expected {expected}, got {shown}", path=self.place)


def _members(raw: bytes) -> dict[str, object]:
    """Return the members of the body's object, every name a known one."""
    try:
        members = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"$.sidecar: expected an object of constraints: {error}"
        raise BadRequestError(message, path="$.sidecar") from error
    for name in members:
        if name not in FIELDS and name != _HARD_QUALITY:
            known = ", ".join((*FIELDS, _HARD_QUALITY))
            shown = name[:_SHOWN_CHARS_MAX]
            message = f"unknown constraint {shown!r}; known are {known}"
            raise BadRequestError(message, path=f"$.sidecar.{shown}")
    return members


def _collect(headers: Mapping[str, str], members: Mapping[str, object]) -> dict[str, _Wish]:
    """Return what was asked for by field, a header before the body's member of the same meaning."""
    wishes: dict[str, _Wish] = {}
    for field, header in _HEADERS:
        text = headers.get(header)
        if text is not None:
            wishes[field] = _Wish(header, text.strip())
        elif members.get(field) is not None:
            wishes[field] = _Wish(f"$.sidecar.{field}", members[field])
        elif field == "quality" and members.get(_HARD_QUALITY) is not None:
            wishes[field] = _Wish(f"$.sidecar.{_HARD_QUALITY}", members[_HARD_QUALITY])
    return wishes


def _duration(wish: _Wish | None) -> float | None:
    """Return seconds, more than none of them."""
    if wish is None:
        return None
    if not isinstance(wish.value, str):
        raise wish.refusal(f"{EXPECTED_DURATION}, as a string")
    try:
        duration_s = parse_duration(wish.value)
    except ValueError as error:
        raise BadRequestError(f"{wish.place}: {error}", path=wish.place) from error
    if duration_s <= 0:
        raise wish.refusal("a duration above zero")
    return duration_s


def _amount(wish: _Wish | None) -> float | None:
    """Return US dollars, zero included: only free endpoints may answer then."""
    if wish is None:
        return None
    amount = _number(wish.value)
    if amount is None or amount < 0:
        raise wish.refusal("an amount of US dollars such as 0.01, not negative")
    return amount


def _quality(wish: _Wish | None) -> float | None:
    if wish is None:
        return None
    value = wish.value
    quality = _number(value.removesuffix("!") if isinstance(value, str) else value)
    if quality is None or not 0 <= quality <= 1:
        raise wish.refusal('a quality from 0 to 1, with "!" where it is a must')
    return quality


def _one_of(wish: _Wish | None, choices: tuple[str, ...]) -> str | None:
    if wish is None:
        return None
    value = wish.value
    if isinstance(value, bool) and choices is _SWITCH:
        return _SWITCH[0] if value else _SWITCH[1]
    if not isinstance(value, str) or value not in choices:
        raise wish.refusal(" or ".join(choices))
    return value


def _number(value: object) -> float | None:
    """Return a finite number, None if ``value`` is none; a header's number comes as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
