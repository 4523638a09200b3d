"""Liveness, readiness, startup."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.server.health import HealthPlane, HealthStatus

UP = HealthStatus(is_started=True, is_draining=False, config={"generation": 3})
DRAINING = HealthStatus(is_started=True, is_draining=True, config={"generation": 3})
STARTING = HealthStatus(is_started=False, is_draining=False, config={})


async def ask(make_exchange: Any, path: str, status: HealthStatus, method: str = "GET") -> Any:
    """Ask the plane once."""
    exchange = make_exchange(method, path)
    await HealthPlane(
        lambda: status, lambda accept: (f"text/{accept or 'any'}", "a_total 1\n")
    ).handle(exchange)
    return exchange


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/livez", UP, 200),
        ("/livez", DRAINING, 200),
        ("/livez", STARTING, 200),
        ("/readyz", UP, 200),
        ("/readyz", DRAINING, 503),
        ("/readyz", STARTING, 503),
        ("/startupz", UP, 200),
        ("/startupz", DRAINING, 200),
        ("/startupz", STARTING, 503),
    ],
)
async def test_each_probe_has_its_own_meaning(
    make_exchange: Any, path: str, status: HealthStatus, expected: int
) -> None:
    """Alive is always alive; ready means taking calls; started stays true while draining."""
    assert (await ask(make_exchange, path, status)).status == expected


async def test_readiness_shows_the_configuration(make_exchange: Any) -> None:
    """A refused configuration is visible where operators look first, without being fatal."""
    config = {"generation": 3, "error": ("x.yaml:3: no",)}
    status = HealthStatus(is_started=True, is_draining=False, config=config)
    exchange = await ask(make_exchange, "/readyz", status)
    assert exchange.status == 200
    assert exchange.json()["config"] == {"generation": 3, "error": ["x.yaml:3: no"]}
    assert exchange.sent_headers["cache-control"] == "no-store"


async def test_liveness_asks_nobody(make_exchange: Any) -> None:
    """The state behind readiness may be broken; liveness still answers."""

    def broken() -> HealthStatus:
        raise AssertionError("liveness must not ask")

    exchange = make_exchange("GET", "/livez")
    await HealthPlane(broken, lambda _: ("", "")).handle(exchange)
    assert exchange.status == 200


async def test_metrics_are_text(make_exchange: Any) -> None:
    """The metrics are served as the type that they are."""
    exchange = await ask(make_exchange, "/metrics", UP)
    assert (exchange.status, exchange.text()) == (200, "a_total 1\n")
    assert exchange.sent_headers["content-type"] == "text/any"


async def test_other_paths_and_methods(make_exchange: Any) -> None:
    """The plane is four paths, only read."""
    assert (await ask(make_exchange, "/metricz", UP)).status == 404
    refused = await ask(make_exchange, "/readyz", UP, "POST")
    assert refused.status == 405
    assert refused.sent_headers["allow"] == "GET, HEAD"
    assert (await ask(make_exchange, "/readyz", UP, "HEAD")).status == 200
