"""Fixtures of every client's tests."""

from __future__ import annotations

import pytest
from zoo import Asked


@pytest.fixture
def asked() -> Asked:
    """What the providers are asked for during the test."""
    return Asked()
