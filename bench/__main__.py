"""``python -m bench``: install the peers, run, write the report; or check against the bare loop."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import peers
from bench.candidates import CANDIDATES, HERE
from bench.check import check
from bench.measures import FULL, QUICK
from bench.page import write
from bench.processes import Cores
from bench.rounds import measured
from bench.scale import scale
from bench.soak import SECONDS as SOAK_S
from bench.soak import soak

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.candidates import Candidate

RESULTS = HERE / "results" / "run.json"
ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; return the exit code."""
    args = _parser().parse_args(arguments)
    cores = Cores.split(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores.others)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # candidates end with the harness
    if args.check or args.record:
        return check(cores, is_short=args.short, is_recorded=args.record)
    commands: dict[str | None, Callable[[], int]] = {
        "install": peers.install,
        "run": lambda: _run(args, cores),
        "scale": lambda: scale(cores),
        "soak": lambda: soak(cores, args.seconds),
        "report": write,
    }
    if args.command not in commands:
        _parser().print_help()
        return 2
    return commands[args.command]()


def _run(args: argparse.Namespace, cores: Cores) -> int:
    lengths, rounds = (QUICK, 1) if args.quick else (FULL, ROUNDS)
    output = Path(args.output)
    output.parent.mkdir(exist_ok=True, parents=True)
    for run in measured(_chosen(args.only), cores, lengths, args.rounds or rounds):
        output.write_text(json.dumps(run.document(), indent=1) + "\n")
        print(f"written: {output}")
    print("now: python -m bench report")
    return 0


def _chosen(names: list[str]) -> list[Candidate]:
    """Return the candidates that are wanted and there."""
    found = []
    for candidate in CANDIDATES:
        if names and candidate.name not in names:
            continue
        if candidate.is_there():
            found.append(candidate)
        else:
            print(f"{candidate.name} is not installed: left out")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with bench/baseline.json")
    parser.add_argument("--short", action="store_true", help="with --check: below a minute")
    parser.add_argument("--record", action="store_true", help="rewrite bench/baseline.json")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("install", help="fetch the peers into bench/.peers")
    run = commands.add_parser("run", help="measure")
    run.add_argument("--only", nargs="*", default=[], metavar="CANDIDATE")
    run.add_argument("--rounds", type=int, metavar="N")
    run.add_argument("--quick", action="store_true", help="one short round")
    run.add_argument("--output", default=str(RESULTS), metavar="FILE")
    commands.add_parser("scale", help="cost of a call by the size of the configuration")
    soaking = commands.add_parser("soak", help="ten minutes of trouble; does anything leak?")
    soaking.add_argument("--seconds", type=float, default=SOAK_S)
    commands.add_parser("report", help="write docs/performance.md and its plot")
    return parser


if __name__ == "__main__":
    sys.exit(main())
