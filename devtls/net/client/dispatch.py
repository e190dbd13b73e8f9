"""Dispatches the requests of one client connection, in either version of HTTP: route, relay, error page, record.

Owns the connection's view of the service: its name, its edge, the terms of the routes that it has used, and the records
for the observer. Decides nothing that `routing` and `http.exchange` decide, and writes nothing: the connection does.
"""

from __future__ import annotations

import itertools
import ssl
from typing import Any

import msgspec

from devtls.config import COMMAND_LINE
from devtls.http.actions import FailureKind, ReportCookies, SendErrorPage
from devtls.http.answers import pages
from devtls.http.events import Data, EndOfMessage, Malformed, Request, Response, as_phrase
from devtls.http.frameworks.advice import FrameworkFinding
from devtls.http.frameworks.host_check import recognise_refused_socket
from devtls.http.headers import get
from devtls.http.terms import Edge, Terms
from devtls.net.client.access import record_of
from devtls.net.client.service import ClientLimits, ProxyService
from devtls.net.framework_watch import ResponseWatch
from devtls.net.relay import Relay
from devtls.net.relay_sides import RelayClient
from devtls.net.tap import ClientDetails, ExchangeRecorder
from devtls.net.tls.client_auth import Claim, ClientPolicy, policy_of, proof, shown
from devtls.net.tls.handshake import HandshakeFailure
from devtls.routing import NoRoute, Route, host_of, select

_connection_ids = itertools.count(1)


class RequestDispatcher:
    """One connection's requests; `sni` as in its ClientHello, None without one.

    `port` is the one that the client believes to be connected to, when a tunnel makes it another than ours.
    """

    __slots__ = (
        "_chain",
        "_last",
        "_objection",
        "_policy",
        "_port",
        "_proven_edge",
        "_recording",
        "_sni",
        "_terms",
        "_tls",
        "edge",
        "id",
        "limits",
        "pool",
        "service",
    )

    def __init__(self, service: ProxyService, sni: str | None, port: int | None = None) -> None:
        self.id = next(_connection_ids)
        self.service = service
        self.pool = service.pool
        self._tls: ssl.SSLObject | None = None
        self.limits: ClientLimits = service.limits
        self.edge: Edge
        self._proven_edge: Edge
        """The same with what the client has shown, for routes that ask for it."""
        self._policy: ClientPolicy | None = None
        self._chain: tuple[bytes, ...] = ()
        self._objection = ""
        self._sni = sni
        self._port = service.https_port if port is None else port
        self._terms: dict[int, Terms] = {}
        self._last: tuple[Any, ...] = (None, None, None)
        self._recording = service.observer.wants_requests

    def connected(self, peername: tuple[str, int] | None, ssl_object: ssl.SSLObject | None = None) -> None:
        """Set the address of the client, and the certificate that it showed."""
        # A peer without an address is a Unix socket's or one that is gone already.
        client_ip = str(peername[0]).encode("ascii", "replace") if peername else b"127.0.0.1"
        self._tls = ssl_object
        self.edge = self._proven_edge = self.service.edge(client_ip, self._port)
        if self.service.policies and ssl_object is not None:
            self._policy = policy_of(ssl_object)
            if self._policy is not None and (chain := shown(ssl_object)):
                self._chain = chain
                self._proven_edge = msgspec.structs.replace(self.edge, client_cert=proof(chain))
                self._object(self._policy, chain[0])

    def _object(self, policy: ClientPolicy, der: bytes) -> None:
        """Note and report what the policy has against a certificate that TLS accepted."""
        self._objection = policy.objection(der) if policy.objection is not None else ""
        if self._objection:
            address = self.edge.client_ip.decode("latin-1")
            failure = HandshakeFailure(self._sni, self._objection, address, asked=True)
            self.service.observer.handshake_failed(failure)

    @property
    def outdated(self) -> bool:
        """Whether the client would have to show another certificate today."""
        return self._policy != self.service.policy(self._sni or "")

    @property
    def claim(self) -> Claim:
        """What the client has shown, and what it would have to show today."""
        return Claim(self._chain, self.service.policy(self._sni or ""))

    @property
    def sni(self) -> bytes:
        """The name of the connection, b"" without one."""
        return (self._sni or "").encode("ascii")

    def dispatch(self, client: RelayClient[Relay], request: Request) -> Relay | pages.LocalResponse:
        """Return a relay that is to be given the request, or the page that refuses it."""
        service = self.service
        table, last, looks = service.snapshot.routes, self._last, False
        if request.authority is last[1] and request.target is last[2] and table is last[0]:
            chosen, terms = last[3], last[4]  # the codec remembers heads, so these are the same objects: 0.4 us less
        else:
            found = select(table, sni=self._sni, authority=request.authority, path=request.target)
            if not isinstance(found, Route):
                return _refusal_page(service, self._sni, self._port, request, found)
            if found.client_auth is not None and self._policy != service.policies[found.client_auth]:
                return _outdated_page(request)  # a reload has come between, and the connection is about to end
            if found.client_auth is not None and self._objection:
                return pages.client_refused(host_of(request.authority), self._objection, _accept(request))
            chosen, terms = found, self._terms_of(found)
            self._last = table, request.authority, request.target, chosen, terms
            # Here, so that a request that is repeated costs nothing more: its response has been looked at.
            looks = service.route_watch(chosen).looks
        relay = Relay(client, self, chosen, terms, request)
        if looks:
            relay.watch = self.watch(relay)
        if service.tap is not None:
            relay.recorder = self._recorder(request, chosen)
        if self._recording:
            relay.started_at = client.loop.time()
        return relay

    def _terms_of(self, route: Route) -> Terms:
        terms = self._terms.get(id(route))
        # By id for speed; a reload may give the id of a dead route to a new one, hence the second look.
        if terms is None or terms.policy is not route.policy:
            edge = self.edge if route.client_auth is None else self._proven_edge
            limits, own = self.limits.exchange, route.config.retry_down_s
            terms = self._terms[id(route)] = Terms(
                route.policy, edge, limits, limits.retry_down_s if own is None else own
            )
        return terms

    # -- RelayDispatcher ----------------------------------------------------------------------------------------------

    def error_page(self, relay: Relay, failure: SendErrorPage) -> pages.LocalResponse:
        """Return the page that the client gets in the place of the app's response."""
        # A WebSocket that an app refuses has no body to observe: the reason is all there is.
        if relay.request.upgrade and (found := recognise_refused_socket(failure.detail)) is not None:
            self.service.observer.framework(host_of(relay.request.authority), relay.route, FrameworkFinding(found))
        return _failure_page(self.service, relay.route, relay.request, failure)

    def watch(self, relay: Relay) -> ResponseWatch:
        """Return the watch for a response that may be a framework's refusal."""
        report, request, route = self.service.observer.framework, relay.request, relay.route
        seen = self.service.route_watch(route)
        return ResponseWatch(request, seen, self._port, lambda found: report(host_of(request.authority), route, found))

    def report_cookies(self, relay: Relay, found: ReportCookies) -> None:
        """Say that cookies of the app's response were for other names as well."""
        host = host_of(relay.request.authority)
        for cookie, domain in found.cookies:
            self.service.observer.cookie_domain(relay.route.config.key, host, cookie, domain)

    def record(self, relay: Relay, *, complete: bool) -> None:
        """Record a request that a relay has finished."""
        if self._recording:
            record = record_of(relay.request, self.edge, relay.status, complete=complete)
            record.route, record.upstream = relay.route.name, relay.route.upstream.label
            record.bytes_sent, record.duration_s = relay.received, relay.elapsed_s
            record.reason = relay.reason
            self.service.observer.request(record)

    # -- requests that no relay is made for ---------------------------------------------------------------------------

    def refuse(
        self, request: Request, page: pages.LocalResponse, malformed: Malformed | None = None
    ) -> list[Response | Data | EndOfMessage]:
        """Record a request that reaches no app, and return its response."""
        events = page.events(request.stream_id, request.method)
        if (recorder := self._recorder(request, None)) is not None:
            # A body is never read here, so its end is recorded only where there is none.
            if malformed is not None or request.body_length == 0:
                recorder.request(malformed or EndOfMessage(request.stream_id))
            for event in events:
                recorder.response(event)
            recorder.ended(complete=True)
        if self._recording:
            record = record_of(request, self.edge, page.status)
            if malformed is not None:
                record.reason = as_phrase(malformed.reason)
            self.service.observer.request(record)
        return events

    def _recorder(self, request: Request, route: Route | None) -> ExchangeRecorder | None:
        tap = self.service.tap
        return None if tap is None else tap.begin(request, self._details(), route)

    def _details(self) -> ClientDetails:
        tls = self._tls
        version, reused = ("", False) if tls is None else (tls.version() or "", bool(tls.session_reused))
        address = self.edge.client_ip.decode("latin-1")
        return ClientDetails(self.id, address, self._sni, version, reused, self._chain)


