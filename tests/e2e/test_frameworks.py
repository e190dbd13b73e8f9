"""Current frameworks behind the real proxy, with a real browser: what works as it is, and that each advice mends it.

Versions are those of the lock files in `tests/e2e/frameworks`. What the log says is written into the app's
configuration word for word, and the app is tried again.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import RequireTool
from tests.e2e.chromium import Chromium, Page
from tests.e2e.framework_apps import Environ, FrameworkApp, Proxied, npm_app, proxied, python_app, python_packages
from tests.e2e.test_examples import browsing

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.installs, pytest.mark.timeout(600)]

HMR_S = 30.0
LOAD_S = 90.0

HOT = {
    "vite": (("vite", "--port", "{port}", "--strictPort", "--host", "127.0.0.1"), "src/greeting.js"),
    "sveltekit": (
        ("vite", "dev", "--port", "{port}", "--strictPort", "--host", "127.0.0.1"),
        "src/routes/+page.svelte",
    ),
    "next": (("next", "dev", "-p", "{port}", "-H", "127.0.0.1"), "app/greeting.jsx"),
    "nuxt": (("nuxt", "dev", "--port", "{port}", "--host", "127.0.0.1"), "app/app.vue"),
    "astro": (("astro", "dev", "--port", "{port}", "--host", "127.0.0.1"), "src/pages/index.astro"),
    "angular": (("ng", "serve", "--port", "{port}", "--host", "127.0.0.1"), "src/main.ts"),
}
"""Frameworks whose hot reload works below localhost without a setting: the command, and a file with the page's text."""

NAMED = {"sveltekit": "Vite", "nuxt": "Nuxt", "astro": "Astro", "next": "Next.js", "angular": "Angular", "vite": "Vite"}


@asynccontextmanager
async def opened(home: Path, require_tool: RequireTool) -> AsyncIterator[Chromium]:
    chromium = require_tool("chromium", "sudo apt-get install chromium")
    resolver = {"*.dev.local": "127.0.0.1", "*.test": "127.0.0.1"}
    async with Chromium(home, resolver=resolver, executable=chromium) as browser:
        yield browser


async def shows(page: Page, text: str, timeout_s: float = HMR_S) -> None:
    await page.wait_for(f"document.querySelector('#greeting')?.textContent === {text!r}", timeout_s=timeout_s)


async def reloads_hot(page: Page, app: FrameworkApp, file: str) -> None:
    """Change the page's text on the disk until the open page shows it: a socket that is just opening may miss one."""
    await shows(page, "first", LOAD_S)
    for _ in range(3):
        text = f"then {uuid.uuid4().hex[:6]}"
        path = app.directory / file
        before = path.read_text()
        path.write_text(re.sub(r"first|then [0-9a-f]{6}", text, before))
        try:
            await shows(page, text, HMR_S / 2)
            break
        except AssertionError:
            continue
    else:
        pytest.fail(f"the page of {app.name} did not change: {page.console} {page.failed}")
    path.write_text(re.sub(r"then [0-9a-f]{6}", "first", path.read_text()))
    await shows(page, "first", HMR_S)


@pytest.mark.browser
@pytest.mark.parametrize("name", HOT)
async def test_hot_reload_works_below_localhost_at_once_and_below_dev_local_when_the_advice_is_followed(
    name: str, home: Path, require_tool: RequireTool, outer_environ: Environ
) -> None:
    require_tool("npm", "sudo apt-get install nodejs npm")
    argv, file = HOT[name]
    app = npm_app(name, home, outer_environ, *argv)
    async with proxied(home, app) as proxy:
        async with app.running(), opened(home, require_tool) as browser:
            page = await browser.open(proxy.url("localhost"), timeout_s=LOAD_S)
            assert page.error == ""
            await reloads_hot(page, app, file)
            await browser.open(proxy.url("dev.local"), timeout_s=LOAD_S)
            line = await proxy.refused("dev.local")
        assert line["framework"] == NAMED[name]
        assert f"https://{name}.localhost:{proxy.proxy.port}" in line["message"]
        (setting,) = line["settings"]
        app.follow(setting)
        async with app.running(), opened(home, require_tool) as browser:
            page = await browser.open(proxy.url("dev.local"), timeout_s=LOAD_S)
            await reloads_hot(page, app, file)
            assert (page.error, page.status) == ("", 200)
        assert len(proxy.advice("host_check")) == 1


DIALLING = {
    "webpack": (("webpack", "serve", "--port", "{port}", "--host", "127.0.0.1"), "/"),
    "storybook": (
        ("storybook", "dev", "-p", "{port}", "--host", "127.0.0.1", "--ci", "--no-open"),
        "/iframe.html?id=greeting--first",
    ),
}
"""Frameworks whose page dials the app's own port: the command, and the page to open."""


