"""Plain values against a msgspec type, member by member, so that all mistakes come out at once.

``msgspec.convert`` stops at the first mistake. This walk follows the same types
(``msgspec.inspect``), notes a problem for each member that does not fit and goes on; what it
returns holds the members that do fit, durations as seconds, so that later checks (names,
environment) can still speak about the rest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from msgspec import NODEFAULT, inspect

from sidecar.config.groups import struct_of
from sidecar.config.problems import Problems, member, shown, suggestion
from sidecar.config.texts import PARSERS

if TYPE_CHECKING:
    from collections.abc import Callable

Fit = tuple[object, ...]
NOTHING: Fit = ()


class Walk:
    """One walk over one tree; ``problems`` collects."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def fit(self, info: inspect.Type, value: object, path: str) -> Fit:
        """Return the one value that fits ``info``, or nothing after noting a problem."""
        walk = self._BY_TYPE.get(type(info))
        if walk is not None:
            return walk(self, info, value, path)
        return (value,) if is_kind(info, value) else self._misfit(info, value, path)

    def _misfit(self, info: inspect.Type, value: object, path: str) -> Fit:
        """Note that ``value`` is of another kind than ``info`` asks for."""
        hint = ""
        if isinstance(info, inspect.StrType) and isinstance(value, bool | int | float):
            hint = "; put it in quotes"
        self._problems.add(path, f"expected {expected(info)}, got {shown(value)}{hint}")
        return NOTHING

    def _metadata(self, info: inspect.Metadata, value: object, path: str) -> Fit:
        """Read a text with a grammar of its own, look into a settings group, or go on below."""
        extra = info.extra or {}
        if "settings" in extra:
            return self.fit(inspect.type_info(struct_of(extra["settings"])), value, path)
        if extra.get("is_secret") and not isinstance(value, dict):
            message = "expected {env: NAME} or {file: PATH}, got a value that is not shown"
            self._problems.add(path, f"{message}; name where the key is")
            return NOTHING
        if "as" not in extra:
            return self.fit(info.type, value, path)
        try:
            return (PARSERS[extra["as"]](value),)
        except ValueError as error:
            self._problems.add(path, str(error))
            return NOTHING

    def _struct(self, info: inspect.StructType, value: object, path: str) -> Fit:
        """Fit every member; note unknown and missing ones."""
        if not isinstance(value, dict):
            return self._misfit(info, value, path)
        fields = {field.encode_name: field for field in info.fields}
        fitted: dict[str, object] = {}
        for key, item in value.items():
            place = member(path, key)
            if key not in fields:
                hint = suggestion(key, fields, otherwise="known keys:")
                self._problems.add(place, f"unknown key {shown(key)}; {hint}")
                continue
            for fit in self.fit(fields[key].type, item, place):
                fitted[key] = fit
        for key, field in fields.items():
            has_default = field.default is not NODEFAULT or field.default_factory is not NODEFAULT
            if key not in value and not has_default:
                message = f'missing key "{key}", expected {expected(field.type)}; add `{key}: …`'
                self._problems.add(path, message)
        return (fitted,)

    def _dict(self, info: inspect.DictType, value: object, path: str) -> Fit:
        """Fit every value and every key (names have a grammar)."""
        if not isinstance(value, dict):
            return self._misfit(info, value, path)
        if len(value) < (info.min_length or 0):
            self._problems.add(path, "expected at least one entry, got none; add one")
        fitted: dict[str, object] = {}
        for key, item in value.items():
            place = member(path, key)
            self.fit(info.key_type, key, place)
            for fit in self.fit(info.value_type, item, place):
                fitted[key] = fit
        return (fitted,)

    def _list(self, info: inspect.ListType, value: object, path: str) -> Fit:
        """Fit every item."""
        if not isinstance(value, list):
            return self._misfit(info, value, path)
        places = ((member(path, index), item) for index, item in enumerate(value))
        return ([fit for place, item in places for fit in self.fit(info.item_type, item, place)],)

    def _union(self, info: inspect.UnionType, value: object, path: str) -> Fit:
        """Fit the choice that suits the kind of ``value``; a single one beside None always."""
        choices = [choice for choice in info.types if not isinstance(choice, inspect.NoneType)]
        if value is None and len(choices) < len(info.types):
            return (None,)
        suited = [choice for choice in choices if is_kind(choice, value)]
        if not suited and len(choices) > 1:
            return self._misfit(info, value, path)
        return self.fit((suited or choices)[0], value, path)

    def _literal(self, info: inspect.LiteralType, value: object, path: str) -> Fit:
        """Fit one of a few words."""
        if value in info.values:
            return (value,)
        words = [str(word) for word in info.values]
        hint = suggestion(value, words) if isinstance(value, str) else f"one of {', '.join(words)}"
        self._problems.add(path, f"expected {expected(info)}, got {shown(value)}; {hint}")
        return NOTHING

    def _number(self, info: inspect.FloatType | inspect.IntType, value: object, path: str) -> Fit:
        """Fit a finite number within its bounds."""
        if not is_kind(info, value) or not isinstance(value, int | float):
            return self._misfit(info, value, path)
        low = info.ge if info.ge is not None else -math.inf
        high = info.le if info.le is not None else math.inf
        is_finite = isinstance(value, int) or math.isfinite(value)
        if not (is_finite and low <= value <= high):
            return self._misfit(info, value, path)
        return (float(value) if isinstance(info, inspect.FloatType) else value,)

    def _text(self, info: inspect.StrType, value: object, path: str) -> Fit:
        """Fit a text, not empty where one is needed."""
        if not isinstance(value, str) or len(value) < (info.min_length or 0):
            return self._misfit(info, value, path)
        return (value,)

    _BY_TYPE: ClassVar[dict[type[inspect.Type], Callable[..., Fit]]] = {
        inspect.Metadata: _metadata,
        inspect.StructType: _struct,
        inspect.DictType: _dict,
        inspect.ListType: _list,
        inspect.UnionType: _union,
        inspect.LiteralType: _literal,
        inspect.FloatType: _number,
        inspect.IntType: _number,
        inspect.StrType: _text,
    }


