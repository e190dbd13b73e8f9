"""Names in browsers without an administrator: a user who may not open port 443, has no line in /etc/hosts and no
resolver rule, and gives Chromium the address that `devtls pac` prints.

Where the tests run as root, `devtls` and Chromium run as a user made up for the test, with a home of its own; the one
right that devtls keeps is to read files, because Python may lie in root's home.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtls import demo
from tests.e2e.chromium import QUIET_FLAGS, Chromium
from tests.e2e.clients import Ended, RequireTool, run
from tests.e2e.firefox import Firefox
from tests.e2e.serving import DEVTLS, Program, running
from tests.locks import free_port

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="changes the user as Linux does"),
]

USER = 61234
NAME = "any.depth.shop.dev.local"
FLAGS = tuple(flag for flag in QUIET_FLAGS if flag != "--no-proxy-server")
_READ_ONLY = "-all,+dac_read_search"


@dataclass(frozen=True)
class Person:
    """Somebody without rights, whose home is `home`."""

    home: Path
    setpriv: str

    def own(self) -> None:
        """Give the home to its user."""
        if self.setpriv:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", str(self.home)], check=True)

    def argv(self, *argv: str, rights: str = "-all") -> list[str]:
        """Return a command as this person starts it."""
        if not self.setpriv:
            return list(argv)
        sets = [f"--{name}={rights}" for name in ("inh-caps", "ambient-caps", "bounding-set")]
        user = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
        return [self.setpriv, *user, *sets, *argv]

    async def devtls(self, *arguments: str) -> Ended:
        return await run(self.argv(*DEVTLS, *arguments, rights=_READ_ONLY))

    def script(self, executable: str) -> Path:
        """Return a program that starts `executable` as this person, its new profile included."""
        path = self.home / "browser.sh"
        lines = ["#!/bin/sh", f'exec {" ".join(self.argv(executable))} "$@"']
        if self.setpriv:
            lines.insert(1, f"chown -R {USER}:{USER} '{self.home}'")
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)
        return path


@pytest.fixture
def person(home: Path, require_tool: RequireTool) -> Person:
    root = os.geteuid() == 0
    made = Person(home, require_tool("setpriv", "sudo apt-get install util-linux") if root else "")
    made.own()
    return made


@asynccontextmanager
async def serving(person: Person) -> AsyncIterator[tuple[Program, str]]:
    """Run the demo app behind `devtls serve`; give the address that `devtls pac` prints."""
    https_port = free_port()
    runner, app_port = await demo.start()
    routes = f'"*.shop" = {app_port}\n'
    (person.home / "devtls.toml").write_text(f"[pac]\nport = {free_port()}\n[routes]\n{routes}")
    person.own()
    argv = person.argv(*DEVTLS, "serve", "--no-redirect", "--https-port", str(https_port), rights=_READ_ONLY)
    try:
        async with running(argv, directory=person.home, port=https_port) as program:
            yield program, await printed_address(person, program)
    finally:
        await runner.cleanup()


async def printed_address(person: Person, program: Program) -> str:
    """Ask until the port is open: it opens a moment after the proxy."""
    async with asyncio.timeout(30):
        while (done := await person.devtls("pac")).returncode:
            assert program.process.poll() is None, program.output()
            assert "hands out no PAC file" in done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.browser
async def test_chromium_opens_a_wildcard_name_on_443_by_the_pac_file_alone(
    person: Person, require_tool: RequireTool, tmp_path: Path
) -> None:
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    browser = str(person.script(require_tool("chromium", "sudo apt-get install chromium")))
    with pytest.raises(OSError, match=r"Name or service|No address|not known"):
        socket.getaddrinfo(NAME, 443)
    trusted = await person.devtls("trust", "--store", "nss", "--yes")
    assert trusted.returncode == 0, trusted.stderr
    async with serving(person) as (program, url):
        async with Chromium(person.home, executable=browser, flags=QUIET_FLAGS) as without:
            assert (await without.open(f"https://{NAME}/")).error == "net::ERR_NAME_NOT_RESOLVED"
        flags = (*FLAGS, f"--proxy-pac-url={url}")
        async with Chromium(person.home, executable=browser, flags=flags) as chromium:
            page = await chromium.open(f"https://{NAME}/")
            assert (page.error, page.status) == ("", 200)
            assert await page.evaluate("location.href") == f"https://{NAME}/"
            await page.wait_for("document.querySelector('#ws.good')")
            await page.wait_for("document.querySelector('#sse.good')")
            headers = await page.evaluate("document.querySelector('#headers').innerText")
            assert "443" in headers.lower().split("x-forwarded-port")[1].split("\n")[0]
            assert page.failed == []
            await page.goto(f"http://{NAME}/ready?x")
            assert await page.evaluate("location.href") == f"https://{NAME}/ready?x"
            await page.goto(f"https://{NAME}:4430/")
            assert page.error == "net::ERR_TUNNEL_CONNECTION_FAILED"
        assert "handshake" not in program.output()


@pytest.mark.browser
async def test_chromium_takes_the_file_itself_as_an_address(person: Person, require_tool: RequireTool) -> None:
    """As data:, and not as file:, of which `devtls pac` says so."""
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    browser = str(person.script(require_tool("chromium", "sudo apt-get install chromium")))
    assert (await person.devtls("trust", "--store", "nss", "--yes")).returncode == 0
    async with serving(person):
        url = (await person.devtls("pac", "--data")).stdout.strip()
        assert url.startswith("data:application/x-ns-proxy-autoconfig;base64,")
        async with Chromium(person.home, executable=browser, flags=(*FLAGS, f"--proxy-pac-url={url}")) as chromium:
            page = await chromium.open(f"https://{NAME}/")
            assert (page.error, page.status) == ("", 200)
        url = (await person.devtls("pac", "--save", str(person.home / "x.pac"))).stdout.strip()
        async with Chromium(person.home, executable=browser, flags=(*FLAGS, f"--proxy-pac-url={url}")) as chromium:
            assert (await chromium.open(f"https://{NAME}/")).error == "net::ERR_NAME_NOT_RESOLVED"


@pytest.mark.browser
@pytest.mark.parametrize("options", [("--data",), ("--save", "devtls.pac")])
async def test_firefox_takes_the_file_itself_as_an_address(
    person: Person, require_tool: RequireTool, options: tuple[str, ...]
) -> None:
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    browser = str(person.script(require_tool("firefox-esr", "sudo apt-get install firefox-esr")))
    resolving: dict[str, bool | int | str] = {"network.dns.forceResolve": ""}
    async with Firefox(person.home, executable=browser, settings=resolving) as without:  # makes the profile
        assert (await without.open(f"https://{NAME}/")).error == "NS_ERROR_UNKNOWN_HOST"
    assert (await person.devtls("trust", "--store", "nss", "--yes")).returncode == 0
    if len(options) == 2:
        options = (options[0], str(person.home / options[1]))
    async with serving(person):
        told = await person.devtls("pac", *options)
        assert told.returncode == 0, told.stderr
        settings = {**resolving, "network.proxy.type": 2, "network.proxy.autoconfig_url": told.stdout.strip()}
        async with Firefox(person.home, executable=browser, settings=settings) as firefox:
            page = await firefox.open(f"https://{NAME}/")
            assert (page.error, page.status) == ("", 200)


@pytest.mark.browser
async def test_firefox_opens_it_with_the_two_settings_that_devtls_pac_names(
    person: Person, require_tool: RequireTool
) -> None:
    require_tool("certutil", "sudo apt-get install libnss3-tools")
    browser = str(person.script(require_tool("firefox-esr", "sudo apt-get install firefox-esr")))
    resolving: dict[str, bool | int | str] = {"network.dns.forceResolve": ""}
    async with Firefox(person.home, executable=browser, settings=resolving) as without:
        assert (await without.open(f"https://{NAME}/")).error == "NS_ERROR_UNKNOWN_HOST"
    trusted = await person.devtls("trust", "--store", "nss", "--yes")
    assert trusted.returncode == 0, trusted.stderr
    async with serving(person) as (_, url):
        told = (await person.devtls("pac")).stderr
        named = dict(re.findall(r'user_pref\("(.*?)", (.*?)\);', told))
        assert named == {"network.proxy.type": "2", "network.proxy.autoconfig_url": f'"{url}"'}
        settings = {**resolving, **{name: json.loads(value) for name, value in named.items()}}
        async with Firefox(person.home, executable=browser, settings=settings) as firefox:
            page = await firefox.open(f"https://{NAME}/")
            assert (page.error, page.status, page.protocol) == ("", 200, "h2")
            await page.wait_for("document.querySelector('#ws.good')")


async def test_curl_goes_through_the_same_proxy_and_no_other(person: Person, require_tool: RequireTool) -> None:
    curl = require_tool("curl", "sudo apt-get install curl")
    async with serving(person) as (_, url):
        root = person.home / "root.pem"
        assert (await person.devtls("ca", "export", "--out", str(root))).returncode == 0
        proxy = url.removesuffix("/proxy.pac")
        fetch = (curl, "--silent", "--show-error", "--max-time", "20", "--cacert", str(root), "--proxy", proxy)
        assert (await run((*fetch, f"https://{NAME}/ready"))).stdout.startswith("ready")
        assert (await run((*fetch, "--http1.1", f"https://{NAME}/ready"))).stdout.startswith("ready")
        for other in ("https://example.com/", "https://127.0.0.1/", f"https://{NAME}:22/", "https://[::1]/"):
            done = await run((*fetch, other))
            assert done.returncode, other
            assert "403" in done.stderr, other
        done = await run((*fetch, "--write-out", "%{http_code}", "http://example.com/"))
        assert done.stdout.endswith("403")


async def test_the_port_is_held_before_devtls_runs(home: Path, require_tool: RequireTool) -> None:
    """As systemd does for an installed service: the first client starts devtls, nobody else can take the port."""
    tool = require_tool("systemd-socket-activate", "sudo apt-get install systemd")
    port, https = free_port(), free_port()
    (home / "devtls.toml").write_text(f"[dns]\nport = {free_port()}\n[pac]\nport = {port}\n[routes]\napp = 9\n")
    addresses = [f"127.0.0.1:{port}", f"[::1]:{port}"]
    serve = [*DEVTLS, "serve", "--no-redirect", "--https-port", str(https)]
    listen = [option for address in addresses for option in ("-l", address)]
    environment = [f"--setenv={name}" for name in os.environ]
    argv = [tool, *listen, "--fdname=pac:pac", *environment, *serve]
    process = subprocess.Popen(argv, cwd=home, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(is_taken, port):
                await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert f"PROXY 127.0.0.1:{port}".encode() in answer
        writer.close()
        async with asyncio.timeout(10):  # https was not handed over: it is bound as usual
            while not await asyncio.to_thread(is_taken, https):
                await asyncio.sleep(0.05)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 15)


def is_taken(port: int) -> bool:
    """Say whether nobody else may listen on a port of 127.0.0.1."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


