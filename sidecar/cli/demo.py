"""``sidecar demo``: an outage survived, before your eyes, without a key.

Starts three simulated providers on loopback sockets, the sidecar with a real configuration file,
and a steady load on it; then plays the script of ``demo_script.py``. Beside the load runs a control
client tied to the first provider. Everything runs in this one process, through real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from sidecar import clock
from sidecar.app import App
from sidecar.cli.demo_callers import Callers
from sidecar.cli.demo_screen import WIDTH, Moment, line, screen, summary
from sidecar.cli.demo_script import stage_at
from sidecar.config.load import load
from sidecar.domain import WireFormat
from sidecar.events import AttemptFinished
from sidecar.upstream.simulated import SimulatedModel, SimulatedProvider
from sidecar.upstream.simulated_server import SimulatedServer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from sidecar.config.model import Config
    from sidecar.events import Event

STEP_S = 0.1
LINE_EVERY_S = 1.0
SHARE_DECAY = 0.9
LARGE = SimulatedModel(ttft_s=0.25, ttft_sigma=0.3, itl_s=0.004, output_tokens=40, output_sigma=0.3)
SMALL = SimulatedModel(ttft_s=0.08, ttft_sigma=0.3, itl_s=0.002, output_tokens=30, output_sigma=0.3)
EXIT_ADDRESS_TAKEN = 1


def run(args: argparse.Namespace) -> int:
    """Play the demo; return the exit code.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    config = load(args.config or _own_config(), os.environ)
    console = Console(no_color=args.plain, width=WIDTH if args.plain else None)
    # Providers fail on purpose here: their state changes are on the screen, not in a log.
    logging.getLogger("sidecar").setLevel(logging.ERROR)
    try:
        return asyncio.run(_Demo(args, config, console).run())
    except OSError as error:
        print(f"sidecar demo: cannot listen: {error}; is another demo running?", file=sys.stderr)
        return EXIT_ADDRESS_TAKEN


def _own_config() -> Path:
    """Return the demo's configuration: inside an installed package, else in the source tree."""
    packaged = Path(str(files("sidecar.cli"))) / "demo.yaml"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "config" / "demo.yaml"


class _Shares:
    """Who gets the traffic, as a decaying count of attempts; an observer of the engine's events."""

    def __init__(self) -> None:
        self._counts: dict[str, float] = {}

    def on_event(self, event: Event) -> None:
        if isinstance(event, AttemptFinished):
            name = event.outcome.endpoint
            self._counts[name] = self._counts.get(name, 0.0) + 1.0

    def decay(self) -> None:
        for name in self._counts:
            self._counts[name] *= SHARE_DECAY

    def shares(self) -> dict[str, float]:
        total = sum(self._counts.values())
        return {name: count / total for name, count in self._counts.items()} if total else {}


class _Demo:
    """One run. Owns the providers, the sidecar and the callers."""

    def __init__(self, args: argparse.Namespace, config: Config, console: Console) -> None:
        self._args = args
        self._console = console
        self._shares = _Shares()
        self._app = App(config, observer=self._shares, seed=args.seed)
        self._servers = {
            "alpha": self._server(config, "alpha", WireFormat.OPENAI_CHAT, LARGE),
            "beta": self._server(config, "beta", WireFormat.ANTHROPIC_MESSAGES, LARGE),
            "gamma": self._server(config, "gamma", WireFormat.OPENAI_CHAT, SMALL),
        }
        self._callers: Callers | None = None

    def _server(
        self,
        config: Config,
        name: str,
        format: WireFormat,  # noqa: A002 - the word of the domain
        behaviour: SimulatedModel,
    ) -> SimulatedServer:
        target = next(target for key, target in config.targets.items() if key == name)
        port = int(target.base_url.split(":")[2].partition("/")[0])
        models = {
            endpoint.upstream_model: behaviour
            for endpoint in config.catalogue.endpoints.values()
            if endpoint.provider == name
        }
        provider = SimulatedProvider(name, format, models, seed=self._args.seed)
        return SimulatedServer(provider, port=port)

    async def run(self) -> int:
        """Start everything, play, sum up."""
        async with contextlib.AsyncExitStack() as stack:
            for server in self._servers.values():
                await stack.enter_async_context(server)
            await self._app.start()
            stack.push_async_callback(self._app.stop)
            callers = self._callers = Callers(
                sidecar_url=f"http://127.0.0.1:{self._app.ports['data']}",
                control_url=self._servers["alpha"].base_url,
                rng=random.Random(self._args.seed),
            )
            await self._play(callers)
            result = self._result(callers)
        self._console.print()
        summary(result, callers, console=self._console)
        if self._args.json is not None:
            self._args.json.write_text(json.dumps(result, indent=2) + "\n")
        return 0

    async def _play(self, callers: Callers) -> None:
        """Run callers and script side by side; Ctrl-C ends both and still sums up."""
        duration_s = self._args.duration
        loop = asyncio.get_running_loop()
        load = loop.create_task(callers.run(duration_s))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, load.cancel)
        try:
            await self._watch(load, duration_s)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            for server in self._servers.values():
                await server.set_faults(())
            load.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await load

    async def _watch(self, load: asyncio.Task[None], duration_s: float) -> None:
        began_at = clock.now()
        stage = None
        lined_at = began_at - LINE_EVERY_S
        live = None if self._args.plain else Live(console=self._console, auto_refresh=False)
        with live or contextlib.nullcontext():
            while not load.done():
                now = clock.now()
                elapsed_s = now - began_at
                current = stage_at(elapsed_s, duration_s)
                if current is not stage:
                    stage = current
                    await self._servers["alpha"].set_faults(stage.alpha)
                    await self._servers["beta"].set_faults(stage.beta)
                moment = self._moment(elapsed_s, duration_s, stage.name, now)
                if live is not None:
                    live.update(screen(moment), refresh=True)
                elif now - lined_at >= LINE_EVERY_S:
                    lined_at = now
                    print(line(moment), flush=True)
                self._shares.decay()
                await asyncio.wait([load], timeout=STEP_S)

    def _moment(self, elapsed_s: float, duration_s: float, stage: str, now: float) -> Moment:
        assert self._callers is not None, "callers start before the play"
        endpoints = self._app.state()["endpoints"]
        assert isinstance(endpoints, dict), "the state lists endpoints by name"
        return Moment(
            elapsed_s=elapsed_s,
            duration_s=duration_s,
            stage=stage,
            endpoints=endpoints,
            callers=self._callers,
            shares=self._shares.shares(),
            now=now,
        )

    def _result(self, callers: Callers) -> Mapping[str, object]:
        ours, control = callers.sidecar, callers.control
        return {
            "calls": ours.calls,
            "answered": ours.answered,
            "degraded": ours.degraded,
            "errors": ours.errors,
            "control": {"calls": control.calls, "answered": control.answered},
            "answered_by": dict(sorted(callers.answers_by_endpoint.items())),
            "failures": callers.failures,
            "probes": self._app.state()["probes"],
            "seed": self._args.seed,
            "duration_s": self._args.duration,
        }
