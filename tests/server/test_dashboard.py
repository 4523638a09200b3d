"""The page as it is sent: whole, guarded, and nothing in it that others wrote is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from sidecar.domain import EndpointId, OutcomeClass
from sidecar.server import dashboard, dashboard_advice
from sidecar.server.timeline import Timeline
from tests.ledger.events import attempt, call, outcome

EVIL = EndpointId("a/<script>alert(1)</script>\"'")


def state(name: str = "a/big", **more: Any) -> dict[str, Any]:
    """Return the state of a sidecar with one endpoint."""
    endpoint = {
        "score": 91.0,
        "confidence": 0.5,
        "reliability": 0.99,
        "latency_factor": 1.0,
        "headroom": 1.0,
        "ttft_ms": 200.0,
        "breaker": "closed",
        "reopens_in_s": None,
        "gate": None,
        "is_suspect": False,
        "last_cause": None,
        "in_flight": 1,
        "limit": 10.0,
        "rate_per_s": 0.5,
    }
    day = {"day": "2026-01-01", "route": name, "endpoint": name, "calls": 1, "attempts": 1}
    return {
        "source": name,
        "config": {"generation": 1, "loaded_at": "now", "error": [name]},
        "calls_in_flight": 0,
        "waiting": 0,
        "loop_lag_s": 0.0,
        "probes": {"count": 0, "spent_usd": 0.0},
        "draining": False,
        "egress_suspect": False,
        "shedding": False,
        "drills": {
            "enabled": True,
            "drills": [{"endpoint": name, "fault": "hang", "share": 1.0, "ends_in_s": 9.0}],
        },
        "accounts": {name: {"block": "account_rate", "blocked_for_s": 3.0}},
        "hosts": {name: {"breaker": "open", "reopens_in_s": 2.0}},
        "endpoints": {name: endpoint | more},
        "routes": {name: {"within_s": 30.0, "is_task": True, "tiers": [[name]]}},
        "ledger": {"days": [day | {"cost_usd": 0.25, "estimated_share": 0.0}]},
    }


async def drawn(**of: Any) -> str:
    """Return the page after one failed call whose reason is markup."""
    timeline = Timeline(lambda _: None)
    for at in (1.0, 2.0, 3.0):
        timeline.on_event(attempt("c", outcome(of["name"], at=at)))
    failed = replace(outcome(of["name"], OutcomeClass.S5), message=str(of["name"]))
    timeline.on_event(attempt("c", failed))
    timeline.on_event(call("c", failed, route=str(of["name"]), endpoint=of["name"]))
    return dashboard.page(state(**of), timeline).decode()


async def test_what_others_wrote_is_text() -> None:
    """Names and messages are escaped wherever they stand, also inside attributes."""
    page = await drawn(name=EVIL, breaker="open", gate="<b>", last_cause="<i>")
    body = page[page.index("<main") : page.index("</main>")]
    assert "alert(1)" in body
    assert not re.findall(r"<(?:script|b|i)>", body)
    for attributes in re.findall(r"<(?:form|button|svg)\b([^>]*)>", body):
        assert re.fullmatch(r'(?:\s+[\w-]+="[^"<>]*")*', attributes), attributes


async def test_the_policy_lets_the_page_itself_through() -> None:
    """One style and one script, each by its hash, and nothing from anywhere else."""
    headers, page = dashboard.headers(), await drawn(name="a/big")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall("<style>", page)) == len(re.findall("<script>", page)) == 1
    assert not re.findall(r"""(?:src|href)=["'](?!data:|/)""", page)
    assert not re.findall(r"\s(?:on\w+|style)=", page)


async def test_everything_is_on_the_page() -> None:
    """Score and its parts, sparkline, money, drills, what is blocked and what is refused."""
    page = await drawn(name="a/big", breaker="open", reopens_in_s=4.0, last_cause="HANG")
    for text in ("reliability 99.0%", "next trial in 4 s", "HANG", "<polyline", "0.250000"):
        assert text in page, text
    for text in ("drill: hang 100%, 9 s left", "ACCOUNT a/big: account_rate", "CONFIG REFUSED"):
        assert text in page, text


async def test_caps_and_rollbacks_stand_out() -> None:
    """What limits calls besides outages is said at the top."""
    known = state()
    cap = {"spent_usd": 5.004, "usd_per_day": 5.0, "reached": True}
    known["spend_caps"] = {"providers": {"a": cap}, "routes": {}}
    known["routes"]["a/big"]["canaries"] = {"b/new": {"rollback": {"reason": "quality"}}}
    page = dashboard.page(known, Timeline(lambda _: None)).decode()
    assert "SPEND CAP of provider a reached: $5.00 of $5" in page
    assert "ROLLED BACK on a/big: b/new (quality)" in page


def test_advice_is_a_page_of_text() -> None:
    """Figures and sentences are there; names are text, unknown figures a dash."""
    quality = {"mean": 0.93, "low": 0.9, "high": 0.95, "n": 412.0}
    model = {
        "model": EVIL,
        "quality": quality,
        "p50_s": 0.5,
        "p95_s": None,
        "cost_usd": None,
        "cost_is_guessed": False,
        "availability": 0.999,
        "calls_per_day": 100.0,
    }
    route = {
        "route": EVIL,
        "calls_per_day": 200.0,
        "models": [model, model | {"quality": quality | {"low": None, "high": None}}],
        "alternatives": [],
        "missing": [{"text": "30 more scores"}],
    }
    change = {"text": f"{EVIL}: move it first"}
    page = dashboard_advice.page(
        {"routes": [route], "changes": [change], "caveats": ["not drawn"]}
    ).decode()
    for text in ("0.900 to 0.950", "as configured", "30 more scores", "move it first", "99.9%"):
        assert text in page, text
    assert "<script>alert" not in page
