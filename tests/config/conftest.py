"""A small configuration that is right, and a way to break one thing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.config.load import load_text
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.config.model import Config

GOOD = """\
providers:
  a: {kind: openai, base_url: "http://127.0.0.1:4191/v1"}
  b: {kind: anthropic, base_url: "http://127.0.0.2:4192"}
models:
  big: {provider: a, model: a-big, price: {input: 1, output: 2}}
  small: {provider: b, model: b-small, price: {input: 1, output: 2}}
routes:
  reason: {tiers: [[big], [small]], within: 20s}
"""


@pytest.fixture
def read() -> Callable[..., Config]:
    """Return a function that loads the good text with replacements made in it."""

    def _read(*changes: tuple[str, str], env: Mapping[str, str] | None = None) -> Config:
        text = GOOD
        for old, new in changes:
            assert old in text, f"{old!r} is not in the good configuration"
            text = text.replace(old, new)
        return load_text(text.encode(), env or {}, source="c.yaml")

    return _read


@pytest.fixture
def problems(read: Callable[..., Config]) -> Callable[..., list[str]]:
    """Return a function that gives the problems of the good text with replacements made in it."""

    def _problems(*changes: tuple[str, str], env: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(*changes, env=env)
        return list(caught.value.problems)

    return _problems
