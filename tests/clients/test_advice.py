"""`sidecar advise` against a running sidecar and on its ledger file: said, shown, applied."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from sidecar import clock
from sidecar.cli.main import main
from sidecar.config.load import load
from sidecar.domain import EndpointId, RouteName, WireFormat
from sidecar.upstream.simulated_server import SimulatedServer
from tests.clients.conftest import recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import aiohttp

    from sidecar.app import App

CONFIG = """\
# our sidecar
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}", api_key: {{env: ALPHA_KEY}}}}
models:
  gpt-4o: {{provider: alpha, model: alpha-sim, quality: 0.9, price: {{input: 20, output: 80}}, context: 9000}}
  small: {{provider: alpha, model: alpha-sim, quality: 0.6, price: {{input: 1, output: 2}}, context: 9000}}
routes:
  classify:
    tiers: [[gpt-4o], [small]]   # best first
    within: 20s
ledger: {{path: {ledger}}}
"""  # noqa: E501 - as a reader would write it
BIG, SMALL = EndpointId("alpha/gpt-4o"), EndpointId("alpha/small")


@pytest.fixture
async def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A configuration file; its provider runs."""
    monkeypatch.setenv("ALPHA_KEY", "alpha-key")
    alpha = recording("alpha", WireFormat.OPENAI_CHAT)
    async with SimulatedServer(alpha) as server:
        path = tmp_path / "sidecar.yaml"
        path.write_text(CONFIG.format(alpha=server.base_url, ledger=tmp_path / "ledger.db"))
        yield path


async def scored(app: App, http: aiohttp.ClientSession, labels: str) -> None:
    """Call, and say of each answer what ``labels`` say of it: g or b."""
    url = f"http://127.0.0.1:{app.ports['data']}"
    body = {"input": "is it spam?"}
    for label in labels:
        async with http.post(f"{url}/v1/tasks/classify", json=body) as answer:
            name = answer.headers["x-sidecar-call-id"]
        said = {"call_id": name, "label": "good" if label == "g" else "bad"}
        async with http.post(f"{url}/v1/feedback", json=said) as answer:
            assert answer.status == 200


@pytest.fixture
async def app(
    config: Path, start_app: Callable[..., Awaitable[App]], http: aiohttp.ClientSession
) -> App:
    """A sidecar both of whose models were asked and liked; the small one while the other was out.

    Most of the scores are told to the book at once: to give thousands one by one takes its time.
    """
    app = await start_app(text_of(config))
    await scored(app, http, "ggggb")
    app.engine.health.isolate(BIG, 0.0)
    await scored(app, http, "ggggg")
    app.engine.health.restore(BIG, 0.0)
    for endpoint in (BIG, SMALL):
        for _ in range(2):
            app.engine.parts.quality.observe(
                RouteName("classify"), endpoint, 0.9, 2500.0, clock.now()
            )
    await scored(app, http, "g")
    app.engine.health.isolate(BIG, 0.0)
    await scored(app, http, "g")
    return app


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return path.stat().st_mode & 0o777


def text_of(path: Path) -> str:
    """Return what a file says."""
    return path.read_text(encoding="utf-8")


async def advise(*arguments: str) -> int:
    """Run `sidecar advise` as a shell would, beside the sidecar."""
    return await asyncio.to_thread(main, ["advise", *arguments])


def admin(app: App) -> str:
    """Return where the admin plane is."""
    return f"http://127.0.0.1:{app.ports['admin']}"


