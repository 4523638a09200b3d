"""Prices of public models whose price is not given: from the maintained list of genai-prices.

The list costs about 28 MiB of resident memory (27 at the import, 3 at the first look-up) and
dropping its modules afterwards frees none of it: measured 38.9 MiB before and after, also with
malloc_trim. So a child process of this very file reads the list, prints the few numbers that are
needed and ends; the sidecar stays as small as it was.

The child can also fetch the list's latest edition (``repricing.py`` asks it to, where that is
configured). What it found then outranks the installed list, which is older.
"""

from __future__ import annotations

import math
import os
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
USD_MAX = 1e6
"""A dollar a token: a list that says more is broken."""
MEMORY_BYTES_MAX = 1024**3
_ENVIRONMENT = frozenset(
    {
        *("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    }
)
"""What the child needs to know; the providers' keys are none of it."""
_CHILD = """
import datetime, json, sys
from genai_prices.data_snapshot import get_snapshot

def base(price):
    return None if price is None else float(getattr(price, "base", price))

def fetched(url):
    import resource
    from genai_prices.update_prices import DEFAULT_UPDATE_URL, UpdatePrices
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    return UpdatePrices(url=url or DEFAULT_UPDATE_URL).fetch()

asked = json.load(sys.stdin)
snapshot = fetched(asked["url"]) if asked["is_fetched"] else get_snapshot()
found, now = [], datetime.datetime.now(datetime.timezone.utc)
for url, model in asked["wanted"]:
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
""".replace("MEMORY_BYTES_MAX", str(MEMORY_BYTES_MAX))


@value
class Listed:
    """What the list says of a model: US dollars per million tokens (first tier), context."""

    input_usd: float | None = None
    output_usd: float | None = None
    cached_input_usd: float | None = None
    cache_write_usd: float | None = None
    context_tokens: int | None = None

    def price(self) -> Price | None:
        """Return the price if both directions are known and can be true."""
        if self.input_usd is None or self.output_usd is None or not self.is_believable():
            return None
        return Price(
            input_usd=self.input_usd,
            output_usd=self.output_usd,
            cached_input_usd=self.cached_input_usd,
            cache_write_usd=self.cache_write_usd,
        )

    def is_believable(self) -> bool:
        """Return whether all of its prices could be prices."""
        prices = (self.input_usd, self.output_usd, self.cached_input_usd, self.cache_write_usd)
        return all(usd is None or (math.isfinite(usd) and 0 <= usd <= USD_MAX) for usd in prices)


Wanted = tuple[str, str]
_known: dict[Wanted, Listed | None] = {}
_fetched: dict[Wanted, Listed] = {}
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
    known = ((pair, _fetched.get(pair) or _known.get(pair)) for pair in wanted)
    return {pair: listed for pair, listed in known if listed is not None}


def fetch(url: str | None) -> tuple[tuple[str, ...], bytes]:
    """Return the command that fetches the list from ``url`` (None: where its maintainers keep it)
    and what to tell it; its answer is for ``take``.
    """
    wanted = [pair for pair in _known if not is_private(urlsplit(pair[0]).hostname or "")]
    asked = {"wanted": wanted, "is_fetched": True, "url": url}
    return (sys.executable, "-c", _CHILD), msgspec.json.encode(asked)


def take(asked: bytes, answer: bytes) -> bool:
    """Remember what was fetched; return whether it says anything new.

    A model that is no longer listed, or at a price that cannot be true, stays as it was.

    Raises:
        ValueError: the answer is none.
    """
    wanted = msgspec.json.decode(asked, type=_Asked).wanted
    try:
        found = msgspec.json.decode(answer, type=list[Listed | None])
        pairs = tuple(zip(wanted, found, strict=True))
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError("it printed no prices") from error
    fresh = {pair: one for pair, one in pairs if one is not None and one.is_believable()}
    changed = {pair for pair, one in fresh.items() if one != (_fetched.get(pair) or _known[pair])}
    _fetched.update(fresh)
    return bool(changed)


def child_environment() -> dict[str, str]:
    """Return the environment of a child, without keys."""
    return {name: text for name, text in os.environ.items() if name.upper() in _ENVIRONMENT}


class _Asked(msgspec.Struct):
    wanted: list[Wanted]


def _ask_child(wanted: list[Wanted]) -> list[Listed | None] | None:
    """Return what a short-lived process finds in the list, None if it cannot be read."""
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
            [sys.executable, "-c", _CHILD],
            input=msgspec.json.encode({"wanted": wanted, "is_fetched": False, "url": None}),
            env=child_environment(),
            capture_output=True,
            timeout=CHILD_S,
            check=True,
        )
        found = msgspec.json.decode(child.stdout, type=list[Listed | None])
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
        return None
    return found if len(found) == len(wanted) else None
