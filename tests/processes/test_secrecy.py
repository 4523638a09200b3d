"""Marked keys, prompts and answers go through every path; none is found where it must not be.

Places: the log at its most talkative, in both forms; state, calls, timeline, metrics, readiness;
the ledger's file. A caller is told its provider's own words, and no key ever.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.processes.conftest import ROOT, Sidecar, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Until = Callable[[Callable[[], Awaitable[bool]], str], Awaitable[None]]

KEY, PROMPT, ANSWER = "sk-MARKED-key-4711", "MARKED-prompt-0815", "MARKED-answer-1234"
CALLERS_KEY = "sk-MARKED-callers-0042"
MARKED = "MARKED"
ADMIN_PATHS = ("/api/v1/state", "/api/v1/calls", "/api/v1/timeline", "/api/v1/drills")
HEALTH_PATHS = ("/metrics", "/readyz", "/livez")
MOODS = ("well", "echo400", "echo500", "garbage", "cut", "hang", "limited", "refused", "schema")
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  one: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: {{env: MARKED_KEY}}}}
  two: {{kind: anthropic, base_url: "http://127.0.0.1:{port}", api_key: {{file: "{key_file}"}}}}
models:
  m: {{provider: one, model: m, price: {{input: 1, output: 1}}}}
  n: {{provider: two, model: n, price: {{input: 1, output: 1}}}}
routes:
  quick: {{tiers: [[m], [n]], within: 1s, degrade: [stale, static], static: "standing in"}}
ledger: {{path: "{ledger}"}}
defaults: {{within: 1s}}
"""


