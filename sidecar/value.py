"""``@value``: a class of immutable values, cheap to make.

A frozen dataclass pays for its promise at run time, each field set through ``object.__setattr__``:
2.5 us for 18 fields where a plain one takes 0.9, and a call makes some thirty of them. So the
promise is kept where it costs nothing: the type checker refuses every assignment, at run time the
class is an ordinary dataclass with slots, equality and a hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make ``cls`` a dataclass that mypy takes for a frozen one; all fields by keyword."""
    return _decorate(cls)


_decorate: Callable[[type], type] = dataclass(slots=True, kw_only=True, unsafe_hash=True)
