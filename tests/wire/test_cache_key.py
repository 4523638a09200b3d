"""Which requests share a kept answer, and which answers may not be kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import RouteName, WireFormat
from sidecar.errors import WireError
from sidecar.wire.cache_key import cache_key, is_cacheable

CHAT = WireFormat.OPENAI_CHAT
MESSAGES = WireFormat.ANTHROPIC_MESSAGES
ROUTE = RouteName("summarize")
RECORDED = Path(__file__).parent / "recorded"
BASE: dict[str, Any] = {
    "model": "summarize",
    "messages": [{"role": "user", "content": "Hello"}],
    "temperature": 0.7,
}


def key(request: dict[str, Any], **how: Any) -> str:
    """Return the key of a request given as an object."""
    how = {"wire_format": CHAT, "route": ROUTE, **how}
    return cache_key(msgspec.json.encode(request), **how)


@pytest.mark.parametrize(
    "more",
    [
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "u1"},
        {"safety_identifier": "u1", "prompt_cache_key": "k"},
        {"metadata": {"user_id": "u1"}},
        {"sidecar": {"within": "2s"}},
    ],
)
def test_how_and_for_whom_do_not_count(more: dict[str, Any]) -> None:
    """A stream and a plain answer share a key, two users do, constraints do not matter."""
    assert key({**BASE, **more}) == key(BASE)
    assert key({**more, **BASE}) == key(BASE)


@pytest.mark.parametrize(
    "changed",
    [
        {**BASE, "temperature": 0.8},
        {**BASE, "seed": 1},
        {**BASE, "unknown": None},
        {**BASE, "messages": [{"role": "user", "content": "Hello!"}]},
        {**BASE, "messages": [{"role": "user", "content": "Hello", "stream": True}]},
        {name: value for name, value in BASE.items() if name != "temperature"},
    ],
)
def test_everything_else_counts(changed: dict[str, Any]) -> None:
    """Any other member or value makes another request, those unknown to us included."""
    assert key(changed) != key(BASE)


def test_format_route_and_betas_count() -> None:
    """The same bytes mean something else in another format, on another route, under a beta."""
    beta = (("anthropic-beta", "x"),)
    keys = {
        key(BASE),
        key(BASE, wire_format=MESSAGES),
        key(BASE, route=RouteName("reason")),
        key(BASE, headers=beta),
        key(BASE, headers=(("anthropic-version", "x"),)),
    }
    assert len(keys) == 5
    two = (*beta, ("anthropic-version", "1"))
    assert key(BASE, headers=two) == key(BASE, headers=two[::-1])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    one=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4),
    other=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4),
    spaces=st.sampled_from([None, 1]),
)
def test_keys_are_equal_when_requests_are(
    one: dict[str, str], other: dict[str, str], spaces: int | None
) -> None:
    """Order of members and white space between them do not count; all else does."""
    reordered = dict(sorted(one.items(), reverse=True))
    spaced = json.dumps(reordered, indent=spaces).encode()
    plain = json.dumps(one).encode()
    assert cache_key(spaced, wire_format=CHAT, route=ROUTE) == cache_key(
        plain, wire_format=CHAT, route=ROUTE
    )
    assert (key(one) == key(other)) == (one == other)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"'])
def test_what_is_no_request_has_no_key(body: bytes) -> None:
    """A body that is not an object is refused, and nothing is kept for it."""
    assert not is_cacheable(body)
    with pytest.raises(WireError):
        cache_key(body, wire_format=CHAT, route=ROUTE)


# --- may an answer be kept ---------------------------------------------------------------------


def with_messages(*messages: dict[str, Any]) -> bytes:
    """Return a request of these messages."""
    return msgspec.json.encode({**BASE, "messages": messages})


@pytest.mark.parametrize(
    "body",
    [
        msgspec.json.encode(BASE),
        msgspec.json.encode({**BASE, "temperature": 1, "tools": [], "functions": None}),
        msgspec.json.encode({**BASE, "response_format": {"type": "json_object"}, "seed": 1}),
        with_messages({"role": "user", "content": [{"type": "text", "text": '"tool_use"'}]}),
        with_messages({"role": "assistant", "content": None, "tool_calls": []}),
        with_messages({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
    ],
)
def test_plain_answers_are_kept(body: bytes) -> None:
    """Text, structured output and images are kept, whatever the temperature."""
    assert is_cacheable(body)


@pytest.mark.parametrize(
    "body",
    [
        msgspec.json.encode({**BASE, "tools": [{"type": "function"}]}),
        msgspec.json.encode({**BASE, "functions": [{"name": "f"}]}),
        msgspec.json.encode({**BASE, "mcp_servers": [{"url": "u"}]}),
        msgspec.json.encode({**BASE, "container": "c"}),
        with_messages({"role": "tool", "tool_call_id": "c", "content": "5"}),
        with_messages({"role": "function", "name": "f", "content": "5"}),
        with_messages({"role": "assistant", "tool_calls": [{"id": "c"}]}),
        with_messages({"role": "assistant", "function_call": {"name": "f"}}),
        with_messages({"role": "user", "content": [{"type": "tool_result"}]}),
        with_messages({"role": "assistant", "content": [{"type": "server_tool_use"}]}),
        with_messages({"role": "user", "content": [5]}),
    ],
)
def test_tools_are_never_kept(body: bytes) -> None:
    """Neither an answer that may call a tool nor one that speaks of a tool's result is kept."""
    assert not is_cacheable(body)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"contents": [{"parts": [{"text": "hi"}]}]}, True),
        ({"contents": [{"parts": [{"text": "hi"}]}], "tools": [{"googleSearch": {}}]}, False),
        ({"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]}, False),
        ({"contents": [{"parts": [{"function_response": {"name": "f"}}]}]}, False),
        ({"contents": []}, False),
        ({}, False),
    ],
)
def test_geminis_requests(members: dict[str, Any], expected: bool) -> None:
    """Gemini's words are kept like others', its functions and tools are not."""
    assert is_cacheable(msgspec.json.encode(members)) is expected


def recorded_requests() -> list[Any]:
    """Return the text of every recorded request, named by file and index."""
    found = []
    for path in sorted(RECORDED.glob("*/*.json")):
        for number, entry in enumerate(json.loads(path.read_bytes())["interactions"]):
            text = entry["request"].get("body_text") or ""
            if '"messages"' in text:
                found.append(pytest.param(text, id=f"{path.stem[:60]}-{number}"))
    return found


@pytest.mark.parametrize("text", recorded_requests())
def test_recorded_requests(text: str) -> None:
    """Real requests are kept exactly if no tool is offered, called or answered in them."""
    request = json.loads(text)
    messages = json.dumps(request["messages"])
    marks = ('"role": "tool"', '"tool_calls": [{', 'tool_result"', 'tool_use"', '"tool_addition"')
    has_tools = bool(request.get("tools") or request.get("container"))
    expected = not has_tools and not any(mark in messages for mark in marks)
    assert is_cacheable(text.encode()) == expected
