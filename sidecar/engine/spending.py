"""The spend caps for people, and as metrics."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from sidecar.metrics import Kind, Observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.core.caps import SpendCaps
    from sidecar.metrics import Labels

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
GAUGES = (
    ("sidecar.spend_cap", "USD", "usd_per_day", "What may be spent a day (UTC), in US dollars."),
    ("sidecar.spend_cap.spent", "USD", "spent_usd", "What was spent of it today."),
    ("sidecar.spend_cap.reserved", "USD", "reserved_usd", "What attempts under way set aside."),
    (
        "sidecar.spend_cap.reached",
        "{state}",
        "is_reached",
        "Whether a call was refused for it today.",
    ),
)
"""Name, unit, field of a cap, meaning."""


def shown(caps: SpendCaps | None) -> dict[str, object] | None:
    """Return the caps as the state has them, None where there are none."""
    if caps is None:
        return None
    found: dict[str, dict[str, object]] = {"provider": {}, "route": {}}
    for scope, name, cap in caps.all():
        found[scope][name] = {
            "usd_per_day": cap.usd_per_day,
            "spent_usd": round(cap.spent_usd, 9),
            "reserved_usd": round(cap.reserved_usd, 9),
            "left_usd": round(cap.left_usd, 9),
            "reached": cap.is_reached,
        }
    return {
        "day": date.fromordinal(_EPOCH_ORDINAL + caps.day).isoformat(),
        "providers": found["provider"],
        "routes": found["route"],
    }


def observed(caps: Callable[[], SpendCaps | None]) -> tuple[Observed, ...]:
    """Return the caps as metrics; ``caps`` are those of the moment, None where there are none."""

    def by_name(field: str) -> Callable[[], Iterator[tuple[Labels, float]]]:
        def points() -> Iterator[tuple[Labels, float]]:
            known = caps()
            for scope, name, cap in () if known is None else known.all():
                yield (scope, name), float(getattr(cap, field))

        return points

    return tuple(
        [
            Observed(
                name=name,
                kind=Kind.GAUGE,
                unit=unit,
                meaning=meaning,
                labels=("scope", "name"),
                read=by_name(field),
            )
            for name, unit, field, meaning in GAUGES
        ]
    )
