"""Apps that speak HTTP/2 (`h2c://`, `h2://`): one connection for many requests, and gRPC's needs (rules 91-95)."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from h2.settings import SettingCodes

from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.compliance.h2app import AppStream, H2App, h2_app
from tests.compliance.h2wire import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INITIAL_WINDOW,
    MAX_STREAMS,
    NO_ERROR,
    REFUSED_STREAM,
    WireH2,
    data,
    h2_client,
    rst_stream,
    window_update,
)
from tests.compliance.wire import server_context
from tests.net.harness import AppConnection, Proxy, answering, app, proxy, until

GRPC = (b"content-type", b"application/grpc")


def _route(running: Proxy, backend: H2App) -> None:
    running.route(f'app = "h2c://127.0.0.1:{backend.port}"')


async def _ok(stream: AppStream) -> None:
    await stream.body()
    await stream.answer(b"ok from h2")


async def test_a_request_reaches_an_app_with_http_2(running: Proxy) -> None:
    """RFC 9113 8.3.1: pseudo-fields of our own, no connection fields, names in lower case."""
    async with h2_app(_ok) as backend:
        _route(running, backend)
        client = await h2_client(running)
        seen = await client.reply(await client.request((b"x-own", b"1"), path=b"/a%2Fb?c=d"))
        assert (seen.status, seen.body) == (200, b"ok from h2")
        asked = backend.streams[0]
        assert asked.fields[:4] == [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"app.dev.local"),
            (b":path", b"/a%2Fb?c=d"),
        ]
        assert asked.value(b"x-own") == b"1"
        assert asked.value(b"x-forwarded-proto") == b"https"
        assert asked.value(b"via") == b"2.0 devtls-test"
        assert all(name == name.lower() for name, _ in asked.fields)
        assert not {name for name, _ in asked.fields} & {b"host", b"connection", b"transfer-encoding"}
        client.close()


async def test_rule_73_a_request_waits_for_an_app_with_http_2_that_restarts(running: Proxy) -> None:
    """Nothing was sent on a connection that was refused, whatever it was to speak."""
    async with h2_app(_ok) as backend:
        running.route(f'app = {{ target = "h2c://127.0.0.1:{backend.port}", retry_down_s = 0.3 }}')
        assert (await running.get()).status == 200
    [state] = running.service.pool._states.values()
    await until(lambda: not state.connections)
    assert (await running.get()).status == 502
    assert running.noted.requests[-1].reason == "connection refused, for 0.3 s"


async def test_a_client_with_http_1_1_reaches_an_app_with_http_2(running: Proxy) -> None:
    """The two sides need not speak the same version: bodies and trailers pass."""

    async def talk(stream: AppStream) -> None:
        body = await stream.body()
        await stream.head(200, (b"trailer", b"x-sum"))
        await stream.send(body)
        await stream.end([(b"x-sum", b"1")])

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await running.connect()
        for turn in range(2):
            await client.request(b"POST", fields=b"TE: trailers\r\nTransfer-Encoding: chunked\r\n")
            await client.send(b"5\r\nhello\r\n0\r\nX-Crc: %d\r\n\r\n" % turn)
            reply = await client.reply()
            assert (reply.status, reply.body, reply.trailers) == (200, b"hello", [b"x-sum: 1"])
            assert backend.streams[turn].trailers == [(b"x-crc", b"%d" % turn)]
        assert len(backend.connections) == 1
        client.close()


async def test_an_app_with_http_2_over_tls_is_reached(running: Proxy) -> None:
    """RFC 9113 3.2: `h2://`, by ALPN."""
    context = server_context(running)
    context.set_alpn_protocols(["h2"])

    async with h2_app(_ok, context=context) as backend:
        running.route(f'app = {{ target = "h2://127.0.0.1:{backend.port}", verify = false }}')
        original = running.service.pool._client_context

        def with_alpn(upstream: object) -> ssl.SSLContext:
            made = original(upstream)  # type: ignore[arg-type]  # an Upstream
            made.set_alpn_protocols(["h2"])
            return made

        running.service.pool._client_context = with_alpn
        client = await h2_client(running)
        assert (await client.get()).body == b"ok from h2"
        assert backend.streams[0].value(b":scheme") == b"https"
        client.close()


# -- multiplexing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_a_hundred_requests_at_once_share_one_connection(running: Proxy, warm: bool) -> None:
    """RFC 9113 5, 9.1: also when the first hundred come while it is dialled."""
    gate = asyncio.Event()

    async def talk(stream: AppStream) -> None:
        if stream.value(b":path") != b"/":
            await gate.wait()
        await stream.answer(stream.value(b":path") or b"")

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        if warm:
            assert (await client.get()).status == 200
        streams = {await client.request(path=b"/%d" % number): b"/%d" % number for number in range(100)}
        await until(lambda: len(backend.streams) >= 100)
        gate.set()
        for stream, path in streams.items():
            assert (await client.reply(stream)).body == path
        assert len(backend.connections) == 1
        client.close()


async def test_5_1_2_an_app_that_takes_few_streams_gets_no_more(running: Proxy) -> None:
    """RFC 9113 5.1.2: others wait for another connection or their turn, and all are answered."""
    most = 0

    async def talk(stream: AppStream) -> None:
        nonlocal most
        most = max(most, sum(1 for other in stream.connection.streams.values() if not other.done))
        await asyncio.sleep(0.02)
        await stream.answer(b"ok")

    async with h2_app(talk, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 5}) as backend:
        _route(running, backend)
        client = await h2_client(running)
        for _ in range(2):
            streams = [await client.request() for _ in range(30)]
            for stream in streams:
                assert (await client.reply(stream)).status == 200
        assert most <= 5
        assert len(backend.connections) <= 12
        client.close()


async def test_an_app_that_takes_no_streams_at_all_is_a_502(running: Proxy) -> None:
    """RFC 9113 5.1.2: a limit of 0 must not make us dial for ever."""
    async with h2_app(_ok, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 0}) as backend:
        _route(running, backend)
        client = await h2_client(running)
        seen = await client.get()
        assert seen.status == 502
        assert b"takes no requests" in seen.body
        assert len(backend.connections) <= 2
        client.close()


async def test_6_9_a_slow_stream_of_an_app_does_not_stall_its_siblings(running: Proxy) -> None:
    """One client stops reading a large answer; another's, on the same connection to the app, comes whole."""

    async def talk(stream: AppStream) -> None:
        await stream.head()
        await stream.send(bytes(3_000_000), end=True)

    async with h2_app(talk) as backend:
        _route(running, backend)
        stalled = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 0))
        for _ in range(10):
            await stalled.head_of(await stalled.request())
        client = await h2_client(running)
        seen = await client.get()
        assert (seen.size, seen.ended) == (3_000_000, True)
        assert len(backend.connections) == 1
        stalled.close()
        client.close()


