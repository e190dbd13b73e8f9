"""Accepts connections and chooses the protocol for each: TLS first, then HTTP/2 or HTTP/1 by ALPN.

Owns accepting within a limit, and the way from a ClientHello to a client connection. Refuses every client that is not
on this machine where the system grants only a socket on every address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import Callable
from typing import cast

from devtls.net.bind import BACKLOG, Bound, Origin
from devtls.net.client.h1 import H1ClientConnection
from devtls.net.client.plain_http import PlainConnection
from devtls.net.client.service import ProxyService
from devtls.net.tls.client import ClientTlsLayer
from devtls.net.tls.client_hello import ClientHello
from devtls.net.tls.contexts import ContextCache
from devtls.net.tls.handshake import Alert, HandshakeFailure, HandshakeLimiter
from devtls.routing import RouteTable

# In seconds; after the first request of the new connection, which must not wait for it.
_PREPARE_AFTER_S = 0.002


class TlsGate:
    """Answers the TLS layer: the context for a ClientHello, the protocol inside, the report of a failure (TlsHooks).

    `port` is the one that clients believe to be connected to, when it is not the service's own.
    """

    def __init__(
        self, service: ProxyService, contexts: ContextCache, handshake_timeout_s: float = 10.0, port: int | None = None
    ) -> None:
        self.handshake_timeout_s = handshake_timeout_s
        self._service = service
        self._contexts = contexts
        self._port = port

    def behind(self, port: int) -> TlsGate:
        """Return the same for a client whose tunnel to `port` ends here."""
        return TlsGate(self._service, self._contexts, self.handshake_timeout_s, port)

    def choose(self, hello: ClientHello) -> ssl.SSLContext | Alert:
        """Return a context or the alert that refuses this client."""
        return self._contexts.for_hello(hello)

    def application(self, sni: str | None, alpn: str | None) -> asyncio.Protocol:
        """Return the protocol for an established connection; `alpn` is h2, http/1.1, http/1.0 or None."""
        asyncio.get_running_loop().call_later(_PREPARE_AFTER_S, self._contexts.prepare)
        # No ALPN means HTTP/1.1: HTTP/2 over TLS must be negotiated (RFC 9113 3.2).
        if alpn == "h2":
            return _h2_connection(self._service, sni, self._port)
        return H1ClientConnection(self._service, sni, self._port)

    def plain(self) -> asyncio.Protocol:
        """Return the protocol that redirects http:// to https://."""
        port = self._port or self._service.https_port
        return PlainConnection(self._routes, port, lambda: self._service.challenges)

    def failed(self, failure: HandshakeFailure) -> None:
        """Pass a failed handshake on."""
        self._service.observer.handshake_failed(failure)
        if (tap := self._service.tap) is not None:
            tap.handshake_failed(failure)

    def _routes(self) -> RouteTable:
        return self._service.snapshot.routes


class Listener:
    """Accepts on the sockets of one port and makes a protocol for each connection."""

    def __init__(self, bound: Bound, protocol: Callable[[], asyncio.Protocol]) -> None:
        self.bound = bound
        self._protocol = protocol
        if bound.origin is Origin.ALL_ADDRESSES:
            self._protocol = filter_loopback(protocol)
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for sock in self.bound.sockets:
            self._servers.append(await loop.create_server(self._protocol, sock=sock, backlog=BACKLOG))

    def stop(self) -> None:
        """Accept no more; connections that are open go on. A socket that was handed over stays its giver's."""
        for server in self._servers:
            server.close()
        self._servers.clear()


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


class RefusedConnection(asyncio.Protocol):
    """A connection above the limit: closed before it costs anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            transport.close()  # the peer may be gone already


class ConnectionLimiter:
    """The connections that count against `max_connections`, from every listener, and their handshake limiter."""

    def __init__(self, service: ProxyService) -> None:
        self.connections: set[asyncio.BaseProtocol] = set()
        self.handshake_limiter = HandshakeLimiter()
        self._service = service

    @property
    def closed(self) -> bool:
        """Whether the limit is reached, or the proxy drains."""
        return len(self.connections) >= self._service.limits.max_connections or self._service.draining

    def entry(self, gate: TlsGate) -> ClientTlsLayer:
        """Return the protocol for a client that is let in to speak TLS."""
        return _CountedTlsLayer(gate, self.handshake_limiter, self.connections)


class _CountedTlsLayer(ClientTlsLayer):
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


def https_protocol(
    service: ProxyService, gate: TlsGate, inside: ConnectionLimiter | None = None
) -> Callable[[], asyncio.Protocol]:
    """Return the factory for the TLS port; `inside` is shared with other ways in."""
    counted = inside or ConnectionLimiter(service)
    return lambda: RefusedConnection() if counted.closed else counted.entry(gate)


def redirect_protocol(service: ProxyService) -> Callable[[], asyncio.Protocol]:
    """Return the factory for port 80."""
    return lambda: PlainConnection(lambda: service.snapshot.routes, service.https_port, lambda: service.challenges)


def _h2_connection(service: ProxyService, sni: str | None, port: int | None) -> asyncio.Protocol:
    # Imported in a thread, a moment after the start (`daemon.run`): no start waits for HTTP/2, which takes 15 ms.
    from devtls.net.client.h2 import H2ClientConnection

    return H2ClientConnection(service, sni, port)
