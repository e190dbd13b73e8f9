import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtls.http.events import Headers, InformationalResponse, Request, Response, Trailers
from devtls.http.forward import forward_informational, forward_request, forward_response, forward_trailers, is_loop
from devtls.http.terms import Edge, ForwardPolicy
from tests.effort import examples

EDGE = Edge(b"127.0.0.1", b"https", 8443, b"devtls-5f3a")
PLAIN = ForwardPolicy(via=False)
OURS = [
    (b"X-Forwarded-For", b"127.0.0.1"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"app.dev.local:8443"),
    (b"X-Forwarded-Port", b"8443"),
]
HOST = (b"Host", b"app.dev.local:8443")
TRUSTING = ForwardPolicy(via=False, trust_forwarded=True)


def request(*fields: tuple[bytes, bytes], **changes: object) -> Request:
    made = Request(3, b"GET", b"/x?y", b"app.dev.local:8443", [(b"host", b"app.dev.local:8443"), *fields])
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def sent(*fields: tuple[bytes, bytes], policy: ForwardPolicy = PLAIN, **changes: object) -> Headers:
    return forward_request(request(*fields, **changes), policy, EDGE).headers


def received(*fields: tuple[bytes, bytes], policy: ForwardPolicy = PLAIN, **changes: object) -> Headers:
    made = Response(3, 200, list(fields), b"OK", 0)
    for name, value in changes.items():
        setattr(made, name, value)
    return forward_response(made, policy, EDGE, authority=b"app.dev.local:8443").headers


def test_everything_but_the_headers_is_carried_over() -> None:
    made = request(body_length=None, http_version=b"1.0", expects_continue=True, upgrade=b"websocket")
    out = forward_request(made, PLAIN, EDGE)
    made.headers = out.headers
    assert out == made


def test_a_forwarded_request_shares_no_list_with_the_original() -> None:
    made = request((b"A", b"1"))
    before = list(made.headers)
    forward_request(made, PLAIN, EDGE)
    assert made.headers == before


def test_host_stands_first_once_and_is_the_effective_authority() -> None:
    fields = sent((b"A", b"1"), (b"HOST", b"evil.example"))
    assert fields == [HOST, (b"A", b"1"), *OURS]


def test_a_route_can_send_the_upstreams_host() -> None:
    fields = sent(policy=ForwardPolicy(host=b"10.0.0.5", via=False))
    assert fields == [(b"Host", b"10.0.0.5"), *OURS]


def test_a_request_without_any_authority_gets_an_empty_host_and_no_forwarded_host() -> None:
    fields = sent(authority=b"")
    assert fields == [(b"Host", b""), OURS[0], OURS[1], OURS[3]]


@pytest.mark.parametrize("name", [b"X-Custom", b"x-custom", b"a_b", b"Content_Length", b"Accept", b"aCCEPT", b"DNT"])
def test_other_fields_pass_with_name_and_case(name: bytes) -> None:
    assert sent((name, b" 1"))[1] == (name, b" 1")


@pytest.mark.parametrize("value", [b"keep-alive", b"Keep-Alive, Upgrade", b"close", b""])
def test_a_plain_connection_field_just_goes(value: bytes) -> None:
    assert sent((b"Connection", value), (b"A", b"1")) == [HOST, (b"A", b"1"), *OURS]


def test_content_length_survives_being_named_by_connection() -> None:
    fields = sent((b"Connection", b"content-length, a"), (b"Content-Length", b"5"), (b"A", b"1"), body_length=5)
    assert fields == [HOST, (b"Content-Length", b"5"), *OURS]


def test_a_repeated_length_is_sent_once() -> None:
    fields = sent((b"Content-Length", b"5"), (b"content-length", b"5"), body_length=5)
    assert fields == [HOST, (b"Content-Length", b"5"), *OURS]


def test_no_length_stands_beside_an_unknown_one() -> None:
    assert sent((b"Content-Length", b"5"), body_length=None) == [HOST, *OURS]
    assert received((b"Content-Length", b"5"), body_length=None) == []


def test_te_keeps_only_trailers_also_when_connection_names_it() -> None:
    fields = sent((b"TE", b"gzip;q=0.5, trailers"), (b"Connection", b"TE, X"), (b"te", b"trailers"))
    assert fields == [HOST, (b"TE", b"trailers"), *OURS]
    assert sent((b"TE", b"gzip")) == [HOST, *OURS]


