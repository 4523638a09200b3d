"""Learning in known worlds: it converges, it follows, and the study's page is what it makes."""

from __future__ import annotations

import pytest

from sidecar.simulate.learning import play as playing
from sidecar.simulate.learning.play import play
from sidecar.simulate.learning.plots import Line, Panel, drawn
from sidecar.simulate.learning.worlds import worlds

DAY_S = 86_400.0


@pytest.mark.parametrize("name", ["stationary", "drift", "newcomer", "cheap as good"])
def test_learning_beats_what_is_fixed_and_gets_better(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With a fifth of the study's calls: less regret than the first model by far, in a changing
    world less than the best fixed one, and at the end next to none.
    """
    monkeypatch.setattr(playing, "CALLS_PER_DAY", 400)
    world = next(one for one in worlds() if one.name == name)
    played = play(world, seed=5, half_life_s=2 * DAY_S)
    total = played.learned[-1]
    first = played.fixed[world.arms[0].name][-1]
    assert total < 0.35 * first
    if name in ("drift", "newcomer"):
        assert total < min(curve[-1] for curve in played.fixed.values())
    points = len(played.learned)
    last_per_call = (total - played.learned[points * 3 // 4]) / (3 * 400)
    assert last_per_call < 0.0015
    assert played.explored_share < playing.TERMS.share


def test_a_panel_is_drawn_to_scale() -> None:
    """A curve that ends at the scale's end ends in the corner; what leaves the scale is cut."""
    line, far = Line(kind="learned", points=(5.0, 10.0)), Line(kind="first", points=(5.0, 11.0))
    svg = drawn([Panel(name="a & b", lines=(line, far), usd_max=10.0)], [("learned", "learned")])
    assert 'class="learned" points="46.0,164.0 161.0,97.0 276.0,30.0"' in svg
    assert 'class="first" points="46.0,164.0 161.0,97.0"' in svg
    assert "a &amp; b" in svg
