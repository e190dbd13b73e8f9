"""Performs one exchange's actions on two connections.

Owns the connection to the app while the exchange lasts, its deadlines, and the backpressure between the sides: when
one side's buffer is full, the other side's socket is no longer read. Decides nothing: `http.exchange` does. No task
runs for a request unless a new connection has to be dialled. Longer than others: the short ways of the usual request
stand beside the general ones that they must agree with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

import msgspec

from devtls.errors import HeadTooLarge
from devtls.http.actions import (
    AbortUpstream,
    Acquire,
    Action,
    Arm,
    AwaitRestart,
    DialFailed,
    Disarm,
    Finish,
    OpenTunnel,
    ReleaseUpstream,
    ReportCookies,
    SendClient,
    SendErrorPage,
    SendUpstream,
    Timer,
    UpstreamReady,
)
from devtls.http.events import (
    ClientEvent,
    Data,
    EndOfMessage,
    Request,
    Response,
    UpstreamEvent,
)
from devtls.http.exchange import BY_TABLE, Exchange
from devtls.http.terms import Terms
from devtls.net.framework_watch import ResponseWatch, asks_for_look
from devtls.net.relay_sides import RelayClient, RelayDispatcher
from devtls.net.tap import ExchangeRecorder
from devtls.net.upstream.handle import UpstreamHandle
from devtls.routing import Route

_FIRST_ERROR = 400  # below it no response is a refusal
_HELD_BYTES = 65536
"""How much of a request's body is read while the app is still being dialled."""


