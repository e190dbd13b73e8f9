"""Large bodies pass through `devtls serve` without staying in it: 256 MiB each way, 1 GiB with DEVTLS_TEST_BIG=1."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.serving import Serving, serving
from tests.e2e.waiting import until_still

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the process's size from /proc"),
    pytest.mark.timeout(300),
]

MIB = 1024 * 1024
SIZE = (1024 if os.environ.get("DEVTLS_TEST_BIG") else 256) * MIB
GROWTH = 20 * MIB
STALLED = 12_000_000
"""What an app may get rid of while the client does not read (rule 77); most of it is in kernel buffers."""
PIECE = bytes(256 * 1024)


class Bulk:
    """An app: `/down` sends SIZE octets, `/endless` never stops, `/ping` says pong, any POST is read and counted."""

    def __init__(self) -> None:
        self.port = 0
        self.received = 0
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b" ", 2)
                if method == b"POST":
                    await self._take(reader, int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                    await self._send(writer, 4, b"done")
                elif path == b"/ping":
                    await self._send(writer, 4, b"pong")
                else:
                    await self._send(writer, SIZE if path == b"/down" else 1 << 50, PIECE)
        writer.close()

    async def _take(self, reader: asyncio.StreamReader, length: int) -> None:
        while length:
            data = await reader.read(min(length, len(PIECE)))
            if not data:
                raise ConnectionError
            length -= len(data)
            self.received += len(data)

    async def _send(self, writer: asyncio.StreamWriter, length: int, piece: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        for _ in range(length // len(piece)):
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)


class Size:
    """Watches the resident size of a process; `peak` is the largest seen, in octets."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/statm")
        self.before = self.peak = self._now()
        self._task = asyncio.create_task(self._watch())

    def _now(self) -> int:
        return int(self._status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def _watch(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # a test that failed before it asked
            while True:
                self.peak = max(self.peak, self._now())
                await asyncio.sleep(0.01)

    async def growth(self) -> int:
        """End the watch and return by how much the process grew at most."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.peak - self.before


@pytest.fixture
async def bulk() -> AsyncIterator[Bulk]:
    app = Bulk()
    server = await asyncio.start_server(app.serve, "127.0.0.1", 0)
    app.port = server.sockets[0].getsockname()[1]
    yield app
    server.close()
    await asyncio.sleep(0.02)


@pytest.fixture
async def served(home: Path, bulk: Bulk) -> AsyncIterator[Serving]:
    """The proxy before the app, after a first small body each way; without what it loads later for DNS."""
    (home / "devtls.toml").write_text("[dns]\nenabled = false\n")
    async with serving(home, f"app={bulk.port}") as running:
        await get(running, b"/ping")
        await upload(running, MIB)
        yield running


async def connect(served: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    # The client's own receive buffer, up to 32 MiB by the kernel's choice, is not what these tests are about.
    sock = socket.create_connection(("127.0.0.1", served.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
    return await asyncio.open_connection(sock=sock, ssl=served.context(), server_hostname="app.dev.local")


def head(served: Serving, method: bytes, path: bytes, fields: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: app.dev.local:%d\r\n%b\r\n" % (method, path, served.port, fields)


async def get(served: Serving, path: bytes) -> int:
    """Return how many octets of a body came."""
    reader, writer = await connect(served)
    writer.write(head(served, b"GET", path, b"Connection: close\r\n"))
    assert b" 200 " in await reader.readline()
    await reader.readuntil(b"\r\n\r\n")
    octets = 0
    while data := await reader.read(len(PIECE)):
        octets += len(data)
    writer.close()
    return octets


async def upload(served: Serving, length: int) -> None:
    """Send a body and wait for the app's word that it has it."""
    reader, writer = await connect(served)
    writer.write(head(served, b"POST", b"/up", b"Content-Length: %d\r\n" % length))
    for _ in range(length // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()
    assert b" 200 " in await reader.readline()
    writer.close()


async def test_a_large_download_passes_through(served: Serving) -> None:
    size = Size(served.program.process.pid)
    assert await get(served, b"/down") == SIZE
    assert await size.growth() < GROWTH


async def test_a_large_upload_passes_through(served: Serving, bulk: Bulk) -> None:
    size = Size(served.program.process.pid)
    before = bulk.received
    await upload(served, SIZE)
    assert bulk.received - before == SIZE
    assert await size.growth() < GROWTH


async def test_a_client_that_stops_reading_stops_the_app_and_nobody_else(served: Serving, bulk: Bulk) -> None:
    size = Size(served.program.process.pid)
    before = bulk.sent
    reader, writer = await connect(served)
    writer.write(head(served, b"GET", b"/endless"))
    await reader.readline()
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's TLS transport can
    assert await until_still(lambda: bulk.sent) - before <= STALLED
    assert await asyncio.wait_for(get(served, b"/ping"), 2) == 4
    assert await size.growth() < 4 * MIB
    writer.transport.abort()