@pytest.mark.browser
@pytest.mark.parametrize("name", DIALLING)
async def test_hot_reload_that_dials_the_apps_own_port_works_when_the_advice_is_followed(
    name: str, home: Path, require_tool: RequireTool, outer_environ: Environ
) -> None:
    argv, path = DIALLING[name]
    require_tool("npm", "sudo apt-get install nodejs npm")
    app = npm_app(name, home, outer_environ, *argv)
    async with proxied(home, app) as proxy:
        async with app.running(), opened(home, require_tool) as browser:
            page = await browser.open(proxy.url("localhost", path), timeout_s=LOAD_S)
            await shows(page, "first", LOAD_S)
            dials = await proxy.advised(lambda line: f"dial port {app.port}" in line["message"])
            await browser.open(proxy.url("dev.local", path), timeout_s=LOAD_S)
            refused = await proxy.refused("dev.local")
        app.follow(refused["settings"][0])
        app.follow(dials["settings"][0])
        async with app.running(), opened(home, require_tool) as browser:
            for zone in ("dev.local", "localhost"):
                page = await browser.open(proxy.url(zone, path), timeout_s=LOAD_S)
                # Storybook tries its port before it listens: what comes first may be our page, which reloads by itself.
                await reloads_hot(page, app, "src/greeting.js")
                assert (page.error, page.status) == ("", 200)


async def test_express_session_gets_its_secure_cookie_when_the_advice_is_followed(
    home: Path, require_tool: RequireTool, outer_environ: Environ
) -> None:
    require_tool("npm", "sudo apt-get install nodejs npm")
    app = npm_app("express", home, outer_environ, "node", "server.js")
    async with proxied(home, app) as proxy:
        async with app.running():
            text, response = await fetch(proxy, "localhost")
            assert (f'id="url">http://{response.url.authority}/' in text, "Set-Cookie" in response.headers) == (
                True,
                False,
            )
            line = await proxy.advised(lambda line: "cookie" in line["message"])
        app.follow(line["settings"][0])
        async with app.running():
            text, response = await fetch(proxy, "localhost")
            assert f'id="url">{response.url}' in text
            assert "Secure" in response.headers["Set-Cookie"]


async def fetch(
    proxy: Proxied, zone: str, path: str = "/", *, method: str = "GET", **more: Any
) -> tuple[str, aiohttp.ClientResponse]:
    async with (
        browsing(proxy.proxy) as browser,
        browser.request(method, proxy.url(zone, path), allow_redirects=False, **more) as response,
    ):
        return await response.text(), response


async def test_a_form_of_astro_is_taken_when_the_advice_is_followed(
    home: Path, require_tool: RequireTool, outer_environ: Environ
) -> None:
    require_tool("npm", "sudo apt-get install nodejs npm")
    app = npm_app("astro", home, outer_environ, *HOT["astro"][0])
    async with proxied(home, app) as proxy:
        form: dict[str, Any] = {"data": {"text": "posted"}, "headers": {"Origin": proxy.url("localhost").rstrip("/")}}
        async with app.running():
            _, response = await fetch(proxy, "localhost", method="POST", **form)
            assert response.status == 403
            line = await proxy.refused("localhost")
            assert "works now" not in line["message"]
        app.follow(line["settings"][0])
        async with app.running():
            text, response = await fetch(proxy, "localhost", method="POST", **form)
            assert response.status == 200
            assert re.search(r'id="posted"[^>]*>posted<', text)
            assert re.search(rf'id="url"[^>]*>{re.escape(str(response.url))}<', text)


async def test_sveltekit_says_https_when_the_advice_is_followed(
    home: Path, require_tool: RequireTool, outer_environ: Environ
) -> None:
    require_tool("npm", "sudo apt-get install nodejs npm")
    app = npm_app("sveltekit", home, outer_environ, *HOT["sveltekit"][0])
    async with proxied(home, app) as proxy:
        async with app.running():
            text, response = await fetch(proxy, "localhost", "/away")
            assert (response.status, response.headers["Location"]) == (303, proxy.url("localhost"))
            line = await proxy.advised(lambda line: "takes its own address for http" in line["message"])
        app.follow(line["settings"][0])
        async with app.running():
            text, response = await fetch(proxy, "localhost")
            assert f'id="url">{response.url}<' in text
            text, response = await fetch(proxy, "localhost", "/away")
            assert (response.status, response.headers["Location"]) == (303, proxy.url("localhost"))


async def test_next_says_https_and_redirects_to_its_public_name(
    home: Path, require_tool: RequireTool, outer_environ: Environ
) -> None:
    require_tool("npm", "sudo apt-get install nodejs npm")
    app = npm_app("next", home, outer_environ, *HOT["next"][0])
    async with proxied(home, app) as proxy, app.running():
        text, response = await fetch(proxy, "localhost", "/api/info")
        assert '"url":"https://' in text
        text, response = await fetch(proxy, "localhost", "/api/info?away")
        assert (response.status, response.headers["Location"]) == (307, proxy.url("localhost"))
        assert proxy.advice("framework") == []


@pytest.fixture
def python(home: Path, outer_environ: Environ) -> Path:
    return python_packages(home, outer_environ)


