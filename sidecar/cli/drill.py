"""`sidecar drill`: put a fault into the sidecar's own way to an endpoint, and see it survive.

A running sidecar does it, if its configuration says `drills: enabled`; every drill ends by itself,
after an hour at the latest. Nothing is done to the provider.

Exit codes: 0 done, 1 nobody answers or it is refused.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

from sidecar.cli.plane import EXIT_FAILED, CannotAskError, add_admin, ask
from sidecar.events import DRILL_FAULTS

if TYPE_CHECKING:
    import argparse

    Drilled = dict[str, object]

_PATH = "/api/v1/drills"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar drill`."""
    parser.add_argument("--endpoint", metavar="ID", help="provider/model, as `status` shows it")
    parser.add_argument("--fault", choices=DRILL_FAULTS, help="what becomes of its attempts")
    parser.add_argument("--for", dest="for_", default="60s", metavar="60s", help="at most 1h")
    parser.add_argument("--share", type=float, default=1.0, metavar="0.5", help="of its attempts")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--end", action="store_true", help="end the drill at --endpoint")
    what.add_argument("--list", action="store_true", help="show the drills under way")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    add_admin(parser)


def run(args: argparse.Namespace) -> int:
    """Begin, end or list drills."""
    try:
        said = _asked(args)
    except CannotAskError as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(json.dumps(said, indent=2) if args.json else _shown(said))
    return 0


def _asked(args: argparse.Namespace) -> dict[str, object]:
    if args.list:
        return ask(args.admin, _PATH)
    if args.endpoint is None or (args.fault is None and not args.end):
        raise CannotAskError("say which --endpoint, and which --fault (or --end, or --list)")
    if args.end:
        return ask(args.admin, f"{_PATH}/{quote(args.endpoint)}", method="DELETE")
    body = {
        "endpoint": args.endpoint,
        "fault": args.fault,
        "for": args.for_,
        "share": args.share,
    }
    return ask(args.admin, _PATH, method="POST", body=body)


def _shown(said: dict[str, object]) -> str:
    drills = said.get("drills")
    if isinstance(drills, list):
        if not said["enabled"]:
            return "drills are off; write `drills: enabled` into the configuration"
        return "\n".join([line_of(one) for one in drills]) or "no drill is under way"
    return f"{said['endpoint']}: drill ended" if "ended" in said else line_of(said)


def line_of(drill: dict[str, object]) -> str:
    """Return a drill as a line."""
    share, left_s = float(str(drill["share"])), float(str(drill["ends_in_s"]))
    return f"{drill['endpoint']}: {drill['fault']} for {share:.0%}, ends in {left_s:.0f} s"