class Echo:
    """A provider that says back whatever it was told, in each of its moods."""

    def __init__(self) -> None:
        self.mood = "well"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and hang up."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lower = head.lower()
            length = (
                int(lower.partition("content-length:")[2].split()[0])
                if "\r\ncontent-length:" in lower
                else 0
            )
            body = (await reader.readexactly(length)).decode()
            writer.write(self._answer(head, body))
            await writer.drain()
            if self.mood == "hang":
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str, body: str) -> bytes:
        echoed = json.dumps(head + body)[1:-1]
        error = f'{{"error":{{"type":"t","code":"c","message":"you said {echoed}"}}}}'
        well = (
            '{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
            f'"finish_reason":"stop","message":{{"role":"assistant","content":"{ANSWER}"}}}}],'
            '"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
        )
        status, said = {
            "echo400": (400, error),
            "echo500": (500, error),
            "garbage": (200, f"<html>{body}</html>"),  # of a success not a byte is looked at
            "limited": (429, error),
            "refused": (401, error),
            "schema": (200, well),
        }.get(self.mood, (200, well))
        whole = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
            f"content-length: {len(said)}\r\nconnection: close\r\n\r\n{said}"
        ).encode()
        return {"cut": whole[: -len(said) // 2], "hang": b""}.get(self.mood, whole)


def bodies() -> list[tuple[str, bytes]]:
    """Return requests of every format, right and wrong, each with the marked prompt."""
    message = [{"role": "user", "content": PROMPT}]
    schema = {"type": "json_schema", "json_schema": {"name": PROMPT, "schema": {"type": "object"}}}
    right: list[tuple[str, object]] = [
        ("/v1/chat/completions", {"model": "quick", "messages": message}),
        ("/v1/chat/completions", {"model": "quick", "messages": message, "stream": True}),
        (
            "/v1/chat/completions",
            {"model": "quick", "messages": message, "response_format": schema},
        ),
        ("/v1/responses", {"model": "quick", "input": PROMPT}),
        ("/v1/messages", {"model": "quick", "max_tokens": 9, "messages": message}),
        ("/v1beta/models/quick:generateContent", {"contents": [{"parts": [{"text": PROMPT}]}]}),
        ("/v1/tasks/quick", {"input": PROMPT}),
        ("/one/files", {"purpose": PROMPT}),
        ("/v1/messages/count_tokens", {"model": "quick", "messages": message}),
    ]
    wrong: list[tuple[str, bytes]] = [
        ("/v1/chat/completions", f'{{"model":"quick","messages":"{PROMPT}"}}'.encode()),
        ("/v1/chat/completions", f'{{"model":"{PROMPT}'.encode()),
        ("/v1/messages", f'{{"model":"quick","messages":[{{"role":"{PROMPT}"}}]}}'.encode()),
        ("/v1/tasks/quick", f'{{"input":["{PROMPT}"]}}'.encode()),
        (f"/v1/{PROMPT}", b"{}"),
    ]
    return [(path, json.dumps(body).encode()) for path, body in right] + wrong


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_marked_is_left_behind(
    tmp_path: Path, http_session: aiohttp.ClientSession, form: str
) -> None:
    """Through all moods, a broken key file, a kill: everything that was written is searched."""
    provider = Echo()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    key_file, ledger, log = tmp_path / "key", tmp_path / "ledger.db", tmp_path / "log.txt"
    key_file.write_text(KEY)
    file = tmp_path / "sidecar.yaml"
    port = server.sockets[0].getsockname()[1]
    file.write_text(CONFIG.format(port=port, key_file=key_file, ledger=ledger))
    sidecar = Sidecar(spawn(file, log, form), log, http_session)
    try:
        await until(sidecar.is_ready, "the sidecar listens")
        for mood in MOODS:
            provider.mood = mood
            async with asyncio.TaskGroup() as group:
                for path, body in bodies():
                    group.create_task(ask(sidecar, path, body))
            await look(sidecar)
        key_file.write_text(f"{KEY}\nand more\x00")
        file.write_text(f"providers: {{one: {{api_key: {KEY}, kind: {MARKED}-kind}}}}")

        async def is_refused() -> bool:
            return "configuration refused" in log.read_text()

        await until(is_refused, "the configuration is refused")
    finally:
        sidecar.process.terminate()
        await sidecar.ended()
        server.close()
    written = left_in(tmp_path)
    for secret in (KEY, PROMPT, ANSWER, CALLERS_KEY):
        assert secret.encode() not in written, secret
    assert b"attempt" in written  # it was at its most talkative


def spawn(config: Path, log: Path, form: str) -> subprocess.Popen[bytes]:
    """Start a sidecar that says all it can say."""
    command = [sys.executable, "-m", "sidecar.cli.main", "run", "--config", str(config)]
    env = {**os.environ, "MARKED_KEY": KEY}
    with log.open("wb") as sink:
        return subprocess.Popen(
            [*command, "--log-level", "debug", "--log-format", form],
            stderr=sink,
            cwd=ROOT,
            env=env,
        )


def left_in(directory: Path) -> bytes:
    """Return all that the sidecar wrote there."""
    files = [directory / "log.txt", *directory.glob("ledger.db*")]
    return b"".join(one.read_bytes() for one in files)


async def ask(sidecar: Sidecar, path: str, body: bytes) -> None:
    """Ask as a caller with a key of its own; whatever is answered holds no key."""
    headers = {"authorization": f"Bearer {CALLERS_KEY}", "content-type": "application/json"}
    said = ""
    with suppress(aiohttp.ClientPayloadError):  # what is passed on is cut where it was
        async with sidecar.http.post(sidecar.url() + path, data=body, headers=headers) as answer:
            said = str(answer.headers)
            said += await answer.text()
    assert KEY not in said
    assert CALLERS_KEY not in said


async def look(sidecar: Sidecar) -> None:
    """Read every page that operators have: nothing marked is on it."""
    pages = [sidecar.url("admin") + path for path in ADMIN_PATHS]
    pages += [sidecar.url("health") + path for path in HEALTH_PATHS]
    for page in pages:
        async with sidecar.http.get(page) as answer:
            text = await answer.text()
        for secret in (KEY, PROMPT, ANSWER, CALLERS_KEY):
            assert secret not in text, (page, secret)
