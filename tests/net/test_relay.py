"""The relay's clock and its backpressure, with a client that only keeps notes."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from devtls.config import parse_config
from devtls.http.actions import FailureKind, ReportCookies, SendErrorPage
from devtls.http.answers.content import LocalResponse
from devtls.http.events import (
    Data,
    EndOfMessage,
    InformationalResponse,
    Request,
    Reset,
    Response,
    Trailers,
    UpstreamEvent,
)
from devtls.http.terms import Edge, ExchangeLimits, ForwardPolicy, Terms
from devtls.names import DEFAULT_ZONES
from devtls.net.framework_watch import ResponseWatch, RouteWatch
from devtls.net.relay import Relay
from devtls.net.upstream.handle import UpstreamHandle
from devtls.net.upstream.pool import Pool
from devtls.routing import Route, build_routes


class NotingClient:
    """A RelayClient."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.writable = True
        self.calls: list[str] = []
        self.sent: list[object] = []
        self.woken: list[float] = []

    def send(self, event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset) -> None:
        self.sent.append(event)

    def send_whole(self, head: Response, body: Data) -> None:
        self.sent += [head, body]

    def flush(self) -> None:
        return

    def open_tunnel(self, relay: Relay, upstream: UpstreamHandle) -> None:
        self.calls.append("tunnel")

    def finished(self, relay: Relay, *, complete: bool) -> None:
        self.calls.append(f"finished {complete}")

    def pause_request(self) -> None:
        self.calls.append("pause")

    def resume_request(self) -> None:
        self.calls.append("resume")

    def fault(self, error: Exception) -> None:
        raise error

    def wake_at(self, when: float) -> None:
        self.woken.append(when)


class NotingUpstream:
    """What a relay uses of an H1UpstreamConnection."""

    def __init__(self) -> None:
        self.user: object = None
        self.writable = True
        self.sent: list[object] = []
        self.calls: list[str] = []

    def send(self, event: object) -> None:
        self.sent.append(event)

    def flush(self) -> None:
        return

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class OneConnectionPool:
    """A Pool whose one connection is always idle."""

    def __init__(self) -> None:
        self.upstream = NotingUpstream()
        self.ends: list[str] = []

    def acquire(self, _upstream: object, _max_idle_s: float | None) -> NotingUpstream:
        return self.upstream

    def release(self, _connection: object) -> None:
        self.ends.append("release")

    def abort(self, _connection: object, *, stale: bool = False) -> None:
        self.ends.append("stale" if stale else "abort")

    def hand_over(self, _connection: object) -> None:
        self.ends.append("handed over")


class NotingDispatcher:
    """A RelayDispatcher."""

    def __init__(self, pool: OneConnectionPool) -> None:
        self.pool = cast(Pool, pool)
        self.failures: list[SendErrorPage] = []
        self.records: list[bool] = []

    def error_page(self, relay: Relay, failure: SendErrorPage) -> LocalResponse:
        self.failures.append(failure)
        return LocalResponse(502, [], b"page")

    def watch(self, relay: Relay) -> ResponseWatch:
        return ResponseWatch(relay.request, RouteWatch(), 443, lambda _found: None)

    def report_cookies(self, relay: Relay, found: ReportCookies) -> None:
        raise AssertionError("no route here is told to strip cookies")

    def record(self, relay: Relay, *, complete: bool) -> None:
        self.records.append(complete)


