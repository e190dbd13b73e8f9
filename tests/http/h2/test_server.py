from devtls.http.events import Data
from devtls.http.h2 import frames
from tests.http.h2.wire import GET, POST, codes, data, headers, opened_server, sent


def test_a_request_behind_the_last_one_is_ignored_with_its_body() -> None:
    server = opened_server()
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    server.announce_end()
    server.end()
    sent(server)
    assert server.receive_data(headers(3, POST, end_stream=False) + data(3, b"body", end_stream=True), 0.0) == []
    assert not server.broken
    assert codes(server) == []
    assert server.receive_data(data(1, b"more"), 0.0) == [Data(1, b"more")]


def test_a_fault_behind_the_last_request_does_not_raise_its_number() -> None:
    server = opened_server()
    server.receive_data(headers(1, GET), 0.0)
    server.end()
    server.receive_data(headers(3, GET) + data(0), 0.0)
    assert [int.from_bytes(found.payload[:4]) for found in sent(server) if found.kind == frames.GOAWAY] == [1, 1]
