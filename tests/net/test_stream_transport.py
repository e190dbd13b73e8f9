"""A stream as a transport: what each call of a transport means on a stream, and what is kept for whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from devtls.net.stream_transport import StreamTransport


class Carrier:
    """A StreamCarrier that notes; it is full when `full` is set."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.full = False
        self.waiting_bytes = 7

    def carry(self, data: bytes) -> bool:
        self.calls.append(data)
        return self.full

    def carry_end(self) -> None:
        self.calls.append("end")

    def finish(self) -> None:
        self.calls.append("finish")

    def reset(self) -> None:
        self.calls.append("reset")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def extra_info(self, name: str) -> Any:
        return "known" if name == "peername" else None


class Listening(asyncio.Protocol):
    """A protocol that notes."""

    def __init__(self, *, stay: bool = True) -> None:
        self.calls: list[Any] = []
        self.stay = stay

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.stay

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(exc)

    def pause_writing(self) -> None:
        self.calls.append("full")

    def resume_writing(self) -> None:
        self.calls.append("room")


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


def joined(carrier: Carrier, *, stay: bool = True) -> tuple[StreamTransport, Listening]:
    transport, protocol = StreamTransport(carrier), Listening(stay=stay)
    transport.set_protocol(protocol)
    return transport, protocol


async def test_what_comes_before_there_is_a_protocol_is_kept_with_its_end(carrier: Carrier) -> None:
    transport = StreamTransport(carrier)
    transport.deliver(b"one")
    transport.deliver(b"two")
    transport.deliver_end()
    protocol = Listening()
    transport.set_protocol(protocol)
    assert protocol.calls == [b"one", b"two", "eof"]
    assert transport.get_protocol() is protocol


async def test_a_pause_or_an_end_before_there_is_a_protocol_concerns_nobody(carrier: Carrier) -> None:
    transport = StreamTransport(carrier)
    transport.pause_writing()
    transport.resume_writing()
    transport.lose(ConnectionResetError())
    assert transport.is_closing()
    assert carrier.calls == []


async def test_bytes_are_delivered_and_sent(carrier: Carrier) -> None:
    transport, protocol = joined(carrier)
    transport.deliver(b"up")
    transport.write(bytearray(b"down"))
    transport.write(memoryview(b"more"))
    transport.write(b"")
    assert protocol.calls == [b"up"]
    assert carrier.calls == [b"down", b"more"]


async def test_a_full_queue_pauses_the_writer_until_there_is_room(carrier: Carrier) -> None:
    transport, protocol = joined(carrier)
    carrier.full = True
    transport.write(b"x")
    transport.resume_writing()
    assert protocol.calls == ["full", "room"]
    assert transport.get_write_buffer_size() == 7


async def test_the_directions_end_one_by_one(carrier: Carrier) -> None:
    transport, protocol = joined(carrier)
    assert transport.can_write_eof()
    transport.write_eof()
    transport.write_eof()
    transport.write(b"too late")
    assert carrier.calls == ["end"]
    transport.deliver(b"still open")
    assert protocol.calls == [b"still open"]
    assert not transport.is_closing()


async def test_a_protocol_that_does_not_stay_ends_the_stream(carrier: Carrier) -> None:
    transport, protocol = joined(carrier, stay=False)
    transport.deliver_end()
    assert (protocol.calls, carrier.calls, transport.is_closing()) == (["eof"], ["finish"], True)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_the_end_comes_once_and_nothing_behind_it(carrier: Carrier, how: str) -> None:
    transport, protocol = joined(carrier)
    getattr(transport, how)()
    transport.close()
    transport.abort()
    transport.write(b"x")
    transport.write_eof()
    transport.deliver(b"y")
    transport.deliver_end()
    assert carrier.calls == ["finish" if how == "close" else "reset"]
    assert protocol.calls == []


async def test_a_lost_stream_is_told_once_and_resets_nothing(carrier: Carrier) -> None:
    transport, protocol = joined(carrier)
    error = ConnectionResetError("gone")
    transport.lose(error)
    transport.lose(error)
    transport.abort()
    assert protocol.calls == [error]
    assert carrier.calls == []


async def test_reading_is_paused_at_the_carrier_and_its_connection_is_asked_for_facts(carrier: Carrier) -> None:
    transport, _ = joined(carrier)
    transport.pause_reading()
    transport.resume_reading()
    transport.set_write_buffer_limits(1)
    assert carrier.calls == ["pause", "resume"]
    assert transport.get_extra_info("peername") == "known"
    assert transport.get_extra_info("sslcontext", "default") == "default"
