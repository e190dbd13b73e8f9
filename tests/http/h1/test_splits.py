"""However the bytes are cut, the events are the same: every message at every position, and byte by byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtls.http.events import Data, EndOfMessage, Request, Response
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.upstream import H1UpstreamCodec
from tests.effort import examples

SMALL = HeadLimits(max_head_bytes=400, max_fields=5, max_target_bytes=40)
HOST = b"Host: app.test\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"

REQUESTS = [
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"\r\rGET / HTTP/1.0\r\n\r\n",
    POST + b"Content-Length: 11\r\n\r\nhello world",
    POST + b"Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" + HOST + b"\r\nGET /3 HTTP/1.1\r\n" + HOST + b"\r\n",
    POST + CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n" + HOST + b"\r\n",
    POST + CHUNKED + b"5\r\nhello\r\n00;x\r\nA: b\r\nC: d\r\n\r\n",
    POST + CHUNKED + b"5\r\nhelloX\n0\r\n\r\n",
    POST + CHUNKED + b"5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n",
    POST + CHUNKED + b"5\r\nhello\r\n0\r\nA: " + b"x" * 500 + b"\r\n\r\n",
    POST + CHUNKED + b"5\r\nhello\r\n5;" + b"x" * 4200 + b"\r\nhello\r\n0\r\n\r\n",
    POST + CHUNKED + b"5\r\nhello\r\n5;" + b"x" * 4110 + b"\nhello\r\n0\r\n\r\n",
    POST + CHUNKED + b"5\r\nhello\r\nzz\r\n",
    b"GET / HTTP/2.0\r\n" + HOST + b"A: b\nC: d\r\n\r\n",
    b"GET /\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: b\x01\r\n" + HOST + b"C: d\n\r\n",
    b"GET / HTTP/1.1\r\nA b\r\nA: c\n\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 400 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: \x01" + b"x" * 400 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: \x01\r\nB: " + b"x" * 400 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 5 + b"\r\n",
    b"GET /" + b"x" * 40 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /" + b"x" * 500 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /" + b"x" * 287 + b"\n" + b"x" * 40,
    b"GET /" + b"x" * 291 + b"\n" + b"x" * 40,
    b"GET /" + b"x" * 292 + b"\r\n\r\n",
    b"GET /" + b"x" * 291 + b"\r\n\r\n",
]

RESPONSES = [
    OK + b"Content-Length: 5\r\n\r\nhello",
    OK + CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n",
    OK + b"Folded: a\r\n b\r\nSpaced : c\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nframes",
    b"HTTP/1.1 204 No Content\r\n\r\nextra",
    OK + CHUNKED + b"5\r\nhello\r\nx\r\n",
    OK + b"A: b\nC: d\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\nContent-Length: 9\n\nab\r\n\r\ncde",
    OK + b"Content-Length: 5\r\n\nhello",
    OK + b"Content-Length: 5\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\nLink: a\n\n" + OK + b"Content-Length: 0\n\n",
    b"HTTP/2.0 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    OK + b"Folded: a\n b\nContent-Length: 0\n\n",
    OK + b"A: b\r\r\n\r\n",
    b"\r\n" + OK + b"\r\n",
    OK + CHUNKED + b"5 \r\nhello\r\n0\t\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 2x0 OK\r\n\r\n",
    OK + b"A: " + b"x" * 500,
    OK + CHUNKED + b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 6 + b"\r\n",
]


def merged(events: list[object]) -> list[object]:
    """Join neighbouring Data: how a body is cut may follow the input, what it says may not."""
    result: list[object] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Data) and isinstance(last, Data):
            result[-1] = Data(event.stream_id, last.data + event.data)
        else:
            result.append(event)
    return result


def served(pieces: Iterator[bytes]) -> list[object]:
    """Feed a client's bytes, answer each request at once, return all events."""
    server = H1ClientCodec(SMALL)
    events: list[object] = []
    for piece in pieces:
        new = list(server.receive_data(piece))
        while new:
            events += new
            if new[-1] != EndOfMessage(len([event for event in events if isinstance(event, Request)])):
                break
            server.send(Response(new[-1].stream_id, 204, []))
            server.send(EndOfMessage(new[-1].stream_id))
            new = list(server.next_request())
    events += server.receive_eof()
    return [*merged(events), server.closing, server.buffered]


def relayed(pieces: Iterator[bytes]) -> list[object]:
    client = H1UpstreamCodec(SMALL)
    client.send(Request(1, b"GET", b"/", b"a", [], upgrade=b"websocket"))
    client.send(EndOfMessage(1))
    events: list[object] = []
    for piece in pieces:
        events += client.receive_data(piece)
    reusable = client.reusable
    events += client.receive_eof()
    return [*merged(events), reusable, client.reusable]


def cut_once(data: bytes, place: int) -> Iterator[bytes]:
    yield data[:place]
    yield data[place:]


def check_splits(data: bytes, run: Callable[[Iterator[bytes]], list[object]]) -> None:
    whole = run(iter([data]))
    assert run(data[place : place + 1] for place in range(len(data))) == whole
    for place in range(1, len(data), 1 if len(data) < 1000 else 37):
        assert run(cut_once(data, place)) == whole, place


@pytest.mark.parametrize("data", REQUESTS)
def test_requests_do_not_depend_on_how_they_are_cut(data: bytes) -> None:
    check_splits(data, served)


@pytest.mark.parametrize("data", RESPONSES)
def test_responses_do_not_depend_on_how_they_are_cut(data: bytes) -> None:
    check_splits(data, relayed)


PIECES = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b";", b"0", b"f", b"\xff", b"x" * 300, b"A: b\r\n" * 6]
edits = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.sampled_from(PIECES)), max_size=3)


@settings(max_examples=examples(300), deadline=None, derandomize=True, database=None)
@given(st.sampled_from([*REQUESTS, *RESPONSES]), edits, st.lists(st.integers(0, 600), max_size=5))
def test_damaged_messages_do_not_depend_on_how_they_are_cut(
    data: bytes, changes: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    run = relayed if data in RESPONSES else served
    for place, deleted, inserted in changes:
        data = data[:place] + inserted + data[place + deleted :]
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert run(piece for piece in pieces if piece) == run(iter([data] if data else []))
