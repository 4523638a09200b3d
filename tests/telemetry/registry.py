"""All instruments of a sidecar, as its app puts them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.app import App
from sidecar.config.load import load_text
from tests.telemetry.conftest import CONFIG

if TYPE_CHECKING:
    from sidecar.metrics import Registry


def full_registry(env: dict[str, str] | None = None) -> Registry:
    """Return the registry of an app that was never started."""
    url = "http://127.0.0.1:9"
    text = CONFIG.format(alpha=url, beta=url, more="", extra="")
    return App(load_text(text.encode(), {}, source="test"), env=env or {}).telemetry.registry