async def test_the_plane_and_the_command_say_the_same(
    app: App, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON and in words: what each delivered, the change, how sure, and what to doubt."""
    async with http.get(f"{admin(app)}/api/v1/advice?since=24h") as answer:
        shown: Any = await answer.json()
    assert (answer.status, shown["since_s"]) == (200, 86400.0)
    (change,) = shown["changes"]
    assert (change["model"], change["kind"], change["basis"]) == ("small", "cheaper", "observed")
    assert change["tiers"] == [["small"], ["gpt-4o"]]
    assert await advise("--admin", admin(app), "--json", "--since", "24h") == 0
    assert json.loads(capsys.readouterr().out)["changes"] == shown["changes"]
    assert await advise("--admin", admin(app), "--route", "classify") == 0
    said = capsys.readouterr().out
    assert f"  -> {change['text']}\n" in said
    assert "move it first; saves $" in said
    assert "note: Models were chosen for calls, not drawn" in said


async def test_apply_shows_the_change_and_write_makes_it(
    app: App, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A unified diff of one line; then the file, with its comments and its mode."""
    before = text_of(config)
    os.chmod(config, 0o640)  # noqa: PTH101 - a file of ours
    arguments = ("--admin", admin(app), "--config", str(config), "--apply")
    assert await advise(*arguments) == 0
    diff = capsys.readouterr().out
    assert text_of(config) == before
    assert "\n-    tiers: [[gpt-4o], [small]]   # best first\n" in diff
    assert "\n+    tiers: [[small], [gpt-4o]]   # best first\n" in diff
    assert sum(line[:1] in "+-" for line in diff.splitlines()) == 4
    assert await advise(*arguments, "--write") == 0
    assert text_of(config) == before.replace("[[gpt-4o], [small]]", "[[small], [gpt-4o]]")
    assert mode_of(config) == 0o640
    route = load(config, os.environ).catalogue.routes[RouteName("classify")]
    assert route.tiers == ((SMALL,), (BIG,))
    assert [one.name for one in config.parent.iterdir() if "new" in one.name] == []


async def test_a_ledger_file_gives_the_same_advice(
    app: App, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the configuration beside it; without one, the routes and models that were called."""
    await app.ledger.save()
    ledger = ("--ledger", str(tmp_path / "ledger.db"), "--json")
    assert await advise(*ledger, "--config", str(config)) == 0
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert (change["model"], change["tiers"]) == ("small", [["small"], ["gpt-4o"]])
    assert await advise(*ledger) == 0
    (route,) = json.loads(capsys.readouterr().out)["routes"]
    assert {one["model"]: one["answers"] for one in route["models"]} == {"small": 6, "gpt-4o": 6}
    assert all(one["cost_usd"] > 0 for one in route["models"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--admin", "http://127.0.0.1:9"), "no sidecar answers at http://127.0.0.1:9"),
        (("--ledger", "/nowhere/ledger.db"), "there is no such file"),
        (("--ledger", __file__), "it cannot be read"),
    ],
)
async def test_nobody_to_ask_is_said(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong and what to do, in one line, and exit code 1."""
    assert await advise(*arguments) == 1
    assert words in capsys.readouterr().err


async def test_a_route_that_is_not_there(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names those that are."""
    assert await advise("--admin", admin(app), "--route", "spam") == 1
    assert "no route 'spam'; there are classify" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--write",), "--write is for --apply"),
        (("--apply",), "--apply needs --config"),
        (("--apply", "--config", "f", "--json"), "not JSON"),
        (("--since", "soon"), "duration"),
    ],
)
def test_arguments_that_mean_nothing(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before anybody is asked."""
    with pytest.raises(SystemExit) as ended:
        main(["advise", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


async def test_a_file_that_cannot_be_changed_stays(
    app: App, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another file than the sidecar's, one of nothing, one that is not there."""
    arguments = ("--admin", admin(app), "--apply", "--write", "--config")
    other = config.with_name("other.yaml")
    other.write_text("routes: {reason: {tiers: [[a]]}}\n")
    assert await advise(*arguments, str(other)) == 2
    assert "$.routes.classify.tiers: there are no tiers to change" in capsys.readouterr().err
    assert text_of(other) == "routes: {reason: {tiers: [[a]]}}\n"
    assert await advise(*arguments, str(config.with_name("none.yaml"))) == 1
    assert "cannot read" in capsys.readouterr().err


async def test_the_plane_refuses_what_it_does_not_know(
    app: App, http: aiohttp.ClientSession
) -> None:
    """A filter that would be left out silently is an error."""
    for query in ("route=classify", "since=never", "limit=5"):
        async with http.get(f"{admin(app)}/api/v1/advice?{query}") as answer:
            assert answer.status == 400
    async with http.post(f"{admin(app)}/api/v1/advice") as answer:
        assert answer.status == 405
