"""Faults on real sockets between real processes: refused, blackholed, hung, cut, sliced, stale."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.upstream.simulated_answer import words

if TYPE_CHECKING:
    from tests.processes.conftest import Answer, Provider, Sidecar

CALLS_MAX = 60
BEATEN = "beta/beta-sim:OK"
TEXT = {name: "".join(words(name, 12)) for name in ("alpha", "beta")}


def said(answer: Answer) -> str:
    """Return the text of a whole answer."""
    text: str = json.loads(answer.text)["choices"][0]["message"]["content"]
    return text


def events(answer: Answer) -> list[dict[str, Any]]:
    """Return the JSON events of a stream in OpenAI's format, comments and ``[DONE]`` left out.

    Event by event as the standard reads them: lines of any ending, data lines joined.
    """
    found = []
    for block in answer.text.replace("\r\n", "\n").split("\n\n"):
        lines = [
            line.partition(":")[2].strip() for line in block.split("\n") if line[:5] == "data:"
        ]
        if lines and lines != ["[DONE]"]:
            found.append(json.loads("\n".join(lines)))
    return found


def streamed(answer: Answer) -> str:
    """Return the text of a stream."""
    choices = [choice for event in events(answer) for choice in event.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def call_until_shut(sidecar: Sidecar, cls: str) -> list[Answer]:
    """Call until the first provider is no longer asked; every call is answered by the second."""
    answers = []
    for _ in range(CALLS_MAX):
        answer = await sidecar.chat()
        assert answer.status == 200, answer.text
        assert said(answer) == TEXT["beta"]
        answers.append(answer)
        if answer.attempts == [BEATEN]:
            return answers
        assert answer.attempts == [f"alpha/alpha-sim:{cls}", BEATEN]
    pytest.fail("the breaker never opened")


async def test_refused(sidecar: Sidecar, alpha: Provider) -> None:
    """Row 1: a refused connection fails over at once, until the host is no longer tried."""
    assert said(await sidecar.chat()) == TEXT["alpha"]
    alpha.break_by({"kind": "refuse"})
    await call_until_shut(sidecar, "CONNECT")


async def test_blackhole(sidecar: Sidecar, alpha: Provider) -> None:
    """Row 2: a connect that never completes costs its limit, and after a while nobody pays it."""
    alpha.break_by({"kind": "blackhole"})
    first = await asyncio.gather(*(sidecar.chat() for _ in range(8)))  # noqa: TID251 - callers
    assert [said(answer) for answer in first] == [TEXT["beta"]] * 8
    await call_until_shut(sidecar, "CONNECT")
    loop = asyncio.get_running_loop()
    before_at = loop.time()
    answers = await asyncio.gather(*(sidecar.chat() for _ in range(8)))  # noqa: TID251 - callers
    assert [answer.attempts for answer in answers] == [[BEATEN]] * 8
    assert loop.time() - before_at < 0.4 * 4  # one connect limit, slack for a busy machine


async def test_status_500(sidecar: Sidecar, alpha: Provider) -> None:
    """Row 5: answers of 500 open the breaker; then the provider is left alone but for trials."""
    alpha.break_by({"kind": "status", "status": 500})
    answers = await call_until_shut(sidecar, "S5")
    assert len(alpha.completions()) == len(answers) - 1
    endpoint = (await sidecar.state())["endpoints"]["alpha/alpha-sim"]
    assert endpoint["breaker"] != "closed"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_hang(sidecar: Sidecar, alpha: Provider, is_stream: bool) -> None:
    """Row 13: a provider that accepts and says nothing is left within its limit, and cut off.

    A plain answer is waited for longer, by the time that its tokens may take.
    """
    alpha.break_by({"kind": "hang"})
    answer = await sidecar.chat(stream=is_stream, max_tokens=20)
    assert answer.attempts[0] == "alpha/alpha-sim:HANG"
    assert (streamed(answer) if is_stream else said(answer)) == TEXT["beta"]
    (entry,) = alpha.completions()
    assert entry["ended"] == "cancelled"
    assert entry["ended_at_s"] - entry["at_s"] < (0.6 if is_stream else 1.8) * 4


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset_after", "after_tokens": 10},
        {"kind": "eof_after", "after_tokens": 10, "is_framed": True},
        {"kind": "eof_after", "after_tokens": 10, "is_framed": False},
    ],
    ids=["reset", "eof", "eof-inside-a-chunk"],
)
@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_cut_stream(
    shared: Sidecar, alpha: Provider, beta: Provider, fault: dict[str, object], name: str
) -> None:
    """Rows 19 and 20: a stream cut after ten words delivers them, then an error, no end marker."""
    for provider in (alpha, beta):
        provider.break_by(fault)
    answer = await shared.chat(f"{name}-sim", stream=True)
    assert streamed(answer) == "".join(words(name, 10))
    assert "[DONE]" not in answer.text
    last = events(answer)[-1]
    assert last["error"]["code"] == "upstream_interrupted"
    cls = "RESET_MID" if fault["kind"] == "reset_after" or not fault["is_framed"] else "TRUNC"
    assert f"{name}/{name}-sim:{cls}" in answer.text.split(": sidecar ")[1]


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_sliced_stream(shared: Sidecar, alpha: Provider, beta: Provider, name: str) -> None:
    """Row 23: single bytes, CRLF, data over two lines, cuts inside letters: the same words."""
    for provider in (alpha, beta):
        provider.break_by({"kind": "slice"})
    answer = await shared.chat(f"{name}-sim", stream=True)
    assert streamed(answer) == TEXT[name]
    assert "[DONE]" in answer.text
    assert f"{name}/{name}-sim:OK" in answer.text.split(": sidecar ")[1]


async def test_stale_connections(sidecar: Sidecar, alpha: Provider) -> None:
    """Row 26: a storm of dead kept-alive connections is survived in silence; nobody is blamed."""
    warm = await asyncio.gather(*(sidecar.chat() for _ in range(6)))  # noqa: TID251 - callers
    assert [said(answer) for answer in warm] == [TEXT["alpha"]] * 6
    alpha.break_by({"kind": "stale"})
    answers = await asyncio.gather(*(sidecar.chat() for _ in range(6)))  # noqa: TID251 - callers
    assert [said(answer) for answer in answers] == [TEXT["alpha"]] * 6
    assert any("alpha/alpha-sim:STALE_CONN" in answer.attempts for answer in answers)
    endpoint = (await sidecar.state())["endpoints"]["alpha/alpha-sim"]
    assert endpoint["breaker"] == "closed"
