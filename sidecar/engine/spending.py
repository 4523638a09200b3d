"""The spend caps for people and for Prometheus."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.core.caps import SpendCaps

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
GAUGES = (
    ("sidecar_spend_cap_usd", "usd_per_day", "What may be spent a day (UTC), in US dollars."),
    ("sidecar_spend_cap_spent_usd", "spent_usd", "What was spent of it today."),
    ("sidecar_spend_cap_reserved_usd", "reserved_usd", "What attempts under way have set aside."),
    ("sidecar_spend_cap_reached", "is_reached", "Whether a call was refused for it today."),
)


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


def exposition(caps: SpendCaps | None) -> str:
    """Return the caps in Prometheus's text format, nothing where there are none."""
    return "" if caps is None else "".join(f"{line}\n" for line in _lines(caps))


def _lines(caps: SpendCaps) -> Iterator[str]:
    for gauge, field, meaning in GAUGES:
        yield f"# HELP {gauge} {meaning}"
        yield f"# TYPE {gauge} gauge"
        for scope, name, cap in caps.all():
            yield f'{gauge}{{scope="{scope}",name="{name}"}} {float(getattr(cap, field)):g}'
