"""Each example runs as its README says, behind the real proxy, with its certificate checked."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.e2e.chromium import Chromium
from tests.e2e.serving import Serving, running, serving
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks]

RequireTool = Callable[[str, str], str]
Missing = Callable[[str], NoReturn]

EXAMPLES = Path(__file__).parents[2] / "examples"
NPM_INSTALL_TIMEOUT_S = 100
OLDEST_NODE = (20, 19)


class Loopback(AbstractResolver):
    """Every name is this machine, as for a developer whose hosts file or DNS says so."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0),
        ]

    async def close(self) -> None:
        return None


@asynccontextmanager
async def browsing(proxy: Serving) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=proxy.context(), resolver=Loopback())
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@asynccontextmanager
async def example(home: Path, name: str, written_port: int, *command: str) -> AsyncIterator[tuple[Serving, Path]]:
    """Run a copy of an example (`{port}` in its command is a free one) and the proxy in front of it."""
    port = free_port()
    directory = copy_of(name, home, written_port, port)
    app = [part.format(port=port) for part in command]
    async with running(app, directory=directory, port=port), serving(home, directory=directory) as proxy:
        yield proxy, directory


def copy_of(example: str, home: Path, written_port: int | None = None, port: int = 0) -> Path:
    """Copy an example and give its app another port, since the written one may be taken here."""
    directory = home / example
    shutil.copytree(EXAMPLES / example, directory, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    if written_port is not None:
        config = directory / "devtls.toml"
        text = config.read_text()
        assert f"= {written_port} " in text
        config.write_text(text.replace(str(written_port), str(port)))
    return directory


def need(module: str, missing: Missing) -> None:
    if find_spec(module) is None:
        missing(f"{module} is not installed: pip install --group examples")


def need_node_for_vite(missing: Missing, environ: dict[str, str]) -> None:
    said = subprocess.run(["node", "--version"], env=environ, capture_output=True, text=True, timeout=20, check=False)
    found = re.match(r"v(\d+)\.(\d+)", said.stdout)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_NODE:
        missing(f"Vite 8 needs Node 20.19 or newer, this is {said.stdout.strip() or 'none'}")


@pytest.mark.parametrize("example", ["flask", "fastapi-websocket", "django", "static", "vite"])
def test_the_readme_names_the_command_and_the_address(example: str) -> None:
    readme = (EXAMPLES / example / "README.md").read_text()
    route = re.search(r"^([a-z]+) =", (EXAMPLES / example / "devtls.toml").read_text(), re.MULTILINE)
    assert route is not None
    assert f"<https://{route.group(1)}.dev.local>" in readme
    assert "devtls serve" in readme


async def test_flask_sees_https_and_keeps_its_secure_cookie(home: Path, missing: Missing) -> None:
    need("flask", missing)
    command = [sys.executable, "-m", "flask", "--app", "app", "run", "--port", "{port}"]
    async with example(home, "flask", 5000, *command) as (proxy, _), browsing(proxy) as browser:
        url = proxy.url("flask.dev.local")
        for visit in ("1", "2", "3"):
            async with browser.get(url) as answer:
                text = await answer.text()
            assert answer.status == 200
            assert f'<b id="visits">{visit}</b>' in text
            assert f'<code id="url">{url}</code>' in text


async def test_fastapi_chats_over_wss_and_sees_https(home: Path, missing: Missing) -> None:
    need("fastapi", missing)
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "{port}"]
    async with example(home, "fastapi-websocket", 8000, *command) as (proxy, _), browsing(proxy) as browser:
        async with browser.get(proxy.url("chat.dev.local", "/where")) as answer:
            where = await answer.json()
        assert where["url"] == proxy.url("chat.dev.local", "/where")
        chat = proxy.url("chat.dev.local", "/chat").replace("https", "wss")
        async with browser.ws_connect(chat) as one, browser.ws_connect(chat) as two:
            await one.send_str("hello")
            assert await one.receive_str(timeout=5) == "hello"
            assert await two.receive_str(timeout=5) == "hello"


