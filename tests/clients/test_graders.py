"""Graders over real HTTP: who is graded, what counts, what it may cost, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from sidecar.app import App
from sidecar.domain import WireFormat
from sidecar.quality import grading
from sidecar.upstream.simulated_server import SimulatedServer
from tests.clients.conftest import recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import aiohttp


CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}", api_key: {{env: ALPHA_KEY}}}}
  bench: {{kind: openai, base_url: "{bench}", api_key: {{env: ALPHA_KEY}}}}
models:
  small: {{provider: alpha, model: alpha-sim, quality: 0.5, price: {{input: 1, output: 2}}, context: 90000}}
  judge: {{provider: bench, model: judge-1, price: {{input: 1000, output: 1000}}, context: 90000}}
routes:
  graded:
    tiers: [[small]]
    grader: {{model: judge, rubric: "Is it short?", share: {share}, usd_per_day: {usd}}}
  plain: {{tiers: [[small]]}}
ledger: {{path: {ledger}}}
defaults: {{probes: {{suspect_first: 20s}}}}
"""  # noqa: E501 - as a reader would write it
POLLS = 100_000
PRIVATE = "a question nobody else may read"


@dataclass
class Bench:
    """A provider whose one model says what it is told to say."""

    url: str = ""
    says: str = '{"score": 8}'
    status: int = 200
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one chat request."""
        self.asked.append(await request.text())
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        said = {"role": "assistant", "content": self.says}
        return web.json_response(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "judge-1",
                "choices": [{"index": 0, "finish_reason": "stop", "message": said}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105},
            }
        )


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """The grader's provider, running."""
    monkeypatch.setattr(grading, "STARTS_PER_S_MAX", 1e6)
    monkeypatch.setenv("ALPHA_KEY", "alpha-key")
    made = Bench()
    server = web.Application()
    server.router.add_post("/v1/chat/completions", made.answer)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/v1"
    yield made
    await runner.cleanup()


@dataclass
class Graded:
    """A sidecar, some of whose answers are graded."""

    app: App
    http: aiohttp.ClientSession

    async def ask(self, route: str = "graded", **more: object) -> None:
        """Make one call, whole or streamed, to its end."""
        url = f"http://127.0.0.1:{self.app.ports['data']}/v1/chat/completions"
        messages = [{"role": "user", "content": PRIVATE}]
        body = {"model": route, "messages": messages, **more}
        async with self.http.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()

    async def ended(self, **results: int) -> None:
        """Wait until samples have come to ``results``; fail if they never do."""
        wanted = {("graded", name): count for name, count in results.items()}
        for _ in range(POLLS):
            if self.graders.ended == wanted:
                return
            await asyncio.sleep(0)
        pytest.fail(f"{dict(self.graders.ended)} and never {results}")

    @property
    def graders(self) -> grading.Graders:
        """Who grades."""
        assert self.app.desk.graders is not None
        return self.app.desk.graders

    def belief(self) -> dict[str, Any]:
        """Return what is believed of the model."""
        models: Any = self.app.state()["quality"]
        return next(one for one in models["models"] if one["route"] == "graded")


@pytest.fixture
async def start(
    bench: Bench,
    start_app: Callable[..., Awaitable[App]],
    http: aiohttp.ClientSession,
    tmp_path: Path,
) -> AsyncIterator[Callable[..., Awaitable[Graded]]]:
    """Start a sidecar with a grader."""
    alpha = recording("alpha", WireFormat.OPENAI_CHAT)
    async with SimulatedServer(alpha) as server:

        async def start(share: float = 1.0, usd: float = 100.0) -> Graded:
            ledger = tmp_path / "ledger.db"
            text = CONFIG.format(
                alpha=server.base_url, bench=bench.url, share=share, usd=usd, ledger=ledger
            )
            return Graded(await start_app(text), http)

        yield start


async def test_answers_and_streams_are_graded(
    start: Callable[..., Awaitable[Graded]], bench: Bench, tmp_path: Path
) -> None:
    """Whole or streamed, both are read and graded; the cost stands apart; no word is kept."""
    world = await start()
    await world.ask()
    await world.ask(stream=True)
    await world.ask("plain")
    await world.ended(graded=2)
    assert world.belief()["n"] == pytest.approx(1.0, abs=1e-3), "a grade weighs a half"
    assert world.belief()["mean"] == pytest.approx((4.0 + 0.8) / 9.0, abs=1e-3)
    assert len(bench.asked) == 2
    for asked in bench.asked:
        system, user = (one["content"] for one in json.loads(asked)["messages"])
        assert "Is it short?" in system
        assert PRIVATE in user
        assert "alpha:0" in user
    totals = world.app.ledger.totals["(grader graded)", "bench/judge"]
    assert totals.calls == 2
    assert totals.cost_usd == pytest.approx(0.21)
    shown: Any = world.app.state()["graders"]
    assert shown["routes"]["graded"] == {"spent_usd_today": pytest.approx(0.21), "graded": 2}
    async with world.http.get(f"http://127.0.0.1:{world.app.ports['health']}/metrics") as answer:
        text = await answer.text()
    assert 'sidecar_grades_total{route="graded",result="graded"} 2' in text
    await world.app.stop()
    assert PRIVATE.encode() not in kept_in(tmp_path)


