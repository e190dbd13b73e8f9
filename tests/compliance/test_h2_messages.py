"""HTTP/2 messages: RFC 9113 section 8 and rules 83-90, and what of a request reaches an HTTP/1.1 app.

Whatever is refused is refused before the app sees one byte of it, and the connection's other streams live on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.compliance.h2wire import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    NO_ERROR,
    PROTOCOL_ERROR,
    Fields,
    WireH2,
    data,
    frame,
    h2_client,
)
from tests.net.harness import App, AppConnection, Proxy, answering, app, proxy, until

AUTHORITY = (b":authority", b"app.dev.local")
PSEUDO: Fields = [(b":method", b"GET"), (b":scheme", b"https"), AUTHORITY, (b":path", b"/")]


def _with(**changed: bytes | None) -> Fields:
    """Return the pseudo-fields with other values, or without some."""
    fields = [(name, changed.get(name[1:].decode(), value)) for name, value in PSEUDO]
    return [(name, value) for name, value in fields if value is not None]


MALFORMED: dict[str, Fields] = {
    "8.2.1 an upper-case name": [*PSEUDO, (b"X-Upper", b"1")],
    "8.2.1 a space in a name": [*PSEUDO, (b"x y", b"1")],
    "8.2.1 a colon in a name": [*PSEUDO, (b"x:y", b"1")],
    "8.2.1 a line end in a name": [*PSEUDO, (b"x\r\ny", b"1")],
    "8.2.1 a byte above 0x7e in a name": [*PSEUDO, (b"x\xff", b"1")],
    "8.2.1 a parenthesis in a name": [*PSEUDO, (b"x(", b"1")],
    "8.2.1 an empty name": [*PSEUDO, (b"", b"1")],
    "8.2.1 a NUL in a value": [*PSEUDO, (b"x", b"a\0b")],
    "8.2.1 a CR in a value": [*PSEUDO, (b"x", b"a\rb")],
    "8.2.1 a LF in a value (CVE-2025-57804)": [*PSEUDO, (b"x", b"a\nHost: evil")],
    "8.2.1 a space before a value": [*PSEUDO, (b"x", b" a")],
    "8.2.1 a tab behind a value": [*PSEUDO, (b"x", b"a\t")],
    "9110 5.5 a control in a value": [*PSEUDO, (b"x", b"a\x01b")],
    "9110 5.5 a DEL in a value": [*PSEUDO, (b"x", b"a\x7fb")],
    "8.2.2 connection": [*PSEUDO, (b"connection", b"close")],
    "8.2.2 keep-alive": [*PSEUDO, (b"keep-alive", b"timeout=5")],
    "8.2.2 proxy-connection": [*PSEUDO, (b"proxy-connection", b"close")],
    "8.2.2 transfer-encoding": [*PSEUDO, (b"transfer-encoding", b"chunked")],
    "8.2.2 upgrade": [*PSEUDO, (b"upgrade", b"websocket")],
    "8.2.2 te with something else than trailers": [*PSEUDO, (b"te", b"trailers, gzip")],
    "8.3 an unknown pseudo-field": [*PSEUDO, (b":verb", b"GET")],
    "8.3 a pseudo-field of responses": [*PSEUDO, (b":status", b"200")],
    "8.3 a pseudo-field behind a field": [*PSEUDO[:3], (b"x", b"1"), PSEUDO[3]],
    "8.3 a pseudo-field twice": [*PSEUDO, (b":path", b"/other")],
    "8.3.1 no :method": _with(method=None),
    "8.3.1 no :scheme": _with(scheme=None),
    "8.3.1 no :path": _with(path=None),
    "8.3.1 an empty :path": _with(path=b""),
    "8.3.1 a :path without a slash": _with(path=b"a"),
    "8.3.1 an absolute :path": _with(path=b"http://evil/"),
    "8.3.1 * without OPTIONS": _with(path=b"*"),
    "10.3 a request line in :path": _with(path=b"/a HTTP/1.1"),
    "10.3 a line end in :path": _with(path=b"/\r\nHost: evil"),
    "10.3 a tab in :path": _with(path=b"/a\tb"),
    "10.3 a byte above 0x7e in :path": _with(path=b"/\xff"),
    "10.3 a fragment in :path": _with(path=b"/a#b"),
    "10.3 a space in :method": _with(method=b"GE T"),
    "10.3 a line end in :method": _with(method=b"GET / HTTP/1.1\r\n"),
    "10.3 an empty :method": _with(method=b""),
    "10.3 a :scheme that is none": _with(scheme=b"ht tp:/"),
    "8.3.1 an empty :authority": _with(authority=b""),
    "8.3.1 userinfo in :authority": _with(authority=b"u@app.dev.local"),
    "8.3.1 a slash in :authority": _with(authority=b"app.dev.local/x"),
    "8.3.1 a space in :authority": _with(authority=b"app.dev.local x"),
    "8.3.1 Host says something else than :authority": [*PSEUDO, (b"host", b"other.dev.local")],
    "8.3.1 two Hosts": [*_with(authority=None), (b"host", b"app.dev.local"), (b"host", b"app.dev.local")],
    "8.1.1 content-length with END_STREAM": [*PSEUDO, (b"content-length", b"5")],
    "9110 8.6 two content-lengths": [*PSEUDO, (b"content-length", b"0"), (b"content-length", b"0")],
    "9110 8.6 a sign in content-length": [*PSEUDO, (b"content-length", b"+0")],
    "9110 8.6 a list in content-length": [*PSEUDO, (b"content-length", b"0, 0")],
    "9110 8.6 an empty content-length": [*PSEUDO, (b"content-length", b"")],
    "RFC 8441 4 :protocol without CONNECT": [*PSEUDO, (b":protocol", b"websocket")],
    "RFC 8441 4 an extended CONNECT without :path": [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        AUTHORITY,
    ],
}


async def _lives_on(client: WireH2, backend: App) -> None:
    """The connection serves, and until now the app has seen nothing."""
    assert not backend.connections
    assert (await client.get()).status == 200
    assert not client.goaways


@pytest.mark.parametrize("what", MALFORMED)
async def test_8_1_1_a_malformed_request_is_a_stream_error_and_nothing_for_the_app(running: Proxy, what: str) -> None:
    """RFC 9113 8.1.1: PROTOCOL_ERROR on the stream; the section that is broken stands before each case."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        await client.send(client.raw_head(stream, MALFORMED[what]))
        seen = await client.reply(stream)
        assert (seen.reset, seen.heads) == (PROTOCOL_ERROR, [])
        await _lives_on(client, backend)
        client.close()


