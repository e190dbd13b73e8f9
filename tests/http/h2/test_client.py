import pytest

from devtls.errors import LocalProtocolError
from devtls.http.events import Data, EndOfMessage, InformationalResponse, Request, Reset, Response
from devtls.http.h2 import frames
from devtls.http.h2.endpoint import H2Limits
from devtls.http.h2.frames import ErrorCode
from tests.http.h2.wire import OK, Frame, asked, codes, data, headers, opened_client, sent, window_update

REFUSED = [(b":status", b"403")]


@pytest.mark.parametrize("early", [data(1, b"body"), data(1, b"body", end_stream=True), data(1, end_stream=True)])
def test_a_body_before_the_response_is_malformed(early: bytes) -> None:
    client = opened_client()
    client.request(asked(7))
    client.data_to_send()
    events = client.receive_data(early, 0.0)
    assert [(number, type(event), event.stream_id) for number, event in events] == [(1, Reset, 7)]
    assert codes(client) == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_a_request_that_cannot_be_written_leaves_nothing_behind() -> None:
    client = opened_client()
    with pytest.raises(LocalProtocolError):
        client.request(Request(1, b"GET", b"/", b"a.test", [(b"A", b"b\r\nc: d")]))
    assert client.open_streams == 0
    assert client.data_to_send() == b""
    assert client.request(asked()) == 1


def test_the_stream_of_a_refused_websocket_ends_with_the_answer() -> None:
    client = opened_client()
    client.request(asked(upgrade=b"websocket"))
    client.data_to_send()
    events = client.receive_data(headers(1, REFUSED, end_stream=False) + data(1, b"no", end_stream=True), 0.0)
    assert [type(event) for _, event in events] == [Response, Data, EndOfMessage]
    assert sent(client) == [Frame(frames.DATA, frames.END_STREAM, 1)]
    assert client.open_streams == 0


def test_a_tunnel_that_is_finished_holds_no_stream_though_the_app_does_not_end_it() -> None:
    client = opened_client(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    client.request(asked(upgrade=b"websocket"))
    events = client.receive_data(headers(1, OK, end_stream=False), 0.0)
    assert [type(event) for _, event in events] == [InformationalResponse]
    client.data_to_send()
    client.send(1, Data(1, b"last words"))
    client.finish(1)
    assert client.data_to_send() == b""
    client.receive_data(window_update(1, 100), 0.0)
    assert sent(client) == [
        Frame(frames.DATA, frames.END_STREAM, 1, b"last words"),
        Frame(frames.RST_STREAM, 0, 1, bytes(4)),
    ]
    assert client.open_streams == 0


def test_no_more_streams_are_opened_than_the_connections_window_is_made_for() -> None:
    client = opened_client(H2Limits(max_streams=2), {frames.SETTINGS_MAX_CONCURRENT_STREAMS: 1000})
    client.request(asked(1))
    assert client.available
    client.request(asked(2))
    assert not client.available
    with pytest.raises(LocalProtocolError):
        client.request(asked(3))
