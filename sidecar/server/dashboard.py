"""The dashboard: one page that needs nothing else, drawn here whole each time it is asked for.

Without JavaScript it is a page of tables. With it, the page fetches itself anew as things happen
and puts in place what changed, so that there is one way of drawing and no second one in a browser.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sidecar.domain import EndpointId
from sidecar.server.overview import head, spent_today, tier_in_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sidecar.server.timeline import Timeline

    State = Mapping[str, Any]

PLACE = "<!--LIVE-->"
CALLS_SHOWN, CHANGES_SHOWN = 50, 100
GOOD_SCORE, FAIR_SCORE = 80.0, 40.0
SPARK_WIDTH, SPARK_HEIGHT = 112, 24
_WELL = frozenset({"ok", "passed", "cancelled"})
_CLOSED = "closed"


def headers() -> dict[str, str]:
    """Return the page's headers: nothing from elsewhere runs in it, and nobody may frame it."""
    styles, scripts = _hashes()
    policy = (
        f"default-src 'none'; img-src data:; style-src {styles}; script-src {scripts};"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }


def page(state: State, timeline: Timeline) -> bytes:
    """Return the whole page."""
    return frame_around(_live(state, timeline))


def frame_around(live: str) -> bytes:
    """Return a page whose changing part is ``live``."""
    return _frame().replace(PLACE, live).encode()


@cache
def _frame() -> str:
    return resources.files("sidecar.server").joinpath("dashboard.html").read_text("utf-8")


@cache
def _hashes() -> tuple[str, str]:
    """Return what the policy lets through: the page's own style and script, by their hashes."""
    frame = _frame()

    def hashed(tag: str) -> str:
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", frame, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return f"'sha256-{digest}'"

    return hashed("style"), hashed("script")


def _live(state: State, timeline: Timeline) -> str:
    entries = timeline.read()
    number = entries[-1]["number"] if entries else 0
    calls = [one for one in entries if one["kind"] == "call"][-CALLS_SHOWN:]
    changes = [one for one in entries if one["kind"] == "change"][-CHANGES_SHOWN:]
    return "\n".join(
        (
            f'<section id="head" data-number="{number}">{_head(state)}</section>',
            f'<section id="endpoints">{_endpoints(state, timeline)}</section>',
            f'<section id="routes">{_routes(state)}</section>',
            f'<section id="calls">{_lines("Calls", calls, "no call yet")}</section>',
            f'<section id="changes">{_lines("Changes", changes, "nothing changed yet")}</section>',
            f'<section id="money">{_money(state)}</section>',
            f'<section id="quality">{_quality(state)}</section>',
        )
    )


def _head(state: State) -> str:
    first, second, *warnings = head(state)
    said = "".join([f'<p class="say" role="status">{html.escape(one)}</p>' for one in warnings])
    return f'<p class="dim">{html.escape(first)}<br>{html.escape(second)}</p>{said}'


# --- endpoints ------------------------------------------------------------------------------------

_COLUMNS = (
    ("endpoint", ""),
    ("score", ""),
    ("breaker", ""),
    ("out because", ""),
    ("first token", ""),
    ("lately", "wide"),
    ("traffic", ""),
    ("in flight", "wide"),
    ("headroom", "wide"),
    ("today", ""),
    ("do", ""),
)


