"""Gemini's paths: model and method in the path, keys in odd places, arrays, its shapes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.domain import WireFormat
from sidecar.errors import ForbiddenError, UnauthorizedError, UnavailableError
from sidecar.server.doors import Operation, door_of, format_of
from sidecar.server.event_array import ArrayAnswer
from sidecar.server.guard import Guard, GuardSettings
from sidecar.wire.sse import encode_event

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = b'{"contents":[{"parts":[{"text":"hi"}]}]}'
ANSWER = "/v1beta/models/reason:generateContent"
STREAM = "/v1beta/models/reason:streamGenerateContent"
COUNT = "/v1beta/models/reason:countTokens"
CHUNKS = (encode_event(b'{"n":1}'), encode_event(b'{"n":2}') + encode_event(b'{"n":3}'))


@pytest.mark.parametrize(
    ("path", "query", "operation", "is_stream", "is_array"),
    [
        (ANSWER, "", Operation.ANSWER, False, False),
        ("/v1/models/reason:generateContent", "", Operation.ANSWER, False, False),
        ("/models/reason:generateContent", "key=k", Operation.ANSWER, False, False),
        (STREAM, "alt=sse", Operation.ANSWER, True, False),
        (STREAM, "key=k&alt=sse", Operation.ANSWER, True, False),
        (STREAM, "", Operation.ANSWER, True, True),
        (STREAM, "alt=json", Operation.ANSWER, True, True),
        (COUNT, "", Operation.COUNT, False, False),
    ],
)
def test_doors(
    path: str, query: str, operation: Operation, *, is_stream: bool, is_array: bool
) -> None:
    """The path says model, method and streaming, the query whether it is a stream of events."""
    door = door_of(path, query, {})
    assert door is not None
    assert (door.operation, door.format, door.name) == (operation, WireFormat.GEMINI, "reason")
    assert (door.method, door.is_stream, door.is_array) == ("POST", is_stream, is_array)


@pytest.mark.parametrize(
    ("path", "headers", "form"),
    [
        ("/v1beta/models", {}, WireFormat.GEMINI),
        ("/v1beta/nothing", {}, WireFormat.GEMINI),
        ("/v1/models", {"x-goog-api-key": "k"}, WireFormat.GEMINI),
        ("/v1/models", {}, WireFormat.OPENAI_CHAT),
        ("/v1/models", {"anthropic-version": "1"}, WireFormat.ANTHROPIC_MESSAGES),
    ],
)
def test_whose_shape(path: str, headers: dict[str, str], form: WireFormat) -> None:
    """Lists and refusals have the shape of the SDK that asks."""
    assert format_of(path, headers) is form


async def test_a_call(world: Any) -> None:
    """The path's model leads to the route; constraints are cut out; the key goes nowhere."""
    body = b'{"contents":[{"parts":[{"text":"hi"}]}],"sidecar":{"budget":0.25}}'
    headers = {
        "x-goog-api-key": "callers-own",
        "x-goog-api-client": "genai",
        "x-server-timeout": "5",
    }
    exchange = await world.send("POST", ANSWER, body, headers)
    assert (exchange.status, exchange.json()) == (200, {"ok": True})
    (call,) = world.engine.calls
    assert (call.format, call.route.name, call.body) == (WireFormat.GEMINI, "reason", BODY)
    assert (call.facts.model, call.facts.is_stream) == ("reason", False)
    assert call.constraints.budget_usd == 0.25
    assert call.forward_headers == ()
    assert "callers-own" not in repr(call)
    assert call.deadline_at - call.arrived_at == pytest.approx(4.75)


async def test_a_stream_has_no_comment(world: Any, make_stream: Any) -> None:
    """Google's SDK takes every line for data, so the stream's last comment stays away."""
    world.engine.stream = make_stream(*CHUNKS)
    exchange = await _send_query(world, STREAM, "alt=sse")
    assert exchange.text() == b"".join(CHUNKS).decode()
    assert exchange.sent_headers["content-type"].startswith("text/event-stream")
    assert world.engine.calls[0].facts.is_stream
    assert exchange.is_ended


