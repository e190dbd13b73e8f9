"""Bodies and trailers: what the app sent arrives whole, or its loss is seen (rules 42-59)."""

from __future__ import annotations

import asyncio

import pytest

from devtls.http.actions import DialFailed
from devtls.net.upstream.handle import UpstreamHandle
from devtls.routing import Upstream
from tests.compliance.wire import TlsWire, reset, server_context, tls_app, wire_client
from tests.net.harness import AppConnection, Conversation, Proxy, answering, app, until

MEBIBYTE = 1024 * 1024


def once(answer: bytes) -> Conversation:
    """Return a conversation that answers one request with these bytes and closes."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(answer)
        connection.close()

    return talk


# -- messages that have no body ---------------------------------------------------------------------------------------


async def test_rule_42_a_head_answer_keeps_its_length_and_has_no_body(running: Proxy) -> None:
    """RFC 9110 8.6, 9.3.2."""

    async def talk(connection: AppConnection) -> None:
        for _ in range(2):
            await connection.head()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request(b"HEAD")
            assert (await client.reply(head_only=True)).field(b"content-length") == [b"1234"]
        client.close()
        assert len(backend.connections) == 1


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_rule_42_204_and_304_end_at_their_head(running: Proxy, status: bytes) -> None:
    """RFC 9112 6.3: whatever Content-Length says; RFC 9110 8.6: none in a 204."""

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            length = b"Content-Length: 7\r\n" if status.startswith(b"304") else b""
            await connection.send(b"HTTP/1.1 %b\r\n%b\r\n" % (status, length))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request()
            reply = await client.reply()
            assert reply.status == int(status[:3])
            assert not reply.field(b"transfer-encoding")
            assert reply.field(b"content-length") == ([b"7"] if reply.status == 304 else [])
        client.close()


async def test_rule_43_205_has_no_body(running: Proxy) -> None:
    """RFC 9110 15.3.6; the bytes that the app sent all the same never reach the next answer."""
    async with app(once(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 4\r\n\r\nleak")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request()
            reply = await client.reply()
            assert (reply.status, reply.body) == (205, b"")
        client.close()
        assert len(backend.connections) == 2


async def test_rule_43_a_body_behind_a_head_answer_is_never_the_next_answer(running: Proxy) -> None:
    """RFC 9110 9.3.2."""

    async def talk(connection: AppConnection) -> None:
        head = await connection.head()
        body = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nleak"
        if head.startswith(b"HEAD"):
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await connection.to_eof()
        else:
            await connection.answer(b"good")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(b"HEAD")
        assert (await client.reply(head_only=True)).status == 200
        await client.request()
        assert (await client.reply()).body == b"good"
        client.close()


# -- how a body is delimited ------------------------------------------------------------------------------------------


async def test_rule_44_a_1_0_client_gets_a_body_that_ends_with_the_connection(running: Proxy) -> None:
    """RFC 9112 6.1: never chunked; the end of the connection is a close_notify."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
    async with app(once(chunked)) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.send(b"GET / HTTP/1.0\r\nHost: app.dev.local\r\n\r\n")
        reply = await client.reply()
        assert (reply.status, reply.body) == (200, b"hello")
        assert not reply.field(b"transfer-encoding")
        assert client.wire.saw_close_notify
        client.close()


async def test_rule_44_a_1_0_client_may_keep_its_connection(running: Proxy) -> None:
    """RFC 9112 9.3: only where the body has a length."""

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            await connection.answer(b"hello")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.send(b"GET / HTTP/1.0\r\nHost: app.dev.local\r\nConnection: keep-alive\r\n\r\n")
            reply = await client.reply()
            assert reply.body == b"hello"
            assert reply.field(b"connection") == [b"keep-alive"]
        client.close()


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_rule_45_a_body_that_ends_with_the_apps_connection_is_relayed(running: Proxy, version: bytes) -> None:
    """RFC 9112 6.3: chunked for a client of 1.1, which may go on with its connection."""
    async with app(once(b"HTTP/%b 200 OK\r\n\r\nall of it" % version)) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request()
            reply = await client.reply()
            assert reply.field(b"transfer-encoding") == [b"chunked"]
            assert reply.body == b"all of it"
        client.close()


