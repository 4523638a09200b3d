"""`sidecar check`: is the configuration right, and what would hurt in an outage.

Exit codes: 0 right, 1 with ``--strict`` and warnings, 2 wrong.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sidecar.cli.check_models import described
from sidecar.config.from_env import default_yaml, describe, from_env
from sidecar.config.load import load

if TYPE_CHECKING:
    import argparse

    from sidecar.config.model import Config

EXIT_WARNED = 1


def run(args: argparse.Namespace) -> int:
    """Check the configuration that ``args`` names.

    Raises:
        ConfigError: it is wrong.
    """
    if args.print_default:
        print(default_yaml(os.environ), end="")
        return 0
    config = from_env(os.environ) if args.config is None else load(args.config, os.environ)
    if args.config is None:
        for line in describe(config):
            print(line)
    return _report(config, is_strict=args.strict)


def _report(config: Config, *, is_strict: bool) -> int:
    """Print warnings and the verdict; return the exit code."""
    for line in described(config):
        print(line)
    warnings = (*config.warnings, *config.advice)
    for warning in warnings:
        print(f"warning: {warning}")
    tasks = [route for route in config.catalogue.routes.values() if route.is_task]
    counts = (
        _counted(len(config.targets), "provider"),
        _counted(len(config.catalogue.endpoints), "model"),
        _counted(len(tasks), "route"),
    )
    is_failed = is_strict and bool(warnings)
    print(f"{'not ok' if is_failed else 'ok'}: {', '.join(counts)}")
    return EXIT_WARNED if is_failed else 0


def _counted(count: int, noun: str) -> str:
    """Return ``1 route`` or ``2 routes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
