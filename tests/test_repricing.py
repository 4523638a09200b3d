"""New list prices at run time: fetched by a child process, taken over by a reload, never in the way
when that fails.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import random
import threading
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.config import prices
from sidecar.config.load import load_text
from sidecar.config.model import PriceSettings
from sidecar.config.prices import Listed
from sidecar.domain import EndpointId
from sidecar.repricing import PriceRefresh
from sidecar.simulate.loop import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_S = 3600.0
MINI = ("https://api.openai.com/v1", "gpt-4o-mini")
CONFIG = b"""
providers: {openai: {kind: openai, api_key: {env: KEY}}}
models: {mini: {provider: openai, model: gpt-4o-mini}}
"""


def listing(usd: float) -> bytes:
    """Return a price list in which gpt-4o-mini costs ``usd`` a million tokens in."""
    model = {
        "id": "gpt-4o-mini",
        "match": {"equals": "gpt-4o-mini"},
        "prices": {"input_mtok": usd, "output_mtok": 4 * usd},
    }
    pattern = r"https://api\.openai\.com"
    provider = {"id": "openai", "name": "OpenAI", "api_pattern": pattern, "models": [model]}
    return json.dumps([provider]).encode()


class _Publisher(http.server.BaseHTTPRequestHandler):
    """Serves what its server has for the path."""

    server: Publisher

    def do_GET(self) -> None:
        """Answer with a list, or with an error where there is none."""
        body = self.server.lists.get(self.path)
        self.send_response(500 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Publisher(http.server.HTTPServer):
    """Where price lists are published."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Publisher)
        self.lists: dict[str, bytes] = {}

    def url(self, path: str) -> str:
        """Return where a list is."""
        return f"http://127.0.0.1:{self.server_port}{path}"


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A publisher, and a sidecar that knows one price of before."""
    monkeypatch.setattr(prices, "_known", {MINI: Listed(input_usd=1.0, output_usd=2.0)})
    monkeypatch.setattr(prices, "_fetched", {})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Publisher()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def price_now() -> float:
    """Return what a million tokens in cost by a configuration that is read now."""
    config = load_text(CONFIG, {"KEY": "k"}, source="c.yaml")
    price = config.catalogue.endpoints[EndpointId("openai/mini")].price
    assert price is not None
    return price.input_usd


async def test_a_new_price_asks_for_a_reload(publisher: Publisher) -> None:
    """What was fetched outranks the installed list, also after a doubt; the same again is no news;
    a failure in between changes nothing.
    """
    asked: list[float] = []
    settings = PriceSettings(refresh_s=HOUR_S, url=publisher.url("/list"))
    refresh = PriceRefresh(settings, lambda: asked.append(price_now()), random.Random(1))
    assert price_now() == 1.0
    publisher.lists["/list"] = listing(7.5)
    await refresh.fetch()
    assert asked == [7.5]
    refresh.adapt(PriceSettings(refresh_s=HOUR_S, url=publisher.url("/gone")))
    await refresh.fetch()
    assert "500" in (refresh.status.problem or "")
    assert refresh.status.fetched_at is not None
    refresh.adapt(settings)
    await refresh.fetch()
    assert asked == [7.5]
    assert (refresh.status.problem, refresh.status.changes_count) == (None, 1)
    prices.doubt()
    assert price_now() == 7.5


async def test_prices_that_cannot_be_true_are_not_taken(publisher: Publisher) -> None:
    """A list that is broken leaves the old prices in force."""
    publisher.lists["/list"] = listing(-3.0)
    settings = PriceSettings(refresh_s=HOUR_S, url=publisher.url("/list"))
    refresh = PriceRefresh(settings, lambda: pytest.fail("a reload"), random.Random(1))
    await refresh.fetch()
    assert price_now() == 1.0


async def test_a_fetch_that_takes_too_long_is_ended(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is gone when its time is over, and the status says so."""
    monkeypatch.setattr(prices, "CHILD_S", 0.0)
    settings = PriceSettings(url=publisher.url("/list"))
    refresh = PriceRefresh(settings, lambda: pytest.fail("a reload"), random.Random(1))
    await refresh.fetch()
    assert refresh.status.problem == "TimeoutError"


def test_an_answer_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that prints something else, or too little, changes nothing."""
    monkeypatch.setattr(prices, "_known", {MINI: None})
    monkeypatch.setattr(prices, "_fetched", {})
    _, asked = prices.fetch(None)
    for answer in (b"", b"{}", b"[]", b'[{"input_usd": "1"}]'):
        with pytest.raises(ValueError, match="no prices"):
            prices.take(asked, answer)
    assert not prices.take(asked, b"[null]")
    assert prices.take(asked, b'[{"input_usd": 1.0, "output_usd": 2.0}]')


def test_the_child_knows_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever publishes prices has no business with the providers' keys."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    names = prices.child_environment()
    assert "OPENAI_API_KEY" not in names
    assert names["https_proxy"] == "http://proxy.test:3128"


class _Counted(PriceRefresh):
    """Notes the moments instead of fetching."""

    def __init__(self, settings: PriceSettings, seed: int) -> None:
        super().__init__(settings, lambda: None, random.Random(seed))
        self.at: list[float] = []

    async def fetch(self) -> None:
        """Note that it is time."""
        self.at.append(now())


def test_it_is_fetched_in_due_time_and_not_by_all_at_once() -> None:
    """Soon after the start, then once a period, spread; and never where it is off."""

    async def days(refresh: _Counted) -> list[float]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(refresh.run())
            await asyncio.sleep(10 * 24 * HOUR_S)
            refresh.adapt(PriceSettings())
            await asyncio.sleep(10 * 24 * HOUR_S)
            refresh.adapt(PriceSettings(refresh_s=24 * HOUR_S))
            await asyncio.sleep(2 * 24 * HOUR_S)
            running.cancel()
        return refresh.at

    daily = PriceSettings(refresh_s=24 * HOUR_S)
    first, second = simulate(days(_Counted(daily, 1))), simulate(days(_Counted(daily, 2)))
    assert 60 <= first[0] <= 900
    assert first[0] != second[0]
    assert sum(at < 10 * 24 * HOUR_S for at in first) in (10, 11)
    assert not [at for at in first if 10 < at / (24 * HOUR_S) < 20]
    assert len([at for at in first if at > 20 * 24 * HOUR_S]) in (1, 2)
    assert simulate(days(_Counted(PriceSettings(), 1)))[0] > 20 * 24 * HOUR_S
