"""The state that all client connections of a process share.

Owns the references that a reload swaps, the limits, and the list of open connections. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from devtls.http.answers import pages
from devtls.http.h1.head import HeadLimits
from devtls.http.terms import Edge, ExchangeLimits
from devtls.names import LOCALHOST
from devtls.net.acme_challenge import Challenges
from devtls.net.client.access import Observer
from devtls.net.framework_watch import RouteWatch
from devtls.net.tap import Tap
from devtls.net.tls.client_auth import Claim, ClientPolicy
from devtls.net.upstream.pool import Pool
from devtls.routing import ClientAuth, Route, Snapshot


class ClientConnection(Protocol):
    """An open connection as the daemon sees it, in either version of HTTP."""

    @property
    def id(self) -> int:
        """The number under which the observer hears of it."""

    @property
    def outdated(self) -> bool:
        """Whether its client would have to show another certificate today."""

    @property
    def claim(self) -> Claim:
        """What its client has shown, and what it would have to show today."""

    @property
    def http2(self) -> bool:
        """Whether it speaks HTTP/2."""

    def drain(self) -> None:
        """Finish what runs, take nothing new."""

    def abort(self) -> None:
        """Close at once."""

    @property
    def response_position(self) -> int | None:
        """How many bytes of responses are on their way; None while a request waits for its response to begin."""


class ClientLimits(msgspec.Struct, frozen=True):
    """Limits of a client connection; times in seconds, sizes in bytes."""

    head: HeadLimits = msgspec.field(default_factory=HeadLimits)
    exchange: ExchangeLimits = msgspec.field(default_factory=ExchangeLimits)
    head_timeout_s: float = 10.0
    keep_alive_s: float = 75.0
    linger_s: float = 2.0
    tunnel_idle_timeout_s: float = 3600.0
    half_close_grace_s: float = 5.0
    max_drain_bytes: int = 64 * 1024 * 1024
    max_buffer_bytes: int = 256 * 1024
    max_connections: int = 1000
    max_streams: int = 128


class ProxyService(msgspec.Struct, eq=False):
    """What all connections of a process share; a reload swaps `snapshot`, `policies` and `limits`."""

    snapshot: Snapshot
    pool: Pool
    observer: Observer
    limits: ClientLimits
    pseudonym: bytes
    https_port: int = 443
    """The port that people type: the one in our redirects and lists."""
    policies: Mapping[ClientAuth, ClientPolicy] = {}
    """What the routes' `client_auth` comes to, as of now."""
    draining: bool = False
    tap: Tap | None = None
    """Asked for each request; None records nothing."""
    challenges: Challenges | None = None
    """What of plain HTTP is not redirected: proofs for the ACME server, where there is one."""
    connections: set[ClientConnection] = msgspec.field(default_factory=set)
    _edges: dict[tuple[bytes, int], Edge] = msgspec.field(default_factory=dict)
    _watches: dict[tuple[str, str], RouteWatch] = msgspec.field(default_factory=dict)

    def policy(self, sni: str) -> ClientPolicy | None:
        """Return the policy for clients of the name `sni` ("" = no name)."""
        auth = self.snapshot.routes.client_auth(sni or LOCALHOST)
        return None if auth is None else self.policies[auth]

    def edge(self, client_ip: bytes, port: int) -> Edge:
        """Return what `forward` needs of a client that came to `port`: always the same object, for edits to be kept."""
        edge = self._edges.get((client_ip, port))
        if edge is None:
            edge = self._edges[client_ip, port] = Edge(client_ip, b"https", port, self.pseudonym)
        return edge

    def route_watch(self, route: Route) -> RouteWatch:
        """Return what is known of the framework of a route; a reload that leaves its app alone changes nothing."""
        key = route.name, route.upstream.label
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = RouteWatch()
        return watch

    def route_lines(self, port: int) -> list[pages.RouteLine]:
        """Return the routes as our 404 page lists them for a client that came to `port`."""
        return [
            pages.RouteLine(urls[0], route.upstream.label, urls[1:])
            for route in self.snapshot.routes.routes
            # None where longer names have taken every one of its hosts.
            if (urls := route.urls(port))
        ]
