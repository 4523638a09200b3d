"""A span as a plain value, before it is put into anybody's bytes."""

from __future__ import annotations

from dataclasses import field

from sidecar.value import value

Attribute = str | bool | int | float | tuple[str, ...] | tuple[float, ...]
Attributes = dict[str, Attribute]
INTERNAL, SERVER, CLIENT = 1, 2, 3
"""Kinds, by their numbers in OTLP."""


@value
class SpanEvent:
    """Something at an instant, seconds since the epoch."""

    name: str
    at: float
    attributes: Attributes = field(default_factory=dict)


@value
class SpanLink:
    """Another span that this one belongs together with."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@value
class Span:
    """Ids are lower-case hexadecimal, instants seconds since the epoch. ``parent_id`` None: a root.

    ``is_remote``: the parent is somebody else's. ``error`` is the status's description, None: no
    error.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: int
    began_at: float
    ended_at: float
    attributes: Attributes
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    error: str | None = None
    state: str = ""
    is_remote: bool = False
