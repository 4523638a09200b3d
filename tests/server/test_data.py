"""The data plane: paths, and one call from its first byte to its last."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sidecar import errors
from sidecar.engine.answer import PlainAnswer

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
COUNT = "/v1/messages/count_tokens"
BOTH = pytest.mark.parametrize("path", [CHAT, MESSAGES])


@pytest.mark.parametrize(
    "path", [CHAT, "/chat/completions", "/v1/v1/chat/completions", MESSAGES, "/messages"]
)
async def test_paths_work_with_and_without_v1(world: Any, bodies: Any, path: str) -> None:
    """Whatever base URL an SDK was given, its call arrives."""
    full = CHAT if path.endswith(CHAT.removeprefix("/v1")) else MESSAGES
    exchange = await world.send("POST", path, bodies[full])
    assert (exchange.status, exchange.json()) == (200, {"ok": True})


@BOTH
async def test_an_answer_discloses_what_happened(world: Any, bodies: Any, path: str) -> None:
    """A whole answer has its content type and the facts about it."""
    exchange = await world.send("POST", path, bodies[path])
    (call,) = world.engine.calls
    assert exchange.sent_headers == {
        "content-type": "application/json",
        "x-sidecar-call-id": call.id,
        "x-sidecar-route": "reason",
        "x-sidecar-model": "anthropic/claude",
        "x-sidecar-attempts": "anthropic/claude:OK",
        "x-sidecar-cost-usd": "0.0123",
    }


async def test_a_providers_refusal_passes_through(world: Any, bodies: Any) -> None:
    """A provider's 4xx keeps status and body, and is not to be retried."""

    async def script(call: Any) -> PlainAnswer:
        usual = await type(world.engine)().answer(call)
        return PlainAnswer(status=429, body=b"{}", disclosure=usual.disclosure)

    world.engine.script = script
    exchange = await world.send("POST", CHAT, bodies[CHAT])
    assert exchange.status == 429
    assert exchange.sent_headers["x-should-retry"] == "false"


async def test_a_count(world: Any, bodies: Any) -> None:
    """A count has Anthropic's shape and says that it is an estimate."""
    exchange = await world.send("POST", COUNT, bodies[COUNT])
    assert exchange.json() == {"input_tokens": 7}
    assert exchange.sent_headers["x-sidecar-estimate"] == "input_tokens"


@BOTH
async def test_a_stream_ends_with_its_figures(
    world: Any, bodies: Any, make_stream: Any, path: str
) -> None:
    """The chunks pass untouched, the last line is a comment with the final facts."""
    world.engine.stream = stream = make_stream(b"data: 1\n\n", b"data: [DONE]\n\n")
    exchange = await world.send("POST", path, bodies[path])
    *chunks, comment = exchange.sent
    assert chunks == [b"data: 1\n\n", b"data: [DONE]\n\n"]
    figures = json.loads(comment.removeprefix(b": sidecar "))
    assert (figures["attempts"], figures["cost_usd"]) == (["anthropic/claude:OK"], 0.25)
    assert exchange.sent_headers["content-type"].startswith("text/event-stream")
    assert exchange.sent_headers["x-sidecar-attempts"] == "anthropic/claude:COMMITTED"
    assert "x-sidecar-cost-usd" not in exchange.sent_headers
    assert exchange.is_ended
    assert stream.closes == 1


async def test_a_stream_is_pulled_no_faster_than_it_is_read(
    world: Any, bodies: Any, make_stream: Any, make_exchange: Any
) -> None:
    """While the caller does not take a chunk, the next one is not asked for."""
    world.engine.stream = stream = make_stream(b"data: 1\n\n", is_endless=True)
    exchange = make_exchange("POST", CHAT, bodies[CHAT], {"host": "localhost"})
    exchange.may_write = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.plane.handle(exchange))
        await stream.pulled.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert stream.reads == 1
        task.cancel()
    assert stream.closes == 1
    assert world.admission.calls == 0


async def test_a_caller_who_never_reads_is_cut_after_the_deadline(
    world: Any, bodies: Any, make_stream: Any, make_exchange: Any, monkeypatch: Any
) -> None:
    """A stuck caller does not hold its place for ever."""
    monkeypatch.setattr("sidecar.server.data.STUCK_S", 0.0)
    world.engine.stream = stream = make_stream(b"data: 1\n\n", is_endless=True)
    headers = {"host": "localhost", "x-sidecar-within": "1ms"}
    exchange = make_exchange("POST", CHAT, bodies[CHAT], headers)
    exchange.may_write = asyncio.Event()
    with pytest.raises(ConnectionResetError):
        await world.plane.handle(exchange)
    assert exchange.is_aborted
    assert stream.closes == 1
    assert world.admission.calls == 0


@pytest.mark.parametrize("hangs_in", ["engine", "stream"])
async def test_a_cancelled_call_releases_everything(
    world: Any, bodies: Any, make_stream: Any, make_exchange: Any, hangs_in: str
) -> None:
    """Hanging up cancels the engine, closes the stream and leaves admission once."""
    stream = make_stream(b"data: 1\n\n", stalls=True)
    if hangs_in == "engine":
        world.engine.hangs = True
    else:
        world.engine.stream = stream
    exchange = make_exchange("POST", CHAT, bodies[CHAT], {"host": "localhost"})
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.plane.handle(exchange))
        await (world.engine.hung if hangs_in == "engine" else stream.stalled).wait()
        assert world.admission.calls == 1
        task.cancel()
    assert task.cancelled()
    assert world.admission.calls == 0
    assert world.engine.cancelled.is_set() or stream.closes == 1
    assert not exchange.is_ended