ANSWERED: dict[str, tuple[Fields, int]] = {
    "8.5 a CONNECT": ([(b":method", b"CONNECT"), (b":authority", b"app.dev.local:443")], 501),
    "RFC 8441 5 a protocol that is not websocket": (
        [
            (b":method", b"CONNECT"),
            (b":protocol", b"connect-udp"),
            (b":scheme", b"https"),
            AUTHORITY,
            (b":path", b"/"),
        ],
        501,
    ),
    "rule 19 TRACE": (_with(method=b"TRACE"), 405),
    "2.6 the scheme http inside TLS": (_with(scheme=b"http"), 400),
    "rule 40 a target of 16 KiB": (_with(path=b"/" + b"a" * 16_384), 414),
    "rule 40 257 fields": ([*PSEUDO, *[(b"x", b"")] * 253], 431),
    "rule 40 257 fields, cookie crumbs": ([*PSEUDO, *[(b"cookie", b"a=b")] * 253], 431),
    "rule 53 an unknown expectation": ([*PSEUDO, (b"expect", b"200-maybe")], 417),
}


@pytest.mark.parametrize("what", ANSWERED)
@pytest.mark.parametrize("end", [True, False], ids=["whole", "open"])
async def test_what_deserves_an_answer_gets_one_and_the_app_nothing(running: Proxy, what: str, end: bool) -> None:
    """A status; the app learns nothing of such a request."""
    fields, status = ANSWERED[what]
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        await client.send(client.raw_head(stream, fields, end=end))
        seen = await client.reply(stream)
        assert (seen.status, seen.ended) == (status, True)
        if not end:
            await client.send(data(stream, b"GET /smuggled HTTP/1.1\r\n\r\n", end=True))
        await _lives_on(client, backend)
        client.close()


