"""The dashboard's page of advice: what each model delivered on each route, and what to change.

Drawn from the same value that `sidecar advise` prints and ``GET /api/v1/advice`` returns.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from sidecar.server.dashboard import frame_around

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Advice = Mapping[str, Any]

COLUMNS = (
    *("model", "quality", "95 % interval", "scores", "p50", "p95", "USD per call"),
    *("answered", "calls a day"),
)


def page(advice: Advice) -> bytes:
    """Return the whole page."""
    changes = _said(advice["changes"], "Change", "no change is supported by what is known yet")
    routes = "".join([_route(route) for route in advice["routes"]])
    doubts = _said([{"text": one} for one in advice["caveats"]], "What to doubt", "nothing")
    return frame_around(f"<section>{changes}{routes}{doubts}</section>")


def _said(entries: Sequence[Advice], title: str, nothing: str) -> str:
    lines = "".join([f"<li>{html.escape(one['text'])}</li>" for one in entries])
    body = lines or f'<li class="dim">{nothing}</li>'
    return f'<h2>{html.escape(title)}</h2><ol class="lines" tabindex="0">{body}</ol>'


def _route(route: Advice) -> str:
    name = html.escape(route["route"])
    heads = "".join([f'<th scope="col">{column}</th>' for column in COLUMNS])
    rows = "".join([_model(one) for one in route["models"]])
    others = [*route["alternatives"], *route["missing"]]
    more = "".join([f"<li>{html.escape(one['text'])}</li>" for one in others])
    return (
        f'<h2>{name}</h2><div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f"<table><caption>{route['calls_per_day']:g} calls a day</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        + (f"<ul>{more}</ul>" if more else "")
    )


def _model(one: Advice) -> str:
    quality = one["quality"]
    is_known = quality["low"] is not None
    interval = f"{quality['low']:.3f} to {quality['high']:.3f}" if is_known else "as configured"
    about = "~" if one["cost_is_guessed"] else ""
    cells = (
        f"{quality['mean']:.3f}",
        interval,
        f"{quality['n']:g}",
        _seconds(one["p50_s"]),
        _seconds(one["p95_s"]),
        "-" if one["cost_usd"] is None else f"{about}{one['cost_usd']:.6f}",
        "-" if one["availability"] is None else f"{one['availability']:.1%}",
        f"{one['calls_per_day']:g}",
    )
    tds = "".join([f"<td>{cell}</td>" for cell in cells])
    return f'<tr><th scope="row">{html.escape(one["model"])}</th>{tds}</tr>'


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"
