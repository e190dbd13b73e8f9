"""What apps send and do, from the wire to the record: odd heads, faults and their reasons, restarts, cookies."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.compliance.h2wire import MAX_LIST, h2_client
from tests.locks import free_port
from tests.net.harness import AppConnection, Client, Conversation, Proxy, answering, app, until


def saying(data: bytes, *, close: bool = False) -> Conversation:
    """Answer every request with these bytes."""

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            await connection.send(data)
            if close:
                connection.close()
                return

    return talk


async def reason_of(running: Proxy) -> str:
    await until(lambda: bool(running.noted.requests))
    return running.noted.requests[-1].reason


# -- heads -------------------------------------------------------------------------------------------------------------


async def test_a_head_of_bare_lf_is_written_out_with_crlf(running: Proxy) -> None:
    async with app(saying(b"HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 6\n\nhello\n")) as backend:
        running.route(f"app = {{ target = {backend.port}, via = false }}")
        reply = await running.get()
        assert reply.head == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n"
        assert reply.body == b"hello\n"


async def test_a_version_that_http_1_does_not_have_is_written_out_as_ours(running: Proxy) -> None:
    async with app(saying(b"HTTP/2.0 404 Not Found\r\nContent-Length: 2\r\n\r\nx\n")) as backend:
        running.route(f"app = {{ target = {backend.port}, via = false }}")
        assert (await running.get()).head == b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n"


async def test_a_thousand_fields_and_250_kib_of_head_pass(running: Proxy) -> None:
    fields = b"".join(b"X-Error-%d: %b\r\n" % (number, b"d" * 240) for number in range(950))
    async with app(saying(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nok")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        client.reader._limit = 2**20  # type: ignore[attr-defined] # a stream reader's default is 64 KiB
        await client.request()
        reply = await client.reply()
        assert (reply.status, reply.body) == (200, b"ok")
        assert len(reply.field(b"X-Error-949")) == 1
        assert reply.head.count(b"\r\nX-Error-") == 950


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (b"A: b\r\n" * 1001, b"more than 1000 fields: max_response_fields"),
        (b"A: " + b"x" * 262_144 + b"\r\n", b"head over 256 KiB: max_response_head_bytes"),
    ],
)
async def test_a_head_over_its_limit_is_a_502_that_names_the_key_to_raise(
    running: Proxy, fields: bytes, reason: bytes
) -> None:
    async with app(saying(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 0\r\n\r\n")) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get()
        assert reply.status == 502
        assert reason in reply.body
        assert b"Raise `" + reason.rpartition(b" ")[2] + b"` under `[limits]`" in reply.body
        assert (await reason_of(running)).encode() == reason


@pytest.mark.parametrize("whole", [True, False])
async def test_a_head_that_a_client_of_http_2_does_not_take_is_a_502_with_the_reason(
    running: Proxy, whole: bool
) -> None:
    body = b"ok" if whole else b"o"
    large = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\nContent-Length: 2\r\n\r\n" + body
    async with app(saying(large)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (MAX_LIST, 17_000))
        try:
            seen = await client.get()
        finally:
            client.close()
        assert seen.status == 502
        assert b"of which this client takes 17000" in seen.body
        assert (await reason_of(running)).startswith("head of 20")
        assert [(record.status, record.complete) for record in running.noted.requests] == [(502, True)]


# -- reasons -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "status", "complete", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 312, 200, False, "closed after 312 of 900 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", 200, False, "bad chunk size"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            200,
            False,
            "closed after 2 bytes, before the last chunk",
        ),
        (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", 502, True, "a header line without a colon"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 502, True, 'bad status line "SSH-2.0-OpenSSH_9.2"'),
        (b"hello", 502, True, 'said "hello", which is not HTTP'),
        (b"HTTP/1.1 200 OK\r\nA: b", 502, True, "closed in the middle of the head"),
        (b"", 502, True, "closed without an answer"),
    ],
)
async def test_the_record_says_why(running: Proxy, said: bytes, status: int, complete: bool, reason: str) -> None:
    async with app(saying(said, close=True)) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(b"POST", fields=b"Content-Length: 0\r\n")
        await client.to_eof() if not complete else await client.reply()
        assert await reason_of(running) == reason
        [record] = running.noted.requests
        assert (record.status, record.complete) == (status, complete)


async def test_an_app_that_is_not_there_and_a_client_that_leaves_are_reasons_too(running: Proxy) -> None:
    running.route(f"app = {free_port()}")
    await running.get()
    assert await reason_of(running) == "connection refused"
    running.noted.requests.clear()
    asked = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        asked.set()
        await asyncio.Event().wait()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        await asked.wait()
        client.close()
        assert await reason_of(running) == "the client left"


async def test_a_request_that_is_refused_has_its_reason(running: Proxy) -> None:
    client = await running.connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nA\r\n\r\n")
    await client.reply()
    assert await reason_of(running) == "a header line has no colon"


# -- an app that restarts ----------------------------------------------------------------------------------------------


async def restarting(running: Proxy, options: str = "") -> int:
    """Route to an app that has answered once and is gone; return its port."""
    async with app(answering()) as backend:
        running.route(f"app = {{ target = {backend.port}{options} }}")
        assert (await running.get()).status == 200
        return backend.port


async def waits(running: Proxy) -> None:
    """Return once a request waits for the app."""
    pool = running.service.pool
    await until(lambda: bool(pool._restarts._restarts))


async def test_a_fetch_waits_for_an_app_that_restarts(running: Proxy) -> None:
    port = await restarting(running)
    client = await running.connect()
    await client.request(b"POST", fields=b"Content-Length: 5\r\nSec-Fetch-Mode: cors\r\n")
    await client.send(b"hello")
    await waits(running)
    async with app(reading(5), port=port):
        assert (await client.reply()).status == 200


async def test_an_app_that_does_not_come_back_is_a_502_when_the_time_is_over(running: Proxy) -> None:
    await restarting(running, ", retry_down_s = 0.3")
    began = time.monotonic()
    reply = await running.get()
    assert reply.status == 502
    assert 0.2 < time.monotonic() - began < 2
    assert running.noted.requests[-1].reason == "connection refused, for 0.3 s"


@pytest.mark.parametrize(
    ("options", "fields"),
    [(", retry_down_s = 0", b""), (", retry_down_s = 60", b"Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n")],
)
async def test_a_page_gets_its_502_at_once_and_so_does_all_where_it_is_off(
    running: Proxy, options: str, fields: bytes
) -> None:
    await restarting(running, options)
    assert (await running.get(fields=fields)).status == 502


async def test_the_body_of_a_request_that_waits_is_not_read_without_end(running: Proxy) -> None:
    port = await restarting(running, ", retry_down_s = 30")
    client = await running.connect()
    size = 8 * 2**20
    await client.request(b"POST", fields=b"Content-Length: %d\r\n" % size)
    client.writer.write(b"x" * size)
    await waits(running)
    [connection] = running.h1_connections
    await until(lambda: not connection._transport.is_reading())
    async with app(reading(size), port=port):
        assert (await client.reply()).status == 200


def reading(size: int) -> Conversation:
    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.body(size)
        await connection.answer()

    return talk


async def test_a_client_that_leaves_waits_no_longer(running: Proxy) -> None:
    await restarting(running, ", retry_down_s = 30")
    client: Client = await running.connect()
    await client.request()
    await waits(running)
    client.close()
    await until(lambda: not running.service.pool._restarts._restarts)
    assert running.noted.requests[-1].reason == "the client left"


# -- cookies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["keep", "strip"])
async def test_a_cookie_is_kept_to_its_route_where_that_is_asked_for(running: Proxy, option: str) -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=1; Domain=dev.local; HttpOnly\r\nContent-Length: 2\r\n\r\nok"
    async with app(saying(cookie)) as backend:
        running.route(f'app = {{ target = {backend.port}, cookie_domain = "{option}" }}')
        for _ in range(2):
            reply = await running.get()
            kept = b"sid=1; Domain=dev.local; HttpOnly" if option == "keep" else b"sid=1; HttpOnly"
            assert reply.field(b"set-cookie") == [kept]
            assert reply.body == b"ok"
    told = ("app", "app.dev.local", "sid", "dev.local")
    assert running.noted.cookies == ([] if option == "keep" else [told, told])
