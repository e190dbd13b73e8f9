"""The PAC port on real sockets: tunnels end in our own TLS, everything else is answered and closed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from devtls.http.pac import PacScope
from devtls.names import Hostname
from devtls.net import pac
from devtls.net.admission import ConnectionTable
from devtls.net.bind import bind
from devtls.net.client.listener import ConnectionLimiter, TlsGate
from devtls.net.pac import PacEntrance, PacServer
from tests.net.h2_stand_ins import NotingTransport
from tests.net.harness import DEADLINE_S, Client, Proxy, Reply, aborted, answering, app, until


async def ended(reader: asyncio.StreamReader) -> bool:
    """Say that the other side has closed."""
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
    return True


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Pac:
    """The open port, and clients of it."""

    def __init__(self, server: PacServer, running: Proxy) -> None:
        self.server = server
        self.running = running
        self.writers: list[asyncio.StreamWriter] = []

    async def raw(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.bound.port)
        self.writers.append(writer)
        writer.write(sent)
        return reader, writer

    async def answer(self, sent: bytes) -> Reply:
        """Send bytes and return the one answer that comes before the end."""
        reader, writer = await self.raw(sent)
        data = await asyncio.wait_for(reader.read(), DEADLINE_S)
        writer.close()
        head, _, body = data.partition(b"\r\n\r\n")
        return Reply(int(head.split(b" ")[1]), head, body)

    async def tunnel(self, port: int = 443, name: str = "app.dev.local", alpn: str = "http/1.1") -> Client:
        """Open a tunnel, and a verified TLS connection in it."""
        reader, writer = await self.raw(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n".encode())
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S) == ESTABLISHED
        context = self.running.client_context()
        context.set_alpn_protocols([alpn])
        await asyncio.wait_for(writer.start_tls(context, server_hostname=name), DEADLINE_S)
        return Client(reader, writer)


@pytest.fixture
async def port(running: Proxy) -> AsyncIterator[Pac]:
    gate, inside = TlsGate(running.service, running.contexts), ConnectionLimiter(running.service)
    scope = PacScope((Hostname("dev.local"), Hostname("test")), frozenset({443, running.port}))
    places = ConnectionTable(lambda: 2)
    server = PacServer(bind(0), scope, PacEntrance(running.service, gate, inside, places))
    await server.start()
    opened = Pac(server, running)
    yield opened
    server.close()
    await aborted(opened.writers)


async def test_a_tunnel_ends_in_our_tls_and_leads_to_the_app(running: Proxy, port: Pac) -> None:
    async with app(answering(b"hello")) as state:
        running.route(f"app = {state.port}")
        client = await port.tunnel()
        await client.request()
        assert (await client.reply()).body == b"hello"
        assert len(running.service.connections) == 1
        client.close()
        await until(lambda: not running.service.connections)
    assert running.noted.failures == []


@pytest.mark.parametrize("which", ["usual", "ours"])
async def test_the_app_hears_of_the_port_that_the_browser_shows(running: Proxy, port: Pac, which: str) -> None:
    public = 443 if which == "usual" else running.port
    async with app(answering()) as state:
        running.route(f"app = {state.port}")
        client = await port.tunnel(public)
        await client.request()
        await client.reply()
        assert b"X-Forwarded-Port: %d\r\n" % public in state.connections[0].heads[0]
        direct = await running.connect()
        await direct.request()
        await direct.reply()
        heads = [head for connection in state.connections for head in connection.heads]
        assert b"X-Forwarded-Port: %d\r\n" % running.port in heads[-1]


async def test_our_own_pages_name_the_port_that_the_browser_shows(running: Proxy, port: Pac) -> None:
    running.route("app = 1")
    client = await port.tunnel(name="none.test")
    await client.request(host=b"none.test", fields=b"Accept: application/json\r\n")
    reply = await client.reply()
    assert reply.status == 404
    assert b'"https://app.dev.local"' in reply.body
    client = await port.tunnel()
    await client.request(host=b"other.test")
    assert b"Open https://other.test itself" in (await client.reply()).body


async def test_http_2_is_spoken_in_a_tunnel(port: Pac) -> None:
    client = await port.tunnel(alpn="h2")
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    assert (await client.read(9))[3] == 4  # SETTINGS


async def test_plain_http_in_a_tunnel_is_sent_to_https(running: Proxy, port: Pac) -> None:
    running.route("app = 1")
    head = b"CONNECT app.dev.local:443 HTTP/1.1\r\nHost: app.dev.local:443\r\n\r\n"
    reader, _ = await port.raw(head + b"GET /x HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    data = await asyncio.wait_for(reader.read(), DEADLINE_S)
    assert data.startswith(ESTABLISHED + b"HTTP/1.1 307 ")
    assert b"\r\nLocation: https://app.dev.local/x\r\n" in data
    assert not len(port.server.places)


async def test_a_client_need_not_wait_for_the_answer(running: Proxy, port: Pac) -> None:
    """The hello may come in the same segment as the head, and the head in pieces."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = running.client_context().wrap_bio(incoming, outgoing, server_hostname="app.dev.local")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    sent = b"CONNECT app.dev.local:443 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" + outgoing.read()
    reader, writer = await port.raw(b"")
    for wire in (sent[:9], sent[9:60], sent[60:]):
        writer.write(wire)
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(reader.readexactly(len(ESTABLISHED)), DEADLINE_S) == ESTABLISHED
    async with asyncio.timeout(DEADLINE_S):
        while True:
            incoming.write(await reader.read(65536))
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"