async def test_6_9_an_app_that_does_not_read_one_upload_reads_another(running: Proxy) -> None:
    """Both on the same connection to the app."""

    async def talk(stream: AppStream) -> None:
        if stream.value(b":path") == b"/stalled":
            await stream.was_reset()
            return
        await stream.answer(b"%d" % len(await stream.body()))

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stalled = await client.request(method=b"PUT", path=b"/stalled", end=False)
        await client.send(*[data(stalled, bytes(16_384)) for _ in range(16)])
        await client.settle()
        stream = await client.request(method=b"PUT", body=bytes(10_000))
        assert client.seen(stalled).credit < 600_000
        assert not client.seen(stream).over
        # The connection to the app has 65,535 bytes of window, and the stalled upload has taken them all.
        await client.send(rst_stream(stalled))
        assert (await client.reply(stream)).body == b"10000"
        client.close()


# -- how an app ends things -------------------------------------------------------------------------------------------


async def test_6_8_after_goaway_new_requests_take_a_new_connection_and_old_ones_end(running: Proxy) -> None:
    """RFC 9113 6.8, rule 93."""
    gate = asyncio.Event()

    async def talk(stream: AppStream) -> None:
        if stream.value(b":path") == b"/old":
            await gate.wait()
        await stream.answer(b"ok")

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        old = await client.request(path=b"/old")
        await until(lambda: backend.streams)
        await backend.connections[0].goaway(backend.streams[0].id)
        async with asyncio.timeout(5):
            while len(backend.connections) < 2:
                assert (await client.get()).status == 200
        gate.set()
        assert (await client.reply(old)).status == 200
        await until(lambda: backend.connections[0].ended)
        client.close()


