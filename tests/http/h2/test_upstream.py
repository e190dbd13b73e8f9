from __future__ import annotations

import pytest

from devtls.errors import LocalProtocolError
from devtls.http.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    Request,
    Reset,
    Response,
    Trailers,
)
from devtls.http.h1.head import HeadLimits
from devtls.http.h2 import frames
from devtls.http.h2.frames import ErrorCode
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.upstream import H2UpstreamCodec
from devtls.http.upgrade import accept_of
from tests.http.h2.wire import (
    OK,
    Frame,
    asked,
    codes,
    data,
    frame,
    goaway,
    headers,
    opened_client,
    parse,
    rst_stream,
    sent,
    sent_bytes,
    settings,
    window_update,
)

REFUSED = [(b":status", b"403")]


@pytest.mark.parametrize("early", [data(1, b"body"), data(1, b"body", end_stream=True), data(1, end_stream=True)])
def test_a_body_before_the_response_is_malformed(early: bytes) -> None:
    client = opened_client()
    client.request(asked(7))
    client.data_to_send()
    events = client.receive_data(early, 0.0)
    assert [(number, type(event), event.stream_id) for number, event in events] == [(1, Reset, 7)]
    assert codes(client) == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_the_end_of_a_request_is_not_folded_into_its_head() -> None:
    """grpc-go never ends a stream whose request ended with HEADERS: a call without a message would hang."""
    client = opened_client()
    client.request(asked(7, method=b"POST", length=None))
    client.send(1, EndOfMessage(7))
    assert [(found.kind, found.flags, found.payload) for found in sent(client)] == [
        (frames.HEADERS, frames.END_HEADERS, parse(sent_bytes(_asking()))[0].payload),
        (frames.DATA, frames.END_STREAM, b""),
    ]


def _asking() -> H2UpstreamCodec:
    client = opened_client()
    client.request(asked(7, method=b"POST", length=None))
    return client


def test_a_response_whose_stream_depends_on_itself_is_an_error_of_that_stream() -> None:
    """RFC 7540 5.3.1; the request of another stream goes on."""
    client = opened_client()
    client.request(asked(7))
    client.request(asked(9))
    client.data_to_send()
    head = headers(1, OK)[9:]
    flags = frames.END_HEADERS | frames.END_STREAM | frames.PRIORITISED
    events = client.receive_data(frame(frames.HEADERS, flags, 1, b"\0\0\0\1\x10" + head) + headers(3, OK), 0.0)
    assert [type(event) for _, event in events] == [Reset, Response, EndOfMessage]
    assert codes(client) == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_the_end_of_a_request_without_a_body_stands_in_its_head() -> None:
    client = opened_client()
    client.request(asked(7))
    assert [(found.kind, found.flags) for found in sent(client)] == [
        (frames.HEADERS, frames.END_HEADERS | frames.END_STREAM)
    ]


def test_the_end_of_a_body_stands_in_its_last_frame() -> None:
    client = opened_client()
    client.request(asked(7, method=b"POST", length=None))
    client.send(1, Data(7, b"body"))
    client.send(1, EndOfMessage(7))
    assert sent(client)[1:] == [Frame(frames.DATA, frames.END_STREAM, 1, b"body")]


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


def asking(*labels: int, length: int | None = 0, limits: H2Limits | None = None) -> H2UpstreamCodec:
    """Return a client that has asked."""
    client = opened_client(limits)
    for label in labels:
        client.request(asked(label, length=length))
    client.data_to_send()
    return client


# -- the beginning ----------------------------------------------------------------------------------------------------


def test_preface_and_settings_go_first() -> None:
    client = H2UpstreamCodec(H2Limits(head=HeadLimits(max_head_bytes=9_000)), b"https")
    wire = sent_bytes(client)
    assert wire.startswith(frames.PREFACE)
    first, update = parse(wire[len(frames.PREFACE) :])
    assert dict(frames.parse_settings(first.payload)) == {
        frames.SETTINGS_INITIAL_WINDOW_SIZE: 262_144,
        frames.SETTINGS_ENABLE_PUSH: 0,
        frames.SETTINGS_MAX_HEADER_LIST_SIZE: 9_000,
    }
    assert update.kind == frames.WINDOW_UPDATE
    assert not client.ready
    client.receive_data(settings(), 0.0)
    assert client.ready


