from devtls.http.events import Data, Response
from devtls.http.h2 import frames
from tests.http.h2.wire import GET, Frame, headers, opened_server, sent, window_update


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
