"""Names of devtls' zones as programs of a Debian machine look them up, after what `devtls setup names` does to it.

It runs in namespaces: /etc is a copy, and the network is the test's own, with loopback and nothing else, so that real
resolvers have their own ports. What points the machine at them (resolv.conf) is the test's doing, never devtls'.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devtls.system.changes.resolver.hosts_block import write_block
from tests.e2e.clients import RequireTool, run
from tests.e2e.namespace import Namespace, namespace
from tests.e2e.resolved import LINK_ADDRESS, find_resolved, make_link, resolving
from tests.e2e.serving import DEVTLS, export_root
from tests.e2e.upstream_dns import ANSWER
from tests.e2e.waiting import until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.may_block,
    pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's namespaces"),
]

BOM = b"\xef\xbb\xbf"
FILES = {
    "plain": b"127.0.0.1\tlocalhost\n\n# mine\n192.0.2.9 printer",
    "with a last line end": b"127.0.0.1 localhost\n",
    "CRLF": b"# Windows\r\n127.0.0.1 localhost\r\n",
    "CRLF without a last line end": b"# Windows\r\n127.0.0.1 localhost",
    "BOM": BOM + b"127.0.0.1 localhost\n",
    "Latin-1": b"127.0.0.1 localhost # caf\xe9\n",
    "empty": b"",
}
LIMIT_MS = 100.0
PYTHON = """\
import json, socket, sys, time
found, took = [], []
for name in sys.argv[1:]:
    began = time.perf_counter()
    found.append(sorted({answer[4][0] for answer in socket.getaddrinfo(name, 443)}))
    took.append((time.perf_counter() - began) * 1000)
print(json.dumps([found, took]))
"""
NODE = """\
const dns = require("node:dns").promises;
(async () => {
  const found = [], took = [];
  for (const name of process.argv.slice(1)) {
    const began = process.hrtime.bigint();
    found.push((await dns.lookup(name, { all: true })).map((each) => each.address).sort());
    took.push(Number(process.hrtime.bigint() - began) / 1e6);
  }
  console.log(JSON.stringify([found, took]));
})();
"""
LIBC = """\
import ctypes, json, sys, time
libc = ctypes.CDLL(None, use_errno=True)
took = []
for name in sys.argv[1:]:
    began, answer = time.perf_counter(), ctypes.c_void_p()
    code = libc.getaddrinfo(name.encode(), b"443", None, ctypes.byref(answer))
    took.append((time.perf_counter() - began) * 1000)
    assert code == 0, code
print(json.dumps(took))
"""


class Resolving:
    """The machine, and what its programs make of a name."""

    def __init__(self, machine: Namespace, directory: Path, node: str) -> None:
        self.machine = machine
        self.directory = directory
        self._node = node

    async def take(self, way: str, action: str, *names: str, port: int = 15353) -> dict[str, str]:
        """Take a way of setup, or take it back, inside."""
        argv = (sys.executable, "-m", "tests.e2e.names_inside", way, action, str(port), *names)
        done = await run(self.machine.inside(argv))
        assert done.returncode == 0, done.stderr
        told: dict[str, str] = json.loads(done.stdout)
        return told

    async def write(self, content: bytes, path: str = "/etc/hosts") -> None:
        given = self.directory / "given"
        given.write_bytes(content)
        await self.machine.shell('rm -f "$2"; cp "$1" "$2"; chmod 0640 "$2"; chown 1:2 "$2"', str(given), path)

    async def read(self, path: str = "/etc/hosts") -> bytes:
        taken = self.directory / "taken"
        await self.machine.shell('cp "$1" "$2"', path, str(taken))
        return taken.read_bytes()

    async def addresses(self, name: str) -> list[str]:
        """Return what glibc's own getent says, [] when it knows no such name."""
        done = await run(self.machine.inside(("getent", "ahosts", name)))
        return sorted({line.split()[0] for line in done.stdout.splitlines()})

    async def all_programs_find(self, *names: str) -> None:
        """Python, Node and the C library find each name here, over both families, and at once."""
        for argv in ((sys.executable, "-I", "-c", PYTHON, *names), (self._node, "-e", NODE, *names)):
            done = await run(self.machine.inside(argv))
            assert done.returncode == 0, done.stderr
            found, took = json.loads(done.stdout)
            assert found == [["127.0.0.1", "::1"]] * len(names), argv[0]
            # The quickest of several: this is about waiting for the network, not about a busy machine.
            assert min(took) < LIMIT_MS, (argv[0], took)
        done = await run(self.machine.inside((sys.executable, "-I", "-c", LIBC, *names)))
        assert min(json.loads(done.stdout)) < LIMIT_MS, done.stdout
        assert await self.addresses(names[0]) == ["127.0.0.1", "::1"]