async def test_rule_59_a_known_length_stays_known_to_the_app(running: Proxy) -> None:
    """RFC 9112 6.2."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(await connection.body(5))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get(method=b"POST", fields=b"Content-Length: 5\r\n\r\nhello")
        assert reply.body == b"hello"
        assert b"\r\nContent-Length: 5\r\n" in backend.connections[0].heads[0]
        assert b"ransfer-" not in backend.connections[0].heads[0]


async def test_rule_59_a_length_with_leading_zeros_is_written_without_them(running: Proxy) -> None:
    """RFC 9110 8.6: in both directions, and the body stays whole."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        assert await connection.body(10) == b"0123456789"
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0003\r\n\r\nyes")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get(method=b"POST", fields=b"Content-Length: 010\r\n\r\n0123456789")
        assert reply.body == b"yes"
        assert reply.field(b"content-length") == [b"3"]
        assert b"\r\nContent-Length: 10\r\n" in backend.connections[0].heads[0]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"GET", b"DELETE", b"OPTIONS"])
async def test_rule_59_a_method_that_means_a_body_says_that_there_is_none(running: Proxy, method: bytes) -> None:
    """RFC 9110 8.6: WEBrick, lighttpd and nginx answer 411 to a POST without a length."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get(method=method)).status == 200
        expected = method in (b"POST", b"PUT", b"PATCH")
        assert (b"\r\ncontent-length: 0\r\n" in backend.connections[0].heads[0].lower()) is expected


async def test_rule_59_a_request_of_unknown_length_is_chunked_to_the_app(running: Proxy) -> None:
    """RFC 9112 6.1."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.reader.readuntil(b"0\r\n\r\n")
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        body = b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n"
        client = await running.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: app.dev.local\r\n" + body)
        assert (await client.reply()).status == 200
        client.close()
        assert backend.connections[0].heads[0].lower().count(b"transfer-encoding: chunked") == 1


# -- bodies that are cut ----------------------------------------------------------------------------------------------

CUTS = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nhello",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_rule_46_a_cut_body_is_seen_as_one(running: Proxy, cut: str, version: bytes) -> None:
    """RFC 9112 8: no last chunk, too few bytes, and no close_notify, which is all that a 1.0 client can see."""
    async with app(once(CUTS[cut])) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.send(b"GET / HTTP/%b\r\nHost: app.dev.local\r\n\r\n" % version)
        head = await client.head()
        rest = await client.to_eof()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"hello" in rest
        assert b"0\r\n\r\n" not in rest
        assert not client.wire.saw_close_notify
        client.close()


async def test_rule_46_a_reset_cuts_a_body_that_ends_with_the_connection(running: Proxy) -> None:
    """RFC 9112 8: a reset is no end."""
    told = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await told.wait()
        reset(connection.writer)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request()
        await client.head()
        assert await client.read(10) == b"5\r\nhello\r\n"
        told.set()
        assert await client.to_eof() == b""
        assert not client.wire.saw_close_notify
        client.close()


