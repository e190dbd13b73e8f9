"""TLS, names and the requests that a connection may carry (rules 87-90, 98 and 102)."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from devtls.net.tls.handshake import Alert
from tests.compliance.wire import TlsWire, wire_client
from tests.net.harness import DEADLINE_S, Proxy, Reply, answering, app, until


async def raw(running: Proxy, wire: bytes, *, port: int = 0) -> bytes:
    """Send bytes to the TLS port without TLS; return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port or running.port)
    writer.write(wire)
    try:
        return await asyncio.wait_for(reader.read(-1), DEADLINE_S)
    finally:
        writer.close()


def parsed(answer: bytes) -> Reply:
    """Return a whole answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return Reply(int(head.split(b" ", 2)[1]), head + b"\r\n", body)


# -- names ------------------------------------------------------------------------------------------------------------


async def test_rule_87_a_host_that_is_not_the_connections_name_is_421(running: Proxy) -> None:
    """RFC 9110 15.5.20: the certificate was made for another name; the connection goes on."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}\nother = {backend.port}")
        client = await running.connect()
        await client.request(host=b"other.dev.local")
        assert (await client.reply()).status == 421
        await client.request(host=b"APP.dev.local.:8443")
        assert (await client.reply()).status == 200
        client.close()
        assert len(backend.connections) == 1


async def test_rule_87_a_name_in_a_zone_without_a_route_is_404_with_the_list(running: Proxy) -> None:
    """RFC 9110 15.5.5: over TLS, with a certificate that is good."""
    running.route("app = 1")
    client = await running.connect("nobody.dev.local")
    await client.request(host=b"nobody.dev.local")
    reply = await client.reply()
    assert reply.status == 404
    assert b"https://app.dev.local" in reply.body
    client.close()


async def test_a_404_for_a_browser_escapes_what_it_was_asked(running: Proxy) -> None:
    """Text from the network is text."""
    running.route("app = 1")
    client = await running.connect("nobody.dev.local")
    await client.request(path=b"/<script>", host=b"nobody.dev.local", fields=b"Accept: text/html\r\n")
    reply = await client.reply()
    assert reply.field(b"content-type")[0].startswith(b"text/html")
    assert b"<script>" not in reply.body
    client.close()


@pytest.mark.parametrize("name", ["evil.example.com", "dev.local.evil.com", "local"])
async def test_rule_88_a_name_outside_the_zones_gets_an_alert(running: Proxy, name: str) -> None:
    """RFC 6066 3: unrecognized_name, before any key is made."""
    before = running.contexts.minted
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        await wire_client(running, name)
    assert running.contexts.minted == before
    assert running.noted.failures[-1].sni == name


async def test_rule_88_without_sni_only_localhost_is_served(running: Proxy) -> None:
    """RFC 9110 7.4: never a first or default app."""
    async with app(answering(b"local")) as backend:
        running.route(f"localhost = {backend.port}\napp = {backend.port}")
        for host, status in (
            (b"127.0.0.1", 200),
            (b"localhost:8443", 200),
            (b"[::1]", 200),
            (b"app.dev.local", 421),
            (b"evil.example.com", 421),
        ):
            client = await wire_client(running, None)
            await client.request(host=host)
            assert (await client.reply()).status == status, host
            client.close()


async def test_rule_88_without_sni_and_route_the_list_is_shown(running: Proxy) -> None:
    """RFC 9110 15.5.5."""
    running.route("app = 1")
    client = await wire_client(running, None)
    await client.request(host=b"127.0.0.1")
    assert (await client.reply()).status == 404
    client.close()


async def test_rule_88_a_1_0_client_without_host_is_421(running: Proxy) -> None:
    """RFC 9112 3.2."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.reply()).status == 421
        client.close()
        assert not backend.connections


async def test_rule_89_a_ticket_of_one_name_opens_no_other(running: Proxy) -> None:
    """RFC 8446 4.2.11: a session is resumed for its own name only."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}\nother = {backend.port}")
        context = running.client_context()
        session = await _session(running, context, "app.dev.local")
        assert await _resumes(running, context, session, "app.dev.local")
        assert not await _resumes(running, context, session, "other.dev.local")


async def _session(running: Proxy, context: ssl.SSLContext, name: str) -> ssl.SSLSession:
    client = await wire_client(running, name, context=context)
    await client.request(host=name.encode())
    assert (await client.reply()).status == 200
    session = client.wire.ssl_object.session
    assert session is not None
    client.close()
    return session


