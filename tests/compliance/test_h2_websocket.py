"""WebSockets over HTTP/2 (RFC 8441), to apps that speak HTTP/1.1 and to such that speak HTTP/2 (rules 61-69)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re

import pytest
from h2.settings import SettingCodes

from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.compliance.h2app import AppStream, h2_app
from tests.compliance.h2wire import (
    CANCEL,
    INITIAL_WINDOW,
    MAX_STREAMS,
    PROTOCOL_ERROR,
    WireH2,
    data,
    h2_client,
    rst_stream,
    window_update,
)
from tests.compliance.wire import reset
from tests.net.harness import AppConnection, Proxy, answering, app, proxy, until

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def accept(connection: AppConnection, *fields: bytes, accept: bytes | None = None) -> bytes:
    """Take an upgrade as RFC 6455 4.2.2 says; return the request's head."""
    head = await connection.head()
    key = re.search(rb"(?i)\r\nsec-websocket-key: (\S+)\r\n", head)
    assert key is not None
    right = base64.b64encode(hashlib.sha1(key[1] + _GUID, usedforsecurity=False).digest())
    await connection.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
        + (right if accept is None else accept)
        + b"\r\n"
        + b"".join(field + b"\r\n" for field in fields)
        + b"\r\n"
    )
    return head


async def echo(connection: AppConnection) -> None:
    """Take the upgrade and send back what comes."""
    await accept(connection)
    while wire := await connection.reader.read(65536):
        await connection.send(wire)


async def _opened(client: WireH2) -> int:
    stream = await client.connect()
    assert (await client.head_of(stream)).status == 200
    return stream


async def test_rfc_8441_5_a_connect_becomes_an_upgrade_and_its_101_a_200(running: Proxy) -> None:
    """RFC 8441 5: a fresh key, none of the HTTP/1.1 fields for the client; the app chooses the subprotocol."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        got.append(await accept(connection, b"Sec-WebSocket-Protocol: chat"))
        await connection.send(await connection.body(4))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.connect(
            (b"sec-websocket-protocol", b"chat, other"), (b"origin", b"https://app.dev.local")
        )
        seen = await client.head_of(stream)
        names = {name for name, _ in seen.heads[0]}
        assert (seen.status, seen.values(b"sec-websocket-protocol")) == (200, [b"chat"])
        assert not {b"connection", b"upgrade", b"sec-websocket-accept", b"content-length"} & names
        await client.send(data(stream, b"ping"))
        await client.until(lambda: seen.body == b"ping")
        lines = got[0].lower().split(b"\r\n")
        assert lines[0] == b"get /ws http/1.1"
        for line in (
            b"host: app.dev.local",
            b"upgrade: websocket",
            b"connection: upgrade",
            b"sec-websocket-version: 13",
            b"sec-websocket-protocol: chat, other",
            b"origin: https://app.dev.local",
        ):
            assert lines.count(line) == 1
        client.close()


async def test_rule_64_a_version_that_firefox_left_out_is_added_and_a_key_of_the_client_replaced(
    running: Proxy,
) -> None:
    """RFC 6455 4.1; each stream has a key of its own, of 16 bytes."""
    keys: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        head = await accept(connection)
        keys.extend(re.findall(rb"(?i)\r\nsec-websocket-key: (\S+)", head))
        assert head.lower().count(b"sec-websocket-version: 13") == 1
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(2):
            stream = client.stream()
            fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"https")]
            fields += [(b":authority", b"app.dev.local"), (b":path", b"/"), (b"sec-websocket-key", b"bWluZQ==")]
            await client.send(client.raw_head(stream, fields, end=False))
            assert (await client.head_of(stream)).status == 200
        assert len(set(keys)) == len(keys) == 2
        assert all(len(base64.b64decode(key)) == 16 for key in keys)
        client.close()


@pytest.mark.parametrize("accept_value", [b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=", b""], ids=["wrong", "empty"])
async def test_rule_63_a_wrong_accept_is_502(running: Proxy, accept_value: bytes) -> None:
    """RFC 6455 4.1: the key is ours, so is the check."""

    async def talk(connection: AppConnection) -> None:
        await accept(connection, accept=accept_value)
        await connection.to_eof()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.head_of(await client.connect())).status == 502
        client.close()


async def test_rule_62_a_refused_upgrade_is_the_apps_answer(running: Proxy) -> None:
    """RFC 8441 5: status, fields and body."""
    async with app(answering(b"not here", status=b"403 Forbidden", fields=b"X-Why: origin\r\n")) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        seen = await client.reply(await client.connect())
        assert (seen.status, seen.body, seen.values(b"x-why")) == (403, b"not here", [b"origin"])
        await client.send(data(1, b"a frame that was on its way", end=True))
        assert (await client.get()).status == 403
        client.close()


async def test_rfc_8441_5_a_page_is_no_websocket(running: Proxy) -> None:
    """RFC 8441 5: any 2xx opens the stream for the client, so an app's 200 cannot be passed on."""
    async with app(answering(b"<!doctype html>")) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        seen = await client.reply(await client.connect())
        assert seen.status == 502
        assert b"200 instead of 101" in seen.body
        assert (await client.get()).status == 200
        client.close()


