"""The TLS layer: handshakes and their alerts, ends that are clean and ends that are not, and no byte lost between."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.names import Hostname
from devtls.net.tls.client import ClientTlsLayer
from devtls.net.tls.handshake import Alert, HandshakeLimiter
from devtls.net.upstream.dial import UpstreamTlsLayer
from devtls.pki.authority import Authority
from tests.conftest import RequireTool
from tests.net.harness import issuer_for, until
from tests.net.memory_tls import Hooks, Link, Peer, Recorder, established

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


@pytest.fixture(scope="module")
def server_context(authority: Authority) -> ssl.SSLContext:
    return make_server_context(authority)


def make_server_context(authority: Authority, name: str = "app.dev.local") -> ssl.SSLContext:
    leaf = authority.issue(
        Hostname(name),
        now=datetime.now(UTC),
        key=ec.generate_private_key(ec.SECP256R1()),
        serial=x509.random_serial_number(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with issuer_for(authority).pem_path(leaf.chain_pem + leaf.key_pem) as (path, password):
        context.load_cert_chain(path, password=password)
    return context


def trusting(authority: Authority, version: ssl.TLSVersion = V13) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.root_pem.decode())
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["http/1.1"])
    return context


def distrusting(version: ssl.TLSVersion = V13) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    return context


@pytest.fixture
def app() -> Recorder:
    return Recorder()


@pytest.fixture
def hooks(server_context: ssl.SSLContext, app: Recorder) -> Hooks:
    return Hooks(server_context, app)


@pytest.fixture
async def link(hooks: Hooks, authority: Authority) -> Link:
    """An established TLS 1.3 connection."""
    return established(hooks, trusting(authority))


# -- handshakes ------------------------------------------------------------------------------------------------------


async def turn() -> None:
    """Let the loop come to the end of its turn, when everything is written."""
    await asyncio.sleep(0)


@VERSIONS
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
async def test_a_handshake_in_pieces_of_any_size_leads_to_the_application(
    hooks: Hooks, app: Recorder, authority: Authority, version: ssl.TLSVersion, piece: int
) -> None:
    link = Link(ClientTlsLayer(hooks), Peer(trusting(authority, version), name="app.dev.local"))
    link.pump(piece=piece)
    assert link.peer.done
    assert hooks.asked == [("app.dev.local", "http/1.1")]
    link.peer.tls.write(b"hello")
    link.pump(piece=piece)
    assert app.received == b"hello"
    app.transport.write(b"hi")
    assert app.transport.get_write_buffer_size() > 0
    await turn()
    link.pump(piece=piece)
    assert link.peer.read() == b"hi"
    assert hooks.failures == []


async def test_data_in_the_same_segment_as_the_finished_message_is_delivered(
    hooks: Hooks, app: Recorder, authority: Authority
) -> None:
    link = Link(ClientTlsLayer(hooks), Peer(trusting(authority), name="app.dev.local"))
    link.peer.step()
    link.layer.data_received(link.peer.out())
    link.peer.feed(link.tcp.take())
    link.peer.step()
    link.peer.tls.write(b"GET / HTTP/1.1\r\n\r\n")
    link.layer.data_received(link.peer.out())
    assert app.received == b"GET / HTTP/1.1\r\n\r\n"


async def test_a_refused_name_gets_its_alert_before_anything_else(hooks: Hooks, authority: Authority) -> None:
    hooks.chosen = Alert.UNRECOGNIZED_NAME
    link = Link(ClientTlsLayer(hooks), Peer(trusting(authority), name="evil.example.com"))
    link.peer.step()
    link.layer.data_received(link.peer.out())
    alert = link.tcp.take()
    assert alert == b"\x15\x03\x03\x00\x02\x02\x70"
    assert link.tcp.closed
    assert not link.tcp.aborted
    link.peer.feed(alert)
    link.peer.step()
    assert link.peer.error is not None
    assert "UNRECOGNIZED_NAME" in str(link.peer.error)
    (failure,) = hooks.failures
    assert (failure.sni, failure.reason, failure.client_ip) == ("evil.example.com", "unrecognized name", "127.0.0.1")
    assert not failure.refused_certificate
    link.layer.connection_lost(None)
    assert len(hooks.failures) == 1


async def test_a_first_message_that_is_no_hello_gets_decode_error(hooks: Hooks) -> None:
    layer = ClientTlsLayer(hooks)
    link = Link(layer, Peer(distrusting(), name="x"))
    layer.data_received(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00")
    layer.data_received(b"more")
    assert link.tcp.take() == b"\x15\x03\x03\x00\x02\x02\x32"
    assert [failure.reason for failure in hooks.failures] == ["the first message is no ClientHello"]


@VERSIONS
async def test_a_client_that_does_not_know_our_ca_is_reported_as_such(hooks: Hooks, version: ssl.TLSVersion) -> None:
    link = Link(ClientTlsLayer(hooks), Peer(distrusting(version), name="app.dev.local"))
    link.pump()
    assert link.peer.error is not None
    (failure,) = hooks.failures
    assert failure.refused_certificate
    assert failure.sni == "app.dev.local"
    assert link.tcp.closed
    assert hooks.asked == []


async def test_our_alert_of_a_failed_handshake_reaches_the_client(hooks: Hooks, authority: Authority) -> None:
    assert isinstance(hooks.chosen, ssl.SSLContext)
    strict = make_server_context(authority)
    strict.minimum_version = V13
    hooks.chosen = strict
    link = Link(ClientTlsLayer(hooks), Peer(trusting(authority, V12), name="app.dev.local"))
    link.pump()
    assert link.peer.error is not None
    assert "PROTOCOL_VERSION" in str(link.peer.error)
    assert [failure.reason for failure in hooks.failures] == ["unsupported protocol"]


async def test_a_slow_handshake_is_ended_and_reported_once(hooks: Hooks, authority: Authority) -> None:
    hooks.handshake_timeout_s = 0.02
    link = Link(ClientTlsLayer(hooks), Peer(trusting(authority), name="app.dev.local"))
    link.peer.step()
    link.layer.data_received(link.peer.out())
    await until(lambda: link.tcp.closed)
    link.layer.connection_lost(None)
    assert [failure.reason for failure in hooks.failures] == ["the handshake timed out"]


async def test_the_handshakes_clock_stops_when_it_is_done(hooks: Hooks, authority: Authority) -> None:
    hooks.handshake_timeout_s = 0.02
    link = established(hooks, trusting(authority))
    await asyncio.sleep(0.05)
    assert not link.tcp.is_closing()


async def test_a_connection_that_never_says_anything_is_ended_without_a_report(hooks: Hooks) -> None:
    hooks.handshake_timeout_s = 0.02
    link = Link(ClientTlsLayer(hooks), Peer(distrusting(), name="x"))
    await until(lambda: link.tcp.closed)
    assert hooks.failures == []


@pytest.mark.parametrize("first", [b"", b"\x16\x03"])
async def test_a_port_probe_is_no_failure(hooks: Hooks, first: bytes) -> None:
    layer = ClientTlsLayer(hooks)
    Link(layer, Peer(distrusting(), name="x"))
    if first:
        layer.data_received(first)
    assert not layer.eof_received()
    layer.connection_lost(None)
    assert hooks.failures == []


@pytest.mark.parametrize("how", ["eof", "lost"])
async def test_a_client_that_leaves_within_the_handshake_is_a_failure(
    hooks: Hooks, authority: Authority, how: str
) -> None:
    link = Link(ClientTlsLayer(hooks), Peer(trusting(authority), name="app.dev.local"))
    link.peer.step()
    link.layer.data_received(link.peer.out())
    if how == "eof":
        assert not link.layer.eof_received()
    link.layer.connection_lost(None if how == "eof" else ConnectionResetError())
    (failure,) = hooks.failures
    assert "handshake" in failure.reason


async def test_bytes_that_come_while_a_handshake_waits_for_its_turn_are_kept(
    hooks: Hooks, authority: Authority
) -> None:
    handshake_limiter = HandshakeLimiter(per_turn=1)
    handshake_limiter.admit(lambda: None)
    link = Link(ClientTlsLayer(hooks, handshake_limiter), Peer(trusting(authority), name="app.dev.local"))
    link.peer.step()
    hello = link.peer.out()
    link.layer.data_received(hello + b"\x14\x03\x03")
    link.layer.data_received(b"\x00\x01\x01")  # the rest of a ChangeCipherSpec, as in RFC 8446 D.4
    assert link.tcp.take() == b""
    await until(lambda: link.tcp.written)
    assert hooks.failures == []


async def test_a_client_that_leaves_while_it_waits_for_its_turn_costs_nothing(
    hooks: Hooks, authority: Authority
) -> None:
    handshake_limiter = HandshakeLimiter(per_turn=1)
    handshake_limiter.admit(lambda: None)
    link = Link(ClientTlsLayer(hooks, handshake_limiter), Peer(trusting(authority), name="app.dev.local"))
    link.peer.step()
    link.layer.data_received(link.peer.out())
    link.layer.connection_lost(None)
    await asyncio.sleep(0.01)
    assert link.tcp.take() == b""
    assert hooks.failures == []


async def test_plain_http_is_passed_on_with_its_first_bytes(hooks: Hooks) -> None:
    layer = ClientTlsLayer(hooks)
    link = Link(layer, Peer(distrusting(), name="x"))
    layer.data_received(b"GET / HTTP/1.1\r\n")
    assert hooks.in_plain.received == b"GET / HTTP/1.1\r\n"
    assert hooks.in_plain.transport is link.tcp
    assert link.tcp.protocol is hooks.in_plain


@VERSIONS
async def test_a_ticket_resumes_with_its_own_name_and_no_other(
    hooks: Hooks, authority: Authority, version: ssl.TLSVersion
) -> None:
    client = trusting(authority, version)
    first = established(hooks, client)
    session = first.peer.tls.session
    assert session is not None
    again = Link(ClientTlsLayer(hooks), Peer(client, name="app.dev.local", session=session))
    again.pump()
    assert again.peer.tls.session_reused
    hooks.chosen = make_server_context(authority, "api.dev.local")
    other = Link(ClientTlsLayer(hooks), Peer(client, name="api.dev.local", session=session))
    other.pump()
    assert other.peer.done
    assert not other.peer.tls.session_reused


# -- data ------------------------------------------------------------------------------------------------------------


async def test_what_arrives_while_reading_is_paused_comes_later_in_order(link: Link, app: Recorder) -> None:
    app.transport.pause_reading()
    assert link.tcp.paused
    assert not app.transport.is_reading()
    for number in range(5):
        link.send(b"%d" % number * 20000)
    assert app.received == b""
    app.transport.resume_reading()
    assert not link.tcp.paused
    await until(lambda: len(app.received) == 100000)
    assert app.received == b"".join(b"%d" % number * 20000 for number in range(5))


async def test_a_pause_from_within_a_burst_holds_the_rest_back(link: Link, app: Recorder) -> None:
    taken: list[bytes] = []

    def take(data: bytes) -> None:
        taken.append(data)
        app.transport.pause_reading()

    app.data_received = take  # type: ignore[method-assign]  # the recorder with one habit more
    link.send(b"a" * 16384 + b"b" * 16384 + b"c")
    for _ in range(2):
        assert len(taken) == 1
        taken.clear()
        app.transport.resume_reading()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert taken == [b"c"]


async def test_pausing_and_resuming_within_one_call_loses_nothing(link: Link, app: Recorder) -> None:
    keep = app.data_received

    def flicker(data: bytes) -> None:
        app.transport.pause_reading()
        keep(data)
        app.transport.resume_reading()

    app.data_received = flicker  # type: ignore[method-assign]  # the recorder with one habit more
    sent = bytes(range(256)) * 400
    link.send(sent)
    await until(lambda: len(app.received) == len(sent))
    assert app.received == sent


async def test_a_burst_of_more_than_a_share_is_delivered_over_turns(link: Link, app: Recorder) -> None:
    sent = bytes(range(256)) * 4096
    link.send(sent)
    assert 200_000 < len(app.received) < 300_000
    assert link.tcp.paused
    assert app.transport.is_reading()
    await until(lambda: len(app.received) == len(sent))
    assert app.received == sent
    await asyncio.sleep(0)
    assert not link.tcp.paused


async def test_small_records_count_for_more_than_their_bytes(link: Link, app: Recorder) -> None:
    burst = b""
    for _ in range(2_000):
        link.peer.tls.write(b"x")
        burst += link.peer.out()
    link.layer.data_received(burst)
    assert len(app.received) < 520
    await until(lambda: len(app.received) == 2_000)


async def test_records_that_take_long_end_a_turn(link: Link, app: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("devtls.net.tls.layer.perf_counter", lambda: float(next(clock)))
    link.send(bytes(160_000))
    assert len(app.received) == 16_384
    await until(lambda: len(app.received) == 160_000)


async def test_the_peers_end_waits_behind_what_is_left_of_its_burst(link: Link, app: Recorder) -> None:
    link.peer.tls.write(bytes(600_000))
    link.layer.data_received(link.peer.out())
    link.layer.eof_received()
    assert app.calls == []
    await until(lambda: app.calls == ["eof"])
    assert len(app.received) == 600_000
    assert link.layer.truncated


async def test_a_pause_outlasts_the_turn(link: Link, app: Recorder) -> None:
    link.send(bytes(600_000))
    app.transport.pause_reading()
    taken = len(app.received)
    for _ in range(5):
        await turn()
    assert len(app.received) == taken
    app.transport.resume_reading()
    await until(lambda: len(app.received) == 600_000)


async def test_a_bug_in_what_takes_held_back_data_ends_the_connection(link: Link, app: Recorder) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
    error = ArithmeticError("a bug")

    def fail(data: bytes) -> None:
        raise error

    app.data_received = fail  # type: ignore[method-assign]  # the recorder with a bug
    app.transport.pause_reading()
    link.send(b"held back")
    app.transport.resume_reading()
    await turn()
    assert told == [error]
    assert link.tcp.aborted


async def test_a_large_write_is_one_write_below(link: Link, app: Recorder) -> None:
    before = link.tcp.writes
    body = bytes(range(256)) * 8192
    app.transport.write(body)
    assert link.tcp.writes == before + 1
    link.pump()
    assert link.peer.read() == body


async def test_backpressure_is_passed_up(link: Link, app: Recorder) -> None:
    link.layer.pause_writing()
    link.layer.resume_writing()
    assert app.calls == ["pause", "resume"]


async def test_bytes_that_are_no_record_end_the_connection(link: Link, app: Recorder) -> None:
    link.layer.data_received(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert link.tcp.aborted
    link.layer.connection_lost(None)
    assert app.lost == [None]
    assert app.received == b""


async def test_another_protocol_takes_over_between_two_records(link: Link, app: Recorder) -> None:
    tunnel = Recorder()

    def switch(data: bytes) -> None:
        app.transport.set_protocol(tunnel)

    app.data_received = switch  # type: ignore[method-assign]  # the recorder with one habit more
    link.peer.tls.write(b"upgrade")
    link.peer.tls.write(b"frames")
    link.layer.data_received(link.peer.out())
    assert tunnel.received == b"frames"
    assert app.transport.get_protocol() is tunnel


# -- ends ------------------------------------------------------------------------------------------------------------


async def test_close_says_close_notify_first(link: Link, app: Recorder) -> None:
    app.transport.write(b"bye")
    app.transport.close()
    assert app.transport.is_closing()
    app.transport.write(b"too late")
    assert link.tcp.closed
    link.pump()
    assert link.peer.read() == b"bye"
    assert link.peer.saw_close_notify


async def test_a_cut_is_seen_as_a_cut(link: Link, app: Recorder) -> None:
    app.transport.write(b"half")
    link.layer.cut()
    link.pump()
    link.peer.feed_eof()
    assert link.peer.tls.read(4) == b"half"
    assert not link.peer.saw_close_notify


async def test_an_end_with_close_notify_is_clean(link: Link, app: Recorder) -> None:
    link.peer.tls.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        link.peer.tls.unwrap()
    link.layer.data_received(link.peer.out())
    assert app.received == b"last"
    assert app.calls == ["eof"]
    assert app.transport.get_extra_info("truncated") is False
    assert link.tcp.closed


async def test_an_end_without_close_notify_is_a_truncation(link: Link, app: Recorder) -> None:
    link.send(b"half")
    link.layer.eof_received()
    assert app.received == b"half"
    assert app.calls == ["eof"]
    assert app.transport.get_extra_info("truncated") is True


@pytest.mark.parametrize("clean", [True, False])
async def test_an_end_while_reading_is_paused_is_heard_after_the_data(link: Link, app: Recorder, clean: bool) -> None:
    app.transport.pause_reading()
    link.send(b"x" * 40000)
    if clean:
        with pytest.raises(ssl.SSLWantReadError):
            link.peer.tls.unwrap()
        link.layer.data_received(link.peer.out())
    link.layer.eof_received()
    assert app.calls == []
    app.transport.resume_reading()
    await until(lambda: app.calls == ["eof"])
    assert len(app.received) == 40000
    assert app.transport.get_extra_info("truncated") is not clean


async def test_after_the_peers_end_the_other_direction_goes_on(link: Link, app: Recorder) -> None:
    app.half_open = True
    with pytest.raises(ssl.SSLWantReadError):
        link.peer.tls.unwrap()
    link.layer.data_received(link.peer.out())
    assert link.layer.eof_received()  # TCP's own FIN
    assert app.calls == ["eof"]
    app.transport.write(b"the rest")
    app.transport.close()
    link.peer.feed(link.tcp.take())
    assert link.tcp.closed


async def test_after_our_end_the_peers_data_still_comes(link: Link, app: Recorder) -> None:
    assert app.transport.can_write_eof()
    app.transport.write_eof()
    app.transport.write_eof()
    assert not link.tcp.is_closing()
    link.send(b"more")
    assert app.received == b"more"
    link.pump()
    assert link.peer.saw_close_notify


async def test_our_end_while_data_is_held_back_loses_none_of_it(link: Link, app: Recorder) -> None:
    app.transport.pause_reading()
    link.send(b"1" * 50000)
    app.transport.write_eof()
    link.send(b"2" * 50000)
    app.transport.resume_reading()
    await until(lambda: len(app.received) == 100000)
    assert app.received == b"1" * 50000 + b"2" * 50000


async def test_a_lost_connection_is_told_to_the_application_once(link: Link, app: Recorder) -> None:
    error = ConnectionResetError()
    link.layer.connection_lost(error)
    app.transport.write(b"to nobody")
    app.transport.close()
    assert app.lost == [error]
    assert link.tcp.take() == b""


async def test_abort_closes_tcp_at_once(link: Link, app: Recorder) -> None:
    app.transport.abort()
    assert link.tcp.aborted
    assert app.transport.is_closing()


# -- the client side -------------------------------------------------------------------------------------------------


class ClientSide:
    def __init__(self, context: ssl.SSLContext, server: ssl.SSLContext, name: str = "app.dev.local") -> None:
        self.outcome: list[str | None] = []
        self.app = Recorder()
        self.link = Link(UpstreamTlsLayer(context, name, self.app, self.outcome.append), Peer(server))


@VERSIONS
async def test_the_client_side_verifies_and_carries(
    server_context: ssl.SSLContext, authority: Authority, version: ssl.TLSVersion
) -> None:
    side = ClientSide(trusting(authority, version), server_context)
    side.link.pump()
    await until(lambda: side.outcome)
    assert side.outcome == [None]
    side.app.transport.write(b"request")
    await turn()
    side.link.pump()
    assert side.link.peer.read() == b"request"
    side.link.send(b"answer")
    assert side.app.received == b"answer"
    assert side.app.transport.get_extra_info("ssl_object").version() == ("TLSv1.2" if version is V12 else "TLSv1.3")


async def test_the_client_side_says_why_it_refuses_and_tells_the_server(server_context: ssl.SSLContext) -> None:
    side = ClientSide(distrusting(), server_context)
    side.link.pump()
    assert side.outcome == ["unable to get local issuer certificate"] or "self-signed" in str(side.outcome)
    assert side.link.tcp.closed
    assert side.link.peer.done or "UNKNOWN_CA" in str(side.link.peer.error)


@pytest.mark.parametrize("how", ["eof", "lost"])
async def test_a_server_that_leaves_within_the_handshake_is_reported_once(
    server_context: ssl.SSLContext, authority: Authority, how: str
) -> None:
    side = ClientSide(trusting(authority), server_context)
    if how == "eof":
        side.link.layer.eof_received()
    side.link.layer.connection_lost(None)
    assert len(side.outcome) == 1
    assert "handshake" in str(side.outcome[0])


# -- over sockets ----------------------------------------------------------------------------------------------------


class Echo(asyncio.Protocol):
    """Sends back what it gets, and reads no more while the other side is slow."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


