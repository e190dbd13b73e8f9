"""Connections on both sides: reuse, retries, aborts, backpressure, limits, the end (rules 70-82)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest

from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.compliance.wire import reset, wire_client
from tests.net.harness import App, AppConnection, Conversation, Proxy, answering, app, proxy, until


def age(running: Proxy, seconds: float) -> None:
    """Let the connections in the pool look as if they had been idle for longer."""
    for upstream in {route.upstream for route in running.service.snapshot.routes.routes}:
        for connection in running.service.pool.state(upstream).idle:
            connection.idle_since -= seconds


# -- reuse and retries ------------------------------------------------------------------------------------------------


async def test_rule_70_a_connection_serves_one_request_at_a_time(running: Proxy) -> None:
    """RFC 9112 9.3: two requests at once need two connections; afterwards both serve again."""
    both = asyncio.Barrier(2)

    async def talk(connection: AppConnection) -> None:
        while True:
            head = await connection.head()
            if b"/slow" in head:
                await both.wait()
            await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        clients = [await running.connect() for _ in range(2)]
        for client in clients:
            await client.request(path=b"/slow")
        for client in clients:
            assert (await client.reply()).status == 200
        for client in clients:
            await client.request()
            assert (await client.reply()).status == 200
            client.close()
        assert len(backend.connections) == 2


def one_answer_each(*, closing: str) -> Conversation:
    """Answer once; then let the next request meet an end: the proxy learns of it only after it has written."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(b"%d" % connection.number)
        await connection.head()
        if closing == "reset":
            reset(connection.writer)
        elif closing == "byte":
            await connection.send(b"H")
        connection.close()

    return talk