@pytest.fixture
def node(require_tool: RequireTool) -> str:
    return require_tool("node", "sudo apt-get install nodejs")


@pytest.fixture
def machine(tmp_path: Path, node: str) -> Iterator[Resolving]:
    with namespace() as made:
        yield Resolving(made, tmp_path, node)


@pytest.fixture
def networked(tmp_path: Path, node: str, require_tool: RequireTool) -> Iterator[Resolving]:
    require_tool("ip", "sudo apt-get install iproute2")
    with namespace(network=True) as made:
        yield Resolving(made, tmp_path, node)


async def test_the_block_comes_changes_and_goes_byte_for_byte(machine: Resolving) -> None:
    for kind, content in FILES.items():
        await machine.write(content)
        assert (await machine.take("hosts", "install", "app.dev.local"))["after"] == "applied", kind
        assert await machine.read() == write_block(content, ["app.dev.local"]), kind
        assert await machine.addresses("app.dev.local") == ["127.0.0.1", "::1"], kind
        told = await machine.take("hosts", "install", "shop.test")
        assert (told["before"], told["after"]) == ("outdated", "applied"), kind
        assert await machine.read() == write_block(content, ["app.dev.local", "shop.test"]), kind
        assert await machine.machine.shell("stat -c '%a %u %g' /etc/hosts") == "640 1 2\n", kind
        assert not (await machine.take("hosts", "remove"))["failure"], kind
        assert await machine.read() == content, kind
        assert await machine.machine.shell("stat -c '%a %u %g' /etc/hosts") == "640 1 2\n", kind
    assert await machine.machine.shell("ls -A /etc | grep devtls || true") == ""


async def test_every_program_finds_a_name_of_the_hosts_file(machine: Resolving) -> None:
    names = ("app.dev.local", "dev.local", "app.test")
    await machine.take("hosts", "install", *names)
    await machine.all_programs_find(*names)


async def test_a_hosts_file_that_is_mounted_is_written_in_place(machine: Resolving) -> None:
    content = FILES["plain"]
    await machine.write(content, "/etc/elsewhere")
    await machine.machine.shell("mount --bind /etc/elsewhere /etc/hosts")
    assert (await machine.take("hosts", "install", "app.test"))["after"] == "applied"
    assert await machine.read("/etc/elsewhere") == write_block(content, ["app.test"])
    assert not (await machine.take("hosts", "remove"))["failure"]
    assert await machine.read("/etc/elsewhere") == content


async def test_a_read_only_hosts_file_stays_and_is_named(machine: Resolving) -> None:
    await machine.write(FILES["plain"])
    await machine.machine.shell("mount --bind /etc/hosts /etc/hosts; mount -o remount,bind,ro /etc/hosts")
    told = await machine.take("hosts", "install", "app.test")
    assert (told["after"], told["detail"]) == ("read-only", "/etc/hosts lies on a read-only file system")
    assert await machine.read() == FILES["plain"]


@pytest.mark.parametrize("broken", [b"# devtls begin\n", b"# devtls end\n", b"# devtls end\n# devtls begin\n"])
async def test_a_hosts_file_with_broken_markers_stays_and_the_line_is_named(machine: Resolving, broken: bytes) -> None:
    await machine.write(FILES["with a last line end"] + broken)
    told = await machine.take("hosts", "install", "app.test")
    assert told["after"] == "manual"
    assert "line 2" in told["detail"]
    assert "line 2" in (await machine.take("hosts", "remove"))["failure"]
    assert await machine.read() == FILES["with a last line end"] + broken


async def test_a_hosts_file_that_is_a_link_stays(machine: Resolving) -> None:
    await machine.write(FILES["plain"], "/etc/elsewhere")
    await machine.machine.shell("ln -sf /etc/elsewhere /etc/hosts")
    assert (await machine.take("hosts", "install", "app.test"))["after"] == "manual"
    assert await machine.read("/etc/elsewhere") == FILES["plain"]


