"""Interim responses, Expect, and answers that come before the request's end (rules 50-54)."""

from __future__ import annotations

import asyncio

import pytest

from tests.compliance.wire import wire_client
from tests.net.harness import AppConnection, Client, Proxy, app

EXPECTING = b"Content-Length: 5\r\nExpect: 100-continue\r\n"


async def interim(client: Client) -> tuple[int, bytes]:
    """Read one 1xx: its status and head."""
    head = await client.head()
    return int(head.split(b" ", 2)[1]), head


async def test_rule_50_every_interim_response_is_relayed_in_order(running: Proxy) -> None:
    """RFC 9110 15.2: several in a row, a 1xx that nobody has named yet, then the final one."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        for line in (b"100 Continue", b"102 Processing", b"103 Early Hints", b"103 Early Hints", b"199 Odd"):
            await connection.send(b"HTTP/1.1 %b\r\nX-Step: 1\r\n\r\n" % line)
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        assert [(await interim(client))[0] for _ in range(5)] == [100, 102, 103, 103, 199]
        assert (await client.reply()).status == 200
        client.close()


async def test_rule_50_an_interim_response_reaches_the_client_before_the_final_one_is_made(running: Proxy) -> None:
    """RFC 8297 2: early hints are worth something only early."""
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        await go_on.wait()
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        status, head = await interim(client)
        assert status == 103
        assert b"\r\nLink: </a.css>; rel=preload\r\n" in head
        go_on.set()
        assert (await client.reply()).status == 200
        client.close()


async def test_rule_50_an_interim_response_never_has_a_body(running: Proxy) -> None:
    """RFC 9112 6.3: whatever its Content-Length says; RFC 9110 8.6: it is not passed on."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 400\r\n\r\n")
        await connection.answer(b"final")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        status, head = await interim(client)
        assert status == 103
        assert b"ontent-" not in head
        assert (await client.reply()).body == b"final"
        client.close()


async def test_rule_51_fields_of_early_hints_stay_there(running: Proxy) -> None:
    """RFC 8297 2; rule 26: what Connection names is gone in a 103 as well (RFC 9110 7.6.1)."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Early: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
        )
        await connection.answer(fields=b"X-Late: 1\r\n")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        _, head = await interim(client)
        assert b"X-Early" in head
        assert b"hop" not in head.lower()
        assert b"connection" not in head.lower()
        reply = await client.reply()
        assert not reply.field(b"x-early")
        assert not reply.field(b"link")
        assert reply.field(b"x-late") == [b"1"]
        client.close()


async def test_rule_44_a_1_0_client_gets_no_interim_response(running: Proxy) -> None:
    """RFC 9110 15.2."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await connection.answer(b"final")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.send(b"GET / HTTP/1.0\r\nHost: app.dev.local\r\n\r\n")
        reply = await client.reply()
        assert (reply.status, reply.body) == (200, b"final")
        client.close()


async def test_more_interim_responses_than_anybody_needs_are_a_502(running: Proxy) -> None:
    """Rule 50 with a bound: an app that never ends its hints."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        statuses = []
        while (status := (await interim(client))[0]) == 102:
            statuses.append(status)
        assert status == 502
        assert len(statuses) <= 100
        client.close()


@pytest.mark.parametrize(
    "fields", [b"", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"Upgrade: websocket\r\n"], ids=["none", "h2c", "lone"]
)
async def test_rule_52_a_101_that_nobody_asked_for_is_a_502(running: Proxy, fields: bytes) -> None:
    """RFC 9110 15.2.2."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nleak"
        )
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get(fields=fields)
        assert reply.status == 502
        assert b"leak" not in reply.body


# -- Expect -----------------------------------------------------------------------------------------------------------


async def test_rule_53_the_apps_100_is_relayed_and_the_body_follows(running: Proxy) -> None:
    """RFC 9110 10.1.1: nobody but the app asks for the body."""

    async def talk(connection: AppConnection) -> None:
        assert b"\r\nexpect: 100-continue\r\n" in (await connection.head()).lower()
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.answer(await connection.body(5))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(b"POST", fields=EXPECTING)
        assert (await interim(client))[0] == 100
        await client.send(b"hello")
        assert (await client.reply()).body == b"hello"
        await client.request()
        client.close()