async def test_rule_61_bytes_around_the_handshake_are_not_lost(running: Proxy) -> None:
    """RFC 9110 7.8: what a client sends before it is answered, and an app right behind its 101."""

    async def talk(connection: AppConnection) -> None:
        await accept(connection)
        await connection.send(b"welcome")
        await connection.send(await connection.body(5))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(2):
            stream = await client.connect()
            await client.send(data(stream, b"early"))
            await client.until(lambda: client.seen(stream).body == b"welcomeearly")  # noqa: B023
        client.close()


async def test_rule_61_early_bytes_wait_for_an_app_that_takes_its_time(running: Proxy) -> None:
    """RFC 9110 7.8: more than one frame, while the app thinks about its 101."""
    think = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await think.wait()
        await accept(connection)
        await connection.send(await connection.body(10))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.connect()
        await until(lambda: backend.connections)
        await client.send(data(stream, b"early"))
        await client.settle()
        await client.send(data(stream, b"later"))
        await client.settle()
        think.set()
        await client.until(lambda: client.seen(stream).body == b"earlylater")
        client.close()


async def test_rule_61_a_refused_upgrade_leaves_early_bytes_aside(running: Proxy) -> None:
    """They were for a WebSocket that never was: the app's next request is not made of them."""
    async with app(answering(b"no", status=b"404 Not Found")) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.connect()
        await client.send(data(stream, b"GET /smuggled HTTP/1.1\r\nHost: app.dev.local\r\n\r\n"))
        assert (await client.reply(stream)).status == 404
        assert (await client.get()).status == 404
        assert not any(b"/smuggled" in head for connection in backend.connections for head in connection.heads)
        client.close()


async def test_rule_66_the_clients_end_closes_only_its_direction(running: Proxy) -> None:
    """RFC 8441 5: END_STREAM is a FIN for the app, whose last words still arrive."""

    async def talk(connection: AppConnection) -> None:
        await accept(connection)
        sent = await connection.to_eof()
        await connection.send(b"got " + sent)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await _opened(client)
        await client.send(data(stream, b"all", end=True))
        seen = await client.reply(stream)
        assert (seen.body, seen.ended) == (b"got all", True)
        client.close()


async def test_rule_66_the_apps_end_closes_only_its_direction(running: Proxy) -> None:
    """RFC 8441 5: a FIN is END_STREAM for the client, whose last words still arrive."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await accept(connection)
        await connection.send(b"bye")
        connection.writer.write_eof()
        got.append(await connection.to_eof())

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await _opened(client)
        seen = await client.reply(stream)
        assert (seen.body, seen.ended) == (b"bye", True)
        await client.send(data(stream, b"last words", end=True))
        await until(lambda: got)
        assert got == [b"last words"]
        await client.settle()
        assert not client.goaways
        client.close()


async def test_rule_67_a_reset_by_the_client_frees_the_app(running: Proxy) -> None:
    """RFC 8441 5: within 0.2 s; and the stream's place is free, however often that happens."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(client.settings[MAX_STREAMS] + 5):
            stream = await _opened(client)
            await client.send(rst_stream(stream))
        await until(lambda: all(connection.writer.is_closing() for connection in backend.connections), within_s=0.5)
        assert len(client.streams) == client.settings[MAX_STREAMS] + 5
        assert {seen.status for seen in client.streams.values()} == {200}
        client.close()


async def test_rule_67_a_reset_by_the_app_is_a_reset_for_the_client(running: Proxy) -> None:
    """RFC 8441 5: a TCP RST is RST_STREAM, CANCEL."""

    async def talk(connection: AppConnection) -> None:
        await accept(connection)
        await connection.body(1)
        reset(connection.writer)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(client.settings[MAX_STREAMS] + 5):
            stream = await _opened(client)
            await client.send(data(stream, b"x"))
            seen = await client.reply(stream)
            assert seen.reset == CANCEL
        client.close()