def _endpoints(state: State, timeline: Timeline) -> str:
    endpoints = state["endpoints"]
    total = sum(one["rate_per_s"] for one in endpoints.values())
    spent = spent_today(state)
    drills = {one["endpoint"]: one for one in state["drills"]["drills"]}
    may_drill = state["drills"]["enabled"]
    rows = [
        _row(
            name,
            (
                _score(one),
                _breaker(one),
                html.escape(one["gate"] or "-") + _drilled(drills.get(name)),
                f"{one['ttft_ms']:.0f} ms",
                _spark(timeline.latencies(EndpointId(name)), name),
                f"{one['rate_per_s']:.2f}/s{_of(one['rate_per_s'], total)}",
                f"{one['in_flight']} of {one['limit']:.0f}",
                f"{one['headroom']:.0%}",
                f"${spent.get(name, 0.0):.4f}",
                _verbs(name, one, drills.get(name), may_drill=may_drill),
            ),
        )
        for name, one in endpoints.items()
    ]
    columns = [f'<th scope="col" class="{cls}">{name}</th>' for name, cls in _COLUMNS]
    return (
        '<h2>Endpoints</h2><div class="scroll" tabindex="0" role="region"'
        ' aria-label="Endpoints"><table><caption>best information of the moment;'
        " the score is reliability, latency and headroom together</caption>"
        f"<thead><tr>{''.join(columns)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, cells: Sequence[str]) -> str:
    classes = [cls for _, cls in _COLUMNS[1:]]
    tds = [f'<td class="{cls}">{cell}</td>' for cls, cell in zip(classes, cells, strict=True)]
    return f'<tr><th scope="row">{html.escape(name)}</th>{"".join(tds)}</tr>'


def _score(one: State) -> str:
    score = one["score"]
    look = "good" if score >= GOOD_SCORE else "fair" if score >= FAIR_SCORE else "bad"
    parts = (
        f"reliability {one['reliability']:.1%}, latency {one['latency_factor']:.2f},"
        f" headroom {one['headroom']:.2f}, confidence {one['confidence']:.2f}"
    )
    return f'<span class="{look}">{score:.0f}</span><br><small class="dim wide">{parts}</small>'


def _breaker(one: State) -> str:
    state = html.escape(one["breaker"])
    if one["breaker"] == _CLOSED:
        suspect = " <small>(suspect)</small>" if one["is_suspect"] else ""
        return f'<span class="good">{state}</span>{suspect}'
    cause = f"<br><small>{html.escape(one['last_cause'])}</small>" if one["last_cause"] else ""
    left = one["reopens_in_s"]
    wait = "" if left is None else f"<br><small>next trial in {left:.0f} s</small>"
    return f'<span class="bad">{state}</span>{cause}{wait}'


def _drilled(drill: State | None) -> str:
    if drill is None:
        return ""
    return (
        f'<br><span class="bad">drill: {html.escape(drill["fault"])}'
        f" {drill['share']:.0%}, {drill['ends_in_s']:.0f} s left</span>"
    )


def _spark(latencies_s: Sequence[float], name: str) -> str:
    """Return the last first tokens as a line, the slowest at the top."""
    if len(latencies_s) < 2:  # noqa: PLR2004 - a line has two ends
        return '<span class="dim">-</span>'
    top = max(latencies_s) or 1.0
    step = SPARK_WIDTH / (len(latencies_s) - 1)
    points = " ".join(
        [
            f"{number * step:.1f},{SPARK_HEIGHT - 1 - (SPARK_HEIGHT - 2) * one / top:.1f}"
            for number, one in enumerate(latencies_s)
        ]
    )
    label = html.escape(f"first tokens of {name} lately, at most {top * 1000:.0f} ms", quote=True)
    return (
        f'<svg class="spark" role="img" aria-label="{label}"'
        f' viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}"><polyline points="{points}"/></svg>'
        f"<br><small>up to {top * 1000:.0f} ms</small>"
    )


def _of(part: float, total: float) -> str:
    return f"<br><small>{part / total:.0%}</small>" if total else ""


def _verbs(name: str, one: State, drill: State | None, *, may_drill: bool) -> str:
    verb = "restore" if one["breaker"] == "isolated" else "isolate"
    path = quote(name, safe="")
    ask = f"Take {name} out of service?" if verb == "isolate" else f"Put {name} back?"
    forms = [_form(verb, f"/api/v1/endpoints/{path}/{verb}", ask, name)]
    if drill is not None:
        end = _form("end drill", f"/api/v1/drills/{path}", f"End the drill at {name}?", name)
        forms.append(end.replace("<form", '<form data-method="DELETE"', 1))
    elif may_drill:
        ask = f"Put a fault into the way to {name}?"
        forms.append(_form("drill", "/api/v1/drills", ask, name))
    return " ".join(forms)


def _form(verb: str, action: str, ask: str, name: str) -> str:
    escaped = html.escape(name, quote=True)
    return (
        f'<form class="inline" method="post" action="{html.escape(action, quote=True)}"'
        f' data-act="{verb}" data-endpoint="{escaped}" data-ask="{html.escape(ask, quote=True)}">'
        f'<button id="{verb.replace(" ", "-")}-{escaped}" aria-label="{verb} {escaped}">{verb}'
        "</button></form>"
    )


# --- the rest -------------------------------------------------------------------------------------


def _routes(state: State) -> str:
    endpoints = state["endpoints"]
    rows = []
    for name, route in state["routes"].items():
        if not route["is_task"]:
            continue
        number = tier_in_use(route["tiers"], endpoints)
        in_use = '<span class="bad">none</span>' if number is None else f"{number}"
        tiers = " &rarr; ".join([_tier(tier, endpoints) for tier in route["tiers"]])
        rows.append(
            f'<tr><th scope="row">{html.escape(name)}</th><td>{route["within_s"]:g} s</td>'
            f"<td>{in_use}</td><td>{tiers}</td></tr>"
        )
    columns = "".join(
        [f'<th scope="col">{name}</th>' for name in ("route", "within", "tier in use", "tiers")]
    )
    return (
        '<h2>Routes</h2><div class="scroll" tabindex="0" role="region" aria-label="Routes">'
        f"<table><thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _tier(tier: Iterable[str], endpoints: State) -> str:
    """Return a tier's endpoints; who takes no calls is struck out, and says why."""
    said = []
    for name in tier:
        gate = endpoints[name]["gate"] if name in endpoints else None
        shown = html.escape(name)
        said.append(shown if gate is None else f'<s class="dim">{shown}</s> ({html.escape(gate)})')
    return " | ".join(said)


def _lines(title: str, entries: Sequence[Mapping[str, object]], nothing: str) -> str:
    lines = []
    for one in reversed(entries):
        at = datetime.fromtimestamp(float(str(one["at"])), UTC)
        is_bad = one["kind"] == "call" and one["result"] not in _WELL
        look = ' class="bad"' if is_bad and one["result"] != "degraded" else ""
        lines.append(
            f'<li><time datetime="{at.isoformat()}">{at:%H:%M:%S}</time>'
            f"<span{look}>{html.escape(str(one['text']))}</span></li>"
        )
    body = "".join(lines) or f'<li class="dim">{nothing}</li>'
    return f'<h2>{title}</h2><ol class="lines" tabindex="0" aria-label="{title}">{body}</ol>'


def _quality(state: State) -> str:
    """Return what is believed of models, nothing before anybody said anything."""
    models = state.get("quality", {}).get("models", ())
    if not models:
        return ""
    columns = ("route", "endpoint", "quality", "95 % interval", "scores", "configured")
    heads = "".join([f'<th scope="col">{name}</th>' for name in columns])
    rows = "".join(
        [
            f'<tr><th scope="row">{html.escape(one["route"])}</th>'
            f"<td>{html.escape(one['endpoint'])}</td><td>{one['mean']:.3f}</td>"
            f"<td>{one['low']:.3f} to {one['high']:.3f}</td><td>{one['n']:.1f}</td>"
            f"<td>{one['configured']:g}</td></tr>"
            for one in models
        ]
    )
    return (
        '<h2>Quality</h2><div class="scroll" tabindex="0" role="region" aria-label="Quality">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _money(state: State) -> str:
    days = state["ledger"]["days"]
    columns = ("day", "route", "endpoint", "calls", "attempts", "USD", "of it estimated")
    heads = "".join([f'<th scope="col">{name}</th>' for name in columns])
    rows = "".join(
        [
            f'<tr><th scope="row">{html.escape(one["day"])}</th>'
            f"<td>{html.escape(one['route'])}</td>"
            f"<td>{html.escape(one['endpoint'])}</td><td>{one['calls']}</td>"
            f"<td>{one['attempts']}</td><td>{one['cost_usd']:.6f}</td>"
            f"<td>{one['estimated_share']:.0%}</td></tr>"
            for one in days
        ]
    )
    return (
        '<h2>Spent</h2><div class="scroll" tabindex="0" role="region" aria-label="Spent"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
