"""Names such as `my_app` and `tenant_1.app`, in the clients that people have: TLS, routing and the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devtls.demo import start as start_demo
from tests.e2e.chromium import Chromium
from tests.e2e.clients import RequireTool, fetch_command, require_clients, run
from tests.e2e.firefox import Firefox
from tests.e2e.serving import DEVTLS, Serving, serving

pytestmark = pytest.mark.e2e

NAMES = ("my_app.dev.local", "my_app.localhost", "tenant_1.app.test", "_a_.tenant_1.app.test")


@pytest.fixture
async def proxy(home: Path) -> AsyncIterator[Serving]:
    runner, port = await start_demo()
    async with serving(home, f"my_app={port}", f"*.app={port}") as proxy:
        yield proxy
    await runner.cleanup()


@pytest.mark.parametrize("name", NAMES)
async def test_programs_accept_the_certificate_and_reach_the_app(
    proxy: Serving, name: str, require_tool: RequireTool
) -> None:
    require_clients(require_tool)
    trusted = {variable: str(proxy.root) for variable in ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")}
    for client, tool in (("curl", "curl"), ("python", "python3"), ("node", "node")):
        command = fetch_command(client, require_tool(tool, f"apt-get install {tool}"), name, proxy.port)
        ended = await run(command, trusted)
        assert ended.returncode == 0, (client, ended.stderr)
        assert ended.stdout.rstrip().endswith("ready"), (client, ended.stdout)
    checks = ("-verify_hostname", name, "-verify_return_error", "-x509_strict", "-CAfile", str(proxy.root))
    openssl = require_tool("openssl", "apt-get install openssl")
    ended = await run((openssl, "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-servername", name, *checks))
    assert "Verify return code: 0 (ok)" in ended.stdout, ended.stderr


@pytest.mark.browser
async def test_browsers_accept_the_certificate_and_reach_the_app(
    home: Path, proxy: Serving, require_tool: RequireTool
) -> None:
    require_tool("certutil", "apt-get install libnss3-tools")
    chromium = require_tool("chromium", "apt-get install chromium")
    firefox = require_tool("firefox-esr", "apt-get install firefox-esr")
    resolver = {"*.dev.local": "127.0.0.1", "*.test": "127.0.0.1"}
    settings = {"network.dns.localDomains": ",".join(NAMES)}
    async with Firefox(home, executable=firefox):
        pass  # its profile is made
    trusted = await run((*DEVTLS, "trust", "--yes", "--store", "nss"))
    assert trusted.returncode == 0, trusted.stderr
    async with Chromium(home, resolver=resolver, executable=chromium) as browser:
        for name in NAMES:
            page = await browser.open(proxy.url(name))
            assert (page.error, page.status) == ("", 200), name
    async with Firefox(home, executable=firefox, settings=settings) as fox:
        for name in NAMES:
            found = await fox.open(proxy.url(name))
            assert (found.error, found.status) == ("", 200), name
