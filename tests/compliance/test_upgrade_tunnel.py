"""WebSocket upgrades over HTTP/1.1 and the raw tunnel behind them (rules 61-69)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.compliance.wire import TlsWire, WireClient, reset, server_context, tls_app, wire_client
from tests.net.harness import AppConnection, Conversation, Proxy, answering, app, until, until_still

ASK = (
    b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
)
YES = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: b\r\n\r\n"
)
MEBIBYTE = 1024 * 1024


async def upgraded(running: Proxy) -> WireClient:
    """Open a tunnel; the client has read the 101."""
    client = await wire_client(running)
    await client.request(path=b"/ws", fields=ASK)
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    return client


async def echo(connection: AppConnection) -> None:
    """Say yes, then send back what comes; a FIN is answered by a FIN."""
    await connection.head()
    await connection.send(YES)
    while data := await connection.reader.read(65536):
        await connection.send(data)
    connection.close()


async def test_rule_61_the_handshake_is_the_browsers_and_the_apps(running: Proxy) -> None:
    """RFC 6455 4: key, version, sub-protocols and extensions pass; the app chooses."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(path=b"/ws", fields=ASK)
        head = (await client.head()).lower()
        asked = backend.connections[0].heads[0].lower()
        for line in ASK.lower().split(b"\r\n")[2:6]:
            assert b"\r\n" + line + b"\r\n" in asked
        for line in (b"upgrade: websocket", b"connection: upgrade"):
            assert asked.count(b"\r\n" + line + b"\r\n") == 1
            assert head.count(b"\r\n" + line + b"\r\n") == 1
        assert b"\r\nsec-websocket-accept: s3ppl" in head
        assert b"\r\nsec-websocket-protocol: b\r\n" in head
        client.close()


async def test_a_websocket_that_next_refuses_without_an_answer_gives_its_hint(running: Proxy) -> None:
    """Next.js says no to a name that is new to it with a bare word."""

    async def refuse(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"Unauthorized")
        connection.close()

    async with app(refuse) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(path=b"/_next/webpack-hmr", fields=ASK)
        assert (await client.head()).startswith(b"HTTP/1.1 502 ")
        ((host, found),) = running.noted.findings
        assert (host, found.advice.framework) == ("app.dev.local", "Next.js")
        client.close()


async def test_rule_61_bytes_behind_the_handshake_are_not_lost(running: Proxy) -> None:
    """RFC 6455 4.1: an app may speak in the packet of its 101, a client before it has read that."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES + b"welcome")
        await connection.send(await connection.body(5))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(path=b"/ws", fields=ASK + b"\r\nearly")
        await client.head()
        assert await client.read(12) == b"welcomeearly"
        client.close()


async def test_rule_61_a_client_that_does_not_wait_for_the_101_loses_nothing(running: Proxy) -> None:
    """RFC 6455 4.1: 4 MiB behind the handshake are held back in the kernel until the app has said yes."""
    size = 4 * MEBIBYTE
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await go_on.wait()
        await connection.send(YES)
        await connection.send(b"%d" % len(await connection.body(size)))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await wire_client(running)
        await client.request(path=b"/ws", fields=ASK)
        sending = asyncio.create_task(client.send(bytes(size)))
        await until(lambda: running.h1_connections)
        (connection,) = running.h1_connections
        await until(lambda: connection._codec.buffered)
        assert await until_still(lambda: connection._codec.buffered) < MEBIBYTE
        go_on.set()
        await sending
        await client.head()
        assert await client.read(7) == b"%d" % size
        client.close()


async def test_rule_61_the_tunnel_carries_bytes_and_not_messages(running: Proxy) -> None:
    """RFC 6455 5: whatever they look like, in both directions, 4 MiB of them."""
    pattern = bytes(range(256)) * 256
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.read(18) == b"GET / HTTP/1.1\r\n\r\n"
        for _ in range(64):
            await client.send(pattern)
            assert await client.read(len(pattern)) == pattern
        client.close()


async def test_rule_61_a_message_passes_at_once(running: Proxy) -> None:
    """Within 50 ms there and back."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        for number in range(5):
            async with asyncio.timeout(0.05):
                await client.send(b"ping%d" % number)
                assert await client.read(5) == b"ping%d" % number
        client.close()


