"""The DNS server's sockets: UDP and TCP on one port of both loopback addresses.

Owns binding (one port for four sockets), the framing of TCP (RFC 7766: a length before each message, several on one
connection) and its bounds: idle time, work per turn of the loop, answers that nobody reads. Refuses
every peer that is not loopback. What is answered is the responder's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from devtls.errors import PortInUse
from devtls.net.admission import ConnectionTable
from devtls.net.bind import LOOPBACK, Bound, bind, bind_error
from devtls.net.listener import Listener

_FREE_PORT_TRIES = 20
_RECEIVE_BYTES = 1 << 20
"""What the kernel may hold while the loop is busy; it takes less where its own limit is lower."""
_PREFIX_BYTES = 2  # RFC 1035 4.2.2: the length, in two bytes
# One segment may hold hundreds of queries: requests of the proxy run on the same loop.
_PER_TURN = 8


class DnsHandler(Protocol):
    """Answers messages (`devtls.dns.responder.Responder`)."""

    def answer(self, wire: bytes, *, over_tcp: bool = False) -> bytes | None:
        """Return the answer to a message, None for none."""


IDLE_S = 10.0
"""How long a TCP connection is kept, from the last answer: bytes that drip in do not extend it."""
_MOST_CONNECTIONS = 64


class DnsBound(msgspec.Struct):
    """The sockets of one port, TCP and UDP."""

    tcp: Bound
    udp: list[socket.socket]

    @property
    def port(self) -> int:
        """The number of all of them."""
        return self.tcp.port

    def close(self) -> None:
        """Close all of them."""
        self.tcp.close()
        for sock in self.udp:
            sock.close()


def bind_dns(port: int) -> DnsBound:
    """Bind `port` (0 = any that is free for both protocols) on 127.0.0.1 and, where there is IPv6, ::1.

    Raises PortForbidden, PortInUse, DevtlsError.
    """
    for _ in range(_FREE_PORT_TRIES if port == 0 else 0):
        # What is free for TCP may be taken for UDP.
        with contextlib.suppress(PortInUse):
            return _bind_both(0)
    return _bind_both(port)


def _bind_both(port: int) -> DnsBound:
    bound = DnsBound(bind(port), [])
    try:
        for sock in bound.tcp.sockets:
            address, number = sock.getsockname()[:2]
            try:
                bound.udp.append(_bind_udp(address, number))
            except OSError as error:
                raise bind_error(address, number, error) from error
    except BaseException:
        bound.close()
        raise
    return bound


def _bind_udp(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    try:
        # No SO_REUSEADDR: for UDP it would let a second process bind the port and take its datagrams.
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        sock.setblocking(False)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


class DnsServer:
    """Answers on `bound` until it is closed; a reload swaps `responder`."""

    def __init__(
        self,
        bound: DnsBound,
        responder: DnsHandler,
        fault: Callable[[Exception], None],
        places: ConnectionTable | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self.bound = bound
        self.responder = responder
        self.idle_s = idle_s
        self.places = ConnectionTable(lambda: _MOST_CONNECTIONS) if places is None else places
        self.streams: set[_DnsConnection] = set()
        self._fault = fault
        self._listener = Listener(bound.tcp, lambda: _DnsConnection(self), self.places)
        self._datagrams: list[asyncio.DatagramTransport] = []

    async def start(self) -> None:
        """Begin to answer; on any error the port is closed again."""
        loop = asyncio.get_running_loop()
        try:
            for sock in self.bound.udp:
                transport, _ = await loop.create_datagram_endpoint(lambda: _DnsDatagrams(self), sock=sock)
                self._datagrams.append(transport)
            await self._listener.start()
        # A cancelled start must free the port as well.
        except BaseException:
            self.close()
            self.bound.close()
            raise

    def close(self) -> None:
        """Stop answering."""
        self._listener.stop()
        for transport in self._datagrams:
            transport.abort()
        for stream in list(self.streams):
            stream.abort()

    def answer(self, wire: bytes, *, over_tcp: bool) -> bytes | None:
        """Return the answer to a message, None for none."""
        try:
            return self.responder.answer(wire, over_tcp=over_tcp)
        except Exception as error:  # noqa: BLE001 - no input ends the process, nor the answering
            self._fault(error)
            return None


class _DnsDatagrams(asyncio.DatagramProtocol):
    """One UDP socket: a datagram, an answer. An answer that cannot be sent is lost, as UDP may lose it anywhere."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport
        self._held = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int] | tuple[str, int, int, int]) -> None:
        # While the kernel takes no more, answers would pile up in the transport; the client asks again.
        if self._held or not _is_loopback(addr[0]):
            return
        answer = self._server.answer(data, over_tcp=False)
        if answer is not None:
            self._transport.sendto(answer, addr)

    def pause_writing(self) -> None:
        self._held = True

    def resume_writing(self) -> None:
        self._held = False


