"""Rules, alerts and dashboard against the real Prometheus and its tool, where they are installed.

``apt-get install prometheus`` brings both; without them these tests are skipped, and what can be
checked without is: every metric that is named exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sidecar.metrics import Counter, Histogram, Kind, prometheus_name
from sidecar.upstream.simulated import Fault, FaultKind
from tests.telemetry.registry import full_registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.telemetry.conftest import World

HERE = Path(__file__).parents[2] / "k8s" / "observability"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
POLLS, POLL_S = 600, 0.1
NAMED = re.compile(r"\b((?:sidecar|gen_ai)_[a-z0-9_]+)\b")
VARIABLES = {"$namespace": ".*", "$__rate_interval": "5m", "$__range": "1h"}
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s, scrape_timeout: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: sidecar
    static_configs: [{{targets: ["{target}"], labels: {{namespace: shop, pod: a}}}}]
"""


def documents() -> dict[str, Any]:
    """Return the rules."""
    rules: dict[str, Any] = yaml.safe_load((HERE / "rules.yaml").read_text(encoding="utf-8"))
    return rules


def rules() -> list[dict[str, Any]]:
    """Return each rule."""
    return [rule for group in documents()["groups"] for rule in group["rules"]]


def panels() -> Iterator[tuple[str, str]]:
    """Yield title and expression of each query of the dashboard, its variables filled in."""
    board = json.loads((HERE / "dashboard.json").read_text(encoding="utf-8"))
    queries = [
        (panel["title"], target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]
    queries += [(one["name"], one["expr"]) for one in board["annotations"]["list"]]
    for title, query in queries:
        expr = query
        for variable, text in VARIABLES.items():
            expr = expr.replace(variable, text)
        yield title, expr


def names() -> set[str]:
    """Return the names of all series that a sidecar has."""
    found: set[str] = set()
    for one in full_registry().instruments.values():
        if isinstance(one, Histogram):
            name = prometheus_name(one.name, one.unit, Kind.HISTOGRAM)
            found |= {f"{name}{part}" for part in ("_bucket", "_sum", "_count")}
        else:
            kind = Kind.COUNTER if isinstance(one, Counter) else one.kind
            found.add(prometheus_name(one.name, one.unit, kind))
    return found


def test_what_is_asked_for_exists() -> None:
    """Rules and dashboard name no metric that is not there."""
    labels = {
        label.replace(".", "_")
        for one in full_registry().instruments.values()
        for label in one.labels
    }
    asked = [rule["expr"] for rule in rules()] + [expr for _, expr in panels()]
    named = {name for expr in asked for name in NAMED.findall(expr)}
    assert named - labels - names() == set()
    assert len(named) > 25


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_the_rules_do_what_they_say() -> None:
    """Promtool finds the rules right, and every alert fires and keeps quiet as its test says."""
    assert PROMTOOL is not None
    tests = sorted(file.name for file in HERE.glob("*_test.yaml"))
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", *tests]):
        ended = subprocess.run(
            [PROMTOOL, *command], cwd=HERE, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    tried = [case for name in tests for case in yaml.safe_load((HERE / name).read_text())["tests"]]
    fired = {
        test["alertname"]
        for case in tried
        for test in case["alert_rule_test"]
        if test["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


class Prometheus:
    """A Prometheus that scrapes one sidecar."""

    def __init__(self, url: str, world: World) -> None:
        self._url = url
        self._world = world

    async def ask(self, expr: str) -> list[Any]:
        """Return the series that ``expr`` gives now."""
        url = f"{self._url}/api/v1/query"
        async with self._world.client.get(url, params={"query": expr}) as answer:
            said = await answer.json()
        assert said["status"] == "success", (expr, said)
        found: list[Any] = said["data"]["result"]
        return found

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Return once ``holds``."""
        for _ in range(POLLS):
            with contextlib.suppress(OSError):
                if await holds():
                    return
            await asyncio.sleep(POLL_S)
        pytest.fail(f"it never came to this: {what}")


@pytest.fixture
async def scraping(tmp_path: Path) -> AsyncIterator[Callable[[World], Prometheus]]:
    """Start a Prometheus beside a world; killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(world: World) -> Prometheus:
        assert PROMETHEUS is not None
        config = tmp_path / "prometheus.yml"
        target = f"127.0.0.1:{world.app.ports['health']}"
        config.write_text(CONFIG.format(rules=HERE / "rules.yaml", target=target))
        port = _free_port()
        options = (
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            "--log.level=error",
        )
        started.append(subprocess.Popen([PROMETHEUS, *options], stderr=subprocess.DEVNULL))
        return Prometheus(f"http://127.0.0.1:{port}", world)

    yield begin
    for process in started:
        process.kill()
        process.wait()


def _free_port() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
async def test_a_real_prometheus_reads_what_happened(
    start: Callable[..., Awaitable[World]], scraping: Callable[[World], Prometheus]
) -> None:
    """It scrapes the sidecar, counts what callers saw, keeps exemplars, and understands every
    query of the dashboard and every rule.
    """
    env = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    world = await start(env)
    prometheus = scraping(world)
    world.alpha.faults = (Fault(kind=FaultKind.STATUS, status=503, share=0.5),)
    for number in range(20):
        status, _ = await world.ask(is_stream=number % 2 == 0)
        assert status == 200

    async def counted() -> bool:
        found = await prometheus.ask("sum(sidecar_calls_total)")
        return bool(found) and float(found[0]["value"][1]) == 20.0

    await prometheus.until(counted, "20 calls counted")

    async def rated() -> bool:
        return bool(await prometheus.ask("sidecar:calls:rate5m"))

    await prometheus.until(rated, "a rate, by a recording rule")
    by_class = await prometheus.ask("sum by (class) (sidecar_attempts_total)")
    counts = {one["metric"]["class"]: float(one["value"][1]) for one in by_class}
    logged = [entry.status for entry in (*world.alpha.log, *world.beta.log) if not entry.is_probe]
    assert counts["OK"] == logged.count(200) == 20
    assert counts["S5"] + counts.get("OVERLOAD", 0) == logged.count(503) > 0
    (first_chunk,) = await prometheus.ask(
        "sum(gen_ai_client_operation_time_to_first_chunk_seconds_count)"
    )
    assert float(first_chunk["value"][1]) == 10.0
    empty = []
    for title, expr in panels():
        if not await prometheus.ask(expr):
            empty.append(title)
    # These have nothing to say in a world without the trouble that they show.
    assert set(empty) <= {"Refused at the door", "Degraded by level", "Hedges", *QUIET}
    url = f"{prometheus._url}/api/v1/query_exemplars"
    asked = {"query": "sidecar_call_duration_seconds_bucket", "start": "0", "end": "9999999999"}
    async with world.client.get(url, params=asked) as answer:
        exemplars = (await answer.json())["data"]
    assert exemplars[0]["exemplars"][0]["labels"]["trace_id"]


QUIET = {
    *("Probes", "Accounts blocked", "Why endpoints were out", "Breakers", "Wasted, and on probes"),
    "Telemetry lost",
}
