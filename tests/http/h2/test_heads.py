from __future__ import annotations

import base64

import pytest

from devtls.errors import LocalProtocolError, ProtocolViolation
from devtls.http.events import Headers, InformationalResponse, RememberedHeaders, Request, Response
from devtls.http.h1.head import HeadLimits
from devtls.http.h2 import heads
from devtls.http.h2.fields import check_field
from devtls.http.h2.frames import ErrorCode, StreamFault
from devtls.http.h2.hpack import Block, FieldDecoder
from tests.http.h2.wire import CONNECT, GET, OK, POST

LIMITS = HeadLimits()


def decoded(fields: Headers) -> Block:
    entries = [check_field(name, value) for name, value in fields]
    return Block(entries, sum(entry.size for entry in entries))


def read(fields: Headers, *, end_stream: bool = True, limits: HeadLimits = LIMITS) -> Request:
    return heads.read_request(decoded(fields), 1, limits, end_stream=end_stream, websocket_key=lambda: b"the key")


def read_back(block: bytes) -> list[tuple[bytes, bytes]]:
    return [entry.field for entry in FieldDecoder().decode(block).entries]


def without(fields: Headers, *names: bytes) -> Headers:
    return [field for field in fields if field[0] not in names]


def replaced(name: bytes, value: bytes) -> Headers:
    return [(name, value) if field[0] == name else field for field in GET]


# -- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_read() -> None:
    request = read([*GET, (b"accept", b"*/*"), (b"x", b"")])
    assert request == Request(1, b"GET", b"/", b"a.test", [(b"accept", b"*/*"), (b"x", b"")], 0, b"2.0")


@pytest.mark.parametrize(
    ("fields", "authority"),
    [
        (replaced(b":authority", b"A.test:8443"), b"a.test:8443"),
        ([*without(GET, b":authority"), (b"host", b"B.test")], b"b.test"),
        ([*GET, (b"host", b"A.TEST")], b"a.test"),
    ],
)
def test_the_authority_comes_from_either_place(fields: Headers, authority: bytes) -> None:
    assert read(fields).authority == authority


def test_cookie_crumbs_are_joined_where_the_first_stood() -> None:
    request = read([*GET, (b"a", b"1"), (b"cookie", b"x=1"), (b"b", b"2"), (b"cookie", b"y=2"), (b"cookie", b"z=3")])
    assert request.headers == [(b"a", b"1"), (b"cookie", b"x=1; y=2; z=3"), (b"b", b"2")]


MALFORMED: list[Headers] = [
    without(GET, b":method"),
    without(GET, b":scheme"),
    without(GET, b":path"),
    without(GET, b":authority"),
    [*GET, (b":method", b"GET")],
    [*GET, (b":status", b"200")],
    [*GET, (b":unknown", b"1")],
    [*GET, (b":protocol", b"websocket")],
    [*GET, (b"a", b"b"), (b":path", b"/2")],
    [(b"a", b"b"), *GET],
    [(b"cookie", b"b"), *GET],
    replaced(b":method", b"GE T"),
    replaced(b":method", b""),
    replaced(b":path", b""),
    replaced(b":path", b"a"),
    replaced(b":path", b"*"),
    replaced(b":path", b"http://a.test/"),
    replaced(b":path", b"/a b HTTP/1.1"),
    replaced(b":path", b"/a#b"),
    replaced(b":path", b"/\xff"),
    replaced(b":path", b"/\r\nA: b"),
    replaced(b":authority", b""),
    replaced(b":authority", b"u@a.test"),
    replaced(b":authority", b"a.test/x"),
    replaced(b":authority", b"a" * 301),
    replaced(b":scheme", b"ht tp"),
    [*GET, (b"host", b"b.test")],
    [*GET, (b"host", b"a b")],
    [*GET, (b"host", b"a.test"), (b"host", b"a.test")],
    [*without(GET, b":authority"), (b"host", b"")],
    [*GET, (b"A", b"b")],
    [*GET, (b"", b"b")],
    [*GET, (b"a b", b"c")],
    [*GET, (b"a:", b"c")],
    [*GET, (b"a", b"b\r\nc: d")],
    [*GET, (b"a", b"b\x00")],
    [*GET, (b"a", b"\x7f")],
    [*GET, (b"a", b" b")],
    [*GET, (b"a", b"b\t")],
    [*GET, (b"connection", b"close")],
    [*GET, (b"keep-alive", b"1")],
    [*GET, (b"proxy-connection", b"close")],
    [*GET, (b"transfer-encoding", b"chunked")],
    [*GET, (b"upgrade", b"h2c")],
    [*GET, (b"te", b"gzip")],
    [*GET, (b"content-length", b"5")],
    [*GET, (b"content-length", b"+0")],
    [*GET, (b"content-length", b"0"), (b"content-length", b"0")],
    [*CONNECT, (b"content-length", b"5")],
    without(CONNECT, b":path"),
    without(CONNECT, b":scheme"),
]