def test_a_stripped_prefix_is_told_to_the_app() -> None:
    out = forward_request(request(target=b"/api/x"), ForwardPolicy(strip_prefix=b"/api", via=False), EDGE)
    assert out.target == b"/x"
    assert out.headers == [HOST, *OURS, (b"X-Forwarded-Prefix", b"/api")]


def test_our_own_pages_poll_field_stays_here() -> None:
    assert sent((b"Devtls-Poll", b"1")) == [HOST, *OURS]


PROVEN = Edge(
    b"127.0.0.1", b"https", 8443, b"devtls-5f3a", ((b"Client-Cert", b":QQ==:"), (b"Client-Cert-Chain", b":Qg==:"))
)


@pytest.mark.parametrize(
    "name",
    [
        b"Client-Cert", b"client-cert", b"CLIENT-CERT", b"Client-Cert-Chain", b"client_cert", b"Client_Cert-Chain",
        b"Client-Cert_Chain", b"CLIENT_CERT_CHAIN", b"Client-Cert-Subject", b"client_cert_x",
        b"Client.Cert", b"client.cert.chain", b"Client+Cert", b"Client~Cert!Chain", b"client`cert|x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", [PLAIN, TRUSTING], ids=["plain", "trusting"])
def test_nobody_can_say_himself_who_he_is(name: bytes, policy: ForwardPolicy) -> None:
    """RFC 9440 section 4: what the client sends under these names never reaches the app."""
    assert sent((name, b":Zm9yZ2Vk:"), policy=policy) == [HOST, *OURS]
    out = forward_request(request((name, b":Zm9yZ2Vk:")), policy, PROVEN)
    assert out.headers == [HOST, *OURS, *PROVEN.client_cert]
    assert forward_trailers(Trailers(3, [(name, b"x"), (b"A", b"1")])).headers[-1] == (b"A", b"1")


def test_a_name_that_only_begins_alike_passes() -> None:
    fields = [(b"Client-Certificate", b"x"), (b"X-Client-Cert", b"y"), (b"Clientcert", b"z")]
    assert sent(*fields) == [HOST, *fields, *OURS]


def test_connection_cannot_take_the_proof_away() -> None:
    out = forward_request(request((b"Connection", b"client-cert, client-cert-chain")), PLAIN, PROVEN)
    assert out.headers == [HOST, *OURS, *PROVEN.client_cert]


def test_trailers_carry_no_proof() -> None:
    section = [
        (b"Client-Cert", b"x"),
        (b"client_cert_chain", b"y"),
        (b"Client-Cert-Verify", b"z"),
        (b"Grpc-Status", b"0"),
    ]
    assert forward_trailers(Trailers(3, section)).headers == [(b"Grpc-Status", b"0")]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (b"Client-Cert", b"*"),
        (b"Accept, client-cert-chain", b"*"),
        (b"Accept, Cookie", b"Accept, Cookie"),
    ],
)
def test_an_answer_that_depends_on_the_certificate_is_for_no_cache(value: bytes, seen: bytes) -> None:
    """RFC 9440 2.4; where no certificate was shown the field means nothing and stays."""
    made = Response(3, 200, [(b"Vary", value), (b"Client-Cert", b":x:")], b"OK", 0)
    assert forward_response(made, PLAIN, PROVEN, authority=b"a").headers == [(b"Vary", seen)]
    assert received((b"vary", value), (b"client-cert-chain", b":x:")) == [(b"vary", value)]


