"""Settings dataclasses of the core as configuration members, so that no threshold is listed twice.

A dataclass such as ``BreakerSettings`` is turned into a msgspec struct: a field ``open_s: float``
becomes the key ``open`` with a duration, every other field keeps its name and type. The struct
serves the validation and the JSON Schema; ``build`` makes the dataclass from what was given, later
layers (a model's own) over earlier (the defaults).
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec

from sidecar.durations import DURATION_PATTERN, EXPECTED

if TYPE_CHECKING:
    from collections.abc import Mapping

Duration = Annotated[
    float,
    msgspec.Meta(
        description=EXPECTED,
        extra={"as": "duration"},
        extra_json_schema={"pattern": DURATION_PATTERN},
    ),
]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Given = dict[str, Any]
T = TypeVar("T")


def section(settings: Any) -> Any:  # noqa: ANN401 - a type is made of a type
    """Return the type of a mapping that holds fields of the dataclass ``settings``."""
    return Annotated[Given, section_mark(settings)]


def section_mark(settings: type) -> msgspec.Meta:
    """Return the mark of a section of ``settings``, for the walk and the JSON Schema."""
    reference = {"$ref": f"#/$defs/{section_name(settings)}"}
    return msgspec.Meta(extra={"settings": settings}, extra_json_schema=reference)


def section_name(settings: type) -> str:
    """Return the name of a section's type in the JSON Schema."""
    return settings.__name__.removesuffix("Settings")


@cache
def struct_of(settings: type) -> type[msgspec.Struct]:
    """Return the struct whose members are the configurable fields of ``settings``."""
    hints = get_type_hints(settings)
    fields = [
        (key_of(field.name), _config_type(field.name, hints[field.name]), _default(field))
        for field in dataclasses.fields(settings)
    ]
    return msgspec.defstruct(
        section_name(settings), fields, kw_only=True, forbid_unknown_fields=True
    )


def build(settings: type[T], *layers: Mapping[str, object]) -> T:
    """Return ``settings`` made of ``layers``, a later one winning; durations in seconds."""
    given = {key: value for layer in layers for key, value in layer.items()}
    made: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]  # a dataclass of the core
        value = given.get(key := key_of(field.name))
        if isinstance(value, dict):
            value = build(get_type_hints(settings)[field.name], value)
        if key in given:
            made[field.name] = value
    return settings(**made)


def key_of(field_name: str) -> str:
    """Return the configuration key of a field; a duration has its unit in the value."""
    is_duration = field_name.endswith("_s") and not field_name.endswith("_per_s")
    return field_name.removesuffix("_s") if is_duration else field_name


def _config_type(name: str, hint: Any) -> Any:  # noqa: ANN401 - types as values have no narrower type
    """Return the type that a configuration member has for a field of type ``hint``."""
    if type(None) in get_args(hint):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        return _config_type(name, inner) | None
    if key_of(name) != name:
        return Duration
    if dataclasses.is_dataclass(hint):
        return section(hint)
    return {float: Amount, int: Count}.get(hint, hint)


def _default(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401 - any field
    """Return the default of a dataclass field as ``defstruct`` wants it."""
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.NODEFAULT