async def _resumes(running: Proxy, context: ssl.SSLContext, session: ssl.SSLSession, name: str) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    wire = TlsWire(reader, writer, context, name)
    wire.ssl_object.session = session
    await wire.handshake()
    resumed = wire.ssl_object.session_reused
    writer.close()
    return bool(resumed)


async def test_rule_90_a_client_that_offers_only_unknown_protocols_gets_an_alert(running: Proxy) -> None:
    """RFC 7301 3.2."""
    context = running.client_context()
    context.set_alpn_protocols(["spdy/3"])
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        await wire_client(running, context=context)


@pytest.mark.parametrize("protocols", [b"\x00\x10\x00\x02\x00\x00", b"\x00\x10\x00\x00"], ids=["empty list", "no list"])
async def test_rule_90_an_empty_list_of_protocols_is_a_decode_error(running: Proxy, protocols: bytes) -> None:
    """RFC 7301 3.1: two bytes at least; RFC 8446 6.2: decode_error for what is out of its range."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = running.client_context()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="app.dev.local").do_handshake()
    hello = bytearray(outgoing.read())
    real = b"\x00\x10\x00\x05\x00\x03\x02h2"
    assert real in hello
    shorter = len(real) - len(protocols)
    hello = hello.replace(real, protocols)
    extensions = 5 + 4 + 34 + 1 + hello[43]  # behind record, message, version and random, session
    extensions += 2 + int.from_bytes(hello[extensions : extensions + 2])
    extensions += 1 + hello[extensions]
    for place, size in ((3, 2), (6, 3), (extensions, 2)):
        length = int.from_bytes(hello[place : place + size]) - shorter
        hello[place : place + size] = length.to_bytes(size)
    answer = await raw(running, bytes(hello))
    assert answer[:1] == b"\x15"
    assert answer[-1] == Alert.DECODE_ERROR


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA"])
async def test_tls_1_2_without_aead_is_refused(running: Proxy, cipher: str) -> None:
    """RFC 9325 4.2."""
    context = running.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher + ":@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        await wire_client(running, context=context)


@pytest.mark.parametrize(
    "cipher",
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
)
async def test_tls_1_2_with_aead_is_served(running: Proxy, cipher: str) -> None:
    """RFC 9325 4.2; RFC 9113 9.2.2 wants the first for HTTP/2."""
    context = running.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    client = await wire_client(running, context=context)
    assert client.wire.ssl_object.cipher()[0] == cipher  # type: ignore[index]  # the handshake is done
    client.close()


async def test_rule_102_a_name_is_minted_once_for_many_handshakes(running: Proxy) -> None:
    """30 at once, one leaf."""
    before = running.contexts.minted
    clients = await asyncio.gather(*(wire_client(running, "crowd.dev.local") for _ in range(30)))
    assert running.contexts.minted == before + 1
    for client in clients:
        client.close()


async def test_a_client_that_does_not_trust_us_is_reported(running: Proxy) -> None:
    """RFC 8446 6.2: its alert says that its store lacks the root."""
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await wire_client(running, context=context)
    await until(lambda: running.noted.failures)
    failure = running.noted.failures[0]
    assert failure.sni == "app.dev.local"
    assert failure.refused_certificate


# -- bytes that are no TLS --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\x16\x03\x01\xff\xff" + b"\xff" * 100,
        b"\x16\x02\x00\x00\x01\x00",
    ],
    ids=["no hello", "oversized", "old version"],
)
async def test_b4_a_record_that_is_no_client_hello_gets_an_alert(running: Proxy, wire: bytes) -> None:
    """RFC 8446 6.2: at once, and the listener goes on."""
    answer = await raw(running, wire)
    assert answer[:1] == b"\x15"
    assert answer[-1] in {Alert.DECODE_ERROR, Alert.PROTOCOL_VERSION}
    await _still_serves(running)


@pytest.mark.parametrize("wire", [b"\x80\x2e\x01\x00\x02", b"\0" * 64, b"\xff\xfe\xfd\r\n\r\n", b"SSH-2.0-x\r\n\r\n"])
async def test_b4_garbage_on_the_tls_port_is_answered_or_closed(running: Proxy, wire: bytes) -> None:
    """Nothing crashes and nothing waits: an alert, or a 400 for what might be HTTP."""
    answer = await raw(running, wire)
    assert answer[:1] == b"\x15" or parsed(answer).status in {400, 505}
    await _still_serves(running)


async def _still_serves(running: Proxy) -> None:
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get()).status == 200


async def test_b4_a_hello_that_comes_byte_by_byte_is_understood(running: Proxy) -> None:
    """RFC 8446 5.1: a ClientHello may come in any number of segments and records."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        wire = TlsWire(reader, writer, running.client_context(), "app.dev.local")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        hello = running.client_context().wrap_bio(incoming, outgoing, server_hostname="app.dev.local")
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        sent = outgoing.read()
        for place in range(0, len(sent), 7):
            writer.write(sent[place : place + 7])
            await asyncio.sleep(0)
        answer = await asyncio.wait_for(reader.read(5), DEADLINE_S)
        assert answer[:1] == b"\x16"
        assert wire.ssl_object.server_hostname == "app.dev.local"
        writer.close()


