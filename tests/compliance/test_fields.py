"""Fields on the way through: one test per rule of RFC 9110 (and its companions) that a reverse proxy has to obey."""

import pytest

from devtls.http.answers.pages import redirect
from devtls.http.events import Headers, InformationalResponse, Request, Response, Trailers
from devtls.http.forward import (
    LOOP_LIMIT,
    forward_informational,
    forward_request,
    forward_response,
    forward_trailers,
    is_loop,
)
from devtls.http.headers import get, get_all
from devtls.http.terms import Edge, ForwardPolicy
from devtls.http.upgrade import refusal_of

EDGE = Edge(b"127.0.0.1", b"https", 8443, b"devtls-5f3a")
POLICY = ForwardPolicy(origins=(b"http://127.0.0.1:3000", b"http://localhost:3000"))
AUTHORITY = b"app.dev.local:8443"


def to_app(
    *fields: tuple[bytes, bytes],
    policy: ForwardPolicy = POLICY,
    target: bytes = b"/",
    upgrade: bytes = b"",
    body_length: int = 0,
) -> Request:
    made = Request(1, b"GET", target, AUTHORITY, [(b"Host", AUTHORITY), *fields], body_length, upgrade=upgrade)
    return forward_request(made, policy, EDGE)


def to_browser(*fields: tuple[bytes, bytes], policy: ForwardPolicy = POLICY) -> Headers:
    return forward_response(Response(1, 200, list(fields)), policy, EDGE, authority=AUTHORITY).headers


def early(*fields: tuple[bytes, bytes], status: int = 103) -> Headers:
    made = InformationalResponse(1, status, list(fields))
    return forward_informational(made, POLICY, EDGE, authority=AUTHORITY).headers


