"""The tap: every request and every response passes it exactly once, whichever way it goes and however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from devtls.http.actions import FailureKind
from devtls.http.h1.head import HeadLimits
from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.compliance.h2app import AppStream, h2_app
from tests.compliance.h2wire import WireH2, data, frame, h2_client, rst_stream
from tests.compliance.test_h2_websocket import echo as echo_with_accept
from tests.compliance.test_upgrade_tunnel import ASK, echo
from tests.net.harness import AppConnection, Client, Proxy, answering, app, proxy, until
from tests.net.recorder import Recorder, RecordingTap

HEADERS, END_HEADERS, END_STREAM = 1, 4, 1


@pytest.fixture
def tap(running: Proxy) -> RecordingTap:
    made = RecordingTap()
    running.service.tap = made
    return made


async def over(tap: RecordingTap, count: int = 1) -> Recorder:
    """Wait until so many exchanges are over; return the last."""
    await until(lambda: len(tap.exchanges) == count and all(one.complete is not None for one in tap.exchanges))
    return tap.last


# -- both versions on both sides --------------------------------------------------------------------------------------


async def talk_h1(connection: AppConnection) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            await connection.head()
            while (await connection.reader.readuntil(b"\r\n")) != b"0\r\n":
                await connection.reader.readuntil(b"\r\n")
            while await connection.reader.readuntil(b"\r\n") != b"\r\n":
                pass
            await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            await connection.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nX-App: 1\r\n\r\n"
            )
            await connection.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n")


async def talk_h2(stream: AppStream) -> None:
    await stream.body()
    await stream.head(103, (b"link", b"</a>"))
    await stream.head(200, (b"x-app", b"1"))
    await stream.send(b"abcde")
    await stream.end([(b"x-sum", b"5")])


@contextlib.asynccontextmanager
async def an_app(running: Proxy, version: str) -> AsyncIterator[None]:
    if version == "h1":
        async with app(talk_h1) as backend:
            running.route(f"app = {backend.port}")
            yield
    else:
        async with h2_app(talk_h2) as backend_h2:
            running.route(f'app = "h2c://127.0.0.1:{backend_h2.port}"')
            yield


async def ask_h1(client: Client) -> None:
    fields = b"Transfer-Encoding: chunked\r\nTE: trailers\r\nX-Client: 1\r\n"
    await client.request(b"POST", b"/up?x", fields=fields)
    await client.send(b"4\r\nbody\r\n0\r\nx-end: 1\r\n\r\n")
    assert (await client.head()).startswith(b"HTTP/1.1 103 ")
    reply = await client.reply()
    assert (reply.status, reply.body) == (200, b"abcde")


async def ask_h2(client: WireH2) -> None:
    stream = await client.request((b"te", b"trailers"), (b"x-client", b"1"), method=b"POST", path=b"/up?x", end=False)
    await client.send(
        data(stream, b"body"), frame(HEADERS, END_HEADERS | END_STREAM, stream, client.block([(b"x-end", b"1")]))
    )
    assert (await client.reply(stream)).body == b"abcde"


@pytest.mark.parametrize("upstream", ["h1", "h2"])
@pytest.mark.parametrize("version", ["h1", "h2"])
async def test_heads_bodies_trailers_and_1xx_pass_once(
    running: Proxy, tap: RecordingTap, version: str, upstream: str
) -> None:
    async with an_app(running, upstream):
        if version == "h1":
            client = await running.connect()
            await ask_h1(client)
            await ask_h1(client)
            client.close()
        else:
            client_h2 = await h2_client(running)
            await ask_h2(client_h2)
            await ask_h2(client_h2)
            client_h2.close()
        await over(tap, 2)
    for seen, reused in zip(tap.exchanges, (False, True), strict=True):
        assert (seen.head.method, seen.head.target, seen.head.authority) == (b"POST", b"/up?x", b"app.dev.local")
        assert seen.head.http_version == (b"1.1" if version == "h1" else b"2.0")
        assert seen.route is not None
        assert seen.route.upstream.http2 is (upstream == "h2")
        assert b"1" in {name.lower(): value for name, value in seen.head.headers}[b"x-client"]
        assert (seen.request_body, seen.request_trailers) == (b"body", [(b"x-end", b"1")])
        assert seen.once("request Trailers")
        assert seen.once("request EndOfMessage")
        assert seen.calls.count("dialling") == (not reused)
        assert seen.once("attempt reused" if reused else "attempt fresh")
        assert b"via" in {name.lower() for name, _ in seen.attempts[0].headers}, "what the app gets is edited"
        assert (seen.interim, seen.status) == ([103], 200)
        assert (b"x-app", b"1") in [(name.lower(), value) for name, value in seen.response_headers]
        assert (seen.response_body, seen.response_trailers) == (b"abcde", [(b"x-sum", b"5")])
        assert seen.once("response Trailers")
        assert seen.once("response EndOfMessage")
        assert seen.calls[-1] == "ended True"


@pytest.mark.parametrize("version", ["h1", "h2"])
async def test_a_small_exchange_on_a_kept_connection_passes_once(
    running: Proxy, tap: RecordingTap, version: str
) -> None:
    """It takes the short way beside the table."""
    expected = ["request EndOfMessage", "response 200", "response Data", "response EndOfMessage", "ended True"]
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        if version == "h1":
            client = await running.connect()
            for _ in range(3):
                await client.request()
                assert (await client.reply()).body == b"ok"
            client.close()
        else:
            client_h2 = await h2_client(running)
            for _ in range(3):
                assert (await client_h2.get()).body == b"ok"
            client_h2.close()
        await over(tap, 3)
    first, *others = tap.exchanges
    assert first.calls == [expected[0], "dialling", "attempt fresh", *expected[1:]]
    for seen in others:
        assert seen.calls == [expected[0], "attempt reused", *expected[1:]]
        assert seen.response_body == b"ok"


@pytest.mark.parametrize("version", ["h1", "h2"])
async def test_a_connection_that_was_opened_before_is_seen(running: Proxy, version: str) -> None:
    tap = RecordingTap()
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        if version == "h1":
            client = await running.connect()
            for step in range(3):
                running.service.tap = tap if step == 1 else None
                await client.request(path=b"/%d" % step)
                assert (await client.reply()).status == 200
            client.close()
        else:
            client_h2 = await h2_client(running)
            for step in range(3):
                running.service.tap = tap if step == 1 else None
                assert (await client_h2.get(b"/%d" % step)).status == 200
            client_h2.close()
    assert [seen.head.target for seen in tap.exchanges] == [b"/1"]
    assert tap.last.complete is True


async def test_a_tap_may_let_a_request_pass(running: Proxy, tap: RecordingTap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "begin", lambda *_: None)
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get()).status == 200
    assert (await running.get(b"/", fields=b"Host: again\r\n")).status == 400


async def test_it_is_told_of_the_clients_connection(running: Proxy, tap: RecordingTap) -> None:
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        await running.get()
    client = tap.last.client
    assert (client.address, client.sni, client.tls_version) == ("127.0.0.1", "app.dev.local", "TLSv1.3")
    assert (client.session_reused, client.chain) == (False, ())
    assert client.connection_id > 0


# -- what reaches no app ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["h1", "h2"])
@pytest.mark.parametrize(("host", "status"), [(b"app.dev.local", 404), (b"other.dev.local", 421)])
async def test_a_request_that_no_route_takes_passes_once(
    running: Proxy, tap: RecordingTap, version: str, host: bytes, status: int
) -> None:
    if version == "h1":
        client = await running.connect()
        await client.request(path=b"/x", host=host)
        assert (await client.reply()).status == status
        client.close()
    else:
        client_h2 = await h2_client(running)
        assert (await client_h2.get(b"/x", host)).status == status
        client_h2.close()
    seen = await over(tap)
    assert (seen.head.target, seen.head.authority, seen.route) == (b"/x", host, None)
    assert seen.calls == [
        "request EndOfMessage", f"response {status}", "response Data", "response EndOfMessage", "ended True"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nX: " + b"x" * 3000 + b"\r\n\r\n", 431),
    ],
)
async def test_a_head_that_is_no_request_passes_once(authority: Authority, wire: bytes, status: int) -> None:
    async with proxy(authority, limits=ClientLimits(head=HeadLimits(max_head_bytes=2048))) as running:
        tap = running.service.tap = RecordingTap()
        client = await running.connect()
        await client.send(wire)
        assert (await client.reply()).status == status
        client.close()
        seen = await over(tap)
        assert (seen.head.method, seen.route) == (b"-", None)
        assert seen.calls == [
            f"request Malformed {status}",
            f"response {status}",
            "response Data",
            "response EndOfMessage",
            "ended True",
        ]


async def test_a_malformed_head_over_http_2_passes_once(running: Proxy, tap: RecordingTap) -> None:
    client = await h2_client(running)
    stream = await client.request(method=b"TRACE")
    assert (await client.reply(stream)).status == 405
    client.close()
    seen = await over(tap)
    assert seen.once("request Malformed 405")
    assert seen.once("response 405")


async def test_a_malformed_body_passes_once_with_the_page_for_it(running: Proxy, tap: RecordingTap) -> None:
    async def silent(connection: AppConnection) -> None:
        await connection.to_eof()

    async with app(silent) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(b"POST", fields=b"Transfer-Encoding: chunked\r\n")
        await client.send(b"2\r\nab\r\n")
        await until(lambda: tap.exchanges and tap.last.attempts)
        await client.send(b"zz\r\n")
        assert (await client.reply()).status == 400
        client.close()
        seen = await over(tap)
    assert seen.request_body == b"ab"
    assert seen.calls[-6:] == [
        "request Malformed 400",
        "failed MALFORMED",
        "response 400",
        "response Data",
        "response EndOfMessage",
        "ended True",
    ]
    assert [(record.status, record.route) for record in running.noted.requests] == [(400, "app")]


async def test_an_app_that_is_down_passes_once_with_the_reason(running: Proxy, tap: RecordingTap) -> None:
    running.route("app = 1")
    assert (await running.get()).status == 502
    seen = await over(tap)
    assert seen.failure is not None
    assert seen.failure.kind is FailureKind.UNREACHABLE
    assert seen.failure.tried[0][0] == "127.0.0.1:1"
    assert seen.calls[1:] == [
        "dialling",
        "failed UNREACHABLE",
        "response 502",
        "response Data",
        "response EndOfMessage",
        "ended True",
    ]


async def test_a_failed_handshake_is_told(running: Proxy, tap: RecordingTap) -> None:
    context = ssl.create_default_context(cadata=running.authority.root_pem.decode())
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection("127.0.0.1", running.port, ssl=context, server_hostname="a.example.com")
    await until(lambda: tap.failures)
    assert tap.failures[0].sni == "a.example.com"
    assert tap.exchanges == []


# -- how an exchange may end ------------------------------------------------------------------------------------------


async def test_a_retry_is_a_second_attempt(running: Proxy, tap: RecordingTap) -> None:
    async def once_each(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer()
        if connection.number == 1:
            await connection.head()  # the kept connection is closed on the second request
            connection.close()
        else:
            await connection.to_eof()

    async with app(once_each) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(2):
            await client.request()
            assert (await client.reply()).status == 200
        client.close()
        seen = await over(tap, 2)
    assert seen.calls[:4] == ["request EndOfMessage", "attempt reused", "dialling", "attempt fresh"]
    assert seen.once("response 200")


async def test_a_response_that_breaks_off_is_a_reset(running: Proxy, tap: RecordingTap) -> None:
    async def cut(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        connection.close()

    async with app(cut) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request()
        await client.to_eof()
        seen = await over(tap)
        client.close()
    assert seen.calls[-4:] == ["response 200", "response Data", "response Reset", "ended False"]


@pytest.mark.parametrize("version", ["h1", "h2"])
async def test_a_client_that_leaves_is_seen_once(running: Proxy, tap: RecordingTap, version: str) -> None:
    async def silent(connection: AppConnection) -> None:
        await connection.to_eof()

    async with app(silent) as backend:
        running.route(f"app = {backend.port}")
        if version == "h1":
            client = await running.connect()
            await client.request()
            await until(lambda: tap.exchanges and tap.last.attempts)
            client.close()
        else:
            client_h2 = await h2_client(running)
            stream = await client_h2.request()
            await until(lambda: tap.exchanges and tap.last.attempts)
            await client_h2.send(rst_stream(stream, 8))
        seen = await over(tap)
        if version == "h2":
            client_h2.close()
    assert seen.calls[-1] == "ended False"
    assert sum(call in ("request Reset", "request ConnectionClosed") for call in seen.calls) == 1


async def test_an_app_that_never_answers_is_a_page(authority: Authority) -> None:
    async def silent(connection: AppConnection) -> None:
        await connection.to_eof()

    limits = ClientLimits(exchange=ExchangeLimits(response_head_timeout_s=0.05))
    async with proxy(authority, limits=limits) as running, app(silent) as backend:
        tap = running.service.tap = RecordingTap()
        running.route(f"app = {backend.port}")
        assert (await running.get()).status == 504
        seen = await over(tap)
        assert seen.once("failed RESPONSE_TIMEOUT")
        assert seen.once("response 504")


# -- tunnels ----------------------------------------------------------------------------------------------------------


async def test_a_tunnel_of_http_1_passes_both_ways(running: Proxy, tap: RecordingTap) -> None:
    async with app(echo) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.request(path=b"/ws", fields=ASK)
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        await client.send(b"to and fro")
        assert await client.read(10) == b"to and fro"
        client.close()
        seen = await over(tap)
    assert (seen.interim, seen.status) == ([101], 0)
    assert (seen.from_client, seen.from_upstream) == (b"to and fro", b"to and fro")
    assert seen.calls[-1] == "ended True"
    assert running.noted.requests[-1].status == 101


async def test_a_tunnel_of_http_2_passes_both_ways(running: Proxy, tap: RecordingTap) -> None:
    async with app(echo_with_accept) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.connect()
        assert (await client.head_of(stream)).status == 200
        await client.send(data(stream, b"to and fro"))
        await client.until(lambda: client.seen(stream).size == 10)
        await client.send(data(stream, b"", end=True))
        seen = await over(tap)
        client.close()
    assert seen.interim == [101]
    assert (seen.from_client, seen.from_upstream) == (b"to and fro", b"to and fro")
    assert seen.calls[-1] == "ended True"