def test_a_trusted_proxys_chain_grows_by_one() -> None:
    fields = sent((b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-for", b"5.6.7.8"), policy=TRUSTING)
    assert (b"X-Forwarded-For", b"1.2.3.4, 5.6.7.8, 127.0.0.1") in fields
    assert fields.count((b"X-Forwarded-Proto", b"https")) == 1


def test_a_trusted_proxys_word_holds_and_its_first_one_when_repeated() -> None:
    fields = sent(
        (b"X-Forwarded-Host", b"public.example"),
        (b"X-Forwarded-Proto", b""),
        (b"X-Forwarded-Port", b"443"),
        (b"X-Forwarded-Port", b"80"),
        (b"X-Real-IP", b"1.2.3.4"),
        (b"X-Forwarded-Ssl", b"on"),
        policy=TRUSTING,
    )
    assert fields[1:] == [
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"public.example"),
        (b"X-Forwarded-Port", b"443"),
        (b"X-Real-Ip", b"1.2.3.4"),
        (b"X-Forwarded-Ssl", b"on"),
    ]


def test_a_trusted_proxys_own_hop_by_hop_field_is_not_extended() -> None:
    fields = sent((b"X-Forwarded-For", b"1.2.3.4"), (b"Connection", b"x-forwarded-for"), policy=TRUSTING)
    assert fields == [HOST, *OURS]


def test_a_trusted_prefix_is_put_in_front_of_ours() -> None:
    policy = ForwardPolicy(strip_prefix=b"/api", via=False, trust_forwarded=True)
    assert (b"X-Forwarded-Prefix", b"/outer/api") in sent((b"X-Forwarded-Prefix", b"/outer/"), policy=policy)


def test_a_trusted_forwarded_field_grows_by_our_element() -> None:
    """RFC 7239 4 and 6: an IPv6 address is bracketed and quoted."""
    ours = b'for=127.0.0.1;host="app.dev.local:8443";proto=https'
    assert (b"Forwarded", b"for=1.2.3.4, " + ours) in sent((b"Forwarded", b"for=1.2.3.4"), policy=TRUSTING)
    edge = Edge(b"::1", b"https", 443, b"p")
    out = forward_request(request((b"Forwarded", b"for=a"), authority=b""), TRUSTING, edge)
    assert (b"Forwarded", b'for=a, for="[::1]";proto=https') in out.headers


@pytest.mark.parametrize("mark", [bytes((code,)) for code in b"!#$%&'*+.^_`|~"])
def test_no_mark_makes_a_name_another_one(mark: bytes) -> None:
    """PHP reads `X.Real.Ip` as `X-Real-Ip`, lighttpd's CGI each of these marks."""
    for name in (b"X-Forwarded-For", b"X-Real-IP", b"X-Original-URL", b"Client-Cert", b"Transfer-Encoding"):
        alike = (name.replace(b"-", mark), b"x")
        for policy in (PLAIN, TRUSTING):
            assert sent(alike, policy=policy) == [HOST, *OURS]
        assert forward_trailers(Trailers(3, [alike])).headers == []


def test_names_with_underscores_are_not_trusted_even_from_a_trusted_proxy() -> None:
    fields = sent((b"X_Forwarded_For", b"6.6.6.6"), (b"X-Rewrite-URL", b"/admin"), policy=TRUSTING)
    assert fields == [HOST, *OURS]


def test_via_goes_behind_what_is_there_both_ways() -> None:
    assert sent((b"Via", b"1.1 a"), policy=ForwardPolicy())[1:] == [
        (b"Via", b"1.1 a"),
        *OURS,
        (b"Via", b"1.1 devtls-5f3a"),
    ]
    assert received(policy=ForwardPolicy(), http_version=b"1.0") == [(b"Via", b"1.0 devtls-5f3a")]


def test_everything_but_the_headers_of_an_answer_is_carried_over() -> None:
    made = Response(3, 404, [], b"Nope", None, b"1.0", True)
    assert forward_response(made, PLAIN, EDGE, authority=b"a") == made


def test_an_answers_other_fields_pass_with_name_case_and_order() -> None:
    fields = [(b"eTAG", b"1"), (b"Set-Cookie", b"a"), (b"X-B", b"2"), (b"Set-Cookie", b"b"), (b"Date", b"x")]
    assert received(*fields) == fields


def test_an_answers_connection_names_are_removed_but_for_its_length() -> None:
    fields = received((b"X-Hop", b"1"), (b"Connection", b"x-hop, Content-Length"), (b"Content-Length", b"0"))
    assert fields == [(b"Content-Length", b"0")]


def test_an_answers_length_passes_once() -> None:
    assert received((b"Content-Length", b"7"), (b"Content-Length", b"7"), body_length=0) == [(b"Content-Length", b"7")]


def test_a_204_has_no_length() -> None:
    """RFC 9110 8.6."""
    assert received((b"Content-Length", b"0"), status=204) == []


def test_urls_of_the_app_are_moved_in_four_fields() -> None:
    policy = ForwardPolicy(origins=(b"http://127.0.0.1:3000",), via=False)
    fields = received(
        (b"Location", b"http://127.0.0.1:3000/a"),
        (b"content-location", b"http://app.dev.local/b"),
        (b"Refresh", b"0; url=http://127.0.0.1:3000/c"),
        (b"Link", b"<http://127.0.0.1:3000/d>; rel=next"),
        policy=policy,
    )
    assert fields == [
        (b"Location", b"https://app.dev.local:8443/a"),
        (b"content-location", b"https://app.dev.local:8443/b"),
        (b"Refresh", b"0; url=https://app.dev.local:8443/c"),
        (b"Link", b"<https://app.dev.local:8443/d>; rel=next"),
    ]


def test_kept_hsts_still_loses_preload() -> None:
    fields = received(
        (b"Strict-Transport-Security", b"max-age=60;; Preload ; includeSubDomains"),
        policy=ForwardPolicy(keep_hsts=True, via=False),
    )
    assert fields == [(b"Strict-Transport-Security", b"max-age=60; includeSubDomains")]


def test_a_101_carries_its_connection_fields_itself() -> None:
    made = InformationalResponse(
        3,
        101,
        [(b"connection", b"upgrade"), (b"upgrade", b"WebSocket"), (b"Sec-WebSocket-Accept", b"x"), (b"Alt-Svc", b"y")],
        b"Switching",
    )
    out = forward_informational(made, ForwardPolicy(), EDGE, authority=b"a")
    assert out == InformationalResponse(
        3,
        101,
        [
            (b"Sec-WebSocket-Accept", b"x"),
            (b"Via", b"1.1 devtls-5f3a"),
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"websocket"),
        ],
        b"Switching",
    )