async def test_a_defect_in_a_stream_cuts_it(world: Any, bodies: Any, make_stream: Any) -> None:
    """A stream that fails inside us never ends as if it were complete."""
    world.engine.stream = stream = make_stream(b"data: 1\n\n", error=ZeroDivisionError())
    exchange = await world.send("POST", CHAT, bodies[CHAT])
    assert exchange.is_aborted
    assert not exchange.is_ended
    assert stream.closes == 1


@BOTH
async def test_the_engines_refusal_reaches_the_caller(world: Any, bodies: Any, path: str) -> None:
    """An engine error becomes its status with call id and route."""
    world.engine.error = errors.UnavailableError("all down", retry_after_s=2.0)
    exchange = await world.send("POST", path, bodies[path])
    assert exchange.status == 503
    assert exchange.sent_headers["x-sidecar-route"] == "reason"
    assert exchange.sent_headers["x-sidecar-call-id"] == world.engine.calls[0].id
    assert exchange.json()["error"]["message"] == "all down"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/completions", 404),
        ("POST", "/v1/models/", 404),
        ("POST", "/v1/tasks/", 404),
        ("POST", "/v1beta/engines", 404),
        ("GET", CHAT, 405),
        ("DELETE", MESSAGES, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/tasks/reason", 405),
    ],
)
async def test_wrong_paths_and_methods(world: Any, method: str, path: str, status: int) -> None:
    """A wrong path is answered with the right ones, a wrong method with the right one."""
    exchange = await world.send(method, path)
    assert exchange.status == status
    message = exchange.json()["error"]["message"]
    if status == 404:
        assert "POST /v1/chat/completions" in message
    else:
        assert exchange.sent_headers["allow"] in message
    assert not exchange.is_body_read


async def test_errors_take_the_form_the_path_suggests(world: Any) -> None:
    """Anthropic's callers get Anthropic's errors, by path or by their version header."""
    by_path = await world.send("GET", MESSAGES)
    by_header = await world.send("GET", "/nothing", headers={"anthropic-version": "2023-06-01"})
    other = await world.send("GET", "/nothing")
    assert by_path.json()["type"] == by_header.json()["type"] == "error"
    assert "type" not in other.json()


async def test_models_are_listed_in_both_shapes(world: Any) -> None:
    """Both SDKs list the names that callers may use."""
    openai = await world.send("GET", "/v1/models")
    anthropic = await world.send("GET", "/v1/models", headers={"anthropic-version": "2023-06-01"})
    names = ["reason", "claude", "gpt-4o"]
    assert [model["id"] for model in openai.json()["data"]] == names
    assert [model["id"] for model in anthropic.json()["data"]] == names
    assert openai.json()["object"] == "list"
    assert anthropic.json()["has_more"] is False
    one = await world.send("GET", "/v1/models/gpt%2D4o")
    assert (one.status, one.json()["id"]) == (200, "gpt-4o")
    unknown = await world.send("GET", "/v1/models/gpt-5")
    assert unknown.status == 404
    assert unknown.sent_headers["x-sidecar-error"] == "unknown_model"


@BOTH
async def test_a_body_beyond_the_bound(world: Any, path: str) -> None:
    """An oversized body is refused with 413."""
    exchange = await world.send("POST", path, b"x" * 100_001)
    assert exchange.status == 413
    assert world.engine.calls == []


async def test_draining_refuses_before_the_body(world: Any, bodies: Any) -> None:
    """A stopping sidecar takes no body, and says that another try is fine."""
    world.admission.is_draining = True
    exchange = await world.send("POST", CHAT, bodies[CHAT])
    assert exchange.status == 503
    assert exchange.sent_headers["x-sidecar-error"] == "draining"
    assert exchange.sent_headers["x-should-retry"] == "true"
    assert not exchange.is_body_read


async def test_a_full_sidecar_sheds(world: Any, bodies: Any, make_exchange: Any) -> None:
    """At its bound the sidecar answers 429, and takes calls again when one has left."""
    for _ in range(50):
        world.admission.enter(0)
    exchange = make_exchange("POST", CHAT, bodies[CHAT], {"host": "localhost"})
    await world.plane.handle(exchange)
    assert exchange.status == 429
    assert exchange.sent_headers["x-sidecar-error"] == "shed"
    assert world.admission.calls == 50
    for _ in range(50):
        world.admission.leave(0)
    assert (await world.send("POST", CHAT, bodies[CHAT])).status == 200


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
async def test_pages_may_not_call(world: Any, bodies: Any, headers: dict[str, str]) -> None:
    """A foreign host or origin is refused before the body is read."""
    exchange = await world.send("POST", CHAT, bodies[CHAT], headers)
    assert exchange.status == 403
    assert not exchange.is_body_read
    assert world.engine.calls == []