async def test_6_8_a_request_that_goaway_says_was_not_looked_at_is_sent_again(running: Proxy) -> None:
    """RFC 9113 6.8, 8.7: it is safe to do so, and the client hears nothing of it."""

    async def talk(stream: AppStream) -> None:
        if len(backend.connections) == 1 and stream.value(b":path") == b"/again":
            await stream.connection.goaway(stream.id - 2)
            return
        await stream.answer(b"ok")

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        assert (await client.get()).status == 200
        assert (await client.get(b"/again")).status == 200
        assert len(backend.connections) == 2
        client.close()


@pytest.mark.parametrize("warm", [False, True], ids=["fresh connection", "used connection"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_8_7_a_refused_stream_is_tried_again(running: Proxy, warm: bool, method: bytes) -> None:
    """RFC 9113 8.7: REFUSED_STREAM says that nothing was done, so even a POST may come again."""
    refused = 0

    async def talk(stream: AppStream) -> None:
        nonlocal refused
        if stream.value(b":path") == b"/refused" and not refused:
            refused += 1
            await stream.reset(REFUSED_STREAM)
            return
        await stream.answer(b"ok")

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        if warm:
            assert (await client.get()).status == 200
        seen = await client.reply(await client.request(method=method, path=b"/refused"))
        assert (seen.status, refused) == (200, 1)
        client.close()


async def test_8_7_a_call_whose_body_is_gone_is_refused_for_its_client_to_send_again(running: Proxy) -> None:
    """RFC 9113 8.7: REFUSED_STREAM passes; gRPC's clients try again by themselves."""

    async def talk(stream: AppStream) -> None:
        if stream.value(b":path") == b"/":
            await stream.answer(b"ok")
            return
        await stream.piece()
        await stream.reset(REFUSED_STREAM)

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stream = await client.request(GRPC, method=b"POST", path=b"/call", body=b"\0\0\0\0\0")
        seen = await client.reply(stream)
        assert (seen.reset, seen.heads) == (REFUSED_STREAM, [])
        assert (await client.get()).status == 200
        client.close()


async def test_8_7_an_app_that_refuses_always_is_a_502(running: Proxy) -> None:
    """Never without end."""

    async def talk(stream: AppStream) -> None:
        await stream.reset(REFUSED_STREAM)

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        assert (await client.get()).status == 502
        assert len(backend.streams) <= 3
        client.close()


@pytest.mark.parametrize("code", [CANCEL, ENHANCE_YOUR_CALM, REFUSED_STREAM])
async def test_rule_92_a_reset_in_the_middle_passes_with_its_code(running: Proxy, code: int) -> None:
    """RFC 9113 5.4.2: gRPC maps them to its own; nothing is made up in their place."""

    async def talk(stream: AppStream) -> None:
        await stream.head(200, GRPC)
        await stream.send(b"half")
        await stream.reset(code)

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        seen = await client.get()
        assert (seen.body, seen.ended, seen.reset) == (b"half", False, code)
        assert len(seen.heads) == 1
        client.close()


async def test_rule_92_an_app_that_dies_in_the_middle_resets_every_stream(running: Proxy) -> None:
    """Rules 46 and 92: no END_STREAM, no trailers; the next request finds the app that is back."""

    async def talk(stream: AppStream) -> None:
        if stream.value(b":path") == b"/ok":
            await stream.answer(b"ok")
            return
        await stream.head(200, GRPC)
        await stream.send(b"half")

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        streams = [await client.request() for _ in range(5)]
        await client.until(lambda: all(client.seen(stream).body == b"half" for stream in streams))
        backend.connections[0].writer.transport.abort()
        for stream in streams:
            seen = await client.reply(stream)
            assert not seen.ended
            assert len(seen.heads) == 1
        assert (await client.get(b"/ok")).status == 200
        client.close()


async def test_rule_71_an_app_that_dies_before_it_answers(running: Proxy) -> None:
    """A GET on a connection that was in use is sent again, a POST is not."""
    died: list[bytes | None] = []

    async def talk(stream: AppStream) -> None:
        method = stream.value(b":method")
        if stream.value(b":path") == b"/die" and method not in died:
            died.append(method)
            stream.connection.writer.transport.abort()
            return
        await stream.answer(b"ok")

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        assert (await client.get()).status == 200
        assert (await client.get(b"/die")).status == 200
        assert (await client.reply(await client.request(method=b"POST", path=b"/die", body=b"x"))).status == 502
        assert died == [b"GET", b"POST"]
        client.close()


@pytest.mark.parametrize("speaks", ["HTTP/1.1", "garbage", "silence and the end"])
async def test_an_app_that_does_not_speak_http_2_is_a_502_that_says_so(running: Proxy, speaks: str) -> None:
    """RFC 9113 3.4: its preface is SETTINGS; the page says what to write instead."""

    async def talk(connection: AppConnection) -> None:
        await connection.reader.read(100)
        if speaks == "HTTP/1.1":
            await connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        elif speaks == "garbage":
            await connection.send(b"SSH-2.0-OpenSSH_9.2p1\r\n" * 5)

    async with app(talk) as backend:
        running.route(f'app = "h2c://127.0.0.1:{backend.port}"')
        client = await h2_client(running)
        seen = await client.get()
        assert seen.status == 502
        expected = {
            "HTTP/1.1": b"HTTP/1.1",
            "garbage": b"does not speak HTTP/2",
            "silence and the end": b"closed",
        }[speaks]
        assert expected in seen.body
        client.close()


@pytest.mark.parametrize(
    "answer",
    [
        [(b":status", b"200"), (b"X-Upper", b"1")],
        [(b":status", b"200"), (b"connection", b"close")],
        [(b"x", b"1")],
        [(b":status", b"101")],
        [(b":status", b"99")],
        [(b":status", b"200"), (b"x", b"a\0b")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b":status", b"200"), (b"content-length", b"+1")],
    ],
    ids=[
        "upper case",
        "connection",
        "no status",
        "101",
        "status 99",
        "NUL",
        "a request's field",
        "a length with a sign",
    ],
)
async def test_8_1_1_a_malformed_answer_is_a_502_and_its_stream_is_reset(
    running: Proxy, answer: list[tuple[bytes, bytes]]
) -> None:
    """RFC 9113 8.1.1: a stream error; the connection to the app goes on."""

    async def talk(stream: AppStream) -> None:
        if stream.value(b":path") == b"/":
            await stream.answer(b"ok")
            return
        h2 = stream.connection.h2
        block = h2.encoder.encode(answer)
        head = len(block).to_bytes(3) + b"\x01\x04" + stream.id.to_bytes(4)
        stream.connection.writer.write(head + block)
        await stream.was_reset()

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        assert (await client.get()).status == 200
        assert (await client.get(b"/broken")).status == 502
        await until(lambda: backend.streams[-1].reset_code is not None)
        assert (await client.get()).status == 200
        assert len(backend.connections) == 1
        client.close()


# -- gRPC -------------------------------------------------------------------------------------------------------------


async def test_rule_91_trailers_pass_both_ways_and_te_is_kept(running: Proxy) -> None:
    """gRPC over HTTP/2: `te: trailers`, grpc-status in the trailers, deadlines untouched."""

    async def talk(stream: AppStream) -> None:
        await stream.body()
        await stream.head(200, GRPC)
        await stream.send(b"\0\0\0\0\x02hi")
        await stream.end([(b"grpc-status", b"0"), (b"grpc-message", b"fine")])

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        fields = (GRPC, (b"te", b"trailers"), (b"grpc-timeout", b"5S"))
        stream = await client.request(*fields, method=b"POST", path=b"/pkg.Service/Call", end=False)
        await client.send(data(stream, b"\0\0\0\0\x02yo"), client.raw_head(stream, [(b"x-end", b"1")]))
        seen = await client.reply(stream)
        assert seen.body == b"\0\0\0\0\x02hi"
        assert seen.heads[-1] == [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]
        asked = backend.streams[0]
        assert (asked.value(b"te"), asked.value(b"grpc-timeout")) == (b"trailers", b"5S")
        assert asked.trailers == [(b"x-end", b"1")]
        client.close()


async def test_rule_91_an_answer_of_trailers_only_passes(running: Proxy) -> None:
    """gRPC: one HEADERS frame with END_STREAM and grpc-status."""

    async def talk(stream: AppStream) -> None:
        await stream.head(200, GRPC, (b"grpc-status", b"12"), end=True)

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stream = await client.request(GRPC, method=b"POST", body=b"\0\0\0\0\0")
        seen = await client.reply(stream)
        assert (seen.values(b"grpc-status"), seen.ended, seen.size) == ([b"12"], True, 0)
        client.close()


@pytest.mark.parametrize("when", ["before the answer", "in the middle"])
async def test_rule_93_a_cancellation_reaches_the_app_within_a_fifth_of_a_second(running: Proxy, when: str) -> None:
    """RST_STREAM(CANCEL), and the connection to the app is kept."""
    reset_at: list[float] = []
    codes: list[int] = []

    async def talk(stream: AppStream) -> None:
        if stream.value(b":path") == b"/ok":
            await stream.answer(b"ok")
            return
        if when == "in the middle":
            await stream.head(200, GRPC)
            await stream.send(b"half")
        codes.append(await stream.was_reset())
        reset_at.append(asyncio.get_running_loop().time())

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stream = await client.request(GRPC, method=b"POST", end=False)
        await until(lambda: backend.streams)
        if when == "in the middle":
            await client.until(lambda: client.seen(stream).body == b"half")
        begun = asyncio.get_running_loop().time()
        await client.send(rst_stream(stream, CANCEL))
        await until(lambda: reset_at)
        assert reset_at[0] - begun < 0.2
        assert codes == [CANCEL]
        assert (await client.get(b"/ok")).status == 200
        assert len(backend.connections) == 1
        client.close()


async def test_rule_91_trailers_behind_a_length_of_0_pass(running: Proxy) -> None:
    """RFC 9113 8.1: a body of no bytes may have trailers."""

    async def talk(stream: AppStream) -> None:
        await stream.head(200, (b"content-length", b"0"))
        await stream.end([(b"grpc-status", b"5")])

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        seen = await client.reply(await client.request())
        assert (seen.ended, seen.values(b"grpc-status")) == (True, [b"5"])
        client.close()


async def test_5_1_2_an_answer_that_an_app_leaves_open_counts_although_it_has_no_body(running: Proxy) -> None:
    """RFC 9113 5.1.2: else a client could have any number of streams open at the app."""

    async def talk(stream: AppStream) -> None:
        await stream.head(200, (b"content-length", b"5"))
        await stream.was_reset()

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stream = await client.request(method=b"HEAD")
        assert not (await client.head_of(stream)).ended
        await client.send(rst_stream(stream))
        await until(lambda: backend.streams[0].reset_code is not None)
        client.close()


async def test_rule_93_calls_in_both_directions_at_once(running: Proxy) -> None:
    """Bidirectional streaming: each message is answered before the next is sent, head first."""

    async def talk(stream: AppStream) -> None:
        await stream.head(200, GRPC)
        while piece := await stream.piece():
            await stream.send(piece.upper())
        await stream.end([(b"grpc-status", b"0")])

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stream = await client.request(GRPC, method=b"POST", end=False)
        assert (await client.head_of(stream)).status == 200
        expected = b""
        for turn in range(20):
            expected += b"MESSAGE %d;" % turn
            await client.send(data(stream, b"message %d;" % turn))
            await client.until(lambda: client.seen(stream).body == expected)  # noqa: B023
        await client.send(data(stream, b"", end=True))
        assert (await client.reply(stream)).heads[-1] == [(b"grpc-status", b"0")]
        client.close()


async def test_rule_93_an_idle_call_is_not_cut(authority: Authority) -> None:
    """gRPC streams may be silent for hours: neither side's timeouts are for them."""
    limits = ClientLimits(exchange=ExchangeLimits(body_idle_timeout_s=0.15), keep_alive_s=0.15)

    async def talk(stream: AppStream) -> None:
        await stream.head(200, GRPC)
        await stream.send(await stream.piece(), end=True)

    async with proxy(authority, limits=limits) as running, h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        for content_type in (b"application/grpc", b"application/grpc+proto"):
            stream = await client.request((b"content-type", content_type), method=b"POST", end=False)
            await client.head_of(stream)
            await client.read_for(0.5)
            assert not client.seen(stream).over
            await client.send(data(stream, b"at last"))
            assert (await client.reply(stream)).body == b"at last"
        client.close()


async def test_rule_75_another_upload_that_stands_still_is_cut(authority: Authority) -> None:
    """What is no call of gRPC has the usual time, also towards an app with HTTP/2."""
    limits = ClientLimits(exchange=ExchangeLimits(body_idle_timeout_s=0.15))

    async def talk(stream: AppStream) -> None:
        await stream.was_reset()

    async with proxy(authority, limits=limits) as running, h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stream = await client.request((b"content-type", b"text/plain"), method=b"POST", end=False)
        assert (await client.reply(stream)).status == 408
        await until(lambda: backend.streams[0].reset_code is not None)
        client.close()


async def test_rule_94_messages_larger_than_any_window_pass_both_ways(running: Proxy) -> None:
    """4 MiB up and down again, ten at once on one connection."""

    async def talk(stream: AppStream) -> None:
        await stream.head(200, GRPC)
        while piece := await stream.piece():
            await stream.send(piece)
        await stream.end([(b"grpc-status", b"0")])

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 1_000_000))
        await client.send(window_update(0, 5_000_000))
        streams = [await client.request(GRPC, method=b"POST", end=False) for _ in range(4)]
        size = 4 * 1024 * 1024
        await _upload(client, streams, size)
        for stream in streams:
            seen = await client.reply(stream)
            assert (seen.size, seen.heads[-1]) == (size, [(b"grpc-status", b"0")])
        assert len(backend.connections) == 1
        client.close()


