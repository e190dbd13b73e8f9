"""A connection of HTTP/1.1 to an app: a head that waits for its body's length, reads that are too much for a turn."""

from __future__ import annotations

import asyncio

import pytest

from devtls.http.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    Headers,
    InformationalResponse,
    Request,
    Trailers,
)
from devtls.http.h1.head import HeadLimits
from devtls.net.upstream.h1 import H1UpstreamConnection
from tests.net.h2_stand_ins import UPSTREAM, NotingTransport, User
from tests.net.harness import until

HOST: Headers = [(b"Host", b"app")]
CHUNKS = b"1\r\nx\r\n"


class Made:
    """A connection, the transport under it, and its user."""

    def __init__(self) -> None:
        self.discarded: list[H1UpstreamConnection] = []
        self.connection = H1UpstreamConnection(UPSTREAM, HeadLimits(), self.discarded.append)
        self.transport = NotingTransport()
        self.connection.connection_made(self.transport)
        self.user = self.connection.user = User()

    def send(self, *events: Request | Data | Trailers | EndOfMessage) -> bytes:
        """Send a burst; return what was written at once."""
        for event in events:
            self.connection.send(event)
        self.connection.flush()
        return self.transport.taken()

    async def written(self) -> bytes:
        await until(lambda: self.transport.written)
        return self.transport.taken()

    async def asked(self) -> None:
        """Have a request under way."""
        self.send(Request(1, b"GET", b"/", b"app", HOST))
        await self.written()


def post(
    length: int | None = None, *, version: bytes = b"2.0", expects: bool = False, goes_on: bool = False
) -> Request:
    return Request(1, b"POST", b"/", b"app", HOST, length, version, expects, goes_on=goes_on)


START = b"POST / HTTP/1.1\r\nHost: app\r\n"


@pytest.mark.parametrize("bursts", [1, 2], ids=["with its body", "before its body"])
async def test_a_body_that_ends_with_its_first_read_is_sent_with_its_length(bursts: int) -> None:
    made = Made()
    if bursts == 2:
        assert made.send(post()) == b""
        wire = made.send(Data(1, b"hel"), Data(1, b"lo"), EndOfMessage(1))
    else:
        wire = made.send(post(), Data(1, b"hel"), Data(1, b"lo"), EndOfMessage(1))
    assert wire == START + b"Content-Length: 5\r\n\r\nhello"


async def test_a_body_that_turns_out_to_be_none_is_sent_with_the_length_0() -> None:
    made = Made()
    made.send(post(), EndOfMessage(1))
    assert await made.written() == START + b"Content-Length: 0\r\n\r\n"


async def test_a_body_that_goes_on_is_chunked_when_the_sockets_were_read_once_more() -> None:
    made = Made()
    head = START + b"Transfer-Encoding: chunked\r\n\r\n"
    assert made.send(post(), Data(1, b"he")) == b""
    for _ in range(3):
        await asyncio.sleep(0)
    assert made.transport.taken() == head + b"2\r\nhe\r\n"
    made.send(Data(1, b"llo"), EndOfMessage(1))
    assert await made.written() == b"3\r\nllo\r\n0\r\n\r\n"


async def test_an_end_just_behind_the_body_is_waited_for() -> None:
    """curl and Go send it in an empty DATA of its own."""
    made = Made()
    assert made.send(post()) == b""
    assert made.send(Data(1, b"hello")) == b""
    assert made.send(EndOfMessage(1)) == START + b"Content-Length: 5\r\n\r\nhello"
    await asyncio.sleep(0.03)
    assert made.transport.written == b""


async def test_a_head_without_a_body_waits_a_moment_and_no_longer() -> None:
    made = Made()
    assert made.send(post()) == b""
    assert await made.written() == START + b"Transfer-Encoding: chunked\r\n\r\n"
    assert made.send(Data(1, b"x")) == b"1\r\nx\r\n"


@pytest.mark.parametrize(
    "request_",
    [post(expects=True), post(goes_on=True), post(version=b"1.1")],
    ids=["100-continue", "a body that was seen to go on", "a client of HTTP/1.1"],
)
async def test_some_heads_do_not_wait(request_: Request) -> None:
    made = Made()
    made.send(request_)
    await asyncio.sleep(0)
    assert made.transport.taken() == START + b"Transfer-Encoding: chunked\r\n\r\n"