async def test_rule_40_a_head_above_the_limit_is_431_or_ends_the_connection(running: Proxy) -> None:
    """RFC 9113 10.5.1: its block has to be decoded or the connection given up; never is it kept."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        block = client.block([*PSEUDO, *((b"x-%d" % n, b"z" * 1000) for n in range(40))])
        pieces = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
        frames = [frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:]]
        await client.send(frame(HEADERS, END_STREAM, stream, pieces[0]), *frames)
        await client.send(frame(CONTINUATION, END_HEADERS, stream))
        assert (await client.reply(stream)).status == 200  # 40 kB: real cookies and tokens are that big
        assert len(backend.connections[0].heads[0]) > 40_000
        table = [(b"x-long", b"y" * 3_900)]  # one entry of the table, one byte each time it is named
        await client.reply(await client.request(*table))
        big = await client.request(*table * 30)
        assert (await client.reply(big)).status == 431
        assert (await client.get()).status == 200
        client.close()


# -- bodies and their lengths -----------------------------------------------------------------------------------------

LENGTHS: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "too short": (b"5", lambda stream: data(stream, b"hell", end=True)),
    "too long": (b"5", lambda stream: data(stream, b"hello!", end=True)),
    "too long in pieces": (b"5", lambda stream: data(stream, b"hello") + data(stream, b"!")),
    "none, promised one": (b"5", lambda stream: data(stream, b"", end=True)),
    "one, promised none": (b"0", lambda stream: data(stream, b"x", end=True)),
}


@pytest.mark.parametrize("how", LENGTHS)
async def test_8_1_1_a_body_of_another_length_is_a_stream_error_and_the_app_sees_a_cut(
    running: Proxy, how: str
) -> None:
    """RFC 9113 8.1.1: the app never gets the end of such a request."""
    length, body = LENGTHS[how]
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        head = await connection.head()
        if head.startswith(b"GET"):
            await connection.answer()
            return
        try:
            got.append(await connection.to_eof())
        except ConnectionError:
            got.append(b"")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request((b"content-length", length), method=b"POST", end=False)
        await until(lambda: backend.connections and backend.connections[0].heads)
        await client.send(body(stream))
        assert (await client.reply(stream)).reset == PROTOCOL_ERROR
        await until(lambda: got)
        assert len(got[0]) < 6
        assert (await client.get()).status == 200
        client.close()


@pytest.mark.parametrize("length", [None, b"11"], ids=["unknown length", "known length"])
async def test_rule_59_a_body_of_known_length_stays_one(running: Proxy, length: bytes | None) -> None:
    """RFC 9112 6: Content-Length where there was one, chunked else."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        got.append(await connection.body(11 if length else len(b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n")))
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        more = [] if length is None else [(b"content-length", length)]
        stream = await client.request(*more, method=b"POST", end=False)
        await client.send(data(stream, b"hello "))
        await client.settle()
        await client.send(data(stream, b"world"), data(stream, b"", end=True))
        assert (await client.reply(stream)).status == 200
        head = backend.connections[0].heads[0]
        assert (b"Transfer-Encoding: chunked" in head) is (length is None)
        assert (b"content-length: 11" in head.lower()) is (length is not None)
        assert got[0].replace(b"\r\n", b"").replace(b"6h", b"h").replace(b"5w", b"w").rstrip(b"0") == b"hello world"
        client.close()


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"GET"])
@pytest.mark.parametrize("end", ["with HEADERS", "with empty DATA"])
async def test_rule_59_a_method_that_means_a_body_says_that_there_is_none(
    running: Proxy, method: bytes, end: str
) -> None:
    """RFC 9110 8.6: WEBrick, lighttpd and nginx answer 411 to a POST without a length."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        last = b"" if end == "with HEADERS" else data(stream, b"", end=True)
        await client.send(client.head(stream, method=method, end=not last), last)
        assert (await client.reply(stream)).status == 200
        head = backend.connections[0].heads[0].lower()
        assert (b"\r\ncontent-length: 0\r\n" in head) is (method != b"GET")
        assert b"transfer-encoding" not in head
        client.close()


@pytest.mark.parametrize("apart", [False, True], ids=["in one write", "head and body apart"])
async def test_rule_59_a_body_that_ends_with_its_first_read_has_a_length(running: Proxy, apart: bool) -> None:
    """RFC 9112 6.3: Python's http.server cannot read chunks; Go's and Node's clients say no length over HTTP/2."""

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            await connection.body(11)
            await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(3):
            stream = client.stream()
            head, body = client.head(stream, method=b"POST", end=False), data(stream, b"hello world")
            for piece in (
                (head, body + data(stream, b"", end=True)) if apart else (head + body + data(stream, b"", end=True),)
            ):
                await client.send(piece)
            assert (await client.reply(stream)).status == 200
        for head in backend.connections[0].heads:
            assert b"\r\nContent-Length: 11\r\n" in head
            assert b"Transfer-Encoding" not in head
        client.close()