async def _upload(client: WireH2, streams: list[int], size: int) -> None:
    """Send `size` bytes on each stream, in turns, as the windows allow."""
    sent = dict.fromkeys(streams, 0)
    window = client.settings[INITIAL_WINDOW]
    while waiting := [stream for stream in streams if sent[stream] < size]:
        stood_still = True
        for stream in waiting:
            room = min(window + client.seen(stream).credit - sent[stream], 16_384, size - sent[stream])
            if room > 0:
                stood_still = False
                sent[stream] += room
                await client.send(data(stream, bytes(room), end=sent[stream] == size))
        if stood_still:
            assert await client.read_frame()


async def test_8_1_an_early_answer_of_an_app_ends_the_upload(running: Proxy) -> None:
    """RFC 9113 8.1: RST_STREAM(NO_ERROR) behind a whole answer takes nothing from it."""

    async def talk(stream: AppStream) -> None:
        await stream.answer(b"too much", 413)
        await stream.reset(NO_ERROR)

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        stream = await client.request(method=b"POST", end=False)
        await client.send(data(stream, bytes(1000)))
        seen = await client.reply(stream)
        assert (seen.status, seen.body, seen.ended) == (413, b"too much", True)
        await client.send(data(stream, bytes(1000), end=True))
        assert (await client.get()).status == 413
        assert not client.goaways
        client.close()


