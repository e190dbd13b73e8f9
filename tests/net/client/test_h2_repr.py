"""What a client connection of HTTP/2 and its streams say of themselves in a log or a debugger."""

from __future__ import annotations

from devtls.net.client.h2 import H2ClientConnection
from tests.compliance.h2wire import h2_client
from tests.compliance.test_h2_websocket import echo
from tests.net.harness import AppConnection, Proxy, app, until


async def test_a_connection_and_its_streams_say_their_state(running: Proxy) -> None:
    async def slow(connection: AppConnection) -> None:
        if b"/silent" in await connection.head():
            await connection.to_eof()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await connection.to_eof()

    async with app(slow) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        waiting, responding = await client.request(path=b"/silent"), await client.request()
        await client.head_of(responding)
        (connection,) = running.service.connections
        assert isinstance(connection, H2ClientConnection)
        start = f"<H2ClientConnection {connection.id} app.dev.local: "
        assert repr(connection) == f"{start}open, 2 streams>"
        assert repr(connection._streams[waiting]) == f"<H2ClientStream {waiting}: waiting>"
        assert repr(connection._streams[responding]) == f"<H2ClientStream {responding}: responding>"
        connection._streams[responding].writable = False
        assert repr(connection._streams[responding]).endswith(": responding, client stalled>")
        connection.pause_writing()
        assert repr(connection) == f"{start}open, 2 streams, client stalled>"
        connection.resume_writing()
        connection.drain()
        await until(lambda: "draining" in repr(connection))
        client.close()
        await until(lambda: repr(connection) == f"{start}closed, 0 streams>")


async def test_a_stream_that_is_a_tunnel_says_so(running: Proxy) -> None:
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.connect()
        await client.head_of(stream)
        (connection,) = running.service.connections
        assert isinstance(connection, H2ClientConnection)
        assert repr(connection._streams[stream]) == f"<H2ClientStream {stream}: tunnel>"
        client.close()
