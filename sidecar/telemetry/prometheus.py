"""The registry in Prometheus's text format, or in OpenMetrics, which has exemplars.

Which one is for who asks: Prometheus itself prefers OpenMetrics and says so in ``Accept``.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING

from sidecar.metrics import Buckets, prometheus_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.metrics import Exemplar, Family, Labels

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def content_type(accept: str) -> str:
    """Return the format for somebody who accepts ``accept``."""
    return OPENMETRICS if "application/openmetrics-text" in accept else TEXT


def exposition(families: list[Family], *, is_openmetrics: bool = False) -> str:
    """Return ``families`` as text."""
    lines = [line for family in families for line in _lines(family, is_openmetrics=is_openmetrics)]
    if is_openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _lines(family: Family, *, is_openmetrics: bool) -> Iterator[str]:
    name = prometheus_name(family.name, family.unit, family.kind)
    said = name.removesuffix("_total") if is_openmetrics else name
    yield f"# HELP {said} {family.meaning}"
    yield f"# TYPE {said} {family.kind.value}"
    keys = [one.replace(".", "_") for one in family.labels]
    for labels, point in family.points:
        pairs = _pairs(keys, labels)
        if isinstance(point, Buckets):
            yield from _buckets(name, pairs, family.bounds, point, has_exemplars=is_openmetrics)
        else:
            yield f"{name}{_braced(pairs)} {_number(point)}"


def _buckets(
    name: str, pairs: str, bounds: tuple[float, ...], point: Buckets, *, has_exemplars: bool
) -> Iterator[str]:
    count = 0
    head = f"{pairs}," if pairs else ""
    for index, bound in enumerate((*bounds, float("inf"))):
        count += point.counts[index]
        edge = "+Inf" if index == len(bounds) else _edge(bound)
        shown = point.exemplars.get(index) if has_exemplars else None
        yield f'{name}_bucket{{{head}le="{edge}"}} {count}{_exemplar(shown)}'
    yield f"{name}_sum{_braced(pairs)} {_number(point.total)}"
    yield f"{name}_count{_braced(pairs)} {count}"


def _exemplar(shown: Exemplar | None) -> str:
    if shown is None:
        return ""
    point = shown.point
    ids = f'trace_id="{point.trace_id}",span_id="{point.span_id}"'
    return f" # {{{ids}}} {shown.amount} {point.at:.3f}"


def _pairs(keys: list[str], labels: Labels) -> str:
    """Return the labels that say something: an empty one is none."""
    return ",".join(
        [
            f'{key}="{label.translate(_ESCAPES)}"'
            for key, label in zip(keys, labels, strict=True)
            if label
        ]
    )


def _braced(pairs: str) -> str:
    return f"{{{pairs}}}" if pairs else ""


def _number(number: float) -> str:
    if not isfinite(number):
        return {inf: "+Inf", -inf: "-Inf"}.get(number, "NaN")
    return str(int(number)) if number == int(number) else repr(number)


def _edge(bound: float) -> str:
    return str(float(bound))
