"""HTTP/2 connections and frames at the wire: RFC 9113 sections 3 to 7, one test for each MUST that a server can break.

A connection error is a GOAWAY with its code and the end; a stream error a RST_STREAM, and the connection lives on.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest

from tests.compliance.h2wire import (
    ACK,
    COMPRESSION_ERROR,
    CONNECT_PROTOCOL,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    MAX_FRAME,
    MAX_STREAMS,
    MAX_WINDOW,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WireH2,
    bare_h2,
    data,
    frame,
    h2_client,
    rst_stream,
    settings,
    window_update,
)
from tests.compliance.wire import wire_client
from tests.net.harness import AppConnection, Proxy, answering, app

# -- section 3: starting ----------------------------------------------------------------------------------------------


async def test_3_2_alpn_chooses_h2_and_http_1_1_stays_on_offer(running: Proxy) -> None:
    """RFC 9113 3.2, RFC 7301 3.2: both are served on one port, whatever the order."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 200
        client.close()
        old = await wire_client(running)
        await old.request()
        assert (await old.reply()).status == 200
        old.close()


async def test_3_4_our_settings_are_the_first_frame_and_do_not_wait_for_the_client(running: Proxy) -> None:
    """RFC 9113 3.4: the server's preface is a SETTINGS frame."""
    client = await bare_h2(running)
    await client.read_frame()
    assert client.kinds == [SETTINGS]
    assert client.settings[MAX_STREAMS] >= 100
    client.close()


async def test_3_4_requests_may_follow_the_preface_before_our_settings_were_read(running: Proxy) -> None:
    """RFC 9113 3.4: a client may send additional frames at once."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await bare_h2(running)
        stream = client.stream()
        await client.send(PREFACE, settings(), client.head(stream))
        assert (await client.reply(stream)).status == 200
        client.close()


async def test_3_4_the_preface_may_come_byte_by_byte(running: Proxy) -> None:
    """RFC 9113 3.4, 4.1: TCP knows no frames."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await bare_h2(running)
        stream = client.stream()
        for byte in PREFACE + settings((INITIAL_WINDOW, 1000)) + client.head(stream):
            await client.send(bytes((byte,)))
        assert (await client.reply(stream)).body == b"ok"
        client.close()


BROKEN_STARTS = {
    "no preface": b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n",
    "a preface with another end": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r" + settings(),
    "PING before SETTINGS": PREFACE + frame(PING, 0, 0, bytes(8)),
    "HEADERS before SETTINGS": PREFACE + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x84\x87"),
    "an unknown frame before SETTINGS": PREFACE + frame(0x55),
    "an acknowledgement instead of SETTINGS": PREFACE + frame(SETTINGS, ACK),
}


