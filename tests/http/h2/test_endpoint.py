"""What both sides do alike, mostly shown on the server's."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from devtls.http.events import Data, EndOfMessage, Headers, Malformed, Request, Reset, Response, Trailers
from devtls.http.h1.head import HeadLimits
from devtls.http.h2 import frames
from devtls.http.h2.client import H2ClientCodec
from devtls.http.h2.frames import ErrorCode
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.outgoing import OUT_BYTES, QUEUE_BYTES
from tests.http.h2.wire import (
    CONNECT,
    GET,
    OK,
    POST,
    SECRET,
    Frame,
    block,
    codes,
    data,
    frame,
    goaway,
    headers,
    opened_server,
    rst_stream,
    sent,
    settings,
    window_update,
)

ACKED = Frame(frames.SETTINGS, frames.ACK, 0)


def test_a_stream_without_a_window_does_not_stop_one_that_waits_behind_it() -> None:
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.receive_data(headers(1, GET) + headers(3, GET) + window_update(3, 100), 0.0)
    for stream_id in (1, 3):
        server.send(Response(stream_id, 200, [], body_length=None))
    server.paused = True
    server.send(Data(1, b"no window"))
    server.send(Data(3, b"a window"))
    server.data_to_send()
    server.paused = False
    assert sent(server) == [Frame(frames.DATA, 0, 3, b"a window")]


def test_a_priority_of_a_wrong_length_on_an_idle_stream_is_no_reason_for_a_reset() -> None:
    server = opened_server()
    server.receive_data(frame(frames.PRIORITY, 0, 5, b"1234"), 0.0)
    assert codes(server) == [(0, ErrorCode.FRAME_SIZE_ERROR)]


@pytest.mark.parametrize("state", ["idle", "open", "over"])
def test_priority_that_makes_a_stream_depend_on_itself_is_an_error_of_that_stream(state: str) -> None:
    """RFC 7540 5.3.1; with the bit that makes it exclusive, too."""
    server = opened_server()
    opening = {"idle": b"", "open": headers(5, POST, end_stream=False), "over": headers(5, POST) + rst_stream(5)}
    server.receive_data(opening[state], 0.0)
    sent(server)
    server.receive_data(frame(frames.PRIORITY, 0, 5, b"\x80\0\0\5\x10"), 0.0)
    assert codes(server) == [(5, ErrorCode.PROTOCOL_ERROR)]
    assert any(isinstance(event, Request) for event in server.receive_data(headers(7, GET), 0.0))


def test_a_connection_breaks_once() -> None:
    server = H2ClientCodec(H2Limits(), SECRET)
    server.receive_data(frames.PREFACE + settings() + data(0), 0.0)
    assert codes(server) == [(0, ErrorCode.PROTOCOL_ERROR)]
    assert not server.waits
    assert server.tick(1000.0) == []
    assert codes(server) == []


def test_small_windows_are_no_smaller_than_what_a_peer_assumes_before_it_reads_our_settings() -> None:
    server = opened_server(H2Limits(window_bytes=16_384, max_streams=1))
    piece = bytes(16_384)
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    server.pause_reading(1)
    assert len(server.receive_data(data(1, piece) * 3 + data(1, piece[1:]), 0.0)) == 4
    assert codes(server) == []


def test_streams_that_nobody_reads_leave_enough_of_the_connections_window_for_the_last_one() -> None:
    limits = H2Limits(window_bytes=65_535, max_streams=8)
    server = opened_server(limits)
    window = dict.fromkeys(range(1, 17, 2), 65535)
    connection = limits.connection_window_bytes

    def upload(stream_id: int, size: int) -> int:
        nonlocal connection
        size = min(size, window[stream_id], connection, frames.MIN_FRAME_BYTES)
        server.receive_data(data(stream_id, bytes(size)), 0.0)
        window[stream_id] -= size
        connection -= size
        for found in sent(server):
            assert found.kind == frames.WINDOW_UPDATE
            if found.stream_id:
                window[found.stream_id] += int.from_bytes(found.payload)
            else:
                connection += int.from_bytes(found.payload)
        return size

    for stream_id in window:
        server.receive_data(headers(stream_id, POST, end_stream=False), 0.0)
    for _ in range(3):  # what is read of all does not come back to the connection at once
        for stream_id in window:
            upload(stream_id, 10_000)
    for stream_id in list(window)[:-1]:
        server.pause_reading(stream_id)
        while upload(stream_id, frames.MIN_FRAME_BYTES):
            pass
    total = sum(upload(15, frames.MIN_FRAME_BYTES) for _ in range(100))
    assert total > 1_000_000


def test_what_comes_behind_the_end_of_a_message_is_not_queued() -> None:
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    server.data_to_send()
    server.send(Data(1, b"body"))
    server.send(EndOfMessage(1))
    server.send(Data(1, b"more"))
    server.send(Trailers(1, [(b"a", b"b")]))
    server.receive_data(window_update(1, 100), 0.0)
    assert sent(server) == [Frame(frames.DATA, frames.END_STREAM, 1, b"body")]
    assert (server.open_streams, server.waits) == (0, False)
    server.receive_data(headers(3, GET), 0.0)
    server.send(Response(3, 200, [], body_length=None))
    server.send(Data(3, b"body"))
    assert server.waits


def test_a_queue_of_tiny_pieces_is_full_before_its_bytes_are_many() -> None:
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    server.data_to_send()
    pieces = 1
    while not server.send(Data(1, b"x")):
        pieces += 1
    assert pieces == 1024
    server.receive_data(window_update(1, pieces // 2), 0.0)
    sent(server)
    assert server.drained == []
    server.receive_data(window_update(1, 1), 0.0)
    sent(server)
    assert server.drained == [1]


def test_the_headers_of_tiny_frames_count_as_bytes_that_are_ready() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    server.data_to_send()
    for _ in range(10_000):
        server.send(Data(1, b"x"))
    assert server.ready_bytes <= OUT_BYTES + 10
    assert len(server.data_to_send()) <= OUT_BYTES + 10


def answering(*stream_ids: int, pairs: dict[int, int] | None = None) -> H2ClientCodec:
    """Return a server that has begun to answer GETs on streams."""
    server = opened_server(pairs=pairs)
    for stream_id in stream_ids:
        server.receive_data(headers(stream_id, GET), 0.0)
        server.send(Response(stream_id, 200, [], body_length=None))
    server.data_to_send()
    return server


def sizes(server: H2ClientCodec) -> list[tuple[int, int]]:
    return [(found.stream_id, len(found.payload)) for found in sent(server) if found.kind == frames.DATA]


# -- what is no HTTP/2 ------------------------------------------------------------------------------------------------

OPEN = headers(1, POST, end_stream=False)
FAULTS = [
    (frame(frames.DATA, 0, 1, bytes(16_385)), ErrorCode.FRAME_SIZE_ERROR),
    (data(0), ErrorCode.PROTOCOL_ERROR),
    (data(3), ErrorCode.PROTOCOL_ERROR),
    (OPEN + frame(frames.DATA, frames.PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
    (OPEN + frame(frames.DATA, frames.PADDED, 1, b"\x01"), ErrorCode.PROTOCOL_ERROR),
    (OPEN + frame(frames.DATA, frames.PADDED, 1, b"\x04abc"), ErrorCode.PROTOCOL_ERROR),
    (headers(0, GET), ErrorCode.PROTOCOL_ERROR),
    (headers(2, GET), ErrorCode.PROTOCOL_ERROR),
    (headers(3, GET) + headers(1, GET), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.HEADERS, frames.PADDED | frames.END_HEADERS, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.HEADERS, frames.PRIORITISED | frames.END_HEADERS, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    (frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x00"), ErrorCode.COMPRESSION_ERROR),
    (OPEN + frame(frames.HEADERS, 5, 1, b"\x00"), ErrorCode.COMPRESSION_ERROR),
    (frame(frames.HEADERS, 0, 1) + data(1), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 4, 3), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.HEADERS, 0, 1) + frame(99, 0, 1), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.CONTINUATION, 4, 1), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.PRIORITY, 0, 0, b"12345"), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.RST_STREAM, 0, 1, b"123"), ErrorCode.FRAME_SIZE_ERROR),
    (rst_stream(0), ErrorCode.PROTOCOL_ERROR),
    (rst_stream(1), ErrorCode.PROTOCOL_ERROR),
    (rst_stream(2), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    (frame(frames.SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    (settings({frames.SETTINGS_ENABLE_PUSH: 2}), ErrorCode.PROTOCOL_ERROR),
    (settings({frames.SETTINGS_ENABLE_CONNECT_PROTOCOL: 2}), ErrorCode.PROTOCOL_ERROR),
    (settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 2**31}), ErrorCode.FLOW_CONTROL_ERROR),
    (settings({frames.SETTINGS_MAX_FRAME_SIZE: 16_383}), ErrorCode.PROTOCOL_ERROR),
    (settings({frames.SETTINGS_MAX_FRAME_SIZE: 2**24}), ErrorCode.PROTOCOL_ERROR),
    (OPEN + window_update(1, 2**31 - 65_536) + settings({4: 65_536}), ErrorCode.FLOW_CONTROL_ERROR),
    (frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    (frame(frames.GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    (frame(frames.GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    (frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    (window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
    (window_update(0, 2**31 - 65_535), ErrorCode.FLOW_CONTROL_ERROR),
    (window_update(1, 1), ErrorCode.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("wire", "code"), FAULTS)
def test_what_breaks_a_connections_rules_ends_it(wire: bytes, code: ErrorCode) -> None:
    server = opened_server()
    events = server.receive_data(wire, 0.0)
    last = events[-1]
    assert isinstance(last, Malformed)
    assert (last.stream_id, last.status) == (0, 400)
    assert (server.broken, server.open_streams) == (True, 0)
    goodbye = sent(server)[-1]
    assert goodbye.kind == frames.GOAWAY
    assert goodbye.payload[4:] == struct.pack(">L", code) + last.reason.encode()
    assert server.receive_data(headers(5, GET), 0.0) == []
    assert server.data_to_send() == b""


STREAM_FAULTS = [
    (OPEN + window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    (OPEN + window_update(1, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    (OPEN + frame(frames.PRIORITY, 0, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    (headers(1, POST) + data(1, b"late"), ErrorCode.STREAM_CLOSED),
    (headers(1, POST) + headers(1, [(b"a", b"b")]), ErrorCode.STREAM_CLOSED),
    (OPEN + rst_stream(1) + data(1, b"late"), ErrorCode.STREAM_CLOSED),
    (OPEN + headers(1, [(b"a", b"b")], end_stream=False), ErrorCode.PROTOCOL_ERROR),
    (OPEN + headers(1, OK), ErrorCode.PROTOCOL_ERROR),
    (OPEN + headers(1, [(b"a", b"b")] * 300), ErrorCode.ENHANCE_YOUR_CALM),
    (headers(1, CONNECT, end_stream=False) + headers(1, [(b"a", b"b")]), ErrorCode.PROTOCOL_ERROR),
    (headers(1, [*POST, (b"content-length", b"3")], end_stream=False) + data(1, b"four"), ErrorCode.PROTOCOL_ERROR),
    (
        headers(1, [*POST, (b"content-length", b"3")], end_stream=False) + data(1, b"2.", end_stream=True),
        ErrorCode.PROTOCOL_ERROR,
    ),
]


@pytest.mark.parametrize(("wire", "code"), STREAM_FAULTS)
def test_what_breaks_a_streams_rules_ends_that_stream(wire: bytes, code: ErrorCode) -> None:
    server = opened_server()
    events = server.receive_data(wire, 0.0)
    assert isinstance(events[-1], Reset)
    assert codes(server) == [(1, code)]
    assert (server.broken, server.open_streams) == (False, 0)
    # what was on its way is nobody's fault
    assert server.receive_data(data(1, b"late") + rst_stream(1) + window_update(1, 1) + headers(1, POST), 0.0) == []
    assert codes(server) == []


def test_a_frame_on_a_stream_that_was_complete_ends_the_connection() -> None:
    server = answering(1)
    server.send(EndOfMessage(1))
    server.receive_data(window_update(1, 1) + rst_stream(1) + frame(frames.PRIORITY, 0, 1, b"12345"), 0.0)
    assert not server.broken
    server.receive_data(data(1, b"late"), 0.0)
    assert codes(server) == [(0, ErrorCode.STREAM_CLOSED)]


def test_the_first_frame_is_settings() -> None:
    for first in (frames.SETTINGS_ACK, headers(1, GET), frame(frames.PING, 0, 0, bytes(8)), window_update(0, 1)):
        server = H2ClientCodec(H2Limits(), SECRET)
        server.receive_data(frames.PREFACE + first, 0.0)
        assert codes(server) == [(0, ErrorCode.PROTOCOL_ERROR)]


def test_more_than_the_windows_allow_is_refused() -> None:
    limits = H2Limits(window_bytes=65_535, max_streams=2)
    piece = bytes(16_384)
    server = opened_server(limits)
    for stream_id in (1, 3):
        server.receive_data(headers(stream_id, POST, end_stream=False), 0.0)
        server.pause_reading(stream_id)
    server.receive_data(data(1, piece) * 3 + data(1, piece[1:]), 0.0)
    assert codes(server) == []
    assert isinstance(server.receive_data(data(1, b"1"), 0.0)[0], Reset)
    assert codes(server) == [(1, ErrorCode.FLOW_CONTROL_ERROR)]
    assert server._receive_window + server._held == limits.connection_window_bytes
    server = opened_server(H2Limits(window_bytes=65_535, max_streams=1))
    server.receive_data(OPEN, 0.0)
    server.pause_reading(1)
    server.receive_data(data(1, piece) * 4, 0.0)
    assert codes(server) == [(0, ErrorCode.FLOW_CONTROL_ERROR)]


# -- what is taken ----------------------------------------------------------------------------------------------------


def test_padding_and_priority_are_taken_off_and_unknown_frames_and_settings_ignored() -> None:
    server = opened_server()
    flags = frames.PADDED | frames.PRIORITISED | frames.END_HEADERS
    events = server.receive_data(
        frame(99, 255, 5, b"?")
        + settings({99: 1, frames.SETTINGS_MAX_CONCURRENT_STREAMS: 0, frames.SETTINGS_ENABLE_PUSH: 0})
        + frame(frames.HEADERS, flags, 1, b"\x03" + b"prio!" + block(POST) + bytes(3))
        + frame(frames.PRIORITY, 0, 9, b"12345")
        + frame(frames.DATA, frames.PADDED, 1, b"\x02body\0\0")
        + frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\x00"),
        0.0,
    )
    assert [type(event) for event in events] == [Request, Data, EndOfMessage]
    assert events[1] == Data(1, b"body")
    assert sent(server) == [ACKED]


def test_pings_and_settings_are_acknowledged() -> None:
    server = opened_server()
    ping = frame(frames.PING, 0, 0, b"12345678")
    server.receive_data(ping + frame(frames.PING, frames.ACK, 0, b"12345678") + settings(), 0.0)
    assert sent(server) == [Frame(frames.PING, frames.ACK, 0, b"12345678"), ACKED]


def test_the_trailers_of_a_request_are_its_last() -> None:
    server = opened_server()
    events = server.receive_data(OPEN + data(1, b"body") + headers(1, [(b"a", b"b")]), 0.0)
    assert events[1:] == [Data(1, b"body"), Trailers(1, [(b"a", b"b")]), EndOfMessage(1)]
    assert server.receive_data(headers(3, POST, end_stream=False) + headers(3, []), 0.0)[1:] == [EndOfMessage(3)]


def test_a_goaway_of_the_peer_is_noticed() -> None:
    server = opened_server()
    server.receive_data(goaway(0), 0.0)
    assert server.peer_leaves


# -- defences ---------------------------------------------------------------------------------------------------------


def test_a_hundred_empty_frames_in_a_row_are_too_many() -> None:
    server = opened_server()
    server.receive_data(OPEN + data(1) * 100 + data(1, b"x") + data(1) * 100, 0.0)
    assert not server.broken
    server.receive_data(data(1), 0.0)
    assert codes(server) == [(0, ErrorCode.ENHANCE_YOUR_CALM)]


def test_a_field_block_takes_64_frames_and_no_more() -> None:
    more = frame(frames.CONTINUATION, 0, 1)
    server = opened_server()
    events = server.receive_data(
        frame(frames.HEADERS, frames.END_STREAM, 1) + more * 62 + frame(frames.CONTINUATION, 4, 1, block(GET)), 0.0
    )
    assert [type(event) for event in events] == [Request, EndOfMessage]
    server.receive_data(frame(frames.HEADERS, 0, 3) + frame(frames.CONTINUATION, 0, 3) * 64, 0.0)
    assert codes(server) == [(0, ErrorCode.ENHANCE_YOUR_CALM)]


def test_a_field_block_is_no_longer_than_a_head() -> None:
    server = opened_server(H2Limits(head=HeadLimits(max_head_bytes=20_000)))
    server.receive_data(
        frame(frames.HEADERS, 0, 1, bytes(16_000)) + frame(frames.CONTINUATION, 0, 1, bytes(4_000)), 0.0
    )
    assert not server.broken
    server.receive_data(frame(frames.CONTINUATION, 0, 1, b"1"), 0.0)
    assert codes(server) == [(0, ErrorCode.ENHANCE_YOUR_CALM)]


def test_a_field_block_that_is_not_completed_ends_the_connection() -> None:
    server = opened_server()
    server.receive_data(frame(frames.HEADERS, 0, 1), 5.0)
    assert server.waits
    assert server.tick(15.0) == []
    assert isinstance(server.tick(15.1)[0], Malformed)
    assert codes(server) == [(0, ErrorCode.ENHANCE_YOUR_CALM)]


def test_settings_are_to_be_acknowledged_in_time() -> None:
    server = H2ClientCodec(H2Limits(), SECRET)
    server.receive_data(frames.PREFACE + settings(), 5.0)
    assert server.waits
    server.tick(15.0)
    assert not server.broken
    server.tick(15.1)
    assert codes(server) == [(0, ErrorCode.SETTINGS_TIMEOUT)]


@pytest.mark.parametrize("asks", [settings(), frame(frames.PING, 0, 0, bytes(8))])
def test_a_thousand_acknowledgements_wait_and_no_more(asks: bytes) -> None:
    server = opened_server()
    for turn in range(3):
        server.receive_data(asks * 1000, 20.0 * turn)
        assert len(sent(server)) == 1000
    server.receive_data(asks * 1001, 60.0)
    assert codes(server) == [(0, ErrorCode.ENHANCE_YOUR_CALM)]


CONTROL = {
    "PING": (frame(frames.PING, 0, 0, bytes(8)), 1_030),
    "SETTINGS": (settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 5}), 1_030),
    "SETTINGS of 2,730 settings": (frame(frames.SETTINGS, 0, 0, b"\x99\x99\0\0\0\0" * 2730), 3),
    "RST_STREAM on a stream that is over": (rst_stream(1), 1_030),
    "PRIORITY": (frame(frames.PRIORITY, 0, 5, bytes(5)), 2_060),
    "WINDOW_UPDATE": (window_update(0, 1), 2_060),
    "WINDOW_UPDATE on a stream that is over": (window_update(1, 1), 2_060),
    "an unknown frame": (frame(0x99, 0xFF, 0, b"x"), 2_060),
    "GOAWAY": (goaway(2**31 - 1), 2_060),
    "small DATA on a stream that was reset": (data(1, b""), 2_060),
    "HEADERS on a stream that was reset": (headers(1, [(b"a", b"b")]), 1_030),
    "an acknowledgement of SETTINGS": (frames.SETTINGS_ACK, 8_300),
    "an acknowledgement of PING": (frame(frames.PING, frames.ACK, 0, bytes(8)), 8_300),
}


@pytest.mark.parametrize("what", CONTROL)
def test_frames_that_carry_no_message_have_a_budget(what: str) -> None:
    """RFC 9113 10.5: every kind; half of it is fine, all of it at once is the end, and time gives some back."""
    wire, most = CONTROL[what]

    def broken_by(seconds: float) -> bool:
        server = opened_server()
        server.receive_data(headers(1, [*POST, (b"A", b"b")]), 0.0)  # which we reset
        sent(server)
        for now_s in (0.0, seconds):
            assert not server.broken
            for _ in range(most // 2 + 1):
                server.receive_data(wire, now_s)
                server.data_to_send()
        return server.broken

    assert broken_by(0.0)
    assert not broken_by(8.0)


def test_answers_and_data_pay_for_the_frames_that_they_bring_with_them() -> None:
    """Two WINDOW_UPDATEs and a PING for each DATA (gRPC's estimate of the bandwidth), PRIORITY before each request."""
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 2**30})
    for number in range(1, 1_001, 2):
        server.receive_data(frame(frames.PRIORITY, 0, number, bytes(5)) + headers(number, GET), 0.0)
        server.send(Response(number, 200, [], body_length=None))
        for _ in range(10):
            server.send(Data(number, b"x" * 100))
            server.data_to_send()
            acknowledged = window_update(0, 100) + window_update(number, 100)
            server.receive_data(acknowledged + frame(frames.PING, 0, 0, bytes(8)), 0.0)
        server.send(EndOfMessage(number))
        server.data_to_send()
    assert not server.broken


