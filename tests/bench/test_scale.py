"""The configurations that the cost of size is measured with."""

from __future__ import annotations

import pytest

from bench.candidates import filled
from bench.scale import SIZES, Size, allowed, config
from sidecar.config.load import load_text

PLACES = {"port": "0", "admin": "0", "health": "0", "one": "81", "two": "82"}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_configurations_are_of_their_size(size: Size) -> None:
    """The sidecar takes each, and finds as many endpoints and routes as the size says."""
    catalogue = load_text(filled(config(size), PLACES).encode(), {}, source="size").catalogue
    assert len(catalogue.endpoints) == size.endpoints
    assert sum(1 for route in catalogue.routes.values() if route.is_task) == size.routes
    called = [name for tier in catalogue.routes["bench"].tiers for name in tier]
    assert len(called) == (size.endpoints if size.is_wide else 3)
    assert called[-1].endswith(f"/m{size.endpoints - 1}")


def test_growth_is_logarithmic() -> None:
    """Every doubling allows the same, wherever it is; the smallest allows nothing."""
    assert allowed(Size(endpoints=3, routes=1)) == 1.0
    assert allowed(Size(endpoints=6, routes=1)) == pytest.approx(1.1)
    assert allowed(Size(endpoints=12, routes=2)) == pytest.approx(1.3)
    assert allowed(Size(endpoints=300, routes=1024)) == pytest.approx(2.664, abs=0.001)
