"""h11 and httptools as oracles: what we write they read alike, what we accept they never read differently.

They may be stricter or laxer than we are. A message that two parsers both accept and read differently is the failure
that request smuggling is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11
import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devtls.http.events import (
    Data,
    EndOfMessage,
    Headers,
    InformationalResponse,
    Malformed,
    Request,
    Response,
    Trailers,
)
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.upstream import H1UpstreamCodec
from tests.effort import examples

BOUNDED = settings(max_examples=examples(150), deadline=None, derandomize=True, database=None)
TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
CODEC_FIELDS = {
    b"connection", b"content-length", b"expect", b"host", b"keep-alive", b"proxy-connection", b"te", b"trailer",
    b"transfer-encoding", b"upgrade",
}  # fmt: skip


@dataclass
class Message:
    """What one parser read: `start` is (method, target) or (status,)."""

    start: tuple[bytes | int, ...]
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)


def folded(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in headers]


def ours_of_requests(data: bytes) -> tuple[list[Message], bool]:
    """Return the complete messages, and whether the rest was refused."""
    server, messages = H1ClientCodec(HeadLimits()), list[Message]()
    events = server.receive_data(data)
    current = Message((), [])
    while events:
        for event in events:
            if isinstance(event, Request):
                current = Message((event.method, event.target), folded(event.headers))
            elif isinstance(event, Data):
                current.body += event.data
            elif isinstance(event, Trailers):
                current.trailers = folded(event.headers)
            elif isinstance(event, EndOfMessage):
                messages.append(current)
            else:
                return messages, True
        if not server.request_complete:
            break
        server.send(Response(len(messages), 204, []))
        server.send(EndOfMessage(len(messages)))
        if server.closing:
            return messages, True
        events = server.next_request()
    return messages, False


def h11_of_requests(data: bytes) -> list[Message]:
    peer, messages = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000), list[Message]()
    peer.receive_data(data)
    current = Message((), [])
    try:
        while True:
            event = peer.next_event()
            if isinstance(event, h11.Request):
                current = Message((event.method, event.target), folded(event.headers))
            elif isinstance(event, h11.Data):
                current.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                current.trailers = folded(event.headers)
                messages.append(current)
                peer.send(h11.Response(status_code=204, headers=[]))
                peer.send(h11.EndOfMessage())
                if peer.our_state is not h11.DONE:
                    return messages
                peer.start_next_cycle()
            else:
                return messages
    except h11.ProtocolError:
        return messages


class Collector:
    """The callbacks of httptools, for requests and for responses."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.parser: Any = None
        self.in_head = True
        self.begun: list[Message] = []
        self.url = b""

    def on_message_begin(self) -> None:
        self.begun.append(Message((), []))
        self.in_head, self.url = True, b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        current = self.begun[-1]
        (current.headers if self.in_head else current.trailers).append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_head = False
        parser = self.parser
        is_request = isinstance(parser, httptools.HttpRequestParser)
        self.begun[-1].start = (parser.get_method(), self.url) if is_request else (parser.get_status_code(),)

    def on_body(self, body: bytes) -> None:
        self.begun[-1].body += body

    def on_message_complete(self) -> None:
        self.messages.append(self.begun[-1])


def httptools_of(data: bytes, make: Callable[[Any], Any]) -> Collector:
    collector = Collector()
    collector.parser = make(collector)
    try:
        collector.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return collector
    return collector


def ours_of_response(data: bytes, *, eof: bool) -> tuple[list[Message], bool]:
    client, messages = H1UpstreamCodec(HeadLimits()), list[Message]()
    client.send(Request(1, b"GET", b"/", b"a", [(b"Host", b"a")]))
    client.send(EndOfMessage(1))
    current = Message((), [])
    for event in [*client.receive_data(data), *(client.receive_eof() if eof else [])]:
        if isinstance(event, InformationalResponse):
            messages.append(Message((event.status,), folded(event.headers)))
        elif isinstance(event, Response):
            current = Message((event.status,), folded(event.headers))
        elif isinstance(event, Data):
            current.body += event.data
        elif isinstance(event, Trailers):
            current.trailers = folded(event.headers)
        elif isinstance(event, EndOfMessage):
            messages.append(current)
        elif isinstance(event, Malformed):
            return messages, True
    return messages, not client.reusable


def h11_of_response(data: bytes, *, eof: bool) -> list[Message]:
    peer, messages = h11.Connection(h11.CLIENT, max_incomplete_event_size=100_000), list[Message]()
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    peer.send(h11.EndOfMessage())
    current = Message((), [])
    try:
        peer.receive_data(data)
        if eof:
            peer.receive_data(b"")
        while True:
            event = peer.next_event()
            if isinstance(event, h11.InformationalResponse):
                messages.append(Message((event.status_code,), folded(event.headers)))
            elif isinstance(event, h11.Response):
                current = Message((event.status_code,), folded(event.headers))
            elif isinstance(event, h11.Data):
                current.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                current.trailers = folded(event.headers)
                messages.append(current)
                return messages
            else:
                return messages
    except h11.ProtocolError:
        return messages


tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=12).map(str.encode)
values = st.text(
    [chr(code) for code in range(0x20, 0x100) if code != 0x7F] + ["\t"], max_size=20
).map(lambda text: text.encode("latin-1").strip(b" \t"))  # fmt: skip
headers = st.lists(st.tuples(tokens.filter(lambda name: name.lower() not in CODEC_FIELDS), values), max_size=6)
targets = st.text([chr(code) for code in range(0x21, 0x7F) if chr(code) != "#"], max_size=30).map(
    lambda text: b"/" + text.encode()
)
bodies = st.lists(st.binary(min_size=1, max_size=60), max_size=5)
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND"])


@BOUNDED
@given(st.tuples(methods, targets), headers, bodies, st.booleans(), headers)
def test_the_requests_that_we_write_are_read_alike_by_all(
    start: tuple[bytes, bytes], fields: Headers, body: list[bytes], known: bool, trailers: Headers
) -> None:
    method, target = start
    client = H1UpstreamCodec(HeadLimits())
    length = len(b"".join(body)) if known else None
    sent = client.send(Request(1, method, target, b"a", [(b"Host", b"a"), *fields], length))
    sent += b"".join(client.send(Data(1, piece)) for piece in body)
    if not known:
        client.send(Trailers(1, trailers))
    sent += client.send(EndOfMessage(1))
    ours, _ = ours_of_requests(sent)
    assert len(ours) == 1
    assert ours[0].start == (method, target)
    assert ours[0].headers[: len(fields) + 1] == folded([(b"Host", b"a"), *fields])
    assert ours[0].body == b"".join(body)
    assert h11_of_requests(sent) == ours
    assert httptools_of(sent, httptools.HttpRequestParser).messages == ours


@BOUNDED
@given(st.sampled_from([200, 201, 299, 302, 404, 500, 204, 304]), headers, bodies, st.booleans(), headers)
def test_the_responses_that_we_write_are_read_alike_by_all(
    status: int, fields: Headers, body: list[bytes], known: bool, trailers: Headers
) -> None:
    server = H1ClientCodec(HeadLimits())
    server.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    body = [] if status in (204, 304) else body
    length = len(b"".join(body)) if known else None
    sent = server.send(InformationalResponse(1, 103, fields))
    sent += server.send(Response(1, status, fields, body_length=length))
    sent += b"".join(server.send(Data(1, piece)) for piece in body)
    if not known:
        server.send(Trailers(1, trailers))
    sent += server.send(EndOfMessage(1))
    ours, _ = ours_of_response(sent, eof=False)
    assert [message.start for message in ours] == [(103,), (status,)]
    assert ours[1].headers[: len(fields)] == folded(fields)
    assert ours[1].body == b"".join(body)
    assert h11_of_response(sent, eof=False) == ours
    assert httptools_of(sent, httptools.HttpResponseParser).messages == ours


REQUEST_SEEDS = [
    b"GET /a?b HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
    b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
]
RESPONSE_SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\x0b", b":", b",", b";", b"0", b"1", b"5", b"+", b"-", b"_", b"0x",
    b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: ,chunked\r\n",
    b"Content-Length: 5, 5\r\n", b"Content-Length:\r\n 5\r\n", b"Host: b\r\n", b" folded\r\n", b"Connection: close\r\n",
    b"\xa0", b"\xff", b"HTTP/1.1", b"HTTP/1.0", b"http://b", b"GET / ", b"0\r\n\r\n", b"\r\n\r\n",
]  # fmt: skip
edits = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 3), st.sampled_from(PIECES) | st.binary(min_size=1, max_size=2)),
    max_size=3,
)


def mutated(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, deleted, inserted in changes:
        at = place % (len(seed) + 1)
        seed = seed[:at] + inserted + seed[at + deleted :]
    return seed


def check_agreement(ours: list[Message], refused: bool, theirs: list[Message]) -> None:
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.start, mine.body) == (other.start, other.body)
        assert mine.headers == other.headers
    assert refused or len(theirs) <= len(ours)


@settings(BOUNDED, max_examples=examples(600))
@given(st.sampled_from(REQUEST_SEEDS), edits)
@example(REQUEST_SEEDS[1], [(31, 0, b"Content-Length: 5\r\n")])
def test_requests_that_we_accept_are_never_read_differently(seed: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    data = mutated(seed, changes)
    ours, refused = ours_of_requests(data)
    if any(not bytes(message.start[1]).startswith(b"/") for message in ours if isinstance(message.start[1], bytes)):
        return
    if b"http://" not in data:  # an absolute target is reduced to its path: only our own reading has that
        check_agreement(ours, refused, h11_of_requests(data))
        check_agreement(ours, refused, httptools_of(data, httptools.HttpRequestParser).messages)


@settings(BOUNDED, max_examples=examples(600))
@given(st.sampled_from(RESPONSE_SEEDS), edits, st.booleans())
def test_responses_that_we_accept_are_never_read_differently(
    seed: bytes, changes: list[tuple[int, int, bytes]], eof: bool
) -> None:
    data = mutated(seed, changes)
    ours, doubtful = ours_of_response(data, eof=eof)
    theirs = h11_of_response(data, eof=eof)
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.start, mine.body) == (other.start, other.body)
    assert doubtful or len(theirs) <= len(ours)


@pytest.mark.parametrize("data", REQUEST_SEEDS)
def test_the_oracles_read_the_seeds(data: bytes) -> None:
    ours, _ = ours_of_requests(data)
    assert ours == h11_of_requests(data)
    assert ours == httptools_of(data, httptools.HttpRequestParser).messages