def test_credit_for_each_kibibyte_that_was_read_is_honest() -> None:
    """A reader of a large body that gives credit for every read, on the stream and on the connection."""
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 2**30})
    server.receive_data(headers(1, GET) + window_update(0, 2**30), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    for _ in range(500):
        server.send(Data(1, bytes(16_384)))
        server.data_to_send()
        server.receive_data((window_update(0, 1024) + window_update(1, 1024)) * 16, 0.0)
    assert not server.broken


def test_a_stream_that_is_read_byte_by_byte_is_given_up() -> None:
    """CVE-2019-9511: 13 bytes that make us send ten."""
    server = opened_server(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    server.send(Data(1, bytes(60_000)))
    for _ in range(3_000):
        server.receive_data(window_update(1, 1), 0.0)
        server.data_to_send()
    assert server.broken


def test_many_events_are_worked_off_in_pieces() -> None:
    server = opened_server()
    body = b"".join(data(1, b"x") for _ in range(1200))
    first = server.receive_data(headers(1, POST, end_stream=False) + body + headers(3, GET), 0.0)
    assert len(first) == 512
    assert server.has_more
    second = server.receive_data(data(1, b"last"), 0.0)
    assert len(second) == 512
    third = server.receive_data(b"", 0.0)
    assert third[-2:] == [EndOfMessage(3), Data(1, b"last")]
    assert len(first) + len(second) + len(third) == 1 + 1200 + 2 + 1
    assert not server.has_more


def test_nothing_is_left_to_work_off_on_a_broken_connection() -> None:
    server = opened_server()
    body = b"".join(data(1, b"x") for _ in range(600))
    server.receive_data(headers(1, POST, end_stream=False) + body + rst_stream(0), 0.0)
    assert server.has_more
    server.receive_data(b"", 0.0)
    assert server.broken
    assert not server.has_more


RESETS: dict[str, tuple[Headers, Callable[[int], bytes]]] = {
    "window update of 0": (POST, lambda number: window_update(number, 0)),
    "window overflow": (POST, lambda number: window_update(number, 2**31 - 1)),
    "data behind the end": (GET, lambda number: data(number, b"x")),
    "priority length": (POST, lambda number: frame(frames.PRIORITY, 0, number, b"1234")),
    "malformed request": ([*GET, (b"A", b"b")], lambda number: b""),
    "wrong length": ([*POST, (b"content-length", b"1")], lambda number: data(number, b"xx")),
    "taken back": (POST, rst_stream),
}


@pytest.mark.parametrize("attack", RESETS)
def test_two_hundred_resets_are_forgiven_and_a_hundred_more_each_second(attack: str) -> None:
    fields, cause = RESETS[attack]
    server = opened_server()
    number = -1

    def reset(now_s: float) -> None:
        nonlocal number
        number += 2
        opening = headers(number, fields, end_stream=attack == "data behind the end")
        for event in server.receive_data(opening + cause(number), now_s):
            if isinstance(event, Reset):
                server.release(event.stream_id)
        server.data_to_send()

    for _ in range(200):
        reset(0.0)
    assert not server.broken
    for _ in range(100):
        reset(1.0)
    assert not server.broken
    reset(1.0)
    assert server.broken


# -- sending ----------------------------------------------------------------------------------------------------------


def test_two_large_bodies_take_turns_frame_by_frame() -> None:
    server = answering(1, 3, pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.receive_data(window_update(0, 2**30), 0.0)
    for stream_id in (1, 3):
        assert server.send(Data(stream_id, bytes(80_000)))
        server.send(EndOfMessage(stream_id))
    server.receive_data(window_update(1, 80_000) + window_update(3, 80_000), 0.0)
    assert [number for number, _ in sizes(server)] == [1, 3] * 5
    assert server.drained == [1, 3]
    assert (server.open_streams, server.bytes_sent) == (0, 160_000)


def test_no_call_makes_much_more_ready_than_one_write_takes() -> None:
    server = answering(1, pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 2**30})
    server.receive_data(window_update(0, 2**30), 0.0)
    assert server.send(Data(1, bytes(300_000)))
    lengths = []
    while out := server.data_to_send():
        lengths.append(len(out))
    assert max(lengths) < OUT_BYTES + 16_384 + 9
    assert server.bytes_sent == 300_000


def test_data_that_exactly_fills_the_windows_needs_no_more_credit_for_its_end() -> None:
    server = answering(1)
    assert not server.send(Data(1, bytes(65_535)))
    server.send(EndOfMessage(1))
    found = sent(server)
    assert [len(one.payload) for one in found] == [16_384, 16_384, 16_384, 16_383]
    assert [one.flags for one in found] == [0, 0, 0, frames.END_STREAM]
    assert server.open_streams == 0


def test_an_end_behind_data_that_has_left_is_a_frame_of_its_own() -> None:
    server = answering(1, 3)
    for stream_id in (1, 3):
        server.send(Data(stream_id, b"body"))
    server.send(EndOfMessage(1))
    assert [(one.stream_id, one.flags, one.payload) for one in sent(server)] == [
        (1, 0, b"body"),
        (3, 0, b"body"),
        (1, 1, b""),
    ]
    server.send(EndOfMessage(3))
    assert sent(server) == [Frame(frames.DATA, frames.END_STREAM, 3)]


def test_trailers_come_behind_what_is_queued() -> None:
    server = answering(1, pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 5})
    server.send(Data(1, b"queued"))
    server.send(Data(1, b"too"))
    server.send(Trailers(1, [(b"grpc-status", b"0")]))
    server.send(EndOfMessage(1))
    assert [(one.kind, one.payload) for one in sent(server)] == [(frames.DATA, b"queue")]
    assert server.queued(1) == 4
    server.receive_data(window_update(1, 100), 0.0)
    found = sent(server)
    assert [(one.kind, one.flags) for one in found] == [(frames.DATA, 0), (frames.DATA, 0), (frames.HEADERS, 5)]
    assert (server.open_streams, server.queued(1), server.waits) == (0, 0, False)


def test_trailers_of_nothing_are_an_end() -> None:
    server = answering(1)
    server.send(Trailers(1, [(b"host", b"a")]))
    assert sent(server) == [Frame(frames.DATA, frames.END_STREAM, 1)]


def test_while_the_owner_is_paused_bodies_and_ends_wait_and_replies_do_not() -> None:
    server = answering(1, 3)
    server.paused = True
    server.send(Data(1, b"body"))
    server.send(EndOfMessage(3))
    server.receive_data(frame(frames.PING, 0, 0, bytes(8)), 0.0)
    assert [one.kind for one in sent(server)] == [frames.PING]
    server.paused = False
    assert sent(server) == [Frame(frames.DATA, 0, 1, b"body"), Frame(frames.DATA, frames.END_STREAM, 3)]


def test_a_smaller_initial_window_makes_windows_negative() -> None:
    server = answering(1)
    server.send(Data(1, bytes(60_000)))
    sent(server)
    server.receive_data(settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 10_000}), 0.0)
    server.send(Data(1, b"waits"))
    assert sent(server) == [ACKED]
    server.receive_data(window_update(1, 50_000), 0.0)
    assert sent(server) == []
    server.receive_data(window_update(1, 2), 0.0)
    assert sizes(server) == [(1, 2)]
    server.receive_data(settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 10_001}), 0.0)
    assert sizes(server) == [(1, 1)]
    server.receive_data(settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 2**31 - 1}), 0.0)
    assert sizes(server) == [(1, 2)]


