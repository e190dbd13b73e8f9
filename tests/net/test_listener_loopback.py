"""A socket on every address: clients of this machine are served, all others are dropped before a byte is read."""

from __future__ import annotations

import asyncio
import socket

import pytest

from devtls.net.bind import LOOPBACK, Origin, bind_all_addresses
from devtls.net.listener import Listener, filter_loopback


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"hello")  # type: ignore[attr-defined]  # uvloop's transports are none of asyncio's classes
        transport.close()


class Transport(asyncio.Transport):
    """A connection from `peer`, and what becomes of it."""

    def __init__(self, peer: object) -> None:
        super().__init__({"peername": peer})
        self.protocol: asyncio.BaseProtocol | None = None
        self.aborted = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def abort(self) -> None:
        self.aborted = True


class Made(asyncio.Protocol):
    count = 0

    def __init__(self) -> None:
        Made.count += 1


@pytest.mark.parametrize("peer", [("127.0.0.1", 1), ("127.8.9.1", 1), ("::1", 1, 0, 0)])
def test_a_client_of_this_machine_gets_its_protocol(peer: object) -> None:
    transport = Transport(peer)
    filter_loopback(Made)().connection_made(transport)
    assert isinstance(transport.protocol, Made)
    assert not transport.aborted


@pytest.mark.parametrize(
    "peer",
    [
        ("192.0.2.7", 1),
        ("169.254.1.1", 1),
        ("128.0.0.1", 1),
        ("2001:db8::1", 1, 0, 0),
        ("fe80::1%lo0", 1, 0, 1),
        ("::ffff:192.0.2.7", 1, 0, 0),
        ("::", 1, 0, 0),
        "",
        (),
        None,
        ("nonsense", 1),
    ],
)
def test_everybody_else_is_dropped_and_nothing_is_made_for_them(peer: object) -> None:
    Made.count = 0
    transport = Transport(peer)
    filter_loopback(Made)().connection_made(transport)
    assert transport.aborted
    assert transport.protocol is None
    assert Made.count == 0


async def test_the_listener_of_such_a_socket_filters() -> None:
    bound = bind_all_addresses(0)
    assert bound.origin is Origin.ALL_ADDRESSES
    assert bound.addresses == LOOPBACK
    assert [sock.getsockname()[:2] for sock in bound.sockets] == [("0.0.0.0", bound.port), ("::", bound.port)]
    listening = Listener(bound, Greeter)
    await listening.start()
    for address in LOOPBACK:
        assert await greeting(address, bound.port) == b"hello"
    for address in await asyncio.to_thread(other_addresses):
        assert await greeting(address, bound.port) == b""
    listening.stop()


async def greeting(address: str, port: int) -> bytes:
    """Return what the listener says to a client that comes from `address`."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
        answer = await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""
    writer.close()
    return answer


def other_addresses() -> list[str]:
    """Return the addresses of this machine that are not loopback, as far as its name knows them."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), 1, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(entry[4][0]) for entry in found if not str(entry[4][0]).startswith("127.")]