class Rig:
    def __init__(self) -> None:
        config = parse_config(b"[routes]\napp = 3000\n", source="test.toml", directory="/")
        route: Route = build_routes(config, DEFAULT_ZONES, static_sockets={}).routes[0]
        edge = Edge(b"127.0.0.1", b"https", 443, b"devtls-test")
        limits = ExchangeLimits(response_head_timeout_s=10, body_idle_timeout_s=1)
        self.client, self.pool = NotingClient(), OneConnectionPool()
        self.request = Request(1, b"POST", b"/", b"app.dev.local", [], 100)
        terms = Terms(ForwardPolicy(), edge, limits)
        self.dispatcher = NotingDispatcher(self.pool)
        self.relay = Relay(self.client, self.dispatcher, route, terms, self.request)

    def begin(self) -> None:
        """The head is sent, the body has begun."""
        self.relay.client_event(self.request)
        self.relay.client_event(Data(1, b"x" * 50))

    def upstream(self, *events: UpstreamEvent) -> None:
        for event in events:
            self.relay.upstream_event(event)


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_a_silent_client_is_answered_when_its_time_is_over(rig: Rig) -> None:
    rig.begin()
    deadline = rig.relay.next_deadline
    assert deadline is not None
    assert deadline in rig.client.woken
    rig.relay.tick(deadline - 0.5)
    assert rig.dispatcher.failures == []
    rig.relay.tick(deadline)
    assert [answer.kind for answer in rig.dispatcher.failures] == [FailureKind.REQUEST_TIMEOUT]
    assert rig.pool.ends == ["abort"]
    assert rig.client.calls == ["finished True"]
    assert [type(event) for event in rig.client.sent] == [Response, Data, EndOfMessage]
    assert rig.relay.status == 502
    assert rig.dispatcher.records == [True]
    assert rig.relay.next_deadline is None


async def test_the_clients_clock_stands_still_while_the_app_reads_nothing(rig: Rig) -> None:
    rig.begin()
    rig.relay.upstream_writable(False)
    assert rig.client.calls == ["pause"]
    assert rig.relay.next_deadline is None  # nothing to wake for: a time in the past would make the loop spin
    rig.relay.tick(rig.client.loop.time() + 100)
    assert rig.dispatcher.failures == []


async def test_the_clients_clock_starts_anew_when_the_app_reads_again(rig: Rig) -> None:
    rig.begin()
    rig.relay.upstream_writable(False)
    rig.client.woken.clear()
    rig.relay.upstream_writable(True)
    assert rig.client.calls == ["pause", "resume"]
    assert rig.client.woken == [rig.relay.next_deadline]


async def test_behind_an_upload_that_the_app_still_reads_the_next_one_waits(rig: Rig) -> None:
    rig.pool.upstream.writable = False
    rig.begin()
    assert rig.client.calls == ["pause"]
    rig.relay.upstream_writable(True)
    assert rig.client.calls == ["pause", "resume"]


async def test_an_end_with_a_paused_client_lets_it_read_again(rig: Rig) -> None:
    rig.begin()
    rig.relay.upstream_writable(False)
    rig.upstream(Response(1, 413, [], b"", 0), EndOfMessage(1))
    assert rig.client.calls == ["pause", "resume", "finished True"]


async def test_a_slow_client_slows_the_app(rig: Rig) -> None:
    rig.relay.client_writable(False)  # before there is a connection
    rig.client.writable = False
    rig.begin()
    rig.relay.client_writable(True)
    rig.relay.client_writable(False)
    assert rig.pool.upstream.calls == ["pause", "resume", "pause"]


async def test_bytes_and_status_of_the_answer_are_counted(rig: Rig) -> None:
    rig.begin()
    rig.relay.client_event(EndOfMessage(1))
    rig.upstream(Response(1, 201, [], b"", 5), Data(1, b"hello"), EndOfMessage(1))
    assert (rig.relay.status, rig.relay.received) == (201, 5)
    assert rig.pool.ends == ["release"]
    assert rig.relay.next_deadline is None


async def test_a_switch_of_protocols_is_relayed(rig: Rig) -> None:
    rig.request.upgrade = b"websocket"
    rig.relay.client_event(rig.request)
    rig.relay.client_event(EndOfMessage(1))
    rig.upstream(InformationalResponse(1, 101, [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]))
    assert rig.relay.status == 101
    assert rig.client.calls == ["tunnel"]
    assert rig.pool.ends == ["handed over"]


async def test_it_says_its_state(rig: Rig) -> None:
    told = "<Relay 'POST app.dev.local/' to 127.0.0.1:3000: {}, 0 bytes received>"
    assert repr(rig.relay) == told.format("start")
    rig.begin()
    assert repr(rig.relay) == told.format("waiting")