def test_the_connections_window_is_shared() -> None:
    server = answering(1, 3, pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 2**20})
    server.send(Data(1, bytes(65_535)))
    assert len(sizes(server)) == 4
    server.send(Data(1, b"a" * 20_000))
    server.send(Data(3, b"b" * 20_000))
    assert sizes(server) == []
    server.receive_data(window_update(0, 20_000), 0.0)
    assert sizes(server) == [(1, 16_384), (3, 3_616)]
    server.receive_data(window_update(0, 20_000), 0.0)
    assert sizes(server) == [(1, 3_616), (3, 16_384)]


def test_frames_grow_with_what_the_peer_takes() -> None:
    server = answering(1, pairs={frames.SETTINGS_MAX_FRAME_SIZE: 2**24 - 1})
    server.send(Data(1, bytes(65_535)))
    assert sizes(server) == [(1, 65_535)]


def test_a_full_queue_says_so_until_half_of_it_is_gone() -> None:
    server = answering(1, pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    assert not server.send(Data(1, bytes(QUEUE_BYTES - 1)))
    assert server.send(Data(1, b"x"))
    assert server.send(Data(1, b"x"))
    server.receive_data(window_update(1, QUEUE_BYTES // 2 + 1), 0.0)
    sent(server)
    assert server.drained == []
    server.receive_data(window_update(1, 1), 0.0)
    sent(server)
    assert server.drained == [1]


def test_a_stream_whose_body_stands_still_is_given_up() -> None:
    server = answering(1, 3, pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    for stream_id in (1, 3):
        server.send(Data(stream_id, b"bomb"))
    assert server.waits
    assert server.tick(100.0) == []
    server.receive_data(window_update(3, 1), 120.0)
    sent(server)
    assert server.tick(130.0) == []
    assert server.tick(160.0) == [Reset(1, "The peer took no more of the body.", ErrorCode.CANCEL)]
    assert codes(server) == [(1, ErrorCode.CANCEL)]
    assert [type(event) for event in server.tick(190.0)] == [Reset]
    assert (server.open_streams, server.waits) == (0, False)


def test_our_first_block_and_the_one_behind_a_new_table_size_empty_the_table() -> None:
    server = opened_server()
    for stream_id in (1, 3):
        server.receive_data(headers(stream_id, GET), 0.0)
        server.send(Response(stream_id, 204, []))
        server.send(EndOfMessage(stream_id))
    server.receive_data(settings({frames.SETTINGS_HEADER_TABLE_SIZE: 0}) + headers(5, GET), 0.0)
    server.send(Response(5, 204, []))
    server.send(EndOfMessage(5))
    assert [one.payload for one in sent(server) if one.kind == frames.HEADERS] == [b"\x20\x89", b"\x89", b"\x20\x89"]


def test_a_long_head_goes_on_in_continuations() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [(b"a", b"x" * 40_000)]))
    server.send(EndOfMessage(1))
    assert [(one.kind, one.flags) for one in sent(server)] == [(1, 0), (9, 0), (9, 4), (0, 1)]


# -- credit -----------------------------------------------------------------------------------------------------------


def test_credit_is_given_by_halves_of_a_window_and_not_while_nobody_reads() -> None:
    server = opened_server(H2Limits(window_bytes=65_536))
    server.receive_data(OPEN + data(1, bytes(16_384)), 0.0)
    assert sent(server) == []
    server.receive_data(data(1, bytes(16_384)), 0.0)
    more = struct.pack(">L", 32_768)
    assert sent(server) == [Frame(frames.WINDOW_UPDATE, 0, 1, more), Frame(frames.WINDOW_UPDATE, 0, 0, more)]
    server.pause_reading(1)
    server.receive_data(data(1, bytes(16_384)) * 3, 0.0)
    assert sent(server) == []
    server.resume_reading(1)
    assert [int.from_bytes(one.payload) for one in sent(server)] == [49_152, 49_152]


def test_what_a_stream_held_comes_back_to_the_connection_when_it_ends() -> None:
    for ending in (data(1, end_stream=True), rst_stream(1)):
        server = opened_server(H2Limits(window_bytes=65_536))
        server.receive_data(OPEN, 0.0)
        server.pause_reading(1)
        server.receive_data(data(1, bytes(16_384)) * 2 + ending, 0.0)
        assert sent(server) == [Frame(frames.WINDOW_UPDATE, 0, 0, struct.pack(">L", 32_768))]
        server.resume_reading(1)
        assert sent(server) == []


def test_what_comes_for_nobody_comes_back_to_the_connection() -> None:
    server = opened_server(H2Limits(window_bytes=65_536))
    server.receive_data(OPEN, 0.0)
    server.reset(1)
    server.receive_data(data(1, bytes(16_384)) * 2, 0.0)
    assert [one.kind for one in sent(server)] == [frames.RST_STREAM, frames.WINDOW_UPDATE]


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_reset_takes_the_queue_with_it() -> None:
    server = answering(1, pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    server.send(Data(1, b"body"))
    server.reset(1)
    server.reset(1)
    assert codes(server) == [(1, ErrorCode.CANCEL)]
    assert (server.queued(1), server.waits) == (0, False)
    assert not server.send(Data(1, b"more"))
    server.receive_data(window_update(1, 5), 0.0)
    assert sent(server) == []


def test_what_is_reset_while_it_waits_for_its_turn_is_passed_over() -> None:
    server = answering(1, 3)
    server.paused = True
    server.send(Data(1, b"gone"))
    server.send(Data(3, b"body"))
    server.receive_data(rst_stream(1), 0.0)
    server.paused = False
    assert sizes(server) == [(3, 4)]


def test_streams_that_are_over_are_left_alone() -> None:
    server = opened_server()
    server.pause_reading(1)
    server.resume_reading(1)
    server.finish(1)
    server.send(EndOfMessage(1))
    assert (server.queued(1), server.data_to_send()) == (0, b"")


def test_what_is_ready_is_counted() -> None:
    server = answering(1)
    server.send(Data(1, b"body"))
    assert server.ready_bytes == 13
    assert len(server.data_to_send()) == 13
    assert server.ready_bytes == 0
