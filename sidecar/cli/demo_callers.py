"""The demo's callers: a steady load on the sidecar, and a control client tied to alpha alone.

Every tick makes one call through the sidecar and the same call straight to alpha, so that both meet
the same moments of the play. The control client behaves like an official SDK: three attempts,
waiting 0.5 s and 1 s. What counts as answered is read off the bytes: a whole answer with a finish
reason, or a stream with its terminal marker; a degraded answer is an answer, marked.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.cli.demo_post import post
from sidecar.value import value

if TYPE_CHECKING:
    import random

CALLS_PER_S = 12.0
CALL_S_MAX = 20.0
"""As long as the demo's longest route allows."""
CONTROL_WAITS_S = (0.5, 1.0)
RECENT_S = 5.0
ROUTES = ("reason", "reason", "summarize", "summarize", "classify")
QUESTION = "In one sentence, why do things fail?"


@dataclass(slots=True)
class Tally:
    """Counts of calls that are over. ``recent`` are (time, answered) of the last seconds."""

    calls: int = 0
    answered: int = 0
    degraded: int = 0
    errors: int = 0
    recent: deque[tuple[float, bool]] = field(default_factory=deque)

    def note(self, verdict: Verdict, now: float) -> None:
        """Count one call."""
        self.calls += 1
        self.answered += verdict.is_answered
        self.errors += not verdict.is_answered
        self.degraded += verdict.is_degraded
        self.recent.append((now, verdict.is_answered))

    def rate(self) -> float | None:
        """Return the share answered, 0..1, None before the first call."""
        return self.answered / self.calls if self.calls else None

    def recent_rate(self, now: float) -> float | None:
        """Return the share answered in the last seconds."""
        while self.recent and self.recent[0][0] < now - RECENT_S:
            self.recent.popleft()
        return sum(ok for _, ok in self.recent) / len(self.recent) if self.recent else None


@value
class Verdict:
    """What one caller got. ``endpoint`` is who answered, as the sidecar disclosed."""

    is_answered: bool
    is_degraded: bool = False
    endpoint: str | None = None
    reason: str = ""


@value
class Question:
    """One request: where to and what."""

    url: str
    body: dict[str, object]
    is_anthropic: bool

    @property
    def is_stream(self) -> bool:
        """Return whether a stream is asked for."""
        return bool(self.body["stream"])


class Callers:
    """Makes the calls. ``sidecar`` and ``control`` are the tallies of both sides."""

    def __init__(self, *, sidecar_url: str, control_url: str, rng: random.Random) -> None:
        self.sidecar = Tally()
        self.control = Tally()
        self.answers_by_endpoint: dict[str, int] = {}
        self.failures: dict[str, int] = {}
        self._sidecar_url = sidecar_url
        self._control_url = control_url
        self._rng = rng

    async def run(self, duration_s: float) -> None:
        """Call for ``duration_s``, then wait for the calls under way."""
        until = clock.now() + duration_s
        async with asyncio.TaskGroup() as group:
            while clock.now() < until:
                group.create_task(self._through_sidecar())
                group.create_task(self._straight())
                await asyncio.sleep(self._rng.expovariate(CALLS_PER_S))

    async def _through_sidecar(self) -> None:
        is_anthropic = self._rng.random() < 0.4  # noqa: PLR2004 - a mixed crowd
        path = "/v1/messages" if is_anthropic else "/v1/chat/completions"
        question = Question(
            url=self._sidecar_url + path,
            body=_body(self._rng.choice(ROUTES), is_stream=self._rng.random() < 0.5),  # noqa: PLR2004
            is_anthropic=is_anthropic,
        )
        verdict = await ask(question)
        self.sidecar.note(verdict, clock.now())
        if verdict.endpoint is not None and verdict.is_answered:
            counts = self.answers_by_endpoint
            counts[verdict.endpoint] = counts.get(verdict.endpoint, 0) + 1
        if not verdict.is_answered:
            self.failures[verdict.reason] = self.failures.get(verdict.reason, 0) + 1

    async def _straight(self) -> None:
        body = _body("alpha-large", is_stream=self._rng.random() < 0.5)  # noqa: PLR2004
        question = Question(
            url=self._control_url + "/chat/completions", body=body, is_anthropic=False
        )
        verdict = await ask(question)
        for wait_s in CONTROL_WAITS_S:
            if verdict.is_answered:
                break
            await asyncio.sleep(wait_s)
            verdict = await ask(question)
        self.control.note(verdict, clock.now())


async def ask(question: Question) -> Verdict:
    """Ask one question and judge the answer; never raises for a failed call."""
    try:
        async with asyncio.timeout(CALL_S_MAX + 1.0):
            reply = await post(question.url, json.dumps(question.body).encode())
    except OSError as error:
        return Verdict(is_answered=False, reason=type(error).__name__)
    code = reply.headers.get("x-sidecar-error") or str(reply.status)
    is_whole = reply.status == 200 and _is_whole(question, reply.body)  # noqa: PLR2004 - HTTP
    return Verdict(
        is_answered=is_whole,
        is_degraded=is_whole and "x-sidecar-degraded" in reply.headers,
        endpoint=reply.headers.get("x-sidecar-model"),
        reason="" if is_whole else code if reply.status != 200 else "cut short",  # noqa: PLR2004
    )


def _is_whole(question: Question, body: bytes) -> bool:
    if question.is_stream:
        marker = b"event: message_stop" if question.is_anthropic else b"data: [DONE]"
        return marker in body and b'"error":' not in body
    answer = json.loads(body)
    if question.is_anthropic:
        return answer.get("stop_reason") is not None
    return answer["choices"][0].get("finish_reason") is not None


def _body(model: str, *, is_stream: bool) -> dict[str, object]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 200,
        "stream": is_stream,
    }
