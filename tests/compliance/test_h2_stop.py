"""The end of HTTP/2 connections: GOAWAY in two steps (RFC 9113 6.8), and nothing lost; rules 80 and 82."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from devtls.daemon.shutdown import drain
from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.compliance.h2app import AppStream, h2_app
from tests.compliance.h2wire import (
    INITIAL_WINDOW,
    NO_ERROR,
    PING,
    PREFACE,
    WireH2,
    data,
    frame,
    h2_client,
    h2_context,
    settings,
    window_update,
)
from tests.compliance.test_h2_websocket import echo
from tests.compliance.wire import TlsWire, WireClient
from tests.net.harness import AppConnection, Proxy, answering, app, proxy, until

LAST_OF_ALL = 2**31 - 1


def _drain(running: Proxy) -> None:
    running.service.draining = True
    for connection in list(running.service.connections):
        connection.drain()


async def test_6_8_a_drain_announces_itself_then_names_the_last_stream(running: Proxy) -> None:
    """RFC 9113 6.8: 2^31-1 first, then what was taken; what runs ends, then the connection does."""
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await go_on.wait()
        await connection.answer(b"whole")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client, idle = await h2_client(running), await h2_client(running)
        stream = await client.request()
        await until(lambda: backend.connections)
        _drain(running)
        await client.until(lambda: client.goaways)
        assert client.goaways == [(LAST_OF_ALL, NO_ERROR)]
        late = await client.request()  # it was on its way: still taken
        await client.until(lambda: len(client.goaways) == 2)
        assert client.goaways[1] == (late, NO_ERROR)
        go_on.set()
        assert (await client.reply(stream)).body == b"whole"
        assert (await client.reply(late)).body == b"whole"
        await client.to_end()
        assert client.wire.saw_close_notify
        await idle.to_end()
        assert [last for last, _ in idle.goaways] == [LAST_OF_ALL, 0]
        assert idle.wire.saw_close_notify
        client.close()
        idle.close()
        await until(lambda: not running.service.connections)


async def test_6_8_requests_behind_the_last_stream_are_ignored_and_harm_nobody(running: Proxy) -> None:
    """RFC 9113 6.8: frames on streams above it are discarded: their bodies too, and what runs goes on."""
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await go_on.wait()
        await connection.answer(b"whole")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request()
        await until(lambda: backend.connections)
        _drain(running)
        await client.until(lambda: len(client.goaways) == 2)
        late = await client.request(method=b"POST", end=False)
        trailers = client.raw_head(late, [(b"x", b"y")])
        await client.send(data(late, b"x" * 1000), window_update(late, 1), trailers)
        await client.settle()
        assert not client.seen(late).over
        go_on.set()
        assert (await client.reply(stream)).body == b"whole"
        await client.to_end()
        assert [code for _, code in client.goaways] == [NO_ERROR, NO_ERROR]
        assert len(backend.connections) == 1
        client.close()


async def test_rule_80_a_stop_under_load_loses_no_request(running: Proxy) -> None:
    """Five clients that keep eight requests in the air: each is answered, or named as not taken."""

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            await asyncio.sleep(0.005)
            await connection.answer(b"x" * 5000)

    async def load(client: WireH2) -> tuple[int, int]:
        """Ask until GOAWAY forbids it; return how many were answered and how many were not taken."""
        streams: list[int] = []
        while not client.closed:
            open_now = [stream for stream in streams if not client.seen(stream).over]
            if not client.goaways:
                fresh = [client.stream() for _ in range(8 - len(open_now))]
                streams += fresh
                await client.try_to_send(*[client.head(stream) for stream in fresh])
            if not await client.read_frame():
                break
        last = min(last for last, _ in client.goaways)
        taken = [stream for stream in streams if stream <= last]
        assert all(client.seen(stream).ended and client.seen(stream).size == 5000 for stream in taken)
        return len(taken), len(streams) - len(taken)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        clients = [await h2_client(running) for _ in range(5)]
        loads = [asyncio.create_task(load(client)) for client in clients]
        await until(lambda: sum(len(client.streams) for client in clients) > 200)
        running.service.draining = True
        await drain(running.service.connections, 5.0)
        results = await asyncio.gather(*loads)
        assert sum(taken for taken, _ in results) > 200
        assert not running.service.connections
        for client in clients:
            client.close()


async def test_rule_80_a_download_under_way_ends_whole(running: Proxy) -> None:
    """As long as its client reads it, it is not cut."""
    async with app(answering(bytes(3_000_000))) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 100_000))
        stream = await client.request()
        await client.until(lambda: client.seen(stream).size > 200_000)
        _drain(running)
        assert (await client.reply(stream)).size == 3_000_000
        await client.to_end()
        client.close()


async def test_rule_80_a_stop_ends_tunnels_and_event_streams(running: Proxy) -> None:
    """They have no end of their own: END_STREAM for a WebSocket, the grace's short part for a stream of events."""

    async def talk(connection: AppConnection) -> None:
        if b"/events" in await connection.head():
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            await connection.to_eof()

    async with app(echo) as sockets, app(talk) as events:
        running.route(f"app = {sockets.port}\nevents = {events.port}")
        client = await h2_client(running)
        stream = await client.connect()
        assert (await client.head_of(stream)).status == 200
        other = await h2_client(running, "events.dev.local")
        feed = await other.request(path=b"/events", host=b"events.dev.local")
        await other.until(lambda: other.seen(feed).body)
        running.service.draining = True
        begun = asyncio.get_running_loop().time()
        draining = asyncio.create_task(drain(running.service.connections, 5.0))
        assert (await client.reply(stream)).ended
        await client.to_end()
        await other.to_end()
        await draining
        assert asyncio.get_running_loop().time() - begun < 2
        client.close()
        other.close()