def test_an_app_says_how_many_streams_it_takes_and_whether_websockets() -> None:
    client = opened_client()
    assert (client.available, client.carries_websockets) == (True, False)
    client.receive_data(
        settings(
            {
                frames.SETTINGS_MAX_CONCURRENT_STREAMS: 1,
                frames.SETTINGS_ENABLE_CONNECT_PROTOCOL: 1,
                frames.SETTINGS_ENABLE_PUSH: 0,
                frames.SETTINGS_MAX_HEADER_LIST_SIZE: 1,
            }
        ),
        0.0,
    )
    client.request(asked())
    assert (client.available, client.carries_websockets) == (False, True)
    client.receive_data(settings({frames.SETTINGS_MAX_CONCURRENT_STREAMS: 2}), 0.0)
    assert client.available


@pytest.mark.parametrize(
    "wire",
    [
        settings({frames.SETTINGS_ENABLE_PUSH: 1}),
        settings({frames.SETTINGS_ENABLE_CONNECT_PROTOCOL: 2}),
        frame(frames.PUSH_PROMISE, 4, 1, bytes(4)),
        headers(2, OK),
        headers(5, OK),
        data(2),
    ],
)
def test_what_no_app_may_send_ends_the_connection_and_all_requests(wire: bytes) -> None:
    client = asking(7, 8)
    events = client.receive_data(wire, 0.0)
    assert [(number, type(event), event.stream_id) for number, event in events] == [
        (1, Malformed, 7),
        (3, Malformed, 8),
    ]
    assert {event.status for _, event in events if isinstance(event, Malformed)} == {502}
    assert codes(client) == [(0, ErrorCode.PROTOCOL_ERROR)]
    assert (client.available, client.open_streams) == (False, 0)


# -- exchanges --------------------------------------------------------------------------------------------------------


def test_an_exchange_has_the_label_of_its_request() -> None:
    client = asking(7)
    wire = headers(1, [(b":status", b"103"), (b"link", b"a")], end_stream=False)
    wire += headers(1, [*OK, (b"a", b"b")], end_stream=False) + data(1, b"body") + headers(1, [(b"c", b"d")])
    assert client.receive_data(wire, 0.0) == [
        (1, InformationalResponse(7, 103, [(b"link", b"a")])),
        (1, Response(7, 200, [(b"a", b"b")], b"", None, b"2.0")),
        (1, Data(7, b"body")),
        (1, Trailers(7, [(b"c", b"d")])),
        (1, EndOfMessage(7)),
    ]
    assert client.open_streams == 0


def test_a_body_goes_up_and_comes_down_at_once() -> None:
    client = asking(7, length=None)
    client.receive_data(headers(1, OK, end_stream=False), 0.0)
    assert client.is_answered(1)
    assert not client.send(1, Data(7, b"up"))
    assert client.receive_data(data(1, b"down", end_stream=True), 0.0) == [(1, Data(7, b"down")), (1, EndOfMessage(7))]
    assert client.open_streams == 1
    client.send(1, Trailers(7, [(b"a", b"b")]))
    assert [(one.kind, one.flags) for one in sent(client)] == [(frames.DATA, 0), (frames.HEADERS, 5)]
    assert client.open_streams == 0
    assert not client.is_answered(1)
    assert not client.send(1, Data(7, b"more"))


def test_an_answer_without_a_body_ends_with_its_head() -> None:
    client = asking(7)
    assert client.receive_data(headers(1, OK), 0.0) == [
        (1, Response(7, 200, [], b"", 0, b"2.0")),
        (1, EndOfMessage(7)),
    ]


@pytest.mark.parametrize(
    "wire",
    [
        headers(1, [(b"a", b"b")]),
        headers(1, [*OK, (b"content-length", b"3")], end_stream=False) + data(1, b"four"),
        headers(1, [(b":status", b"204")], end_stream=False) + data(1, b"x"),
        headers(1, OK, end_stream=False) + headers(1, OK),
    ],
)
def test_a_malformed_answer_resets_its_stream(wire: bytes) -> None:
    client = asking(7, 8)
    number, last = client.receive_data(wire, 0.0)[-1]
    assert (number, type(last), last.stream_id) == (1, Reset, 7)
    assert codes(client) == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert len(client.receive_data(headers(3, OK), 0.0)) == 2


def test_interim_responses_have_an_end() -> None:
    client = asking(7, limits=H2Limits(head=HeadLimits(max_informational=3)))
    interim = headers(1, [(b":status", b"103")], end_stream=False)
    assert len(client.receive_data(interim * 3, 0.0)) == 3
    ((_, event),) = client.receive_data(interim, 0.0)
    assert isinstance(event, Reset)
    assert codes(client) == [(1, ErrorCode.ENHANCE_YOUR_CALM)]