SMUGGLED = "CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n"


REFUSED = [
    ("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 403),
    ("CONNECT example.com:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n", 400),
    ("CONNECT 127.0.0.1:{app} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 403),
    ("CONNECT [::1]:{app} HTTP/1.1\r\nHost: [::1]\r\n\r\n", 403),
    ("CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 403),
    ("CONNECT localhost:{app} HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
    ("CONNECT {name}:{app} HTTP/1.1\r\nHost: {name}\r\n\r\n", 403),
    ("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 403),
    ("GET http://127.0.0.1:{app}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 403),
    ("GET https://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n", 403),
    ("GET /proxy.pac HTTP/1.1\r\nHost: evil.example.com\r\n\r\n", 403),
    (SMUGGLED + "Content-Length: 3\r\n\r\nabc", 400),
    (SMUGGLED + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (SMUGGLED + "Host: example.com\r\n\r\n", 400),
    (SMUGGLED + "X: a\n\nCONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 400),
    ("CONNECT {name}:443 HTTP/0.9\r\n\r\n", 505),
]


async def test_it_is_no_open_proxy(person: Person) -> None:
    async with serving(person) as (_, url):
        app = int((person.home / "devtls.toml").read_text().rpartition("= ")[2])
        for head, status in REFUSED:
            sent = head.format(name=NAME, app=app)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
            writer.write(sent.encode())
            answer = await asyncio.wait_for(reader.read(), 15)
            writer.close()
            await writer.wait_closed()
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), (sent, answer[:200])
            assert b"HTTP/1.1 200" not in answer, sent


async def test_the_script_leads_our_zones_here_and_nothing_else(person: Person, require_tool: RequireTool) -> None:
    node = require_tool("node", "sudo apt-get install nodejs")
    hosts = {
        "dev.local": True, "app.dev.local": True, "a.b.c.test": True, "APP.DEV.LOCAL": True, "app.test.": True,
        "x.localhost": True, "local": False, "evildev.local": False, "dev.local.example.com": False,
        "example.com": False, "127.0.0.1": False, "test.example": False, "attest": False,
    }  # fmt: skip
    async with serving(person) as (_, url):
        curl = require_tool("curl", "sudo apt-get install curl")
        script = (await run((curl, "--silent", "--show-error", url))).stdout
        ask = f"{script}; console.log(JSON.stringify({json.dumps(list(hosts))}.map(h => FindProxyForURL('', h))))"
        said = json.loads((await run((node, "-e", ask))).stdout)
    proxy = "PROXY " + url.split("/")[2]
    assert dict(zip(hosts, said, strict=True)) == {host: proxy if ours else "DIRECT" for host, ours in hosts.items()}