@pytest.mark.parametrize("closing", ["fin", "reset"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE"])
async def test_rule_71_a_stale_connection_is_replaced_by_a_fresh_one(
    running: Proxy, closing: str, method: bytes
) -> None:
    """RFC 9112 9.3.1: an idempotent request without a body is sent once more, on a connection of its own."""
    async with app(one_answer_each(closing=closing)) as backend:
        running.route(f"app = {backend.port}")
        await running.get()
        assert (await running.get(b"/x", method=method)).status == 200
        assert [len(connection.heads) for connection in backend.connections] == [2, 1]


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
async def test_rule_72_what_is_not_idempotent_is_never_sent_twice(running: Proxy, method: bytes) -> None:
    """RFC 9110 9.2.2: the app may have acted on it; the client is told."""
    async with app(one_answer_each(closing="fin")) as backend:
        running.route(f"app = {backend.port}")
        await running.get()
        reply = await running.get(b"/x", method=method)
        assert reply.status == 502
        sent = [head for connection in backend.connections for head in connection.heads if b" /x " in head]
        assert len(sent) == 1


async def test_rule_72_nothing_is_sent_twice_after_a_byte_of_the_answer(running: Proxy) -> None:
    """RFC 9112 9.3.1: the app was there and has answered, if badly."""
    async with app(one_answer_each(closing="byte")) as backend:
        running.route(f"app = {backend.port}")
        await running.get()
        assert (await running.get(b"/x")).status == 502
        sent = [head for connection in backend.connections for head in connection.heads if b" /x " in head]
        assert len(sent) == 1


async def test_rule_72_a_second_failure_is_not_retried(running: Proxy) -> None:
    """RFC 9112 9.3.1: once."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        if connection.number == 1:
            await connection.answer()
            await connection.head()
        connection.close()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        await running.get()
        assert (await running.get(b"/x")).status == 502
        assert len(backend.connections) == 2


async def test_rule_71_a_connection_that_the_app_closed_is_not_used(running: Proxy) -> None:
    """RFC 9112 9.3.1: its end is read before the next request is, also by a POST."""
    closed = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer()
        connection.close()
        closed.set()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(10):
            await client.request(b"POST", fields=b"Content-Length: 0\r\n")
            assert (await client.reply()).status == 200
            await closed.wait()
            closed.clear()
        client.close()
        assert len(backend.connections) == 10


async def test_rule_71_a_body_is_not_sent_to_an_end_that_has_arrived_already(running: Proxy) -> None:
    """RFC 9112 9.3.1: the app's FIN is in the kernel, the loop has not got to it; only a GET could be sent twice."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        await running.get()
        (upstream,) = {route.upstream for route in running.service.snapshot.routes.routes}
        with socket.socket(fileno=os.dup(backend.connections[0].writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)
        assert running.service.pool.acquire(upstream, 1.0) is None
        stale = running.service.pool.acquire(upstream, None)
        assert stale is not None
        running.service.pool.abort(stale)


@pytest.mark.parametrize("method", [b"POST", b"PUT"])
async def test_rule_71_a_body_goes_only_to_a_connection_that_is_surely_fresh(running: Proxy, method: bytes) -> None:
    """RFC 9112 9.3.1: it could not be sent twice, so a connection idle for more than 1 s is not risked."""

    async def talk(connection: AppConnection) -> None:
        while True:
            head = await connection.head()
            await connection.answer(await connection.body(2 if b"Length: 2" in head else 0))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for aged_s, connections in ((0, 1), (0, 1), (1.1, 2)):
            age(running, aged_s)
            await client.request(method, fields=b"Content-Length: 2\r\n\r\nok")
            assert (await client.reply()).body == b"ok"
            assert len(backend.connections) == connections
        age(running, 3)
        await client.request()
        assert (await client.reply()).status == 200
        assert len(backend.connections) == 2
        client.close()


@pytest.mark.parametrize(
    ("announced", "aged_s", "connections"),
    [
        (b"", 3.9, 1),
        (b"", 4.1, 2),
        (b"Keep-Alive: timeout=30\r\n", 28, 1),
        (b"Keep-Alive: timeout=30\r\n", 29.5, 2),
        (b"Keep-Alive: timeout=2, max=100\r\n", 1.1, 2),
        (b"Keep-Alive: timeout=1\r\n", 0.5, 2),
    ],
)
async def test_rule_71_idle_connections_are_left_in_time(
    running: Proxy, announced: bytes, aged_s: float, connections: int
) -> None:
    """4 s, below Node's 5, or a second less than the app announces."""
    async with app(answering(fields=announced)) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        await client.reply()
        age(running, aged_s)
        await client.request()
        assert (await client.reply()).status == 200
        client.close()
        assert len(backend.connections) == connections


async def test_an_apps_connection_close_is_obeyed(running: Proxy) -> None:
    """RFC 9112 9.6: towards the app; the client keeps its connection."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(fields=b"Connection: close\r\n")
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request()
            reply = await client.reply()
            assert (reply.status, reply.field(b"connection")) == (200, [])
        client.close()
        assert len(backend.connections) == 2


async def test_a_clients_connection_close_is_obeyed(running: Proxy) -> None:
    """RFC 9112 9.6: answered, ended with close_notify; the app keeps its connection."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        for _ in range(2):
            client = await wire_client(running)
            await client.request(fields=b"Connection: close\r\n")
            assert (await client.reply()).field(b"connection") == [b"close"]
            assert await client.to_eof() == b""
            assert client.wire.saw_close_notify
            client.close()
        assert len(backend.connections) == 1


async def test_rule_73_and_74_an_app_is_found_on_either_loopback_address(running: Proxy) -> None:
    """RFC 8305: Node listens on ::1 alone; nothing at all is a 502 that names both addresses."""
    async with app(answering(), host="::1") as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get()).status == 200
    reply = await running.get()
    assert reply.status == 502
    assert b"127.0.0.1:" in reply.body
    assert b"[::1]:" in reply.body


# -- timeouts ---------------------------------------------------------------------------------------------------------


async def waiting(connection: AppConnection) -> None:
    """Read the head, then wait for the end."""
    await connection.head()
    with contextlib.suppress(ConnectionError):
        await connection.to_eof()
    connection.heads.append(b"ended")


def ended(backend: App) -> bool:
    """Say whether the app has seen the end."""
    return bool(backend.connections) and backend.connections[0].heads[-1:] == [b"ended"]


async def test_rule_75_an_idle_connection_is_closed_cleanly(hasty: Proxy) -> None:
    """RFC 9112 9.5: without a 408 that could be taken for an answer."""
    async with app(answering()) as backend:
        hasty.route(f"app = {backend.port}")
        client = await wire_client(hasty)
        await client.request()
        assert (await client.reply()).status == 200
        assert await client.to_eof() == b""
        assert client.wire.saw_close_notify
        client.close()


async def test_rule_75_a_client_that_never_asks_is_closed(hasty: Proxy) -> None:
    """RFC 9112 9.5."""
    client = await wire_client(hasty)
    assert await client.to_eof() == b""
    client.close()


async def test_rule_75_an_app_that_never_answers_is_a_504(hasty: Proxy) -> None:
    """RFC 9110 15.6.5: and its connection is given up."""
    async with app(waiting) as backend:
        hasty.route(f"app = {backend.port}")
        assert (await hasty.get()).status == 504
        await until(lambda: ended(backend))


async def test_rule_75_an_upload_that_stalls_is_a_408(hasty: Proxy) -> None:
    """RFC 9110 15.5.9."""
    async with app(waiting) as backend:
        hasty.route(f"app = {backend.port}")
        client = await wire_client(hasty)
        await client.request(b"POST", fields=b"Content-Length: 10\r\n\r\nhello")
        assert (await client.reply()).status == 408
        assert await client.to_eof() == b""
        client.close()
        await until(lambda: ended(backend))


async def test_rule_75_an_app_that_cannot_be_reached_in_time_is_a_504(hasty: Proxy) -> None:
    """RFC 9110 15.6.5: its queue of connections is full and it accepts none."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listening.getsockname()[1]
    held = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        held.append(filler)
    try:
        hasty.route(f'app = "127.0.0.1:{port}"')
        reply = await hasty.get()
        assert reply.status == 504
        assert str(port).encode() in reply.body
    finally:
        for filler in (*held, listening):
            filler.close()


# -- limits and the end -----------------------------------------------------------------------------------------------


async def test_rule_79_connections_above_the_limit_are_turned_away(authority: Authority) -> None:
    """Those that are busy go on; when one has ended, the next is welcome."""
    few, go_on = ClientLimits(max_connections=2), asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            await go_on.wait()
            await connection.answer()

    async with proxy(authority, limits=few) as running, app(talk) as backend:
        running.route(f"app = {backend.port}")
        clients = [await running.connect() for _ in range(2)]
        for client in clients:
            await client.request()
        await until(lambda: len(backend.connections) == 2)
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await running.connect()
        go_on.set()
        for client in clients:
            assert (await client.reply()).status == 200
        clients[0].close()
        await until(lambda: len(running.service.connections) == 1)
        assert (await running.get()).status == 200
        clients[1].close()


async def test_rule_79_a_connection_that_says_nothing_counts_as_well(authority: Authority) -> None:
    """It holds a descriptor like any other, and is the first to be closed for a client that asks."""
    async with proxy(authority, limits=ClientLimits(max_connections=2)) as running, app(answering()) as backend:
        running.route(f"app = {backend.port}")
        silent = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert (await running.get()).status == 200
        assert await asyncio.wait_for(silent[0][0].read(), 5) == b""
        assert not silent[1][0].at_eof()
        for _, writer in silent:
            writer.close()


async def test_rule_80_a_drain_finishes_what_runs_and_takes_nothing_new(running: Proxy) -> None:
    """RFC 9112 9.6: the answer under way is the last, and says so where its head is unsent."""
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            await go_on.wait()
            await connection.answer(b"whole")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        busy, idle = await wire_client(running), await wire_client(running)
        await busy.request()
        await until(lambda: backend.connections)
        running.service.draining = True
        for connection in list(running.service.connections):
            connection.drain()
        assert await idle.to_eof() == b""
        assert idle.wire.saw_close_notify
        go_on.set()
        reply = await busy.reply()
        assert (reply.body, reply.field(b"connection")) == (b"whole", [b"close"])
        assert await busy.to_eof() == b""
        await until(lambda: not running.service.connections)
        for client in (busy, idle):
            client.close()


async def test_rule_82_one_connections_failure_is_nobody_elses(running: Proxy) -> None:
    """An error of ours ends one connection, is reported, and that is all."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        victim, other = await wire_client(running), await running.connect()
        await other.request()
        await other.reply()
        await victim.request()
        await victim.reply()
        first = min(running.h1_connections, key=lambda connection: connection.id)
        first._codec = None  # type: ignore[assignment]
        await victim.send(b"GET / HTTP/1.1\r\n")
        assert await victim.to_eof() == b""
        assert len(running.noted.faults) == 1
        running.noted.faults.clear()
        await other.request()
        assert (await other.reply()).status == 200
        for client in (victim, other):
            client.close()