def _refusal_page(
    service: ProxyService, sni: str | None, port: int, request: Request, refusal: NoRoute
) -> pages.LocalResponse:
    """Return the response to a request that no route takes; `port` is the one that the client connected to."""
    match refusal:
        case NoRoute.MISDIRECTED:
            return pages.misdirected(host_of(request.authority), sni or "", port, _accept(request))
        case NoRoute.UNKNOWN:
            host, snapshot = host_of(request.authority), service.snapshot
            file = "" if snapshot.config.source == COMMAND_LINE else snapshot.config.source
            return pages.not_found(host, service.route_lines(port), _accept(request), snapshot.zones, file)


def _outdated_page(request: Request) -> pages.LocalResponse:
    """Return the response on a connection whose client has to show another certificate than when it began."""
    return pages.outdated(host_of(request.authority), _accept(request))


def _failure_page(service: ProxyService, route: Route, request: Request, failure: SendErrorPage) -> pages.LocalResponse:
    """Return devtls's own response in the place of an app's."""
    accept = _accept(request)
    name, label = _written(route), route.upstream.label
    match failure.kind:
        case FailureKind.UNREACHABLE:
            return pages.bad_gateway(name, failure.tried, request.method in (b"GET", b"HEAD"), accept)
        case FailureKind.CONNECT_TIMEOUT:
            return pages.connect_timeout(name, failure.tried, service.pool.connect_timeout_s, accept)
        case FailureKind.BROKEN_ANSWER | FailureKind.NO_ANSWER:
            return pages.broken_response(name, label, failure.detail, accept)
        case FailureKind.RESPONSE_TIMEOUT:
            return pages.gateway_timeout(name, label, service.limits.exchange.response_head_timeout_s, accept)
        case FailureKind.REQUEST_TIMEOUT:
            return pages.malformed(408, failure.detail, accept)
        case FailureKind.MALFORMED:
            return pages.malformed(failure.status, failure.detail)
        case FailureKind.LOOP:
            return pages.loop_detected(host_of(request.authority), accept)


def _written(route: Route) -> str:
    """Return a route's name and where it is written: `app (devtls.toml:5)`."""
    config = route.config
    # The file's name only: the page may be on a screen that others see.
    place = config.source.replace("\\", "/").rpartition("/")[2]
    return f"{config.key} ({place}:{config.line})" if config.line else f"{config.key} ({place})"


def _accept(request: Request) -> bytes:
    return get(request.headers, b"accept") or b""