async def test_rule_59_a_body_with_trailers_keeps_its_chunks(running: Proxy) -> None:
    """RFC 9112 7.1.2: they have no other place."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.reader.readuntil(b"0\r\nx-sum: 1\r\n\r\n")
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        wire = client.head(stream, method=b"POST", end=False) + data(stream, b"hello")
        await client.send(wire + client.raw_head(stream, [(b"x-sum", b"1")]))
        assert (await client.reply(stream)).status == 200
        assert b"Transfer-Encoding: chunked" in backend.connections[0].heads[0]
        client.close()


async def test_rule_60_a_client_that_waits_for_100_continue_gets_it_though_its_length_is_unknown(
    running: Proxy,
) -> None:
    """RFC 9110 10.1.1: the head must not wait for a body that waits for the head."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.reader.readuntil(b"0\r\n\r\n")
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        await client.send(client.head(stream, (b"expect", b"100-continue"), method=b"POST", end=False))
        await client.until(lambda: client.seen(stream).heads)
        assert client.seen(stream).status == 100
        await client.send(data(stream, b"hello", end=True))
        assert (await client.reply(stream)).status == 200
        client.close()


async def test_rule_20_raw_utf_8_in_a_path_is_percent_encoded(running: Proxy) -> None:
    """RFC 3986 2.1: the app and the routes see the encoded form, in HTTP/2 as in HTTP/1.1."""
    async with app(answering(b"all")) as backend, app(answering(b"below")) as below:
        running.route(f'app = {backend.port}\n"app/k%C3%A4se" = {below.port}')
        client = await h2_client(running)
        assert (await client.get("/käse/ü?q=é".encode())).body == b"below"
        assert (await client.get("/ü".encode())).body == b"all"
        assert below.connections[0].heads[0].startswith(b"GET /k%C3%A4se/%C3%BC?q=%C3%A9 HTTP/1.1\r\n")
        assert (await running.get("/käse/ü?q=é".encode())).body == b"below"
        client.close()


