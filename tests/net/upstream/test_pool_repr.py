"""What the connections to apps, and the pool that keeps them, say of themselves in a log or a debugger."""

from __future__ import annotations

from typing import cast

from devtls.http.events import Request
from devtls.http.h1.head import HeadLimits
from devtls.net.upstream.h1 import H1UpstreamConnection
from devtls.net.upstream.h2_pool import H2UpstreamPool
from devtls.net.upstream.pool import Pool, PoolLimits
from tests.net.h2_stand_ins import UPSTREAM, Dialler, Shared, User
from tests.net.harness import answering, app, client_context
from tests.net.upstream.test_pool import ask, dial, tcp


async def test_a_pool_says_what_is_idle_and_what_went_wrong() -> None:
    made = Pool(PoolLimits(), HeadLimits(), client_context)
    assert repr(made) == "<Pool empty>"
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        connection = await dial(made, upstream)
        assert repr(made) == "<Pool the app: 0 idle, 1 active>"
        await ask(connection)
        assert repr(connection) == "<H1UpstreamConnection the app: in use>"
        made.release(connection)
        assert repr(connection) == "<H1UpstreamConnection the app: idle>"
        assert repr(made) == "<Pool the app: 1 idle, 0 active>"
        made.close()
        assert repr(connection) == "<H1UpstreamConnection the app: closed>"
    await made.dial(tcp(("127.0.0.1", 1)))
    assert repr(made) == "<Pool the app: 0 idle, 0 active, the app: 0 idle, 0 active, connection refused>"


async def test_a_connection_of_http_1_says_what_it_waits_for() -> None:
    connection = H1UpstreamConnection(UPSTREAM, HeadLimits(), lambda _: None)
    connection.user = User()
    connection.send(Request(1, b"GET", b"/", b"app", []))
    assert repr(connection) == f"<H1UpstreamConnection {UPSTREAM.label}: waiting for a response>"
    connection.pause_writing()
    assert repr(connection).endswith("waiting for a response, app stalled>")


async def test_a_connection_of_http_2_and_its_streams_say_their_state() -> None:
    shared = Shared()
    start = f"<H2UpstreamConnection {UPSTREAM.label}: "
    assert repr(shared.connection) == f"{start}greeting, 0 streams>"
    shared.begin()
    stream, _ = shared.asked()
    assert repr(shared.connection) == f"{start}open, 1 stream>"
    assert repr(stream) == f"<H2UpstreamStream 1 {UPSTREAM.label}: in use>"
    stream.writable = False
    assert repr(stream) == f"<H2UpstreamStream 1 {UPSTREAM.label}: in use, app stalled>"
    shared.connection.pause_writing()
    assert repr(shared.connection) == f"{start}open, 1 stream, app stalled>"
    shared.app.close_connection()
    await shared.settle()
    assert "leaving" in repr(shared.connection) or "closed" in repr(shared.connection)
    stream.release()
    assert repr(stream).startswith(f"<H2UpstreamStream 1 {UPSTREAM.label}: closed")
    shared.connection.close()
    assert repr(shared.connection).startswith(f"{start}closed, 0 streams")


async def test_a_pool_of_http_2_says_how_many_it_keeps() -> None:
    shared = Shared()
    shared.begin()
    dialler = Dialler(shared.connection)
    pool = H2UpstreamPool(dialler)
    assert repr(pool) == "<H2UpstreamPool 0 connections, 0 idle>"
    await pool.dial()
    assert repr(pool) == "<H2UpstreamPool 1 connection, 1 idle>"
    assert cast(object, pool._dialling) is None
    pool.close()
