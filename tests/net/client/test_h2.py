"""A client's HTTP/2 connection: bursts, backpressure, time and the end. The client is `h2`, the socket a stand-in."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from devtls.http.terms import ExchangeLimits
from devtls.net.client.h2 import H2ClientConnection
from devtls.net.client.h2_stream import h2_limits
from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.net.h2_stand_ins import NotingTransport
from tests.net.harness import AppConnection, Proxy, answering, app, proxy, until

HEAD = [(":method", "GET"), (":scheme", "https"), (":authority", "app.dev.local"), (":path", "/")]


class Joined:
    """A connection of the proxy's service and the client at its other end."""

    def __init__(self, running: Proxy) -> None:
        self.connection = H2ClientConnection(running.service, "app.dev.local")
        self.transport = NotingTransport(peername=("127.0.0.1", 5))
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.heard: list[h2.events.Event] = []
        self.connection.connection_made(self.transport)
        self.client.initiate_connection()

    def exchange(self) -> None:
        """Let both sides read what the other has written."""
        while True:
            to_client = self.transport.taken()
            if to_client:
                self.heard += self.client.receive_data(to_client)
            from_client = self.client.data_to_send()
            if from_client:
                self.connection.data_received(from_client)
            if not to_client and not from_client:
                return

    def ask(self, path: str = "/", host: str = "app.dev.local") -> int:
        stream_id = self.client.get_next_available_stream_id()
        head = [(name, {":path": path, ":authority": host}.get(name, value)) for name, value in HEAD]
        self.client.send_headers(stream_id, head, end_stream=True)
        return stream_id

    def of_kind(self, kind: type[h2.events.Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    async def answered(self, count: int) -> None:
        def all_here() -> bool:
            self.exchange()
            return len(self.of_kind(h2.events.StreamEnded)) >= count

        await until(all_here)

    async def gone(self) -> None:
        """TCP ends."""
        self.connection.connection_lost(None)
        await asyncio.sleep(0)


async def test_limits_of_the_service_are_those_of_the_codec() -> None:
    limits = h2_limits(ClientLimits(max_streams=7, max_buffer_bytes=1000, head_timeout_s=3))
    assert (limits.max_streams, limits.window_bytes, limits.answer_s, limits.still_s) == (7, 1000, 3, 60)


async def test_our_settings_go_first_and_it_is_listed_until_it_is_lost(running: Proxy) -> None:
    joined = Joined(running)
    assert joined.transport.written[3] == 4
    assert joined.connection in running.service.connections
    assert joined.connection.id > 0
    await joined.gone()
    assert joined.connection not in running.service.connections


async def test_answers_to_one_read_leave_in_one_write(running: Proxy) -> None:
    running.route("app = 1")
    joined = Joined(running)
    joined.exchange()
    for _ in range(20):
        joined.ask(host="other.dev.local")
    writes = 0
    original = joined.transport.write

    def counting(data: bytes | bytearray | memoryview) -> None:
        nonlocal writes
        writes += 1
        original(data)

    joined.transport.write = counting  # type: ignore[method-assign]
    joined.connection.data_received(joined.client.data_to_send())
    assert writes == 1
    joined.exchange()
    assert len(joined.of_kind(h2.events.StreamEnded)) == 20
    await joined.gone()


async def test_a_full_transport_gets_nothing_and_the_client_is_read_until_replies_pile_up(running: Proxy) -> None:
    joined = Joined(running)
    joined.exchange()
    joined.connection.pause_writing()
    for _ in range(10):
        joined.ask(host="other.dev.local")
    joined.connection.data_received(joined.client.data_to_send())
    assert joined.transport.written == b""
    assert "pause" not in joined.transport.calls
    joined.connection.resume_writing()
    await asyncio.sleep(0)
    joined.exchange()
    assert len(joined.of_kind(h2.events.StreamEnded)) == 10
    await joined.gone()


async def test_a_client_that_asks_much_and_reads_nothing_is_not_read_any_more(running: Proxy) -> None:
    joined = Joined(running)
    joined.exchange()
    joined.connection.pause_writing()
    joined.connection._codec._append(bytes(300_000))  # heads of answers are ready whatever the client takes
    joined.client.ping(bytes(8))
    joined.connection.data_received(joined.client.data_to_send())
    assert joined.transport.calls[-1] == "pause"
    joined.connection.resume_writing()
    await asyncio.sleep(0)
    assert joined.transport.calls[-1] == "resume"
    assert len(joined.transport.taken()) > 300_000
    await joined.gone()


async def test_a_transport_that_stands_still_is_let_go(authority: Authority) -> None:
    limits = ClientLimits(exchange=ExchangeLimits(body_idle_timeout_s=0.05))
    async with proxy(authority, limits=limits) as running:
        joined = Joined(running)
        joined.exchange()
        joined.connection.pause_writing()
        joined.transport.waiting = 1000
        joined.connection._tick()
        joined.transport.waiting = 900  # it moves, if slowly
        await asyncio.sleep(0.06)
        joined.connection._tick()
        assert "abort" not in joined.transport.calls
        await asyncio.sleep(0.06)
        joined.connection._tick()
        assert "abort" in joined.transport.calls
        await joined.gone()


async def test_the_clients_end_ends_what_runs(running: Proxy) -> None:
    ended: list[bytes] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        ended.append(await connection.to_eof())

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        joined = Joined(running)
        joined.ask()
        joined.exchange()
        await until(lambda: backend.connections and backend.connections[0].heads)
        assert joined.connection.response_position is None
        assert joined.connection.eof_received() is False
        await until(lambda: ended or backend.errors)
        assert "close" in joined.transport.calls
        await joined.gone()


async def test_a_fault_is_told_and_what_still_comes_is_thrown_away(authority: Authority) -> None:
    limits = ClientLimits(linger_s=0.05, max_drain_bytes=10_000)
    async with proxy(authority, limits=limits) as running:
        joined = Joined(running)
        joined.exchange()
        joined.transport.calls.clear()
        joined.connection.data_received(b"\0\0\x01\x00\0\0\0\0\0x")  # DATA on stream 0
        assert b"\0\0\0\x01" in joined.transport.taken()  # GOAWAY, PROTOCOL_ERROR
        assert joined.transport.calls == ["write_eof", "resume"]
        joined.connection.data_received(bytes(9_000))
        assert "abort" not in joined.transport.calls
        joined.connection.data_received(bytes(9_000))
        assert "abort" in joined.transport.calls
        await joined.gone()


async def test_a_client_that_gives_credit_for_the_last_answer_gets_it_where_nothing_is_drained(
    authority: Authority,
) -> None:
    async with proxy(authority, limits=ClientLimits(max_drain_bytes=0)) as running:
        joined = Joined(running)
        joined.exchange()
        joined.transport.waiting = 5000
        joined.connection.drain()
        await until(lambda: "write_eof" in joined.transport.calls)
        joined.connection.data_received(b"\0\0\x04\x08\0\0\0\0\0\0\0\x10\0")
        assert "abort" not in joined.transport.calls
        await joined.gone()


@pytest.mark.parametrize("linger_s", [0.0, 0.03])
async def test_lingering_is_over_when_the_client_ends_or_takes_nothing_more(
    authority: Authority, linger_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtls.net.client.h2._LOOK_S", 0.03)
    limits = ClientLimits(linger_s=linger_s)
    async with proxy(authority, limits=limits) as running:
        joined = Joined(running)
        joined.exchange()
        joined.transport.waiting = 5000
        joined.connection.data_received(b"\0\0\x01\x00\0\0\0\0\0x")
        for left in (3000, 1000):
            joined.transport.waiting = left  # it still takes what is on its way
            await asyncio.sleep(0.04)
            assert "abort" not in joined.transport.calls
        await until(lambda: "abort" in joined.transport.calls, within_s=1)
        await joined.gone()


async def test_a_bug_ends_the_connection_and_is_told(running: Proxy) -> None:
    joined = Joined(running)
    joined.exchange()
    error = ArithmeticError("a bug")

    def broken(*_: object) -> Any:
        raise error

    joined.connection._codec.receive_data = broken  # type: ignore[method-assign, assignment]
    joined.connection.data_received(b"x")
    assert running.noted.faults == [error]
    assert "abort" in joined.transport.calls
    running.noted.faults.clear()
    await joined.gone()


async def test_a_drain_has_two_steps_and_ends_when_nothing_runs(running: Proxy) -> None:
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await go_on.wait()
        await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        joined = Joined(running)
        joined.ask()
        joined.exchange()
        joined.connection.drain()
        joined.connection.drain()
        assert joined.transport.written.count(b"\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0") == 1
        joined.transport.taken()
        await until(lambda: joined.transport.written)
        assert joined.transport.taken() == b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0"
        assert "write_eof" not in joined.transport.calls
        go_on.set()
        await until(lambda: "write_eof" in joined.transport.calls)
        await joined.gone()


async def test_a_drain_loses_no_answer_when_the_transport_fills_up_in_the_same_turn(running: Proxy) -> None:
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await go_on.wait()
        await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        joined = Joined(running)
        joined.ask()
        joined.exchange()
        joined.connection.drain()
        await until(lambda: joined.connection._draining)
        joined.transport.taken()
        flush_soon = joined.connection.flush_soon

        def filled_by_another() -> None:
            joined.connection.pause_writing()
            flush_soon()

        joined.connection.flush_soon = filled_by_another  # type: ignore[method-assign]
        go_on.set()
        await until(lambda: "write_eof" in joined.transport.calls)
        assert b"\x01\x05\0\0\0\x01" in joined.transport.taken()  # HEADERS that end stream 1
        await joined.gone()


async def test_the_position_of_answers_counts_what_the_client_has_taken(running: Proxy) -> None:
    async with app(answering(b"x" * 1000)) as backend:
        running.route(f"app = {backend.port}")
        joined = Joined(running)
        joined.ask()
        joined.exchange()
        await joined.answered(1)
        assert joined.connection.response_position == 1000
        joined.transport.waiting = 400
        assert joined.connection.response_position == 600
        await joined.gone()


@pytest.mark.parametrize("when", ["the preface never comes", "nothing is asked"])
async def test_it_ends_when_nothing_comes(authority: Authority, when: str) -> None:
    limits = ClientLimits(head_timeout_s=0.03, keep_alive_s=0.06)
    async with proxy(authority, limits=limits) as running:
        joined = Joined(running)
        if when == "nothing is asked":
            joined.exchange()
            await asyncio.sleep(0.04)
            assert "write_eof" not in joined.transport.calls
        await until(lambda: "write_eof" in joined.transport.calls, within_s=1)
        await joined.gone()
