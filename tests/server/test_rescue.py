"""Errors as HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from sidecar import errors
from sidecar.domain import CallId, EndpointId, Outcome, OutcomeClass, RouteName, WireFormat
from sidecar.server.rescue import Subject, answer_for, render
from sidecar.wire.formats import CODECS

HANG = Outcome(
    cls=OutcomeClass.HANG,
    endpoint=EndpointId("anthropic/claude"),
    message="no first content within 4 s",
    started_at=0.0,
    ended_at=4.0,
)
S5 = Outcome(
    cls=OutcomeClass.S5,
    endpoint=EndpointId("openai/gpt"),
    message="x" * 9000,
    started_at=0.0,
    ended_at=4.0,
    status=500,
    cost_usd=0.00025,
)


def subject(form: WireFormat | None) -> Subject:
    """Return a subject of which everything is known."""
    return Subject(format=form, call_id=CallId("call_1"), route=RouteName("reason"))


@pytest.mark.parametrize("form", [*CODECS, None])
def test_an_error_tells_the_whole_story(form: WireFormat | None) -> None:
    """Status, code, ids and every attempt with its reason reach the caller in its own format."""
    error = errors.UnavailableError("all down", attempts=(HANG, S5), retry_after_s=2.1)
    status, headers, body = render(error, subject(form))
    text = body.decode()
    assert status == 503
    assert headers["x-sidecar-error"] == "unavailable"
    assert headers["x-sidecar-call-id"] == "call_1"
    assert headers["x-sidecar-route"] == "reason"
    assert headers["x-sidecar-attempts"] == "anthropic/claude:HANG,openai/gpt:S5"
    assert headers["x-sidecar-cost-usd"] == "0.00025"
    assert headers["retry-after"] == "3"
    inner = json.loads(body)["error"]
    assert inner["message"] == "all down"
    for fact in ("unavailable", "call_1", "reason", "HANG", "no first content within 4 s"):
        assert fact in text
    assert len(body) < 3000


@pytest.mark.parametrize(
    ("error", "retry_after", "should_retry"),
    [
        (errors.ShedError("full", retry_after_s=1.0), "1", "true"),
        (errors.UnavailableError("down", retry_after_s=10.0), "10", "true"),
        (errors.UnavailableError("down", retry_after_s=10.5), "11", "false"),
        (errors.UnavailableError("down", retry_after_s=300.0), "60", "false"),
        (errors.UnavailableError("down"), None, "false"),
        (errors.DeadlineExceededError("late", retry_after_s=1.0), "1", "false"),
        (errors.BadRequestError("no"), None, "false"),
    ],
)
def test_callers_retry_only_where_it_helps(
    error: errors.CallError, retry_after: str | None, should_retry: str
) -> None:
    """SDKs neither multiply our attempts nor sleep for minutes."""
    _, headers, _ = render(error, subject(WireFormat.OPENAI_CHAT))
    assert headers.get("retry-after") == retry_after
    assert headers["x-should-retry"] == should_retry


@pytest.mark.parametrize("kind", errors.CallError.__subclasses__())
@pytest.mark.parametrize("form", [*CODECS, None])
def test_every_error_renders(kind: type[errors.CallError], form: WireFormat | None) -> None:
    """Each kind of error has its status and code in every format."""
    status, headers, body = render(kind("why", path="$.model"), subject(form))
    assert (status, headers["x-sidecar-error"]) == (kind.status, kind.code)
    assert json.loads(body)["error"]["message"] == "why"


def test_a_405_names_what_is_allowed() -> None:
    """``Allow`` belongs to 405 and to nothing else."""
    known = Subject(allow="GET")
    assert render(errors.MethodNotAllowedError("no"), known)[1]["allow"] == "GET"
    assert "allow" not in render(errors.BadRequestError("no"), known)[1]


def test_a_message_with_broken_text_still_renders() -> None:
    """Undecodable bytes quoted from the caller do not break the error about them."""
    _, _, body = render(errors.BadRequestError("got \udcff"), subject(WireFormat.OPENAI_CHAT))
    assert json.loads(body)["error"]["message"] == "got ?"


async def test_a_defect_is_logged_and_not_told(make_exchange: Any, caplog: Any) -> None:
    """An unknown exception is one log entry with traceback and a 500 without its text."""
    exchange = make_exchange("POST", "/")
    error = ZeroDivisionError("a secret")
    await answer_for(error, exchange, subject(WireFormat.OPENAI_CHAT))
    assert exchange.status == 500
    assert exchange.sent_headers["x-sidecar-error"] == "internal"
    assert "secret" not in exchange.text()
    assert "attempts" not in exchange.text()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


@pytest.mark.parametrize("error", [errors.UnavailableError("down"), ZeroDivisionError()])
async def test_after_the_head_the_connection_is_cut(make_exchange: Any, error: Exception) -> None:
    """What has begun cannot become an error status, and must not look complete."""
    exchange = make_exchange("POST", "/")
    await exchange.start_stream(200, {})
    await answer_for(error, exchange, subject(WireFormat.OPENAI_CHAT))
    assert exchange.is_aborted
    assert not exchange.is_ended


async def test_nobody_is_told_when_nobody_listens(make_exchange: Any, caplog: Any) -> None:
    """A lost caller passes through, unanswered and unlogged."""
    exchange = make_exchange("POST", "/")
    with pytest.raises(ConnectionResetError):
        await answer_for(ConnectionResetError(), exchange, subject(None))
    assert exchange.status is None
    assert caplog.records == []


async def test_cancellation_passes_through(world: Any, bodies: Any, make_exchange: Any) -> None:
    """A call that is cancelled is not answered, and counted out."""
    path = "/v1/chat/completions"
    world.engine.hangs = True
    exchange = make_exchange("POST", path, body=bodies[path], headers={"host": "localhost"})
    task = asyncio.ensure_future(world.plane.handle(exchange))
    await world.engine.hung.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert exchange.status is None
    assert world.admission.calls == 0
