"""Which page of ours answers what: a refusal of `routing.select`, a failure of an exchange.

Owns the choice; the words are `http.pages`'.
"""

from __future__ import annotations

from devtls.http.actions import Answer, FailureKind
from devtls.http.answers import pages
from devtls.http.events import Request
from devtls.http.headers import get
from devtls.net.client.service import Service
from devtls.routing import Refusal, Route, host_of


def refusal_page(service: Service, sni: str | None, port: int, request: Request, refusal: Refusal) -> pages.Answer:
    """Return the answer to a request that no route takes; `port` is the one that its client came to."""
    match refusal:
        case Refusal.MISDIRECTED:
            return pages.misdirected(host_of(request.authority), sni or "", port, _accept(request))
        case Refusal.UNKNOWN:
            return pages.not_found(host_of(request.authority), service.route_lines(port), _accept(request))


def outdated_page(request: Request) -> pages.Answer:
    """Return the answer on a connection whose client has to show another certificate than when it began."""
    return pages.outdated(host_of(request.authority), _accept(request))


def failure_page(service: Service, route: Route, request: Request, failure: Answer) -> pages.Answer:
    """Return the answer in an app's stead."""
    accept = _accept(request)
    label = route.upstream.label
    match failure.kind:
        case FailureKind.UNREACHABLE:
            return pages.bad_gateway(label, failure.tried, request.method in (b"GET", b"HEAD"), accept)
        case FailureKind.CONNECT_TIMEOUT:
            return pages.connect_timeout(label, failure.tried, service.pool.connect_timeout_s, accept)
        case FailureKind.BROKEN_ANSWER | FailureKind.NO_ANSWER:
            return pages.broken_answer(label, label, failure.detail, accept)
        case FailureKind.RESPONSE_TIMEOUT:
            return pages.gateway_timeout(label, label, service.limits.exchange.response_head_timeout_s, accept)
        case FailureKind.REQUEST_TIMEOUT:
            return pages.malformed(408, failure.detail, accept)
        case FailureKind.LOOP:
            return pages.loop_detected(host_of(request.authority), accept)


def _accept(request: Request) -> bytes:
    return get(request.headers, b"accept") or b""
