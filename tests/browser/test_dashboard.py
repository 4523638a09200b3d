"""The dashboard in a real browser: read, live, usable by keyboard, and true after a restart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes.conftest import Sidecar, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.processes.conftest import Provider

    Start = Callable[[str], Awaitable[Sidecar]]

ALPHA = "alpha/alpha-sim"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1300, "height": 900}},
    "dark": {"viewport": {"width": 1300, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 800}},
}


async def opened(browser: Any, sidecar: Sidecar, **look: Any) -> Any:
    """Return the page, with what went wrong in it under ``problems``."""
    context = await browser.new_context(**look)
    page = await context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "console",
        lambda line: page.problems.append(line.text) if line.type == "error" else None,
    )
    await page.goto(sidecar.url("admin") + "/")
    return page


def row(page: Any, endpoint: str = ALPHA) -> Any:
    """Return an endpoint's row."""
    return page.locator("#endpoints tbody tr").filter(has_text=endpoint)


async def shows(locator: Any, text: str) -> None:
    """Wait until ``text`` is there."""
    from playwright.async_api import expect  # noqa: PLC0415 - only where it is installed

    await expect(locator).to_contain_text(text, timeout=15_000)


@pytest.mark.parametrize("look", LOOKS)
async def test_it_can_be_read_by_everybody(
    browser: Any, start: Start, config: Callable[..., str], look: str
) -> None:
    """No accessibility rule is broken in light, dark or on a phone, with a drill shown too."""
    from axe_playwright_python.async_playwright import Axe  # noqa: PLC0415 - where it is installed

    sidecar = await start(config() + "drills: enabled\n")
    await sidecar.chat()
    page = await opened(browser, sidecar, bypass_csp=True, **LOOKS[look])
    await shows(page.locator("#calls"), "quick: ok by alpha/alpha-sim")
    assert (await Axe().run(page)).response["violations"] == []
    await row(page).get_by_role("button", name="drill").click()
    assert (await Axe().run(page)).response["violations"] == []
    assert page.problems == []


async def test_the_advice_can_be_read_by_everybody(
    browser: Any, start: Start, config: Callable[..., str]
) -> None:
    """The page behind the link, before anybody gave feedback."""
    from axe_playwright_python.async_playwright import Axe  # noqa: PLC0415 - where it is installed

    sidecar = await start(config())
    await sidecar.chat()
    page = await opened(browser, sidecar, bypass_csp=True)
    await page.get_by_role("link", name="advice").click()
    await shows(page.locator("main"), "no change is supported by what is known yet")
    await shows(page.locator("main"), "alpha-sim")
    assert (await Axe().run(page)).response["violations"] == []
    assert page.problems == []


async def test_it_needs_no_javascript(
    browser: Any, start: Start, config: Callable[..., str]
) -> None:
    """The tables are in the page that the sidecar sends."""
    sidecar = await start(config())
    await sidecar.chat()
    page = await opened(browser, sidecar, java_script_enabled=False)
    assert await row(page).count() == 1
    assert "closed" in await row(page).inner_text()
    assert "quick" in await page.locator("#routes").inner_text()


async def test_it_follows_an_outage(
    browser: Any, start: Start, config: Callable[..., str], alpha: Provider
) -> None:
    """Without a reload: the breaker opens, the decision is spelt out, and it closes again."""
    sidecar = await start(config())
    page = await opened(browser, sidecar)
    await shows(row(page), "closed")
    alpha.break_by({"kind": "status", "status": 500})

    async def is_open() -> bool:
        await sidecar.chat()
        breaker: str = (await sidecar.state())["endpoints"][ALPHA]["breaker"]
        return breaker == "open"

    await until(is_open, "the breaker opens")
    assert (await sidecar.chat()).status == 200
    await shows(row(page), "open")
    await shows(page.locator("#changes"), f"breaker of {ALPHA}: closed to open")
    await shows(page.locator("#calls"), f"{ALPHA} rejected: its breaker is open since")
    await shows(page.locator("#routes s"), ALPHA)
    alpha.break_by()
    await shows(page.locator("#changes"), "half_open to closed")
    await shows(row(page), "closed")
    assert page.problems == []


async def test_its_buttons_ask_first_and_work(
    browser: Any, start: Start, config: Callable[..., str]
) -> None:
    """Isolate and restore by keyboard alone; no is no; a drill begins and ends."""
    sidecar = await start(config() + "drills: enabled\n")
    page = await opened(browser, sidecar)
    isolate = row(page).get_by_role("button", name="isolate")
    await isolate.click()
    await page.get_by_role("button", name="No").click()
    assert (await sidecar.state())["endpoints"][ALPHA]["breaker"] == "closed"
    await isolate.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")  # the dialog's first button has the focus
    await shows(row(page), "isolated")
    assert (await sidecar.chat()).attempts == ["beta/beta-sim:OK"]
    await row(page).get_by_role("button", name="restore").click()
    await page.get_by_role("button", name="Yes").click()
    await shows(row(page), "closed")
    await row(page).get_by_role("button", name="drill").click()
    await page.locator("#ask-fault").select_option("500")
    await page.get_by_role("button", name="Yes").click()
    await shows(row(page), "drill: 500 100%")
    await row(page).get_by_role("button", name="end drill").click()
    await page.get_by_role("button", name="Yes").click()
    await shows(page.locator("#changes"), f"drill 500 at {ALPHA} ended")
    assert page.problems == []


async def test_a_refused_drill_says_why(
    browser: Any, start: Start, config: Callable[..., str]
) -> None:
    """What cannot be is told in the dialog."""
    sidecar = await start(config() + "drills: enabled\n")
    page = await opened(browser, sidecar)
    await row(page).get_by_role("button", name="drill").click()
    await page.locator("#ask-for").fill("2 days")
    await page.get_by_role("button", name="Yes").click()
    await shows(page.locator("#ask-refused"), "for: expected a duration")


async def test_it_survives_a_restart(
    browser: Any, start: Start, config: Callable[..., str]
) -> None:
    """It says that nobody answers, and goes on when somebody does."""
    first = await start(config())
    page = await opened(browser, first)
    await shows(page.locator("#head"), "generation 1")
    first.kill()
    from playwright.async_api import expect  # noqa: PLC0415 - only where it is installed

    await expect(page.locator("#gone")).to_be_visible(timeout=15_000)
    same = re.sub(r'admin: "127.0.0.1:0"', f'admin: "127.0.0.1:{first.ports["admin"]}"', config())
    second = await start(same)
    await expect(page.locator("#gone")).to_be_hidden(timeout=15_000)
    await second.chat()
    await shows(page.locator("#calls"), "quick: ok by alpha/alpha-sim")
