"""A headless Chromium; without one these tests are skipped."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes.conftest import (  # noqa: F401 - fixtures
    alpha,
    beta,
    config,
    http_session,
    session_alpha,
    session_beta,
    start,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    """A browser of its own for each test, so that nothing is left over."""
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    async with playwright.async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield opened
        await opened.close()
