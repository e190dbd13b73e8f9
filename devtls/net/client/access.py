"""Access records, and the observer that is told of them, of failed handshakes, of frameworks and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from devtls.http.events import Request
from devtls.http.terms import Edge
from devtls.net.tls.handshake import HandshakeFailure
from devtls.routing import Route

if TYPE_CHECKING:
    from devtls.http.frameworks.advice import FrameworkFinding

_PROTOCOLS = {b"1.0": "HTTP/1.0", b"1.1": "HTTP/1.1", b"2.0": "HTTP/2"}  # RFC 9113 8.1: HTTP/2 has no minor version


class AccessRecord(msgspec.Struct):
    """One request and its response; text fields are as the client sent them: escape them before showing."""

    method: str
    host: str
    target: str
    status: int
    route: str
    upstream: str
    """Where it went, "" when devtls answered itself."""
    bytes_sent: int
    duration_s: float
    protocol: str
    """HTTP/1.0, HTTP/1.1 or HTTP/2: what the client spoke."""
    client_ip: str
    complete: bool
    reason: str = ""
    """Why there is an answer of ours, or less than the whole answer, in a few words."""


def record_of(request: Request, edge: Edge, status: int, *, complete: bool = True) -> AccessRecord:
    """Return the record of a request that reached no app; the rest is added for one that did."""
    return AccessRecord(
        method=request.method.decode("latin-1"),
        host=request.authority.decode("latin-1"),
        target=request.target.decode("latin-1"),
        status=status,
        route="",
        upstream="",
        bytes_sent=0,
        duration_s=0.0,
        protocol=_PROTOCOLS[request.http_version],
        client_ip=edge.client_ip.decode("latin-1"),
        complete=complete,
    )


class Observer(Protocol):
    """The log of a process; calls are made on the loop and must return at once."""

    @property
    def wants_requests(self) -> bool:
        """Asked once per connection: False saves the record of each request."""

    def request(self, record: AccessRecord) -> None:
        """A request is over."""

    def framework(self, host: str, route: Route, found: FrameworkFinding) -> None:
        """A response to a request for `host` showed a problem of the app's framework."""

    def cookie_domain(self, route: str, host: str, cookie: str, domain: str) -> None:
        """A cookie of the app on `route` was to be for all of `domain`, and is for `host` alone now."""

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        """A TLS handshake failed."""

    def fault(self, connection_id: int, error: Exception) -> None:
        """A bug of ours ended a connection."""
