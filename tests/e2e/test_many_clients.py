"""Crowds and crashes: clients that stay, clients that are cut off at any byte, and a proxy that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.serving import DEVTLS, Serving, export_root, running
from tests.e2e.waiting import until
from tests.locks import free_port

pytestmark = pytest.mark.e2e

NAME = "app.dev.local"
STAYING = 300
CUT = 300
AT_ONCE = 100
PATIENCE_S = 15.0
POLL_S = 0.02
UPSTREAM_IDLE_S = 0.2
CROWD_S = 90
"""How long the first of a crowd may have to wait for the last one, before all of them ask."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for 0 seconds; close() then sends RST."""


@dataclass
class Backend:
    """An app that answers every request with 1 KiB and keeps its connections."""

    port: int
    requests: int = 0


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    app = Backend(0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                app.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + bytes(1024))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    app.port = server.sockets[0].getsockname()[1]
    yield app
    server.close()


def write_config(directory: Path, backend: Backend) -> None:
    """Route to the app; its idle connections are dropped soon, since the tests count what stays open."""
    limits = f"[limits]\nupstream_idle_s = {UPSTREAM_IDLE_S}\nlinger_s = 0.1\nhead_timeout_s = {CROWD_S}\n"
    (directory / "devtls.toml").write_text(f"{limits}[routes]\napp = {backend.port}\n")


@contextlib.asynccontextmanager
async def proxy_on(port: int, directory: Path) -> AsyncIterator[Serving]:
    argv = [*DEVTLS, "serve", "--https-port", str(port), "--no-redirect"]
    async with running(argv, directory=directory, port=port) as program:
        yield Serving(program, port, export_root(directory))


@pytest.fixture
async def proxy(home: Path, backend: Backend) -> AsyncIterator[Serving]:
    write_config(home, backend)
    async with proxy_on(free_port(), home) as proxy:
        yield proxy


class Client:
    """One keep-alive connection; `through` is the port of something that stands between."""

    def __init__(self, proxy: Serving, context: ssl.SSLContext, through: int = 0) -> None:
        self._where = (through or proxy.port, context)
        self._host = f"{NAME}:{proxy.port}".encode()

    async def __aenter__(self) -> Client:
        port, context = self._where
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=NAME, ssl_handshake_timeout=PATIENCE_S
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def fetch(self, method: bytes = b"GET", body: bytes = b"") -> bytes:
        """Return the status line of one answer, read to its end."""
        fields = b"Content-Length: %d\r\n" % len(body) if body else b""
        self._writer.write(b"%b / HTTP/1.1\r\nHost: %b\r\n%b\r\n%b" % (method, self._host, fields, body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(1024)
        return head.partition(b"\r\n")[0]


@contextlib.asynccontextmanager
async def cutter(proxy: Serving, allowed: Callable[[], int]) -> AsyncIterator[int]:
    """Stand before the proxy: hand on `allowed()` bytes of each client, then reset both sides; yield the port."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = allowed()
        there, towards = await asyncio.open_connection("127.0.0.1", proxy.port)
        back = asyncio.create_task(hand_on(there, writer))
        while left and (data := await reader.read(left)):
            towards.write(data)
            await towards.drain()
            left -= len(data)
        for side in (towards, writer):
            side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            side.transport.abort()
        await back

    server = await asyncio.start_server(between, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def open_files(proxy: Serving) -> int:
    return len(list(Path(f"/proc/{proxy.program.process.pid}/fd").iterdir()))


async def settled_open_files(proxy: Serving) -> int:
    """Return the number once it has not changed for longer than the idle connections to the app are kept."""
    seen, since = 0, asyncio.get_running_loop().time()
    while (now := asyncio.get_running_loop().time()) < since + 2 * UPSTREAM_IDLE_S:
        if (count := open_files(proxy)) != seen:
            seen, since = count, now
        await asyncio.sleep(POLL_S)
    return seen


async def gather_bounded(jobs: list[Callable[[], Awaitable[None]]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(job: Callable[[], Awaitable[None]]) -> None:
        async with gate:
            await job()

    await asyncio.gather(*[one(job) for job in jobs])


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
async def test_a_crowd_leaves_nothing_open(proxy: Serving, backend: Backend) -> None:
    """Half of it stays for three requests, half is cut off at a random byte of its handshake, request or upload."""
    context = proxy.context()
    async with Client(proxy, context) as client:
        await client.fetch()
    before = await settled_open_files(proxy)
    chance = random.Random(7)

    async def stay() -> None:
        async with Client(proxy, context) as client:
            for _ in range(3):
                assert await client.fetch() == b"HTTP/1.1 200 OK"

    async def leave() -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with Client(proxy, context, through) as client:
                await client.fetch()
                await client.fetch(b"POST", bytes(3000))
                await client.fetch()

    async with cutter(proxy, lambda: chance.randrange(5000)) as through:
        jobs = [*[stay] * STAYING, *[leave] * CUT]
        chance.shuffle(jobs)
        await gather_bounded([*jobs])
    assert backend.requests > 3 * STAYING
    await until(lambda: open_files(proxy) <= before, lambda: f"{open_files(proxy)} open files, {before} before")
    async with Client(proxy, context) as client:
        assert await client.fetch() == b"HTTP/1.1 200 OK"
    assert "Traceback" not in proxy.program.output()


async def test_three_hundred_connections_at_the_same_time(proxy: Serving, backend: Backend) -> None:
    context = proxy.context()
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(proxy, context)) for _ in range(STAYING)]
        for _ in range(2):
            answers = await asyncio.gather(*[client.fetch() for client in clients])
            assert set(answers) == {b"HTTP/1.1 200 OK"}
    assert backend.requests == 2 * STAYING


async def test_a_killed_proxy_starts_again_on_its_port(home: Path, backend: Backend) -> None:
    """With the same CA, while the old clients still hold their ends."""
    write_config(home, backend)
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        async with proxy_on(port, home) as proxy:
            context = proxy.context()
            for _ in range(5):
                client = await stack.enter_async_context(Client(proxy, context))
                await client.fetch()
            proxy.program.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(proxy.program.process.wait, PATIENCE_S)
        async with proxy_on(port, home) as proxy, Client(proxy, context) as client:
            assert await client.fetch() == b"HTTP/1.1 200 OK"
            assert "error" not in proxy.program.output()