async def test_rule_67_a_lost_connection_frees_every_tunnel(running: Proxy) -> None:
    """All apps behind a connection that breaks hear of it."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(5):
            await _opened(client)
        client.wire.reset()
        await until(lambda: all(connection.writer.is_closing() for connection in backend.connections))


async def test_rule_65_a_client_that_never_reads_holds_the_app_back(running: Proxy) -> None:
    """RFC 9113 6.9 holds in tunnels: few bytes are taken, and a sibling goes on."""
    sent = 0

    async def talk(connection: AppConnection) -> None:
        nonlocal sent
        await accept(connection)
        if b"/echo" in connection.heads[0]:
            await connection.send(await connection.body(4))
            return
        while True:
            await connection.send(bytes(65536))
            sent += 65536

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, credit=False)
        stream = await _opened(client)
        before = -1
        while sent != before:
            before = sent
            await client.read_for(0.1)
        assert client.seen(stream).size == 65535
        assert sent < 8_000_000
        await client.send(window_update(0, 1000))
        other = await client.connect(path=b"/echo")
        await client.send(data(other, b"ping"))
        await client.until(lambda: client.seen(other).body == b"ping")
        client.close()


async def test_rule_65_an_app_that_never_reads_holds_the_client_back(running: Proxy) -> None:
    """RFC 9113 6.9: no more credit, and a sibling's upload goes on."""

    async def talk(connection: AppConnection) -> None:
        await accept(connection)
        if b"/echo" in connection.heads[0]:
            received = 0
            while received < 1_000_000:
                received += len(await connection.reader.read(65536))
            await connection.send(b"all")
            return
        connection.reader._limit = 1024  # type: ignore[attr-defined]  # read no further by itself than this
        await asyncio.Event().wait()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stalled = await _opened(client)
        sent = await _send_what_is_allowed(client, stalled, 50_000_000)
        assert sent < 12_000_000
        other = await client.connect(path=b"/echo")
        assert await _send_what_is_allowed(client, other, 1_000_000) == 1_000_000
        await client.until(lambda: client.seen(other).body == b"all")
        client.close()


async def _send_what_is_allowed(client: WireH2, stream: int, most: int) -> int:
    """Send DATA as the window of the stream allows, until none is left for a moment."""
    sent = 0
    while sent < most:
        room = client.settings[INITIAL_WINDOW] + client.seen(stream).credit - sent
        if room <= 0:
            await client.settle()
            await client.read_for(0.1)
            if client.settings[INITIAL_WINDOW] + client.seen(stream).credit - sent <= 0:
                break
            continue
        piece = min(room, 16_384, most - sent)
        await client.send(data(stream, bytes(piece)))
        sent += piece
    return sent