def test_an_answers_head_has_limits() -> None:
    client = asking(7, limits=H2Limits(head=HeadLimits(max_head_bytes=9_000)))
    ((_, event),) = client.receive_data(headers(1, [*OK, (b"a", b"x" * 9_000)]), 0.0)
    assert isinstance(event, Reset)
    assert codes(client) == [(1, ErrorCode.ENHANCE_YOUR_CALM)]


def test_what_comes_for_a_request_that_was_given_up_is_decoded_and_ignored() -> None:
    client = asking(7, 8)
    client.reset(1)
    late = frame(frames.HEADERS, 4, 1, b"\x88\x40\x01a\x01b")
    assert client.receive_data(late + data(1, b"late"), 0.0) == []
    assert client.receive_data(frame(frames.HEADERS, 5, 3, b"\x88\xbe"), 0.0)[0] == (
        3,
        Response(8, 200, [(b"a", b"b")], b"", 0, b"2.0"),
    )


# -- WebSockets -------------------------------------------------------------------------------------------------------


def test_a_yes_to_a_websocket_becomes_the_101_of_an_app() -> None:
    client = opened_client()
    key = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
    client.request(Request(7, b"GET", b"/", b"a", [key], upgrade=b"websocket"))
    ((_, event),) = client.receive_data(headers(1, [*OK, (b"sec-websocket-protocol", b"x")], end_stream=False), 0.0)
    assert isinstance(event, InformationalResponse)
    assert (event.stream_id, event.status) == (7, 101)
    assert event.headers == [
        (b"sec-websocket-protocol", b"x"),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", accept_of([key])),
    ]
    assert client.receive_data(data(1, b"frames"), 0.0) == [(1, Data(7, b"frames"))]


def test_a_yes_that_ends_at_once_is_no_tunnel() -> None:
    client = opened_client()
    client.request(asked(7, upgrade=b"websocket"))
    events = client.receive_data(headers(1, OK), 0.0)
    assert [type(event) for _, event in events] == [Response, EndOfMessage]
    assert client.open_streams == 0


# -- resets and the end -----------------------------------------------------------------------------------------------


def test_a_reset_ends_a_request() -> None:
    client = asking(7)
    reset = Reset(7, "The peer ended the stream: INTERNAL_ERROR.", 2)
    assert client.receive_data(rst_stream(1, 2), 0.0) == [(1, reset)]
    assert client.open_streams == 0


def test_a_request_that_was_refused_can_be_sent_again_unless_it_was_answered() -> None:
    client = asking(7, 8)
    assert client.receive_data(rst_stream(1, 7), 0.0) == [(1, ConnectionClosed(7, unseen=True))]
    events = client.receive_data(headers(3, OK, end_stream=False) + rst_stream(3, 7), 0.0)
    assert [type(event) for _, event in events] == [Response, Reset]


def test_an_upload_that_nobody_wants_ends_without_harm_to_its_answer() -> None:
    client = asking(7, length=None)
    events = client.receive_data(headers(1, OK) + rst_stream(1, 0), 0.0)
    assert [type(event) for _, event in events] == [Response, EndOfMessage]
    assert client.open_streams == 0


def test_a_reset_without_an_error_cuts_an_answer_that_is_not_whole() -> None:
    client = asking(7)
    events = client.receive_data(headers(1, OK, end_stream=False) + rst_stream(1, 0), 0.0)
    assert [type(event) for _, event in events] == [Response, Reset]


def test_requests_that_an_app_did_not_look_at_can_be_sent_again() -> None:
    client = asking(7, 8, 9)
    assert client.receive_data(goaway(2**31 - 1), 0.0) == []
    assert not client.available
    assert client.receive_data(goaway(1), 0.0) == [
        (3, ConnectionClosed(8, unseen=True)),
        (5, ConnectionClosed(9, unseen=True)),
    ]
    assert len(client.receive_data(headers(1, OK), 0.0)) == 2
    assert client.open_streams == 0


def test_an_upload_that_stands_still_is_given_up() -> None:
    client = opened_client(pairs={frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    client.request(asked(7, length=None))
    client.send(1, Data(7, b"body"))
    client.tick(0.0)
    assert client.tick(60.0) == [(1, Reset(7, "The peer took no more of the body.", ErrorCode.CANCEL))]


def test_the_last_number_of_a_stream_is_the_last() -> None:
    client = opened_client()
    client._next_stream = 2**31 - 1
    assert client.request(asked()) == 2**31 - 1
    assert not client.available
