"""Trace context: what is believed of a header, and which ids follow from a call's."""

from __future__ import annotations

import pytest

from sidecar.tracing import (
    Propagation,
    Sampler,
    TraceContext,
    attempt_span_id,
    context_in,
    trace_id_of,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ALL = Sampler(ratio=1.0, follows_parent=True)
HALF = Sampler(ratio=0.5, follows_parent=True)


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f" 00-{TRACE}-{SPAN}-00 ", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE[:-1]}-{SPAN}-01", None),
        ("", None),
    ],
)
def test_a_broken_header_is_none(header: str, is_sampled: bool | None) -> None:
    """Later versions may add to it; everything else has one form."""
    found = context_in({"traceparent": header})
    assert (None if found is None else found.is_sampled) is is_sampled
    if found is not None:
        assert (found.trace_id, found.span_id) == (TRACE, SPAN)


def test_a_state_that_could_do_harm_is_left_out() -> None:
    """It goes on as it came, unless it is overlong or breaks the line."""
    parent = f"00-{TRACE}-{SPAN}-01"
    for state, kept in (("a=1,b=2", "a=1,b=2"), ("a=\r\nx: y", ""), ("a=" + "x" * 600, "")):
        found = context_in({"traceparent": parent, "tracestate": state})
        assert found is not None
        assert found.state == kept


def test_ids_follow_from_the_call() -> None:
    """Who knows a call's id finds its trace; no two attempts share a span."""
    call_id = "call_" + "0123456789abcdef01234567"
    assert trace_id_of(call_id).endswith("0123456789abcdef01234567")
    assert len(trace_id_of("another form")) == 32
    spans = {attempt_span_id(call_id, end, at) for end in ("a/x", "b/y") for at in (0.0, 1.5)}
    assert {len(span) for span in spans} == {16}
    assert len(spans) == 4


def test_a_ratio_is_that_of_the_traces() -> None:
    """Half of random ids, the same half everywhere; the caller's word comes first."""
    ids = [trace_id_of(f"call number {number}") for number in range(2000)]
    taken = [one for one in ids if HALF.takes(one, None)]
    assert 900 < len(taken) < 1100
    assert all(int(one[16:], 16) < 1 << 63 for one in taken)
    for is_sampled in (True, False):
        parent = TraceContext(trace_id=TRACE, span_id=SPAN, is_sampled=is_sampled)
        assert HALF.takes(TRACE, parent) is is_sampled
        assert Sampler(ratio=0.0, follows_parent=False).takes(TRACE, parent) is False


def test_without_an_exporter_the_callers_span_goes_on() -> None:
    """Nothing is recorded here, so a provider that may hear of it hears of the nearest span."""
    parent = TraceContext(trace_id=TRACE, span_id=SPAN, is_sampled=True, state="a=1")
    silent, told = Propagation(), Propagation(sampler=ALL)
    assert silent.headers("c", "a/x", 0.0, None) == ()
    kept = dict(silent.headers("c", "a/x", 0.0, parent))
    assert kept == {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"}
    own = dict(told.headers("c", "a/x", 0.0, parent))
    assert own["traceparent"] == f"00-{TRACE}-{attempt_span_id('c', 'a/x', 0.0)}-01"
    assert dict(told.headers("c", "a/x", 0.0, None))["traceparent"][3:35] == trace_id_of("c")