async def test_interim_responses_of_an_app_with_http_2_pass(running: Proxy) -> None:
    """RFC 9113 8.1: 103 before the answer."""

    async def talk(stream: AppStream) -> None:
        stream.connection.h2.send_headers(stream.id, [(b":status", b"103"), (b"link", b"</a>")])
        await stream.answer(b"ok")

    async with h2_app(talk) as backend:
        _route(running, backend)
        client = await h2_client(running)
        seen = await client.get()
        assert [dict(head)[b":status"] for head in seen.heads] == [b"103", b"200"]
        client.close()


async def test_calls_cancelled_in_numbers_leave_the_shared_connection_in_order(running: Proxy) -> None:
    """Answers that were on their way when hundreds of requests were taken back: no fault, and others are served."""

    async def talk(stream: AppStream) -> None:
        await stream.answer(b"r" * 100)

    async with h2_app(talk) as backend:
        _route(running, backend)
        for _ in range(10):
            client = await h2_client(running)
            assert (await client.get()).status == 200
            streams = [client.stream() for _ in range(client.settings[MAX_STREAMS] - 30)]
            heads = [client.head(stream) for stream in streams]
            await client.send(*heads, *[rst_stream(stream) for stream in streams])
            assert (await client.get()).status == 200
            client.close()


async def test_an_app_without_http_2_still_gets_http_1_1(running: Proxy) -> None:
    """The default stays what it was."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 200
        assert backend.connections[0].heads[0].startswith(b"GET / HTTP/1.1\r\n")
        client.close()