HOP_BY_HOP = [
    (b"Keep-Alive", b"timeout=5"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"TE", b"gzip"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Upgrade", b"h2c"),
]


def names(headers: Headers) -> set[bytes]:
    return {name.lower() for name, _ in headers}


def test_rule_20_path_and_query_arrive_byte_for_byte() -> None:
    """RFC 3986 6.2: normalising is the app's choice, not the proxy's."""
    target = b"/a%2Fb//c/../d;v=1?x=1&y=%20;z&q[]=%zz"
    assert to_app(target=target).target == target
    assert to_app(target=b"/api" + target, policy=ForwardPolicy(strip_prefix=b"/api")).target == target


@pytest.mark.parametrize(
    ("sent", "written"), [(b"010", b"10"), (b"0000", b"0"), (b"0", b"0"), (b"10", b"10"), (b"007", b"7")]
)
def test_rule_4_a_length_is_written_without_leading_zeros(sent: bytes, written: bytes) -> None:
    """RFC 9110 8.6: the same number, and there are programs that read 010 as eight; both ways, to HEAD too."""
    assert (b"content-length", written) in to_app((b"content-length", sent), body_length=int(sent)).headers
    assert (b"Content-Length", written) in to_browser((b"Content-Length", sent))


def test_rule_24_connection_and_every_field_it_names_are_removed() -> None:
    """RFC 9110 7.6.1: any case, several lines joined, an empty first line."""
    connection = [(b"Connection", b""), (b"connection", b"X-FOO ,, close"), (b"CONNECTION", b"x-bar")]
    fields = [(b"x-foo", b"1"), *connection, (b"X-Bar", b"2"), (b"X-Bar", b"3"), (b"X-Baz", b"4")]
    assert names(to_app(*fields).headers) & {b"connection", b"x-foo", b"x-bar", b"x-baz"} == {b"x-baz"}
    assert names(to_browser(*fields)) & {b"connection", b"x-foo", b"x-bar", b"x-baz"} == {b"x-baz"}


@pytest.mark.parametrize("field", HOP_BY_HOP, ids=lambda field: field[0].decode())
def test_rule_24_hop_by_hop_fields_are_removed_without_being_named(field: tuple[bytes, bytes]) -> None:
    """RFC 9110 7.6.1."""
    assert field[0].lower() not in names(to_app(field).headers)
    assert field[0].lower() not in names(to_browser(field))


@pytest.mark.parametrize("name", [b"Host", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Via"])
def test_rule_25_a_client_cannot_delete_our_fields_by_naming_them(name: bytes) -> None:
    """RFC 9110 7.6.1: ours are added after the removal."""
    assert get(to_app((b"Connection", name)).headers, name.lower()) is not None


def test_rule_26_interim_responses_lose_the_same_fields() -> None:
    """RFC 9110 7.6.1 and 15.2."""
    fields = [(b"Connection", b"x-foo"), (b"X-Foo", b"1"), (b"Link", b"</a.css>"), *HOP_BY_HOP]
    assert names(early(*fields)) == {b"link", b"via"}


@pytest.mark.parametrize("name", [b"Proxy-Authorization", b"Proxy-Authenticate"])
def test_rule_27_proxy_credentials_end_here(name: bytes) -> None:
    """RFC 9110 11.7."""
    assert name.lower() not in names(to_app((name, b"Basic x")).headers)
    assert name.lower() not in names(to_browser((name, b"Basic x")))


def test_rule_28_an_h2c_upgrade_never_reaches_the_app() -> None:
    """RFC 9113 3.1: the h2c token is gone; with it a client would bypass every rule of the proxy."""
    upgrade = [(b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAMAAABk"), (b"Connection", b"Upgrade, HTTP2-Settings")]
    assert not names(to_app(*upgrade).headers) & {b"upgrade", b"http2-settings", b"connection"}
    assert b"http2-settings" not in names(to_app((b"http2-settings", b"AAMAAABk")).headers)


def test_rule_29_only_a_websocket_upgrade_is_carried_on() -> None:
    """RFC 9110 7.8: in the event, the codec writes the fields; other tokens are dropped and the request served."""
    handshake = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Key", b"k")]
    assert to_app(*handshake, upgrade=b"websocket").upgrade == b"websocket"
    assert to_app((b"Upgrade", b"TLS/1.0"), (b"Connection", b"upgrade")).upgrade == b""


@pytest.mark.parametrize(
    "name",
    [
        b"Forwarded",
        b"X-Real-IP",
        b"X-Forwarded-For",
        b"x-forwarded-proto",
        b"X-Forwarded-Host",
        b"X-Forwarded-Port",
        b"X-Forwarded-Prefix",
        b"X-Forwarded-Anything",
        b"X-Original-URL",
        b"X-Rewrite-URL",
        b"X_Forwarded_For",
        b"X-Forwarded_For",
        b"x_real_ip",
        b"X_Original_URL",
    ],
)
def test_rule_30_forwarding_fields_from_the_client_are_replaced(name: bytes) -> None:
    """RFC 7239 8.1: what the client says about itself is not to be believed."""
    headers = to_app((name, b"6.6.6.6")).headers
    assert all(b"6.6.6.6" not in value for _, value in headers)


def test_rule_30_a_trusted_proxy_in_front_is_appended_to() -> None:
    """RFC 7239 5.2 (and the customary X-Forwarded-For)."""
    policy = ForwardPolicy(trust_forwarded=True)
    headers = to_app((b"X-Forwarded-For", b"1.2.3.4"), (b"X-Forwarded-Host", b"a.example"), policy=policy).headers
    assert get_all(headers, b"x-forwarded-for") == [b"1.2.3.4, 127.0.0.1"]
    assert get_all(headers, b"x-forwarded-host") == [b"a.example"]


def test_rule_31_the_app_learns_the_public_name_scheme_and_port() -> None:
    """RFC 9112 3.2: one Host, first; RFC 7239 5."""
    headers = to_app().headers
    assert headers[0] == (b"Host", AUTHORITY)
    assert get_all(headers, b"host") == [AUTHORITY]
    assert get(headers, b"x-forwarded-host") == AUTHORITY
    assert get(headers, b"x-forwarded-proto") == b"https"
    assert get(headers, b"x-forwarded-port") == b"8443"


def test_rule_31_the_public_name_survives_a_changed_host() -> None:
    """RFC 7239 5.3."""
    headers = to_app(policy=ForwardPolicy(host=b"127.0.0.1:3000")).headers
    assert get_all(headers, b"host") == [b"127.0.0.1:3000"]
    assert get(headers, b"x-forwarded-host") == AUTHORITY


def test_rule_31_an_ipv6_client_is_bracketed_and_quoted_in_forwarded() -> None:
    """RFC 7239 6."""
    made = Request(1, b"GET", b"/", AUTHORITY, [(b"Forwarded", b"for=1.2.3.4")])
    edge = Edge(b"::1", b"https", 443, b"p")
    value = get(forward_request(made, ForwardPolicy(trust_forwarded=True), edge).headers, b"forwarded")
    assert value is not None
    assert value.startswith(b'for=1.2.3.4, for="[::1]";')


def test_rule_32_via_is_added_both_ways_behind_what_is_there() -> None:
    """RFC 9110 7.6.3."""
    assert get_all(to_app((b"Via", b"1.0 fred")).headers, b"via") == [b"1.0 fred", b"1.1 devtls-5f3a"]
    assert get_all(to_browser((b"Via", b"1.0 fred")), b"via") == [b"1.0 fred", b"1.1 devtls-5f3a"]


def test_rule_32_a_request_that_goes_in_circles_is_noticed() -> None:
    """RFC 9110 7.6.3: by our own pseudonym, and not when an app copied it once or twice."""
    request = to_app()
    for _ in range(LOOP_LIMIT - 1):
        assert not is_loop(request.headers, EDGE.pseudonym)
        request = forward_request(request, POLICY, EDGE)
    assert is_loop(request.headers, EDGE.pseudonym)


def test_rule_33_codings_are_neither_asked_for_nor_undone() -> None:
    """RFC 9110 12.5.3."""
    assert b"accept-encoding" not in names(to_app().headers)
    assert get(to_browser((b"Content-Encoding", b"br")), b"content-encoding") == b"br"


def test_rule_34_repeated_fields_stay_apart_in_order_and_case() -> None:
    """RFC 9110 5.3; RFC 6265 3."""
    fields = [(b"Set-Cookie", b"a=1"), (b"X-CaSe", b"1"), (b"set-cookie", b"b=2"), (b"Set-Cookie", b"a=1")]
    assert to_browser(*fields, policy=ForwardPolicy(via=False)) == fields
    assert to_app(*fields).headers[1:5] == fields


def test_rule_37_date_and_server_are_the_apps() -> None:
    """RFC 9110 6.6.1 and 10.2.4."""
    fields = [(b"Date", b"Tue, 15 Nov 1994 08:12:31 GMT"), (b"Server", b"x"), (b"X-Powered-By", b"y")]
    assert to_browser(*fields, policy=ForwardPolicy(via=False)) == fields


@pytest.mark.parametrize(
    "name", [b"Authorization", b"Range", b"If-None-Match", b"If-Range", b"Cache-Control", b"Cookie", b"Expect"]
)
def test_rule_38_credentials_and_conditions_pass(name: bytes) -> None:
    """RFC 9110 7.7."""
    assert get(to_app((name, b"value")).headers, name.lower()) == b"value"


@pytest.mark.parametrize("name", [b"ETag", b"Vary", b"Cache-Control", b"Content-Range", b"WWW-Authenticate", b"Age"])
def test_rule_38_an_answers_metadata_pass(name: bytes) -> None:
    """RFC 9110 7.7."""
    assert get(to_browser((name, b"value")), name.lower()) == b"value"


def test_rule_39_names_with_an_underscore_pass() -> None:
    """RFC 9110 5.1: `_` is a token character."""
    assert get(to_app((b"a_b", b"1")).headers, b"a_b") == b"1"
    assert get(to_browser((b"a_b", b"1")), b"a_b") == b"1"


def test_rule_42_lengths_stand_where_they_may() -> None:
    """RFC 9110 8.6: as given for HEAD and 304, never in 1xx and 204."""
    for status, kept in ((200, [b"9"]), (304, [b"9"]), (204, [])):
        made = Response(1, status, [(b"Content-Length", b"9")], body_length=0)
        answer = forward_response(made, POLICY, EDGE, authority=AUTHORITY)
        assert get_all(answer.headers, b"content-length") == kept
    assert b"content-length" not in names(early((b"Content-Length", b"9")))


def test_rule_50_interim_responses_keep_their_own_fields() -> None:
    """RFC 9110 15.2."""
    assert get_all(early((b"Link", b"</a>"), (b"Link", b"</b>")), b"link") == [b"</a>", b"</b>"]


def test_rule_52_a_101_that_nobody_asked_for_is_refused() -> None:
    """RFC 9110 15.2.2."""
    answer = InformationalResponse(1, 101, [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")])
    assert refusal_of(to_app(), answer)


def test_rule_53_expect_passes_on() -> None:
    """RFC 9110 10.1.1."""
    made = Request(1, b"POST", b"/", AUTHORITY, [(b"Expect", b"100-continue")], None, expects_continue=True)
    out = forward_request(made, POLICY, EDGE)
    assert out.expects_continue
    assert get(out.headers, b"expect") == b"100-continue"


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length",
        b"Transfer-Encoding",
        b"Host",
        b"Authorization",
        b"Set-Cookie",
        b"TE",
        b"Trailer",
        b"Connection",
    ],
)
def test_rule_55_forbidden_trailers_are_dropped(name: bytes) -> None:
    """RFC 9110 6.5.1."""
    assert forward_trailers(Trailers(1, [(name, b"x"), (b"Grpc-Status", b"0")])).headers == [(b"Grpc-Status", b"0")]


def test_rule_55_the_announcement_of_trailers_passes() -> None:
    """RFC 9110 6.6.2."""
    assert get(to_browser((b"Trailer", b"Grpc-Status")), b"trailer") == b"Grpc-Status"


def test_rule_56_te_trailers_passes_and_nothing_else_of_te() -> None:
    """RFC 9110 10.1.4."""
    headers = to_app((b"TE", b"trailers, deflate;q=0.5"), (b"Connection", b"TE")).headers
    assert get_all(headers, b"te") == [b"trailers"]


def test_rule_59_a_known_length_stays_a_length() -> None:
    """RFC 9112 6.2."""
    made = Request(1, b"POST", b"/", AUTHORITY, [(b"Content-Length", b"5")], 5)
    out = forward_request(made, POLICY, EDGE)
    assert out.body_length == 5
    assert get_all(out.headers, b"content-length") == [b"5"]


def test_rule_61_the_handshake_is_between_browser_and_app() -> None:
    """RFC 6455 4: key, version, sub-protocols and extensions pass untouched, in both directions."""
    ask = [
        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Protocol", b"a, b"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
    ]
    assert to_app(*ask, upgrade=b"websocket").headers[1:5] == ask
    reply = [(b"Sec-WebSocket-Accept", b"x"), (b"Sec-WebSocket-Protocol", b"b")]
    switched = early(*reply, (b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), status=101)
    assert switched[:2] == reply
    assert get_all(switched, b"connection") == [b"Upgrade"]
    assert get_all(switched, b"upgrade") == [b"websocket"]


def test_rule_96_cookies_pass_as_given() -> None:
    """RFC 6265 4.1.2."""
    cookies = [
        (b"Set-Cookie", b"a=1; Domain=dev.local; Path=/; SameSite=Lax"),
        (b"Set-Cookie", b"__Host-b=2; Secure; Path=/; HttpOnly"),
    ]
    assert to_browser(*cookies)[:2] == cookies


@pytest.mark.parametrize(
    "own",
    [
        b"http://127.0.0.1:3000",
        b"http://localhost:3000",
        b"https://localhost:3000",
        b"//127.0.0.1:3000",
        b"http://app.dev.local:8443",
        b"http://app.dev.local:3000",
    ],
)
def test_rule_97_redirects_to_the_app_itself_go_to_the_public_origin(own: bytes) -> None:
    """RFC 9110 10.2.2."""
    headers = to_browser(
        (b"Location", own + b"/a%2F?x=%zz"),
        (b"Content-Location", own + b"/b"),
        (b"Refresh", b"0; url=" + own + b"/c"),
        (b"Link", b"<" + own + b"/d>; rel=next"),
    )
    assert [value for _, value in headers[:4]] == [
        b"https://app.dev.local:8443/a%2F?x=%zz",
        b"https://app.dev.local:8443/b",
        b"0; url=https://app.dev.local:8443/c",
        b"<https://app.dev.local:8443/d>; rel=next",
    ]


@pytest.mark.parametrize(
    "url", [b"/login", b"../x", b"?q", b"//cdn.example/x", b"https://accounts.example/?u=http://127.0.0.1:3000"]
)
def test_rule_97_relative_and_foreign_redirects_stay(url: bytes) -> None:
    """RFC 9110 10.2.2."""
    assert get(to_browser((b"Location", url)), b"location") == url


def test_rule_98_hsts_is_removed_and_preload_always() -> None:
    """RFC 6797 8.3: it would hold for every port of the name and outlive the project."""
    field = (b"Strict-Transport-Security", b"max-age=63072000; includeSubDomains; preload")
    assert b"strict-transport-security" not in names(to_browser(field))
    kept = to_browser(field, policy=ForwardPolicy(keep_hsts=True))
    assert get(kept, b"strict-transport-security") == b"max-age=63072000; includeSubDomains"


def test_rule_98_the_redirect_to_https_keeps_the_method() -> None:
    """RFC 9110 15.4.8."""
    assert redirect(b"https://app.dev.local/").status == 307


def test_rule_99_origin_referer_and_policies_are_untouched() -> None:
    """RFC 6454 7; the app decides whom it trusts."""
    asked = [(b"Origin", b"https://app.dev.local:8443"), (b"Referer", b"https://app.dev.local:8443/x")]
    assert to_app(*asked).headers[1:3] == asked
    given = [(b"Access-Control-Allow-Origin", b"http://localhost:3000"), (b"Content-Security-Policy", b"default-src x")]
    assert to_browser(*given, policy=ForwardPolicy(via=False)) == given


def test_rule_100_alt_svc_from_the_app_is_removed() -> None:
    """RFC 7838 3: it names a port that is not ours."""
    assert b"alt-svc" not in names(to_browser((b"Alt-Svc", b'h3=":443"')))
    assert b"alt-svc" not in names(early((b"Alt-Svc", b'h3=":443"')))