class Relay:
    """One request between a client's connection and the pool."""

    __slots__ = (
        "_aborted",
        "_body_idle_s",
        "_cancelled",
        "_client",
        "_deadlines",
        "_dialling",
        "_dispatcher",
        "_exchange",
        "_goes_on",
        "_head_s",
        "_held_back",
        "_loop",
        "_pool",
        "_request_paused",
        "_upstream",
        "reason",
        "received",
        "recorder",
        "request",
        "route",
        "started_at",
        "status",
        "watch",
    )

    def __init__(
        self,
        client: RelayClient[Relay],
        dispatcher: RelayDispatcher[Relay],
        route: Route,
        terms: Terms,
        request: Request,
    ) -> None:
        self._client = client
        self._dispatcher = dispatcher
        self._loop = client.loop
        self._pool = dispatcher.pool
        self._exchange = Exchange(terms)
        self._upstream: UpstreamHandle | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._cancelled: asyncio.Task[None] | None = None
        self._aborted: UpstreamHandle | None = None
        self._deadlines: dict[Timer, float] = {}
        self._request_paused = False
        self._held_back = 0
        self._goes_on = False
        self._body_idle_s = terms.limits.body_idle_timeout_s
        self._head_s = terms.limits.response_head_timeout_s
        self.route = route
        self.request = request
        self.status = 0
        self.reason = ""
        """Why the client got a page of ours or less than everything, in a few words."""
        self.received = 0
        self.started_at = 0.0
        self.recorder: ExchangeRecorder | None = None
        """The tap's, when it wants this exchange."""
        self.watch: ResponseWatch | None = None
        """Looks at what the app's response shows of its framework."""

    def __repr__(self) -> str:
        request = self.request
        asked = f"{request.method.decode('latin-1')} {(request.authority + request.target).decode('latin-1')}"
        dialling = ", dialling" if self._dialling is not None else ""
        phase = self._exchange.phase.name.lower()
        return f"<Relay {asked!r} to {self.route.upstream.label}: {phase}{dialling}, {self.received} bytes received>"

    # -- events in ----------------------------------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Take the request: it is encoded for an idle connection, or one is dialled."""
        exchange = self._exchange
        recorder = self.recorder
        if self.watch is not None:
            request = self.watch.readable(request)
        if recorder is not None and request.body_length == 0:
            recorder.request(EndOfMessage(request.stream_id))  # some codecs report it, some callers save the call
        # A request without a body on an idle connection skips the state machine's table: the usual case.
        max_idle_s = exchange.begin_on_idle(request)
        connection = None if max_idle_s == BY_TABLE else self._pool.acquire(self.route.upstream, max_idle_s)
        if connection is None:
            self._perform(exchange.on_client(request))
            return
        self._take(connection)
        edited = exchange.send_on_idle(request)
        if recorder is not None:
            recorder.attempt(edited, reused=True)
        connection.send(edited)
        # No `Arm` comes on this path: the exchange leaves the clock to the caller.
        when = self._deadlines[Timer.RESPONSE_HEAD] = self._loop.time() + self._head_s
        self._client.wake_at(when)

    def client_event(self, event: ClientEvent) -> None:
        """Take an event of the client's codec; the connection flushes when its burst is over."""
        recorder = self.recorder
        if recorder is not None and (type(event) is not EndOfMessage or self.request.body_length != 0):
            recorder.request(event)
        if actions := self._exchange.on_client(event):
            self._perform(actions)
        # There is no connection yet whose backpressure could hold the client back.
        if self._dialling is not None and isinstance(event, Data):
            self._held_back += len(event.data)
            if self._held_back > _HELD_BYTES and not self._request_paused:
                self._request_paused = True
                self._client.pause_request()

    def upstream_event(self, event: UpstreamEvent) -> None:
        """Take an event of the app's answer."""
        if self.watch is not None:
            self.watch.take(event)
        self._perform(self._exchange.on_upstream(event))

    def upstream_events(self, events: list[UpstreamEvent]) -> None:
        """Take the events of one read."""
        # Most responses come in one read: they skip the state machine, and leave in one write.
        if len(events) == 3:
            head, body, end = events
            if type(head) is Response and type(body) is Data and type(end) is EndOfMessage:
                edited = self._exchange.take_whole_response(head)
                if edited is not None:
                    if self.watch is not None or head.status >= _FIRST_ERROR:
                        self._look_at(*events)
                    self._finish_whole(edited, body)
                    return
        on_upstream = self._exchange.on_upstream
        for event in events:
            if self.watch is not None or (type(event) is Response and event.status >= _FIRST_ERROR):
                self._look_at(event)
            self._perform(on_upstream(event))
        self._client.flush()

    def _refuse_answer(self, refused: HeadTooLarge) -> None:
        self._perform(self._exchange.refuse_answer(refused.summary))
        self._client.flush()

    def _look_at(self, *events: UpstreamEvent) -> None:
        for event in events:
            # An error is looked at whatever else is known of its route.
            if self.watch is None and type(event) is Response and asks_for_look(event):
                self.watch = self._dispatcher.watch(self)
            if self.watch is not None:
                self.watch.take(event)

    def _finish_whole(self, head: Response, body: Data) -> None:
        try:
            self._client.send_whole(head, body)
        except HeadTooLarge as refused:
            self._refuse_answer(refused)
            return
        self.status = head.status
        self.received = len(body.data)
        if (recorder := self.recorder) is not None:
            recorder.response(head)
            recorder.response(body)
            recorder.response(EndOfMessage(head.stream_id))
        # Before `_finish`: the client's next request may take the same connection.
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            self._pool.release(upstream)
        self._finish(complete=True)
        self._client.flush()

    def upstream_flush(self) -> None:
        """The app's burst is over."""
        self._client.flush()

    def flush_upstream(self) -> None:
        """The client's burst is over."""
        if self._upstream is not None:
            self._upstream.flush()
        elif self._held_back and not self._exchange.request_ended:
            self._goes_on = True

    def upstream_writable(self, writable: bool) -> None:
        """Pass the app's backpressure to the client."""
        if writable:
            self._request_paused = False
            # The time for which the app did not read is not the client's silence.
            if Timer.REQUEST_BODY in self._deadlines:
                when = self._deadlines[Timer.REQUEST_BODY] = self._loop.time() + self._body_idle_s
                self._client.wake_at(when)
            self._client.resume_request()
        else:
            self._request_paused = True
            self._client.pause_request()

    def client_writable(self, writable: bool) -> None:
        """Pass the client's backpressure to the app."""
        if self._upstream is None:
            return
        if writable:
            self._upstream.resume_reading()
        else:
            self._upstream.pause_reading()

    def tick(self, now: float) -> None:
        """Fire the timers that have run out."""
        # A copy: what a timer leads to arms and disarms others.
        for timer, deadline in list(self._deadlines.items()):
            if timer is Timer.REQUEST_BODY and self._request_paused:
                continue  # it is the app that does not read, not the client that does not send
            # Asked again: an earlier timer of this tick may have disarmed it.
            if deadline <= now and self._deadlines.pop(timer, None) is not None:
                self._perform(self._exchange.on_timer(timer))
        self.flush_upstream()
        self._client.flush()

    @property
    def next_deadline(self) -> float | None:
        """When `tick` should be called, in the loop's time."""
        if self._request_paused:  # the body's clock stands still: its time may be past, and waking for it would spin
            others = (when for timer, when in self._deadlines.items() if timer is not Timer.REQUEST_BODY)
            return min(others, default=None)
        return min(self._deadlines.values(), default=None)

    @property
    def elapsed_s(self) -> float:
        """How long the exchange has taken; meaningful only when `started_at` is set."""
        return self._loop.time() - self.started_at

    def when_upstream_ended(self, then: Callable[[], None]) -> None:
        """Call `then` when the app's part of an exchange that was cut off is over, at once if it is already."""
        if self._cancelled is not None:
            self._cancelled.add_done_callback(lambda _: then())
        elif self._aborted is not None:
            self._aborted.when_lost(then)
        else:
            then()

    # -- actions out --------------------------------------------------------------------------------------------------

    def _perform(self, actions: list[Action]) -> None:
        # By exact type, those of the usual exchange first: seven per request, and a class pattern costs thrice as much.
        for action in actions:
            if type(action) is SendUpstream:
                if self._upstream is not None:
                    self._upstream.send(action.event)
            elif type(action) is SendClient:
                event = action.event
                if type(event) is Data:
                    self.received += len(event.data)
                elif type(event) is Response:
                    self.status = event.status
                try:
                    self._client.send(event)
                except HeadTooLarge as refused:
                    self._refuse_answer(refused)
                    return
                if self.recorder is not None:
                    self.recorder.response(event)
            elif type(action) is Acquire:
                self._acquire(action.max_idle_s)
            elif type(action) is Arm:
                when = self._deadlines[action.timer] = self._loop.time() + action.after_s
                self._client.wake_at(when)
            elif type(action) is ReleaseUpstream:
                upstream, self._upstream = self._upstream, None
                if upstream is not None:
                    self._pool.release(upstream)
            elif type(action) is Finish:
                self.reason = action.reason
                self._finish(complete=action.complete)
            elif type(action) is Disarm:
                self._deadlines.pop(action.timer, None)
            else:
                self._perform_rare(action)

    def _perform_rare(self, action: Action) -> None:
        match action:
            case AbortUpstream():
                self._abort(stale=action.stale)
            case SendErrorPage():
                self._send_error_page(action)
            case OpenTunnel():
                self._open_tunnel()
            case AwaitRestart():
                route, wait_s, failed = self.route.config.identity, action.wait_s, action.failed
                self._dialling = self._loop.create_task(
                    self._dial(lambda: self._pool.await_restart(self.route.upstream, route, wait_s, failed))
                )
            case ReportCookies():
                self._dispatcher.report_cookies(self, action)
            case SendClient() | SendUpstream() | Arm() | Disarm() | Acquire() | ReleaseUpstream() | Finish():
                raise AssertionError(f"{action} is performed where the usual ones are")
            case _:
                assert_never(action)

    def _send_error_page(self, failure: SendErrorPage) -> None:
        page = self._dispatcher.error_page(self, failure)
        self.status = page.status
        recorder = self.recorder
        if recorder is not None:
            recorder.failed(failure)
        for event in page.events(self.request.stream_id, self.request.method):
            if recorder is not None:
                recorder.response(event)
            self._client.send(event)

    def _finish(self, *, complete: bool) -> None:
        self._deadlines.clear()
        # The connection outlives the exchange: its socket must be read for the next request.
        if self._request_paused:
            self._request_paused = False
            self._client.resume_request()
        if self.recorder is not None:
            self.recorder.ended(complete=complete)
        self._dispatcher.record(self, complete=complete)
        self._client.finished(self, complete=complete)

    def tunnel_closed(self) -> None:
        """The tunnel that the exchange has become is over."""
        self._pool.heard_from(self.route.upstream)
        self._finish(complete=True)

    def _acquire(self, max_idle_s: float | None) -> None:
        connection = self._pool.acquire(self.route.upstream, max_idle_s)
        if connection is not None:
            self._attach(connection, reused=True)
        else:
            if self.recorder is not None:
                self.recorder.dialling()
            self._dialling = self._loop.create_task(self._dial(lambda: self._pool.dial(self.route.upstream)))

    async def _dial(self, connect: Callable[[], Awaitable[UpstreamHandle | DialFailed]]) -> None:
        try:
            self._dialled(await connect())
        except Exception as error:  # noqa: BLE001 - a task that dies in silence leaves its client waiting for ever
            self._client.fault(error)

    def _dialled(self, outcome: UpstreamHandle | DialFailed) -> None:
        self._dialling = None
        match outcome:
            case DialFailed():
                self._perform(self._exchange.on_upstream(outcome))
            case _:
                self._attach(outcome, reused=False)
        # Dialling ended in a task's turn: no burst of either side is there to flush at its end.
        self.flush_upstream()
        self._client.flush()

    def _attach(self, connection: UpstreamHandle, *, reused: bool) -> None:
        self._take(connection)
        actions = self._exchange.on_upstream(UpstreamReady(reused))
        # Before the actions run: the attempt must stand before a response that comes at once.
        if self.recorder is not None:
            self._record_attempt(actions, reused=reused)
        if self._goes_on and isinstance(first := actions[0], SendUpstream) and isinstance(first.event, Request):
            actions[0] = SendUpstream(msgspec.structs.replace(first.event, goes_on=True))
        self._perform(actions)

    def _record_attempt(self, actions: list[Action], *, reused: bool) -> None:
        for action in actions:
            if isinstance(action, SendUpstream) and isinstance(action.event, Request) and self.recorder is not None:
                self.recorder.attempt(action.event, reused=reused)

    def _take(self, connection: UpstreamHandle) -> None:
        connection.user = self
        self._upstream = connection
        if not connection.writable:
            # It still sends the upload before this one, and a transport above its limit says so only once.
            self.upstream_writable(False)
        elif self._request_paused:
            self._request_paused = False
            self._client.resume_request()
        if not self._client.writable:
            connection.pause_reading()

    def _abort(self, *, stale: bool) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
            self._cancelled, self._dialling = self._dialling, None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            self._aborted = upstream
            self._pool.abort(upstream, stale=stale)

    def _open_tunnel(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            self.status = 101
            self._deadlines.clear()
            self._pool.hand_over(upstream)
            self._client.open_tunnel(self, upstream)
