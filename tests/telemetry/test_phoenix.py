"""Spans written to a real trace store and read back from it: Arize Phoenix.

It is 855 MB to install, so it has a command of its own: ``make phoenix``. That sets ``PHOENIX`` to
the installed program; without it nothing here runs.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sidecar.domain import CallId
from sidecar.tracing import trace_id_of
from sidecar.upstream.simulated import Fault, FaultKind
from tests.telemetry.conftest import CALLER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.telemetry.conftest import World

PHOENIX = os.environ.get("PHOENIX")
POLLS, POLL_S = 600, 0.2


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


async def _got(url: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return await answer.json() if answer.status == 200 else None


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[str]:
    """Start Phoenix on loopback alone; yields its address."""
    assert PHOENIX is not None
    port = _free_port()
    env = {
        **os.environ,
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(_free_port()),
        "PHOENIX_WORKING_DIR": str(tmp_path),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen([PHOENIX, "serve"], env=env, stdout=said, stderr=said)
        yield f"http://127.0.0.1:{port}"
        process.kill()
        process.wait()


async def _until_up(url: str) -> None:
    for _ in range(POLLS):
        try:
            async with aiohttp.ClientSession() as client, client.get(f"{url}/healthz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(POLL_S)
    pytest.fail("Phoenix did not start")


async def _spans(url: str, trace_id: str, count: int) -> list[Any]:
    """Return the spans of a trace once all are in the store."""
    found: list[Any] = []
    for _ in range(POLLS):
        said = await _got(f"{url}/v1/projects/default/spans?limit=1000")
        spans = [] if said is None else said["data"]
        found = [one for one in spans if one["context"]["trace_id"] == trace_id]
        if len(found) >= count:
            return found
        await asyncio.sleep(POLL_S)
    pytest.fail(f"{len(found)} of {count} spans came: {found}")


@pytest.mark.skipif(PHOENIX is None, reason="`make phoenix` runs this")
async def test_a_failover_is_read_back(
    start: Callable[..., Awaitable[World]], phoenix: str
) -> None:
    """The store shows one call of a model with its tokens, its attempts below, under our caller."""
    await _until_up(phoenix)
    world = await start({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{phoenix}/v1/traces"})
    world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=503),)
    status, call_id = await world.ask(is_stream=True, headers={"traceparent": CALLER})
    assert status == 200
    world.alpha.faults = ()
    _, second_id = await world.ask()
    await world.app.stop()

    spans = await _spans(phoenix, CALLER[3:35], 4)
    by_parent = {one["parent_id"]: one for one in spans}
    server = by_parent[CALLER[36:52]]
    assert server["attributes"]["sidecar.call_id"] == call_id
    assert server["attributes"]["sidecar.routing.candidates"][0] == "alpha/big"
    assert {event["name"] for event in server["events"]} == {
        *("sidecar.first_content", "sidecar.commit"),
    }
    logical = by_parent[server["context"]["span_id"]]
    assert (logical["span_kind"], logical["status_code"]) == ("LLM", "UNSET")
    assert logical["attributes"]["llm.token_count.completion"] > 0
    assert logical["attributes"]["llm.provider"] == "anthropic"
    assert logical["attributes"]["gen_ai.response.model"] == "other-1"
    attempts = [one for one in spans if one["parent_id"] == logical["context"]["span_id"]]
    lost, won = sorted(attempts, key=lambda one: one["start_time"])
    assert (lost["status_code"], lost["attributes"]["error.type"]) == ("ERROR", "503")
    assert won["attributes"]["http.request.resend_count"] == 1
    assert [one["span_kind"] for one in spans].count("LLM") == 1

    own = await _spans(phoenix, trace_id_of(CallId(second_id)), 3)
    assert [one["parent_id"] for one in own].count(None) == 1