def test_an_early_hint_is_edited_like_a_final_answer() -> None:
    made = InformationalResponse(3, 103, [(b"Link", b"</a.css>"), (b"Content-Length", b"5"), (b"Keep-Alive", b"x")])
    assert forward_informational(made, PLAIN, EDGE, authority=b"a").headers == [(b"Link", b"</a.css>")]


def test_trailers_pass_but_for_those_that_must_not_be_trailers() -> None:
    fields = [(b"Grpc-Status", b"0"), (b"CONTENT-LENGTH", b"1"), (b"x_forwarded_for", b"z"), (b"Digest", b"d")]
    assert forward_trailers(Trailers(3, fields)) == Trailers(3, [(b"Grpc-Status", b"0"), (b"Digest", b"d")])


def test_five_passes_are_a_loop_and_four_are_not() -> None:
    passes: Headers = [(b"Via", b"1.1 devtls-5f3a, 1.1 nginx"), (b"via", b"1.1 devtls-5f3a,1.1 devtls-5f3a")]
    assert not is_loop([*passes, (b"Via", b"2.0 devtls-5f3a"), (b"Age", b"devtls-5f3a")], b"devtls-5f3a")
    assert is_loop([*passes, (b"VIA", b"1.1 devtls-5f3a, 1.0 devtls-5f3a")], b"devtls-5f3a")


_TOUCHY = [
    *["connection", "host", "te", "via", "upgrade", "transfer-encoding", "keep-alive", "proxy-connection"],
    *["x-forwarded-for", "x-forwarded-proto", "x-forwarded-x", "forwarded", "x-real-ip", "x-original-url"],
    *["content-length", "x-custom", "cookie"],
]


@st.composite
def touchy_fields(draw: st.DrawFn) -> tuple[bytes, bytes]:
    name = "".join(
        draw(st.sampled_from([char.lower(), char.upper(), "_" if char == "-" else char]))
        for char in draw(st.sampled_from(_TOUCHY))
    )
    return name.encode(), draw(st.sampled_from([*_TOUCHY, "trailers", "evil, x-custom", ""])).encode()


@given(st.lists(touchy_fields(), max_size=12), st.sampled_from([0, 5, None]))
@settings(max_examples=examples(150), deadline=None)
def test_no_field_list_smuggles_anything_past_the_rules(fields: Headers, length: int | None) -> None:
    headers = forward_request(request(*fields, body_length=length), ForwardPolicy(), EDGE).headers
    names = [name.lower().replace(b"_", b"-") for name, _ in headers]
    assert headers[0] == HOST
    assert names.count(b"host") == 1
    assert not {b"connection", b"upgrade", b"transfer-encoding", b"keep-alive", b"proxy-connection"} & set(names)
    assert [field for field in headers if field[0].lower().startswith((b"x-forwarded", b"x_forwarded"))] == OURS
    assert not {b"forwarded", b"x-real-ip", b"x-original-url"} & set(names)
    assert all(value == b"trailers" for name, value in headers if name == b"TE")
    assert headers[-1] == (b"Via", b"1.1 devtls-5f3a")
    lengths = [name for name, _ in headers if name.lower() == b"content-length"]
    assert len(lengths) <= (length is not None)
