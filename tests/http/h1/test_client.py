"""What the codec that faces the client writes, and which of our own mistakes it refuses to put on the wire."""

from __future__ import annotations

import re
from http import HTTPStatus

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
    TunnelData,
)
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.writer import _REASONS

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def asked(data: bytes = GET) -> H1ClientCodec:
    server = H1ClientCodec(HeadLimits())
    server.receive_data(data)
    return server


def test_a_head_in_progress_is_visible() -> None:
    server = H1ClientCodec(HeadLimits())
    assert not server.in_head
    server.receive_data(GET[:-1])
    assert server.in_head
    assert server.buffered == len(GET) - 1
    server.receive_data(GET[-1:])
    assert not server.in_head
    assert server.request_complete
    assert server.buffered == 0


def test_bytes_of_later_requests_wait() -> None:
    server = asked()
    assert server.receive_data(GET) == []
    assert server.receive_data(b"GET") == []
    assert server.buffered == len(GET) + 3
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    assert isinstance(server.next_request()[0], Request)
    assert server.buffered == 3


def test_many_different_lines_on_one_connection_are_all_read() -> None:
    server = H1ClientCodec(HeadLimits())
    for number in range(1, 200):
        lines = b"".join(b"X-%d-%d: %d\r\n" % (number, line, line) for line in range(3))
        request = server.receive_data(GET[:-2] + lines + b"Cookie: " + b"c" * 600 + b"\r\n\r\n")[0]
        assert isinstance(request, Request)
        assert request.headers[1:4] == [(b"X-%d-%d" % (number, line), b"%d" % line) for line in range(3)]
        server.send(Response(number, 204, []))
        server.send(EndOfMessage(number))
        server.next_request()


def test_a_head_that_takes_too_long_is_answered_under_its_own_number() -> None:
    server = asked(HEAD)
    with pytest.raises(LocalProtocolError):
        server.refuse_head(408, "Too slow.")
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    server.next_request()
    server.receive_data(b"GET / HT")
    assert server.refuse_head(408, "Too slow.") == Malformed(2, 408, "Too slow.")
    assert server.send(Response(2, 408, [], body_length=4)).endswith(b"Content-Length: 4\r\nConnection: close\r\n\r\n")
    assert server.send(Data(2, b"slow")) == b"slow"
    assert server.send(EndOfMessage(2)) == b""
    assert server.closing


def test_there_is_no_next_request_while_one_is_arriving() -> None:
    server = H1ClientCodec(HeadLimits())
    assert server.next_request() == []
    server.receive_data(GET[:5])
    assert server.next_request() == []
    assert server.receive_data(GET[5:])[-1] == EndOfMessage(1)


def test_the_next_request_is_read_from_later_data_when_nothing_waits() -> None:
    server = asked()
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    assert server.next_request() == []
    assert server.receive_data(GET)[-1] == EndOfMessage(2)


def test_the_next_request_cannot_be_read_before_the_answer_is_complete() -> None:
    server = asked()
    server.send(Response(1, 200, [], body_length=3))
    with pytest.raises(LocalProtocolError):
        server.next_request()


def test_the_end_of_input_between_requests() -> None:
    server = H1ClientCodec(HeadLimits())
    assert server.receive_eof() == [ConnectionClosed(0)]
    assert server.closing


def test_the_end_of_input_within_a_body() -> None:
    server = asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab")
    (event,) = server.receive_eof()
    assert isinstance(event, Reset)
    assert server.closing
    assert server.receive_eof() == []


def test_the_end_of_input_behind_a_partial_pipelined_request() -> None:
    server = asked(GET + b"GET /2")
    server.receive_eof()
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    assert server.next_request() == [ConnectionClosed(1)]


def test_a_pipelined_request_that_is_malformed_ends_the_input_only_once() -> None:
    server = asked(GET + b"GET  /2 HTTP/1.1\r\n\r\n")
    server.receive_eof()
    server.send(Response(1, 204, []))
    server.send(EndOfMessage(1))
    (event,) = server.next_request()
    assert isinstance(event, Malformed)
    assert event.stream_id == 2
    assert b"Connection: close" in server.send(Response(2, 400, []))


def test_fields_of_the_connection_are_the_codecs_own() -> None:
    server = asked()
    headers = [(b"connection", b"keep-alive"), (b"TRANSFER-Encoding", b"gzip"), (b"A", b"b"), (b"TE", b"trailers")]
    sent = server.send(Response(1, 200, headers, body_length=0))
    assert sent == b"HTTP/1.1 200 OK\r\nA: b\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n"


