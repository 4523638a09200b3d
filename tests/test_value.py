"""Values: their constructor is compiled with the first of them, and is like a dataclass's."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any

import pytest

from sidecar.value import value


@value
class Point:
    """A value with every kind of field."""

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)
    total: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what follows."""
        self.total = self.x + self.y  # type: ignore[misc]  # at run time it is not frozen


@value
class Nothing:
    """A value without fields."""


def test_defaults_are_filled_in_and_factories_asked_each_time() -> None:
    """No two values share a list; what is derived follows from what was given."""
    one, other = Point(x=1), Point(x=1)
    assert (one.x, one.y, one.tags, one.total) == (1, 2, [], 3)
    assert one.tags is not other.tags
    assert Point(x=1, y=5, tags=["a"]).tags == ["a"]
    assert one == other
    assert replace(one, x=7).total == 9
    assert Nothing() == Nothing()


@pytest.mark.parametrize(
    ("positional", "named"), [((1,), {}), ((), {}), ((), {"x": 1, "z": 1}), ((), {"total": 1})]
)
def test_only_fields_by_their_names_are_taken(
    positional: tuple[int, ...], named: dict[str, int]
) -> None:
    """A missing, an unknown, a derived and a nameless argument are errors."""
    make: Any = Point
    with pytest.raises(TypeError):
        make(*positional, **named)
