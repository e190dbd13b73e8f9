"""The sockets of the DNS server: one port, both protocols, both families, and what a client of each may cost."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from devtls.errors import DevtlsError, PortInUse
from devtls.net import dns as net_dns
from devtls.net.admission import ConnectionTable
from devtls.net.dns import IDLE_S, DnsBound, DnsServer, bind_dns
from devtls.net.listener import Listener
from tests.net.h2_stand_ins import NotingTransport
from tests.net.harness import until

HASTY = 0.15
BOTH = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


class Echo:
    """Answers with the message and the protocol it came by; nothing for `drop`, an error for `bug`."""

    def __init__(self) -> None:
        self.seen = 0

    def answer(self, wire: bytes, *, over_tcp: bool = False) -> bytes | None:
        self.seen += 1
        if wire == b"bug":
            raise RuntimeError("made up")
        return None if wire == b"drop" else (b"tcp:" if over_tcp else b"udp:") + wire


class Running:
    """A server that is up, with what it answers by and the faults it reported."""

    def __init__(self, idle_s: float = IDLE_S, most: int = 64) -> None:
        self.responder, self.faults = Echo(), list[Exception]()
        self.server = DnsServer(bind_dns(0), self.responder, self.faults.append, ConnectionTable(lambda: most), idle_s)
        self.port = self.server.bound.port


@asynccontextmanager
async def running(idle_s: float = IDLE_S, most: int = 64) -> AsyncIterator[Running]:
    one = Running(idle_s, most)
    await one.server.start()
    try:
        yield one
    finally:
        one.server.close()
        await asyncio.sleep(0)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: list[bytes] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.append(data)


@asynccontextmanager
async def datagrams(host: str, port: int) -> AsyncIterator[tuple[asyncio.DatagramTransport, list[bytes]]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, remote_addr=(host, port))
    try:
        yield transport, protocol.received
    finally:
        transport.close()


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")), 5)


def test_one_port_for_four_sockets() -> None:
    bound = bind_dns(0)
    found = [sock.getsockname()[:2] for sock in (*bound.tcp.sockets, *bound.udp)]
    assert found == [("127.0.0.1", bound.port), ("::1", bound.port)] * 2
    bound.close()
    bind_dns(bound.port).close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_that_is_taken_for_one_of_them_is_taken(
    kind: socket.SocketKind, family: socket.AddressFamily, host: str
) -> None:
    with socket.socket(family, kind) as taken:
        taken.bind((host, 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            bind_dns(port)
    assert caught.value.port == port
    bind_dns(port).close()  # nothing was left open


def test_any_port_means_one_that_both_protocols_have(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = net_dns._bind_udp, list[int]()

    def bind_udp(address: str, port: int) -> socket.socket:
        asked.append(port)
        if len(asked) < 3:
            raise OSError(errno.EADDRINUSE, "made up")
        return real(address, port)

    monkeypatch.setattr(net_dns, "_bind_udp", bind_udp)
    bound = bind_dns(0)
    assert bound.port == asked[-1]
    assert len(bound.udp) == 2
    bound.close()


def test_a_socket_that_cannot_be_opened_is_told_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind_udp(address: str, port: int) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(net_dns, "_bind_udp", bind_udp)
    with pytest.raises(DevtlsError, match="Too many open files"):
        bind_dns(0)


@BOTH
async def test_a_datagram_gets_its_answer(host: str) -> None:
    async with running() as one, datagrams(host, one.port) as (transport, received):
        for message in (b"a", b"drop", b"bug", b"x" * 4000, b"z"):
            transport.sendto(message)
        await until(lambda: len(received) == 3)
        assert received == [b"udp:a", b"udp:" + b"x" * 4000, b"udp:z"]
        assert [str(fault) for fault in one.faults] == ["made up"]


@BOTH
async def test_messages_in_a_row_are_answered_in_a_row(host: str) -> None:
    async with running() as one:
        reader, writer = await asyncio.open_connection(host, one.port)
        messages = [b"%d" % number for number in range(100)]
        writer.write(framed(*messages))
        assert [await read_message(reader) for _ in messages] == [b"tcp:" + message for message in messages]
        writer.write(framed(b"drop", b"bug", b"", b"x" * 65_000))
        assert [await read_message(reader) for _ in range(2)] == [b"tcp:", b"tcp:" + b"x" * 65_000]
        writer.close()


async def test_a_message_may_come_byte_by_byte() -> None:
    async with running() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        for byte in framed(b"one", b"two"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.002)
        assert [await read_message(reader), await read_message(reader)] == [b"tcp:one", b"tcp:two"]
        writer.close()


@pytest.mark.parametrize("count", [0, 1, 50])
async def test_a_client_that_ends_its_side_gets_all_answers_and_the_end(count: int) -> None:
    async with running() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(framed(*[b"q"] * count) + b"\0")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == framed(*[b"tcp:q"] * count)
        await until(lambda: not one.server.streams)
        writer.close()


async def test_a_turn_of_the_loop_answers_few(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        await until(lambda: one.server.streams)
        seen, most = 0, 0

        def look() -> None:
            nonlocal seen, most
            most, seen = max(most, one.responder.seen - seen), one.responder.seen
            if seen < 1000:
                asyncio.get_running_loop().call_soon(look)

        asyncio.get_running_loop().call_soon(look)
        writer.write(framed(*[b"q"] * 1000))
        for _ in range(1000):
            await read_message(reader)
        assert 0 < most <= 2 * net_dns._PER_TURN  # what was due and what just came may meet in one turn
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(100), 5) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", framed(b"drop"), b"\0"])
async def test_an_idle_connection_ends(sent: bytes) -> None:
    async with running(HASTY) as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(sent)
        begun = time.monotonic()
        assert await ended(reader)
        assert 0.1 < time.monotonic() - begun < 5
        assert not one.server.streams
        writer.close()


async def test_bytes_that_drip_in_do_not_keep_it_open() -> None:
    async with running(HASTY) as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        begun, ending = time.monotonic(), asyncio.ensure_future(ended(reader))
        writer.write(b"\xff\xff")
        while not ending.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert await ending
        assert time.monotonic() - begun < 5
        writer.close()


async def test_answers_keep_it_open() -> None:
    async with running(1.0) as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        begun = time.monotonic()
        while time.monotonic() - begun < 1.2:
            writer.write(framed(b"q"))
            assert await read_message(reader) == b"tcp:q"
            await asyncio.sleep(0.05)
        writer.close()


async def test_a_client_that_does_not_read_is_not_read_either_and_ends() -> None:
    async with running(0.3) as one:
        with socket.create_connection(("127.0.0.1", one.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            many, sent = framed(*[b"x" * 1000] * 20), 0
            loop = asyncio.get_running_loop()
            begun = loop.time()
            await until(lambda: one.server.streams)
            (stream,) = one.server.streams
            while one.server.streams and loop.time() - begun < 5:
                try:
                    sent += client.send(many)
                except BlockingIOError:
                    await asyncio.sleep(0.01)
                except OSError:
                    break
                await asyncio.sleep(0)
            await until(lambda: not one.server.streams)
            assert loop.time() - begun < 5
            assert len(stream._buffer) == 0
            assert one.responder.seen < 20_000
            assert sent < 20_000_000


async def test_the_connection_that_is_idle_for_the_longest_gives_way_to_a_new_one() -> None:
    async with running(most=2) as one:
        first = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(2)]
        await until(lambda: len(one.server.streams) == 2)
        await asyncio.sleep(0.005)  # uvloop's clock counts milliseconds
        first[0][1].write(framed(b"q"))
        assert await read_message(first[0][0]) == b"tcp:q"
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(framed(b"q"))
        assert await read_message(reader) == b"tcp:q"
        assert await ended(first[1][0])
        first[0][1].write(framed(b"r"))
        assert await read_message(first[0][0]) == b"tcp:r"
        for each in (writer, first[0][1], first[1][1]):
            each.close()


async def test_a_client_that_leaves_in_the_middle_is_forgotten() -> None:
    async with running() as one:
        _, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(framed(*[b"q"] * 500))
        await until(lambda: one.responder.seen > 0)
        writer.transport.abort()
        await until(lambda: not one.server.streams)
        assert not one.faults


class Recorded:
    """A transport without a socket."""

    def __init__(self, peer: str = "127.0.0.1") -> None:
        self.peer, self.sent, self.aborted = peer, list[bytes](), False

    def sendto(self, data: bytes, addr: object) -> None:
        self.sent.append(data)

    def get_extra_info(self, name: str) -> object:
        return (self.peer, 5) if self.peer else None

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    ("peer", "answered"),
    [("127.0.0.1", 1), ("127.8.9.1", 1), ("::1", 1), ("10.0.0.1", 0), ("fe80::1%eth0", 0), ("::ffff:10.0.0.1", 0)],
)
async def test_peers_beyond_loopback_are_ignored(peer: str, answered: int) -> None:
    async with running() as one:
        datagram, transport = net_dns._DnsDatagrams(one.server), Recorded(peer)
        datagram.connection_made(transport)  # type: ignore[arg-type]  # as much of one as is used
        datagram.datagram_received(b"q", (peer, 5))
        assert len(transport.sent) == answered
        stream = net_dns._DnsConnection(one.server)
        stream.connection_made(transport)  # type: ignore[arg-type]  # as much of one as is used
        assert transport.aborted is not bool(answered)
        stream.connection_lost(None)


async def test_datagrams_are_dropped_while_none_can_be_sent() -> None:
    async with running() as one:
        datagram, transport = net_dns._DnsDatagrams(one.server), Recorded()
        datagram.connection_made(transport)  # type: ignore[arg-type]  # as much of one as is used
        datagram.pause_writing()
        datagram.datagram_received(b"q", ("127.0.0.1", 5))
        datagram.resume_writing()
        datagram.datagram_received(b"r", ("127.0.0.1", 5))
        assert transport.sent == [b"udp:r"]


async def test_closing_frees_the_port_and_ends_connections() -> None:
    async with running() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        await until(lambda: one.server.streams)
        one.server.close()
        assert await ended(reader)
        writer.close()
    await until(lambda: _is_free(one.port))


def _is_free(port: int) -> bool:
    try:
        bind_dns(port).close()
    except PortInUse:
        return False
    return True


async def test_a_start_that_fails_closes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Running()

    async def start(_: object) -> None:
        raise OSError(errno.EMFILE, "made up")

    monkeypatch.setattr(Listener, "start", start)
    with pytest.raises(OSError, match="made up"):
        await one.server.start()
    monkeypatch.undo()
    await until(lambda: _is_free(one.port))


COUNT, PER_SECOND, BURST = 20_000, 4_000, 20
UNDERWAY = 200
"""How many the kernel can surely hold, should the other thread stand still for a moment."""


async def test_twenty_thousand_datagrams_and_none_is_lost() -> None:
    async with running() as one:
        assert await asyncio.to_thread(count_answers, one.server.bound) == COUNT


def count_answers(bound: DnsBound) -> int:
    """Send COUNT queries, at most PER_SECOND, each different; return how many different answers came."""
    found: set[bytes] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", bound.port))
        client.settimeout(2)

        def receive() -> None:
            try:
                while len(found) < COUNT:
                    found.add(client.recv(100))
            except TimeoutError:
                return

        receiving = threading.Thread(target=receive)
        receiving.start()
        begun = time.monotonic()
        for first in range(0, COUNT, BURST):
            for number in range(first, first + BURST):
                client.send(b"%d" % number)
            time.sleep(max(0.0, begun + first / PER_SECOND - time.monotonic()))
            while first + BURST - len(found) > UNDERWAY and receiving.is_alive():
                time.sleep(0.001)
        receiving.join()
    return len(found)


async def test_a_connection_says_its_state() -> None:
    async with running() as one:
        stream, transport = net_dns._DnsConnection(one.server), NotingTransport(peername=("127.0.0.1", 5))
        stream.connection_made(transport)
        stream.data_received(b"\0")
        assert repr(stream) == "<_DnsConnection open, 1 bytes held>"
        stream.pause_writing()
        assert repr(stream) == "<_DnsConnection client stalled, 1 bytes held>"
        stream.connection_lost(None)