@pytest.mark.parametrize(
    "status", [b"400 Bad Request", b"401 Unauthorized", b"426 Upgrade Required", b"302 Found", b"200 OK"]
)
async def test_rule_62_a_refused_upgrade_is_relayed(running: Proxy, status: bytes) -> None:
    """RFC 6455 4.2.2: status, fields and body; HTTP goes on."""
    async with app(answering(b"why not", status=status, fields=b"X-Why: 1\r\n")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request(path=b"/ws", fields=ASK)
            reply = await client.reply()
            assert (reply.status, reply.body, reply.field(b"x-why")) == (int(status[:3]), b"why not", [b"1"])
        client.close()


async def test_rule_29_an_upgrade_to_anything_else_is_an_ordinary_request(running: Proxy) -> None:
    """RFC 9110 7.8: a server may ignore Upgrade; the field and its companions are gone, the body is read."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(await connection.body(2))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        fields = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        await client.request(b"POST", fields=fields + b"Content-Length: 2\r\n\r\nok")
        assert (await client.reply()).body == b"ok"
        client.close()
        head = backend.connections[0].heads[0].lower()
        assert b"upgrade" not in head
        assert b"http2-settings" not in head


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=["another protocol", "no protocol"],
)
async def test_rule_52_a_101_to_something_else_is_a_502(running: Proxy, answer: bytes) -> None:
    """RFC 9110 7.8: the app may switch only to what was asked for."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(answer)
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get(b"/ws", fields=ASK)).status == 502


# -- half-close -------------------------------------------------------------------------------------------------------


async def test_rule_66_a_client_that_ends_its_direction_still_gets_the_rest(running: Proxy) -> None:
    """RFC 8446 6.1: its close_notify becomes a FIN for the app, whose bytes still arrive."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES)
        got = await connection.to_eof()
        await connection.send(b"you said " + got)
        connection.close()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        await client.send(b"bye")
        await client.wire.half_close()
        assert await client.to_eof() == b"you said bye"
        assert client.wire.saw_close_notify
        client.close()
        await until(lambda: not running.service.connections)


async def test_rule_66_an_app_that_ends_its_direction_still_gets_the_rest(running: Proxy) -> None:
    """RFC 9112 9.6: its FIN becomes a close_notify for the client, whose bytes still arrive."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES + b"bye")
        connection.writer.write_eof()
        got.append(await connection.to_eof())

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        assert await client.to_eof() == b"bye"
        assert client.wire.saw_close_notify
        for piece in (b"one ", b"two ", b"three"):
            await client.send(piece)
            await asyncio.sleep(0.01)
        await client.wire.half_close()
        client.wire.fin()
        await until(lambda: got)
        assert got == [b"one two three"]
        client.close()
        await until(lambda: not running.service.connections)


async def test_rule_66_what_is_under_way_when_the_app_ends_is_not_lost(running: Proxy) -> None:
    """RFC 9112 9.6: 8 MiB that the client sent while the app did not read and then ended its own direction."""
    size = 8 * MEBIBYTE
    go_on = asyncio.Event()
    got: list[int] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES)
        await go_on.wait()
        connection.writer.write_eof()
        await asyncio.sleep(0.05)
        got.append(len(await connection.body(size)))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        sending = asyncio.create_task(client.send(bytes(size)))
        await asyncio.sleep(0.1)
        go_on.set()
        await sending
        await client.wire.half_close()
        await until(lambda: got)
        assert got == [size]
        client.close()


async def test_rule_66_the_grace_begins_when_one_direction_ends(running: Proxy) -> None:
    """However long the tunnel was silent before: the other direction has its full time."""
    running.service.limits = msgspec.structs.replace(running.service.limits, half_close_grace_s=0.15)

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES)
        await connection.to_eof()
        await asyncio.sleep(0.05)
        await connection.send(b"late")
        connection.close()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        await asyncio.sleep(0.19)
        await client.wire.half_close()
        assert await client.to_eof() == b"late"
        client.close()


