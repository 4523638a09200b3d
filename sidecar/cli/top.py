"""`sidecar top`: the status, redrawn as it changes, with the last calls and state changes.

Ctrl-C ends it. A sidecar that goes away is waited for.

Exit codes: 0 ended by its reader, 1 nobody answered at the start.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from sidecar.cli.plane import EXIT_FAILED, CannotAskError, add_admin, ask
from sidecar.server.overview import head, sheets, text_of

if TYPE_CHECKING:
    import argparse

    from rich.console import Group

CHANGES_SHOWN, CALLS_SHOWN = 6, 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar top`."""
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--count", type=int, metavar="N", help="draw so many times, then end")
    add_admin(parser)


def run(args: argparse.Namespace) -> int:
    """Draw until told to stop."""
    from rich.live import Live  # noqa: PLC0415 - a quarter of a second that `--help` need not pay

    try:
        screen = _screen(args.admin)
    except CannotAskError as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return EXIT_FAILED
    drawn = 1
    try:
        with Live(screen, auto_refresh=False) as live:
            while args.count is None or drawn < args.count:
                time.sleep(max(0.1, args.every))
                live.update(_screen_or_word(args.admin), refresh=True)
                drawn += 1
    except KeyboardInterrupt:
        return 0
    return 0


def _screen_or_word(admin: str) -> Group:
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    try:
        return _screen(admin)
    except CannotAskError as error:
        return Group(Text(f"{error}", style="bold red"))


def _screen(admin: str) -> Group:
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    state = ask(admin, "/api/v1/state")
    events: list[dict[str, Any]] = ask(admin, "/api/v1/timeline")["events"]
    changes = [one for one in events if one["kind"] == "change"][-CHANGES_SHOWN:]
    calls = [one for one in events if one["kind"] == "call"][-CALLS_SHOWN:]
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("\n".join(head(state)))
    for sheet in sheets(state):
        title, _, rows = text_of(sheet).partition("\n")
        text.append(f"\n\n{title}", style="bold").append(f"\n{rows}")
    text.append("\n\nlatest changes", style="bold")
    for one in reversed(changes):
        text.append(f"\n{_line(one)}")
    text.append("\n\nlatest calls", style="bold")
    for one in reversed(calls):
        text.append(f"\n{_line(one)}", style=None if _is_well(one) else "red")
    return Group(text)


def _line(entry: dict[str, Any]) -> str:
    return f"{time.strftime('%H:%M:%S', time.gmtime(entry['at']))}  {entry['text']}"


def _is_well(call: dict[str, Any]) -> bool:
    return call["result"] in ("ok", "degraded", "passed", "cancelled")