async def test_a_connection_that_shakes_hands_while_the_proxy_stops_is_told_so(running: Proxy) -> None:
    """Accepted a moment before the listener closed: GOAWAY, and the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    wire = TlsWire(reader, writer, h2_context(running), "app.dev.local")
    with pytest.raises(ssl.SSLWantReadError):
        wire.ssl_object.do_handshake()
    await wire._flush()
    await wire._fill()  # the proxy's half: it is past the listener
    running.service.draining = True
    await wire.handshake()
    running.clients.append(WireClient(wire))
    client = WireH2(wire)
    await client.send(PREFACE, settings())
    await client.to_end()
    assert [code for _, code in client.goaways][-1] == NO_ERROR
    assert wire.saw_close_notify
    client.close()


async def test_keep_alive_does_not_cut_an_answer_that_is_still_read(authority: Authority) -> None:
    """The app is done, the client is not: the connection is not idle."""
    limits = ClientLimits(keep_alive_s=0.1, exchange=ExchangeLimits(body_idle_timeout_s=5))
    async with proxy(authority, limits=limits) as running, app(answering(bytes(60_000))) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 100), credit=False)
        stream = await client.request()
        await client.until(lambda: client.seen(stream).size == 100)
        await client.read_for(0.4)
        assert not client.closed
        await client.send(window_update(stream, 100_000))
        assert (await client.reply(stream)).size == 60_000
        await client.to_end()
        assert client.goaways[-1] == (stream, NO_ERROR)
        client.close()


async def test_pings_do_not_keep_an_idle_connection(authority: Authority) -> None:
    """RFC 9113 9.1: only requests do."""
    limits = ClientLimits(keep_alive_s=0.2)
    async with proxy(authority, limits=limits) as running, app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 200

        async def ping() -> None:
            while not client.closed:
                await client.try_to_send(frame(PING, 0, 0, bytes(8)))
                await asyncio.sleep(0.05)

        pinging = asyncio.create_task(ping())
        await client.to_end(within_s=2)
        assert client.goaways[-1] == (1, NO_ERROR)
        await pinging
        client.close()


async def test_a_connection_opened_in_advance_is_kept_as_an_idle_one(authority: Authority) -> None:
    """Browsers open connections before they need them: only the preface is urgent."""
    limits = ClientLimits(head_timeout_s=0.1, keep_alive_s=5)
    async with proxy(authority, limits=limits) as running, app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.read_for(0.4)
        assert not client.closed
        assert (await client.get()).status == 200
        client.close()


async def test_rule_82_one_streams_failure_is_nobody_elses(running: Proxy) -> None:
    """A bug of ours in one exchange resets that stream, is reported, and that is all."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 200
        pool = running.service.pool
        dial = pool.dial

        async def broken(upstream: object) -> object:
            raise ArithmeticError("a bug")

        pool.dial = broken  # type: ignore[method-assign, assignment]
        pool.close()
        stream = await client.request()
        seen = await client.reply(stream)
        assert seen.reset is not None
        pool.dial = dial  # type: ignore[method-assign]
        assert (await client.get()).status == 200
        assert [str(fault) for fault in running.noted.faults] == ["a bug"]
        running.noted.faults.clear()
        client.close()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_rule_67_a_client_that_goes_leaves_nothing_behind(running: Proxy, how: str) -> None:
    """Streams in every state: connections to apps end, and so do ours."""
    codes: list[int] = []

    async def slow(stream: AppStream) -> None:
        codes.append(await stream.was_reset())

    async with app(echo) as sockets, h2_app(slow) as calls, app(answering(bytes(1_000_000))) as pages:
        running.route(f'app = {sockets.port}\ncalls = "h2c://127.0.0.1:{calls.port}"\npages = {pages.port}\n')
        client = await h2_client(running)
        assert (await client.head_of(await client.connect())).status == 200
        others = []
        for name in ("calls", "pages"):
            other = await h2_client(running, f"{name}.dev.local", (INITIAL_WINDOW, 10))
            await other.request(method=b"POST", host=f"{name}.dev.local".encode(), end=False)
            others.append(other)
        await until(lambda: calls.streams and pages.connections)
        for each in (client, *others):
            if how == "reset":
                each.wire.reset()
            else:
                each.close()
        await until(lambda: not running.service.connections)
        await until(lambda: codes and all(c.writer.is_closing() for c in (*sockets.connections, *pages.connections)))