async def test_rule_58_the_app_sees_a_body_before_it_ends_and_answers_meanwhile(running: Proxy) -> None:
    """RFC 9113 8.1: streams are full duplex."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.body(len(b"3\r\none\r\n"))
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n")
        await connection.body(len(b"3\r\ntwo\r\n0\r\n\r\n"))
        await connection.send(b"3\r\nTWO\r\n0\r\n\r\n")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request(method=b"POST", end=False)
        await client.send(data(stream, b"one"))
        await client.until(lambda: client.seen(stream).body == b"ONE")
        await client.send(data(stream, b"two", end=True))
        assert (await client.reply(stream)).body == b"ONETWO"
        client.close()


# -- trailers ---------------------------------------------------------------------------------------------------------


async def test_8_1_trailers_pass_both_ways(running: Proxy) -> None:
    """RFC 9113 8.1, RFC 9112 7.1.2."""
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        got.append(await connection.reader.readuntil(b"0\r\n"))
        got.append(await connection.reader.readuntil(b"\r\n\r\n"))
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
        await connection.send(b"X-Sum: 2\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request((b"te", b"trailers"), method=b"POST", end=False)
        await client.send(data(stream, b"hello"), client.raw_head(stream, [(b"x-crc", b"1"), (b"x-crc", b"2")]))
        seen = await client.reply(stream)
        assert got[1].lower() == b"x-crc: 1\r\nx-crc: 2\r\n\r\n"
        assert (seen.body, seen.heads[-1]) == (b"ok", [(b"x-sum", b"2")])
        assert b"te: trailers" in backend.connections[0].heads[0].lower()
        client.close()


BAD_TRAILERS: dict[str, tuple[Fields, bool]] = {
    "without END_STREAM": ([(b"x", b"1")], False),
    "with a pseudo-field": ([(b":path", b"/")], True),
    "with an upper-case name": ([(b"X", b"1")], True),
    "with a line end": ([(b"x", b"1\r\ny: 2")], True),
    "with a connection's field": ([(b"transfer-encoding", b"chunked")], True),
}


@pytest.mark.parametrize("what", BAD_TRAILERS)
async def test_8_1_malformed_trailers_are_a_stream_error_and_the_app_sees_a_cut(running: Proxy, what: str) -> None:
    """RFC 9113 8.1, 8.1.1."""
    fields, end = BAD_TRAILERS[what]
    got: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        if (await connection.head()).startswith(b"GET"):
            await connection.answer()
            return
        try:
            got.append(await connection.to_eof())
        except ConnectionError:
            got.append(b"")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request(method=b"POST", end=False)
        await until(lambda: backend.connections and backend.connections[0].heads)
        await client.send(data(stream, b"x"), client.raw_head(stream, fields, end=end))
        assert (await client.reply(stream)).reset == PROTOCOL_ERROR
        await until(lambda: got)
        assert b"0\r\n\r\n" not in got[0]
        assert (await client.get()).status == 200
        client.close()


async def test_8_1_a_content_length_is_checked_against_trailers_too(running: Proxy) -> None:
    """RFC 9113 8.1.1."""
    async with app(_until_the_proxy_ends) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request((b"content-length", b"5"), method=b"POST", end=False)
        await client.send(data(stream, b"hell"), client.raw_head(stream, [(b"x", b"1")]))
        assert (await client.reply(stream)).reset == PROTOCOL_ERROR
        client.close()


async def _until_the_proxy_ends(connection: AppConnection) -> None:
    await connection.to_eof()


# -- answers ----------------------------------------------------------------------------------------------------------


async def test_8_1_interim_responses_pass_in_order_and_end_nothing(running: Proxy) -> None:
    """RFC 9113 8.1, RFC 9110 15.2: several 1xx, their connection fields gone, none of it in the answer."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n")
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        seen = await client.get()
        assert [dict(head)[b":status"] for head in seen.heads] == [b"102", b"103", b"200"]
        assert seen.values(b"link", 1) == [b"</a>"]
        assert not seen.values(b"x-hop", 1) and not seen.values(b"connection", 1)
        assert not seen.values(b"link")
        client.close()