async def test_django_keeps_the_names_that_it_had_and_lets_its_admin_log_in(home: Path, python: Path) -> None:
    app = python_app("django", home, python, "manage.py", "runserver", "--noreload", "{port}")
    for argv in (["migrate", "--verbosity=0"], ["createsuperuser", "--noinput", "--username=me", "--email=me@a.test"]):
        env = {"DJANGO_SUPERUSER_PASSWORD": "secret", "PATH": "/usr/bin:/bin"}
        subprocess.run([str(python), "manage.py", *argv], cwd=app.directory, env=env, check=True, timeout=60)
    async with proxied(home, app) as proxy:
        async with app.running():
            _, response = await fetch(proxy, "dev.local", "/admin/login/")
            assert response.status == 400
            line = await proxy.refused("dev.local")
            assert line["settings"][0]["line"] == 'ALLOWED_HOSTS = [".localhost", "127.0.0.1", "[::1]", ".dev.local"]'
            assert await log_in(proxy, "localhost") == 403
            forms = await proxy.refused("localhost")
            assert "works now" not in forms["message"]
        app.follow(line["settings"][0])
        app.follow(forms["settings"][0])
        async with app.running():
            assert [await log_in(proxy, zone) for zone in ("dev.local", "localhost")] == [302, 302]
            url = f"http://127.0.0.1:{app.port}/admin/login/"
            async with aiohttp.ClientSession() as direct, direct.get(url) as response:
                assert response.status == 200


async def log_in(proxy: Proxied, zone: str) -> int:
    async with browsing(proxy.proxy) as browser:
        url = proxy.url(zone, "/admin/login/")
        async with browser.get(url) as response:
            found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', await response.text())
        assert found is not None
        form = {"csrfmiddlewaretoken": found[1], "username": "me", "password": "secret", "next": "/admin/"}
        headers = {"Origin": proxy.url(zone).rstrip("/"), "Referer": url}
        async with browser.post(url, data=form, headers=headers, allow_redirects=False) as response:
            return response.status


async def test_flask_says_https_when_the_advice_is_followed_and_fastapi_without(home: Path, python: Path) -> None:
    app = python_app("flask", home, python, "-m", "flask", "--app", "app", "run", "--port", "{port}")
    async with proxied(home, app) as proxy:
        async with app.running():
            text, response = await fetch(proxy, "dev.local")
            assert "id=url>http://" in text
            line = await proxy.advised(lambda line: line["framework"] == "Flask")
        app.follow(line["settings"][0])
        async with app.running():
            text, response = await fetch(proxy, "dev.local")
            assert f"id=url>{response.url}<" in text
        assert len(proxy.advice("framework")) == 1
    app = python_app("fastapi", home, python, "-m", "uvicorn", "app:app", "--port", "{port}")
    async with proxied(home, app) as proxy, app.running():
        text, response = await fetch(proxy, "dev.local")
        assert text == f'{{"url":"{response.url}"}}'
        text, response = await fetch(proxy, "dev.local", "/away")
        assert response.headers["Location"] == proxy.url("dev.local")
        assert proxy.advice("framework") == []


async def test_jupyter_runs_a_kernel_on_every_name_when_the_advice_is_followed(home: Path, python: Path) -> None:
    app = python_app(
        "jupyter", home, python, "-m", "jupyter_server", "--ServerApp.port={port}", "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--no-browser", "--allow-root",
        "--config=jupyter_server_config.py",
    )  # fmt: skip
    async with proxied(home, app) as proxy:
        async with app.running():
            for zone in ("localhost", "dev.local"):
                _, response = await fetch(proxy, zone, "/tree")
                assert response.status == 403
                line = await proxy.refused(zone)
                assert "works now" not in line["message"]
        app.follow(line["settings"][0])
        async with app.running(), browsing(proxy.proxy) as browser:
            for zone in ("localhost", "dev.local"):
                assert await runs_kernel(proxy, zone, browser) == "42"


async def runs_kernel(proxy: Proxied, zone: str, browser: aiohttp.ClientSession) -> str:
    """Start a kernel and have it print something, over the WebSocket that a notebook has."""
    origin = proxy.url(zone).rstrip("/")
    async with browser.get(proxy.url(zone, "/api")) as response:
        assert response.status == 200
    async with browser.get(proxy.url(zone, "/login")) as response:
        token = browser.cookie_jar.filter_cookies(response.url)["_xsrf"].value
    headers = {"Origin": origin, "X-XSRFToken": token}
    async with browser.post(proxy.url(zone, "/api/kernels"), headers=headers) as response:
        kernel = (await response.json())["id"]
    channels = proxy.url(zone, f"/api/kernels/{kernel}/channels").replace("https", "wss", 1)
    async with browser.ws_connect(channels, origin=origin) as socket:
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "s",
            "username": "",
            "version": "5.3",
        }
        content = {"code": "print(6 * 7)", "silent": False, "store_history": False, "allow_stdin": False}
        await socket.send_json(
            {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        )
        while True:
            message = await socket.receive_json(timeout=60)
            if message["msg_type"] == "stream":
                return str(message["content"]["text"]).strip()
