"""``sidecar run``: the main job.

Says on stderr what it serves and where, then one line a state change. Without a configuration it
builds one from the provider keys in the environment and says what it built.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from sidecar.app import App, serve
from sidecar.config.from_env import from_env
from sidecar.config.load import load

if TYPE_CHECKING:
    import argparse

    from sidecar.config.model import Config

EXIT_ADDRESS_TAKEN = 1


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    logging.basicConfig(
        level=args.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    config = load(args.config, os.environ) if args.config else _built()
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(App(config), _announce))
    except OSError as error:
        print(f"sidecar: cannot listen: {error}", file=sys.stderr)
        return EXIT_ADDRESS_TAKEN
    return 0