async def test_a_name_that_the_ca_does_not_speak_for_gets_no_certificate_in_a_tunnel(running: Proxy, port: Pac) -> None:
    """What is asked for inside is judged as on the https port."""
    reader, writer = await port.raw(b"CONNECT app.dev.local:443 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        await writer.start_tls(running.client_context(), server_hostname="example.com")


@pytest.mark.parametrize(
    "target", ["example.com:443", "127.0.0.1:443", "[::1]:443", "10.0.0.1:443", "app.dev.local:22", "app.localhost:443"]
)
async def test_nothing_else_is_reached(running: Proxy, port: Pac, target: str) -> None:
    reply = await port.answer(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert reply.status == 403
    assert reply.field(b"connection") == [b"close"]
    assert reply.body.startswith(b"devtls: 403 devtls does not lead there.")
    assert not running.service.connections


async def test_the_port_of_a_listening_program_is_not_reached(running: Proxy, port: Pac) -> None:
    async with app(answering()) as state:
        for target in (f"app.dev.local:{state.port}", f"127.0.0.1:{state.port}", f"localhost:{state.port}"):
            reply = await port.answer(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            assert reply.status == 403
            reply = await port.answer(f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            assert reply.status == 403
        assert state.connections == []


async def test_the_file_is_served(port: Pac) -> None:
    own = port.server.bound.port
    head = b"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % own
    reply = await port.answer(head * 2)
    assert reply.status == 200
    assert reply.field(b"content-type") == [b"application/x-ns-proxy-autoconfig"]
    assert reply.body.count(b'return "PROXY 127.0.0.1:%d";' % own) == 1
    assert int(reply.field(b"content-length")[0]) == len(reply.body)
    bare = await port.answer(head.replace(b"GET", b"HEAD"))
    assert (bare.head, bare.body) == (reply.head, b"")
    port.server.scope = replace(port.server.scope, zones=(Hostname("shop.internal"),))
    assert b'["shop.internal"]' in (await port.answer(head)).body


async def test_plain_addresses_get_what_port_80_answers(running: Proxy, port: Pac) -> None:
    running.route("app = 1")
    reply = await port.answer(b"GET http://app.dev.local/a?b HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    assert (reply.status, reply.field(b"location")) == (307, [b"https://app.dev.local/a?b"])
    assert (await port.answer(b"GET http://no.dev.local/ HTTP/1.1\r\nHost: no.dev.local\r\n\r\n")).status == 404


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"CONNECT app.dev.local:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT app.dev.local:443 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"CONNECT app.dev.local:443 HTTP/1.1\nHost: app.dev.local\n\n", 400),
        (b"CONNECT app.dev.local:443\r\n\r\n", 400),
        (b"\x05\x01\x00", 0),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
        (b"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + bytes(b"x" * 17000), 431),
        (b"GET /" + b"x" * 9000, 414),
    ],
)
async def test_what_is_malformed_is_answered_and_closed(
    port: Pac, sent: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not status:  # no line end ever comes: the clock ends it
        monkeypatch.setattr(pac, "_TIMEOUT_S", 0.05)
        reader, _ = await port.raw(sent)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        await until(lambda: not len(port.server.places))
        return
    assert (await port.answer(sent)).status == status


async def test_a_second_request_behind_a_refused_one_is_not_looked_at(port: Pac) -> None:
    refused = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"
    allowed = b"CONNECT app.dev.local:443 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n"
    reader, writer = await port.raw(refused + allowed)
    first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
    assert first.startswith(b"HTTP/1.1 403 ")
    with contextlib.suppress(ConnectionError):
        writer.write(allowed)
        assert b"200" not in await asyncio.wait_for(reader.read(), DEADLINE_S)


ASK = b"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def test_who_says_nothing_gives_way_and_takes_no_place_of_a_tunnel(running: Proxy, port: Pac) -> None:
    running.route("app = 1")
    silent = [await port.raw(b"CONNECT") for _ in range(2)]
    client = await port.tunnel()
    assert await ended(silent[0][0])
    await until(lambda: len(port.server.places) == 1)
    silent += [await port.raw(b"") for _ in range(5)]
    assert (await port.answer(ASK)).status == 200
    await client.request()
    assert (await client.reply()).status == 502  # nothing has disturbed the tunnel; there is no app


async def test_a_tunnel_counts_with_the_clients_of_the_https_port(running: Proxy, port: Pac) -> None:
    running.service.limits = replace(running.service.limits, max_connections=1)
    first = await port.tunnel()
    await until(lambda: len(running.service.connections) == 1)
    (idle,) = running.service.connections
    second = await port.tunnel()
    assert await ended(first.reader)
    await until(lambda: len(running.service.connections) == 1)
    assert idle not in running.service.connections
    second.close()


async def test_nobody_new_is_let_in_while_the_proxy_drains(running: Proxy, port: Pac) -> None:
    running.service.draining = True
    turned_away, _ = await port.raw(ASK)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(turned_away.read(), DEADLINE_S) == b""


async def test_tunnels_go_on_when_the_port_closes(running: Proxy, port: Pac) -> None:
    async with app(answering(b"still")) as state:
        running.route(f"app = {state.port}")
        client = await port.tunnel()
        port.server.close()
        await client.request()
        assert (await client.reply()).body == b"still"


async def test_a_connection_says_its_state(port: Pac) -> None:
    connection = pac.PacConnection(port.server)
    connection.connection_made(NotingTransport(peername=("127.0.0.1", 5)))
    assert repr(connection) == "<PacConnection waiting>"
    connection.data_received(b"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert repr(connection) == "<PacConnection responded>"
    connection.connection_lost(None)
