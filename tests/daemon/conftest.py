"""A running proxy for tests: real sockets on free ports, a CA of its own, apps that answer what the test says."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devtls.config import parse_route_argument
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.log import Log
from devtls.daemon.source import Source
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import named_config

FLAGS = {"https_port": 0, "redirect": False}


@dataclass
class Answered:
    """A response, as far as these tests look."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Running:
    """A daemon that is up, and what it said."""

    daemon: Daemon
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.daemon.bound.https.port

    async def connect(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cadata=self.daemon.generation.authority.root_pem.decode())
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=host)

    async def get(self, host: str, path: str = "/", *, method: str = "GET", headers: str = "") -> Answered:
        reader, writer = await self.connect(host)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        status, *lines = head.decode("latin-1").split("\r\n")
        found = dict(line.split(": ", 1) for line in lines)
        return Answered(int(status.split()[1]), {k.lower(): v for k, v in found.items()}, body)


Start = Callable[..., Awaitable[Running]]
App = Callable[..., Awaitable[int]]


@pytest.fixture
def paths() -> Paths:
    return Paths.from_environment()


@pytest.fixture
async def start(paths: Paths) -> AsyncIterator[Start]:
    """Return a coroutine function that starts a proxy for routes, or for a file."""
    running: list[Running] = []

    async def begin(*routes: str, file: Path | None = None, level: Any = "normal", **flags: object) -> Running:
        lines: list[str] = []
        log = Log(lines.append, level=level, monotonic=time.monotonic)
        arguments = tuple(parse_route_argument(route) for route in routes)
        found = None if file is None else await asyncio.to_thread(named_config, file)
        daemon = Daemon(Source(paths, found, arguments, {**FLAGS, **flags}), log)
        await asyncio.to_thread(daemon.prepare)
        await daemon.start()
        running.append(Running(daemon, lines))
        return running[-1]

    yield begin
    for one in running:
        await one.daemon.stop(0.0)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """Return a coroutine function that starts an app which answers every request with `body`."""
    servers: list[asyncio.Server] = []

    async def begin(body: bytes = b"app", head: bytes = b"HTTP/1.1 200 OK\r\n", delay_s: float = 0.0) -> int:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    if delay_s:
                        await asyncio.sleep(delay_s)
                    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield begin
    for server in servers:
        server.close()


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    return until
