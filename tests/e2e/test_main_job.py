"""The main job as a user lives it: trust once, serve beside an app, browse without a warning; then take it all back.

Real commands, a real headless Chromium with nothing switched off (--no-sandbox and resolver rules are its only extra
flags), and curl, Python and Node as `devtls trust` said that they work.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devtls.demo import start as start_demo
from devtls.doctor.listener import listening, server_context
from devtls.names import Hostname
from devtls.pki.authority import FOREIGN_NAME, issue_foreign_probe
from devtls.system.machine.paths import Paths
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.storage.keystore import Keystore
from tests.e2e.chromium import Chromium
from tests.e2e.clients import Ended, RequireTool, fetch_command, named_setting, require_clients, run
from tests.e2e.serving import DEVTLS, Serving, serving

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

NAMES = ("app.dev.local", "app.localhost", "app.test")
FOREIGN = "example.com"
NEW_DIRECTORY = ".local/share/pki/nssdb"
OLD_DIRECTORY = ".pki/nssdb"
CLIENT_S = 15.0


@dataclass(frozen=True)
class Machine:
    """A user's machine for one test: the home and the browser on it."""

    home: Path
    chromium: str

    def browser(self) -> Chromium:
        """Return a browser that finds our names, and foreign ones, on this machine."""
        here = dict.fromkeys((*NAMES, FOREIGN, FOREIGN_NAME), "127.0.0.1")
        return Chromium(self.home, resolver=here, executable=self.chromium, flags=())


@pytest.fixture(params=[NEW_DIRECTORY, OLD_DIRECTORY], ids=["fresh home", "home of an older Chromium"])
def machine(request: pytest.FixtureRequest, home: Path, require_tool: RequireTool) -> Machine:
    """Return a home as it is found: empty, or with the database folder of Chromium before version 146."""
    certutil = require_tool("certutil", "sudo apt-get install libnss3-tools")
    if request.param == OLD_DIRECTORY:
        (home / OLD_DIRECTORY).mkdir(parents=True)
        argv = [certutil, "-N", "-d", f"sql:{home / OLD_DIRECTORY}", "--empty-password"]
        subprocess.run(argv, check=True, timeout=CLIENT_S)
    return Machine(home, require_tool("chromium", "sudo apt-get install chromium"))


@pytest.fixture
def fresh_machine(home: Path, require_tool: RequireTool) -> Machine:
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    return Machine(home, require_tool("chromium", "sudo apt-get install chromium"))


async def devtls(*arguments: str) -> Ended:
    done = await run((*DEVTLS, *arguments))
    assert done.returncode == 0, done.stderr
    return done


async def trust() -> dict[str, Any]:
    done = await devtls("trust", "--yes", "--store", "nss", "--json")
    values: dict[str, Any] = json.loads(done.stdout)
    return values


@asynccontextmanager
async def demo_behind_the_proxy(home: Path) -> AsyncIterator[Serving]:
    runner, port = await start_demo()
    try:
        async with serving(home, f"app={port}") as proxy:
            yield proxy
    finally:
        await runner.cleanup()


async def error_of(browser: Chromium, url: str) -> str:
    page = await browser.open(url)
    error = page.error
    await page.close()
    return error


async def test_trust_once_then_browse_without_a_warning(machine: Machine) -> None:
    """Also: the page's WebSocket and event stream work, and names that are not ours stay refused."""
    await trust()
    async with demo_behind_the_proxy(machine.home) as proxy:
        async with machine.browser() as browser:
            for name in NAMES:
                page = await browser.open(proxy.url(name))
                assert (page.error, page.status) == ("", 200), name
                assert await page.evaluate("window.isSecureContext") is True
                await page.wait_for("document.querySelector('#ws.good')")
                await page.wait_for("document.querySelector('#sse.good')")
                assert (page.console, page.failed) == ([], [])
                await page.close()
            assert await error_of(browser, proxy.url(FOREIGN)) == "net::ERR_SSL_UNRECOGNIZED_NAME_ALERT"
        await devtls("untrust", "--yes", "--store", "nss")
        async with machine.browser() as browser:
            assert await error_of(browser, proxy.url(NAMES[0])) == "net::ERR_CERT_AUTHORITY_INVALID"


async def test_a_browser_refuses_a_certificate_of_ours_for_a_foreign_name(fresh_machine: Machine) -> None:
    """The name constraints, proved on the browser: what a thief of the key could make is worth nothing there."""
    await trust()
    now, directory = datetime.now(UTC), Paths.from_environment().state_dir
    authority = Keystore(directory).load(now)
    ours = authority.issue(Hostname(NAMES[0]), now=now, key=new_leaf_key(), serial=new_serial())
    foreign = issue_foreign_probe(authority, now=now, key=new_leaf_key(), serial=new_serial())
    contexts = [server_context(leaf, directory) for leaf in (ours, foreign)]
    with listening(contexts[0]) as wanted, listening(contexts[1]) as unwanted:
        async with fresh_machine.browser() as browser:
            assert await error_of(browser, f"https://{NAMES[0]}:{wanted.port}/") == ""
            assert await error_of(browser, f"https://{FOREIGN_NAME}:{unwanted.port}/") == "net::ERR_CERT_INVALID"


async def test_clients_work_as_the_proofs_table_says(fresh_machine: Machine, require_tool: RequireTool) -> None:
    require_clients(require_tool)
    table = {row["client"]: row for row in (await trust())["clients"]}
    async with demo_behind_the_proxy(fresh_machine.home) as proxy:
        for client in ("curl", "python", "node"):
            row = table[client]
            assert row["verdict"] in ("trusted", "trusted with"), row
            assert row["foreign"] == "refused for its name", row
            for name in NAMES:
                done = await run(fetch_command(client, row["tool"], name, proxy.port), named_setting(row))
                assert done.stdout.rstrip().endswith("ready"), (client, name, done.stderr)


async def test_the_root_can_be_removed_after_the_ca_is_gone(fresh_machine: Machine) -> None:
    """Somebody who cleaned up too early still gets a clean browser."""
    await trust()
    shutil.rmtree(Paths.from_environment().state_dir)
    await devtls("untrust", "--yes", "--store", "nss")
    directory = fresh_machine.home / NEW_DIRECTORY
    listed = await run(("certutil", "-L", "-d", f"sql:{directory}"))
    assert (listed.returncode, "devtls" in listed.stdout) == (0, False)
