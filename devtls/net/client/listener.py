"""The protocol of each client: TLS first, then HTTP/2 or HTTP/1 by ALPN.

Owns the way from a ClientHello to a client connection, and that each connection counts from accept to its end,
whatever it becomes. `net.listener` accepts them.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from devtls.net.admission import AdmittedConnection, ConnectionTable
from devtls.net.client.h1 import H1ClientConnection
from devtls.net.client.plain_http import PlainConnection
from devtls.net.client.service import ProxyService
from devtls.net.listener import RefusedConnection
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

    def stay_at(self, port: int) -> None:
        """Go on as it was when the service's own port becomes another."""
        self._port = self._port or port

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


class ConnectionLimiter:
    """The connections of clients, which count against `max_connections`, and their handshake limiter."""

    def __init__(self, service: ProxyService, most: Callable[[], int] | None = None) -> None:
        self.connections = ConnectionTable(most or (lambda: service.limits.max_connections))
        self.handshake_limiter = HandshakeLimiter()
        self._service = service

    def entry(self, gate: TlsGate) -> asyncio.Protocol:
        """Return the protocol for a client that is let in to speak TLS."""
        # It was accepted before the listener closed.
        if self._service.draining:
            return RefusedConnection()
        return _CountedTlsLayer(gate, self.handshake_limiter, self.connections)


class _CountedTlsLayer(ClientTlsLayer):
    """A connection that counts from accept: one that never says hello holds a descriptor like any other."""

    def __init__(self, gate: TlsGate, handshake_limiter: HandshakeLimiter, inside: ConnectionTable) -> None:
        super().__init__(gate, handshake_limiter)
        self._inside = inside
        self._opened_at = asyncio.get_running_loop().time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inside.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inside.discard(self)
        super().connection_lost(exc)

    @property
    def idle_since(self) -> float | None:
        """As the connection inside; a handshake that is not done waits for its client."""
        if not self._established:
            return self._opened_at
        inside = self._connection
        return None if inside is None else inside.idle_since

    def yield_place(self) -> None:
        """Close: as a connection that has been idle for too long, or without ceremony before the handshake is done."""
        if self._established and (inside := self._connection) is not None:
            inside.yield_place()
        else:
            # No failure of the client's that anybody should read of.
            self._reported = True
            self.abort()

    @property
    def _connection(self) -> AdmittedConnection | None:
        """The client's connection inside; None for a tunnel, which may be silent for hours and is never idle."""
        return cast(AdmittedConnection, self._app) if hasattr(self._app, "yield_place") else None

    def _plain(self) -> asyncio.Protocol:
        self._inside.discard(self)
        plain = super()._plain()
        return plain.counted(self._inside) if isinstance(plain, PlainConnection) else plain


def https_protocol(
    service: ProxyService, gate: TlsGate, inside: ConnectionLimiter | None = None
) -> Callable[[], asyncio.Protocol]:
    """Return the factory for the TLS port; `inside` is shared with other ways in."""
    counted = inside or ConnectionLimiter(service)
    return lambda: counted.entry(gate)


def redirect_protocol(service: ProxyService, places: ConnectionTable | None = None) -> Callable[[], asyncio.Protocol]:
    """Return the factory for port 80."""

    def make() -> asyncio.Protocol:
        plain = PlainConnection(lambda: service.snapshot.routes, service.https_port, lambda: service.challenges)
        return plain if places is None else plain.counted(places)

    return make


def _h2_connection(service: ProxyService, sni: str | None, port: int | None) -> asyncio.Protocol:
    # Imported in a thread, a moment after the start (`daemon.run`): no start waits for HTTP/2, which takes 15 ms.
    from devtls.net.client.h2 import H2ClientConnection

    return H2ClientConnection(service, sni, port)
