"""Message framing at the wire: what is refused, how, and that nothing behind it is read (rules 1-23)."""

from __future__ import annotations

import asyncio

import pytest

from tests.compliance.wire import wire_client
from tests.net.harness import AppConnection, Proxy, answering, app, until

HOST = b"Host: app.dev.local\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

REFUSED = {
    "rule 1: both lengths": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "rule 2: a coding that is not chunked": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "rule 3: two codings": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "rule 4: a sign in a length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello", 400),
    "rule 5: two lengths": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        400,
    ),
    "rule 8: a bare CR": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400),
    "rule 9: a NUL": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
    "rule 10: a space before the colon": (b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400),
    "rule 11: a folded line": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
    "rule 12: a line without a colon": (b"GET / HTTP/1.1\r\n" + HOST + b"X\r\n\r\n", 400),
    "rule 13: two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "rule 13: HTTP/2.0 in text": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "rule 13: HTTP/0.9": (b"GET /\r\n", 505),
    "rule 15: no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "rule 15: two Hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "rule 18: CONNECT": (b"CONNECT app.dev.local:443 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "rule 19: TRACE": (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "rule 21: a fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "rule 40: 257 fields": (b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\r\n" * 256 + b"\r\n", 431),
    "rule 40: 70 kB of fields": (b"GET / HTTP/1.1\r\n" + HOST + b"X: %b\r\n\r\n" % (b"a" * 70_000), 431),
    "rule 40: 70 kB of target": (b"GET /%b HTTP/1.1\r\n" % (b"a" * 70_000) + HOST + b"\r\n", 414),
    "rule 53: an unknown expectation": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 200-maybe\r\n\r\nok",
        417,
    ),
}


@pytest.mark.parametrize("rule", REFUSED)
async def test_rule_23_a_refused_request_has_one_answer_and_ends_the_connection(running: Proxy, rule: str) -> None:
    """RFC 9112 2.2, 3.2, 5, 6.3: one 4xx or 5xx, a clean end, and not one byte for the app."""
    wire, status = REFUSED[rule]
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.send(wire + SMUGGLED)
        reply = await client.reply()
        assert reply.status == status
        assert reply.field(b"connection") == [b"close"]
        assert await client.to_eof() == b""
        assert client.wire.saw_close_notify
        client.close()
        assert not backend.connections


@pytest.mark.parametrize("rule", ["rule 15: no Host", "rule 40: 70 kB of fields"])
async def test_rule_23_the_same_after_a_request_that_went_well(running: Proxy, rule: str) -> None:
    """RFC 9112 9.3: the second request of a connection is refused like the first."""
    wire, status = REFUSED[rule]
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request()
        assert (await client.reply()).status == 200
        await client.send(wire)
        assert (await client.reply()).status == status
        assert await client.to_eof() == b""
        client.close()


BAD_CHUNKS = {
    "rule 6: a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "rule 6: a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "rule 6: data too long": b"5\r\nhelloXX0\r\n\r\n",
    "rule 7: a bare LF": b"5\nhello\r\n0\r\n\r\n",
    "rule 7: a bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("rule", BAD_CHUNKS)
async def test_rule_6_and_7_a_bad_chunk_is_answered_400_and_the_app_sees_a_cut(running: Proxy, rule: str) -> None:
    """RFC 9112 7.1: nothing that follows is read; the app never gets a last chunk."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        try:
            got.append(await connection.to_eof())
        except ConnectionError:
            got.append(b"")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Transfer-Encoding: chunked\r\n")
        await until(lambda: backend.connections and backend.connections[0].heads)
        await client.send(BAD_CHUNKS[rule] + SMUGGLED)
        reply = await client.reply()
        assert reply.status == 400
        assert await client.to_eof() == b""
        client.close()
        await until(lambda: got)
        assert b"0\r\n\r\n" not in got[0]
        assert len(backend.connections) == 1


async def test_rule_6_a_bad_chunk_with_its_head_is_answered_400(running: Proxy) -> None:
    """RFC 9112 7.1: also when the app is not even dialled yet."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Transfer-Encoding: chunked\r\n\r\nzz")
        assert (await client.reply()).status == 400
        assert await client.to_eof() == b""
        client.close()


async def test_rule_6_a_bad_chunk_behind_the_start_of_the_answer_cuts_it(running: Proxy) -> None:
    """RFC 9112 8: half an answer cannot be taken back, so its loss must show."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Transfer-Encoding: chunked\r\n")
        await client.head()
        assert await client.read(5) == b"hello"
        await client.send(b"zz\r\n")
        assert await client.to_eof() == b""
        assert not client.wire.saw_close_notify
        client.close()


@pytest.mark.parametrize("asked_before", [0, 1])
async def test_rule_75_a_head_that_never_ends_is_answered_408(hasty: Proxy, asked_before: int) -> None:
    """RFC 9110 15.5.9: the time for a head is absolute; the second request of a connection has no other fate."""
    async with app(answering()) as backend:
        hasty.route(f"app = {backend.port}")
        client = await wire_client(hasty)
        for _ in range(asked_before):
            await client.request(b"HEAD")
            await client.reply(head_only=True)
        await client.send(b"GET / HTTP/1.1\r\nHos")
        reply = await client.reply()
        assert reply.status == 408
        assert reply.body
        assert await client.to_eof() == b""
        client.close()


async def test_rule_14_an_empty_line_before_a_request_is_skipped(running: Proxy) -> None:
    """RFC 9112 2.2: what old clients send behind a body."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.send(b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await client.reply()).status == 200
        client.close()


