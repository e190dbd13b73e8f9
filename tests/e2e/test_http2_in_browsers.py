"""HTTP/2 where it matters: hundreds of modules, ten event streams and WebSockets of one page, over one connection.

Chromium and Firefox as `devtls trust` left them. The number of connections is counted by a door in front of the proxy.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import RequireTool
from tests.e2e.chromium import Chromium
from tests.e2e.clients import run
from tests.e2e.doorway import Doorway, doorway
from tests.e2e.firefox import Firefox
from tests.e2e.module_app import ModuleApp, module_app
from tests.e2e.serving import DEVTLS, Program, serving
from tests.e2e.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

NAME = "app.dev.local"
MODULES = 200
MANY_MODULES = 600
STREAMS = 10
RELOADS = 3
OPEN = 100
"""Fewer than the streams that a browser may have open: it asks for a page again before it gives the old one up."""
PATIENCE_S = 30.0

PROTOCOLS = """[...new Set(
  [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .map(entry => entry.nextHopProtocol))]"""
LOADED = 'performance.getEntriesByType("resource").filter(entry => entry.name.includes("/module/")).length'
ECHO = """new Promise((resolve, reject) => {
  const socket = new WebSocket(`wss://${location.host}/echo`, ["other.v1", "echo.v1"]);
  const heard = [];
  socket.binaryType = "arraybuffer";
  socket.onerror = () => reject(new Error("refused"));
  socket.onopen = () => { socket.send("grüße"); socket.send(new Uint8Array(100_000)); };
  socket.onmessage = ({ data }) => {
    heard.push(typeof data === "string" ? data : data.byteLength);
    if (heard.length === 2) socket.close(1000, "enough");
  };
  socket.onclose = ({ code, wasClean }) => resolve([socket.protocol, ...heard, code, wasClean]);
})"""
ECHOED = ["echo.v1", "grüße", 100_000, 1000, True]
LISTEN = f"""(() => {{
  window.heard = [];
  window.streams = Array.from({{length: {STREAMS}}}, () => new EventSource("/events?together={STREAMS}"));
  for (const stream of window.streams) stream.onmessage = ({{data}}) => window.heard.push(data);
}})()"""


@dataclass(frozen=True)
class Scene:
    """An app behind a proxy behind a door."""

    app: ModuleApp
    door: Doorway
    program: Program

    def url(self, path: str) -> str:
        return f"https://{NAME}:{self.door.port}{path}"

    def logged(self, path: str) -> set[str]:
        """Return the protocols by which a path was asked for, as the log has them."""
        events = [json.loads(line) for line in self.program.output().splitlines() if line.startswith("{")]
        return {event["protocol"] for event in events if event["event"] == "request" and event["target"] == path}


@pytest.fixture
async def trusted(home: Path, require_tool: RequireTool) -> None:
    """Trust the CA in every browser's database there is in the home; a Firefox profile must be there before."""
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    done = await run((*DEVTLS, "trust", "--yes", "--store", "nss"))
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def scene(home: Path, trusted: None) -> AsyncIterator[Scene]:
    async with (
        module_app() as app,
        serving(home, f"app={app.port}", "--log-format", "json") as proxy,
        doorway(proxy.port) as door,
    ):
        yield Scene(app, door, proxy.program)


@pytest.fixture
async def chromium(home: Path, scene: Scene, require_tool: RequireTool) -> AsyncIterator[Chromium]:
    executable = require_tool("chromium", "sudo apt-get install chromium")
    async with Chromium(home, resolver={NAME: "127.0.0.1"}, executable=executable) as browser:
        yield browser


@pytest.fixture
async def started_firefox(home: Path, require_tool: RequireTool) -> Firefox:
    """A Firefox that was started once, so that its profile is there to be trusted in."""
    browser = Firefox(home, executable=require_tool("firefox-esr", "sudo apt-get install firefox-esr"))
    async with browser:
        pass
    return browser


async def test_all_modules_of_a_page_come_over_one_connection_and_so_does_its_websocket(
    chromium: Chromium, scene: Scene
) -> None:
    page = await chromium.open(scene.url(f"/page/{MODULES}"), timeout_s=PATIENCE_S)
    assert (page.error, page.status) == ("", 200)
    await page.wait_for("window.done", PATIENCE_S)
    assert await page.evaluate("window.ran") == MODULES
    assert await page.evaluate(LOADED) == MODULES
    assert await page.evaluate(PROTOCOLS) == ["h2"]
    assert await page.evaluate(ECHO) == ECHOED
    assert scene.door.connections == 1
    assert (page.console, page.failed) == ([], [])
    await until(lambda: scene.logged("/echo") == {"HTTP/2"}, lambda: scene.program.output()[-2000:])
    assert scene.logged("/module/0.js") == {"HTTP/2"}


async def test_ten_event_streams_of_one_host_are_open_at_once(chromium: Chromium, scene: Scene) -> None:
    """The app sends its events once all ten are there: with six connections per host none would ever come."""
    page = await chromium.open(scene.url("/ready"))
    await page.evaluate(LISTEN)
    await page.wait_for(f"window.heard.length === {STREAMS}", PATIENCE_S)
    assert await page.evaluate("window.streams.every(stream => stream.readyState === EventSource.OPEN)")
    assert await page.evaluate("fetch('/ready').then(answer => answer.text())") == "ready"
    assert scene.app.streams == STREAMS
    assert scene.door.connections == 1
    await page.close()
    await until(lambda: scene.app.streams == 0, lambda: f"{scene.app.streams} streams are still open at the app")


async def test_reloads_of_a_page_with_many_modules_are_no_attack(chromium: Chromium, scene: Scene) -> None:
    """Loaded to the end, then given up in the middle: each such reload resets every stream that is open."""
    page = await chromium.open(scene.url(f"/page/{MANY_MODULES}"), timeout_s=PATIENCE_S)
    for _ in range(RELOADS):
        await page.reload(timeout_s=PATIENCE_S)
        await page.wait_for(f"window.ran === {MANY_MODULES}", PATIENCE_S)
    app = scene.app
    app.hold(OPEN)
    await page.begin_reload()
    for _ in range(RELOADS):
        await until(lambda: app.waiting == OPEN, lambda: f"{app.waiting} modules are asked for", timeout_s=PATIENCE_S)
        app.given_up = 0
        await page.begin_reload()
        await until(lambda: app.given_up == OPEN, lambda: f"{app.given_up} modules were given up")
    app.released.set()
    await page.wait_for(f"window.ran === {MANY_MODULES}", PATIENCE_S)
    assert await page.evaluate(PROTOCOLS) == ["h2"]
    assert scene.door.connections == 1


async def test_firefox_speaks_http_2_and_websockets_over_it(started_firefox: Firefox, scene: Scene) -> None:
    async with started_firefox as browser:
        page = await browser.open(scene.url(f"/page/{MODULES}"), timeout_s=PATIENCE_S)
        assert (page.error, page.status, page.protocol) == ("", 200, "h2")
        await page.wait_for("window.done", PATIENCE_S)
        assert await page.evaluate("window.ran") == MODULES
        assert await page.evaluate(PROTOCOLS) == ["h2"]
        assert await page.evaluate(ECHO) == ECHOED
        assert scene.door.connections == 1
        assert page.failed == []
    await until(lambda: scene.logged("/echo") == {"HTTP/2"}, lambda: scene.program.output()[-2000:])