@pytest.fixture
async def echo_port(server_context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that echoes behind our TLS layer, on a real socket."""

    def make() -> asyncio.Protocol:
        return ClientTlsLayer(Hooks(server_context, Echo()))

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await asyncio.sleep(0.01)


@VERSIONS
async def test_many_megabytes_come_back_unchanged(
    echo_port: int, authority: Authority, version: ssl.TLSVersion
) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", echo_port, ssl=trusting(authority, version), server_hostname="app.dev.local"
    )
    body = bytes(range(251)) * 33000  # 8 MB, out of step with every record

    async def send() -> None:
        for at in range(0, len(body), 100_003):
            writer.write(body[at : at + 100_003])
            await writer.drain()

    sending = asyncio.create_task(send())
    assert await asyncio.wait_for(reader.readexactly(len(body)), 30) == body
    await sending
    writer.close()
    await writer.wait_closed()


async def test_new_keys_in_the_middle_of_a_connection_change_nothing(echo_port: int, require_tool: RequireTool) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    client = await asyncio.create_subprocess_exec(
        *(openssl, "s_client", "-connect", f"127.0.0.1:{echo_port}", "-servername", "app.dev.local", "-tls1_3"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    try:
        for command, answer in ((b"before\n", b"before\n"), (b"K\n", b"KEYUPDATE"), (b"after\n", b"after\n")):
            client.stdin.write(command)
            await asyncio.wait_for(client.stdout.readuntil(answer), 5)
    finally:
        client.kill()
        await client.communicate()
