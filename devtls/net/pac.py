"""The port that a browser's proxy settings name: it hands out the PAC file and takes CONNECT.

Owns one request per connection and what comes of it. A tunnel is none: after the 200 the connection itself becomes a
TLS connection of ours, as if it had come to the https port; nothing is dialled, so nothing else can be reached.
Everything that `http.pac` refuses is answered and closed. The wait for a head is bounded in time and size; until a
tunnel begins a connection counts against the limit of this port alone, from then on against `max_connections`.
"""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec

from devtls.errors import ProtocolViolation
from devtls.http.answers import pages
from devtls.http.h1 import writer
from devtls.http.h1.head import HeadSplitter, parse_request_line
from devtls.http.pac import HEAD_LIMITS, PacScope, PacTunnel, PlainRequest, route_request
from devtls.net.admission import ConnectionTable
from devtls.net.bind import Bound
from devtls.net.client.listener import ConnectionLimiter, TlsGate
from devtls.net.client.plain_http import plain_page
from devtls.net.client.service import ProxyService
from devtls.net.listener import Listener, RefusedConnection

_TIMEOUT_S = 10.0  # for one head, which a browser sends at once
# No fields: a 2xx to CONNECT has neither Content-Length nor Transfer-Encoding (RFC 9110 9.3.6).
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# Redirects name no port: the browser then asks for CONNECT to 443, which leads to our TLS whatever its port is.
_USUAL_HTTPS_PORT = 443


class PacEntrance(msgspec.Struct, frozen=True, eq=False):
    """The way in to the proxy: what a tunnel leads to, and the places at the PAC port before that.

    `held` is the port itself, where systemd or launchd holds it.
    """

    service: ProxyService
    gate: TlsGate
    inside: ConnectionLimiter
    places: ConnectionTable
    held: Bound | None = None


class PacServer:
    """The open port; `scope` may be replaced at any time."""

    def __init__(self, bound: Bound, scope: PacScope, entrance: PacEntrance) -> None:
        self.bound = bound
        self.scope = scope
        self.places = entrance.places
        self._entrance = entrance
        self._listener = Listener(bound, self._accept, entrance.places)

    async def start(self) -> None:
        """Begin to accept."""
        await self._listener.start()

    def close(self) -> None:
        """Accept no more; tunnels go on."""
        self._listener.stop()

    def _accept(self) -> asyncio.Protocol:
        return RefusedConnection() if self._entrance.service.draining else PacConnection(self)

    def verdict(self, head: bytes) -> PacTunnel | pages.LocalResponse:
        """Say what a head gets."""
        match route_request(head, self.scope, self.bound.port):
            case PlainRequest(host, target, accept):
                return plain_page(host, target, accept, self._entrance.service.snapshot.routes, _USUAL_HTTPS_PORT)
            case verdict:
                return verdict

    def enter(self, port: int) -> asyncio.Protocol:
        """Return the protocol that continues with a client of `port`."""
        inside = self._entrance.inside
        if inside.connections.room > 0 or inside.connections.make_room():
            return inside.entry(self._entrance.gate.behind(port))
        return RefusedConnection()


class PacConnection(asyncio.Protocol):
    """A client before it has said what it wants."""

    def __init__(self, server: PacServer) -> None:
        self._server = server
        self._splitter = HeadSplitter(HEAD_LIMITS, lambda line: parse_request_line(line, HEAD_LIMITS))
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False
        self.idle_since: float | None = None
        """Its whole life: it waits for its client until a tunnel takes over."""

    def yield_place(self) -> None:
        """Close now."""
        self._transport.abort()

    def __repr__(self) -> str:
        return f"<PacConnection {'responded' if self._answered else 'waiting'}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock: until it leaves, the connection has ten seconds."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
        self._server.places.add(self)
        loop = asyncio.get_running_loop()
        self.idle_since = loop.time()
        self._timer = loop.call_later(_TIMEOUT_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Judge the first head; read and drop what follows an answer."""
        # To close with unread bytes would have TCP's reset destroy the page on its way (RFC 9112 9.6).
        if self._answered:
            return
        try:
            found = self._splitter.split(data)
        except ProtocolViolation as violation:
            self._answer(pages.malformed(violation.status, str(violation)), b"")
            return
        if found is None:
            return
        head, rest = found
        verdict = self._server.verdict(head)
        if isinstance(verdict, PacTunnel):
            self._enter(verdict.port, rest)
        else:
            self._answer(verdict, head)

    def eof_received(self) -> bool:
        """The client is done."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._leave()

    def _leave(self) -> None:
        self._server.places.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _enter(self, port: int, first: bytes) -> None:
        # The clock would abort the tunnel; from here the TLS layer's own runs.
        self._leave()
        # Before the TLS layer has the transport: nothing may stand in front of the 200.
        self._transport.write(_ESTABLISHED)
        protocol = self._server.enter(port)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if first:  # a client that did not wait for the 200
            protocol.data_received(first)

    def _answer(self, page: pages.LocalResponse, head: bytes) -> None:
        self._answered = True
        fields, _, _ = writer.write_fields(page.headers)
        out = writer.seal(writer.status_line(page.status, b""), fields, writer.CONNECTION_CLOSE)
        self._transport.write(out if head.startswith(b"HEAD ") else out + page.body)  # RFC 9110 9.3.2
        self._transport.write_eof()  # the rest is read and dropped until the client or the clock ends it
