"""What an answer says about itself."""

from __future__ import annotations

import json

import pytest

from sidecar.domain import CallId, EndpointId, RouteName
from sidecar.engine.answer import Disclosure
from sidecar.server.disclose import HEADER_CHARS_MAX, clean, closing_comment, headers_of, listed


def disclosed(**facts: object) -> Disclosure:
    """Return a disclosure of ``facts``."""
    known = {
        "call_id": CallId("call_1"),
        "route": RouteName("reason"),
        "endpoint": EndpointId("a/m"),
    }
    return Disclosure(**(known | facts))  # type: ignore[arg-type]  # facts vary by test


def test_all_facts_become_headers() -> None:
    """Every fact of a whole answer is a header."""
    facts = disclosed(
        attempts=("b/n:HANG", "a/m:OK"),
        degraded="smaller;outage;a/m",
        cost_usd=0.0123,
        is_cost_estimated=True,
        dropped=("seed", "logit_bias"),
        is_pinned=True,
    )
    assert headers_of(facts, is_stream=False) == {
        "x-sidecar-call-id": "call_1",
        "x-sidecar-route": "reason",
        "x-sidecar-model": "a/m",
        "x-sidecar-pinned": "a/m",
        "x-sidecar-attempts": "b/n:HANG,a/m:OK",
        "x-sidecar-degraded": "smaller;outage;a/m",
        "x-sidecar-cost-usd": "0.0123",
        "x-sidecar-cost-estimated": "true",
        "x-sidecar-dropped": "seed,logit_bias",
    }


def test_what_is_not_known_is_left_out() -> None:
    """Absent facts make no headers: nobody reads ``None``."""
    names = set(headers_of(disclosed(endpoint=None, is_pinned=True), is_stream=False))
    assert names == {"x-sidecar-call-id", "x-sidecar-route"}


def test_a_stream_has_no_cost_in_its_head() -> None:
    """A stream's cost is not known when its head leaves."""
    assert "x-sidecar-cost-usd" not in headers_of(disclosed(cost_usd=0.1), is_stream=True)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.0, "0"), (0.0123, "0.0123"), (1e-9, "0"), (10.0, "10"), (0.000001, "0.000001")],
)
def test_cost_is_a_short_decimal(amount: float, text: str) -> None:
    """Costs have at most six decimals, no exponent, no trailing zeros."""
    headers = headers_of(disclosed(cost_usd=amount), is_stream=False)
    assert headers["x-sidecar-cost-usd"] == text


def test_values_cannot_break_out_of_a_header() -> None:
    """Line breaks, control characters and non-ASCII never reach a header."""
    assert clean("a\r\nset-cookie: x\x00é漢") == "a??set-cookie: x???"


def test_long_lists_are_cut_between_items() -> None:
    """A header is bounded, and what did not fit is counted."""
    items = [f"provider/model-{number}:HANG" for number in range(100)]
    text = listed(items)
    *kept, rest = text.split(",")
    assert len(text) <= HEADER_CHARS_MAX + len(",+100")
    assert kept == items[: len(kept)]
    assert rest == f"+{100 - len(kept)}"


def test_the_closing_comment_is_one_comment_line() -> None:
    """The final figures are JSON in a single SSE comment, whatever the values hold."""
    raw = closing_comment(disclosed(attempts=("a/m:OK",), cost_usd=0.25, degraded="x\ny"))
    assert raw.startswith(b": sidecar {")
    assert raw.endswith(b"}\n\n")
    assert raw.count(b"\n") == 2
    assert json.loads(raw.removeprefix(b": sidecar ")) == {
        "call_id": "call_1",
        "model": "a/m",
        "attempts": ["a/m:OK"],
        "degraded": "x\ny",
        "cost_usd": 0.25,
    }


@pytest.mark.parametrize("is_estimated", [True, False])
def test_a_stream_says_whether_its_cost_is_a_guess(*, is_estimated: bool) -> None:
    """The last comment marks a cost that a provider did not report, and no other."""
    comment = closing_comment(disclosed(cost_usd=0.1, is_cost_estimated=is_estimated))
    figures = json.loads(comment.decode().partition("sidecar ")[2])
    assert figures.get("cost_estimated", False) is is_estimated