@pytest.mark.parametrize("fields", MALFORMED, ids=repr)
def test_a_malformed_request_is_an_error_of_its_stream(fields: Headers) -> None:
    with pytest.raises(StreamFault) as caught:
        read(fields)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (replaced(b":scheme", b"http"), 400),
        (replaced(b":path", b"/" + b"x" * 16384), 414),
        (replaced(b":method", b"TRACE"), 405),
        ([*GET, (b"expect", b"a miracle")], 417),
        ([*GET, (b"expect", b"a miracle"), (b"expect", b"100-continue")], 417),
        ([(b":method", b"CONNECT"), (b":authority", b"a.test:443")], 501),
        ([CONNECT[0], (b":protocol", b"connect-udp"), *CONNECT[2:]], 501),
        ([*GET, *[(b"a", b"b")] * 253], 431),
        ([*GET, (b"a", b"b" * 65536)], 431),
    ],
    ids=repr,
)
def test_what_is_well_formed_and_not_served_is_answered(fields: Headers, status: int) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        read(fields)
    assert caught.value.status == status


def test_the_scheme_has_no_case() -> None:
    assert read(replaced(b":scheme", b"HTTPS")).method == b"GET"


def test_a_path_of_a_star_is_for_options() -> None:
    assert read([(b":method", b"OPTIONS"), *GET[1:3], (b":path", b"*")]).target == b"*"


@pytest.mark.parametrize(
    ("extra", "length", "waits"),
    [
        ([], None, False),
        ([(b"content-length", b"5")], 5, False),
        ([(b"content-length", b"5"), (b"expect", b"100-Continue")], 5, True),
        ([(b"expect", b"100-continue")], None, True),
        ([(b"content-length", b"0"), (b"expect", b"100-continue")], 0, False),
    ],
)
def test_a_body_that_is_to_come_has_its_length(extra: Headers, length: int | None, waits: bool) -> None:
    request = read([*POST, *extra], end_stream=False)
    assert (request.body_length, request.expects_continue) == (length, waits)


def test_trailers_may_be_asked_for() -> None:
    assert read([*GET, (b"te", b"Trailers")]).headers == [(b"te", b"Trailers")]


# -- WebSockets -------------------------------------------------------------------------------------------------------