async def test_rule_16_an_absolute_target_wins_over_host(running: Proxy) -> None:
    """RFC 9112 3.2.2: the app gets origin-form and the matching Host."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(path=b"https://app.dev.local/a?b", host=b"other.dev.local")
        assert (await client.reply()).status == 200
        client.close()
        head = backend.connections[0].heads[0]
        assert head.startswith(b"GET /a?b HTTP/1.1\r\nHost: app.dev.local\r\n")
        assert b"other" not in head


async def test_rule_17_options_asterisk_stays_an_asterisk(running: Proxy) -> None:
    """RFC 9110 9.3.7."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get(b"*", method=b"OPTIONS")).status == 200
        assert backend.connections[0].heads[0].startswith(b"OPTIONS * HTTP/1.1\r\n")


async def test_rule_20_path_and_query_arrive_byte_for_byte(running: Proxy) -> None:
    """RFC 3986 6: a proxy does not normalise."""
    target = b"/a%2Fb//c/../d;v=1?x=1&y=%20;z&q[]=%zz"
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get(target)).status == 200
        assert backend.connections[0].heads[0].startswith(b"GET " + target + b" HTTP/1.1\r\n")


async def test_an_unknown_method_is_forwarded(running: Proxy) -> None:
    """RFC 9110 9.1: the app knows its methods."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get(method=b"PROPFIND")).status == 200
        assert backend.connections[0].heads[0].startswith(b"PROPFIND / ")


async def test_rule_22_what_follows_a_bodyless_request_is_the_next_request(running: Proxy) -> None:
    """RFC 9112 6.3."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.send(b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\nGARBAGE\r\n\r\n")
        assert (await client.reply()).status == 200
        assert (await client.reply()).status == 400
        assert await client.to_eof() == b""
        client.close()
        assert len(backend.connections[0].heads) == 1


async def test_rule_60_pipelined_requests_are_answered_in_order(running: Proxy) -> None:
    """RFC 9112 9.3.2: our own answers among them, bodies in between."""

    async def talk(connection: AppConnection) -> None:
        while True:
            head = await connection.head()
            body = await connection.body(2) if head.startswith(b"POST") else b""
            await connection.answer(head.split(b" ")[1] + body)

    async with app(talk) as backend:
        running.route(f'app = {backend.port}\n"app/own" = 1')
        client = await running.connect()
        await client.send(
            b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\nPOST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok"
            b"GET /own HTTP/1.1\r\n" + HOST + b"\r\nGET /3 HTTP/1.1\r\n" + HOST + b"\r\n"
        )
        replies = [await client.reply() for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 502, 200]
        assert [reply.body for reply in (replies[0], replies[1], replies[3])] == [b"/1", b"/2ok", b"/3"]
        client.close()


async def test_rule_77_who_pipelines_without_reading_is_no_longer_read(running: Proxy) -> None:
    """Our own answers are as bounded as an app's: 40 bytes in, a page out."""
    client = await wire_client(running)
    request = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    with pytest.raises(TimeoutError):
        for _ in range(200):
            async with asyncio.timeout(0.15):
                await client.send(request * 2000)
    connection = next(iter(running.h1_connections))
    assert connection._transport.get_write_buffer_size() < 1_000_000
    for _ in range(3):
        assert (await client.reply()).status == 404
    client.wire.reset()


# -- what an app may not send -----------------------------------------------------------------------------------------

BROKEN_ANSWERS = {
    "rule 41: a head of 300 kB": b"HTTP/1.1 200 OK\r\nX: %b\r\n\r\n" % (b"a" * 300_000),
    "rule 49: two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "rule 49: a NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "rule 49: a bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "rule 49: no status": b"HTTP/1.1 OK\r\n\r\n",
    "rule 49: not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "rule 49: a coding that is not chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "rule 72: half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.mark.parametrize("rule", BROKEN_ANSWERS)
async def test_rule_49_an_answer_that_cannot_be_trusted_is_a_502(running: Proxy, rule: str) -> None:
    """RFC 9112 6.3; RFC 9110 15.6.3: nothing of it reaches the client, whose connection goes on."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(BROKEN_ANSWERS[rule])
        connection.close()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request()
            reply = await client.reply()
            assert reply.status == 502
            assert not reply.field(b"x")
        client.close()
        assert len(backend.connections) == 2


async def test_rule_49_both_lengths_in_a_response_are_repaired(running: Proxy) -> None:
    """RFC 9112 6.3: chunked counts, one of them is forwarded, and the connection to the app is not used again."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        )
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request()
            reply = await client.reply()
            assert (reply.status, reply.body, reply.field(b"content-length")) == (200, b"ok", [])
        client.close()
        assert len(backend.connections) == 2


async def test_rule_48_bytes_behind_an_answer_end_the_apps_connection(running: Proxy) -> None:
    """RFC 9112 6.3 and 9.3: they are never the start of the next answer."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(b"ok")
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nleak")
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        idle = running.service.pool.state(running.service.snapshot.routes.routes[0].upstream).idle
        for _ in range(3):
            await client.request()
            assert (await client.reply()).body == b"ok"
            await until(lambda: not idle)
        client.close()
        assert len(backend.connections) == 3