async def test_rule_53_the_apps_refusal_is_relayed_and_no_body_is_asked_for(running: Proxy) -> None:
    """RFC 9110 10.1.1: the connection ends, because the client may or may not send its body."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(b"no", status=b"417 Expectation Failed")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=EXPECTING)
        reply = await client.reply()
        assert (reply.status, reply.body, reply.field(b"connection")) == (417, b"no", [b"close"])
        assert await client.to_eof() == b""
        client.close()


async def test_rule_53_a_silent_app_gets_the_body_after_a_while(hasty: Proxy) -> None:
    """RFC 9110 10.1.1: an app that has never heard of Expect; the 100 is ours."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(await connection.body(5))

    async with app(talk) as backend:
        hasty.route(f"app = {backend.port}")
        client = await hasty.connect()
        await client.request(b"POST", fields=EXPECTING)
        assert (await interim(client))[0] == 100
        await client.send(b"hello")
        assert (await client.reply()).body == b"hello"
        client.close()


async def test_rule_53_a_client_that_does_not_wait_gets_no_late_100(hasty: Proxy) -> None:
    """RFC 9110 10.1.1: the body is on its way already."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        body = await connection.body(5)
        await asyncio.sleep(0.12)
        await connection.answer(body)

    async with app(talk) as backend:
        hasty.route(f"app = {backend.port}")
        client = await hasty.connect()
        await client.request(b"POST", fields=EXPECTING + b"\r\nhello")
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        client.close()


async def test_rule_53_a_client_that_never_sends_what_it_was_asked_for_is_answered_408(hasty: Proxy) -> None:
    """RFC 9110 15.5.9."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.to_eof()

    async with app(talk) as backend:
        hasty.route(f"app = {backend.port}")
        client = await hasty.connect()
        await client.request(b"POST", fields=EXPECTING)
        assert (await interim(client))[0] == 100
        assert (await client.reply()).status == 408
        client.close()


# -- answers before the request's end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("closes", [True, False])
async def test_rule_54_an_early_answer_arrives_whole_while_the_client_uploads(running: Proxy, closes: bool) -> None:
    """RFC 9112 9.6: 30 MB are on their way, the app has read none of it; no reset may destroy its 20 kB."""
    size, page = 30_000_000, b"too large " * 2000

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(page, status=b"413 Content Too Large", fields=b"Connection: close\r\n")
        if not closes:
            await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(b"POST", fields=b"Content-Length: %d\r\n" % size)
        for _ in range(30):  # a client that reads only when it has sent all
            await client.send(bytes(1_000_000))
        reply = await client.reply()
        assert (reply.status, reply.body) == (413, page)
        assert reply.field(b"connection") == [b"close"]
        assert await client.to_eof() == b""
        assert client.wire.saw_close_notify
        client.close()


async def test_rule_54_a_slow_upload_is_read_to_its_end(hasty: Proxy) -> None:
    """RFC 9112 9.6: what counts is silence, here 0.15 s; this client sends for 0.4 s before it looks."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(b"no", status=b"413 Content Too Large")
        await connection.to_eof()

    async with app(talk) as backend:
        hasty.route(f"app = {backend.port}")
        client = await wire_client(hasty)
        await client.request(b"POST", fields=b"Content-Length: 1000000\r\n")
        for _ in range(10):
            await client.send(bytes(100_000))
            await asyncio.sleep(0.04)
        assert (await client.reply()).body == b"no"
        assert await client.to_eof() == b""
        assert client.wire.saw_close_notify
        client.close()


async def test_rule_54_our_own_early_answer_arrives_as_well(running: Proxy) -> None:
    """RFC 9112 9.6: the 502 for an app that is not there."""
    running.route("app = 1")
    client = await wire_client(running)
    await client.request(b"POST", fields=b"Content-Length: 5000000\r\n")
    for _ in range(5):
        await client.send(bytes(1_000_000))
    assert (await client.reply()).status == 502
    assert await client.to_eof() == b""
    client.close()


async def test_rule_54_a_small_body_behind_an_early_answer_is_read_away(running: Proxy) -> None:
    """RFC 9112 9.3: an app that answers from the head alone; its connection is not used again half-way."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(b"early")
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        for _ in range(2):
            client = await running.connect()
            await client.request(b"POST", fields=b"Content-Length: 10\r\n\r\nhello")
            reply = await client.reply()
            assert (reply.body, reply.field(b"connection")) == (b"early", [b"close"])
            client.writer.write(b"hello")
            assert await client.to_eof() == b""
            client.close()
        assert len(backend.connections) == 2
