from devtls.http.events import Data, EndOfMessage, Response, Trailers
from devtls.http.h2 import frames
from devtls.http.h2.endpoint import OUT_OCTETS, H2Limits
from devtls.http.h2.frames import ErrorCode
from devtls.http.h2.server import H2Server
from tests.http.h2.wire import (
    GET,
    POST,
    SECRET,
    Frame,
    codes,
    data,
    frame,
    headers,
    opened_server,
    sent,
    settings,
    window_update,
)


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


def test_a_connection_breaks_once() -> None:
    server = H2Server(H2Limits(), SECRET)
    server.receive_data(frames.PREFACE + settings() + data(0), 0.0)
    assert codes(server) == [(0, ErrorCode.PROTOCOL_ERROR)]
    assert not server.waits
    assert server.tick(1000.0) == []
    assert codes(server) == []


def test_small_windows_are_no_smaller_than_what_a_peer_assumes_before_it_reads_our_settings() -> None:
    server = opened_server(H2Limits(window_octets=16_384, max_streams=1))
    piece = bytes(16_384)
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    server.pause_reading(1)
    assert len(server.receive_data(data(1, piece) * 3 + data(1, piece[1:]), 0.0)) == 4
    assert codes(server) == []


def test_streams_that_nobody_reads_leave_enough_of_the_connections_window_for_the_last_one() -> None:
    limits = H2Limits(window_octets=65_535, max_streams=8)
    server = opened_server(limits)
    window = dict.fromkeys(range(1, 17, 2), 65535)
    connection = limits.connection_window_octets

    def upload(stream_id: int, octets: int) -> int:
        nonlocal connection
        octets = min(octets, window[stream_id], connection, frames.MIN_FRAME_OCTETS)
        server.receive_data(data(stream_id, bytes(octets)), 0.0)
        window[stream_id] -= octets
        connection -= octets
        for found in sent(server):
            assert found.kind == frames.WINDOW_UPDATE
            if found.stream_id:
                window[found.stream_id] += int.from_bytes(found.payload)
            else:
                connection += int.from_bytes(found.payload)
        return octets

    for stream_id in window:
        server.receive_data(headers(stream_id, POST, end_stream=False), 0.0)
    for _ in range(3):  # what is read of all does not come back to the connection at once
        for stream_id in window:
            upload(stream_id, 10_000)
    for stream_id in list(window)[:-1]:
        server.pause_reading(stream_id)
        while upload(stream_id, frames.MIN_FRAME_OCTETS):
            pass
    total = sum(upload(15, frames.MIN_FRAME_OCTETS) for _ in range(100))
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


def test_a_queue_of_tiny_pieces_is_full_before_its_octets_are_many() -> None:
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


def test_the_headers_of_tiny_frames_count_as_octets_that_are_ready() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.send(Response(1, 200, [], body_length=None))
    server.data_to_send()
    for _ in range(10_000):
        server.send(Data(1, b"x"))
    assert server.ready_octets <= OUT_OCTETS + 10
    assert len(server.data_to_send()) <= OUT_OCTETS + 10
