"""The state as tables of text: what `status` prints, `top` redraws and the dashboard shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    State = Mapping[str, Any]

ENDPOINT_COLUMNS = (
    *("endpoint", "score", "breaker", "gate", "first token", "in flight", "calls/s"),
    *("share", "headroom", "today"),
)
ROUTE_COLUMNS = ("route", "within", "tier in use", "tiers")


@value
class Sheet:
    """A table: the names of its columns and its rows as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def head(state: State) -> list[str]:
    """Return the lines that say how the sidecar itself is."""
    config = state["config"]
    lines = [
        f"{state['source']}  generation {config['generation']}, loaded {config['loaded_at']}",
        (
            f"calls in flight {state['calls_in_flight']}, waiting {state['waiting']},"
            f" loop lag {state['loop_lag_s'] * 1000:.0f} ms,"
            f" probes {state['probes']['count']} (${state['probes']['spent_usd']:.4f})"
        ),
    ]
    warnings = (
        (state["draining"], "DRAINING: it was told to stop"),
        (state["egress_suspect"], "EGRESS: this pod seems to have lost its network"),
        (state["shedding"], "SHEDDING: batch calls are refused"),
    )
    lines += [text for is_so, text in warnings if is_so]
    lines += [f"CONFIG REFUSED: {problem}" for problem in config.get("error", ())]
    lines += [f"NEEDS A RESTART: {what}" for what in config.get("needs_restart", ())]
    lines += [
        f"DRILL: {one['fault']} at {one['endpoint']}, {one['share']:.0%},"
        f" ends in {one['ends_in_s']:.0f} s"
        for one in state["drills"]["drills"]
    ]
    caps = state.get("spend_caps") or {"providers": {}, "routes": {}}
    lines += [
        f"SPEND CAP of {scope} {name} reached: ${one['spent_usd']:.2f} of ${one['usd_per_day']:g}"
        for scope, named in (("provider", caps["providers"]), ("route", caps["routes"]))
        for name, one in named.items()
        if one["reached"]
    ]
    lines += [
        f"ROLLED BACK on {route}: {name} ({one['rollback']['reason']})"
        for route, of in state["routes"].items()
        for name, one in of.get("canaries", {}).items()
        if "rollback" in one
    ]
    lines += [
        f"ACCOUNT {name}: {one['block']}{_for(one['blocked_for_s'])}"
        for name, one in state["accounts"].items()
        if one["block"] is not None
    ]
    lines += [
        f"HOST {name}: {one['breaker']}{_for(one['reopens_in_s'])}"
        for name, one in state["hosts"].items()
        if one["breaker"] != "closed"
    ]
    return lines


def sheets(state: State) -> tuple[Sheet, Sheet]:
    """Return the endpoints and the tasks."""
    endpoints = state["endpoints"]
    total = sum(one["rate_per_s"] for one in endpoints.values())
    spent = spent_today(state)
    rows = [
        (
            name,
            f"{one['score']:.0f}",
            one["breaker"] + _for(one["reopens_in_s"]),
            one["gate"] or "-",
            f"{one['ttft_ms']:.0f} ms",
            f"{one['in_flight']}/{one['limit']:.0f}",
            f"{one['rate_per_s']:.2f}",
            f"{one['rate_per_s'] / total:.0%}" if total else "-",
            f"{one['headroom']:.0%}",
            f"${spent.get(name, 0.0):.4f}",
        )
        for name, one in endpoints.items()
    ]
    tasks = {name: one for name, one in state["routes"].items() if one["is_task"]}
    return (
        Sheet(columns=ENDPOINT_COLUMNS, rows=tuple(rows)),
        Sheet(
            columns=ROUTE_COLUMNS,
            rows=tuple([_route(name, one, endpoints) for name, one in tasks.items()]),
        ),
    )


def _route(name: str, route: State, endpoints: State) -> tuple[str, ...]:
    tiers: Sequence[Sequence[str]] = route["tiers"]
    number = tier_in_use(tiers, endpoints)
    in_use = "NONE" if number is None else f"{number}"
    said = " > ".join([" | ".join([_marked(one, endpoints) for one in tier]) for tier in tiers])
    return name, f"{route['within_s']:g} s", in_use, said


def tier_in_use(tiers: Sequence[Sequence[str]], endpoints: State) -> int | None:
    """Return the first tier, from 1, with an endpoint that takes calls; None if there is none."""
    for number, tier in enumerate(tiers, 1):
        if any(endpoints[one]["gate"] in (None, "concurrency") for one in tier if one in endpoints):
            return number
    return None


def _marked(name: str, endpoints: State) -> str:
    """Return an endpoint's name, in brackets where it takes no calls."""
    is_out = name in endpoints and endpoints[name]["gate"] is not None
    return f"({name})" if is_out else name


def spent_today(state: State) -> dict[str, float]:
    """Return the dollars of the ledger's latest day by endpoint."""
    days = state["ledger"]["days"]
    spent: dict[str, float] = {}
    for row in days:
        if row["day"] == days[0]["day"]:
            spent[row["endpoint"]] = spent.get(row["endpoint"], 0.0) + row["cost_usd"]
    return spent


def text_of(sheet: Sheet) -> str:
    """Return a table as aligned text."""
    rows = (sheet.columns, *sheet.rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(sheet.columns))]
    return "\n".join(
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]).rstrip()
        for row in rows
    )


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f" {seconds:.0f}s"
