"""Ctrl-C with requests that run: who gets the grace, and who does not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from devtls.daemon import shutdown
from tests.daemon.conftest import Running, Start

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"


@pytest.fixture
async def script() -> AsyncIterator[Callable[[Talk], Awaitable[int]]]:
    """Return a coroutine function that starts an app which talks as it is told after each head."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def begin(talk: Talk) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(task := asyncio.ensure_future(_converse(talk, reader, writer)))
            task.add_done_callback(tasks.discard)

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return int(servers[-1].sockets[0].getsockname()[1])

    yield begin
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _converse(talk: Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        await talk(reader, writer)
    except ConnectionError:
        return
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def asking(running: Running, *, until: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Send a request and read as far as `until`."""
    reader, writer = await running.connect("app.dev.local")
    writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    if until:
        await asyncio.wait_for(reader.readuntil(until), 5)
    yield reader
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_stream_that_says_nothing_does_not_hold_the_exit(
    start: Start, script: Callable[[Talk], Awaitable[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "STILL_S", 0.1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS)
        await reader.read()

    running = await start(f"app={await script(talk)}")
    async with asking(running, until=b"data: 1\n\n") as reader:
        begun = time.monotonic()
        await running.daemon.stop(5.0)
        assert 0.1 <= time.monotonic() - begun < 2.0
        with contextlib.suppress(ConnectionError):
            assert b"0\r\n\r\n" not in await asyncio.wait_for(reader.read(), 5), "it was cut, not ended"


async def test_an_answer_that_moves_is_finished(
    start: Start, script: Callable[[Talk], Awaitable[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "STILL_S", 0.15)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            writer.write(b".")
            await asyncio.sleep(0.05)

    running = await start(f"app={await script(talk)}")
    async with asking(running, until=b"\r\n\r\n") as reader:
        await running.daemon.stop(5.0)
        assert await reader.read() == b"." * 10


async def test_an_answer_that_has_not_begun_gets_the_whole_grace(
    start: Start, script: Callable[[Talk], Awaitable[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "STILL_S", 0.05)
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        for _ in range(3):
            await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    running = await start(f"app={await script(talk)}")
    async with asking(running, until=b"") as reader:
        await asked.wait()
        await running.daemon.stop(5.0)
        assert (await reader.read()).endswith(b"ok")