async def test_rule_66_a_direction_that_stays_open_for_nothing_is_closed(running: Proxy) -> None:
    """The grace ends: both sockets are free."""
    running.service.limits = msgspec.structs.replace(running.service.limits, half_close_grace_s=0.1)
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES)
        connection.writer.write_eof()
        got.append(await connection.to_eof())

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        assert await client.to_eof() == b""
        await until(lambda: got and not running.service.connections, within_s=1)
        client.close()


async def test_rule_66_half_close_works_between_two_tls_connections(running: Proxy) -> None:
    """RFC 8446 6.1: close_notify in, close_notify out."""
    got: list[bytes] = []

    async def talk(wire: TlsWire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(YES)
        got.append(await wire.to_end())
        assert wire.saw_close_notify
        await wire.send(b"rest")
        await wire.half_close()

    async with tls_app(server_context(running), talk) as port:
        running.route(f'app = {{ target = "https://127.0.0.1:{port}", verify = false }}')
        client = await upgraded(running)
        await client.send(b"hello")
        await client.wire.half_close()
        assert await client.to_eof() == b"rest"
        assert client.wire.saw_close_notify
        assert got == [b"hello"]
        client.close()


# -- ends that are no half-close --------------------------------------------------------------------------------------


async def test_rule_67_a_client_that_breaks_off_frees_both_sockets(running: Proxy) -> None:
    """Within 0.2 s (rule 76)."""
    ended = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES)
        try:
            await connection.to_eof()
        finally:
            ended.set()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        client.wire.reset()
        async with asyncio.timeout(0.2):
            await ended.wait()
        await until(lambda: not running.service.connections, within_s=0.2)


async def test_rule_67_an_app_that_breaks_off_frees_both_sockets(running: Proxy) -> None:
    """The client sees no clean end: something may be missing."""
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(YES)
        await go_on.wait()
        reset(connection.writer)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        go_on.set()
        assert await client.to_eof() == b""
        assert not client.wire.saw_close_notify
        await until(lambda: not running.service.connections, within_s=0.2)
        client.close()


async def test_rule_65_a_client_that_stops_reading_stops_the_app(running: Proxy) -> None:
    """Rule 77 holds in a tunnel as well: at most 12 MB leave the app."""
    sent = 0

    async def talk(connection: AppConnection) -> None:
        nonlocal sent
        await connection.head()
        await connection.send(YES)
        connection.writer.transport.set_write_buffer_limits(0)
        while True:
            await connection.send(bytes(65536))
            sent += 65536

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        assert await until_still(lambda: sent) <= 12_000_000
        client.wire.reset()


async def test_rule_68_a_tunnel_survives_a_reload(running: Proxy) -> None:
    """Also one that removes its route: connections in flight are not cut."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        running.route(f"app = {backend.port}\nother = 1")
        await client.send(b"one")
        assert await client.read(3) == b"one"
        running.route("")
        await client.send(b"two")
        assert await client.read(3) == b"two"
        client.close()


async def test_rule_69_a_drain_ends_a_tunnel_in_order(running: Proxy) -> None:
    """What was written is flushed, then both sides see an orderly end."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        await client.send(b"one")
        assert await client.read(3) == b"one"
        for connection in list(running.service.connections):
            connection.drain()
        assert await client.to_eof() == b""
        assert client.wire.saw_close_notify
        client.close()
        await until(lambda: not running.service.connections)


async def test_rule_61_an_upgraded_connection_is_never_used_again(running: Proxy) -> None:
    """RFC 9110 7.8: HTTP is over on it, for the client and for the pool."""
    conversations: list[Conversation] = [echo, answering()]

    async def talk(connection: AppConnection) -> None:
        await conversations[min(connection.number, 2) - 1](connection)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await upgraded(running)
        assert (await running.get()).status == 200
        client.close()
        assert (await running.get()).status == 200
        assert len(backend.connections) == 2