async def test_9113_8_5_trailers_in_a_tunnel_are_a_stream_error(running: Proxy) -> None:
    """RFC 9113 8.5: nothing but DATA and stream management."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await _opened(client)
        await client.send(client.raw_head(stream, [(b"x", b"1")]))
        assert (await client.reply(stream)).reset == PROTOCOL_ERROR
        await until(backend.connections[0].writer.is_closing)
        client.close()


async def test_a_tunnel_that_is_silent_is_not_reaped_as_a_stalled_stream(authority: Authority) -> None:
    """Rule 67: no timeout below an hour; body timeouts are not for tunnels."""
    limits = ClientLimits(
        exchange=ExchangeLimits(body_idle_timeout_s=0.1, response_head_timeout_s=0.2), keep_alive_s=0.1
    )
    async with proxy(authority, limits=limits) as running, app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await _opened(client)
        await client.read_for(1.2)
        await client.send(data(stream, b"still here"))
        await client.until(lambda: client.seen(stream).body == b"still here")
        client.close()


async def test_many_tunnels_share_a_connection(running: Proxy) -> None:
    """100 WebSockets, each with its own bytes."""
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        streams = [await client.connect() for _ in range(100)]
        for stream in streams:
            await client.send(data(stream, b"%05d" % stream))
        await client.until(lambda: all(client.seen(stream).size == 5 for stream in streams))
        assert all(client.seen(stream).body == b"%05d" % stream for stream in streams)
        client.close()


# -- an app that speaks HTTP/2 ----------------------------------------------------------------------------------------

CARRIES: dict[SettingCodes | int, int] = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}


async def h2_echo(stream: AppStream) -> None:
    """Take an extended CONNECT and send back what comes."""
    await stream.head(200, (b"sec-websocket-protocol", b"chat"))
    while piece := await stream.piece():
        await stream.send(piece)
    await stream.end()


async def test_rfc_8441_an_app_with_http_2_gets_an_extended_connect(running: Proxy) -> None:
    """RFC 8441 4: :protocol, :scheme, :path and :authority, no key, no Upgrade."""
    async with h2_app(h2_echo, settings=CARRIES) as backend:
        running.route(f'app = "h2c://127.0.0.1:{backend.port}"')
        client = await h2_client(running)
        stream = await client.connect((b"sec-websocket-protocol", b"chat"))
        seen = await client.head_of(stream)
        assert (seen.status, seen.values(b"sec-websocket-protocol")) == (200, [b"chat"])
        await client.send(data(stream, b"hello"))
        await client.until(lambda: seen.body == b"hello")
        await client.send(data(stream, b"", end=True))
        assert (await client.reply(stream)).ended
        asked = backend.streams[0]
        assert asked.value(b":method") == b"CONNECT"
        assert asked.value(b":protocol") == b"websocket"
        assert asked.value(b":path") == b"/ws"
        assert asked.value(b":authority") == b"app.dev.local"
        assert asked.value(b"sec-websocket-version") == b"13"
        assert {name for name, _ in asked.fields}.isdisjoint({b"sec-websocket-key", b"upgrade", b"connection"})
        client.close()


async def test_rfc_8441_a_refusal_by_an_app_with_http_2_is_its_answer(running: Proxy) -> None:
    """RFC 8441 5."""

    async def refuse(stream: AppStream) -> None:
        await stream.answer(b"go away", 403)

    async with h2_app(refuse, settings=CARRIES) as backend:
        running.route(f'app = "h2c://127.0.0.1:{backend.port}"')
        client = await h2_client(running)
        seen = await client.reply(await client.connect())
        assert (seen.status, seen.body) == (403, b"go away")
        client.close()


async def test_rfc_8441_3_an_app_that_does_not_offer_it_is_not_asked(running: Proxy) -> None:
    """RFC 8441 3: :protocol must not be sent to a peer without the setting; the client is told why."""
    async with h2_app(h2_echo) as backend:
        running.route(f'app = "h2c://127.0.0.1:{backend.port}"')
        client = await h2_client(running)
        seen = await client.head_of(await client.connect())
        assert seen.status in (501, 502)
        assert not any(stream.value(b":protocol") for stream in backend.streams)
        client.close()


@pytest.mark.parametrize("who", ["client", "app"])
async def test_resets_pass_through_a_tunnel_of_streams(running: Proxy, who: str) -> None:
    """RFC 8441 5: RST_STREAM on one side is RST_STREAM on the other."""
    codes: list[int] = []

    async def talk(stream: AppStream) -> None:
        await stream.head(200)
        if who == "app":
            await stream.reset(CANCEL)
            return
        codes.append(await stream.was_reset())

    async with h2_app(talk, settings=CARRIES) as backend:
        running.route(f'app = "h2c://127.0.0.1:{backend.port}"')
        client = await h2_client(running)
        stream = await _opened(client)
        if who == "app":
            assert (await client.reply(stream)).reset == CANCEL
        else:
            await client.send(rst_stream(stream))
            await until(lambda: codes)
            assert codes == [CANCEL]
        (state,) = running.service.pool._states.values()
        assert state.shared is not None
        assert [connection.idle for connection in state.shared._connections] == [True]
        client.close()


async def test_half_close_passes_through_a_tunnel_of_streams(running: Proxy) -> None:
    """RFC 8441 5, rule 66: each direction ends by itself."""

    async def talk(stream: AppStream) -> None:
        await stream.head(200)
        await stream.send(b"got " + await stream.body(), end=True)

    async with h2_app(talk, settings=CARRIES) as backend:
        running.route(f'app = "h2c://127.0.0.1:{backend.port}"')
        client = await h2_client(running)
        stream = await _opened(client)
        await client.send(data(stream, b"all", end=True))
        seen = await client.reply(stream)
        assert (seen.body, seen.ended) == (b"got all", True)
        client.close()


async def test_a_websocket_over_http_1_1_reaches_an_app_with_http_2(running: Proxy) -> None:
    """RFC 8441: the client's key is answered by us, for the app has never seen it."""
    async with h2_app(h2_echo, settings=CARRIES) as backend:
        running.route(f'app = "h2c://127.0.0.1:{backend.port}"')
        client = await running.connect()
        key = base64.b64encode(b"0123456789abcdef")
        await client.request(
            path=b"/ws",
            fields=b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + key
            + b"\r\n",
        )
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 101 ")
        right = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        assert b"sec-websocket-accept: " + right.lower() in head.lower()
        await client.send(b"hello")
        assert await client.read(5) == b"hello"
        client.close()