def kept_in(folder: Path) -> bytes:
    """Return all bytes of all files in a folder."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize(
    ("says", "status", "result"),
    [("nine of ten", 200, "bad"), ('{"score": 99}', 200, "bad"), ("", 500, "failed")],
)
async def test_what_is_no_grade_is_dropped_and_counted(
    start: Callable[..., Awaitable[Graded]], bench: Bench, says: str, status: int, result: str
) -> None:
    """A grader that talks, exaggerates or fails moves nothing."""
    bench.says, bench.status = says, status
    world = await start()
    await world.ask()
    await world.ended(**{result: 1})
    assert world.belief()["n"] == 0.0


async def test_the_day_has_a_budget_that_a_restart_does_not_renew(
    start: Callable[..., Awaitable[Graded]], bench: Bench
) -> None:
    """What would go beyond the day's dollars is left out, and counted."""
    world = await start(usd=0.35)
    await world.ask()
    await world.ended(graded=1)
    for _ in range(3):
        await world.ask()
    for _ in range(POLLS):
        await asyncio.sleep(0)
        if world.graders.ended.total() == 4:
            break
    assert world.graders.ended["graded", "budget"] >= 1
    spent_usd = world.app.ledger.totals["(grader graded)", "bench/judge"].cost_usd
    assert spent_usd <= 0.35
    asked = len(bench.asked)
    await world.app.stop()
    again = await start(usd=spent_usd + 0.01)
    await again.app.ledger.save()
    await again.ask()
    await again.ended(budget=1)
    assert len(bench.asked) == asked


async def test_a_reload_brings_a_grader(
    start: Callable[..., Awaitable[Graded]], bench: Bench
) -> None:
    """Who has none has nothing of it; one that is configured later grades from then on."""
    world = await start()
    with_grader = world.app.config
    routes = {
        name: replace(route, grader=None) for name, route in with_grader.catalogue.routes.items()
    }
    without = replace(with_grader, catalogue=replace(with_grader.catalogue, routes=routes))
    app = App(without)
    assert app.desk.graders is None
    assert app.engine.parts.sampler is None
    await app.start()
    try:
        plain = Graded(app, world.http)
        await plain.ask()
        app.reload(with_grader)
        await plain.ask()
        await plain.ended(graded=1)
    finally:
        await app.stop()
    assert len(bench.asked) == 1


async def test_none_is_drawn_at_a_share_of_nothing(
    start: Callable[..., Awaitable[Graded]], bench: Bench
) -> None:
    """Share 0 switches it off."""
    world = await start(share=0.0)
    for _ in range(5):
        await world.ask()
    await world.ended()
    assert bench.asked == []


async def test_what_waits_is_bounded(
    start: Callable[..., Awaitable[Graded]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More samples than may wait are let go, and long ones are not kept at all."""
    monkeypatch.setattr(grading, "WAITING_MAX", 0)
    world = await start()
    await world.ask()
    await world.ended(full=1)
    monkeypatch.setattr(grading, "REQUEST_BYTES_MAX", 10)
    await world.ask()
    await world.ended(full=1, unread=1)


async def test_feedback_outweighs_the_grade(
    start: Callable[..., Awaitable[Graded]], bench: Bench
) -> None:
    """Who had the answer says it was bad: then it was."""
    world = await start()
    await world.ask()
    await world.ended(graded=1)
    (call,) = [
        one for one in await world.app.ledger.calls(grading_query()) if one.route == "graded"
    ]
    url = f"http://127.0.0.1:{world.app.ports['data']}/v1/feedback"
    async with world.http.post(url, json={"call_id": call.call_id, "score": 0}) as answer:
        assert (await answer.json())["replaced"]
    assert world.belief()["mean"] == pytest.approx(4.0 / 9.0, abs=1e-3)


def grading_query() -> Any:
    """Return a question for all calls."""
    from sidecar.ledger.records import CallQuery  # noqa: PLC0415 - of this one test

    return CallQuery()
