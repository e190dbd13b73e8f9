"""However the bytes are cut, the events are the same: every conversation at every position, and byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from devtls.http.events import Data
from devtls.http.h2 import frames
from devtls.http.h2.client import H2ClientCodec
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.upstream import H2UpstreamCodec
from tests.http.h2.wire import (
    CONNECT,
    GET,
    OK,
    POST,
    SECRET,
    asked,
    block,
    data,
    frame,
    goaway,
    headers,
    rst_stream,
    sent_bytes,
    settings,
    window_update,
)

PADDED = frames.PADDED | frames.END_STREAM
IN_TWO = (
    frame(frames.HEADERS, frames.END_STREAM, 1, block(GET)[:20])
    + frame(frames.CONTINUATION, 0, 1)
    + frame(frames.CONTINUATION, frames.END_HEADERS, 1, block(GET)[20:])
)
HELLO = frames.PREFACE + settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 10}) + frames.SETTINGS_ACK
CLIENTS = [
    HELLO + headers(1, GET) + headers(3, GET) + headers(3, GET),
    HELLO + headers(1, POST, end_stream=False) + data(1, b"body") + frame(0, PADDED, 1, b"\x03more\0\0\0"),
    HELLO + headers(1, POST, end_stream=False) + data(1, b"body") + headers(1, [(b"a", b"b")]),
    HELLO + IN_TWO + frame(frames.PING, 0, 0, b"12345678") + window_update(1, 5),
    HELLO + headers(1, CONNECT, end_stream=False) + data(1, b"frames") + rst_stream(1),
    HELLO + headers(1, [*GET, (b"A", b"b")]) + headers(3, [*GET, (b"expect", b"x")]) + headers(5, GET),
    HELLO + headers(1, [*POST, (b"content-length", b"3")], end_stream=False) + data(1, b"four") + headers(3, GET),
    HELLO + frame(99, 255, 7, b"unknown") + headers(1, GET) + goaway(0),
    HELLO + headers(1, GET) + frame(frames.HEADERS, frames.END_HEADERS, 3, b"\x00"),
    HELLO + headers(1, GET) + frame(frames.HEADERS, 0, 3, b"") + data(3),
    HELLO + headers(1, GET) + frame(frames.PRIORITY, 0, 1, b"1234"),
    HELLO + b"\xff\xff\xff\0\0\0\0\0\0",
    frames.PREFACE + headers(1, GET),
    b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n",
]
APPS = [
    settings() + headers(1, OK, end_stream=False) + data(1, b"body") + data(1, b"more", end_stream=True),
    settings() + headers(1, [(b":status", b"103")], end_stream=False) + headers(1, OK) + headers(3, OK),
    settings() + headers(3, OK, end_stream=False) + data(3, b"a") + headers(1, OK) + headers(3, [(b"a", b"b")]),
    settings() + goaway(1) + headers(1, OK) + goaway(1),
    settings() + rst_stream(1, 7) + rst_stream(3, 2),
    settings() + data(1, b"early") + headers(3, OK) + data(3),
    headers(1, OK),
]


def merged(events: list[object]) -> list[object]:
    """Join neighbouring Data: how a body is cut may follow the input, what it says may not."""
    result: list[object] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Data) and isinstance(last, Data) and last.stream_id == event.stream_id:
            result[-1] = Data(event.stream_id, last.data + event.data)
        else:
            result.append(event)
    return result


def served(pieces: Iterator[bytes]) -> list[object]:
    server = H2ClientCodec(H2Limits(), SECRET)
    events: list[object] = []
    for piece in pieces:
        events += server.receive_data(piece, 0.0)
    return [*merged(events), server.broken, sent_bytes(server)]


def relayed(pieces: Iterator[bytes]) -> list[object]:
    client = H2UpstreamCodec(H2Limits(), b"http")
    client.request(asked(1))
    client.request(asked(2))
    events: list[object] = []
    for piece in pieces:
        events += client.receive_data(piece, 0.0)
    return [*events, client.broken, client.available, sent_bytes(client)]


def check_splits(wire: bytes, run: Callable[[Iterator[bytes]], list[object]]) -> None:
    whole = run(iter([wire]))
    assert run(wire[place : place + 1] for place in range(len(wire))) == whole
    for place in range(1, len(wire)):
        assert run(iter([wire[:place], wire[place:]])) == whole, place


@pytest.mark.parametrize("wire", CLIENTS)
def test_what_a_client_sends_does_not_depend_on_how_it_is_cut(wire: bytes) -> None:
    check_splits(wire, served)


@pytest.mark.parametrize("wire", APPS)
def test_what_an_app_sends_does_not_depend_on_how_it_is_cut(wire: bytes) -> None:
    check_splits(wire, relayed)
