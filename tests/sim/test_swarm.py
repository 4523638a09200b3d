"""A few random worlds in every run of the tests, and proof that the swarm finds what is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sidecar.engine.settlement
from sidecar.core.amplification import AmplificationGuard
from sidecar.core.breaker import Breaker
from sidecar.core.limit import ConcurrencyLimit
from sidecar.core.panic import PanicRation
from sidecar.core.recovery import Recovery
from sidecar.core.timers import attempt_limits
from sidecar.engine.relay import Relay
from sidecar.engine.timer import Timers
from sidecar.simulate.swarm import main, verdict_of
from sidecar.simulate.swarm_options import draw_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.core.timers import AttemptLimits

ROOT = Path(__file__).parents[2]
SEEDS = range(12)
SABOTAGE_SEEDS = range(70, 130)
"""Each saboteur is found within the first few of them."""


@pytest.mark.parametrize("seed", SEEDS)
def test_world_holds(seed: int) -> None:
    """Whatever a world is made of, every invariant holds, and once healed it serves again."""
    assert verdict_of(seed).broken == {}


def _digest_elsewhere(hash_seed: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "sidecar.simulate.swarm", "--one", "5"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


def test_seed_tells_the_same_story_in_every_process() -> None:
    """Options, counts and the digest of every event are equal under different hash seeds."""
    first = _digest_elsewhere("1")
    assert first == _digest_elsewhere("2")
    assert "digest " in first


def test_options_are_printed_before_anything_runs() -> None:
    """A failing seed explains itself: the seed first, then every provider, route, fault and act."""
    options = draw_options(3)
    lines = options.lines()
    assert lines[0].startswith("seed=3 ")
    said = "\n".join(lines)
    for part in (*options.providers, *options.routes, *options.faults[0][1:], *options.acts):
        assert repr(part) in said


def test_worlds_differ() -> None:
    """Features come and go with the seed: some worlds lack what others have."""
    drawn = [draw_options(seed) for seed in range(100)]
    kinds = {frozenset(fault.kind for _, fault in one.faults) for one in drawn}
    assert len(kinds) > 50
    assert {len(one.providers) for one in drawn} == {2, 3, 4, 5}
    assert {bool(one.acts) for one in drawn} == {True, False}
    assert {one.callers.hang_up_share > 0 for one in drawn} == {True, False}


# --- saboteurs: a broken engine is found out ------------------------------------------------------


def _no_error_event(patch: pytest.MonkeyPatch) -> None:
    whole = Relay._break_off

    def silent(self: Relay, *arguments: Any) -> bytes:
        whole(self, *arguments)
        return b""

    patch.setattr(Relay, "_break_off", silent)


def _leaked_place(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConcurrencyLimit, "release", lambda _: None)


def _gates_ajar(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Breaker, "refusal", lambda *_: None)


def _patience(patch: pytest.MonkeyPatch) -> None:
    def later(**facts: Any) -> AttemptLimits:
        limits = attempt_limits(**facts)
        first_content_at, end_at = limits.first_content_at + 2.0, limits.end_at + 2.0
        return replace(limits, first_content_at=first_content_at, end_at=end_at)

    patch.setattr(sidecar.engine.settlement, "attempt_limits", later)


def _stutter(patch: pytest.MonkeyPatch) -> None:
    once = Relay._pass_on
    patch.setattr(Relay, "_pass_on", lambda self, items: once(self, items) * 2)


def _rash_panic(patch: pytest.MonkeyPatch) -> None:
    rationed = PanicRation.choose

    def rash(self: PanicRation, *arguments: Any) -> object:
        self._used_at = None
        return rationed(self, *arguments)

    patch.setattr(PanicRation, "choose", rash)


def _grudge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recovery, "bounded", lambda *_: 1e4)
    patch.setattr(Breaker, "hurry", lambda *_: None)  # else a trial in panic heals even this


def _free_lunch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sidecar.engine.settlement, "cost_usd", lambda *_: 0.0)


def _forgotten_timers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Timers, "discard", lambda *_: None)


def _retry_storm(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AmplificationGuard, "may_extra", lambda *_, **__: True)


@pytest.mark.parametrize(
    ("sabotage", "invariant"),
    [
        (_no_error_event, "no_silent_truncation"),
        (_leaked_place, "limits_are_kept"),
        (_gates_ajar, "one_trial_at_a_time"),
        (_patience, "no_late_answer"),
        (_stutter, "bytes_of_one_attempt"),
        (_retry_storm, "batch_does_not_multiply"),
        (_rash_panic, "panic_is_rationed"),
        (_grudge, "heals_when_healed"),
        (_free_lunch, "ledger_covers_bills"),
        (_forgotten_timers, "nothing_left_behind"),
    ],
)
def test_sabotage_is_found(
    sabotage: Callable[[pytest.MonkeyPatch], None],
    invariant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine that breaks a promise is caught, by the invariant that is about that promise."""
    sabotage(monkeypatch)
    assert any(invariant in verdict_of(seed).broken for seed in SABOTAGE_SEEDS)


def test_failure_prints_how_to_play_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken world ends the command with status 1 and its replay command."""
    _leaked_place(monkeypatch)
    assert main(["--one", "0"]) == 1
    assert "python -m sidecar.simulate.swarm --one 0\n" in capsys.readouterr().out