@pytest.mark.parametrize("where", ["the TLS port", "the plain port"])
async def test_rule_98_plain_http_is_redirected_for_routed_names(running: Proxy, where: str) -> None:
    """RFC 9110 15.4.8: 307, method and target kept; people type http:// by habit."""
    running.route("app = 1")
    port = running.port if where == "the TLS port" else running.http_port
    reply = parsed(await raw(running, b"POST /a%2Fb?c HTTP/1.1\r\nHost: app.dev.local:1\r\n\r\n", port=port))
    assert reply.status == 307
    assert reply.field(b"location") == [b"https://app.dev.local:%d/a%%2Fb?c" % running.port]


@pytest.mark.parametrize("host", [b"evil.example.com", b"nobody.dev.local", b"127.0.0.1"])
async def test_rule_98_plain_http_for_other_names_learns_nothing(running: Proxy, host: bytes) -> None:
    """A page on the internet may point its name at 127.0.0.1: no redirect, no route, no name."""
    running.route("secret = 1")
    for port in (running.port, running.http_port):
        reply = parsed(await raw(running, b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host, port=port))
        assert reply.status in {400, 404, 421}
        assert not reply.field(b"location")
        assert b"secret" not in reply.body


async def test_rule_98_plain_http_with_a_body_gets_its_redirect_whole(running: Proxy) -> None:
    """RFC 9112 9.6: 5 MB are on their way, no reset destroys the answer."""
    running.route("app = 1")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.http_port)
    writer.write(b"POST / HTTP/1.1\r\nHost: app.dev.local\r\nContent-Length: 5000000\r\n\r\n")
    for _ in range(5):
        writer.write(bytes(1_000_000))
        await asyncio.wait_for(writer.drain(), DEADLINE_S)
    reply = parsed(await asyncio.wait_for(reader.read(-1), DEADLINE_S))
    assert reply.status == 307
    writer.close()


async def test_rule_75_a_handshake_that_never_ends_is_closed(running: Proxy) -> None:
    """The clock runs from accept, and the half of a hello does not stop it."""
    from devtls.net.bind import bind
    from devtls.net.client.listener import TlsGate, https_protocol
    from devtls.net.listener import Listener

    bound = bind(0)
    listener = Listener(bound, https_protocol(running.service, TlsGate(running.service, running.contexts, 0.1)))
    await listener.start()
    try:
        async with asyncio.timeout(1):
            await raw(running, b"\x16\x03\x01\x02\x00\x01", port=bound.port)
    finally:
        listener.stop()


# -- loops ------------------------------------------------------------------------------------------------------------


async def test_f17_a_route_to_itself_ends_in_508(running: Proxy) -> None:
    """RFC 9110 7.6.3 and 15.5.20: within a second, by our own pseudonym in Via."""
    running.route(f'loop = {{ target = "https://loop.localhost:{running.port}", verify = false }}')
    client = await running.connect("loop.localhost")
    async with asyncio.timeout(1):
        await client.request(host=b"loop.localhost")
        reply = await client.reply()
    assert reply.status == 508
    client.close()


async def test_f17_an_app_that_copies_via_is_no_loop(running: Proxy) -> None:
    """RFC 9110 7.6.3: fewer than five times is somebody's copy."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        fields = b"Via: 1.1 devtls-test\r\n"
        assert (await running.get(fields=fields * 4)).status == 200
        assert (await running.get(fields=fields * 5)).status == 508
