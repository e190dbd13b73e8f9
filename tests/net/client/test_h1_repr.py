"""What a client connection of HTTP/1 says of itself in a log or a debugger."""

from __future__ import annotations

from tests.compliance.test_upgrade_tunnel import ASK, echo
from tests.net.harness import AppConnection, Proxy, app, until


async def test_a_connection_says_its_phase(running: Proxy) -> None:
    async def slow(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await connection.to_eof()

    async with app(slow) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await until(lambda: running.h1_connections)
        (connection,) = running.h1_connections
        start = f"<H1ClientConnection {connection.id} app.dev.local: "
        assert repr(connection) == f"{start}idle>"
        await client.send(b"GET /x HTTP")
        await until(lambda: "head" in repr(connection))
        await client.send(b"/1.1\r\nHost: app.dev.local\r\n\r\n")
        await client.head()
        await until(lambda: "responding" in repr(connection))
        relay = f"<Relay 'GET app.dev.local/x' to 127.0.0.1:{backend.port}: answering, 2 bytes received>"
        assert repr(connection) == f"{start}responding, {relay}>"
        connection.pause_writing()
        assert repr(connection).endswith(", client stalled>")
        layer = connection._transport._layer  # type: ignore[attr-defined]  # a TlsTransport
        assert repr(layer).startswith("<_CountedTlsLayer established, <H1ClientConnection ")
        client.close()
        await until(lambda: "closed" in repr(connection))


async def test_a_tunnel_says_who_has_ended(running: Proxy) -> None:
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(path=b"/ws", fields=ASK)
        await client.head()
        (connection,) = running.h1_connections
        assert "tunnel" in repr(connection)
        tunnel = connection._tunnel
        assert repr(tunnel).startswith("<Tunnel open, idle 0.")
        client.close()
        await until(lambda: repr(tunnel) == "<Tunnel closed>")
