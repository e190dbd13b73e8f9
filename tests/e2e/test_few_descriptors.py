"""`devtls serve` with no file descriptors left (rule 79): polite, quiet, and well again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import socket
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.serving import DEVTLS, Serving, export_root, running, serving
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="prlimit and /proc are Linux's")]

FEW = 64
WATCHED_S = 0.3
"""How long its CPU time is watched: a loop that spins takes nearly all of it."""
CROWD = 150
TOO_MANY = (
    r"! (The (DNS|PAC) server cannot be opened|Cannot listen on \S+|the state folder cannot be read|"
    r"new connections have to wait): Too many open"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DEVTLS_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path


@asynccontextmanager
async def crowd(port: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Hold connections open that say nothing."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CROWD)]
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()
        for _, writer in opened:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def status(proxy: Serving) -> int:
    """Return the status of one request, 0 when the connection did not come about."""
    try:
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection("127.0.0.1", proxy.port, ssl=proxy.context(), server_hostname="app.dev.local"), 5
        )
    except (OSError, TimeoutError):
        return 0
    writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 0


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def soft_limit(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


async def until_status(proxy: Serving, wanted: int) -> None:
    async with asyncio.timeout(5):
        while await status(proxy) != wanted:
            await asyncio.sleep(0.05)


async def test_without_descriptors_it_refuses_does_not_spin_and_recovers(home: Path) -> None:
    port = free_port()
    # Not the default ports: a serve of another test may hold them, which is told of too.
    (home / "devtls.toml").write_text(f"[dns]\nport = {free_port()}\n[pac]\nport = {free_port()}\n")
    app = running([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], directory=home, port=port)
    async with app, serving(home, f"app={port}") as proxy:
        pid = proxy.program.process.pid
        await until_status(proxy, 200)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))
        async with crowd(proxy.port) as readers:
            async with asyncio.timeout(5):
                while not any(reader.at_eof() for reader in readers):
                    await asyncio.sleep(0.02)
            before = cpu_s(pid)
            await asyncio.sleep(WATCHED_S)
            assert cpu_s(pid) - before < WATCHED_S / 3
        await until_status(proxy, 200)
        assert proxy.program.process.poll() is None
        # The side ports may have opened in the time without descriptors: it is told of, and tried again.
        said = [line for line in proxy.program.output().splitlines() if line.startswith("! ")]
        assert [line for line in said if not re.match(TOO_MANY, line)] == []


SILENT = b""
HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: 127"
HALF_A_BODY = (
    b"POST /ocsp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/ocsp-request\r\nContent-Length: 99\r\n\r\nx"
)
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01"


@asynccontextmanager
async def flood(ports: Sequence[int], sent: Sequence[bytes], each: int) -> AsyncIterator[None]:
    """Hold so many connections to each port open as the other side leaves open, and more."""
    opened: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    for number in range(each):
        for port in ports:
            client = socket.socket()
            client.setblocking(False)
            opened.append(client)
            await asyncio.wait_for(loop.sock_connect(client, ("127.0.0.1", port)), 10)
            with contextlib.suppress(OSError):
                client.send(sent[number % len(sent)])
    try:
        yield
    finally:
        for client in opened:
            client.close()


async def test_https_is_served_whatever_happens_at_all_the_other_ports(home: Path) -> None:
    """256 files, 2,000 clients that say nothing or half of something, at each port that anybody can reach."""
    port, https, http, dns, pac = (free_port() for _ in range(5))
    (home / "devtls.toml").write_text(f"[dns]\nport = {dns}\n[pac]\nport = {pac}\n[routes]\napp = {port}\n")
    app = running([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], directory=home, port=port)
    serve = [*DEVTLS, "serve", "--https-port", str(https), "--http-port", str(http)]
    few = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *serve]
    async with app, running(few, directory=home, port=https) as program:
        proxy = Serving(program, https, export_root(home))
        await until_status(proxy, 200)
        assert "This process may open 256 files: 60 clients at once, not 1000" in program.output()
        pki = int(re.findall(rb"http://127.0.0.1:(\d+)/", b64decode(ssl_body(home)))[0])
        for each in (http, dns, pac, pki):
            await until_accepting(each)
        async with flood([http, dns, pac, pki], [SILENT, HALF_A_HEAD, HALF_A_BODY], 500):
            for _ in range(10):
                assert await status(proxy) == 200
            assert len(list(Path(f"/proc/{program.process.pid}/fd").iterdir())) < 200
        async with flood([https], [SILENT, HALF_A_HEAD, HALF_A_HELLO], 500):
            for _ in range(10):
                assert await status(proxy) == 200
        said = [line for line in program.output().splitlines() if line.startswith("! ")]
        assert said == []


def ssl_body(home: Path) -> bytes:
    """Return the base64 of the intermediate, which names the port of the CA's own documents."""
    (pem,) = (home / "state").glob("ca-*/intermediate.pem")
    return b"".join(line for line in pem.read_bytes().splitlines() if not line.startswith(b"-----"))


async def until_accepting(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def test_the_soft_limit_is_raised_at_the_start(home: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        async with serving(home, "app=1") as proxy:
            assert soft_limit(proxy.program.process.pid) > lower
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
