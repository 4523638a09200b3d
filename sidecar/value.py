"""``@value``: a class of immutable values, cheap to make and cheap to define.

A frozen dataclass pays for its promise at run time, each field set through ``object.__setattr__``:
2.5 us for 18 fields where a plain one takes 0.9, and a call makes some thirty of them. So the
promise is kept where it costs nothing: the type checker refuses every assignment, at run time the
class is an ordinary dataclass with slots.

Nor does it compile methods of its own for each class but ``__init__``, and that with the first
value: equality, hash and ``repr`` are the same few lines for all. This saves half a millisecond a
class at every start, and there are two hundred.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from operator import attrgetter
from types import MethodType
from typing import TYPE_CHECKING, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make ``cls`` a dataclass that mypy takes for a frozen one; all fields by keyword."""
    for name, method in _METHODS.items():
        if cls.__dict__.get(name) is None:
            setattr(cls, name, method)
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # or a signature is worked out for it
    return _decorate(cls)


_decorate: Callable[[type], type] = dataclass(
    slots=True, kw_only=True, eq=False, repr=False, init=False, match_args=False
)


class _FirstInit:
    """Stands for a class's ``__init__`` until that is asked for."""

    def __get__(self, one: object, cls: type) -> Callable[..., None]:
        """Compile it, and leave it to the class."""
        made = _init_of(cls)
        type.__setattr__(cls, "__init__", made)
        return made if one is None else MethodType(made, one)


def _init_of(cls: type) -> Callable[..., None]:
    """Compile ``def __init__(self, *, a, b=default_b): self.a = a; self.b = b``."""
    known: dict[str, object] = {"_MISSING": MISSING}
    asked, body = [], []
    for one in fields(cls):
        name = one.name
        if not one.init:
            continue
        if one.default_factory is not MISSING:
            known[f"_make_{name}"] = one.default_factory
            asked.append(f"{name}=_MISSING")
            body.append(f"self.{name} = _make_{name}() if {name} is _MISSING else {name}")
            continue
        if one.default is not MISSING:
            known[f"_default_{name}"] = one.default
        asked.append(name if one.default is MISSING else f"{name}=_default_{name}")
        body.append(f"self.{name} = {name}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    head = f"def __init__(self{', *, ' if asked else ''}{', '.join(asked)}):"
    exec("\n ".join((head, *(body or ("pass",)))), known)  # noqa: S102 - as dataclasses do
    made = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"  # type: ignore[attr-defined]  # a function
    return made  # type: ignore[return-value]  # as above


def _eq(self: object, other: object) -> object:
    if self is other:
        return True
    if other.__class__ is not self.__class__:
        return NotImplemented
    content = _content_of(self.__class__)
    return content(self) == content(other)


def _hash(self: object) -> int:
    return hash(_content_of(self.__class__)(self))


def _repr(self: DataclassInstance) -> str:
    shown = (one.name for one in fields(self) if one.repr)
    said = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{self.__class__.__qualname__}({said})"


def _content_of(cls: type) -> Callable[[object], object]:
    """Return what gives the fields that are compared, together."""
    content = _CONTENTS.get(cls)
    if content is None:
        names = [one.name for one in fields(cls) if one.compare]
        content = _CONTENTS[cls] = attrgetter(*names) if names else _nothing
    return content


def _nothing(_: object) -> object:
    return None


_CONTENTS: dict[type, Callable[[object], object]] = {}
_METHODS = {"__init__": _FirstInit(), "__eq__": _eq, "__hash__": _hash, "__repr__": _repr}