async def test_trailers_need_chunks() -> None:
    made = Made()
    made.send(post(), Data(1, b"x"), Trailers(1, [(b"X-Sum", b"1")]), EndOfMessage(1))
    wire = await made.written()
    assert wire == START + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"


@pytest.mark.parametrize("how", ["data", "end", "loss"])
async def test_an_app_that_goes_while_a_head_waits_has_not_seen_the_request(how: str) -> None:
    made = Made()
    await made.asked()
    made.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    user = made.connection.user = User()
    made.send(post())
    if how == "data":
        made.connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    elif how == "end":
        made.connection.eof_received()
    else:
        made.connection.connection_lost(None)
    assert user.events == [ConnectionClosed(1)]


async def test_a_head_that_waits_is_dropped_when_its_client_gives_up() -> None:
    made = Made()
    made.send(post())
    made.connection.abort()
    await asyncio.sleep(0.03)
    assert made.transport.written == b""


# -- reads that are too much for a turn -------------------------------------------------------------------------------


async def test_a_read_that_fills_the_loops_buffer_is_the_last_of_its_turn() -> None:
    made = Made()
    await made.asked()
    made.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + bytes(250_000))
    assert made.transport.calls[-1] == "pause"
    await asyncio.sleep(0)
    assert made.transport.calls[-1] == "resume"
    made.connection.data_received(bytes(100_000))
    assert made.transport.calls[-1] == "resume"


def slow(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every read seem to take long."""
    clock = iter(range(10**6))
    monkeypatch.setattr("devtls.net.upstream.h1.perf_counter", lambda: float(next(clock)))


async def test_reads_that_took_long_are_worked_off_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    slow(made, monkeypatch)
    await made.asked()
    made.connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS * 20_000)
    assert sum(len(event.data) for event in made.user.events if isinstance(event, Data)) == 20_000
    made.connection.data_received(CHUNKS * 20_000)
    got = [sum(len(event.data) for event in made.user.events if isinstance(event, Data))]
    assert got[0] < 22_000
    made.connection.data_received(CHUNKS + b"0\r\n\r\n")  # nothing overtakes what waits
    await until(lambda: EndOfMessage(1) in made.user.events)
    assert sum(len(event.data) for event in made.user.events if isinstance(event, Data)) == 40_001
    assert made.transport.calls[-1] == "resume"


async def test_what_waits_for_its_turn_waits_for_the_client_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    slow(made, monkeypatch)
    await made.asked()
    made.connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS * 20_000)
    made.connection.data_received(CHUNKS * 20_000)
    made.connection.pause_reading()
    before = len(made.user.events)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(made.user.events) == before
    made.connection.resume_reading()
    await until(lambda: sum(len(e.data) for e in made.user.events if isinstance(e, Data)) == 40_000)


async def test_what_came_before_a_connection_was_lost_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    slow(made, monkeypatch)
    await made.asked()
    made.connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS * 20_000)
    made.connection.data_received(CHUNKS * 20_000 + b"0\r\n\r\n")
    made.connection.connection_lost(None)
    assert EndOfMessage(1) in made.user.events


async def test_bytes_behind_a_response_that_wait_for_their_turn_forbid_another_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 48: they would pass for the next response."""
    made = Made()
    slow(made, monkeypatch)
    await made.asked()
    made.connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS * 20_000)
    made.connection.data_received(b"0\r\n\r\n" + b"HTTP/1.1 200 OK\r\n" * 10_000)
    assert made.user.events[-1] == EndOfMessage(1)
    assert made.connection.has_undelivered
    made.connection.abort()
    assert not made.connection.has_undelivered


async def test_a_tunnel_gets_what_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    slow(made, monkeypatch)
    made.connection._is_costly = True
    made.send(Request(1, b"GET", b"/", b"app", HOST, upgrade=b"websocket"))
    await made.written()
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    made.connection.data_received(head + bytes(100_000))
    assert isinstance(made.user.events[0], InformationalResponse)
    assert made.connection.start_tunnel() == bytes(100_000)
    calls = list(made.transport.calls)
    await asyncio.sleep(0)
    assert made.transport.calls == calls
