"""A headless Firefox driven through WebDriver BiDi: open a page, evaluate, wait, see why it was refused.

Owns one browser with a home and a profile of its own. It trusts what that profile's NSS database trusts: no setting
here touches a check of certificates, and BiDi's switch for it is off. Strategy: every name is this machine, and what
Firefox does for itself (updates, telemetry, portals) is off, so that nothing leaves. As a user has it, the profile
is there after the first start, and filled by `devtls trust` before the second::

    async with Firefox(home):
        ...
    # devtls trust --store nss
    async with Firefox(home) as browser:
        page = await browser.open("https://app.dev.local:8443/")
        assert page.error == ""  # or SEC_ERROR_UNKNOWN_ISSUER, NS_ERROR_CONNECTION_REFUSED, ...
        assert page.protocol == "h2"
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.e2e.browser import POLL_S, BrowserFailed, Message, ScriptFailed, WaitTimedOut, Wire, end_group

PROFILES = ".config/mozilla/firefox"
"""Below the home: where Firefox has kept its profiles since version 147."""

_START_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 5.0
_BETWEEN_PAGES = ("no such frame", "Browsing context", "Window Global", "discarded", "destroyed", "actor")
_ERROR_NAME = re.compile(r"\w+(?=\W*\Z)")
_EVENTS = (
    "browsingContext.load",
    "browsingContext.navigationStarted",
    "log.entryAdded",
    "network.fetchError",
    "network.responseCompleted",
)
_SETTINGS: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutConfig.showWarning": False,
    "browser.newtabpage.enabled": False,
    "browser.region.network.url": "",
    "browser.region.update.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "captivedetect.canonicalURL": "",
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.forceResolve": "127.0.0.1",
    "network.proxy.type": 0,
    "nimbus.rollouts.enabled": False,
    "services.settings.server": "data:,#none/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    "trailhead.firstrun.didSeeAboutWelcome": True,
}
_ENVIRONMENT = {"MOZ_REMOTE_SETTINGS_DEVTOOLS": "1", "MOZ_CRASHREPORTER_DISABLE": "1"}
"""The first makes Firefox heed services.settings.server, which a released one ignores otherwise."""


class Firefox:
    """One browser process; use it as an async context manager.

    `home` is its HOME and holds its profile (and so its trust store), which the next Firefox with this home finds.
    `settings` take the place of the usual ones.
    """

    def __init__(
        self,
        home: Path,
        *,
        executable: str = "firefox-esr",
        settings: Mapping[str, bool | int | str] | None = None,
    ) -> None:
        self._home = home
        self._executable = executable
        self._settings = {**_SETTINGS, **(settings or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None
        self._wire: Wire | None = None
        self.profile = home / PROFILES / "test.default"

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
        await self._close()
        await self._end()

    async def open(self, url: str, *, timeout_s: float = 20.0) -> Page:
        """Open `url` in a new tab and wait for its load event or its refusal (`page.error`)."""
        made = await self._connected.call("browsingContext.create", {"type": "tab"})
        page = Page(self._connected, made["context"])
        await page.goto(url, timeout_s=timeout_s)
        return page

    @property
    def _connected(self) -> Wire:
        if self._wire is None:
            raise BrowserFailed("the browser runs only inside `async with`")
        return self._wire

    async def _start(self) -> None:
        self.profile.mkdir(parents=True, exist_ok=True)
        settings = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in self._settings.items()]
        (self.profile / "user.js").write_text("".join(settings))
        said = self.profile / "WebDriverBiDiServer.json"
        said.unlink(missing_ok=True)
        with (self.profile / "output.log").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                self._executable,
                *("--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(self.profile)),
                "about:blank",
                env={
                    **os.environ,
                    **_ENVIRONMENT,
                    "HOME": str(self._home),
                    "XDG_CONFIG_HOME": str(self._home / ".config"),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        port = await self._port(self._process, said)
        self._http = aiohttp.ClientSession()
        socket = await self._http.ws_connect(f"ws://127.0.0.1:{port}/session", max_msg_size=0)
        self._wire = Wire(socket, _page_of)
        checked = {"alwaysMatch": {"acceptInsecureCerts": False}}
        await self._wire.call("session.new", {"capabilities": checked})
        await self._wire.call("session.subscribe", {"events": list(_EVENTS)})

    async def _port(self, process: asyncio.subprocess.Process, said: Path) -> int:
        """Wait for the file in which Firefox says where its BiDi listens."""
        deadline = asyncio.get_running_loop().time() + _START_TIMEOUT_S
        while asyncio.get_running_loop().time() < deadline and process.returncode is None:
            text = said.read_text() if said.exists() else ""
            if text.rstrip().endswith("}"):
                return int(json.loads(text)["ws_port"])
            await asyncio.sleep(POLL_S)
        output = (self.profile / "output.log").read_text(errors="replace")
        raise BrowserFailed(f"{self._executable} did not start: {output[-2000:]}")

    async def _close(self) -> None:
        """Let Firefox end by itself, so that its profile is whole; it may be gone before it answers."""
        with contextlib.suppress(BrowserFailed, ConnectionError, TimeoutError):
            await self._connected.call("browser.close")
            if self._process is not None:
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self._process.wait()

    async def _end(self) -> None:
        if self._wire is not None:
            await self._wire.close()
        if self._http is not None:
            await self._http.close()
        if self._process is not None:
            await end_group(self._process)


class Page:
    """One tab. `error` is Firefox's name for why the last navigation was refused, else ""."""

    def __init__(self, wire: Wire, context: str) -> None:
        self._wire = wire
        self._context = context
        self._navigation = ""
        self.error = ""
        self.status = 0
        self.protocol = ""
        self.console: list[str] = []
        self.failed: list[str] = []
        self.loads = 0
        wire.listen(context, self._on_event)

    async def goto(self, url: str, *, timeout_s: float = 20.0) -> None:
        """Navigate and wait for the load; a refused certificate or connection is no exception but `error`."""
        self.error, self.status, self.protocol = "", 0, ""
        try:
            await self._load(url, "browsingContext.navigate", {"url": url}, timeout_s)
        except BrowserFailed as error:
            found = _ERROR_NAME.search(str(error))
            if found is None:
                raise
            self.error = found.group()

    async def reload(self, *, timeout_s: float = 20.0) -> None:
        await self._load("reload", "browsingContext.reload", {}, timeout_s)

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression (a promise is awaited); raises ScriptFailed when it throws."""
        # BiDi describes objects in a form of its own; JSON carries them as they are.
        wrapped = f"(async () => {{ const value = await ({script}); return JSON.stringify(value) }})()"
        answer = await self._wire.call(
            "script.evaluate",
            {"expression": wrapped, "target": {"context": self._context}, "awaitPromise": True},
        )
        if answer["type"] == "exception":
            raise ScriptFailed(answer["exceptionDetails"]["text"])
        text = answer["result"].get("value")
        return None if text is None else json.loads(text)

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

    async def text(self) -> str:
        """Return what a reader sees."""
        return str(await self.evaluate("document.body ? document.body.innerText : ''"))

    async def close(self) -> None:
        await self._wire.call("browsingContext.close", {"context": self._context})

    async def _evaluate_now(self, script: str) -> Any:
        """Evaluate; None while the page is being replaced by another."""
        try:
            return await self.evaluate(script)
        except BrowserFailed as error:
            if any(sign in str(error) for sign in _BETWEEN_PAGES):
                return None
            raise

    async def _load(self, what: str, method: str, more: Message, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wire.call(method, {"context": self._context, "wait": "complete", **more})
        except TimeoutError:
            raise WaitTimedOut(f"{what} did not finish loading in {timeout_s} s; failed: {self.failed}") from None

    def _on_event(self, method: str, event: Message) -> None:
        match method:
            case "browsingContext.navigationStarted":
                self._navigation = event["navigation"]
            case "browsingContext.load":
                self.loads += 1
            case "log.entryAdded":
                self.console.append(str(event["text"]))
            case "network.fetchError":
                self.failed.append(event["errorText"])
            case "network.responseCompleted" if event["navigation"] == self._navigation:
                self.status = int(event["response"]["status"])
                self.protocol = event["response"]["protocol"]
            case _:
                return  # A finished request of the page; what a test needs of it, Resource Timing has.


def _page_of(event: Message) -> str:
    parameters = event["params"]
    return str(parameters.get("context") or parameters.get("source", {}).get("context") or "")
