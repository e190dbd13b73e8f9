"""One client connection through the whole data plane."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

import msgspec
import pytest

from devtls.net.client.h1 import H1ClientConnection
from devtls.net.tls.client_hello import ClientHello
from tests.compliance.wire import wire_client
from tests.net.harness import AppConnection, Proxy, answering, app, until


async def test_a_request_reaches_the_app_and_its_answer_comes_back(running: Proxy) -> None:
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get(b"/a%2Fb//c/../d;v=1?x=1&q[]=%zz")
    assert reply.status == 200
    assert reply.body == b"hello"


async def test_requests_on_one_connection_reuse_one_upstream_connection(running: Proxy) -> None:
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(3):
            await client.request()
            assert (await client.reply()).body == b"hello"
        client.close()
        assert len(backend.connections) == 1


async def test_requests_that_reach_no_app_are_answered_a_few_in_a_turn(running: Proxy) -> None:
    """A page of ours costs half a millisecond: 600 pipelined requests must not hold up the others for 300."""
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        other = await running.connect()
        await client.send(b"GET /1 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
        assert (await client.reply()).status == 200
        await client.send(b"GET /1 HTTP/1.1\r\nHost: other.dev.local\r\n\r\n" * 300)
        await other.send(b"GET /1 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
        first = asyncio.create_task(other.reply())
        answered = 0
        for _ in range(300):
            assert (await client.reply()).status in (404, 421)
            answered += not first.done()
        assert (await first).status == 200
        assert answered < 250
        await client.send(b"GET /1 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
        assert (await client.reply()).status == 200
        client.close()
        other.close()


async def test_pipelined_requests_are_answered_in_order(running: Proxy) -> None:
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.send(b"GET /1 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" * 3)
        for _ in range(3):
            assert (await client.reply()).status == 200
        client.close()


@pytest.mark.parametrize("drained", [0, 1000])
async def test_behind_an_early_answer_an_upload_is_read_away_up_to_a_limit(running: Proxy, drained: int) -> None:
    running.service.limits = msgspec.structs.replace(running.service.limits, max_drain_bytes=drained, linger_s=30.0)
    running.route("app = 1")
    client = await wire_client(running)  # asyncio's own closes when we end our direction
    await client.request(b"POST", fields=b"Content-Length: 5000\r\n")
    assert (await client.reply()).status == 502
    if drained:
        await asyncio.sleep(0.05)
        assert len(running.service.connections) == 1
        with contextlib.suppress(ConnectionError):
            await client.send(bytes(drained + 1))
    await until(lambda: not running.service.connections, within_s=2)
    client.close()


async def test_no_more_than_the_buffer_and_one_read_wait_for_a_client_that_does_not_read(running: Proxy) -> None:
    limit = 4 * 1024 * 1024
    running.service.limits = msgspec.structs.replace(running.service.limits, max_buffer_bytes=limit)

    async def flood(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await connection.send(bytes(65536))

    async with app(flood) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # read no further by itself than this
        await client.request()
        await until(lambda: running.service.connections)
        [connection] = running.h1_connections
        await until(lambda: not connection.writable)
        await asyncio.sleep(0.05)
        # The kernel may take some back after the pause; below a quarter reading would go on.
        assert limit // 4 < _waiting(connection) < limit + 600_000
        client.writer.transport.abort()


async def test_a_client_that_never_reads_its_last_answers_is_let_go(running: Proxy) -> None:
    running.service.limits = msgspec.structs.replace(running.service.limits, keep_alive_s=0.05)
    client = await running.connect()
    await until(lambda: running.service.connections)
    [connection] = running.h1_connections
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while connection.writable:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" * 50)
        await asyncio.sleep(0)
    await until(lambda: connection not in running.service.connections)


async def test_a_closing_connection_begins_no_request_that_was_sent_ahead(running: Proxy) -> None:
    client = await running.connect()
    await until(lambda: running.service.connections)
    [connection] = running.h1_connections
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while connection.writable:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" * 50)
        await asyncio.sleep(0)
    connection.drain()
    answered = len(running.noted.requests)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    with contextlib.suppress(ConnectionError):  # a reset, for the requests that nobody reads any more
        await client.to_eof()
    assert len(running.noted.requests) == answered


def _waiting(connection: H1ClientConnection) -> int:
    return connection._transport.get_write_buffer_size()


async def test_rule_67_idle_connections_are_kept_alive_by_tcp_on_both_sides(running: Proxy) -> None:
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        await client.reply()
        (connection,) = running.h1_connections
        (upstream,) = {route.upstream for route in running.service.snapshot.routes.routes}
        idle = running.service.pool.state(upstream).idle[0]
        for transport in (connection._transport, idle.transport):
            assert transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        client.close()


async def test_a_bug_on_the_way_to_the_app_ends_the_connection_and_is_told(
    running: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dial(_upstream: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(running.service.pool, "dial", dial)
    running.route("app = 3000")
    client = await running.connect()
    await client.request()
    with contextlib.suppress(ConnectionError):
        assert await client.to_eof() == b""
    assert [str(fault) for fault in running.noted.faults] == ["a bug"]
    running.noted.faults.clear()


async def test_rule_48_records_behind_an_answer_are_no_answer_to_the_next_request(
    running: Proxy,
) -> None:
    context = running.contexts.for_hello(ClientHello("app.dev.local", None))
    assert isinstance(context, ssl.SSLContext)

    async def talk(connection: AppConnection) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        async def step(act: Callable[[], object]) -> None:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    act()
                    return await connection.send(outgoing.read())
                await connection.send(outgoing.read())
                incoming.write(await connection.reader.read(65536) or bytes(8))  # at the end: no record, an error

        with contextlib.suppress(ssl.SSLError):
            await step(tls.do_handshake)
            await step(lambda: tls.read(65536))
            tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection.number)
            tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nextra")
            await connection.send(outgoing.read())
            await step(lambda: tls.read(65536))

    async with app(talk) as backend:
        running.route(f'app = {{ target = "https://127.0.0.1:{backend.port}", verify = false }}')
        client = await running.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" * 2)
        assert [(await client.reply()).body for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_host_check_is_recognised_however_far_down_and_in_how_many_pieces_it_comes(
    running: Proxy, chunked: bool
) -> None:
    style, sentence = b"<style>" + b"x" * 6500 + b"</style>", b"<h1>Blocked hosts: app.dev.local</h1>"

    async def rails(connection: AppConnection) -> None:
        await connection.head()
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=UTF-8\r\n"
        if chunked:
            await connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for piece in (style, sentence):
                await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                await asyncio.sleep(0.01)
            await connection.send(b"0\r\n\r\n")
        else:
            await connection.send(head + b"Content-Length: %d\r\n\r\n" % len(style + sentence) + style + sentence)
        await connection.to_eof()

    async with app(rails) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get()
    assert reply.body == style + sentence
    ((host, found),) = running.noted.findings
    assert (host, found.advice.framework) == ("app.dev.local", "Rails")
