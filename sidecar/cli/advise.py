"""`sidecar advise`: what each model delivered, which changes that supports, what is not known yet.

Asks the running sidecar's admin plane, or reads a ledger file. ``--apply`` shows the change of the
configuration as a unified diff, with ``--write`` it is made: the tiers alone, comments stay.

Exit codes: 0 done, 1 nobody answers or a file cannot be read or written, 2 the configuration or the
change is not possible.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar import clock
from sidecar.cli.plane import EXIT_FAILED, CannotAskError, add_admin, ask
from sidecar.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    Advice = dict[str, Any]

DASH = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar advise`."""
    parser.add_argument("--route", metavar="NAME", help="only about this route")
    parser.add_argument("--since", type=_duration, metavar="24h", help="default: a week")
    parser.add_argument("--json", action="store_true", help="the whole advice as JSON")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration to change")
    parser.add_argument("--apply", action="store_true", help="show the change of --config")
    parser.add_argument("--write", action="store_true", help="with --apply: make it")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--ledger", type=Path, metavar="FILE", help="read a ledger file")
    add_admin(where)
    parser.set_defaults(check=lambda args: _check(parser, args))


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what means nothing."""
    if args.write and not args.apply:
        parser.error("--write is for --apply")
    if args.apply and args.config is None:
        parser.error("--apply needs --config FILE, the file to change")
    if args.apply and args.json:
        parser.error("--apply shows a diff, not JSON")


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Advise as ``args`` ask.

    Raises:
        ConfigError: the configuration cannot be used, or not be changed as advised.
    """
    args.check(args)
    try:
        advice = _advice(args)
        if args.json:
            print(json.dumps(advice, ensure_ascii=False, indent=2))
        elif not args.apply:
            print("\n".join(_lines(advice)))
        return _apply(advice, args.config, is_written=args.write) if args.apply else 0
    except CannotAskError as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return EXIT_FAILED


def _advice(args: argparse.Namespace) -> Advice:
    if args.ledger is not None:
        advice = _from_file(args)
    else:
        since = "" if args.since is None else f"?since={args.since:.3f}s"
        advice = ask(args.admin, f"/api/v1/advice{since}")
    if "routes" not in advice:
        raise CannotAskError(f"{args.admin} gives no advice; is it a sidecar's admin plane?")
    if args.route is None:
        return advice
    names = [one["route"] for one in advice["routes"]]
    if args.route not in names:
        raise CannotAskError(f"no route {args.route!r}; there are {', '.join(names) or 'none'}")
    for part in ("routes", "changes"):
        advice[part] = [one for one in advice[part] if one["route"] == args.route]
    return advice


def _from_file(args: argparse.Namespace) -> Advice:
    from sidecar.config.load import load  # noqa: PLC0415 - the same
    from sidecar.ledger.reading import NotALedgerError  # noqa: PLC0415 - with SQLite
    from sidecar.quality.advisor import SINCE_S, advice_on_file  # noqa: PLC0415 - the same

    catalogue = None if args.config is None else load(args.config, os.environ).catalogue
    since_s = SINCE_S if args.since is None else args.since
    try:
        return advice_on_file(args.ledger, clock.wall(), since_s, catalogue)
    except NotALedgerError as error:
        raise CannotAskError(f"{args.ledger}: {error}; name a file that a sidecar wrote") from error


# --- changing -------------------------------------------------------------------------------------


def _apply(advice: Advice, path: Path, *, is_written: bool) -> int:
    """Show, or make, the changes of the tiers in the file at ``path``."""
    from sidecar.config.load import load_text  # noqa: PLC0415 - seldom
    from sidecar.config.tiers_edit import with_tiers  # noqa: PLC0415 - the same

    if not advice["changes"]:
        print("no change is supported by the evidence", file=sys.stderr)
        return 0
    try:
        before = path.read_bytes()
    except OSError as error:
        raise CannotAskError(f"cannot read {path} ({error.strerror})") from error
    after = before
    for change in advice["changes"]:
        print(f"# {change['text']}")
        after = with_tiers(after, str(path), change["route"], change["tiers"])
    # What is shown is what will be read: a file that no sidecar would start with is not written.
    load_text(after, os.environ, source=str(path))
    print("".join(_diff(before, after, path)), end="")
    if is_written:
        _write(path, before, after)
    return 0


def _diff(before: bytes, after: bytes, path: Path) -> Iterator[str]:
    import difflib  # noqa: PLC0415 - the same

    was, now = (text.decode("utf-8-sig").splitlines(keepends=True) for text in (before, after))
    for line in difflib.unified_diff(was, now, fromfile=f"a/{path.name}", tofile=f"b/{path.name}"):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _write(path: Path, before: bytes, after: bytes) -> None:
    """Put ``after`` in the file's place in one step, with its mode; a link stays a link."""
    target = path.resolve()
    beside = target.with_name(f".{target.name}.new")
    try:
        if target.read_bytes() != before:
            raise CannotAskError(f"{path} changed meanwhile; ask again")
        beside.write_bytes(after)
        beside.chmod(target.stat().st_mode & 0o7777)
        beside.replace(target)
    except OSError as error:
        raise CannotAskError(f"cannot write {path} ({error.strerror})") from error
    finally:
        beside.unlink(missing_ok=True)
    print(f"{path} written; a running sidecar takes it over by itself", file=sys.stderr)


# --- showing --------------------------------------------------------------------------------------


def _lines(advice: Advice) -> Iterator[str]:
    for route in advice["routes"]:
        tiers = ", ".join("[" + ", ".join(tier) + "]" for tier in route["tiers"])
        yield f"{route['route']}: tiers {tiers}; {route['calls_per_day']:g} calls a day"
        yield "  model             quality (95 %)         scores  p50 s  p95 s  $/1000  answered"
        yield from (_model_line(one) for one in route["models"])
        for change in route["changes"]:
            yield f"  -> {change['text']}"
        for other in route["alternatives"]:
            yield f"  or {other['text']}"
        yield from (f"  ?  {one['text']}" for one in route["missing"])
        yield ""
    if not advice["routes"]:
        yield "no route was called yet"
    yield from (f"note: {caveat}" for caveat in advice["caveats"])


def _model_line(one: Advice) -> str:
    quality = one["quality"]
    if quality["low"] is None:
        said = f"{quality['mean']:.2f} (configured)"
    else:
        said = f"{quality['mean']:.3f} ({quality['low']:.3f}-{quality['high']:.3f})"
    cost = DASH if one["cost_usd"] is None else f"{one['cost_usd'] * 1000:.3g}"
    about = "~" if one["cost_is_guessed"] else ""
    answered = DASH if one["availability"] is None else f"{one['availability']:.1%}"
    return (
        f"  {one['model']:<17} {said:<22} {quality['n']:>6.0f} {_time(one['p50_s'])}"
        f" {_time(one['p95_s'])} {about + cost:>7} {answered:>9}"
    )


def _time(seconds: float | None) -> str:
    return f"{DASH:>6}" if seconds is None else f"{seconds:>6.2f}"
