"""`sidecar simulate` from end to end: the same each time, and the method against the whole."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import simulate_arguments
from sidecar.cli.main import main
from sidecar.config.load import load
from sidecar.config.surroundings import EverySecret
from sidecar.errors import ConfigError
from sidecar.simulate.whatif.fleet import check_flows, fleet_of, speed_of, usual_flows
from sidecar.simulate.whatif.inputs import Flow, Incident, Latency
from sidecar.simulate.whatif.play import play
from sidecar.simulate.whatif.report import ASSUMPTIONS, percent
from sidecar.simulate.whatif.run import Question, designs_of, period_of
from sidecar.simulate.whatif.tally import Figures, figures_of
from sidecar.simulate.whatif.timeline import SECONDS_MAX, Sampling, lay_out
from sidecar.upstream.simulated_faults import FaultKind

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "sidecar" / "simulate" / "whatif" / "examples"
CONFIG = ROOT / "config" / "sidecar.yaml"
START_S = 1_767_571_200.0  # 2026-01-05T00:00:00Z
INPUTS = [
    *("--incidents", str(EXAMPLES / "incidents.csv")),
    *("--latencies", str(EXAMPLES / "latencies.csv")),
    *("--workload", str(EXAMPLES / "workload.csv")),
]
SMALL = ["--from", "2026-01-05T08:30:00Z", "--to", "2026-01-05T10:30:00Z", "--seconds", "900"]
ONE_MODEL = """
providers: {acme: {kind: openai, base_url: "http://127.0.0.1:1", api_key: {file: /nowhere}}}
models: {m: {provider: acme, model: m, price: {input: 1, output: 2}}}
routes: {reason: {tiers: [[m]]}, summarize: {tiers: [[m]]}, classify: {tiers: [[m]]}}
"""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return a configuration of one provider, whose key is not on this machine."""
    path = tmp_path / "<other>.yaml"
    path.write_text(ONE_MODEL, encoding="utf-8")
    return path


def asked(*options: str) -> list[str]:
    """Return a command line with the shipped example."""
    return ["simulate", "--config", str(CONFIG), *INPUTS, *SMALL, *options]


