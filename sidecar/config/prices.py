"""Prices of public models whose price is not given: from the maintained list of genai-prices.

The list costs about 28 MiB of resident memory (27 at the import, 3 at the first look-up) and
dropping its modules afterwards frees none of it: measured 38.9 MiB before and after, also with
malloc_trim. So a child process of this very file reads the list, prints the few numbers that are
needed and ends; the sidecar stays as small as it was.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from sidecar.config.texts import is_private
from sidecar.domain import Price
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHILD_S = 20.0
_CHILD = """
import datetime, json, sys
from genai_prices.data_snapshot import get_snapshot

def base(price):
    return None if price is None else float(getattr(price, "base", price))

found, snapshot = [], get_snapshot()
now = datetime.datetime.now(datetime.timezone.utc)
for url, model in json.load(sys.stdin):
    try:
        _, info = snapshot.find_provider_model(model, None, None, url)
        price = info.get_prices(now)
        found.append({
            "input_usd": base(price.input_mtok),
            "output_usd": base(price.output_mtok),
            "cached_input_usd": base(price.cache_read_mtok),
            "cache_write_usd": base(price.cache_write_mtok),
            "context_tokens": info.context_window,
        })
    except LookupError:
        found.append(None)
json.dump(found, sys.stdout)
"""


@value
class Listed:
    """What the list says of a model: US dollars per million tokens (first tier), context."""

    input_usd: float | None = None
    output_usd: float | None = None
    cached_input_usd: float | None = None
    cache_write_usd: float | None = None
    context_tokens: int | None = None

    def price(self) -> Price | None:
        """Return the price if both directions are known."""
        if self.input_usd is None or self.output_usd is None:
            return None
        return Price(
            input_usd=self.input_usd,
            output_usd=self.output_usd,
            cached_input_usd=self.cached_input_usd,
            cache_write_usd=self.cache_write_usd,
        )


Wanted = tuple[str, str]
_known: dict[Wanted, Listed | None] = {}
_doubted: set[Wanted] = set()


def doubt() -> None:
    """Ask the list anew for all that is remembered, at the next look-up: it may have changed."""
    _doubted.update(_known)


def look_up(wanted: Sequence[Wanted]) -> Mapping[Wanted, Listed]:
    """Return what is listed of (base URL, provider's model name) pairs; the rest is absent.

    Hosts inside are not asked for. What was found is remembered until it is doubted. A list that
    cannot be read is as good as empty, and changes nothing that was read before.
    """
    missing = [
        pair
        for pair in dict.fromkeys(wanted)
        if (pair not in _known or pair in _doubted)
        and not is_private(urlsplit(pair[0]).hostname or "")
    ]
    if missing:
        found = _ask_child(missing)
        _known.update(zip(missing, found or map(_known.get, missing), strict=True))
        _doubted.difference_update(missing)
    known = ((pair, _known.get(pair)) for pair in wanted)
    return {pair: listed for pair, listed in known if listed is not None}


def _ask_child(wanted: list[Wanted]) -> list[Listed | None] | None:
    """Return what a short-lived process finds in the list, None if it cannot be read."""
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
            [sys.executable, "-c", _CHILD],
            input=msgspec.json.encode(wanted),
            capture_output=True,
            timeout=CHILD_S,
            check=True,
        )
        found = msgspec.json.decode(child.stdout, type=list[Listed | None])
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return None
    return found if len(found) == len(wanted) else None