@pytest.mark.parametrize("start", BROKEN_STARTS)
async def test_3_4_a_connection_that_does_not_begin_as_it_must_ends(running: Proxy, start: str) -> None:
    """RFC 9113 3.4: an invalid preface is a connection error PROTOCOL_ERROR."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await bare_h2(running)
        await client.send(BROKEN_STARTS[start])
        await client.to_end()
        assert [code for _, code in client.goaways] == [PROTOCOL_ERROR]
        assert client.wire.saw_close_notify
        client.close()
        assert not backend.connections


# -- what is ignored --------------------------------------------------------------------------------------------------

IGNORED: dict[str, Callable[[WireH2], bytes]] = {
    "4.1 the reserved bit of a stream number": lambda _: frame(PING, 0, 0x8000_0000, bytes(8)),
    "4.1 unknown flags of PING": lambda _: frame(PING, 0xFE, 0, bytes(8)),
    "5.5 a frame of unknown type": lambda _: frame(0xBA, 0xFF, 0, b"?" * 100),
    "5.5 a frame of unknown type on a stream that is idle": lambda _: frame(0xBA, 0xFF, 99, b"?"),
    "5.3.2 PRIORITY on a stream that is idle": lambda _: frame(PRIORITY, 0, 99, b"\0\0\0\0\xff"),
    "6.5.2 a setting that nobody knows": lambda _: settings((0x99, 0xFFFF_FFFF), (0xFFFF, 1)),
    "6.5.2 an unknown flag of SETTINGS": lambda _: frame(SETTINGS, 0xFE, 0, b""),
    "6.7 an acknowledgement of a PING that we never sent": lambda _: frame(PING, ACK, 0, b"12345678"),
    "6.9 the reserved bit of WINDOW_UPDATE": lambda _: frame(WINDOW_UPDATE, 0, 0, b"\x80\0\0\x01"),
    "6.8 a GOAWAY with debug data": lambda _: frame(GOAWAY, 0, 0, bytes(8) + b"bye"),
    "7 a RST_STREAM with an unknown code": lambda c: _opened(c) + rst_stream(1, 0xDEAD_BEEF),
    "7 a GOAWAY with an unknown code": lambda _: frame(GOAWAY, 0, 0, bytes(4) + b"\xff\xff\xff\xff"),
    "5.1 RST_STREAM on a stream that is over": lambda c: _opened(c) + rst_stream(1) + rst_stream(1),
    "5.1 WINDOW_UPDATE on a stream that is over": lambda c: _opened(c) + rst_stream(1) + window_update(1, 5),
    "5.1 PRIORITY on a stream that is over": lambda c: _opened(c) + rst_stream(1) + frame(PRIORITY, 0, 1, bytes(5)),
}


def _opened(client: WireH2, *, end: bool = False) -> bytes:
    """Return the head of a request, its body to follow, on the next stream."""
    return client.head(client.stream(), method=b"POST", end=end)


@pytest.mark.parametrize("what", IGNORED)
async def test_what_must_be_ignored_is_ignored(running: Proxy, what: str) -> None:
    """RFC 9113 4.1, 5.1, 5.3.2, 5.5, 6.5.2, 6.7, 6.9, 7: the section stands before each case."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.send(IGNORED[what](client))
        if not what.startswith(("6.8", "7 a GOAWAY")):
            assert (await client.get()).status == 200
        else:
            await client.settle()  # it leaves, and yet is answered
        assert not client.goaways
        client.close()


# -- connection errors ------------------------------------------------------------------------------------------------

