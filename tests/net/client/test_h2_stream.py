"""One request of an HTTP/2 client: its times, its record, and what is found in the answers that it carries."""

from __future__ import annotations

import asyncio

import pytest

from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.net.upstream.h1 import H1UpstreamConnection
from devtls.pki.authority import Authority
from tests.compliance.h2wire import data, h2_client, rst_stream
from tests.net.harness import AppConnection, Proxy, answering, app, proxy, until

VITE = (
    b'Blocked request. This host ("app.dev.local") is not allowed.\nAdd it to server.allowedHosts in vite.config.js.\n'
)


async def _silent(connection: AppConnection) -> None:
    if b"/ok" in await connection.head():
        await connection.answer()
    else:
        await connection.to_eof()


async def test_an_app_that_never_answers_is_504_and_the_connection_lives_on(authority: Authority) -> None:
    limits = ClientLimits(exchange=ExchangeLimits(response_head_timeout_s=0.1))
    async with proxy(authority, limits=limits) as running, app(_silent) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        streams = [await client.request() for _ in range(3)]
        for stream in streams:
            assert (await client.reply(stream)).status == 504
        assert (await client.get(b"/ok")).status == 200
        client.close()


async def test_a_bug_in_the_middle_of_a_stream_frees_its_app(running: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: H1UpstreamConnection) -> None:
        raise ArithmeticError("a bug")

    async with app(_silent) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        with monkeypatch.context() as patched:
            patched.setattr(H1UpstreamConnection, "flush", fail)
            assert (await client.reply(await client.request())).reset is not None
        await until(lambda: backend.connections and backend.connections[0].reader.at_eof())
        assert [state.active for state in running.service.pool._states.values()] == [0]
        assert (await client.get(b"/ok")).status == 200
        assert [(record.complete, record.route) for record in running.noted.requests[:1]] == [(False, "app")]
        assert [str(fault) for fault in running.noted.faults] == ["a bug"]
        running.noted.faults.clear()
        client.close()


async def test_an_upload_that_stands_still_is_408_and_one_that_moves_is_not(authority: Authority) -> None:
    limits = ClientLimits(exchange=ExchangeLimits(body_idle_timeout_s=0.2))

    async def talk(connection: AppConnection) -> None:
        if b"/moves" in await connection.head():
            await connection.body(6)
            await connection.answer()
        else:
            await connection.to_eof()

    async with proxy(authority, limits=limits) as running, app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        still = await client.request((b"content-length", b"6"), method=b"POST", end=False)
        moves = await client.request((b"content-length", b"6"), method=b"POST", path=b"/moves", end=False)
        for place in range(6):
            await client.send(data(moves, b"x", end=place == 5))
            await client.read_for(0.08)
        assert (await client.reply(moves)).status == 200
        assert (await client.reply(still)).status == 408
        client.close()


async def test_an_app_that_is_not_there_is_502_with_its_address(running: Proxy) -> None:
    running.route("app = 1")
    client = await h2_client(running)
    streams = [await client.request() for _ in range(5)]
    for stream in streams:
        seen = await client.reply(stream)
        assert (seen.status, b"127.0.0.1:1" in seen.body) == (502, True)
    head = await client.reply(await client.request(method=b"HEAD"))
    assert (head.status, head.size) == (502, 0)
    client.close()


async def test_each_request_is_recorded_as_it_ended(running: Proxy) -> None:
    async def talk(connection: AppConnection) -> None:
        while True:
            head = await connection.head()
            if b"/cut" in head:
                await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                return
            if b"/slow" in head:
                await connection.to_eof()
                return
            await connection.answer(b"hello")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.get(b"/whole")
        await client.get(b"/cut")
        slow = await client.request(path=b"/slow")
        await until(lambda: any(b"/slow" in head for c in backend.connections for head in c.heads))
        await client.send(rst_stream(slow))
        await client.get(host=b"other.dev.local")
        await client.reply(await client.request(path=b"/" + b"a" * 17_000))
        await until(lambda: len(running.noted.requests) == 5)
        records = [(r.target[:6], r.status, r.bytes_sent, r.complete) for r in running.noted.requests]
        assert records == [
            ("/whole", 200, 5, True),
            ("/cut", 200, 4, False),
            ("/slow", 0, 0, False),
            ("/", 421, 0, True),
            ("", 414, 0, True),
        ]
        assert {record.protocol for record in running.noted.requests} == {"HTTP/2"}
        client.close()


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_host_check_of_an_app_is_recognised(running: Proxy, pieces: int) -> None:
    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(VITE)
        )
        size = -(-len(VITE) // pieces)
        for place in range(0, len(VITE), size):
            await connection.send(VITE[place : place + size])
            await asyncio.sleep(0.01)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        seen = await client.get()
        assert (seen.status, seen.body) == (403, VITE)
        ((host, found),) = running.noted.findings
        assert (host, found.advice.framework) == ("app.dev.local", "Vite")
        client.close()


async def test_a_host_check_in_one_piece_is_recognised(running: Proxy) -> None:
    async with app(answering(VITE, status=b"403 Forbidden", fields=b"Content-Type: text/plain\r\n")) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 403
        assert len(running.noted.findings) == 1
        client.close()


async def test_a_bare_word_instead_of_a_websocket_is_recognised(running: Proxy) -> None:
    """Next.js refuses its hot reload so."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"Unauthorized")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.head_of(await client.connect())).status == 502
        ((host, found),) = running.noted.findings
        assert (host, found.advice.framework) == ("app.dev.local", "Next.js")
        client.close()


async def test_a_refused_head_request_has_no_body(running: Proxy) -> None:
    """RFC 9110 9.3.2: whatever refuses it, a HEAD is answered by a head alone."""
    client = await h2_client(running)
    for fields in (
        [(b":method", b"HEAD"), (b":scheme", b"http"), (b":authority", b"app.dev.local"), (b":path", b"/")],
        [(b":method", b"HEAD"), (b":scheme", b"https"), (b":authority", b"app.dev.local"), (b":path", b"/" * 17_000)],
        [(b":method", b"HEAD"), (b":scheme", b"https"), (b":authority", b"nobody.dev.local"), (b":path", b"/")],
    ):
        stream = client.stream()
        await client.send(client.raw_head(stream, fields))
        seen = await client.reply(stream)
        assert seen.status in (400, 414, 421)
        assert (seen.size, seen.ended) == (0, True)
    client.close()
