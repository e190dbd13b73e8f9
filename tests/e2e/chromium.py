"""A headless Chromium driven through its DevTools protocol: open a page, evaluate, wait, see why it was refused.

Owns one browser with a home and a profile of its own: it trusts what that home's NSS database trusts, and
leaves nothing behind. Refuses to switch certificate checks off: there is no such flag here. Strategy: one WebSocket to
the browser, one session per page on it, answers matched by number::

    async with Chromium(home, resolver={"*.dev.local": "127.0.0.1"}) as browser:
        page = await browser.open("https://app.dev.local:8443/")
        assert page.error == ""
        assert await page.evaluate("window.isSecureContext") is True
        await page.wait_for("document.querySelector('#ws.good')", timeout_s=5)
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.e2e.browser import POLL_S, BrowserFailed, Message, ScriptFailed, WaitTimedOut, Wire, end_group

_START_TIMEOUT_S = 30.0
_BETWEEN_PAGES = ("context was destroyed", "default execution context", "navigated or closed")
_NEEDED_FLAGS = ("--headless", "--no-sandbox", "--remote-debugging-port=0")
QUIET_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)
"""Flags that keep a browser from doing more than a test asks; none changes what it thinks of a certificate."""


class Chromium:
    """One browser process; use it as an async context manager.

    `home` is its HOME (and so its trust store), `resolver` maps host patterns to addresses, `flags=()` leaves the
    browser as a user has it.
    """

    def __init__(
        self,
        home: Path,
        *,
        resolver: Mapping[str, str] | None = None,
        executable: str = "chromium",
        flags: Sequence[str] = QUIET_FLAGS,
    ) -> None:
        self._home = home
        self._rules = ", ".join(f"MAP {host} {address}" for host, address in (resolver or {}).items())
        self._executable = executable
        self._flags = tuple(flags)
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-", dir=home))
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None
        self._wire: Wire | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def open(self, url: str, *, timeout_s: float = 20.0) -> Page:
        """Open `url` in a new tab and wait for its load event or its refusal (`page.error`)."""
        target = await self._connected.call("Target.createTarget", {"url": "about:blank"})
        attached = await self._connected.call(
            "Target.attachToTarget", {"targetId": target["targetId"], "flatten": True}
        )
        page = Page(self._connected, attached["sessionId"], target["targetId"])
        await page.prepare()
        await page.goto(url, timeout_s=timeout_s)
        return page

    async def version(self) -> str:
        return str((await self._connected.call("Browser.getVersion"))["product"])

    @property
    def _connected(self) -> Wire:
        if self._wire is None:
            raise BrowserFailed("the browser runs only inside `async with`")
        return self._wire

    async def _start(self) -> None:
        self._write_settings()
        flags = [*_NEEDED_FLAGS, *self._flags, f"--user-data-dir={self._profile}"]
        if self._rules:
            flags.append(f"--host-resolver-rules={self._rules}")
        with (self._profile / "output.log").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                self._executable,
                *flags,
                "about:blank",
                env={**os.environ, "HOME": str(self._home)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        port, path = await self._endpoint(self._process)
        self._http = aiohttp.ClientSession()
        socket = await self._http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0)
        self._wire = Wire(socket, lambda event: str(event.get("sessionId", "")))

    def _write_settings(self) -> None:
        """Turn "preload pages" off, as a user can: else a spare connection is opened to each new host."""
        settings = {"net": {"network_prediction_options": 2}}
        (self._profile / "Default").mkdir()
        (self._profile / "Default" / "Preferences").write_text(json.dumps(settings))

    async def _endpoint(self, process: asyncio.subprocess.Process) -> tuple[int, str]:
        """Wait for the file in which Chromium says where its DevTools listen."""
        said = self._profile / "DevToolsActivePort"
        deadline = asyncio.get_running_loop().time() + _START_TIMEOUT_S
        while asyncio.get_running_loop().time() < deadline and process.returncode is None:
            lines = said.read_text().split("\n") if said.exists() else []
            if len(lines) >= 2 and lines[1]:
                return int(lines[0]), lines[1]
            await asyncio.sleep(POLL_S)
        output = (self._profile / "output.log").read_text(errors="replace")
        raise BrowserFailed(f"{self._executable} did not start: {output[-2000:]}")

    async def _end(self) -> None:
        if self._wire is not None:
            await self._wire.close()
        if self._http is not None:
            await self._http.close()
        if self._process is not None:
            await end_group(self._process)
        shutil.rmtree(self._profile, ignore_errors=True)


class Page:
    """One tab. `error` is `net::ERR_…` when the last navigation was refused, else ""."""

    def __init__(self, wire: Wire, session: str, target: str) -> None:
        self._wire = wire
        self._session = session
        self._target = target
        self._loaded = asyncio.Event()
        self.error = ""
        self.status = 0
        self.console: list[str] = []
        self.failed: list[str] = []
        self.loads = 0

    async def prepare(self) -> None:
        self._wire.listen(self._session, self._on_event)
        for domain in ("Page", "Runtime", "Network"):
            await self._call(f"{domain}.enable")

    async def goto(self, url: str, *, timeout_s: float = 20.0) -> None:
        """Navigate; a refused certificate or connection is no exception but `error`."""
        self._loaded.clear()
        self.status = 0
        answer = await self._call("Page.navigate", {"url": url})
        self.error = str(answer.get("errorText", ""))
        if not self.error:
            await self._until_loaded(url, timeout_s)

    async def reload(self, *, timeout_s: float = 20.0) -> None:
        await self.begin_reload()
        await self._until_loaded("reload", timeout_s)

    async def begin_reload(self) -> None:
        """Reload, and do not wait for what comes."""
        self._loaded.clear()
        await self._call("Page.reload")

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression (a promise is awaited); raises ScriptFailed when it throws."""
        answer = await self._call(
            "Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True}
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise ScriptFailed(details.get("exception", {}).get("description") or details.get("text", "?"))
        return answer["result"].get("value")

    async def wait_for(self, script: str, timeout_s: float = 10.0) -> Any:
        """Evaluate until the value is truthy and return it; raises WaitTimedOut with the page's text."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            value = await self._evaluate_now(f"Promise.resolve({script}).then(v => v instanceof Node ? true : v)")
            if value:
                return value
            if asyncio.get_running_loop().time() > deadline:
                shown = str(await self.text())[:1000]
                raise WaitTimedOut(f"not true after {timeout_s} s: {script}\npage: {shown}\nconsole: {self.console}")
            await asyncio.sleep(POLL_S)

    async def wait_for_console(self, text: str, timeout_s: float = 10.0) -> None:
        """Wait until the page has logged a line with `text` in it."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not any(text in line for line in self.console):
            if asyncio.get_running_loop().time() > deadline:
                raise WaitTimedOut(f"not logged in {timeout_s} s: {text}\nconsole: {self.console}; {self.failed}")
            await asyncio.sleep(POLL_S)

    async def _evaluate_now(self, script: str) -> Any:
        """Evaluate; None while the page is being replaced by another."""
        try:
            return await self.evaluate(script)
        except BrowserFailed as error:
            if any(sign in str(error) for sign in _BETWEEN_PAGES):
                return None
            raise

    async def text(self) -> str:
        """Return what a reader sees."""
        return str(await self.evaluate("document.body ? document.body.innerText : ''"))

    async def screenshot(self, path: Path, *, width: int = 1100, height: int = 900, dark: bool = False) -> None:
        """Write a PNG of the viewport."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        await self._call("Emulation.setDeviceMetricsOverride", size)
        await self._call("Emulation.setEmulatedMedia", scheme)
        answer = await self._call("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(base64.b64decode(answer["data"]))

    async def close(self) -> None:
        await self._wire.call("Target.closeTarget", {"targetId": self._target})

    async def _call(self, method: str, parameters: Message | None = None) -> Message:
        return await self._wire.call(method, parameters, sessionId=self._session)

    async def _until_loaded(self, what: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._loaded.wait()
        except TimeoutError:
            raise WaitTimedOut(f"{what} did not finish loading in {timeout_s} s; failed: {self.failed}") from None

    def _on_event(self, method: str, event: Message) -> None:
        match method:
            case "Page.loadEventFired":
                self.loads += 1
                self._loaded.set()
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(part.get("value", part.get("description"))) for part in event["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(event["exceptionDetails"].get("text", "exception"))
            case "Network.loadingFailed":
                self.failed.append(event["errorText"])
            case "Network.responseReceived" if event.get("type") == "Document":
                self.status = int(event["response"]["status"])
            case _:
                return  # The protocol has hundreds of events; a test needs these.