def test_a_body_of_unknown_length_is_chunked() -> None:
    server = asked()
    sent = server.send(Response(1, 200, [(b"Content-Length", b"9")], body_length=None))
    assert sent == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.send(Data(1, b"x" * 20)) == b"14\r\n" + b"x" * 20 + b"\r\n"
    assert server.send(Data(1, b"")) == b""
    assert server.send(EndOfMessage(1)) == b"0\r\n\r\n"
    assert not server.closing


def test_a_body_for_head_is_counted_and_dropped() -> None:
    server = asked(HEAD)
    assert server.send(Response(1, 404, [], body_length=9)) == b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"
    assert server.send(Data(1, b"not found")) == b""
    assert server.send(EndOfMessage(1)) == b""


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (200, b"OK", b"HTTP/1.1 200 OK"),
        (200, b"", b"HTTP/1.1 200 OK"),
        (200, b"Fine", b"HTTP/1.1 200 Fine"),
        (299, b"", b"HTTP/1.1 299 "),
        (299, b"Odd", b"HTTP/1.1 299 Odd"),
    ],
)
def test_the_reason_is_relayed(status: int, reason: bytes, line: bytes) -> None:
    sent = asked().send(Response(1, status, [], reason))
    assert sent == line + b"\r\nContent-Length: 0\r\n\r\n"


def test_a_client_that_wants_to_close_is_told_so() -> None:
    server = asked(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert not server.closing
    assert b"\r\nConnection: close\r\n" in server.send(Response(1, 200, []))
    assert server.closing
    assert server.send(EndOfMessage(1)) == b""
    assert server.next_request() == []


def test_lengths_that_disagree_are_not_sent() -> None:
    for values in ((b"4",), (b"3", b"3"), (b"x",)):
        with pytest.raises(LocalProtocolError):
            asked().send(Response(1, 200, [(b"Content-Length", value) for value in values], body_length=3))


def test_more_or_less_than_promised_is_not_sent() -> None:
    server = asked()
    server.send(Response(1, 200, [], body_length=3))
    with pytest.raises(LocalProtocolError):
        server.send(Data(1, b"abcd"))
    server = asked()
    server.send(Response(1, 200, [], body_length=3))
    server.send(Data(1, b"ab"))
    with pytest.raises(LocalProtocolError):
        server.send(EndOfMessage(1))


@pytest.mark.parametrize("header", [(b"A", b"b\r\nC: d"), (b"A\n", b"b"), (b"A", b"b\rc"), (b"A", b"b\0")])
def test_a_field_that_would_split_the_message_is_not_sent(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(LocalProtocolError):
        asked().send(Response(1, 200, [header]))


@pytest.mark.parametrize(
    "event",
    [
        Data(1, b"x"),
        EndOfMessage(1),
        TunnelData(1, b"x"),
        Response(2, 200, []),
        Response(1, 150, []),
        InformationalResponse(1, 200, []),
        InformationalResponse(1, 101, []),
    ],
)
def test_events_out_of_place_are_not_sent(event: Data | EndOfMessage | TunnelData | Response) -> None:
    with pytest.raises(LocalProtocolError):
        asked().send(event)


def test_a_second_final_response_is_not_sent() -> None:
    server = asked()
    server.send(Response(1, 204, []))
    with pytest.raises(LocalProtocolError):
        server.send(Response(1, 204, []))
    with pytest.raises(LocalProtocolError):
        server.send(InformationalResponse(1, 103, []))


def test_nothing_follows_a_reset() -> None:
    server = asked()
    server.send(Response(1, 200, [], body_length=3))
    server.send(Reset(1, "gone"))
    with pytest.raises(LocalProtocolError):
        server.send(Data(1, b"abc"))


def test_a_101_gets_the_fields_that_it_lacks() -> None:
    server = asked(UPGRADE)
    with pytest.raises(LocalProtocolError):
        server.start_tunnel()
    sent = server.send(InformationalResponse(1, 101, [(b"Sec-WebSocket-Accept", b"x")]))
    assert sent == (
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\n\r\n"
    )
    assert server.receive_eof() == [ConnectionClosed(1)]
    assert not server.closing


def test_a_malformed_request_gets_no_interim_response() -> None:
    server = asked(b"GET\r\n")
    assert server.send(InformationalResponse(1, 103, [])) == b""


def test_every_registered_status_has_a_reason() -> None:
    assert {int(status) for status in HTTPStatus} <= set(_REASONS)
    # The words of RFC 9110; Python's changed with its versions.
    assert _REASONS[413] == b"Content Too Large"
    assert all(re.fullmatch(rb"[A-Za-z' -]+", reason) for reason in _REASONS.values())
