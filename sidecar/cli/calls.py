"""`sidecar calls`: the last calls, what became of them and what they cost.

Asks the running sidecar's admin plane, or reads a ledger file directly, also beside a sidecar that
writes it.

Exit codes: 0 done, 1 nobody answers or the file cannot be read.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from sidecar import clock
from sidecar.cli.plane import EXIT_FAILED, CannotAskError, ask

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

    Call = dict[str, Any]
    Page = Callable[[int, int | None], list[Call]]
    """Returns at most so many calls with numbers below the one given, newest first."""

PAGE = 1000


def run(args: argparse.Namespace) -> int:
    """Show or export the calls that ``args`` ask for."""
    try:
        page = _from_file(args) if args.ledger is not None else _from_admin(args)
        if args.export is not None:
            return _export(args, page)
        calls = _all(page, args.limit or 20)
        _print(calls, args)
    except CannotAskError as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _all(page: Page, limit: int | None) -> Iterator[Call]:
    """Yield calls page by page, newest first, ``limit`` at most."""
    before: int | None = None
    left = limit
    while left is None or left > 0:
        wanted = PAGE if left is None else min(PAGE, left)
        calls = page(wanted, before)
        yield from calls
        if len(calls) < wanted:
            return
        before = calls[-1]["number"]
        left = None if left is None else left - len(calls)


def _export(args: argparse.Namespace, page: Page) -> int:
    """Write one JSON object a line; all there are unless a limit is given."""
    count = 0
    with _sink(args.export) as sink:
        for call in _all(page, args.limit):
            sink.write(json.dumps(call, ensure_ascii=False) + "\n")
            count += 1
    print(f"{count} calls written to {args.export}", file=sys.stderr)
    return 0


@contextmanager
def _sink(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("w", encoding="utf-8") as sink:
            yield sink
    except OSError as error:
        raise CannotAskError(f"cannot write {path} ({error.strerror})") from error


# --- where calls come from ------------------------------------------------------------------------


def _from_file(args: argparse.Namespace) -> Page:
    from sidecar.ledger.reading import NotALedgerError, read_file  # noqa: PLC0415 - with SQLite
    from sidecar.ledger.records import CallQuery  # noqa: PLC0415 - the same

    since_at = None if args.since is None else clock.wall() - args.since

    def page(limit: int, before: int | None) -> list[Call]:
        query = CallQuery(
            route=args.route,
            since_at=since_at,
            is_failed_only=args.failed,
            before=before,
            limit=limit,
        )
        try:
            found: list[Call] = msgspec.to_builtins(read_file(args.ledger, query))
        except NotALedgerError as error:
            raise CannotAskError(
                f"{args.ledger}: {error}; name a file that a sidecar wrote"
            ) from error
        return found

    return page


def _from_admin(args: argparse.Namespace) -> Page:
    def page(limit: int, before: int | None) -> list[Call]:
        asked = {
            "route": args.route,
            "since": None if args.since is None else f"{args.since:.3f}s",
            "failed": "true" if args.failed else None,
            "limit": limit,
            "before": before,
        }
        query = urlencode({name: given for name, given in asked.items() if given is not None})
        return _asked(args.admin, f"/api/v1/calls?{query}")

    return page


def _asked(url: str, path: str) -> list[Call]:
    """Return the calls that the admin plane at ``url`` shows.

    Raises:
        CannotAskError: as ``ask``, or it shows something else.
    """
    calls: list[Call] | None = ask(url, path).get("calls")
    if calls is None:
        raise CannotAskError(f"{url} is no sidecar's admin plane; name it by --admin URL")
    return calls


# --- showing --------------------------------------------------------------------------------------


def _print(calls: Iterator[Call], args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(list(calls), ensure_ascii=False, indent=2))
        return
    for call in calls:
        print(json.dumps(call, ensure_ascii=False) if args.jsonl else line_of(call))


def line_of(call: Call) -> str:
    """Return a call as a line: when, route, result, who, how long, how much, every attempt."""
    ended = datetime.fromtimestamp(call["at"], UTC).isoformat(timespec="seconds")
    about = "~" if call["is_estimated"] else ""
    attempts = ",".join(f"{one['endpoint']}:{one['outcome']}" for one in call["attempts"])
    who = call["endpoint"] or "-"
    return (
        f"{ended.removesuffix('+00:00')}Z {call['route']} {call['result']} {who}"
        f" {call['duration_s']:.3f}s {about}${call['cost_usd']:.6f} {attempts or '-'}"
    )
