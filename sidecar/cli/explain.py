"""`sidecar explain ROUTE`: whom a call would be sent to now, and why not to the others.

Asks the running sidecar; with ``--config`` it says what a sidecar would decide that has just
started with that file and knows nothing of its providers yet.

Exit codes: 0 somebody would be asked, 1 nobody answers the question, 3 the call would be refused.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sidecar.cli.plane import EXIT_FAILED, CannotAskError, add_admin, ask

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    Explained = dict[str, Any]

EXIT_REFUSED = 3
_WISHES = (
    ("--within", "2s", "deadline of the whole answer"),
    ("--first-token", "300ms", "wanted time to the first content"),
    ("--budget", "0.01", "most US dollars"),
    ("--quality", "0.8!", "least quality, 0 to 1; with ! a must"),
    ("--priority", "batch", "interactive or batch"),
    ("--prompt-tokens", "N", "length of the prompt (default: 500)"),
    ("--max-tokens", "N", "bound on the answer"),
    ("--format", "NAME", "the caller's: openai-chat, openai-responses, anthropic-messages, gemini"),
)
_FLAGS = (
    ("--stream", "the answer is streamed"),
    ("--tools", "the call has tools"),
    ("--images", "the call has images"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sidecar explain`."""
    parser.add_argument("route", metavar="ROUTE", help="a route, a model or an alias")
    for name, shown, meaning in _WISHES:
        parser.add_argument(name, metavar=shown, help=meaning)
    for name, meaning in _FLAGS:
        parser.add_argument(name, action="store_true", help=meaning)
    parser.add_argument("--json", action="store_true", help="the decision as JSON")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", dest="file", metavar="FILE", help="ask a configuration instead")
    add_admin(where)


def run(args: argparse.Namespace) -> int:
    """Explain the call that ``args`` describe.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    query = _query(args)
    try:
        if args.file is None:
            explained = ask(args.admin, f"/api/v1/explain?{query}")
        else:
            from pathlib import Path  # noqa: PLC0415 - with the engine

            explained = _of_file(Path(args.file), query)
    except CannotAskError as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(json.dumps(explained, indent=2) if args.json else shown(explained))
    return EXIT_REFUSED if explained["decision"] == "refuse" else 0


def _query(args: argparse.Namespace) -> str:
    given = {"route": args.route}
    for option in (*(name for name, *_ in _WISHES), *(name for name, _ in _FLAGS)):
        name = option.removeprefix("--").replace("-", "_")
        value = getattr(args, name)
        if value is not None and value is not False:
            given[name] = "true" if value is True else value
    return urlencode(given)


def _of_file(path: Path, query: str) -> Explained:
    """Return the decision of an engine that has just begun with the file at ``path``."""
    import asyncio  # noqa: PLC0415 - only this way of asking needs an engine
    import os  # noqa: PLC0415 - the same
    import random  # noqa: PLC0415 - the same

    from sidecar import clock  # noqa: PLC0415 - the same
    from sidecar.config.load import load  # noqa: PLC0415 - the same
    from sidecar.engine.engine import Engine  # noqa: PLC0415 - the same
    from sidecar.engine.explaining import explain  # noqa: PLC0415 - the same
    from sidecar.errors import CallError  # noqa: PLC0415 - the same
    from sidecar.events import FanOut  # noqa: PLC0415 - the same
    from sidecar.server.explain_asked import call_asked  # noqa: PLC0415 - the same
    from sidecar.server.intake import Intake  # noqa: PLC0415 - the same
    from sidecar.upstream.http import HttpUpstream  # noqa: PLC0415 - the same

    config = load(path, os.environ)

    async def asked() -> Explained:
        rng, now = random.Random(0), clock.now()
        engine = Engine(
            catalogue=config.catalogue,
            settings=config.settings,
            upstream=HttpUpstream(providers={}, endpoints={}),
            observer=FanOut(),
            rng=rng,
        )
        return explain(engine, call_asked(query, Intake(lambda: config.catalogue, rng), now), now)

    try:
        return asyncio.run(asked())
    except CallError as error:
        raise CannotAskError(error.message) from error


def shown(explained: Explained) -> str:
    """Return a decision as text: the sentence, who would be asked in which order, who is out."""
    asked = ", ".join(f"{name}={value}" for name, value in explained["asked"].items())
    lines = [f"{explained['route']} ({asked})", f"  {explained['decision']}: {explained['text']}"]
    for number, one in enumerate(explained["candidates"], 1):
        lines.append(f"  {number}. {_figures(one)}")
    for one in explained["rejected"]:
        lines.append(f"  -  {_figures(one)}")
        since = f", opens in {one['opens_in_s']} s" if one["opens_in_s"] is not None else ""
        cause = f" ({one['cause']})" if one["cause"] else ""
        lines.append(f"       out: {one['why']}{cause}{since}")
    return "\n".join(lines)


def _figures(one: dict[str, Any]) -> str:
    cost = "price unknown" if one["cost_usd"] is None else f"${one['cost_usd']:.6f}"
    return (
        f"{one['endpoint']}  tier {one['tier']}, score {one['score']}, quality {one['quality']},"
        f" first token {one['first_token_s']} s, whole {one['total_s']} s, {cost}"
    )
