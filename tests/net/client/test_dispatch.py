"""The dispatcher: what becomes of a request before any HTTP version is concerned, and what the observer hears of it."""

from __future__ import annotations

import asyncio
from typing import cast

from devtls.http.actions import FailureKind, SendErrorPage
from devtls.http.answers import pages
from devtls.http.events import Data, EndOfMessage, Request, Response
from devtls.net.client.dispatch import RequestDispatcher
from devtls.net.relay import Relay
from devtls.net.relay_sides import RelayClient
from tests.net.harness import Proxy


class Client:
    """What `take` needs of a RelayClient."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.writable = True


def dispatcher(running: Proxy, sni: str | None = "app.dev.local") -> RequestDispatcher:
    made = RequestDispatcher(running.service, sni)
    made.connected(("127.0.0.1", 5))
    return made


def asking(authority: bytes = b"app.dev.local", target: bytes = b"/", method: bytes = b"GET") -> Request:
    return Request(1, method, target, authority, [], 0, b"2.0")


def take(made: RequestDispatcher, request: Request) -> Relay | pages.LocalResponse:
    return made.dispatch(cast(RelayClient[Relay], Client()), request)


async def test_a_request_for_a_route_becomes_a_relay_on_shared_terms(running: Proxy) -> None:
    running.route("app = 1")
    made = dispatcher(running)
    first, second = take(made, asking()), take(made, asking())
    assert isinstance(first, Relay)
    assert isinstance(second, Relay)
    assert first.route is second.route
    assert first._exchange._terms is second._exchange._terms
    assert first.started_at > 0


async def test_terms_follow_a_reload(running: Proxy) -> None:
    running.route("app = 1")
    made = dispatcher(running)
    before = take(made, asking())
    running.route("app = { target = 1, via = false }")
    after = take(made, asking())
    assert isinstance(before, Relay)
    assert isinstance(after, Relay)
    assert after._exchange._terms.policy is after.route.policy
    assert before._exchange._terms is not after._exchange._terms


async def test_what_no_route_serves_is_a_page(running: Proxy) -> None:
    running.route("app = 1")
    for sni, authority, status in (
        ("nobody.dev.local", b"nobody.dev.local", 404),
        ("app.dev.local", b"other.dev.local", 421),
        (None, b"app.dev.local", 421),
        (None, b"localhost", 404),
    ):
        page = take(dispatcher(running, sni), asking(authority))
        assert isinstance(page, pages.LocalResponse)
        assert page.status == status


async def test_each_connection_has_a_number_of_its_own_and_knows_its_client(running: Proxy) -> None:
    first, second = dispatcher(running), dispatcher(running, None)
    assert second.id == first.id + 1
    assert (first.sni, second.sni) == (b"app.dev.local", b"")
    assert first.edge is second.edge
    second.connected(None)
    assert second.edge.client_ip == b"127.0.0.1"


async def test_a_failure_is_a_page_and_its_status_the_relays(running: Proxy) -> None:
    running.route("app = 1")
    made = dispatcher(running)
    relay = take(made, asking())
    assert isinstance(relay, Relay)
    page = made.error_page(
        relay, SendErrorPage(FailureKind.UNREACHABLE, "The app cannot be reached.", (("127.0.0.1:1", "no"),))
    )
    assert page.status == 502
    assert b"127.0.0.1:1" in page.body
    relay.status = page.status
    made.record(relay, complete=True)
    record = running.noted.requests[-1]
    assert (record.status, record.protocol, record.upstream) == (502, "HTTP/2", relay.route.upstream.label)


async def test_refused_requests_are_recorded_without_a_route(running: Proxy) -> None:
    made = dispatcher(running)
    events = made.refuse(asking(b"nobody.dev.local", b"/x"), pages.not_found("nobody.dev.local", [], b""))
    assert [type(event) for event in events] == [Response, Data, EndOfMessage]
    record = running.noted.requests[-1]
    assert (record.status, record.host, record.target) == (404, "nobody.dev.local", "/x")
    assert not record.route


async def test_nothing_is_recorded_for_an_observer_that_does_not_want_it(running: Proxy) -> None:
    running.noted.wants_requests = False
    running.route("app = 1")
    made = dispatcher(running)
    relay = take(made, asking())
    assert isinstance(relay, Relay)
    assert relay.started_at == 0
    made.record(relay, complete=True)
    made.refuse(asking(), pages.malformed(400, "no"))
    assert running.noted.requests == []