async def test_django_accepts_the_host_and_its_form_passes_the_csrf_check(home: Path, missing: Missing) -> None:
    need("django", missing)
    command = [sys.executable, "manage.py", "runserver", "--noreload", "{port}"]
    async with example(home, "django", 8001, *command) as (proxy, _), browsing(proxy) as browser:
        url = proxy.url("book.dev.local")
        async with browser.get(url) as answer:
            page = await answer.text()
        assert answer.status == 200
        assert f'<code id="url">{url}</code>' in page
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token is not None
        form = {"csrfmiddlewaretoken": token.group(1), "text": "<b>I was here</b>"}
        async with browser.post(url, data=form, headers={"Origin": url.rstrip("/")}) as answer:
            after = await answer.text()
        assert [past.status for past in answer.history] == [302]
        assert str(answer.url) == url
        assert "<li>&lt;b&gt;I was here&lt;/b&gt;</li>" in after


async def test_static_files_come_with_indexes_redirects_and_ranges(home: Path) -> None:
    directory = copy_of("static", home)
    async with serving(home, directory=directory) as proxy, browsing(proxy) as browser:
        async with browser.get(proxy.url("docs.dev.local")) as answer:
            assert answer.status == 200
            assert "A folder, served" in await answer.text()
        async with browser.get(proxy.url("docs.dev.local", "/guide")) as answer:
            assert str(answer.url) == proxy.url("docs.dev.local", "/guide/")
            assert "The guide" in await answer.text()
        async with browser.get(proxy.url("docs.dev.local", "/style.css"), headers={"Range": "bytes=0-3"}) as answer:
            assert answer.status == 206
            assert await answer.read() == b"body"


@pytest.mark.browser
@pytest.mark.timeout(240)
async def test_vite_replaces_a_module_in_the_open_page(
    home: Path, require_tool: RequireTool, missing: Missing, outer_environ: dict[str, str]
) -> None:
    need_node_for_vite(missing, outer_environ)
    npm = require_tool("npm", "sudo apt-get install nodejs npm")
    chromium = require_tool("chromium", "sudo apt-get install chromium")
    port = free_port()
    directory = copy_of("vite", home, 5173, port)
    install_packages(npm, directory, outer_environ)
    app = [str(directory / "node_modules/.bin/vite"), "--port", str(port), "--strictPort"]
    async with running(app, directory=directory, port=port), serving(home, directory=directory) as proxy:
        trust_in_browser(proxy.root, home, require_tool)
        async with Chromium(home, resolver={"*.dev.local": "127.0.0.1"}, executable=chromium) as browser:
            page = await browser.open(proxy.url("vite.dev.local"))
            assert page.error == ""
            await page.wait_for("document.querySelector('#greeting').textContent === 'Hello from Vite'")
            await page.wait_for_console("[vite] connected.")
            await page.evaluate("window.stillTheSamePage = true")
            (directory / "src/greeting.js").write_text('export const greeting = "Hello again";\n')
            await page.wait_for("document.querySelector('#greeting').textContent === 'Hello again'", timeout_s=15)
            assert await page.evaluate("window.stillTheSamePage") is True
            assert page.loads == 1
            assert not any("WebSocket" in line for line in page.console)  # Vite's fallback past the proxy complains.


def install_packages(npm: str, directory: Path, environ: dict[str, str]) -> None:
    """Run `npm install` with the user's own settings (registry, proxy, cache)."""
    argv = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    done = subprocess.run(
        argv, cwd=directory, env=environ, capture_output=True, text=True, timeout=NPM_INSTALL_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr


def trust_in_browser(root: Path, home: Path, require_tool: RequireTool) -> None:
    """Put the root into the NSS database of the test's home."""
    certutil = require_tool("certutil", "sudo apt-get install libnss3-tools")
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    for argv in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "devtls test root", "-i", str(root)]):
        subprocess.run([certutil, *argv, "-d", f"sql:{database}"], check=True, capture_output=True, timeout=20)
