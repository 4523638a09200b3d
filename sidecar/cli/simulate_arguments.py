"""The arguments of `sidecar simulate`, apart from what it does: that is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

SECONDS = 60_000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar simulate` and of `sidecar simulate convert`."""
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="the configuration to be played")
    add("--compare", type=Path, action="append", default=[], metavar="FILE", help="another one")
    add("--incidents", type=Path, metavar="CSV", help="what failed when; default: nothing")
    add("--latencies", type=Path, metavar="CSV", help="how fast models are; default: alike")
    add("--workload", type=Path, metavar="CSV", help="default: 1 call a second over all tasks")
    add("--seed", type=int, default=1)
    add("--days", type=float, metavar="N", help="default: 30")
    add("--from", dest="start", metavar="DATE", help="default: the day of the first incident")
    add("--to", dest="end", metavar="DATE", help="the first instant that does not count")
    add("--seconds", type=float, default=SECONDS, metavar="N", help="play about so many of them")
    add("--whole", action="store_true", help="play every second, sample nothing")
    add("--json", type=Path, metavar="FILE", help="write everything to FILE")
    add("--html", type=Path, metavar="FILE", help="write a page with plots to FILE")
    actions = parser.add_subparsers(dest="action", metavar="convert")
    _add_convert(actions.add_parser("convert", help="make such a CSV from other people's data"))


def _add_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("what", choices=("incidents", "latencies", "workload"))
    add("--from", dest="source", type=Path, required=True, metavar="FILE")
    add("--to", dest="target", type=Path, required=True, metavar="CSV")
    add("--services", default="", metavar="A,B", help="incidents of these services alone")
    add("--exclude", default="", metavar="A,B", help="no incident with such a word in its title")
    add("--share", action="append", default=[], metavar="IMPACT=SHARE", help="of failed requests")
    add("--phases", metavar="DURATION", help="down for its share of each DURATION, not at random")
    add("--route", default="reason", help="the route of a workload")
    add("--calls-per-s", type=float, metavar="N", help="of a workload; default: the trace's own")