CONNECTION_ERRORS: dict[str, tuple[Callable[[WireH2], bytes], int]] = {
    "4.2 a frame above MAX_FRAME_SIZE": (lambda _: frame(0x55, 0, 0, bytes(16385)), FRAME_SIZE_ERROR),
    "4.2 DATA above MAX_FRAME_SIZE": (lambda c: _opened(c) + data(1, bytes(16385)), FRAME_SIZE_ERROR),
    "4.3 a field block that cannot be decoded": (
        lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\x0f"),
        COMPRESSION_ERROR,
    ),
    "4.3 a literal that ends in its name": (lambda _: frame(HEADERS, END_HEADERS, 1, b"\x00\x05ab"), COMPRESSION_ERROR),
    "4.3 the index 0": (lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"), COMPRESSION_ERROR),
    "4.3 an index outside the tables": (lambda _: frame(HEADERS, END_HEADERS, 1, b"\xff\x0f"), COMPRESSION_ERROR),
    "4.3.1 a table larger than was offered": (
        lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x1f\x82\x84\x87"),
        COMPRESSION_ERROR,
    ),
    "RFC 7541 4.2 three changes of the table's size in a block": (
        lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x20\x21\x3f\xe1\x1f\x82\x84\x87"),
        COMPRESSION_ERROR,
    ),
    "4.3 bad trailers cannot be decoded either": (
        lambda c: _opened(c) + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"),
        COMPRESSION_ERROR,
    ),
    "4.3 another frame in a field block": (
        lambda _: frame(HEADERS, END_STREAM, 1, b"\x82") + frame(PING, 0, 0, bytes(8)),
        PROTOCOL_ERROR,
    ),
    "4.3 an unknown frame in a field block": (
        lambda _: frame(HEADERS, END_STREAM, 1, b"\x82") + frame(0x55, 0, 1),
        PROTOCOL_ERROR,
    ),
    "6.10 CONTINUATION of another stream": (
        lambda _: frame(HEADERS, END_STREAM, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 3, b"\x84"),
        PROTOCOL_ERROR,
    ),
    "6.10 CONTINUATION without HEADERS": (lambda _: frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR),
    "6.10 CONTINUATION behind END_HEADERS": (
        lambda c: _opened(c) + frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
        PROTOCOL_ERROR,
    ),
    "6.10 CONTINUATION on stream 0": (
        lambda _: frame(HEADERS, END_STREAM, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 0, b"\x84"),
        PROTOCOL_ERROR,
    ),
    "5.1 idle: DATA": (lambda _: data(1, b"x"), PROTOCOL_ERROR),
    "5.1 idle: RST_STREAM": (lambda _: rst_stream(1), PROTOCOL_ERROR),
    "5.1 idle: WINDOW_UPDATE": (lambda _: window_update(1, 1), PROTOCOL_ERROR),
    "5.1 idle: CONTINUATION": (lambda _: frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR),
    "5.1.1 an even number": (lambda c: c.head(2), PROTOCOL_ERROR),
    "5.1.1 a number below the last": (lambda c: c.head(5, end=False) + c.head(3), PROTOCOL_ERROR),
    "6.1 DATA on stream 0": (lambda _: data(0, b"x"), PROTOCOL_ERROR),
    "6.1 padding as long as the frame": (lambda c: _opened(c) + frame(DATA, PADDED, 1, b"\x05abcd"), PROTOCOL_ERROR),
    "6.1 no room for the length of the padding": (lambda c: _opened(c) + frame(DATA, PADDED, 1), FRAME_SIZE_ERROR),
    "6.2 HEADERS on stream 0": (lambda c: c.head(0), PROTOCOL_ERROR),
    "6.2 padding longer than the frame": (
        lambda _: frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff\x82\x84\x87"),
        PROTOCOL_ERROR,
    ),
    "6.2 no room for the priority": (
        lambda _: frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, b"\0\0\0\0"),
        FRAME_SIZE_ERROR,
    ),
    "6.3 PRIORITY on stream 0": (lambda _: frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR),
    "6.4 RST_STREAM on stream 0": (lambda _: rst_stream(0), PROTOCOL_ERROR),
    "6.4 RST_STREAM of three bytes": (lambda c: _opened(c) + frame(RST_STREAM, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
    "6.4 RST_STREAM of five bytes": (lambda c: _opened(c) + frame(RST_STREAM, 0, 1, bytes(5)), FRAME_SIZE_ERROR),
    "6.5 SETTINGS on a stream": (lambda _: frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "6.5 an acknowledgement with a payload": (lambda _: frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    "6.5 SETTINGS of five bytes": (lambda _: frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    "6.5.2 ENABLE_PUSH 2": (lambda _: settings((ENABLE_PUSH, 2)), PROTOCOL_ERROR),
    "6.5.2 INITIAL_WINDOW_SIZE 2^31": (lambda _: settings((INITIAL_WINDOW, 2**31)), FLOW_CONTROL_ERROR),
    "6.5.2 MAX_FRAME_SIZE 16383": (lambda _: settings((MAX_FRAME, 16383)), PROTOCOL_ERROR),
    "6.5.2 MAX_FRAME_SIZE 2^24": (lambda _: settings((MAX_FRAME, 2**24)), PROTOCOL_ERROR),
    "RFC 8441 3 ENABLE_CONNECT_PROTOCOL 2": (lambda _: settings((CONNECT_PROTOCOL, 2)), PROTOCOL_ERROR),
    "6.6 PUSH_PROMISE from a client": (
        lambda c: _opened(c) + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82"),
        PROTOCOL_ERROR,
    ),
    "6.7 PING on a stream": (lambda _: frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "6.7 PING of seven bytes": (lambda _: frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "6.7 PING of nine bytes": (lambda _: frame(PING, 0, 0, bytes(9)), FRAME_SIZE_ERROR),
    "6.8 GOAWAY on a stream": (lambda _: frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "6.8 GOAWAY of seven bytes": (lambda _: frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "6.9 WINDOW_UPDATE of three bytes": (lambda _: frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    "6.9 WINDOW_UPDATE of five bytes": (
        lambda c: _opened(c) + frame(WINDOW_UPDATE, 0, 1, bytes(5)),
        FRAME_SIZE_ERROR,
    ),
    "6.9 the connection's window opened by 0": (lambda _: window_update(0, 0), PROTOCOL_ERROR),
    "6.9.1 the connection's window above 2^31-1": (lambda _: window_update(0, MAX_WINDOW), FLOW_CONTROL_ERROR),
    "6.9.2 a stream's window above 2^31-1 by SETTINGS": (
        lambda c: _opened(c) + window_update(1, MAX_WINDOW - 65535) + settings((INITIAL_WINDOW, 65536)),
        FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("what", CONNECTION_ERRORS)
async def test_a_connection_error_is_a_goaway_with_its_code_and_the_end(running: Proxy, what: str) -> None:
    """RFC 9113 5.4.1: the section that asks for the error stands before each case."""
    make, code = CONNECTION_ERRORS[what]

    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        ordinary = await h2_client(running)
        await client.send(make(client))
        await client.to_end()
        assert [code for _, code in client.goaways] == [code]
        assert client.wire.saw_close_notify
        assert (await ordinary.get()).status == 200
        client.close()
        ordinary.close()


@pytest.mark.parametrize("kind", ["HEADERS", "PRIORITY on an idle stream", "PRIORITY on an open stream"])
async def test_rfc_7540_5_3_1_a_stream_that_depends_on_itself_is_a_stream_error(running: Proxy, kind: str) -> None:
    """RFC 7540 5.3.1: PROTOCOL_ERROR; the request reaches no app, and the connection lives on."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        own = frame(PRIORITY, 0, 1, b"\0\0\0\1\xff")
        if kind == "HEADERS":
            block = client.block([(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"app.dev.local")])
            block += client.block([(b":path", b"/own")])
            flags = END_HEADERS | END_STREAM | PRIORITISED
            own = frame(HEADERS, flags, client.stream(), b"\0\0\0\1\xff" + block)
        elif kind == "PRIORITY on an open stream":
            own = _opened(client) + own
        await client.send(own)
        assert (await client.reply(1)).reset == PROTOCOL_ERROR
        client.next_stream = 3
        assert (await client.get()).status == 200
        assert not client.goaways
        client.close()
    assert not any(b"/own" in head for connection in backend.connections for head in connection.heads)


async def test_5_1_data_behind_end_stream_on_an_open_answer_is_a_stream_error(running: Proxy) -> None:
    """RFC 9113 5.1, half-closed (remote): STREAM_CLOSED."""

    async with app(_until_the_proxy_ends) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for late in ("data", "headers"):
            stream = await client.request()
            await client.send(data(stream, b"x") if late == "data" else client.head(stream))
            assert (await client.reply(stream)).reset == STREAM_CLOSED
        await client.settle()
        assert not client.goaways
        client.close()


async def _until_the_proxy_ends(connection: AppConnection) -> None:
    await connection.to_eof()


@pytest.mark.parametrize("late", ["data", "headers"])
async def test_5_1_frames_on_a_stream_that_was_complete_are_an_error(running: Proxy, late: str) -> None:
    """RFC 9113 5.1, closed: a connection error STREAM_CLOSED."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 200
        await client.send(data(1, b"x") if late == "data" else client.head(1))
        await client.to_end()
        assert [code for _, code in client.goaways] == [STREAM_CLOSED]
        client.close()


@pytest.mark.parametrize("late", ["data", "headers"])
async def test_5_1_frames_behind_a_reset_by_the_client_are_a_stream_error(running: Proxy, late: str) -> None:
    """RFC 9113 5.1, closed: STREAM_CLOSED, and the connection lives on."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.send(_opened(client), rst_stream(1))
        await client.send(data(1, b"x") if late == "data" else client.raw_head(1, [(b"x", b"y")]))
        assert (await client.reply(1)).reset == STREAM_CLOSED
        assert (await client.get()).status == 200
        client.close()


async def test_5_1_frames_that_were_on_their_way_when_we_reset_are_ignored_and_decoded(running: Proxy) -> None:
    """RFC 9113 5.1, 4.3: the field table stays in step, and DATA is credited to the connection."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        broken = client.raw_head(client.stream(), [(b":method", b"GET"), (b"x-long", b"a" * 100)], end=False)
        trailers = client.raw_head(1, [(b"x-new", b"b" * 100)])
        await client.send(broken, data(1, b"x" * 1000), trailers, window_update(1, 10), rst_stream(1))
        assert (await client.reply(1)).reset == PROTOCOL_ERROR
        stream = await client.request((b"x-new", b"b" * 100), (b"x-long", b"a" * 100))
        assert (await client.reply(stream)).status == 200
        assert b"x-new: " + b"b" * 100 in backend.connections[0].heads[0]
        assert not client.goaways
        client.close()


# -- settings, PING, windows ------------------------------------------------------------------------------------------


async def test_6_5_3_each_settings_frame_is_acknowledged_in_order(running: Proxy) -> None:
    """RFC 9113 6.5.3."""
    client = await h2_client(running)
    await client.send(settings((INITIAL_WINDOW, 10)), settings(), settings((0x99, 1)))
    await client.settle()
    assert client.settings_acks == 4
    client.close()


async def test_6_7_a_ping_comes_back_with_its_bytes(running: Proxy) -> None:
    """RFC 9113 6.7."""
    client = await h2_client(running)
    await client.send(frame(PING, 0, 0, b"\0\1\2\3\xff\xfe\xfd\xfc"))
    await client.until(lambda: client.pings)
    assert client.pings == [b"\0\1\2\3\xff\xfe\xfd\xfc"]
    client.close()


async def test_5_3_2_and_6_3_a_priority_frame_of_another_size_is_a_stream_error(running: Proxy) -> None:
    """RFC 9113 6.3: FRAME_SIZE_ERROR on the stream alone."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.send(_opened(client), frame(PRIORITY, 0, 1, bytes(4)))
        assert (await client.reply(1)).reset == FRAME_SIZE_ERROR
        assert (await client.get()).status == 200
        client.close()


async def test_6_9_a_stream_window_opened_by_0_is_a_stream_error(running: Proxy) -> None:
    """RFC 9113 6.9: PROTOCOL_ERROR on the stream alone."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.send(_opened(client), window_update(1, 0))
        assert (await client.reply(1)).reset == PROTOCOL_ERROR
        assert (await client.get()).status == 200
        client.close()


async def test_6_9_1_a_stream_window_above_the_largest_is_a_stream_error(running: Proxy) -> None:
    """RFC 9113 6.9.1: FLOW_CONTROL_ERROR on the stream alone."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.send(_opened(client), window_update(1, MAX_WINDOW))
        assert (await client.reply(1)).reset == FLOW_CONTROL_ERROR
        assert (await client.get()).status == 200
        client.close()


async def test_4_2_padding_and_priority_are_taken_off_and_fragments_joined(running: Proxy) -> None:
    """RFC 9113 6.1, 6.2, 6.10: padded, prioritised and continued, the request is the same."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        block = client.block(
            [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"app.dev.local"), (b":path", b"/pieces")]
        )
        padded = b"\x07" + bytes(5) + block[:3] + bytes(7)
        pieces = [frame(CONTINUATION, 0, stream, bytes((byte,))) for byte in block[3:]]
        await client.send(
            frame(HEADERS, END_STREAM | PADDED | PRIORITISED, stream, padded),
            *pieces,
            frame(CONTINUATION, END_HEADERS, stream),
        )
        assert (await client.reply(stream)).status == 200
        assert backend.connections[0].heads[0].startswith(b"GET /pieces HTTP/1.1\r\n")
        client.close()


async def test_6_1_padding_of_data_is_no_body_and_counts_for_the_window(running: Proxy) -> None:
    """RFC 9113 6.1: all of the payload, padding and its length included, is flow-controlled."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        got.append(await connection.body(5))
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request((b"content-length", b"5"), method=b"POST", end=False)
        await client.send(frame(DATA, PADDED, stream, b"\x03hel\0\0\0"), frame(DATA, PADDED, stream, b"\x00lo"))
        await client.send(frame(DATA, PADDED | END_STREAM, stream, b"\xff" + bytes(255)))
        assert (await client.reply(stream)).status == 200
        assert got == [b"hello"]
        client.close()


async def test_6_9_more_data_than_our_window_is_an_error(running: Proxy) -> None:
    """RFC 9113 6.9: FLOW_CONTROL_ERROR on the stream whose window was overrun."""
    async with app(_read_head_and_stop) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        window = client.settings[INITIAL_WINDOW]
        stream = await client.request(method=b"POST", end=False)
        sent = 0
        # What the proxy passed on is credited again; an app that does not read bounds that.
        while not client.seen(stream).over and sent < 100 * window:
            await client.send(*[data(stream, bytes(16384)) for _ in range(16)])
            await client.settle()
            sent += 16 * 16384
        assert client.seen(stream).reset == FLOW_CONTROL_ERROR
        assert not client.goaways
        client.close()


async def _read_head_and_stop(connection: AppConnection) -> None:
    await connection.head()
    await asyncio.Event().wait()


async def test_6_8_a_client_that_leaves_is_answered_what_it_asked_for(running: Proxy) -> None:
    """RFC 9113 6.8: a GOAWAY says nothing about the streams that its sender has opened."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        await client.send(client.head(stream), frame(GOAWAY, 0, 0, struct.pack(">LL", 0, NO_ERROR)))
        assert (await client.reply(stream)).status == 200
        client.close()