@pytest.mark.parametrize(
    ("method", "answer", "status", "length"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, [b"5"]),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, []),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, [b"7"]),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, [b"0"]),
    ],
    ids=["HEAD", "204", "304", "empty"],
)
async def test_8_1_an_answer_without_a_body_ends_with_its_head(
    running: Proxy, method: bytes, answer: bytes, status: int, length: list[bytes]
) -> None:
    """RFC 9113 8.1, RFC 9110 6.4.1: no DATA."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(answer)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        seen = await client.reply(await client.request(method=method))
        assert (seen.status, seen.size, seen.reset) == (status, 0, None)
        assert seen.values(b"content-length") == length
        client.close()


async def test_8_2_2_connection_fields_of_an_app_are_gone_and_names_in_lower_case(running: Proxy) -> None:
    """RFC 9113 8.2, 8.2.2, rules 84 and 34: Set-Cookie lines stay separate and in order."""
    fields = (
        b"Connection: keep-alive, X-Named\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Named: 1\r\n"
        b"Upgrade: h2c\r\nSet-Cookie: a=1\r\nX-Kept: Yes\r\nSet-Cookie: b=2\r\n"
    )
    async with app(answering(b"ok", fields=fields)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        seen = await client.get()
        names = [name for name, _ in seen.heads[0]]
        assert not {b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"x-named"} & set(names)
        assert all(name == name.lower() for name in names)
        assert seen.values(b"set-cookie") == [b"a=1", b"b=2"]
        assert seen.values(b"x-kept") == [b"Yes"]
        client.close()


async def test_rule_46_an_answer_that_is_cut_ends_with_a_reset(running: Proxy) -> None:
    """RFC 9113 8.1: never END_STREAM."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        seen = await client.get()
        assert (seen.body, seen.ended) == (b"hello", False)
        assert seen.reset not in (None, NO_ERROR)
        client.close()


async def test_rule_49_an_app_that_breaks_http_gives_502(running: Proxy) -> None:
    """RFC 9110 15.6.3."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 502
        client.close()


async def test_8_1_an_early_answer_arrives_whole_and_the_upload_is_told_to_stop(authority: Authority) -> None:
    """RFC 9113 8.1, rule 54: all of the answer; the upload is read on for a while, then RST_STREAM(NO_ERROR)."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.answer(b"n" * 20_000, status=b"413 Content Too Large")

    async with proxy(authority, limits=ClientLimits(linger_s=0.05)) as running, app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request((b"content-length", b"30000000"), method=b"POST", end=False)
        await client.send(data(stream, bytes(10_000)))
        seen = await client.reply(stream)
        assert (seen.status, len(seen.body), seen.ended) == (413, 20_000, True)
        await client.send(data(stream, bytes(10_000)))
        await client.until(lambda: seen.reset is not None)
        assert seen.reset == NO_ERROR
        await client.send(data(stream, bytes(10_000)))  # it was on its way
        await client.settle()
        assert not client.goaways
        client.close()