class _DnsConnection(asyncio.Protocol):
    """One TCP connection: messages with their lengths, answered in their order, a few in each turn of the loop."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._moved_at = 0.0
        self._held = False
        """The client does not read its answers."""
        self._is_due = False
        """More is answered in the next turn."""
        self._ended = False

    def __repr__(self) -> str:
        state = "client stalled" if self._held else "ended" if self._ended else "open"
        return f"<_DnsConnection {state}, {len(self._buffer)} bytes held>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        server = self._server
        if not (peer and _is_loopback(peer[0])):
            self._transport.abort()
            return
        server.streams.add(self)
        server.places.add(self)
        loop = asyncio.get_running_loop()
        self._moved_at = loop.time()
        self._timer = loop.call_later(server.idle_s, self._look)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._held:
            self._transport.pause_reading()
        elif not self._is_due:
            self._work()

    def eof_received(self) -> bool:
        self._ended = True
        # True keeps the write side open: answers to what came before the end are still owed.
        return self._held or self._is_due

    def pause_writing(self) -> None:
        self._held = True

    def resume_writing(self) -> None:
        self._held = False
        if not self._is_due:
            self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.streams.discard(self)
        self._server.places.discard(self)
        self._buffer.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    @property
    def idle_since(self) -> float | None:
        """When the last answer was given, or the connection began; None while another is being made."""
        return None if self._is_due else self._moved_at

    def yield_place(self) -> None:
        """Close now."""
        self.abort()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        # One timer that looks again is cheaper than one that is set anew with every answer.
        left = self._moved_at + self._server.idle_s - loop.time()
        if left <= 0:
            self._transport.abort()
        else:
            self._timer = loop.call_later(left, self._look)

    def _turn(self) -> None:
        self._is_due = False
        if not self._held and self._timer is not None:  # the client may be gone
            self._work()

    def _work(self) -> None:
        """Answer the next messages, then read on, wait for the client, or go on in the next turn."""
        answers = [self._server.answer(message, over_tcp=True) for message in self._next_messages()]
        out = [len(answer).to_bytes(_PREFIX_BYTES, "big") + answer for answer in answers if answer is not None]
        if out:
            loop = asyncio.get_running_loop()
            self._moved_at = loop.time()
            self._transport.write(b"".join(out))
        if self._held:  # `write` said so
            self._transport.pause_reading()
        elif self._has_message():
            self._is_due = True
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._turn)
        elif self._ended:
            self._transport.close()
        else:
            self._transport.resume_reading()

    def _next_messages(self) -> list[bytes]:
        messages: list[bytes] = []
        while len(messages) < _PER_TURN and self._has_message():
            end = self._message_end()
            messages.append(bytes(self._buffer[_PREFIX_BYTES:end]))
            del self._buffer[:end]
        return messages

    def _has_message(self) -> bool:
        return len(self._buffer) >= _PREFIX_BYTES and len(self._buffer) >= self._message_end()

    def _message_end(self) -> int:
        return _PREFIX_BYTES + int.from_bytes(self._buffer[:_PREFIX_BYTES], "big")


def _is_loopback(address: str) -> bool:
    return address in LOOPBACK or ipaddress.ip_address(address.partition("%")[0]).is_loopback
