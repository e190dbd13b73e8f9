"""Rules 41-52, 55, 56, 61 and 70-72: what the codecs do with responses, bodies, upgrades and connections."""

from __future__ import annotations

import pytest

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
    TunnelData,
    UpstreamEvent,
)
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.upstream import H1UpstreamCodec

OK = b"HTTP/1.1 200 OK\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def asking(method: bytes = b"GET", *, upgrade: bytes = b"") -> H1UpstreamCodec:
    client = H1UpstreamCodec(HeadLimits())
    client.send(Request(7, method, b"/", b"app", [(b"Host", b"app")], upgrade=upgrade))
    client.send(EndOfMessage(7))
    return client


def answer(data: bytes, method: bytes = b"GET") -> list[UpstreamEvent]:
    return asking(method).receive_data(data)


def fault(data: bytes, method: bytes = b"GET") -> str:
    client = asking(method)
    last = client.receive_data(data)[-1]
    assert isinstance(last, Malformed), last
    assert (last.status, last.stream_id) == (502, 7)
    assert not client.reusable
    assert client.receive_data(OK + b"\r\n") == []
    assert client.receive_eof() == []
    return last.reason


def asked(data: bytes) -> H1ClientCodec:
    server = H1ClientCodec(HeadLimits())
    assert isinstance(server.receive_data(data)[0], Request)
    return server


def head(response: UpstreamEvent) -> Response:
    assert isinstance(response, Response), response
    return response


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"HTTP/2.0 404 Not Found\r\n", 404, b"Not Found"),
        (b"HTTP/2 404 Not Found\r\n", 404, b"Not Found"),
        (b"HTTP/1.10 200 OK\r\n", 200, b"OK"),
        (b"http/1.1 200 OK\r\n", 200, b"OK"),
        (b"HTTP/1.1  200 OK\r\n", 200, b"OK"),
        (b"HTTP/1.1 200\r\n", 200, b""),
        (b"HTTP/1.1 200 \r\n", 200, b""),
        (b"HTTP/1.1 200 O\x01K \r\n", 200, b"OK"),
        (b"HTTP/1.1 600 Odd\r\n", 600, b"Odd"),
        (b"HTTP/1.1 200 OK\n", 200, b"OK"),
    ],
)
def test_rule_49_a_status_line_that_browsers_take_is_taken(data: bytes, status: int, reason: bytes) -> None:
    """RFC 9112 4: Caddy, nginx and Chromium read each of these alike, except for the version, which frames nothing."""
    response, body, end = answer(data + b"Content-Length: 3\r\n\r\nok\n")
    assert head(response) == Response(7, status, [(b"Content-Length", b"3")], reason, 3)
    assert (body, end) == (Data(7, b"ok\n"), EndOfMessage(7))


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nA: b\nContent-Length: 3\n\nok\n",
        b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 3\r\n\r\nok\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\nok\n",
        b"HTTP/1.1 200 OK\nA: b\nContent-Length: 3\n\r\nok\n",
        b"HTTP/1.1 200 OK\nA:\n b\nContent-Length: 3\n\nok\n",
    ],
)
def test_rule_8_a_bare_lf_ends_a_line_of_an_app(data: bytes) -> None:
    """RFC 9112 2.2: a recipient may recognise a single LF as a line terminator."""
    client = asking()
    response, body, end = client.receive_data(data)
    assert head(response) == Response(7, 200, [(b"A", b"b"), (b"Content-Length", b"3")], b"OK", 3)
    assert (body, end) == (Data(7, b"ok\n"), EndOfMessage(7))
    assert client.reusable


def test_rule_8_a_body_with_an_empty_line_is_no_part_of_a_head_of_bare_lf() -> None:
    """RFC 9112 2.2: the first empty line ends the head, however it ends itself."""
    response, body, end = answer(b"HTTP/1.1 200 OK\nContent-Length: 9\n\nab\r\n\r\ncde")
    assert head(response).headers == [(b"Content-Length", b"9")]
    assert (body, end) == (Data(7, b"ab\r\n\r\ncde"), EndOfMessage(7))


