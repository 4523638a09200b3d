"""`sidecar simulate`: a configuration against a history of incidents, in simulated time.

Exit codes: 0 done, 2 a file or the command line is wrong. ``sidecar run`` never imports this.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from sidecar.durations import parse_duration
from sidecar.errors import ConfigError
from sidecar.simulate.whatif.convert import IMPACTS, Wishes, convert
from sidecar.simulate.whatif.page import as_html
from sidecar.simulate.whatif.report import as_json, as_text
from sidecar.simulate.whatif.run import Question
from sidecar.simulate.whatif.run import run as play
from sidecar.simulate.whatif.sheet import instant, shown
from sidecar.simulate.whatif.timeline import Sampling

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(args: argparse.Namespace) -> int:
    """Play what ``args`` ask for and print the tables, or convert.

    Raises:
        ConfigError: a file or an argument cannot be used.
    """
    if args.action == "convert":
        return _convert(args)
    if args.config is None:
        raise ConfigError(("--config FILE is missing: which configuration is to be played?",))
    found = play(_question(args), lambda name: print(f"playing: {name}", file=sys.stderr))
    print(as_text(found))
    if args.json is not None:
        _write(args.json, as_json(found))
    if args.html is not None:
        _write(args.html, as_html(found))
    return 0


def _question(args: argparse.Namespace) -> Question:
    if not args.seconds > 0:
        raise ConfigError((f"--seconds: expected a number above 0, got {args.seconds:g}",))
    return Question(
        configs=(args.config, *args.compare),
        incidents=args.incidents,
        latencies=args.latencies,
        workload=args.workload,
        seed=args.seed,
        start_s=_moment("--from", args.start),
        end_s=_moment("--to", args.end),
        days=args.days,
        sampling=Sampling(seconds_max=math.inf if args.whole else args.seconds),
    )


def _moment(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    found = instant(text)
    if found is None:
        raise ConfigError((f"{name}: expected a day as 2024-01-31 or a time, got {shown(text)}",))
    return found


def _convert(args: argparse.Namespace) -> int:
    wishes = Wishes(
        services=tuple(filter(None, args.services.split(","))),
        exclude=tuple(filter(None, args.exclude.split(","))),
        shares=dict(_share(text) for text in args.share),
        phase_s=_duration(args.phases),
        route=args.route,
        calls_per_s=args.calls_per_s,
    )
    made = convert(args.what, args.source, wishes)
    _write(args.target, made.text)
    for remark in made.remarks:
        print(remark)
    print(f"{args.target}: {made.rows} rows")
    return 0


def _share(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if name not in IMPACTS or not 0.0 <= share <= 1.0:
        expected = f"{'|'.join(IMPACTS)}=0..1"
        raise ConfigError((f"--share: expected {expected}, got {shown(text)}",))
    return name, share


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError((f"--phases: {error}",)) from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError((f"{path}: cannot be written ({error.strerror})",)) from None
