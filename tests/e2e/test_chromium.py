"""The driver of the browser tests: it loads, evaluates and waits, and it sees a refused certificate."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from devtls.demo import start
from tests.bench.certificates import write_chain
from tests.e2e.browser import ScriptFailed, WaitTimedOut
from tests.e2e.chromium import Chromium

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

RequireTool = Callable[[str, str], str]


@pytest.fixture
async def browser(home: Path, require_tool: RequireTool) -> AsyncIterator[Chromium]:
    executable = require_tool("chromium", "sudo apt-get install chromium")
    async with Chromium(home, resolver={"*.dev.local": "127.0.0.1"}, executable=executable) as browser:
        yield browser


@pytest.fixture
async def demo_port() -> AsyncIterator[int]:
    runner, port = await start()
    yield port
    await runner.cleanup()


async def test_the_demo_page_is_live_in_a_browser(browser: Chromium, demo_port: int, tmp_path: Path) -> None:
    page = await browser.open(f"http://127.0.0.1:{demo_port}/")
    assert (page.error, page.status) == ("", 200)
    await page.wait_for("document.querySelector('#ws.good')")
    await page.wait_for("document.querySelector('#sse.good')")
    assert await page.evaluate("document.querySelector('#secure').textContent") == "yes"
    assert await page.evaluate("document.querySelectorAll('#headers tr').length") > 5
    assert page.console == []
    assert page.failed == []
    await page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


async def test_scripts_that_throw_and_waits_that_end_say_why(browser: Chromium, demo_port: int) -> None:
    page = await browser.open(f"http://127.0.0.1:{demo_port}/ready")
    with pytest.raises(ScriptFailed, match="not at home"):
        await page.evaluate("(() => { throw new Error('not at home') })()")
    with pytest.raises(WaitTimedOut, match="page: ready"):
        await page.wait_for("false", timeout_s=0.1)
    assert await page.evaluate("Promise.resolve([1, {a: 2}])") == [1, {"a": 2}]


async def test_a_certificate_that_nobody_trusts_is_an_error_of_the_page(browser: Chromium, tmp_path: Path) -> None:
    write_chain(tmp_path, "app.dev.local")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    page = await browser.open(f"https://app.dev.local:{runner.addresses[0][1]}/")
    assert page.error == "net::ERR_CERT_AUTHORITY_INVALID"
    await runner.cleanup()
