"""Listening sockets on loopback, both families, and what stands behind each accepted connection.

Owns binding (and says who holds a port that is taken), accepting within a limit, and the way from a ClientHello to a
ServerConnection. Refuses every address that is not loopback; where the system leaves us only a socket on every address
(macOS, below 1024), it refuses every client that is not on this machine. Binding and serving are two steps, so that a
port is known before anything is promised about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from enum import Enum

import msgspec

from devtls.errors import DevtlsError, PortInUse
from devtls.net.client.h1 import ServerConnection
from devtls.net.client.plain_http import PlainConnection
from devtls.net.client.service import Service
from devtls.net.tls.client_hello import ClientHello
from devtls.net.tls.contexts import ContextCache
from devtls.net.tls.handshake_limiter import HandshakeLimiter
from devtls.net.tls.layer import Alert, HandshakeFailure
from devtls.net.tls.server import TlsServer
from devtls.routing import RouteTable

LOOPBACK = ("127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - only for sockets behind the filter of net.everywhere
_BACKLOG = 512
_PREPARE_AFTER_S = 0.002
_FREE_PORT_TRIES = 20
_UNSENT_OCTETS = 1024 * 1024
"""A quarter of it costs a download a tenth more CPU; without it an app gets rid of 16 MB while nobody reads."""


class PortForbidden(DevtlsError):
    """The system does not let this user bind the port (below 1024)."""


class Origin(Enum):
    """How a port came to us."""

    BOUND = "bound"
    INHERITED = "inherited"
    EVERYWHERE = "everywhere"
    """Bound on every address; clients of other machines are dropped."""
    REDIRECTED = "redirected"
    """The system sends a port that we may not have to one that we have."""


class Bound(msgspec.Struct):
    """The sockets of one port; `missing` says why a family is absent, `redirected_from` which port leads here."""

    port: int
    sockets: list[socket.socket]
    missing: str = ""
    origin: Origin = Origin.BOUND
    redirected_from: int = 0

    @property
    def public_port(self) -> int:
        """The port that people type."""
        return self.redirected_from or self.port

    @property
    def addresses(self) -> tuple[str, ...]:
        """The loopback addresses that answer."""
        if self.origin is Origin.EVERYWHERE:
            return tuple(LOOPBACK[sock.family == socket.AF_INET6] for sock in self.sockets)
        return tuple(str(sock.getsockname()[0]) for sock in self.sockets)

    def close(self) -> None:
        """Close all of them."""
        for sock in self.sockets:
            sock.close()


def bind(port: int, addresses: Sequence[str] = LOOPBACK) -> Bound:
    """Bind `port` (0 = any free one, the same for all addresses) on loopback addresses.

    Raises PortForbidden, PortInUse (with the holder unknown: the caller looks), ValueError for an address that is not
    loopback. A machine without IPv6 gets 127.0.0.1 alone, and `missing` says so.
    """
    for _ in range(_FREE_PORT_TRIES if port == 0 else 0):
        # What is free on 127.0.0.1 may be taken on ::1.
        with contextlib.suppress(PortInUse):
            return _bind_all(0, addresses)
    return _bind_all(port, addresses)


def bind_everywhere(port: int) -> Bound:
    """Bind `port` on every address of this machine, for a Listener that drops whoever is not on it.

    macOS lets everybody have ports below 1024, but on no single address. Raises PortForbidden, PortInUse.
    """
    bound = _open_all(port, _EVERYWHERE)
    bound.origin = Origin.EVERYWHERE
    return bound


def adopt(port: int, sockets: list[socket.socket]) -> Bound:
    """Return sockets that somebody else bound and made listen, with what ours have besides."""
    for sock in sockets:
        _prepare(sock)
    return Bound(port, sockets, origin=Origin.INHERITED)


def _bind_all(port: int, addresses: Sequence[str]) -> Bound:
    for address in addresses:
        if not ipaddress.ip_address(address).is_loopback:
            raise ValueError(f"{address} is not a loopback address")
    return _open_all(port, addresses)


def _open_all(port: int, addresses: Sequence[str]) -> Bound:
    sockets: list[socket.socket] = []
    missing = ""
    try:
        for address in addresses:
            try:
                sock = _bind_one(address, port)
            except OSError as error:
                if _no_ipv6(address, error) and len(addresses) > 1:
                    missing = "no IPv6 on this machine: listening on 127.0.0.1 alone"
                    continue
                raise bind_error(address, port, error) from error
            sockets.append(sock)
            port = sock.getsockname()[1]
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return Bound(port, sockets, missing)


def _bind_one(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With its protocol named: asyncio sets TCP_NODELAY on no other socket, and an answer would wait 40 ms for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _prepare(sock)
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket) -> None:
    """Set what accepted sockets inherit."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # idle tunnels to nobody end
    _limit_unsent(sock)
    sock.setblocking(False)


