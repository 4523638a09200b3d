"""Answer lengths: learned by route, bounded by the request."""

from __future__ import annotations

import pytest

from sidecar.core.output import OutputModel


def test_unknown_route_is_predicted_by_the_prior_within_the_request() -> None:
    """Before any answer: 256 tokens and a fifth, unless the caller allows fewer."""
    assert OutputModel().predict(None, 0.0) == pytest.approx(307.2)
    assert OutputModel().predict(16, 0.0) == 16.0
    assert OutputModel().predict(0, 0.0) == 1.0


def test_learns_from_answers_and_forgets() -> None:
    """Short answers make short predictions, and after hours of silence the prior is back."""
    model = OutputModel()
    for second in range(100):
        model.observe(10, float(second))
    assert model.predict(None, 100.0) < 20.0
    assert model.predict(None, 50_000.0) == pytest.approx(307.2, rel=0.01)


def test_prediction_is_at_least_one_token() -> None:
    """Empty answers do not predict an answer of nothing."""
    model = OutputModel()
    for _ in range(10_000):
        model.observe(0, 0.0)
    assert model.predict(None, 0.0) == 1.0
