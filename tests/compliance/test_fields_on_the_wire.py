"""Fields on their way through real sockets (rules 24-40 and 96-100), each also in test_fields.py."""

from __future__ import annotations

import pytest

from tests.net.harness import AppConnection, Conversation, Proxy, Reply, answering, app


def lines_of(head: bytes) -> list[bytes]:
    """Return the field lines of a head."""
    return head.split(b"\r\n")[1:-2]


def values(head: bytes, name: bytes) -> list[bytes]:
    """Return the values of a field, in order."""
    pairs = [line.partition(b": ") for line in lines_of(head)]
    return [value for key, _, value in pairs if key.lower() == name]


async def through(
    running: Proxy, conversation: Conversation, fields: bytes = b"", options: str = ""
) -> tuple[bytes, Reply]:
    """Send a GET with these fields; return the head that the app got, and the reply."""
    async with app(conversation) as backend:
        running.route(f"app = {{ target = {backend.port}{options} }}")
        reply = await running.get(fields=fields)
        return backend.connections[0].heads[0], reply


async def test_rule_24_what_connection_names_stays_on_its_hop(running: Proxy) -> None:
    """RFC 9110 7.6.1: several lines, an empty first one, odd case; both ways."""
    hop = (
        b"Connection:\r\nConnection: X-Foo, keep-alive\r\nconnection: x-BAR\r\nX-Foo: 1\r\nX-Bar: 1\r\n"
        b"Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nX-Stay: 1\r\n"
    )
    head, reply = await through(running, answering(fields=hop), hop + b"TE: deflate\r\n")
    for side in (head, reply.head):
        assert values(side, b"x-stay") == [b"1"]
        for name in (b"connection", b"x-foo", b"x-bar", b"keep-alive", b"proxy-connection", b"te"):
            assert values(side, name) == []


async def test_rule_25_a_client_cannot_delete_our_fields(running: Proxy) -> None:
    """RFC 9110 7.6.1: ours are added after the removal."""
    head, _ = await through(running, answering(), b"Connection: X-Forwarded-For, X-Forwarded-Proto, Host, Via\r\n")
    assert values(head, b"x-forwarded-for") == [b"127.0.0.1"]
    assert values(head, b"x-forwarded-proto") == [b"https"]
    assert values(head, b"host") == [b"app.dev.local"]
    assert values(head, b"via") == [b"1.1 devtls-test"]


async def test_rule_27_proxy_credentials_end_here(running: Proxy) -> None:
    """RFC 9110 11.7."""
    asked = answering(fields=b"Proxy-Authenticate: Basic realm=x\r\n", status=b"407 Proxy Authentication Required")
    head, reply = await through(running, asked, b"Proxy-Authorization: Basic eA==\r\n")
    assert values(head, b"proxy-authorization") == []
    assert reply.field(b"proxy-authenticate") == []


async def test_rule_30_and_31_the_app_learns_the_public_name_and_nothing_invented(running: Proxy) -> None:
    """RFC 7239 8.1: what a client claims is replaced; Host is what the browser sent, its port included."""
    spoofed = (
        b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
        b"X-Real-IP: 6.6.6.6\r\nX-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nX-Forwarded-Prefix: /evil\r\n"
    )
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        host = b"app.dev.local:%d" % running.port
        await client.request(host=host, fields=spoofed)
        assert (await client.reply()).status == 200
        client.close()
        head = backend.connections[0].heads[0]
    assert b"6.6.6.6" not in head
    assert b"evil" not in head
    assert values(head, b"host") == [host]
    assert values(head, b"x-forwarded-host") == [host]
    assert values(head, b"x-forwarded-for") == [b"127.0.0.1"]
    assert values(head, b"x-forwarded-port") == [b"%d" % running.port]


async def test_rule_31_the_upstreams_own_host_when_the_route_says_so(running: Proxy) -> None:
    """RFC 9112 3.2."""
    async with app(answering()) as backend:
        running.route(f'app = {{ target = {backend.port}, host = "upstream" }}')
        await running.get()
        head = backend.connections[0].heads[0]
        assert values(head, b"host") == [b"localhost:%d" % backend.port]
        assert values(head, b"x-forwarded-host") == [b"app.dev.local"]


async def test_rule_32_via_is_added_both_ways_unless_the_route_forbids_it(running: Proxy) -> None:
    """RFC 9110 7.6.3."""
    head, reply = await through(running, answering(fields=b"Via: 1.0 inner\r\n"), b"Via: 1.0 outer\r\n")
    assert values(head, b"via") == [b"1.0 outer", b"1.1 devtls-test"]
    assert reply.field(b"via") == [b"1.0 inner", b"1.1 devtls-test"]
    head, reply = await through(running, answering(), options=", via = false")
    assert values(head, b"via") == reply.field(b"via") == []


async def test_rule_33_nothing_is_encoded_or_decoded(running: Proxy) -> None:
    """RFC 9110 8.4: the bytes and their Content-Encoding pass; no Accept-Encoding is made up."""
    squeezed = b"\x1f\x8b not really gzip"
    head, reply = await through(running, answering(squeezed, fields=b"Content-Encoding: gzip\r\n"))
    assert values(head, b"accept-encoding") == []
    assert (reply.body, reply.field(b"content-encoding")) == (squeezed, [b"gzip"])