def is_kind(info: inspect.Type, value: object) -> bool:
    """Return whether ``value`` has the shape (not yet the content) that ``info`` asks for."""
    if isinstance(info, inspect.Metadata):
        if "as" in (info.extra or {}):
            return isinstance(value, str)
        return is_kind(info.type, value)
    if isinstance(value, bool):
        return isinstance(info, inspect.BoolType | inspect.AnyType)
    return isinstance(value, _KINDS.get(type(info), object))


def expected(info: inspect.Type) -> str:
    """Return what ``info`` asks for in words."""
    match info:
        case inspect.Metadata():
            described = (info.extra_json_schema or {}).get("description")
            return str(described) if described else expected(info.type)
        case inspect.UnionType():
            return " or ".join(expected(choice) for choice in info.types)
        case inspect.LiteralType():
            return " or ".join(f'"{word}"' for word in info.values)
        case inspect.FloatType() | inspect.IntType():
            return _WORDS[type(info)] + _bounds(info)
        case inspect.StrType() if info.min_length:
            return "text that is not empty"
        case _:
            return _WORDS.get(type(info), "another kind of value")


def _bounds(info: inspect.FloatType | inspect.IntType) -> str:
    """Return the bounds of a number in words."""
    match info.ge, info.le:
        case None, None:
            return ""
        case low, None:
            return f" of at least {low:g}"
        case None, high:
            return f" of at most {high:g}"
        case low, high:
            return f" from {low:g} to {high:g}"


_KINDS: dict[type[inspect.Type], type | tuple[type, ...]] = {
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: (int, float),
    inspect.StrType: str,
    inspect.NoneType: type(None),
    inspect.ListType: list,
    inspect.DictType: dict,
    inspect.StructType: dict,
}
_WORDS: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.NoneType: "nothing",
    inspect.ListType: "a list",
    inspect.DictType: "a mapping",
    inspect.StructType: "a mapping",
}
