"""The command line: which command with which arguments.

What a command needs is imported only when it runs, so that each starts fast.

Exit codes: 0 done, 1 the command failed, 2 the configuration or the command line is wrong.
"""

from __future__ import annotations

import argparse
import gc
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.cli import advise, completion, drill, explain, simulate_arguments, status, top
from sidecar.cli.plane import add_admin
from sidecar.durations import parse_duration
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv`` (the process's own by default) and return its exit code."""
    args = _parser().parse_args(argv)
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
    """Run one command; its module is imported here so that each pays for itself alone."""
    if args.command == "run":
        gc.disable()  # nothing of what is made at the start is garbage; `serve` ends it
    if args.command == "completion":
        print(completion.script(args.shell, _parsers()[1]), end="")
        return 0
    command = import_module(f"sidecar.cli.{args.command}")
    code: int = command.run(args)
    return code


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    return _parsers()[0]


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the command line, and that of each command."""
    parser = argparse.ArgumentParser(
        prog="sidecar",
        description="Keep LLM calls working when the providers do not.",
        epilog="`sidecar COMMAND --help` tells each command's options. To begin: `sidecar demo`.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {}
    for name, meaning, add_arguments in COMMANDS:
        described = f"{meaning[0].upper()}{meaning[1:]}."
        parsers[name] = commands.add_parser(name, help=meaning, description=described)
        add_arguments(parsers[name])
    return parser, parsers


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar run`."""
    _add_config(parser)
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text")


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
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--ledger", type=Path, metavar="FILE", help="read a ledger file")
    add_admin(where)


def _add_nothing(_: argparse.ArgumentParser) -> None:
    """A command without arguments."""


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


COMMANDS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], object]], ...] = (
    ("run", "serve calls", _add_run),
    ("demo", "show an outage being survived; needs no key", _add_demo),
    ("check", "say whether a configuration is right", _add_check),
    ("status", "show how the sidecar, its endpoints and its routes are", status.add_arguments),
    ("top", "show the same live, with the last calls and changes", top.add_arguments),
    ("calls", "show the last calls and what they cost", _add_calls),
    ("advise", "say which model should be asked first, and why", advise.add_arguments),
    (
        "explain",
        "say whom a call would be sent to now, and why not to the others",
        explain.add_arguments,
    ),
    ("drill", "put a fault into the way to an endpoint and see it survived", drill.add_arguments),
    ("simulate", "play a configuration against incidents", simulate_arguments.add_arguments),
    ("schema", "print the JSON Schema of the configuration", _add_nothing),
    ("completion", "print a script that completes commands in a shell", completion.add_arguments),
)


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