async def test_an_array(world: Any, make_stream: Any) -> None:
    """Without ``alt=sse`` the events are elements, each sent when it comes."""
    world.engine.stream = make_stream(*CHUNKS)
    exchange = await _send_query(world, STREAM, "")
    assert exchange.sent == [b'[{"n":1}', b',\n{"n":2},\n{"n":3}', b"]"]
    assert exchange.sent_headers["content-type"] == "application/json"
    assert world.engine.stream.closes == 1


async def _send_query(world: Any, path: str, query: str) -> Any:
    return await world.send("POST", path, BODY, query=query)


async def test_any_pieces_make_the_same_array(
    make_stream: Callable[..., Any], make_exchange: Callable[..., Any]
) -> None:
    """However the bytes of the events are cut, comments among them, the array is the same."""
    whole = b"".join(CHUNKS) + b": note\n\n" + encode_event(b'{"error":{}}').rstrip(b"\n")
    for at in range(len(whole)):
        answer = ArrayAnswer(make_stream(whole[:at] or b"\n", whole[at:]))
        exchange = make_exchange("POST", "/")
        await answer.send_to(exchange)
        assert json.loads(b"".join(exchange.sent)) == [{"n": 1}, {"n": 2}, {"n": 3}, {"error": {}}]
        assert answer.disclosure.cost_usd == 0.25
    exchange = make_exchange("POST", "/")
    await ArrayAnswer(make_stream()).send_to(exchange)
    assert exchange.sent == [b"[]"]


async def test_a_count(world: Any) -> None:
    """A count has Gemini's shape and says that it is an estimate."""
    exchange = await world.send("POST", COUNT, BODY)
    assert exchange.json() == {"totalTokens": 7}
    assert exchange.sent_headers["x-sidecar-estimate"] == "input_tokens"


async def test_lists(world: Any) -> None:
    """What may be named, as ``models/…``."""
    listed = (await world.send("GET", "/v1beta/models")).json()["models"]
    assert [model["name"] for model in listed] == [
        *("models/reason", "models/claude", "models/gpt-4o")
    ]
    one = (await world.send("GET", "/v1beta/models/claude")).json()
    assert (one["name"], one["displayName"]) == ("models/claude", "claude")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "name"),
    [
        ("POST", "/v1beta/models/nobody:generateContent", BODY, 404, "NOT_FOUND"),
        ("GET", "/v1beta/models/nobody", b"", 404, "NOT_FOUND"),
        ("POST", "/v1beta/nothing", b"", 404, "NOT_FOUND"),
        ("GET", ANSWER, b"", 405, "UNIMPLEMENTED"),
        ("POST", ANSWER, b"{", 400, "INVALID_ARGUMENT"),
        ("POST", ANSWER, b"", 400, "INVALID_ARGUMENT"),
        ("POST", ANSWER, b"x" * 100_001, 413, "INVALID_ARGUMENT"),
    ],
)
async def test_refusals(
    world: Any, method: str, path: str, body: bytes, status: int, name: str
) -> None:
    """Each refusal has Google's shape: a number, a status, a message."""
    exchange = await world.send(method, path, body)
    assert exchange.status == status
    error = exchange.json()["error"]
    assert (error["code"], error["status"]) == (status, name)
    assert error["message"]


async def test_no_provider(world: Any) -> None:
    """When nothing helps the story rides in the error."""
    world.engine.error = UnavailableError("none can", retry_after_s=3.0)
    exchange = await world.send("POST", ANSWER, BODY)
    error = exchange.json()["error"]
    assert (exchange.status, error["status"]) == (503, "UNAVAILABLE")
    assert error["sidecar"]["route"] == "reason"
    assert exchange.sent_headers["retry-after"] == "3"


def test_the_sidecars_token_in_googles_header() -> None:
    """Where the sidecar asks for a token, Google's SDK has one place for it."""
    guard = Guard(GuardSettings(token=b"secret"))
    guard.check({"host": "localhost", "x-goog-api-key": "secret"})
    for headers in ({"x-goog-api-key": "wrong"}, {}):
        with pytest.raises(UnauthorizedError):
            guard.check({"host": "localhost", **headers})
    with pytest.raises(ForbiddenError):
        guard.check({"host": "elsewhere", "x-goog-api-key": "secret"})