def test_from_files_to_table_json_and_page(
    tmp_path: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two configurations and three programs with one provider each, in three forms that agree."""
    made = {name: tmp_path / f"a.{name}" for name in ("json", "html")}
    options = [text for name, path in made.items() for text in (f"--{name}", str(path))]
    assert main(asked("--compare", str(other), *options)) == 0
    out, err = capsys.readouterr()
    names = [
        *(f"with {CONFIG}", f"with {other}"),
        *("only anthropic", "only openai", "only acme"),
    ]
    assert err.splitlines() == [f"playing: {name}" for name in names]
    found = json.loads(made["json"].read_text("utf-8"))
    designs = {one["name"]: one for one in found["designs"]}
    assert list(designs) == names
    _check_designs(designs, names)
    for name, one in designs.items():
        line = next(line for line in out.splitlines() if line.startswith(f"{name}  "))
        assert percent(one["availability"], 4) in line
    assert all(note in out for note in (*ASSUMPTIONS, *found["notes"]))
    page = made["html"].read_text("utf-8")
    _check_page(page)
    assert "&lt;other&gt;.yaml" in page


def _check_designs(designs: dict[str, Any], names: list[str]) -> None:
    ours, _, anthropic, openai, acme = (designs[name] for name in names)
    assert ours["availability"] > 0.999
    # The only incident of these hours is Anthropic's, 72 minutes of 120.
    assert anthropic["availability"] == pytest.approx(48 / 120, abs=0.05)
    assert openai["availability"] == acme["availability"] == 1.0
    for one in designs.values():
        assert one["calls"] == pytest.approx(0.7 * 7200, rel=0.1)
        assert sum(route["calls"] for route in one["routes"].values()) == pytest.approx(
            one["calls"], abs=1
        )
        assert sum(hour["calls"] for hour in one["hours"]) == pytest.approx(one["calls"], abs=1)
        assert one["unplayed_calls"] == 0
        latency = one["latency_s"]
        assert latency["p50"] <= latency["p95"] <= latency["p99"]
        assert one["cost_usd"] > 0


class _Page(HTMLParser):
    """Looks at a page: which elements, which attributes that lead elsewhere, and whether it ends
    as it began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.seen.add(tag)
        self.links += [text for name, text in attrs if name in {"src", "href"}]
        if tag not in {"meta", "link", "img", "rect", "line", "circle"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Demand that the innermost ends."""
        if tag not in {"rect", "line", "circle"}:
            assert self.open.pop() == tag
        elif self.open[-1] == tag:
            self.open.pop()


def _check_page(text: str) -> None:
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.links == []
    assert page.seen >= {"svg", "table", "style"}
    assert not page.seen & {"script", "link", "img", "iframe"}
    assert "://" not in text
    assert "prefers-color-scheme: dark" in text


def test_equal_seeds_equal_bytes(tmp_path: Path) -> None:
    """The same in two processes that hash differently, and another seed is another answer."""
    texts = []
    for number, (hashing, seed) in enumerate((("1", "7"), ("2", "7"), ("1", "8"))):
        path = tmp_path / f"{number}.json"
        small = ["--from", "2026-01-05T08:50:00Z", "--to", "2026-01-05T09:10:00Z"]
        subprocess.run(
            [
                *(sys.executable, "-m", "sidecar", "simulate", "--config", str(CONFIG)),
                *(*INPUTS, *small, "--seed", seed, "--json", str(path)),
            ],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
        )
        texts.append(path.read_text("utf-8"))
    assert texts[0] == texts[1]
    assert texts[0].replace('"seed": 7', '"seed": 8') != texts[2]


INCIDENTS = (
    Incident(
        start_s=START_S + 900.0,
        end_s=START_S + 3600.0,
        provider="anthropic",
        kind=FaultKind.STATUS,
        share=1.0,
    ),
    Incident(
        start_s=START_S + 2400.0,
        end_s=START_S + 5400.0,
        provider="openai",
        kind=FaultKind.STATUS,
        share=0.5,
    ),
)


def played(sampling: Sampling, *, is_engine: bool) -> Figures:
    """Return the figures of two hours with two incidents that overlap for twenty minutes."""
    fleet = fleet_of(load(CONFIG, EverySecret()), ())
    flows = (
        Flow(hours=(0, 167), route="reason", calls_per_s=0.7, prompt_tokens=50, output_tokens=60),
    )
    designs = designs_of([fleet])
    (design,) = [one for one in designs if one.name == f"with {CONFIG}"]
    if not is_engine:
        (design,) = [one for one in designs if one.name == "only openai"]
    timeline = lay_out(INCIDENTS, (START_S, START_S + 7200.0), sampling, 1)
    return figures_of(play(design, timeline, flows, 1), timeline, flows)


@pytest.mark.parametrize("is_engine", [True, False])
def test_the_method_agrees_with_the_whole(is_engine: bool) -> None:
    """A third of the time played gives what all of it gives, within what is stated."""
    part = played(Sampling(head_s=180.0, slice_s=60.0, seconds_max=2400.0), is_engine=is_engine)
    whole = played(Sampling(seconds_max=math.inf), is_engine=is_engine)
    assert part.played_calls < 0.45 * whole.played_calls
    assert whole.margin == 0.0
    assert part.total.calls == pytest.approx(whole.total.calls, rel=0.03)
    gap = abs(part.total.availability - whole.total.availability)
    assert gap <= max(2.0 * part.margin, 0.002)
    for share, error in ((0.5, 0.12), (0.95, 0.3)):
        expected = whole.total.latency_s(share)
        assert expected is not None
        assert part.total.latency_s(share) == pytest.approx(expected, rel=error)
    assert part.total.usd == pytest.approx(whole.total.usd, rel=0.05)
    assert part.total.degraded_share == pytest.approx(whole.total.degraded_share, abs=0.03)


def test_a_program_with_one_provider_fares_as_arithmetic_says() -> None:
    """Half of the requests fail for 50 of 120 minutes; of three tries all fail in an eighth."""
    found = played(Sampling(seconds_max=math.inf), is_engine=False)
    assert 1.0 - found.total.availability == pytest.approx(0.125 * 50 / 120, rel=0.25)


def test_an_incident_hits_whom_it_names(other: Path) -> None:
    """A provider by its name before its kind; a model by its name here or there."""
    fleet = fleet_of(load(CONFIG, EverySecret()), ())
    second = fleet_of(load(other, EverySecret()), ())
    one = INCIDENTS[1]
    assert fleet.concerned(one) == ("openai",)
    assert second.concerned(one) == ("acme",)  # of the kind openai
    assert second.concerned(INCIDENTS[0]) == ()


def test_speeds_are_looked_up_from_near_to_far() -> None:
    """The model's own row, the provider's, everybody's, the usual."""
    config = load(CONFIG, EverySecret())
    sonnet = next(one for one in config.catalogue.endpoints.values() if one.model == "sonnet")

    def row(provider: str, model: str) -> Latency:
        return Latency(
            provider=provider,
            model=model,
            ttft_p50_s=1.0,
            ttft_p95_s=2.0,
            ttft_p99_s=3.0,
            tokens_per_s=10.0,
        )

    names = (("*", "*"), ("*", "sonnet"), ("anthropic", "*"), ("anthropic", "sonnet"))
    rows = [row(*name) for name in names]
    for count in range(1, 5):
        assert speed_of(config, sonnet, rows[:count]) is rows[count - 1]
    assert speed_of(config, sonnet, [row("openai", "sonnet")]).provider == "*"


def test_a_route_that_is_unknown_is_told() -> None:
    """With the configuration that does not have it."""
    fleet = fleet_of(load(CONFIG, EverySecret()), ())
    check_flows(fleet, usual_flows(fleet))
    flow = Flow(hours=(0, 1), route="dance", calls_per_s=1.0, prompt_tokens=1, output_tokens=1)
    with pytest.raises(ConfigError, match=r"'dance'.*the workload calls it"):
        check_flows(fleet, (flow,))


def test_the_period_is_as_asked() -> None:
    """Thirty days from the first incident's day, or what the options say."""
    day = 86_400.0

    def of(**options: float) -> tuple[float, float]:
        return period_of(Question(configs=(), **options), INCIDENTS)  # type: ignore[arg-type]

    assert of() == (START_S, START_S + 30 * day)
    assert of(days=2.0, end_s=START_S) == (START_S - 2 * day, START_S)
    assert of(start_s=0.0, end_s=day) == (0.0, day)
    with pytest.raises(ConfigError, match="the period is -1 days long"):
        of(start_s=day, end_s=0.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--config", str(CONFIG), "--from", "soon"], "--from: expected a day as 2024-01-31"),
        (["--config", str(CONFIG), "--seconds", "0"], "--seconds: expected a number above 0"),
        (["--config", str(CONFIG), "--incidents", "none.csv"], "none.csv: cannot be read"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
        ([], "--config FILE is missing"),
    ],
)
def test_what_cannot_be_played_is_told(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and why."""
    assert main(["simulate", *options]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_shares_are_never_rounded_up_to_a_hundred() -> None:
    """One failed call of ten million is seen."""
    assert percent(1.0, 4) == "100.0000 %"
    assert percent(1.0 - 1e-7, 4) == "99.9999 %"
    assert percent(0.123456, 2) == "12.34 %"


def test_defaults_are_said_once() -> None:
    """The command line's and the method's."""
    assert simulate_arguments.SECONDS == SECONDS_MAX


def test_serving_does_not_import_it() -> None:
    """`sidecar run` and the command line's help cost nothing for this."""
    code = (
        "import sys, sidecar.cli.main as m, sidecar.cli.run, sidecar.app; m._parser();"
        "print([n for n in sys.modules if n.startswith('sidecar.simulate')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
