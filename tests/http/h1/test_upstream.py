"""What the codec that faces the upstream writes, and which of our own mistakes it refuses to put on the wire."""

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
    Trailers,
    TunnelData,
)
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.upstream import H1UpstreamCodec


def client() -> H1UpstreamCodec:
    return H1UpstreamCodec(HeadLimits())


def test_a_request_without_body_is_its_head() -> None:
    headers = [(b"Host", b"a"), (b"connection", b"close"), (b"Upgrade", b"h2c")]
    assert (
        client().send(Request(1, b"GET", b"/x", b"a", headers)) == b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n"
    )


def test_a_request_of_known_length_says_so_once() -> None:
    for headers in ([], [(b"content-length", b"3")]):
        codec = client()
        sent = codec.send(Request(1, b"POST", b"/", b"a", headers, 3)).lower()
        assert sent == b"post / http/1.1\r\ncontent-length: 3\r\n\r\n"
        assert codec.send(Data(1, b"abc")) == b"abc"
        assert codec.send(EndOfMessage(1)) == b""


def test_a_request_of_unknown_length_is_chunked() -> None:
    codec = client()
    sent = codec.send(Request(1, b"POST", b"/", b"a", [(b"Content-Length", b"3")], None))
    assert sent == b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert codec.send(Data(1, b"abc")) == b"3\r\nabc\r\n"
    assert codec.send(Trailers(1, [(b"A", b"b")])) == b""
    assert codec.send(EndOfMessage(1)) == b"0\r\nA: b\r\n\r\n"


def test_trailers_that_may_not_be_sent_leave_a_plain_end() -> None:
    codec = client()
    codec.send(Request(1, b"POST", b"/", b"a", [], None))
    codec.send(Trailers(1, [(b"Host", b"b")]))
    assert codec.send(EndOfMessage(1)) == b"0\r\n\r\n"


def test_an_upgrade_is_asked_for_once() -> None:
    headers = [(b"Upgrade", b"x"), (b"TE", b"trailers"), (b"Connection", b"y")]
    sent = client().send(Request(1, b"GET", b"/", b"a", headers, upgrade=b"websocket"))
    assert sent == b"GET / HTTP/1.1\r\nTE: trailers\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def test_a_second_request_waits_for_the_first_answer() -> None:
    codec = client()
    codec.send(Request(1, b"GET", b"/", b"a", []))
    with pytest.raises(LocalProtocolError):
        codec.send(Request(2, b"GET", b"/", b"a", []))


def test_events_out_of_place_are_not_sent() -> None:
    for event in (Data(1, b"x"), EndOfMessage(1), TunnelData(1, b"x")):
        with pytest.raises(LocalProtocolError):
            client().send(event)
    with pytest.raises(LocalProtocolError):
        client().start_tunnel()


def test_a_target_cannot_split_the_request() -> None:
    with pytest.raises(LocalProtocolError):
        client().send(Request(1, b"GET", b"/\r\nA: b", b"a", []))


def test_a_connection_that_ends_behind_interim_responses_has_answered_something() -> None:
    codec = client()
    codec.send(Request(1, b"GET", b"/", b"a", []))
    codec.receive_data(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert codec.receive_eof() == [Reset(1, "The app closed the connection in the middle of the response head.")]


def test_an_answer_that_is_not_http_is_quoted() -> None:
    for said, why in (
        (b"Unauthorized", 'The app said "Unauthorized", which is not HTTP, and closed the connection.'),
        (b"x" * 50, f'The app said "{"x" * 40}", which is not HTTP, and closed the connection.'),
        (b"HTT", "The app closed the connection in the middle of the response head."),
        (b"HTTP/1.1 200", "The app closed the connection in the middle of the response head."),
    ):
        codec = client()
        codec.send(Request(1, b"GET", b"/", b"a", []))
        assert codec.receive_data(said) == []
        assert codec.receive_eof() == [Reset(1, why)]


def test_a_switch_that_nobody_took_up_yet_can_end() -> None:
    codec = client()
    codec.send(Request(1, b"GET", b"/", b"a", [], upgrade=b"websocket"))
    codec.receive_data(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nKeep-Alive: timeout=5\r\n\r\nx")
    assert codec.receive_eof() == [ConnectionClosed(1)]
    assert codec.start_tunnel() == b"x"


def test_interim_responses_beyond_the_limit_end_the_exchange() -> None:
    codec = H1UpstreamCodec(HeadLimits(max_informational=2))
    codec.send(Request(1, b"GET", b"/", b"a", []))
    hint = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert [type(event) for event in codec.receive_data(hint * 2)] == [InformationalResponse] * 2
    [event] = codec.receive_data(hint)
    assert isinstance(event, Malformed)
    assert event.reason == "The app sent more than 2 interim responses."
