"""Feedback over real HTTP: what is taken, what it moves, what is refused, what survives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.domain import WireFormat
from sidecar.ledger.reading import look_into
from sidecar.server import feedback
from sidecar.upstream.simulated_server import SimulatedServer
from tests.clients.conftest import CONFIG, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import aiohttp
    import openai

    from sidecar.app import App
    from tests.clients.conftest import World

HELLO: Any = [{"role": "user", "content": "hello"}]


async def asked(http: aiohttp.ClientSession, url: str, model: str = "alpha-first") -> str:
    """Make a call and return its id."""
    body = {"model": model, "messages": HELLO}
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        return answer.headers["x-sidecar-call-id"]


async def told(http: aiohttp.ClientSession, url: str, **said: object) -> tuple[int, Any]:
    """Give feedback as curl does; return status and body."""
    async with http.post(f"{url}/v1/feedback", data=json.dumps(said)) as answer:
        return answer.status, await answer.json()


def belief(app: App, route: str = "alpha-first") -> dict[str, Any]:
    """Return what the state says of the model that answers."""
    quality: Any = app.state()["quality"]
    (own,) = [one for one in quality["models"] if one["route"] == route]
    return dict(own)


async def test_feedback_moves_the_belief_and_the_last_word_counts(
    world: World, http: aiohttp.ClientSession
) -> None:
    """Right after the answer, in either form; a second word on the same call replaces the first."""
    name = await asked(http, world.url)
    status, body = await told(http, world.url, call_id=name, label="bad", comment="no")
    assert (status, body) == (
        200,
        {
            "call_id": name,
            "route": "alpha-first",
            "model": "alpha/alpha-model",
            "score": 0.0,
            "counted": True,
            "replaced": False,
        },
    )
    assert belief(world.app)["mean"] == pytest.approx(7.2 / 9.0, abs=1e-4)
    _, again = await told(http, world.url, call_id=name, score=1)
    assert again["replaced"]
    assert belief(world.app)["mean"] == pytest.approx(8.2 / 9.0, abs=1e-3)
    assert belief(world.app)["n"] == 1.0


async def test_a_stream_and_an_sdk_have_ids_too(
    world: World, http: aiohttp.ClientSession, for_openai: openai.AsyncOpenAI
) -> None:
    """What an SDK streamed can be scored once it has ended."""
    raw = await for_openai.chat.completions.with_raw_response.create(
        model="alpha-first", messages=HELLO, stream=True
    )
    async for _ in raw.parse():
        pass
    status, body = await told(
        http, world.url, call_id=raw.headers["x-sidecar-call-id"], label="good"
    )
    assert (status, body["counted"]) == (200, True)


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"call_id": "call_0", "score": 1}, 404, "no call 'call_0' is known"),
        ({"call_id": "c", "score": 1.01}, 400, "<= 1"),
        ({"call_id": "c", "score": -0.01}, 400, ">= 0"),
        ({"call_id": "c", "score": True}, 400, "$.score"),
        ({"call_id": "c", "score": "1"}, 400, "$.score"),
        ({"call_id": "c", "label": "fine"}, 400, "$.label"),
        ({"call_id": "c"}, 400, "got none"),
        ({"call_id": "c", "score": 1, "label": "bad"}, 400, "got both"),
        ({"score": 1}, 400, "call_id"),
        ({"call_id": "", "score": 1}, 400, "$.call_id"),
        ({"call_id": "c" * 201, "score": 1}, 400, "$.call_id"),
        ({"call_id": "c", "score": 1, "comment": "x" * 4001}, 400, "$.comment"),
        ({"call_id": "c", "score": 1, "stars": 5}, 400, "stars"),
        ({"call_id": "c", "score": 1, "comment": "x" * 40_000}, 413, "bytes"),
    ],
)
async def test_what_is_no_feedback_is_refused_clearly(
    world: World, http: aiohttp.ClientSession, said: dict[str, object], status: int, words: str
) -> None:
    """The message says what is wrong and where; nothing is counted."""
    answered, body = await told(http, world.url, **said)
    assert answered == status
    assert words in body["error"]["message"]
    assert "x" * 50 not in body["error"]["message"], "a comment may be a prompt"


@pytest.mark.parametrize(
    "body",
    [
        b'{"call_id": "c", "score": NaN}',
        b'{"call_id": "c", "score": Infinity}',
        b'{"call_id": "c", "score": 1e999}',
        b"\xff\xfe",
        b"[" * 20_000,
        b"",
    ],
)
async def test_bytes_that_are_no_feedback(
    world: World, http: aiohttp.ClientSession, body: bytes
) -> None:
    """Numbers that are none, no UTF-8, absurd depth, nothing: 400 each."""
    async with http.post(f"{world.url}/v1/feedback", data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"].startswith("not feedback:")


async def test_other_methods_and_pages_may_not(world: World, http: aiohttp.ClientSession) -> None:
    """It is a POST, and a web page on the same machine cannot give any."""
    async with http.get(f"{world.url}/v1/feedback") as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    foreign = {"origin": "https://example.com"}
    async with http.post(f"{world.url}/v1/feedback", data=b"{}", headers=foreign) as answer:
        assert answer.status == 403


async def test_a_flood_is_bounded(
    world: World, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than is taken a second gets 429 and a time to come back; repeats count once."""
    monkeypatch.setattr(feedback, "PER_S_MAX", 1e-9)
    monkeypatch.setattr(feedback, "BURST_MAX", 5.0)
    name = await asked(http, world.url)
    statuses = [(await told(http, world.url, call_id=name, score=1))[0] for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert belief(world.app)["n"] == 1.0
    async with http.post(f"{world.url}/v1/feedback", data=b'{"call_id": "c", "score": 1}') as late:
        assert late.headers["retry-after"] == "1"


async def test_feedback_on_what_no_model_answered(
    world: World, http: aiohttp.ClientSession
) -> None:
    """A static answer is nobody's: the word is heard, and says so."""
    world.app.engine.health.isolate(next(iter(world.app.engine.catalogue.endpoints)), 0.0)
    for endpoint in world.app.engine.catalogue.endpoints:
        world.app.engine.health.isolate(endpoint, 0.0)
    name = await asked(http, world.url, "modest")
    _, body = await told(http, world.url, call_id=name, score=0)
    assert (body["model"], body["counted"]) == (None, False)


async def test_the_metrics_tell(world: World, http: aiohttp.ClientSession) -> None:
    """Belief, evidence and what became of scores are on the health plane."""
    name = await asked(http, world.url)
    await told(http, world.url, call_id=name, score=0.5)
    await told(http, world.url, call_id="call_0", score=0.5)
    url = f"http://127.0.0.1:{world.app.ports['health']}/metrics"
    async with http.get(url) as answer:
        lines = (await answer.text()).splitlines()
    labels = 'route="alpha-first",endpoint="alpha/alpha-model"'
    assert f"sidecar_quality{{{labels}}} 0.8556" in lines
    assert f"sidecar_quality_evidence{{{labels}}} 1" in lines
    assert 'sidecar_scores_total{result="unknown"} 1' in lines


@pytest.mark.parametrize("keeps", [False, True])
async def test_what_survives_a_restart(
    start_app: Callable[..., Awaitable[App]],
    http: aiohttp.ClientSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keeps: bool,
) -> None:
    """With a file the belief, the ids and the last word do; comments only where they are wanted."""
    monkeypatch.setenv("ALPHA_KEY", "alpha-key")
    monkeypatch.setenv("BETA_KEY", "beta-key")
    path = tmp_path / "ledger.db"
    more = f"ledger: {{path: {path}, keep_comments: {str(keeps).lower()}}}\n"
    alpha = recording("alpha", WireFormat.OPENAI_CHAT)
    async with SimulatedServer(alpha) as a:
        text = CONFIG.format(alpha=a.base_url, beta="http://127.0.0.1:9") + more
        app = await start_app(text)
        url = f"http://127.0.0.1:{app.ports['data']}"
        names = [await asked(http, url) for _ in range(3)]
        for name in names[:2]:
            await told(http, url, call_id=name, label="bad", comment="private words")
        before = belief(app)
        await app.stop()

        app = await start_app(text)
        url = f"http://127.0.0.1:{app.ports['data']}"
        # The file is read beside the first calls; a question about a call waits for it.
        status, _ = await told(http, url, call_id=names[2], score=0)
        assert status == 200, "an id of the process before is known"
        assert belief(app)["n"] == pytest.approx(before["n"] + 1.0, abs=0.01)
        _, body = await told(http, url, call_id=names[0], score=1)
        assert body["replaced"], "the word of the process before is replaced"
        assert belief(app)["n"] == pytest.approx(3.0, abs=0.01)
        await app.stop()
    rows = look_into(
        path, lambda found, _: found.execute("SELECT comment FROM scores ORDER BY 1").fetchall()
    )
    assert rows == ([(None,), (None,), ("private words",)] if keeps else [(None,)] * 3)
    assert (b"private words" in path.read_bytes()) is keeps
