"""`devtls serve` with no file descriptors left (rule 79): polite, quiet, and well again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.serving import Serving, running, serving
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="prlimit and /proc are Linux's")]

FEW = 64
WATCHED_S = 0.3
"""How long its CPU time is watched: a loop that spins takes nearly all of it."""
CROWD = 150
TOO_MANY = (
    r"! (The (DNS|PAC) server cannot be opened|Cannot listen on \S+|the state folder cannot be read): Too many open"
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


async def test_the_soft_limit_is_raised_at_the_start(home: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        async with serving(home, "app=1") as proxy:
            assert soft_limit(proxy.program.process.pid) > lower
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