@pytest.mark.parametrize("clean", [True, False])
async def test_rule_81_a_tls_app_that_ends_without_close_notify_has_cut_its_body(running: Proxy, clean: bool) -> None:
    """RFC 9112 9.8."""

    async def talk(wire: TlsWire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if clean:
            await wire.half_close()
        wire.fin()
        await wire.to_end()

    context = server_context(running)
    async with tls_app(context, talk) as port:
        running.route(f'app = {{ target = "https://127.0.0.1:{port}", verify = false }}')
        client = await wire_client(running)
        await client.request()
        await client.head()
        rest = b""
        if clean:
            assert await client.read(15) == b"5\r\nhello\r\n0\r\n\r\n"
        else:
            rest = await client.to_eof()
            assert b"0\r\n\r\n" not in rest
            assert not client.wire.saw_close_notify
        client.close()


async def test_rule_47_an_app_that_fails_before_its_answer_is_explained(running: Proxy) -> None:
    """RFC 9110 15.6.3: 502 with a body that says what happened."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get()
        assert reply.status == 502
        assert str(backend.port).encode() in reply.body


async def test_rule_53_a_client_that_cuts_its_request_never_completes_it(running: Proxy) -> None:
    """RFC 9112 8: the app must see the cut as well."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        got.append(await connection.to_eof())

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Transfer-Encoding: chunked\r\n")
        await client.send(b"5\r\nhello\r\n")
        await until(lambda: backend.connections and backend.connections[0].heads)
        await client.wire.half_close()
        client.close()
        await until(lambda: got or backend.errors)
        assert got in ([b"5\r\nhello\r\n"], [])


# -- trailers ---------------------------------------------------------------------------------------------------------


async def test_rule_55_response_trailers_are_relayed(running: Proxy) -> None:
    """RFC 9110 6.5: behind the body, never merged into the header section; forbidden ones are dropped."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n"
    async with app(once(answer + b"X-Sum: 7\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\n\r\n")) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get()
        assert reply.body == b"ok"
        assert reply.trailers == [b"X-Sum: 7"]
        assert reply.field(b"trailer") == [b"X-Sum"]
        assert not reply.field(b"x-sum")


async def test_rule_55_request_trailers_are_relayed(running: Proxy) -> None:
    """RFC 9110 6.5."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        got.append(await connection.reader.readuntil(b"\r\n\r\n"))
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(b"POST", fields=b"Transfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n")
        await client.send(b"2\r\nok\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n")
        assert (await client.reply()).status == 200
        client.close()
    assert got == [b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"]


# -- streaming --------------------------------------------------------------------------------------------------------


async def test_rule_57_each_write_of_the_app_reaches_the_client_at_once(running: Proxy) -> None:
    """A head without a body byte, then each event by itself, within 50 ms (server-sent events, progress bars)."""
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(3):
            await go_on.wait()
            go_on.clear()
            await connection.send(b"8\r\ndata: %d\n\r\n" % number)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        for number in range(3):
            go_on.set()
            async with asyncio.timeout(0.05):
                assert await client.read(13) == b"8\r\ndata: %d\n\r\n" % number
        client.close()


async def test_rule_58_the_app_reads_a_request_while_it_is_sent_and_may_answer_meanwhile(running: Proxy) -> None:
    """RFC 9112 6: a full duplex echo (gRPC, fetch streams)."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (piece := await connection.reader.readuntil(b"\r\n")) != b"0\r\n":
            await connection.send(piece + await connection.body(int(piece, 16) + 2))
        await connection.send(b"0\r\n\r\n")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(b"POST", fields=b"Transfer-Encoding: chunked\r\n")
        await client.head()
        for number in range(5):
            piece = b"6\r\nping %d\r\n" % number
            async with asyncio.timeout(0.2):
                await client.send(piece)
                assert await client.read(len(piece)) == piece
        await client.send(b"0\r\n\r\n")
        assert await client.read(5) == b"0\r\n\r\n"
        client.close()


async def test_rule_59_large_bodies_pass_both_ways(running: Proxy) -> None:
    """16 MiB each way, byte for byte."""
    size = 16 * MEBIBYTE
    pattern = bytes(range(256)) * 4096

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        assert await connection.body(size) == pattern * 16
        await connection.answer(pattern * 16)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(b"POST", fields=b"Content-Length: %d\r\n" % size)
        for _ in range(16):
            await client.send(pattern)
        assert (await client.reply()).body == pattern * 16
        client.close()


async def test_a_body_that_is_sent_while_the_app_is_dialled_waits_in_the_kernel(
    running: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 77: what piles up in the proxy while it has no connection to the app is bounded."""
    hold = asyncio.Event()
    pool = running.service.pool
    dial = pool.dial

    async def slow_dial(upstream: Upstream) -> UpstreamHandle | DialFailed:
        await hold.wait()
        return await dial(upstream)

    monkeypatch.setattr(pool, "dial", slow_dial)
    size = 24 * MEBIBYTE

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.body(size)
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Content-Length: %d\r\n" % size)
        sending = asyncio.create_task(client.send(bytes(size)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.15):
                await asyncio.shield(sending)
        hold.set()
        await sending
        assert (await client.reply()).status == 200
        client.close()
