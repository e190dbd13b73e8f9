"""The codec that faces the client, and the requests that it refuses (rules 1-23, 40 and 60)."""

from __future__ import annotations

import pytest

from devtls.http.events import (
    ClientEvent,
    ConnectionClosed,
    Data,
    EndOfMessage,
    Malformed,
    Request,
    Response,
    Trailers,
)
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.head import HeadLimits

HOST = b"Host: app.test\r\n"


def receive(data: bytes, limits: HeadLimits | None = None) -> list[ClientEvent]:
    return H1ClientCodec(limits or HeadLimits()).receive_data(data)


def refusal(data: bytes, limits: HeadLimits | None = None) -> int:
    """Return the status of the refusal, after proving that nothing behind it is parsed."""
    server = H1ClientCodec(limits or HeadLimits())
    last = server.receive_data(data)[-1]
    assert isinstance(last, Malformed), last
    assert server.closing
    assert server.receive_data(b"GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n") == []
    assert server.buffered == 0
    return last.status


def request_of(data: bytes) -> Request:
    event = receive(data)[0]
    assert isinstance(event, Request), event
    return event


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in fields) + b"\r\n" + body


def get(*fields: bytes, target: bytes = b"/", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    lines = [method + b" " + target + b" " + version, HOST.strip(), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_rule_1_both_lengths_are_refused() -> None:
    """RFC 9112 6.1, 6.3: Content-Length and Transfer-Encoding together are how requests are smuggled."""
    assert refusal(post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")) == 400
    assert refusal(post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "value",
    [
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b",chunked",
        b"chunked,",
        b"",
        b"identity",
        b"chunked;q=1",
        b'"chunked"',
    ],
)
def test_rule_2_a_coding_other_than_chunked_is_not_implemented(value: bytes) -> None:
    """RFC 9112 6.1: 501 for a transfer coding that is not understood."""
    assert refusal(post(b"Transfer-Encoding: " + value)) == 501


def test_rule_2_chunked_may_be_written_in_any_case() -> None:
    """RFC 9112 7: coding names are case-insensitive."""
    events = receive(post(b"Transfer-Encoding:\tCHUNKed ", body=b"0\r\n\r\n"))
    assert isinstance(events[0], Request)
    assert events[0].body_length is None


def test_rule_3_two_transfer_encodings_are_refused() -> None:
    """RFC 9112 6.1: chunked must not be applied twice."""
    assert refusal(post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")) == 400
    assert refusal(post(b"Transfer-Encoding: chunked", b"transfer-encoding: identity")) == 400


@pytest.mark.parametrize("value", [b"chunked, chunked", b"\xa0chunked", b"xchunked", b"chunke", b"chunked\xa0"])
def test_rule_3_lookalikes_of_chunked_are_refused(value: bytes) -> None:
    """RFC 9112 6.1: only the exact token means chunked."""
    assert refusal(post(b"Transfer-Encoding: " + value)) == 501


def test_rule_3_a_control_character_beside_chunked_is_refused() -> None:
    """RFC 9110 5.5: VT is not optional whitespace."""
    assert refusal(post(b"Transfer-Encoding: chunked\x0b")) == 400


def test_rule_3_transfer_encoding_in_http_1_0_is_refused() -> None:
    """RFC 9112 6.1: there its framing is faulty."""
    assert refusal(post(b"Transfer-Encoding: chunked", version=b"1.0")) == 400


@pytest.mark.parametrize(
    "value",
    [
        b"+5",
        b"-1",
        b"0x10",
        b"5_0",
        b"5, 6",
        b"5,5",
        b"",
        b"5 5",
        b"9223372036854775808",
        b"18446744073709551615",
        b"\xb2",
        b"5.0",
        b"1e3",
        b"'5'",
        b"0" * 20,
    ],
)
def test_rule_4_content_length_is_digits_only(value: bytes) -> None:
    """RFC 9110 8.6: 1*DIGIT, here at most 2^63-1."""
    assert refusal(post(b"Content-Length: " + value)) == 400


def test_rule_4_the_largest_content_length_is_taken() -> None:
    """RFC 9110 8.6: a recipient must anticipate large numbers."""
    assert request_of(post(b"Content-Length: 9223372036854775807")).body_length == 2**63 - 1


def test_rule_5_a_repeated_content_length_is_refused() -> None:
    """RFC 9112 6.3: equal ones may be refused, different ones must be."""
    assert refusal(post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")) == 400
    assert refusal(post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello")) == 400


@pytest.mark.parametrize(
    "size",
    [b"+5", b"-5", b"0x5", b" 5", b"5 ", b"5\t", b"", b"g", b"5_0", b"5.", b"0" * 17, b"5 ;x", b"\xb2", b"5h"],
)
def test_rule_6_a_chunk_size_is_hexadecimal_digits_only(size: bytes) -> None:
    """RFC 9112 7.1: 1*HEXDIG, here at most 16."""
    assert refusal(post(b"Transfer-Encoding: chunked", body=size + b"\r\nhello\r\n0\r\n\r\n")) == 400


@pytest.mark.parametrize("extension", [b';a="b', b';"', b';a="b\\"', b';a="b";c="d', b';a="b"";'])
def test_rule_6_a_quote_in_a_chunk_extension_ends(extension: bytes) -> None:
    """RFC 9112 7.1.1, RFC 9110 5.6.4: whoever looks for its end reads on into the data."""
    body = b"5" + extension + b"\r\nhello\r\n0\r\n\r\n"
    assert refusal(post(b"Transfer-Encoding: chunked", body=body)) == 400
    last = b"5\r\nhello\r\n0" + extension + b"\r\n\r\n"
    assert refusal(post(b"Transfer-Encoding: chunked", body=last)) == 400


@pytest.mark.parametrize("extension", [b';a="b"', b';a="b;c\\"d";e=f', b";a=b", b";", b';a=""', b';a="\\\\"'])
def test_rule_6_other_chunk_extensions_are_dropped(extension: bytes) -> None:
    """RFC 9112 7.1.1: a recipient ignores those that it does not know."""
    body = b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"
    assert receive(post(b"Transfer-Encoding: chunked", body=body))[1:] == [Data(1, b"hello"), EndOfMessage(1)]


@pytest.mark.parametrize("end", [b"XY", b"\n", b"\rX", b"\n\r", b"X\r\n", b""])
def test_rule_6_chunk_data_ends_in_crlf(end: bytes) -> None:
    """RFC 9112 7.1: h11 before 0.16 took any two bytes here (CVE-2025-43859)."""
    body = b"5\r\nhello" + end + b"0\r\n\r\n"
    events = receive(post(b"Transfer-Encoding: chunked", body=body))
    assert events[1] == Data(1, b"hello")
    assert isinstance(events[-1], Malformed)


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a=\n\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"0\r\nA: b\n\r\n\r\n",
    ],
)
def test_rule_7_a_bare_lf_in_the_chunked_coding_is_refused(body: bytes) -> None:
    """RFC 9112 7.1, 2.2; Go CVE-2025-22871 and others."""
    assert refusal(post(b"Transfer-Encoding: chunked", body=body)) == 400


@pytest.mark.parametrize(
    "data",
    [
        b"GET /a\rb HTTP/1.1\r\nHost: app.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: app.test\r\nA: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: app.test\r\nA\r: b\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nHost: app.test\r\n\r\n",
        post(b"Transfer-Encoding: chunked", body=b"5\r\r\nhello\r\n0\r\n\r\n"),
        post(b"Transfer-Encoding: chunked", body=b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        post(b"Transfer-Encoding: chunked", body=b"0;a\rb\r\n\r\n"),
        post(b"Transfer-Encoding: chunked", body=b"0\r\nA: b\rc\r\n\r\n"),
    ],
)
def test_rule_8_a_bare_cr_is_refused_in_every_place(data: bytes) -> None:
    """RFC 9112 2.2."""
    assert refusal(data) == 400


@pytest.mark.parametrize("byte", [bytes([code]) for code in (*range(9), *range(10, 32), 127)])
def test_rule_9_control_characters_in_values_are_refused(byte: bytes) -> None:
    """RFC 9110 5.5: CR, LF and NUL must be, the others may be."""
    assert refusal(get(b"A: b" + byte + b"c")) == 400


def test_rule_9_tab_and_bytes_above_ascii_are_kept_in_values() -> None:
    """RFC 9110 5.5: HTAB and obs-text are part of a value."""
    assert request_of(get("A: b\tcäö".encode())).headers[-1] == (b"A", "b\tcäö".encode())


@pytest.mark.parametrize("line", [b"A : b", b"A\t: b", b"Host : x", b"Content-Length : 5"])
def test_rule_10_whitespace_before_the_colon_is_refused(line: bytes) -> None:
    """RFC 9112 5.1."""
    assert refusal(get(line)) == 400


@pytest.mark.parametrize("line", [b"A: b\r\n c", b"A: b\r\n\tc", b"A: b\r\n ", b"A:\r\n b"])
def test_rule_11_folded_lines_are_refused(line: bytes) -> None:
    """RFC 9112 5.2."""
    assert refusal(get(line)) == 400


def test_rule_12_whitespace_behind_the_start_line_is_refused() -> None:
    """RFC 9112 2.2."""
    assert refusal(b"GET / HTTP/1.1\r\n Host: app.test\r\n\r\n") == 400


@pytest.mark.parametrize("line", [b": b", b"A", b"A B: c", b"A@: b", b"(A): b", b"A\x80: b", b'"A": b', b"Cookie"])
def test_rule_12_a_field_name_is_a_token_before_a_colon(line: bytes) -> None:
    """RFC 9110 5.1."""
    assert refusal(get(line)) == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b"GET / HTTP/1.1\t",
        b"GET /a b HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1",
        b"GET / HTTP/1.x",
        b"GET / HTTP",
        b"GET /\x7f HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /\xc3 HTTP/1.1",
        b"GET /\xc0\xaf HTTP/1.1",
        b"GET http://app.\xc3\xa4/ HTTP/1.1",
        b"GET \xc3\xa4 HTTP/1.1",
        b"\xc3\xa4 / HTTP/1.1",
        b"GET",
        b"GET foo",
    ],
)
def test_rule_13_the_request_line_is_exact(line: bytes) -> None:
    """RFC 9112 3: method SP target SP version, no whitespace elsewhere, no CTL, nothing beyond ASCII but UTF-8."""
    assert refusal(line + b"\r\n" + HOST + b"\r\n") == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.2",
        b"GET / HTTP/0.9",
        b"GET / HTTP/11.1",
        b"GET / HTTP/1.10",
        b"PRI * HTTP/2.0",
        b"DESCRIBE / RTSP/1.0",
        b"GET / HTTP/3.0",
    ],
)
def test_rule_13_other_versions_are_refused(line: bytes) -> None:
    """RFC 9112 2.3, 3; HTTP/0.9 has no version at all."""
    assert refusal(line + b"\r\n" + HOST + b"\r\n") == 505


def test_rule_13_unknown_methods_pass() -> None:
    """RFC 9110 9.1: the method token is open, and case-sensitive."""
    assert request_of(get(method=b"PROPFIND")).method == b"PROPFIND"
    assert request_of(get(method=b"get")).method == b"get"


def test_rule_14_two_empty_lines_before_a_request_are_skipped() -> None:
    """RFC 9112 2.2: at least one should be ignored; endless ones are not."""
    assert request_of(b"\r\n\r\n" + get()).method == b"GET"
    assert refusal(b"\r\n\r\n\r\n" + get()) == 400
    assert refusal(b"\n" + get()) == 400


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"a b",
        b"a/b",
        b"user@a",
        b"a:b",
        b"a:123456",
        b"[::1",
        b"a,b:1:2",
        b"a?b",
        b"a#b",
        b"[]",
        b"\xc3\xa4",
        b"a\\b",
        b"x" * 256,
        b"x" * 400,
        b"%zz",
        b"http://a",
    ],
)
def test_rule_15_an_invalid_host_is_refused(value: bytes) -> None:
    """RFC 9112 3.2: uri-host [ ":" port ]."""
    assert refusal(b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n") == 400


def test_rule_15_host_comes_exactly_once() -> None:
    """RFC 9112 3.2."""
    assert refusal(b"GET / HTTP/1.1\r\nA: b\r\n\r\n") == 400
    assert refusal(get(b"Host: app.test")) == 400
    assert refusal(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n") == 400


@pytest.mark.parametrize("value", [b"app.test", b"APP.Test:8443", b"127.0.0.1:80", b"[::1]:8443", b"a_b.test", b"a:"])
def test_rule_15_a_valid_host_is_the_authority_in_lower_case(value: bytes) -> None:
    """RFC 9110 4.2.3: hosts are case-insensitive; the field itself stays as sent."""
    request = request_of(b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n")
    assert request.authority == value.lower()
    assert request.headers == [(b"Host", value)]


def test_rule_15_an_http_1_0_client_may_send_no_host() -> None:
    """RFC 9112 3.2: only HTTP/1.1 demands it."""
    assert request_of(b"GET / HTTP/1.0\r\n\r\n").authority == b""


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://Other.test:81/x?y", (b"/x?y", b"other.test:81")),
        (b"HTTPS://other.test", (b"/", b"other.test")),
        (b"http://other.test?y=/z", (b"/?y=/z", b"other.test")),
        (b"http://[::1]:80/", (b"/", b"[::1]:80")),
    ],
)
def test_rule_16_an_absolute_target_wins_over_host(target: bytes, expected: tuple[bytes, bytes]) -> None:
    """RFC 9112 3.2.2."""
    request = request_of(get(target=target))
    assert (request.target, request.authority) == expected
    assert request.headers[0] == (b"Host", b"app.test")


@pytest.mark.parametrize(
    "target", [b"ftp://a/", b"http://", b"http:///x", b"http://u@a/", b"x", b"a:80", b"http:/a", b"//", b"?x"]
)
def test_rule_16_other_targets_are_refused_or_paths(target: bytes) -> None:
    """RFC 9112 3.2: four forms and no more; `//` is a path."""
    if target == b"//":
        assert request_of(get(target=target)).target == b"//"
    else:
        assert refusal(get(target=target)) == 400


def test_rule_17_asterisk_is_for_options_only() -> None:
    """RFC 9112 3.2.4: and stays an asterisk, also when it came as an absolute form without a path."""
    assert request_of(get(method=b"OPTIONS", target=b"*")).target == b"*"
    assert request_of(get(method=b"OPTIONS", target=b"http://other.test")).target == b"*"
    assert refusal(get(target=b"*")) == 400


def test_rule_18_connect_is_refused() -> None:
    """RFC 9110 9.3.6: a reverse proxy opens no tunnels."""
    assert refusal(get(method=b"CONNECT", target=b"app.test:443")) == 501


def test_rule_19_trace_is_refused() -> None:
    """RFC 9110 9.3.8."""
    assert refusal(get(method=b"TRACE")) == 405


def test_rule_20_path_and_query_stay_byte_for_byte() -> None:
    """RFC 9110 4.2.3 leaves normalising to the origin."""
    target = b"/a%2Fb//c/../d;v=1?x=1&y=%20;z&q[]=%zz|{}<>\"'\\^`"
    assert request_of(get(target=target)).target == target


def test_rule_20_raw_utf_8_is_percent_encoded() -> None:
    """RFC 3986 2.1, RFC 3987 3.1: in path and query, whatever else stands there; as Caddy does."""
    raw = "/käse/日本%2F\N{GRINNING FACE}?q=ü&[]=é%zz".encode()
    encoded = b"/k%C3%A4se/%E6%97%A5%E6%9C%AC%2F%F0%9F%98%80?q=%C3%BC&[]=%C3%A9%zz"
    assert request_of(get(target=raw)).target == encoded
    absolute = request_of(get(target=b"http://app.test" + raw))
    assert (absolute.target, absolute.authority) == (encoded, b"app.test")


def test_rule_20_a_target_may_be_as_long_as_it_is_when_it_was_encoded() -> None:
    """RFC 9110 15.5.15: a byte beyond ASCII becomes three."""
    limits = HeadLimits(max_target_bytes=13)
    assert refusal(get(target="/ääa".encode() + b"b"), limits) == 414
    server = H1ClientCodec(limits)
    (request, _) = server.receive_data(get(target="/ää".encode()))
    assert isinstance(request, Request)
    assert request.target == b"/%C3%A4%C3%A4"


def test_rule_21_a_fragment_is_refused() -> None:
    """RFC 9112 3.2: no form of a target has one."""
    assert refusal(get(target=b"/a#b")) == 400


def test_rule_22_what_follows_a_request_without_body_is_the_next_request() -> None:
    """RFC 9112 6.3, 9.3."""
    server = H1ClientCodec(HeadLimits())
    first = server.receive_data(get(target=b"/1") + get(b"Content-Length: 3", target=b"/2") + b"abc" + b"junk")
    assert [type(event) for event in first] == [Request, EndOfMessage]
    assert server.buffered > 0
    server.send(Response(1, 200, [], body_length=0))
    server.send(EndOfMessage(1))
    second = server.next_request()
    assert isinstance(second[0], Request)
    assert second[0].target == b"/2"
    assert second[1:] == [Data(2, b"abc"), EndOfMessage(2)]


def test_rule_23_after_a_framing_error_one_answer_goes_out() -> None:
    """RFC 9112 2.2, 9.6: answer, close, parse nothing more."""
    server = H1ClientCodec(HeadLimits())
    (malformed,) = server.receive_data(b"GET / HTTP/1.1\r\n\r\n" + get())
    assert isinstance(malformed, Malformed)
    head = server.send(Response(malformed.stream_id, 400, [], body_length=2))
    assert b"\r\nConnection: close\r\n" in head
    assert server.send(Data(malformed.stream_id, b"no")) == b"no"
    server.send(EndOfMessage(malformed.stream_id))
    assert server.closing
    assert server.next_request() == []


def test_rule_24_te_and_keep_alive_do_not_frame_a_request() -> None:
    """RFC 9110 7.6.1: they are for this hop; the codec leaves them to the editing of the head."""
    request = request_of(get(b"TE: trailers", b"Keep-Alive: timeout=5"))
    assert request.headers[1:] == [(b"TE", b"trailers"), (b"Keep-Alive", b"timeout=5")]


def test_rule_39_underscores_in_names_pass() -> None:
    """RFC 9110 5.6.2: `_` is a token character."""
    assert request_of(get(b"a_b: c")).headers[-1] == (b"a_b", b"c")


def test_rule_40_limits_have_their_own_status() -> None:
    """RFC 6585 5, RFC 9110 15.5.15."""
    assert refusal(get(b"A: " + b"x" * 70000)) == 431
    assert refusal(get(*[b"A: b"] * 256)) == 431
    assert refusal(get(target=b"/" + b"x" * 16384)) == 414
    assert refusal(get(target=b"/" + b"x" * 70000)) == 414
    assert refusal(b"GET /" + b"x" * 70000) == 414
    assert isinstance(receive(get(*[b"A: b"] * 255))[0], Request)
    assert request_of(get(b"A: " + b"x" * 60000, target=b"/" + b"y" * 4000)).method == b"GET"
    assert request_of(get(target=b"/" + b"x" * 16383)).method == b"GET"


def test_rule_40_trailers_count_too() -> None:
    """RFC 9112 7.1.2: a trailer section is no way around the limits."""
    assert refusal(post(b"Transfer-Encoding: chunked", body=b"0\r\nA: " + b"x" * 70000)) == 431
    assert refusal(post(b"Transfer-Encoding: chunked", body=b"0\r\n" + b"A: b\r\n" * 257 + b"\r\n")) == 431


def test_rule_53_an_unknown_expectation_is_refused() -> None:
    """RFC 9110 10.1.1: 417; an HTTP/1.0 client's 100-continue is ignored."""
    assert refusal(post(b"Expect: 200-ok", b"Content-Length: 1")) == 417
    assert request_of(post(b"Expect: 100-Continue", b"Content-Length: 1")).expects_continue
    assert not request_of(post(b"Expect: 100-continue", b"Content-Length: 1", version=b"1.0")).expects_continue
    assert not request_of(post(b"Expect: 100-continue", b"Content-Length: 0")).expects_continue


def test_rule_55_request_trailers_are_read() -> None:
    """RFC 9112 7.1.2."""
    events = receive(post(b"Transfer-Encoding: chunked", body=b"3;x=y\r\nabc\r\n00;z\r\nA: b\r\nC:\r\n\r\n"))
    assert events[1:] == [Data(1, b"abc"), Trailers(1, [(b"A", b"b"), (b"C", b"")]), EndOfMessage(1)]


def test_rule_55_trailers_obey_the_rules_of_heads() -> None:
    """RFC 9112 7.1.2, 5.2."""
    assert refusal(post(b"Transfer-Encoding: chunked", body=b"0\r\nA : b\r\n\r\n")) == 400
    assert refusal(post(b"Transfer-Encoding: chunked", body=b"0\r\nA: b\r\n c\r\n\r\n")) == 400


def test_rule_60_pipelined_requests_are_answered_in_order() -> None:
    """RFC 9112 9.3.2; also when the client ends its side at once."""
    server = H1ClientCodec(HeadLimits())
    events = server.receive_data(get(target=b"/1") + get(target=b"/2") + get(target=b"/3"))
    assert server.receive_eof() == [ConnectionClosed(1)]
    targets = []
    for stream_id in (1, 2, 3):
        request = events[0]
        assert isinstance(request, Request)
        assert request.stream_id == stream_id
        targets.append(request.target)
        head = server.send(Response(stream_id, 204, []))
        assert (b"Connection: close" in head) is (stream_id == 3)
        server.send(EndOfMessage(stream_id))
        events = server.next_request()
    assert targets == [b"/1", b"/2", b"/3"]
    assert events == [ConnectionClosed(3)]