@pytest.mark.parametrize("length", [b"03", b"3, 3", b"3\r\nContent-Length: 003", b"3,\t3\r\ncontent-length: 3"])
def test_rule_5_an_odd_length_of_an_app_is_written_as_a_number(length: bytes) -> None:
    """RFC 9110 8.6: the same number several times is that number."""
    response, body, end = answer(OK + b"Content-Length: " + length + b"\r\nA: b\r\n\r\nok\n")
    assert head(response) == Response(7, 200, [(b"Content-Length", b"3"), (b"A", b"b")], b"OK", 3)
    assert (body, end) == (Data(7, b"ok\n"), EndOfMessage(7))


def test_rule_6_an_app_may_pad_the_size_of_a_chunk() -> None:
    """RFC 9112 7.1.1: bad whitespace behind a size; old servers send it, and every browser takes it."""
    chunks = b'3 \r\nok\n\r\n2\t;a="b\r\nab\r\n0  \r\nX-T: a\r\n b\r\n\r\n'
    _, body, trailers, end = answer(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert (body, end) == (Data(7, b"ok\nab"), EndOfMessage(7))
    assert trailers == Trailers(7, [(b"X-T", b"a b")])


def test_rule_10_and_11_responses_are_repaired() -> None:
    """RFC 9112 5.1, 5.2: a proxy removes whitespace before the colon and unfolds lines."""
    events = answer(OK + b"X-B : b\r\nX-C: c\r\n  d\r\n\t e\r\nContent-Length\t: 0\r\n\r\n")
    assert head(events[0]).headers == [(b"X-B", b"b"), (b"X-C", b"c d e"), (b"Content-Length", b"0")]
    assert head(events[0]).body_length == 0


def test_rule_12_a_folded_start_line_is_a_fault() -> None:
    """RFC 9112 2.2."""
    assert fault(OK + b" A: b\r\n\r\n")


def test_rule_41_a_response_head_has_the_same_limits() -> None:
    """RFC 9110 5.4."""
    assert fault(OK + b"A: " + b"x" * 70000)
    assert fault(OK + b"A: b\r\n" * 257 + b"\r\n")
    assert fault(b"HTTP/1.1 200 " + b"x" * 17000)
    assert fault(b"HTTP/1.1 200 " + b"x" * 17000 + b"\r\n\r\n")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_rule_42_these_statuses_have_no_body(status: bytes) -> None:
    """RFC 9112 6.3."""
    client = asking()
    events = client.receive_data(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n")
    assert [type(event) for event in events] == [Response, EndOfMessage]
    assert client.reusable


def test_rule_42_an_answer_to_head_keeps_its_length_and_has_no_body() -> None:
    """RFC 9110 8.6, 9.3.2."""
    client = asking(b"HEAD")
    events = client.receive_data(OK + b"Content-Length: 12\r\n\r\n")
    assert head(events[0]).body_length == 0
    assert (b"Content-Length", b"12") in head(events[0]).headers
    assert events[1:] == [EndOfMessage(7)]
    assert client.reusable
    server = asked(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert server.send(Response(1, 200, [(b"Content-Length", b"12")])) == OK + b"Content-Length: 12\r\n\r\n"
    assert server.send(EndOfMessage(1)) == b""


def test_rule_42_a_204_to_the_client_has_no_content_length() -> None:
    """RFC 9110 8.6: MUST NOT; a 304 may keep its own."""
    server = asked(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert server.send(Response(1, 204, [(b"Content-Length", b"0")])) == b"HTTP/1.1 204 No Content\r\n\r\n"
    server = asked(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Content-Length: 9\r\n" in server.send(Response(1, 304, [(b"Content-Length", b"9")]))
    assert server.send(Data(1, b"123456789")) == b""


def test_rule_42_a_204_that_announces_a_body_ends_the_connection() -> None:
    """RFC 9112 6.3: its body would be read as the next response."""
    for line in (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"):
        client = asking()
        events = client.receive_data(b"HTTP/1.1 204 No Content\r\n" + line + b"\r\n")
        assert events[1:] == [EndOfMessage(7)]
        assert not client.reusable


@pytest.mark.parametrize(
    ("fields", "reusable"),
    [
        (b"Content-Length: 0\r\n", True),
        (b"Content-Length: 5\r\n", False),
        (b"Transfer-Encoding: chunked\r\n", False),
        (b"", False),
    ],
)
def test_rule_43_the_body_of_a_205_is_dropped(fields: bytes, reusable: bool) -> None:
    """RFC 9110 15.3.6."""
    client = asking()
    events = client.receive_data(b"HTTP/1.1 205 Reset Content\r\n" + fields + b"\r\n")
    assert head(events[0]).body_length == 0
    assert (b"Content-Length", b"0") in head(events[0]).headers
    assert events[1:] == [EndOfMessage(7)]
    assert client.reusable is reusable


def test_rule_43_a_body_after_head_does_not_leak_into_the_next_answer() -> None:
    """RFC 9112 6.3, 9.3."""
    client = asking(b"HEAD")
    events = client.receive_data(OK + b"Content-Length: 5\r\n\r\nhello")
    assert events[1:] == [EndOfMessage(7)]
    assert not client.reusable


def test_rule_44_an_http_1_0_client_gets_neither_chunked_nor_interim_responses() -> None:
    """RFC 9112 6.1, RFC 9110 15.2: a body of unknown length ends with the connection."""
    server = asked(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert server.send(InformationalResponse(1, 103, [(b"Link", b"</a>")])) == b""
    assert server.send(Response(1, 200, [], body_length=None)) == OK + b"Connection: close\r\n\r\n"
    assert server.send(Data(1, b"abc")) == b"abc"
    assert server.send(Trailers(1, [(b"A", b"b")])) == b""
    assert server.send(EndOfMessage(1)) == b""
    assert server.closing


def test_rule_44_an_http_1_0_client_may_keep_the_connection() -> None:
    """RFC 9112 9.3."""
    server = asked(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
    assert b"\r\nConnection: keep-alive\r\n" in server.send(Response(1, 200, [], body_length=0))
    server.send(EndOfMessage(1))
    assert not server.closing


def test_rule_45_a_body_that_ends_with_the_connection() -> None:
    """RFC 9112 6.3: relayed as of unknown length, ended by a clean close."""
    for version in (b"1.0", b"1.1"):
        client = asking()
        events = client.receive_data(b"HTTP/" + version + b" 200 OK\r\n\r\nabc")
        assert head(events[0]).close_delimited
        assert head(events[0]).body_length is None
        assert events[1:] == [Data(7, b"abc")]
        assert client.receive_data(b"def") == [Data(7, b"def")]
        assert client.receive_eof() == [EndOfMessage(7)]
        assert not client.reusable


@pytest.mark.parametrize("fields", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"])
def test_rule_46_a_truncated_body_is_no_complete_one(fields: bytes) -> None:
    """RFC 9112 8: the client must see it, so nothing that looks like an end may be written."""
    client = asking()
    client.receive_data(OK + fields)
    (reset,) = client.receive_eof()
    assert isinstance(reset, Reset)
    server = asked(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.send(Response(1, 200, [], body_length=None))
    server.send(Data(1, b"abc"))
    assert server.send(Reset(1, reset.reason)) == b""
    assert server.closing
    assert server.next_request() == []


def test_rule_47_a_failure_before_the_first_byte_is_told_apart() -> None:
    """RFC 9110 15.6.3: only then a page can explain it."""
    client = asking()
    assert not client.response_started
    [cut] = client.receive_eof()
    assert isinstance(cut, Reset)
    assert cut.reason == "The app closed the connection before answering."
    client = asking()
    client.receive_data(b"H")
    assert client.response_started
    assert isinstance(client.receive_eof()[0], Reset)


@pytest.mark.parametrize("fields", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_rule_48_bytes_after_a_response_end_the_use_of_the_connection(fields: bytes) -> None:
    """RFC 9112 9.3: together with the response or later, they are never shown to anybody."""
    together, later = asking(), asking()
    events = together.receive_data(OK + fields + b"HTTP/1.1 200 OK\r\n\r\n")
    assert not together.reusable
    assert later.receive_data(OK + fields) == events
    assert later.reusable
    assert later.receive_data(b"H") == []
    assert not later.reusable


def test_rule_48_a_response_without_a_request() -> None:
    """RFC 9112 9.3."""
    client = H1UpstreamCodec(HeadLimits())
    assert client.reusable
    assert client.receive_data(OK) == []
    assert not client.reusable


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"A: b\x00\r\n\r\n",
        OK + b"A: b\rc\r\n\r\n",
        OK + b"A\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1\t200\tOK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 403.1 No\r\n\r\n",
        OK + b": x\r\n\r\n",
        OK + b"X(Foo): x\r\n\r\n",
        OK + b" A: b\r\n\r\n",
        OK + b"A: b\x01\r\n\r\n",
        OK + b"A: b\r\r\n\r\n",
        OK + b"Content-Length: +3\r\n\r\n",
        OK + b"Content-Length:\r\n\r\n",
        OK + b"Content-Length: 3, 4\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"220 mail.test ESMTP\r\n",
        b"hello\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n 3\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\nok\n",
    ],
)
def test_rule_49_what_cannot_be_trusted_is_a_fault(data: bytes) -> None:
    """RFC 9112 6.3, RFC 9110 5.5: answered 502, whatever it was."""
    assert fault(data)


def test_rule_49_two_lengths_are_repaired_at_the_price_of_the_connection() -> None:
    """RFC 9112 6.3: Transfer-Encoding overrides Content-Length."""
    client = asking()
    events = client.receive_data(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert head(events[0]).body_length is None
    assert head(events[0]).headers == [(b"Transfer-Encoding", b"chunked")]
    assert events[1:] == [Data(7, b"abc"), EndOfMessage(7)]
    assert not client.reusable


def test_rule_49_equal_lengths_become_one() -> None:
    """RFC 9110 8.6."""
    client = asking()
    events = client.receive_data(OK + b"Content-Length: 3\r\nA: b\r\ncontent-length: 3\r\n\r\nabc")
    assert head(events[0]).headers == [(b"Content-Length", b"3"), (b"A", b"b")]
    assert client.reusable


def test_rule_50_interim_responses_are_relayed_in_a_row() -> None:
    """RFC 9110 15.2: they have no body even with a Content-Length."""
    client = asking()
    events = client.receive_data(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    )
    assert [event.status for event in events if isinstance(event, InformationalResponse)] == [100, 102, 103]
    assert head(events[3]).headers == [(b"Content-Length", b"0")]
    server = asked(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    hints = InformationalResponse(1, 103, [(b"Link", b"</a>"), (b"Content-Length", b"5"), (b"Connection", b"x")])
    assert server.send(hints) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert server.send(InformationalResponse(1, 100, [])) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_rule_50_interim_responses_are_bounded() -> None:
    """RFC 9110 15.2 sets no end; we do."""
    assert fault(b"HTTP/1.1 100 Continue\r\n\r\n" * 101)


@pytest.mark.parametrize("fields", [b"", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])
def test_rule_52_an_unsolicited_101_is_a_fault(fields: bytes) -> None:
    """RFC 9110 15.2.2."""
    assert fault(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n")


def test_rule_52_a_101_to_another_protocol_is_a_fault() -> None:
    """RFC 9110 7.8: the server must not switch to a protocol that was not asked for."""
    client = asking(upgrade=b"websocket")
    (event,) = client.receive_data(b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    assert isinstance(event, Malformed)


def test_rule_54_an_early_answer_ends_the_connection_of_an_unread_body() -> None:
    """RFC 9112 9.3: what is left of the body cannot be told from a request."""
    server = asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    assert not server.request_complete
    server.close_after_response()
    assert b"Connection: close\r\n" in server.send(Response(1, 413, [], body_length=0))
    server.send(EndOfMessage(1))
    assert server.closing
    server = asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    assert b"Connection" not in server.send(Response(1, 413, [], body_length=0))
    server.send(EndOfMessage(1))
    assert server.closing
    client = H1UpstreamCodec(HeadLimits())
    client.send(Request(7, b"POST", b"/", b"a", [], body_length=9))
    events = client.receive_data(OK + b"Content-Length: 0\r\n\r\n")
    assert events[-1] == EndOfMessage(7)
    assert not client.reusable
    client.send(Data(7, b"123456789"))
    client.send(EndOfMessage(7))
    assert client.reusable


def test_rule_55_trailers_are_relayed_without_those_that_frame() -> None:
    """RFC 9110 6.5.1."""
    client = asking()
    events = client.receive_data(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nGrpc-Status: 0\r\n\r\n")
    assert events[1:] == [Trailers(7, [(b"Grpc-Status", b"0")]), EndOfMessage(7)]
    server = asked(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.send(Response(1, 200, [], body_length=None))
    server.send(Trailers(1, [(b"Content-Length", b"5"), (b"grpc-status", b"0"), (b"Set-Cookie", b"a")]))
    assert server.send(EndOfMessage(1)) == b"0\r\ngrpc-status: 0\r\n\r\n"


def test_rule_56_te_is_announced_as_a_connection_option() -> None:
    """RFC 9110 10.1.4."""
    client = H1UpstreamCodec(HeadLimits())
    sent = client.send(Request(1, b"GET", b"/", b"a", [(b"Host", b"a"), (b"te", b"trailers")]))
    assert sent == b"GET / HTTP/1.1\r\nHost: a\r\nte: trailers\r\nConnection: TE\r\n\r\n"


def test_rule_61_a_websocket_handshake_loses_no_byte_in_either_direction() -> None:
    """RFC 9110 7.8, RFC 6455 4."""
    server = H1ClientCodec(HeadLimits())
    request = server.receive_data(UPGRADE + b"early frames")[0]
    assert isinstance(request, Request)
    assert request.upgrade == b"websocket"
    client = H1UpstreamCodec(HeadLimits())
    sent = client.send(Request(1, b"GET", b"/ws", b"a", [(b"Host", b"a")], upgrade=request.upgrade))
    assert sent == b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    assert client.send(EndOfMessage(1)) == b""
    data = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\nhel"
    (switching,) = client.receive_data(data)
    assert isinstance(switching, InformationalResponse)
    assert client.receive_data(b"lo") == []
    written = server.send(switching)
    assert written == data[:-3]
    assert server.start_tunnel() == b"early frames"
    assert client.start_tunnel() == b"hello"
    assert server.receive_data(b"a") == [TunnelData(1, b"a")]
    assert client.receive_data(b"b") == [TunnelData(1, b"b")]
    assert client.send(TunnelData(1, b"a")) == b"a"
    assert server.send(TunnelData(1, b"b")) == b"b"
    assert server.receive_eof() == [ConnectionClosed(1)]
    assert client.receive_eof() == [ConnectionClosed(1)]
    assert not client.reusable


@pytest.mark.parametrize(
    "data",
    [
        UPGRADE.replace(b"GET", b"POST"),
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADE.replace(b"Connection: Upgrade", b"Connection: keep-alive"),
        UPGRADE.replace(b"websocket", b"h2c"),
        UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n"),
    ],
)
def test_rule_29_other_upgrades_are_ordinary_requests(data: bytes) -> None:
    """RFC 9110 7.8: an Upgrade may be ignored."""
    event = H1ClientCodec(HeadLimits()).receive_data(data)[0]
    assert isinstance(event, Request)
    assert event.upgrade == b""


def test_rule_62_a_refused_upgrade_is_an_ordinary_answer() -> None:
    """RFC 9110 7.8."""
    client = asking(upgrade=b"websocket")
    events = client.receive_data(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert events[1:] == [Data(7, b"no"), EndOfMessage(7)]
    assert client.reusable


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_rule_70_reuse_needs_a_whole_response_and_consent(data: bytes, reusable: bool) -> None:
    """RFC 9112 9.3."""
    client = asking()
    assert not client.reusable
    client.receive_data(data)
    assert client.reusable is reusable
    assert client.receive_eof() == [ConnectionClosed(7)]
    assert not client.reusable


def test_rule_70_a_reused_connection_numbers_its_events_anew() -> None:
    """RFC 9112 9.3: the answer belongs to the request that was sent last."""
    client = asking()
    client.receive_data(OK + b"Content-Length: 0\r\nKeep-Alive: timeout=5, max=9\r\n\r\n")
    assert client.keep_alive_timeout_s == 5.0
    client.send(Request(8, b"GET", b"/", b"app", []))
    client.send(EndOfMessage(8))
    assert not client.response_started
    assert client.receive_data(OK + b"TE: x\r\nContent-Length: 0\r\nKeep-Alive: x\r\n\r\n")[-1] == EndOfMessage(8)
    assert client.keep_alive_timeout_s is None
