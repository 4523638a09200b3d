"""The command line: which command with which arguments.

Each command's module is imported only when it runs, so that `check` starts fast.

Exit codes: 0 done, 1 the command failed, 2 the configuration or the command line is wrong.
"""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.cli import simulate_arguments
from sidecar.durations import parse_duration
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv`` (the process's own by default) and return its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command == "advise":
        _check_advise(parser, args)
    try:
        return _run(args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        return 0


def _run(args: argparse.Namespace) -> int:
    """Run one command; the imports are here so that each pays for itself alone."""
    match args.command:
        case "run":
            gc.disable()  # nothing of what is made at the start is garbage; `serve` ends it
            from sidecar.cli import run  # noqa: PLC0415 - see above

            return run.run(args)
        case "demo":
            from sidecar.cli import demo  # noqa: PLC0415

            return demo.run(args)
        case "check":
            from sidecar.cli import check  # noqa: PLC0415

            return check.run(args)
        case "calls" | "advise":
            return _ask(args)
        case "simulate":
            from sidecar.cli import simulate  # noqa: PLC0415

            return simulate.run(args)
        case _:
            from sidecar.cli import schema  # noqa: PLC0415

            return schema.run(args)


def _ask(args: argparse.Namespace) -> int:
    """Run a command that asks a running sidecar, or its ledger."""
    if args.command == "calls":
        from sidecar.cli import calls  # noqa: PLC0415

        return calls.run(args)
    from sidecar.cli import advise  # noqa: PLC0415

    return advise.run(args)


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="sidecar", description="Keep LLM calls working when the providers do not."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="serve calls"))
    _add_demo(commands.add_parser("demo", help="show an outage being survived; needs no key"))
    _add_check(commands.add_parser("check", help="say whether a configuration is right"))
    _add_calls(commands.add_parser("calls", help="show the last calls and what they cost"))
    _add_advise(commands.add_parser("advise", help="say which changes of the tiers pay"))
    simulate_arguments.add_arguments(
        commands.add_parser("simulate", help="play a configuration against incidents")
    )
    commands.add_parser("schema", help="print the JSON Schema of the configuration")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar run`."""
    _add_config(parser)
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar demo`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: the demo's own")
    parser.add_argument("--duration", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="lines of text, no live screen")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")


def _add_check(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar check`."""
    _add_config(parser)
    parser.add_argument("--strict", action="store_true", help="warnings fail the check")
    parser.add_argument(
        "--print-default", action="store_true", help="print what is built with no file, and stop"
    )


def _add_calls(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar calls`."""
    parser.add_argument("--route", metavar="NAME", help="only calls of this route")
    parser.add_argument("--since", type=_duration, metavar="1h", help="only the last so much time")
    parser.add_argument("--failed", action="store_true", help="only calls that failed")
    parser.add_argument("--limit", type=_count, metavar="N", help="default: 20; of an export: all")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON array")
    form.add_argument("--jsonl", action="store_true", help="a JSON object a line")
    form.add_argument("--export", type=Path, metavar="FILE", help="write JSON lines to FILE")
    _add_where(parser)


def _add_advise(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar advise`."""
    parser.add_argument("--route", metavar="NAME", help="only about this route")
    parser.add_argument("--since", type=_duration, metavar="24h", help="default: a week")
    parser.add_argument("--json", action="store_true", help="the whole advice as JSON")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration to change")
    parser.add_argument("--apply", action="store_true", help="show the change of --config")
    parser.add_argument("--write", action="store_true", help="with --apply: make it")
    _add_where(parser)


def _add_where(parser: argparse.ArgumentParser) -> None:
    """Declare where calls are to be looked for."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--ledger", type=Path, metavar="FILE", help="read a ledger file")
    where.add_argument(
        "--admin",
        default="http://127.0.0.1:4181",
        metavar="URL",
        help="ask a running sidecar (default: %(default)s)",
    )


def _check_advise(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what means nothing."""
    if args.write and not args.apply:
        parser.error("advise: --write is for --apply")
    if args.apply and args.config is None:
        parser.error("advise: --apply needs --config FILE, the file to change")
    if args.apply and args.json:
        parser.error("advise: --apply shows a diff, not JSON")


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text[:40]!r}")
    return int(text)


def _add_config(parser: argparse.ArgumentParser) -> None:
    """Declare where the configuration is."""
    message = "YAML or JSON; default: built from the provider keys in the environment"
    parser.add_argument("--config", type=Path, metavar="FILE", help=message)


class _Version(argparse.Action):
    """Says the version of the installed package; what reads it is imported for nothing else."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata  # noqa: PLC0415 - 40 ms of every start

        try:
            version = metadata.version("llm-resilience-sidecar")
        except metadata.PackageNotFoundError:
            version = "unknown (not installed)"
        print(f"sidecar {version}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