def test_an_extended_connect_becomes_an_upgrade() -> None:
    request = read([*CONNECT, (b"origin", b"https://a.test")], end_stream=False)
    assert request.method == b"GET"
    assert request.upgrade == b"websocket"
    assert request.websocket_key == b"the key"
    assert request.body_length == 0
    assert request.headers == [
        (b"origin", b"https://a.test"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", b"the key"),
    ]


def test_a_websocket_keeps_its_version_and_loses_a_key_of_its_own() -> None:
    request = read([*CONNECT, (b"sec-websocket-version", b"8"), (b"sec-websocket-key", b"mine")], end_stream=False)
    assert request.headers == [(b"sec-websocket-version", b"8"), (b"Sec-WebSocket-Key", b"the key")]


def test_the_key_of_a_websocket_depends_on_its_secret_and_its_stream() -> None:
    keys = {heads.make_websocket_key(secret, stream_id) for secret in (b"a" * 16, b"b" * 16) for stream_id in (1, 3)}
    assert len(keys) == 4
    assert {len(base64.b64decode(key)) for key in keys} == {16}


# -- responses and trailers -------------------------------------------------------------------------------------------


def respond(fields: Headers, method: bytes = b"GET", *, end_stream: bool = False) -> Response | InformationalResponse:
    return heads.read_response(decoded(fields), 1, method=method, end_stream=end_stream)


@pytest.mark.parametrize(
    ("fields", "method", "end_stream", "length"),
    [
        (OK, b"GET", False, None),
        (OK, b"GET", True, 0),
        ([*OK, (b"content-length", b"5")], b"GET", False, 5),
        ([*OK, (b"content-length", b"5")], b"HEAD", True, 0),
        ([*OK, (b"content-length", b"5")], b"HEAD", False, 0),
        ([(b":status", b"304"), (b"content-length", b"5")], b"GET", True, 0),
        ([(b":status", b"204")], b"GET", False, 0),
    ],
)
def test_a_response_has_its_length(fields: Headers, method: bytes, end_stream: bool, length: int | None) -> None:
    response = respond(fields, method, end_stream=end_stream)
    assert response == Response(1, int(fields[0][1]), fields[1:], b"", length, b"2.0")


def test_an_interim_response_is_read() -> None:
    assert respond([(b":status", b"103"), (b"link", b"a")]) == InformationalResponse(1, 103, [(b"link", b"a")])


@pytest.mark.parametrize(
    ("fields", "end_stream"),
    [
        ([], False),
        ([(b"a", b"b")], False),
        ([*OK, *OK], False),
        ([*OK, (b":path", b"/")], False),
        ([(b":status", b"20")], False),
        ([(b":status", b"0200")], False),
        ([(b":status", b"101")], False),
        ([(b":status", b"103")], True),
        ([*OK, (b"content-length", b"5")], True),
        ([*OK, (b"connection", b"close")], False),
    ],
    ids=repr,
)
def test_a_malformed_response_is_an_error_of_its_stream(fields: Headers, end_stream: bool) -> None:
    with pytest.raises(StreamFault) as caught:
        respond(fields, end_stream=end_stream)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


def test_trailers_are_read() -> None:
    assert heads.read_trailers(decoded([(b"grpc-status", b"0")]), LIMITS) == [(b"grpc-status", b"0")]
    with pytest.raises(StreamFault):
        heads.read_trailers(decoded(OK), LIMITS)
    with pytest.raises(ProtocolViolation):
        heads.read_trailers(decoded([(b"a", b"b")] * 257), LIMITS)


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [100, 200, 404, 599, 600, 999])
def test_every_status_of_three_digits_is_written(status: int) -> None:
    assert read_back(heads.write_response(status, [])) == [(b":status", b"%d" % status)]


def test_a_response_is_written_in_lower_case_without_the_fields_of_a_connection() -> None:
    block = heads.write_response(200, [(b"Content-Type", b"a"), (b"Connection", b"close"), (b"X-Own", b"B")])
    assert read_back(block) == [*OK, (b"content-type", b"a"), (b"x-own", b"B")]


def test_a_remembered_list_is_written_once() -> None:
    remembered = RememberedHeaders([(b"A", b"b")])
    first = heads.write_response(200, remembered)
    remembered.packed = (remembered.packed or b"") + heads.write_trailers([(b"c", b"d")])
    assert heads.write_response(404, remembered) != first
    assert read_back(heads.write_response(404, remembered)) == [(b":status", b"404"), (b"a", b"b"), (b"c", b"d")]


def test_a_request_is_written_with_the_host_in_its_place() -> None:
    request = Request(
        1, b"PUT", b"/x?y", b"a.test", [(b"Accept", b"*/*"), (b"Host", b"app:3000"), (b"TE", b"trailers")]
    )
    assert read_back(heads.write_request(request, b"http")) == [
        (b":method", b"PUT"),
        (b":scheme", b"http"),
        (b":authority", b"app:3000"),
        (b":path", b"/x?y"),
        (b"accept", b"*/*"),
        (b"te", b"trailers"),
    ]


def test_a_request_without_a_host_is_written_with_its_authority() -> None:
    block = heads.write_request(Request(1, b"GET", b"/", b"a.test", []), b"https")
    assert (b":authority", b"a.test") in read_back(block)


def test_a_websockets_request_and_its_yes_are_written() -> None:
    request = Request(1, b"GET", b"/", b"a", [(b"Sec-WebSocket-Key", b"k"), (b"Origin", b"o")], upgrade=b"websocket")
    assert read_back(heads.write_connect(request, b"http")) == [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/"),
        (b"origin", b"o"),
    ]
    yes = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", b"x"), (b"A", b"b")]
    assert read_back(heads.write_switched(yes)) == [*OK, (b"a", b"b")]


def test_trailers_are_written_without_what_may_not_stand_there() -> None:
    assert read_back(heads.write_trailers([(b"Content-Length", b"1"), (b"Grpc-Status", b"0")])) == [
        (b"grpc-status", b"0")
    ]
    assert heads.write_trailers([(b"Host", b"a"), (b"Connection", b"b")]) == b""


@pytest.mark.parametrize("field", [(b"a", b"b\nc"), (b"a\r", b"b"), (b"a", b"\x00")])
def test_a_field_that_would_be_two_is_not_written(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(LocalProtocolError):
        heads.write_response(200, [field])