async def test_dnsmasq_finds_every_name_and_asks_for_the_others_where_it_did(
    networked: Resolving, require_tool: RequireTool, home: Path
) -> None:
    dnsmasq = require_tool("dnsmasq", "sudo apt-get install dnsmasq-base")
    curl = require_tool("curl", "sudo apt-get install curl")
    told = await networked.take("dnsmasq", "install")
    assert (told["before"], told["after"]) == ("absent", "applied")
    log, asked = networked.directory / "dnsmasq.log", networked.directory / "upstream.log"
    upstream = (sys.executable, "-m", "tests.e2e.upstream_dns", "127.0.0.1", "5300")
    server = ("--keep-in-foreground", "--user=root", "--log-facility=-", "--pid-file=", "--no-resolv")
    directory = ("--conf-file=/dev/null", "--conf-dir=/etc/dnsmasq.d", "--server=127.0.0.1#5300")
    inside = networked.machine
    async with inside.runs(upstream, asked), inside.runs((dnsmasq, *server, *directory), log):
        await until(lambda: b"ready" in asked.read_bytes(), asked.read_text)
        await until(lambda: b"read /etc/hosts" in log.read_bytes(), log.read_text)
        await inside.shell("echo nameserver 127.0.0.1 > /etc/resolv.conf")
        await networked.all_programs_find("any.deep.dev.local", "two.deep.dev.local", "x.test")
        assert await networked.addresses("example.com") == [ANSWER]
        assert await networked.addresses("dev.local.example.com") == [ANSWER]
        assert await networked.addresses("nowhere.invalid") == []
        known = {line.split()[0] for line in asked.read_text().splitlines()}
        assert known == {"ready", "example.com", "dev.local.example.com", "nowhere.invalid"}
        async with _serve(networked):
            await _reaches_serve(networked, curl, home)
    assert not (await networked.take("dnsmasq", "remove"))["failure"]
    assert await inside.shell("ls -A /etc/dnsmasq.d 2>/dev/null || true") == ""


async def test_resolved_asks_devtls_for_its_zones_and_the_link_for_the_rest(
    networked: Resolving, require_tool: RequireTool, home: Path
) -> None:
    curl = require_tool("curl", "sudo apt-get install curl")
    command = find_resolved(networked.directory)
    inside, asked = networked.machine, networked.directory / "upstream.log"
    await make_link(inside)
    upstream = (sys.executable, "-m", "tests.e2e.upstream_dns", LINK_ADDRESS, "53")
    told = await networked.take("resolved", "install")
    assert (told["before"], told["after"]) == ("absent", "applied")
    async with inside.runs(upstream, asked), resolving(inside, command, networked.directory):
        await until(lambda: b"ready" in asked.read_bytes(), asked.read_text)
        async with _serve(networked):
            await networked.all_programs_find("any.deep.dev.local", "two.deep.dev.local", "x.test")
            assert await networked.addresses("example.com") == [ANSWER]
            await _reaches_serve(networked, curl, home)
        # Without devtls the rest of the world is still there.
        assert await networked.addresses("other.example.com") == [ANSWER]
        known = {line.split()[0] for line in asked.read_text().splitlines()}
        assert known == {"ready", "example.com", "other.example.com"}
    assert not (await networked.take("resolved", "remove"))["failure"]
    # With devtls gone and its file too, everything is as it was.
    async with inside.runs(upstream, asked), resolving(inside, command, networked.directory):
        await until(lambda: b"ready" in asked.read_bytes(), asked.read_text)
        assert await networked.addresses("any.deep.dev.local") == []
        assert await networked.addresses("example.com") == [ANSWER]


@asynccontextmanager
async def _serve(machine: Resolving) -> AsyncIterator[None]:
    """Run devtls inside with a wildcard route, until its DNS is open, too."""
    argv = (*DEVTLS, "serve", "--verbose", "--https-port", "8443", "--no-redirect", "*.deep=9")
    log = machine.directory / "serve.log"
    async with machine.machine.runs(argv, log):
        await until(lambda: b"is answered on port 15353" in log.read_bytes(), log.read_text)
        yield


async def _reaches_serve(machine: Resolving, curl: str, home: Path) -> None:
    """The wildcard route is reached under a name that only the resolver knows."""
    root = str(export_root(home))
    fetch = (curl, "--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert", root)
    done = await run(machine.machine.inside((*fetch, "https://any.deep.dev.local:8443/")))
    # 502: nothing listens on port 9, and that devtls says so shows that it was reached, with a good certificate.
    assert done.stdout == "502", done.stderr
