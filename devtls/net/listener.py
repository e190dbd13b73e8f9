"""Listening sockets: accepts connections within a limit, a few in each turn of the loop.

Owns the accepting of one port: how many connections are taken in one turn, that none is taken for which there is no
place (`admission`), and what happens when the process may open no more files. Refuses every client that is not on this
machine where the system grants only a socket on every address. The loop's own server is used only where the loop cannot
watch a socket: it accepts until the kernel has no more, and would spend every descriptor on a flood.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import cast

from devtls.net.admission import ConnectionTable
from devtls.net.bind import BACKLOG, Bound, Origin

PER_TURN = 16
"""As many as begin a handshake in one turn (`net.tls.handshake`): the kernel's backlog keeps the others."""
_PAUSE_S = 0.05
_MOST_LEAVING = 64
"""Connections that were told to give way and have yet to close, beyond the limit."""
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_GONE = (BlockingIOError, InterruptedError, ConnectionAbortedError)


class Listener:
    """Accepts on the sockets of one port and makes a protocol for each connection.

    Without `places` there is no limit. Where all are in use and nobody is idle, one more client is accepted and the
    others wait in the kernel's backlog; or they are turned away, if `turns_away`. `report` is told of it.
    """

    def __init__(
        self,
        bound: Bound,
        protocol: Callable[[], asyncio.Protocol],
        places: ConnectionTable | None = None,
        *,
        turns_away: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.bound = bound
        self._protocol = protocol
        if bound.origin is Origin.ALL_ADDRESSES:
            self._protocol = filter_loopback(protocol)
        self._places = places
        self._turns_away = turns_away
        self._report = report
        self._watched: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for sock in self.bound.sockets:
            try:
                loop.add_reader(sock, self._accept, sock)
            except NotImplementedError:  # Windows without winloop
                self._servers.append(await loop.create_server(self._within_limit, sock=sock, backlog=BACKLOG))
            else:
                self._watched.append(sock)

    def stop(self) -> None:
        """Accept no more; connections that are open go on. A socket that was handed over stays its giver's."""
        for sock in self._watched:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._watched.clear()
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _accept(self, sock: socket.socket) -> None:
        places = self._places
        for _ in range(PER_TURN):
            if places is not None and (places.leaving >= _MOST_LEAVING or not _within_limit(places)):
                self._pause(sock)
                return
            try:
                accepted, _ = sock.accept()
            except _GONE:
                return
            except OSError as error:
                self._fail(sock, error)
                return
            accepted.setblocking(False)
            # After `accept`: nobody gives way before there is a client who needs the place.
            if places is None or places.room > 0 or places.make_room() or not self._turns_away:
                self._open(accepted)
            elif places.accepting:
                # Those of this turn will have a protocol in the next one, and may give way then.
                self._open(accepted)
                return
            else:
                accepted.close()
                self._report("as many clients are connected as may be, and all are busy: new ones are turned away.")

    def _open(self, accepted: socket.socket) -> None:
        if self._places is not None:
            self._places.accepting += 1
        task = asyncio.get_running_loop().create_task(self._connect(accepted))
        # The loop keeps only weak references to tasks (asyncio.create_task).
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        arriving = _Arriving(self._protocol, self._places)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: arriving, accepted)
        except OSError:  # the client is gone already
            arriving.arrived()
            accepted.close()

    def _fail(self, sock: socket.socket, error: OSError) -> None:
        if error.errno in _NO_DESCRIPTOR:
            self._report(f"new connections have to wait: {error.strerror}.")
            if self._places is not None:
                self._places.make_room(PER_TURN)
        self._pause(sock)

    def _pause(self, sock: socket.socket) -> None:
        # The socket stays readable: a loop that goes on watching it would spin.
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.call_later(_PAUSE_S, self._resume, sock)

    def _resume(self, sock: socket.socket) -> None:
        if sock in self._watched:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _within_limit(self) -> asyncio.Protocol:
        """Return the protocol of a connection that the loop's own server has accepted."""
        places = self._places
        if places is None or places.room > 0 or places.make_room():
            return self._protocol()
        return RefusedConnection()


def _within_limit(places: ConnectionTable) -> bool:
    """Say whether no more are open than may be, or so few are idle that this can be mended."""
    return places.room >= 0 or places.make_room(-places.room) > 0


class _Arriving(asyncio.Protocol):
    """A connection between `accept` and its protocol: its descriptor counts in the meantime, once."""

    def __init__(self, make: Callable[[], asyncio.Protocol], places: ConnectionTable | None) -> None:
        self._make = make
        self._places = places

    def arrived(self) -> None:
        """Count no more: from now on the protocol does."""
        if self._places is not None:
            self._places.accepting -= 1
            self._places = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.arrived()
        protocol = self._make()
        cast(asyncio.Transport, transport).set_protocol(protocol)
        protocol.connection_made(transport)


class RefusedConnection(asyncio.Protocol):
    """A connection that finds no place: closed before it costs anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        cast(asyncio.Transport, transport).abort()


def filter_loopback(make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
    """Return a factory of connections that become one of `make`'s when the client is on this machine."""
    return lambda: _LoopbackFilter(make)


class _LoopbackFilter(asyncio.Protocol):
    """Drops a client of another machine before TLS or HTTP read a byte; becomes one of `make` for every other.

    The address cannot be forged from outside: a machine takes no packet from 127.0.0.0/8 or ::1 off a network
    (RFC 1122 3.2.1.3, RFC 4291 2.5.3).
    """

    def __init__(self, make: Callable[[], asyncio.Protocol]) -> None:
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tcp = cast(asyncio.Transport, transport)
        # abort, not close: a client of another machine learns nothing, not even by a TLS alert.
        if not _is_here(tcp.get_extra_info("peername")):
            tcp.abort()
            return
        protocol = self._make()
        tcp.set_protocol(protocol)
        protocol.connection_made(transport)


def _is_here(peer: object) -> bool:
    try:
        return isinstance(peer, tuple) and ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback
    except (ValueError, IndexError):
        return False
