"""``sidecar run``: the main job.

Says on stderr what it serves and where, then one line a state change. Without a configuration it
builds one from the provider keys in the environment and says what it built.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from sidecar.app import App
from sidecar.config.from_env import describe, from_env
from sidecar.config.load import load
from sidecar.config.prices import doubt
from sidecar.config.watch import Watched
from sidecar.log_lines import configure, is_json
from sidecar.process import serve
from sidecar.reload import Origin

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from sidecar.config.model import Config

log = logging.getLogger("sidecar")

EXIT_ADDRESS_TAKEN = 1


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    configure(args.log_level, args.log_format)
    watched = None if args.config is None else Watched(args.config)
    config = _built() if args.config is None else load(args.config, os.environ)
    origin = Origin(load=partial(_again, args.config), watched=watched)
    for warning in config.warnings:
        _say(f"warning: {warning}")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(App(config, origin=origin), _announce))
    except OSError as error:
        _say(f"cannot listen: {error}")
        return EXIT_ADDRESS_TAKEN
    return 0


def _again(path: Path | None) -> Config:
    """Return the configuration as it is now, list prices included; raises as ``run``."""
    doubt()
    return from_env(os.environ) if path is None else load(path, os.environ)


def _built() -> Config:
    """Return a configuration made from the keys in the environment, and say what it holds."""
    config = from_env(os.environ)
    _say("no --config: built one from the provider keys in the environment")
    for line in describe(config):
        _say(line)
    return config


def _announce(app: App) -> None:
    for name, address in (
        ("data", app.config.listen.data),
        ("admin", app.config.listen.admin),
        ("health", app.config.listen.health),
    ):
        _say(f"{name:6} http://{address.host}:{app.ports[name]}")
    _say(f"callers may name: {', '.join(app.engine.catalogue.names())}")


def _say(text: str) -> None:
    """Say ``text`` to whoever started us; a log of objects holds nothing else."""
    if is_json():
        log.info("%s", text)
    else:
        print(f"sidecar: {text}", file=sys.stderr, flush=True)