def _limit_unsent(sock: socket.socket) -> None:
    """Let the kernel queue little for a client that does not read; what is accepted inherits it."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS; Python names it there only
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_OCTETS)


def _no_ipv6(address: str, error: OSError) -> bool:
    return ":" in address and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def bind_error(address: str, port: int, error: OSError) -> DevtlsError:
    """Return what a failed bind means, in our words."""
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortForbidden(f"This user may not listen on {shown}.")
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"Port {port} is taken: something else listens on {shown}.", port=port)
    return DevtlsError(f"Cannot listen on {shown}: {error.strerror}.")


class TlsGate:
    """What the TLS layer asks: the context for a hello, the protocols inside, whom to tell (tls.TlsHooks).

    `port` is the one that clients believe to be connected to, when it is not the service's own.
    """

    def __init__(
        self, service: Service, contexts: ContextCache, handshake_timeout_s: float = 10.0, port: int | None = None
    ) -> None:
        self.handshake_timeout_s = handshake_timeout_s
        self._service = service
        self._contexts = contexts
        self._port = port

    def behind(self, port: int) -> TlsGate:
        """Return the same for a client whose tunnel ends here, and was asked for `port`."""
        return TlsGate(self._service, self._contexts, self.handshake_timeout_s, port)

    def choose(self, hello: ClientHello) -> ssl.SSLContext | Alert:
        """Return a context or the alert that refuses this client."""
        return self._contexts.for_hello(hello)

    def application(self, sni: str | None, alpn: str | None) -> asyncio.Protocol:
        """Return the protocol for an established connection; `alpn` is h2, http/1.1, http/1.0 or None."""
        asyncio.get_running_loop().call_later(_PREPARE_AFTER_S, self._contexts.prepare)
        if alpn == "h2":
            from devtls.net.client.h2 import H2Connection  # loaded soon after the start, or here: 8 ms

            return H2Connection(self._service, sni, self._port)
        return ServerConnection(self._service, sni, self._port)

    def plain(self) -> asyncio.Protocol:
        """Return the answer to people who typed http://."""
        port = self._port or self._service.https_port
        return PlainConnection(self._routes, port, lambda: self._service.challenges)

    def failed(self, failure: HandshakeFailure) -> None:
        """Pass a failed handshake on."""
        self._service.observer.handshake_failed(failure)

    def _routes(self) -> RouteTable:
        return self._service.snapshot.routes


class Listener:
    """Accepts on the sockets of one port and makes a protocol for each connection."""

    def __init__(self, bound: Bound, protocol: Callable[[], asyncio.Protocol]) -> None:
        self.bound = bound
        self._protocol = protocol
        if bound.origin is Origin.EVERYWHERE:
            from devtls.net.client.loopback_filter import filter_loopback

            self._protocol = filter_loopback(protocol)
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for sock in self.bound.sockets:
            self._servers.append(await loop.create_server(self._protocol, sock=sock, backlog=_BACKLOG))

    def stop(self) -> None:
        """Accept no more; connections that are open go on. A socket that was handed over stays its giver's."""
        for server in self._servers:
            server.close()
        self._servers.clear()


class TurnedAway(asyncio.Protocol):
    """A connection above the limit: closed before it costs anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            transport.close()


class Inside:
    """The connections that count against `max_connections`, whichever way they came, and their common turnstile."""

    def __init__(self, service: Service) -> None:
        self.connections: set[asyncio.BaseProtocol] = set()
        self.handshake_limiter = HandshakeLimiter()
        self._service = service

    @property
    def closed(self) -> bool:
        """Whether nobody else is let in."""
        return len(self.connections) >= self._service.limits.max_connections or self._service.draining

    def entry(self, gate: TlsGate) -> TlsServer:
        """Return the protocol for a client that is let in to speak TLS."""
        return _CountedTls(gate, self.handshake_limiter, self.connections)


class _CountedTls(TlsServer):
    """A connection that counts from accept: one that never says hello holds a descriptor like any other."""

    def __init__(self, gate: TlsGate, handshake_limiter: HandshakeLimiter, inside: set[asyncio.BaseProtocol]) -> None:
        super().__init__(gate, handshake_limiter)
        self._inside = inside

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inside.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inside.discard(self)
        super().connection_lost(exc)

    def _become_plain(self, first: bytes) -> None:
        self._inside.discard(self)  # the plain protocol takes over; its ten seconds are its own limit
        super()._become_plain(first)


def https_protocol(service: Service, gate: TlsGate, inside: Inside | None = None) -> Callable[[], asyncio.Protocol]:
    """Return the factory for the TLS port; `inside` is shared with other ways in."""
    counted = inside or Inside(service)
    return lambda: TurnedAway() if counted.closed else counted.entry(gate)


def redirect_protocol(service: Service) -> Callable[[], asyncio.Protocol]:
    """Return the factory for port 80."""
    return lambda: PlainConnection(lambda: service.snapshot.routes, service.https_port, lambda: service.challenges)