@pytest.mark.parametrize("code", [100, 417])
async def test_rule_53_an_expectation_is_the_apps_to_answer(running: Proxy, code: int) -> None:
    """RFC 9110 10.1.1."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        if code == 417:
            await connection.answer(status=b"417 Expectation Failed")
            return
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.body(5)
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        fields = ((b"content-length", b"5"), (b"expect", b"100-continue"))
        stream = await client.request(*fields, method=b"POST", end=False)
        await client.until(lambda: client.seen(stream).heads)
        assert client.seen(stream).status == code
        if code == 100:
            await client.send(data(stream, b"hello", end=True))
            assert (await client.reply(stream)).status == 200
        client.close()


# -- what reaches the app ---------------------------------------------------------------------------------------------


async def _head_at_the_app(running: Proxy, fields: Fields, host: str = "app.dev.local") -> list[bytes]:
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, host)
        stream = client.stream()
        await client.send(client.raw_head(stream, fields))
        assert (await client.reply(stream)).status == 200
        client.close()
        return backend.connections[0].heads[0].split(b"\r\n")[:-2]


async def test_8_2_3_cookie_crumbs_are_joined(running: Proxy) -> None:
    """RFC 9113 8.2.3."""
    crumbs = [(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3")]
    lines = await _head_at_the_app(running, [*PSEUDO, *crumbs])
    assert [line for line in lines if line.lower().startswith(b"cookie")] == [b"cookie: a=1; b=2; c=3"]


async def test_8_3_1_authority_becomes_host(running: Proxy) -> None:
    """RFC 9113 8.3.1: one Host, whatever the client sent besides; Host alone will do."""
    for fields in (
        PSEUDO,
        [*PSEUDO, (b"host", b"app.dev.local")],
        [*_with(authority=None), (b"host", b"app.dev.local")],
        _with(authority=b"APP.dev.local"),
    ):
        lines = await _head_at_the_app(running, fields)
        assert [line for line in lines if line.lower().startswith(b"host:")] == [b"Host: app.dev.local"]


async def test_rule_20_a_target_arrives_byte_for_byte(running: Proxy) -> None:
    """RFC 9110 7.1; OPTIONS * is kept as well."""
    target = b"/a%2Fb//c/../d;v=1?x=1&y=%20;z&q[]=%zz|^`{}"
    assert (await _head_at_the_app(running, _with(path=target)))[0] == b"GET " + target + b" HTTP/1.1"
    options = await _head_at_the_app(running, _with(method=b"OPTIONS", path=b"*"))
    assert options[0] == b"OPTIONS * HTTP/1.1"


async def test_rule_30_and_32_what_we_add_replaces_what_a_client_pretends(running: Proxy) -> None:
    """RFC 9110 7.6.3: Via says 2.0; X-Forwarded-* are ours alone; http2-settings is dropped (rule 28)."""
    spoofed = [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-proto", b"http"), (b"forwarded", b"for=6.6.6.6")]
    lines = await _head_at_the_app(
        running, [*PSEUDO, *spoofed, (b"http2-settings", b"AAMAAABk"), (b"priority", b"u=1")]
    )
    fields = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in lines[1:]}
    assert fields[b"via"] == b"2.0 devtls-test"
    assert fields[b"x-forwarded-for"] == b"127.0.0.1"
    assert fields[b"x-forwarded-proto"] == b"https"
    assert fields[b"x-forwarded-host"] == b"app.dev.local"
    assert fields[b"x-forwarded-port"] == b"%d" % running.port
    assert fields[b"priority"] == b"u=1"
    assert not {b"forwarded", b"http2-settings"} & set(fields)
    assert b"6.6.6.6" not in b"".join(lines)


async def test_rule_87_an_authority_that_the_certificate_does_not_name_is_421(running: Proxy) -> None:
    """RFC 9110 15.5.20, RFC 9113 9.1.1: other streams of the connection are served."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}\nother = {backend.port}")
        client = await h2_client(running)
        assert (await client.get(host=b"other.dev.local")).status == 421
        assert (await client.get(host=b"evil.example.com")).status == 421
        assert not backend.connections
        assert (await client.get(host=b"app.dev.local:8443")).status == 200
        client.close()
        localhost = await h2_client(running, None)
        assert (await localhost.get(host=b"app.dev.local")).status == 421
        localhost.close()


async def test_rule_85_nothing_is_pushed_and_webSockets_are_offered(running: Proxy) -> None:
    """RFC 9113 8.4, RFC 8441 3: SETTINGS_ENABLE_CONNECT_PROTOCOL is 1."""
    client = await h2_client(running)
    assert client.settings[8] == 1
    assert client.settings.get(2, 0) == 0
    client.close()


async def test_the_same_head_again_is_the_same_request_for_the_app(running: Proxy) -> None:
    """The codec remembers blocks that come twice: each reaches its app unchanged, also when the table has moved."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for turn in range(6):
            for path in (b"/a", b"/b"):
                for _ in range(3):
                    assert (await client.get(path)).status == 200
            await client.reply(await client.request((b"x-turn", b"%d" % turn), path=b"/c"))
        heads = [head for connection in backend.connections for head in connection.heads]
        paths = [head.split(b" ")[1] for head in heads]
        assert paths == ([b"/a"] * 3 + [b"/b"] * 3 + [b"/c"]) * 6
        assert len({head for head in heads if head.startswith(b"GET /a ")}) == 1
        client.close()


async def test_streams_are_answered_as_they_are_ready_not_in_order(running: Proxy) -> None:
    """RFC 9113 5: a slow answer does not hold up a quick one."""
    let_go = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        if b"/slow" in await connection.head():
            await let_go.wait()
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        slow = await client.request(path=b"/slow")
        assert (await client.get()).status == 200
        assert not client.seen(slow).over
        let_go.set()
        assert (await client.reply(slow)).status == 200
        client.close()
