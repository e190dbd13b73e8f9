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
    why = "The app closed the connection in the middle of the response head."
    assert codec.receive_eof() == [Reset(1, why, summary="closed in the middle of the head")]


def test_an_answer_that_is_not_http_is_quoted() -> None:
    cut = ("The app closed the connection in the middle of the response head.", "closed in the middle of the head")
    for said, (why, summary) in (
        (
            b"Unauthorized",
            (
                'The app said "Unauthorized", which is not HTTP, and closed the connection.',
                'said "Unauthorized", which is not HTTP',
            ),
        ),
        (
            b"x" * 50,
            (
                f'The app said "{"x" * 40}", which is not HTTP, and closed the connection.',
                f'said "{"x" * 40}", which is not HTTP',
            ),
        ),
        (b"HTT", cut),
        (b"HTTP/1.1 200", cut),
    ):
        codec = client()
        codec.send(Request(1, b"GET", b"/", b"a", []))
        assert codec.receive_data(said) == []
        assert codec.receive_eof() == [Reset(1, why, summary=summary)]


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 312, "closed after 312 of 900 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "closed after 0 of 9 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "closed after 3 bytes, before the last chunk",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Len", "closed in the middle of the head"),
    ],
)
def test_a_cut_says_how_far_the_response_had_come(data: bytes, summary: str) -> None:
    codec = client()
    codec.send(Request(1, b"GET", b"/", b"a", []))
    if data:
        codec.receive_data(data)
    [cut] = codec.receive_eof()
    assert isinstance(cut, Reset)
    assert cut.summary == summary


@pytest.mark.parametrize(
    ("head", "summary"),
    [
        (b"Content-Length: 9\r\n\r\nxyz", "connection lost after 3 of 9 bytes"),
        (b"\r\nxyz", "connection lost in the middle of the body"),
    ],
)
def test_a_lost_connection_says_how_far_the_response_had_come(head: bytes, summary: str) -> None:
    codec = client()
    codec.send(Request(1, b"GET", b"/", b"a", []))
    codec.receive_data(b"HTTP/1.1 200 OK\r\n" + head)
    assert codec.receive_loss("The connection to the app was lost.").summary == summary
    assert not codec.reusable
    assert codec.receive_eof() == []


@pytest.mark.parametrize(
    ("response", "summary"),
    [
        (b"HTTP/1.1 20 OK\r\n\r\n", 'bad status line "HTTP/1.1 20 OK"'),
        (b"HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n", "control character or bare CR in the head"),
        (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", "a header line without a colon"),
        (b"HTTP/1.1 200 OK\r\nA(b): c\r\n\r\n", "bad name of a header field"),
        (b"HTTP/1.1 200 OK\r\n A: c\r\n\r\n", "the first header line starts with whitespace"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n", 'bad Content-Length "+3"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\n", "two different Content-Lengths"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "a Transfer-Encoding that is not exactly chunked",
        ),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "a chunk longer than its size"),
        (b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", "a 101 that nobody asked for"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 4 + b"\r\n", "more than 3 fields: max_response_fields"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1024, "head over 1 KiB: max_response_head_bytes"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1001 + b"\r\n\r\n", "head over 1 KiB: max_response_head_bytes"),
    ],
)
def test_a_refused_answer_says_in_a_few_words_what_is_wrong(response: bytes, summary: str) -> None:
    codec = H1UpstreamCodec(HeadLimits(max_head_bytes=1024, max_fields=3))
    codec.send(Request(1, b"GET", b"/", b"a", []))
    last = codec.receive_data(response)[-1]
    assert isinstance(last, Malformed)
    assert last.summary == summary


def test_a_limit_that_is_no_multiple_of_a_kibibyte_is_named_in_bytes() -> None:
    codec = H1UpstreamCodec(HeadLimits(max_head_bytes=1000))
    codec.send(Request(1, b"GET", b"/", b"a", []))
    [fault] = codec.receive_data(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1024)
    assert isinstance(fault, Malformed)
    assert fault.summary == "head over 1000 bytes: max_response_head_bytes"


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
