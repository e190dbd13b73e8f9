"""Clients that abort and readers that do not keep up: aborts and backpressure (rules 76 and 77)."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path

import pytest

from tests.compliance.wire import wire_client
from tests.net.harness import App, AppConnection, Proxy, app, until, until_still

ABORT_S = 0.2
MEBIBYTE = 1024 * 1024


# -- aborts -----------------------------------------------------------------------------------------------------------


async def waiting(connection: AppConnection) -> None:
    """Read the head, then wait for the end."""
    await connection.head()
    with contextlib.suppress(ConnectionError):
        await connection.to_eof()
    connection.heads.append(b"ended")


def ended(backend: App) -> bool:
    """Say whether the app has seen the end."""
    return bool(backend.connections) and backend.connections[0].heads[-1:] == [b"ended"]


@pytest.mark.parametrize("how", ["close_notify", "fin", "reset"])
@pytest.mark.parametrize("when", ["waiting", "uploading", "answering"])
async def test_rule_76_a_client_that_goes_away_ends_the_apps_request(running: Proxy, when: str, how: str) -> None:
    """Within 0.2 s: a dev server's long poll or render is for nobody now."""

    async def talk(connection: AppConnection) -> None:
        if when == "answering":
            await connection.head()
            connection.heads.clear()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
            connection.reader.feed_data(b"\r\n\r\n")
        await waiting(connection)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Content-Length: 10\r\n\r\nhello" if when == "uploading" else b"")
        await until(lambda: backend.connections and backend.connections[0].heads)
        if when == "answering":
            await client.head()
        match how:
            case "close_notify":
                await client.wire.half_close()
            case "fin":
                client.wire.fin()
            case _:
                client.wire.reset()
        await until(lambda: ended(backend), within_s=ABORT_S)
        client.close()


async def test_rule_76_a_client_that_goes_away_stops_the_dialling(
    running: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before there is a connection to the app."""
    cancelled = asyncio.Event()

    async def slow_dial(upstream: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    monkeypatch.setattr(running.service.pool, "dial", slow_dial)
    running.route("app = 1")
    client = await wire_client(running)
    await client.request()
    await until(lambda: any(connection._relay for connection in running.h1_connections))
    client.wire.reset()
    async with asyncio.timeout(ABORT_S):
        await cancelled.wait()


# -- backpressure -----------------------------------------------------------------------------------------------------


async def test_rule_77_a_client_that_stops_reading_stops_the_app(running: Proxy) -> None:
    """At most 12 MB leave the app (kernel buffers mostly), and others are served at once meanwhile."""
    sent = 0

    async def talk(connection: AppConnection) -> None:
        nonlocal sent
        head = await connection.head()
        if b"/big" not in head:
            await connection.answer()
            return
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        connection.writer.transport.set_write_buffer_limits(0)
        while True:
            await connection.send(bytes(65536))
            sent += 65536

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        before = _resident_bytes()
        client = await wire_client(running)
        await client.request(path=b"/big")
        await client.head()
        assert await until_still(lambda: sent) <= 12_000_000
        assert _resident_bytes() - before < 8 * MEBIBYTE
        async with asyncio.timeout(0.5):
            assert (await running.get()).status == 200
        await client.read(20_000_000)  # and it goes on where it stopped
        client.wire.reset()


async def test_rule_77_an_app_that_stops_reading_stops_the_client(running: Proxy) -> None:
    """The same the other way round; when the app goes on, nothing is missing."""
    go_on = asyncio.Event()
    size = 64 * MEBIBYTE

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await go_on.wait()
        await connection.body(size)
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Content-Length: %d\r\n" % size)
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while sent < size:
                await client.send(bytes(65536))
                sent += 65536

        uploading = asyncio.create_task(upload())
        assert await until_still(lambda: sent) <= 24_000_000
        go_on.set()
        await uploading
        assert (await client.reply()).status == 200
        client.close()


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("memory is read from /proc")
    return int(statm.read_text().split()[1]) * resource.getpagesize()
