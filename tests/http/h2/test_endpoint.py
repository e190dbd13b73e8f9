from devtls.http.events import Data, Response
from devtls.http.h2 import frames
from devtls.http.h2.endpoint import H2Limits
from devtls.http.h2.frames import ErrorCode
from devtls.http.h2.server import H2Server
from tests.http.h2.wire import (
    GET,
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