async def test_rule_34_repeated_fields_stay_apart_in_order_and_in_their_case(running: Proxy) -> None:
    """RFC 9110 5.3; RFC 6265 3."""
    fields = b"Set-Cookie: a=1\r\nX-oDD-cAsE: 1\r\nset-cookie: b=2; Secure; Domain=dev.local\r\nSet-Cookie: a=3\r\n"
    head, reply = await through(running, answering(fields=fields), fields)
    wanted = fields.split(b"\r\n")[:-1]
    for side in (head, reply.head):
        assert [line for line in lines_of(side) if line in wanted] == wanted


async def test_rule_37_date_and_server_are_the_apps(running: Proxy) -> None:
    """RFC 9110 6.6.1: neither added nor doubled."""
    fields = b"Date: Tue, 15 Nov 1994 08:12:31 GMT\r\nServer: mine\r\nX-Powered-By: y\r\n"
    _, reply = await through(running, answering(fields=fields))
    assert reply.field(b"date") == [b"Tue, 15 Nov 1994 08:12:31 GMT"]
    assert reply.field(b"server") == [b"mine"]
    _, bare = await through(running, answering())
    assert bare.field(b"server") == []


async def test_rule_38_and_99_conditions_credentials_and_origins_are_untouched(running: Proxy) -> None:
    """RFC 9110 7.7; RFC 6454 7."""
    asked = (
        b'Authorization: Bearer x\r\nRange: bytes=0-1\r\nIf-None-Match: "a"\r\nCache-Control: no-cache\r\n'
        b"Origin: https://app.dev.local\r\nReferer: https://app.dev.local/x\r\nAccept: a/b;q=0.1, */*\r\n"
    )
    given = b'ETag: "a"\r\nVary: Origin\r\nAccess-Control-Allow-Origin: *\r\nContent-Security-Policy: default-src x\r\n'
    head, reply = await through(running, answering(fields=given), asked)
    for line in asked.split(b"\r\n")[:-1]:
        assert line in lines_of(head)
    for line in given.split(b"\r\n")[:-1]:
        assert line in lines_of(reply.head)


async def test_rule_39_names_with_an_underscore_pass(running: Proxy) -> None:
    """RFC 9110 5.1."""
    head, reply = await through(running, answering(fields=b"x_y: 1\r\n"), b"a_b: 1\r\n")
    assert values(head, b"a_b") == [b"1"]
    assert reply.field(b"x_y") == [b"1"]


async def test_rule_40_a_large_cookie_passes(running: Proxy) -> None:
    """60 kB of fields and 15 kB of target: real cookies and tokens are big."""
    cookie = b"Cookie: " + b"c" * 45_000
    async with app(_with_a_large_head) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get(b"/" + b"a" * 15_000, fields=cookie + b"\r\n")
        assert reply.status == 200
        assert cookie in lines_of(backend.connections[0].heads[0])


async def _with_a_large_head(connection: AppConnection) -> None:
    connection.heads.append(b"".join([await connection.reader.readline() for _ in range(8)]) + b"\r\n")
    await connection.answer()


async def test_rule_56_te_trailers_reaches_the_app_with_its_connection_option(running: Proxy) -> None:
    """RFC 9110 10.1.4."""
    head, _ = await through(running, answering(), b"TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n")
    assert values(head, b"te") == [b"trailers"]
    assert [value.lower() for value in values(head, b"connection")] == [b"te"]


@pytest.mark.parametrize("host", [b"127.0.0.1", b"localhost", b"[::1]"])
async def test_rule_97_a_redirect_to_the_app_itself_leads_to_the_public_name(running: Proxy, host: bytes) -> None:
    """RFC 9110 10.2.2: path and query byte for byte; foreign and relative ones stay."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        own = b"http://%b:%d" % (host, connection.writer.get_extra_info("sockname")[1])
        await connection.answer(
            own,
            status=b"302 Found",
            fields=b"Location: %b/a%%2F?x=%%zz\r\nContent-Location: /relative\r\nRefresh: 0; url=%b/b\r\n"
            b"Link: <%b/c>; rel=next, <https://cdn.example/d>; rel=x\r\nX-Url: %b\r\n" % (own, own, own, own),
        )

    _, reply = await through(running, talk)
    assert reply.field(b"location") == [b"https://app.dev.local/a%2F?x=%zz"]
    assert reply.field(b"content-location") == [b"/relative"]
    assert reply.field(b"refresh") == [b"0; url=https://app.dev.local/b"]
    assert reply.field(b"link") == [b"<https://app.dev.local/c>; rel=next, <https://cdn.example/d>; rel=x"]
    assert reply.field(b"x-url") == [reply.body]


async def test_rule_98_and_100_hsts_and_alt_svc_end_here(running: Proxy) -> None:
    """RFC 6797 8.3; RFC 7838 3: both would outlive the project in the browser."""
    fields = b'Strict-Transport-Security: max-age=63072000; preload\r\nAlt-Svc: h3=":443"\r\n'
    _, reply = await through(running, answering(fields=fields))
    assert reply.field(b"strict-transport-security") == reply.field(b"alt-svc") == []
    _, kept = await through(running, answering(fields=fields), options=', hsts = "keep"')
    assert kept.field(b"strict-transport-security") == [b"max-age=63072000"]
