"""The driver of the Firefox tests: it loads, evaluates and waits, and it sees a refused certificate."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from devtls.demo import start
from tests.bench.certificates import write_chain
from tests.conftest import RequireTool
from tests.e2e.browser import ScriptFailed, WaitTimedOut
from tests.e2e.clients import run
from tests.e2e.firefox import Firefox

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture
def firefox(home: Path, require_tool: RequireTool) -> Firefox:
    return Firefox(home, executable=require_tool("firefox-esr", "sudo apt-get install firefox-esr"))


@pytest.fixture
async def demo_port() -> AsyncIterator[int]:
    runner, port = await start()
    yield port
    await runner.cleanup()


@pytest.fixture
async def tls_port(tmp_path: Path) -> AsyncIterator[int]:
    """A server for app.dev.local under a root that nobody trusts yet (root.pem in tmp_path)."""
    write_chain(tmp_path, "app.dev.local")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_pages_are_live_and_what_goes_wrong_in_them_is_shown(firefox: Firefox, demo_port: int) -> None:
    async with firefox as browser:
        page = await browser.open(f"http://127.0.0.1:{demo_port}/")
        assert (page.error, page.status, page.protocol) == ("", 200, "http/1.1")
        await page.wait_for("document.querySelector('#ws.good')")
        await page.wait_for("document.querySelector('#sse.good')")
        assert await page.evaluate("document.querySelectorAll('#headers tr').length") > 5
        assert (page.console, page.failed) == ([], [])
        await page.goto(f"http://127.0.0.1:{demo_port}/ready")
        assert (await page.text()).strip() == "ready"
        with pytest.raises(ScriptFailed, match="not at home"):
            await page.evaluate("(() => { throw new Error('not at home') })()")
        with pytest.raises(WaitTimedOut, match="page: ready"):
            await page.wait_for("false", timeout_s=0.1)
        assert await page.evaluate("Promise.resolve([1, {a: 2}])") == [1, {"a": 2}]
        assert await page.evaluate("console.log('said')") is None
        await page.goto("http://127.0.0.1:9/")
        assert page.error
        await page.goto(f"http://app.dev.local:{demo_port}/ready")
        assert (page.error, page.console) == ("", ["said"])


async def test_a_certificate_counts_once_the_profile_trusts_its_root(
    firefox: Firefox, tls_port: int, tmp_path: Path, require_tool: RequireTool
) -> None:
    certutil = require_tool("certutil", "sudo apt-get install libnss3-tools")
    url, other = f"https://app.dev.local:{tls_port}/", f"https://other.dev.local:{tls_port}/"
    async with firefox as browser:
        assert (await browser.open(url)).error == "SEC_ERROR_UNKNOWN_ISSUER"
    argv = (certutil, "-A", "-d", f"sql:{firefox.profile}", "-t", "C,,", "-n", "test", "-i", str(tmp_path / "root.pem"))
    assert (await run(argv)).returncode == 0
    async with firefox as browser:
        page = await browser.open(url)
        assert (page.error, page.status) == ("", 404)
        await page.goto(other)
        assert page.error == "SSL_ERROR_BAD_CERT_DOMAIN"
