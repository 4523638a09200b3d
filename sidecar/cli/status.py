"""`sidecar status`: one screen of how the sidecar, its endpoints and its routes are.

Exit codes: 0 shown, 1 nobody answers.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sidecar.cli.plane import EXIT_FAILED, CannotAskError, add_admin, ask
from sidecar.server.overview import head, sheets, text_of

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar status`."""
    parser.add_argument("--json", action="store_true", help="the whole state as JSON")
    add_admin(parser)


def run(args: argparse.Namespace) -> int:
    """Show the state."""
    try:
        state = ask(args.admin, "/api/v1/state")
    except CannotAskError as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return EXIT_FAILED
    if args.json:
        print(json.dumps(state, indent=2, ensure_ascii=False))
        return 0
    print("\n".join(head(state)))
    for sheet in sheets(state):
        print(f"\n{text_of(sheet)}")
    return 0
