"""The curves of ``docs/fleet.md`` at their near end, played anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.simulate.fleet_scale import HEAD, Scale, measure, row

DOC = Path(__file__).parents[2] / "docs" / "fleet.md"


@pytest.fixture(scope="module", params=[10, 100])
def scale(request: pytest.FixtureRequest) -> Scale:
    """One outage."""
    return measure(request.param)


def test_the_documented_row_is_what_is_played(scale: Scale) -> None:
    """The table in the documentation is printed by the simulation."""
    text = DOC.read_text(encoding="utf-8")
    assert HEAD in text
    assert row(scale) in text


def test_a_fleet_is_quicker_than_a_pod_and_pays_once(scale: Scale) -> None:
    """All know within two seconds of the first, sooner than one alone, and few probes are paid."""
    assert scale.spread_s <= 2.0
    assert scale.detect_s + scale.spread_s < scale.alone_s
    assert scale.probes <= 8
    assert scale.ops_per_s <= 1.1 * scale.pods
