"""What a client of a site may take its time for, and who gives way when there are too many."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from aiohttp import web

from devtls.net.admission import ConnectionTable
from devtls.web.lazy_site import LazySite, SiteTimeouts
from devtls.web.timed_connection import TimedConnection
from tests.web.test_lazy_site import terms_for

HASTY = SiteTimeouts(idle_s=0.1, head_s=0.1, body_s=0.1, stall_s=0.1)
PATIENT = 5.0
BIG = 8 * 1024 * 1024
HEAD = b"Host: x\r\n"
APP = f"{__name__}:make_app"


class Site:
    """A site that runs, and raw clients of it."""

    def __init__(self, port: int, places: ConnectionTable, faults: list[Exception]) -> None:
        self.port = port
        self.places = places
        self.faults = faults
        self.writers: list[asyncio.StreamWriter] = []
        self.go_on = asyncio.Event()

    async def client(self, sent: bytes = b"", read_limit: int = 65536) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=read_limit)
        self.writers.append(writer)
        writer.write(sent)
        return reader

    async def ask(self, path: bytes = b"/") -> bytes:
        reader = await self.client(b"GET %b HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (path, HEAD))
        return await asyncio.wait_for(reader.read(), PATIENT)


def make_app(go_on: asyncio.Event) -> web.Application:
    async def here(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="here")

    async def slow(_: web.Request) -> web.Response:
        await go_on.wait()
        return web.Response(text="slow")

    async def big(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = BIG
        await response.prepare(request)
        for _ in range(BIG // 65536):
            await response.write(bytes(65536))
        return response

    async def broken(_: web.Request) -> web.Response:
        raise ValueError("a bug")

    app = web.Application()
    app.router.add_route("*", "/", here)
    app.router.add_get("/slow", slow)
    app.router.add_get("/big", big)
    app.router.add_get("/broken", broken)
    return app


@asynccontextmanager
async def running(timeouts: SiteTimeouts = HASTY, most: int = 64) -> AsyncIterator[Site]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    faults: list[Exception] = []
    terms = terms_for(most, faults, timeouts)
    assert isinstance(terms.places, ConnectionTable)
    one = Site(listening.getsockname()[1], terms.places, faults)
    site = LazySite(listening, terms, APP, one.go_on)
    await site.loaded()
    try:
        yield one
    finally:
        await site.close()
        for writer in one.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@contextmanager
def no_records() -> Iterator[None]:
    """Fail when a library logs anything."""
    records: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Handler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in records] == []


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what came before the other side closed."""
    try:
        return await asyncio.wait_for(reader.read(), PATIENT)
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", id="half a body"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab", id="chunks"),
    ],
)
async def test_a_client_that_sends_no_more_is_closed(sent: bytes) -> None:
    async with running() as site:
        assert await ended(await site.client(sent)) == b""
        assert not len(site.places)
        assert not site.faults


@pytest.mark.parametrize("head", [b"GET /", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"])
async def test_bytes_that_drip_in_extend_nothing(head: bytes) -> None:
    async with running() as site:
        reader = await site.client(head)
        began = asyncio.get_running_loop().time()

        async def drip() -> None:
            while True:
                site.writers[0].write(b"X")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await ended(reader) == b""
        dripping.cancel()
        assert asyncio.get_running_loop().time() - began < 2.0


async def test_an_idle_connection_is_closed_after_its_response() -> None:
    async with running() as site:
        answer = await ended(await site.client(b"GET / HTTP/1.1\r\n%b\r\n" % HEAD))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"here")


async def test_a_request_that_we_work_on_has_no_clock() -> None:
    async with running() as site:
        reader = await site.client(b"GET /slow HTTP/1.1\r\n%b\r\n" % HEAD)
        for _ in range(2):  # their clocks have run out, one after the other, while ours was asked for
            assert await ended(await site.client(b"")) == b""
        site.go_on.set()
        assert (await ended(reader)).endswith(b"slow")


async def test_who_reads_slowly_is_waited_for_and_who_does_not_read_is_not() -> None:
    async with running() as site:
        with no_records():
            slow = await site.client(b"GET /big HTTP/1.1\r\n%b\r\n" % HEAD, read_limit=65536)
            got = 0
            while got < BIG:
                piece = await asyncio.wait_for(slow.read(262144), PATIENT)
                assert piece
                got += len(piece)
                await asyncio.sleep(0.002)
            sock = socket.create_connection(("127.0.0.1", site.port))
            sock.sendall(b"GET /big HTTP/1.1\r\n%b\r\n" % HEAD)
            await until(lambda: len(site.places) == 1 or not len(site.places))
            await until(lambda: not len(site.places))
            sock.close()
        assert not site.faults


async def test_the_client_that_is_idle_for_the_longest_gives_way() -> None:
    async with running(SiteTimeouts(), most=3) as site:
        slow = await site.client(b"GET /slow HTTP/1.1\r\n%b\r\n" % HEAD)
        await until(lambda: any(one.idle_since is None for one in site.places._open))
        half = await site.client(b"GET / HTTP/1.1\r\n")
        body = await site.client(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        await until(lambda: len(site.places) == 3)
        assert (await site.ask()).endswith(b"here")
        assert await ended(half) == b""
        for _ in range(5):
            assert (await site.ask()).endswith(b"here")
        site.go_on.set()
        assert (await asyncio.wait_for(slow.readuntil(b"slow"), PATIENT)).endswith(b"slow")
        del body


async def test_new_clients_wait_while_all_are_busy() -> None:
    async with running(SiteTimeouts(only_rested_yield=True), most=2) as site:
        busy = [await site.client(b"GET /slow HTTP/1.1\r\n%b\r\n" % HEAD) for _ in range(5)]
        await until(lambda: len(site.places) == 3)  # one is accepted before it is known that nobody gives way
        await asyncio.sleep(0.1)
        assert len(site.places) == 3
        site.go_on.set()
        for reader in busy:
            assert (await asyncio.wait_for(reader.readuntil(b"slow"), PATIENT)).endswith(b"slow")


async def test_nothing_of_aiohttps_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as site:
        with no_records():
            assert b" 400 " in await ended(await site.client(b"nonsense\r\n\r\n"))
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"GET /big HTTP/1.1\r\n%b\r\n" % HEAD)
            await reader.readexactly(100)
            writer.transport.abort()
            await until(lambda: not len(site.places))
            assert b" 500 " in await site.ask(b"/broken")
            assert b" 404 " in await site.ask(b"/none")
        assert [str(fault) for fault in site.faults] == ["a bug"]


async def test_it_says_what_it_does() -> None:
    connection = TimedConnection(asyncio.Protocol(), HASTY, ConnectionTable(lambda: 1))
    assert repr(connection) == "<TimedConnection idle>"


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENT):
        while not condition():
            await asyncio.sleep(0.005)
