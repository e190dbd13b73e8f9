"""What a browser shows while something is missing: our own pages, the way to https, a proxy that is not trusted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devtls.demo import start as start_demo
from tests.e2e.chromium import Chromium
from tests.e2e.clients import RequireTool, run
from tests.e2e.serving import DEVTLS, Serving, serving
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

NAME, OTHER = "app.dev.local", "none.dev.local"


@pytest.fixture
def chromium(home: Path, require_tool: RequireTool) -> Chromium:
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    executable = require_tool("chromium", "sudo apt-get install chromium")
    return Chromium(home, resolver={"*.dev.local": "127.0.0.1"}, executable=executable)


@pytest.fixture
async def browser(chromium: Chromium) -> AsyncIterator[Chromium]:
    """A browser of a machine that trusts."""
    trusted = await run((*DEVTLS, "trust", "--yes", "--store", "nss"))
    assert trusted.returncode == 0, trusted.stderr
    async with chromium:
        yield chromium


@pytest.fixture
def app_port() -> int:
    return free_port()


@pytest.fixture
async def proxy(home: Path, app_port: int) -> AsyncIterator[Serving]:
    async with serving(home, f"app={app_port}") as proxy:
        yield proxy


async def test_the_page_of_an_app_that_is_down_becomes_the_app_when_it_is_up(
    browser: Chromium, proxy: Serving, app_port: int
) -> None:
    page = await browser.open(proxy.url(NAME))
    assert page.status == 502
    assert f"127.0.0.1:{app_port}" in await page.text()
    runner, _ = await start_demo(port=app_port)
    await page.wait_for("document.querySelector('#ws.good')", timeout_s=15)
    assert page.status == 200
    await runner.cleanup()


async def test_a_name_without_a_route_shows_the_routes_there_are(browser: Chromium, proxy: Serving) -> None:
    page = await browser.open(proxy.url(OTHER))
    assert page.status == 404
    links = await page.evaluate("[...document.querySelectorAll('a')].map((link) => link.href)")
    assert proxy.url(NAME) in links
    assert page.console == []


async def test_http_typed_with_our_port_leads_to_https(browser: Chromium, proxy: Serving, app_port: int) -> None:
    runner, _ = await start_demo(port=app_port)
    page = await browser.open(f"http://{NAME}:{proxy.port}/headers")
    assert await page.evaluate("location.href") == proxy.url(NAME, "/headers")
    assert await page.evaluate("window.isSecureContext") is True
    await runner.cleanup()


async def test_the_page_with_the_root_opens_the_steps_of_this_system(browser: Chromium, proxy: Serving) -> None:
    described = json.loads((await run((*DEVTLS, "ca", "--json"))).stdout)
    page = await browser.open(described["page"])
    assert page.status == 200
    assert f"devtls root {described['id']}" in await page.text()
    assert "Linux" in await page.evaluate("document.querySelector('details[open] summary').textContent")
    assert await page.evaluate("getComputedStyle(document.querySelector('dl')).display") == "grid"
    assert (page.console, page.failed) == ([], [])


async def test_a_browser_that_does_not_trust_yet_is_told_of_in_the_log(chromium: Chromium, proxy: Serving) -> None:
    async with chromium:
        page = await chromium.open(proxy.url(NAME))
        assert page.error == "net::ERR_CERT_AUTHORITY_INVALID"
    assert f"refused our certificate for {NAME}" in proxy.program.output()
    assert "devtls trust" in proxy.program.output()
