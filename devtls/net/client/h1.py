"""One client connection: bytes to events, a relay per request, answers in order, and an end that loses nothing.

Owns the client's codec, its output buffer, its deadlines and how it closes. Refuses what `routing.select` refuses and
answers it itself. One write per burst; no task; an exception in here ends this connection and no other. Longer than a
file should be, for one reason: what a connection is doing decides how it may end, and both are read together.
"""

from __future__ import annotations

import asyncio
from typing import cast

from devtls.http.actions import SendErrorPage
from devtls.http.answers import pages
from devtls.http.events import (
    ClientEvent,
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    Request,
    Reset,
    Response,
    Trailers,
)
from devtls.http.h1.client import H1ClientCodec
from devtls.net.client.dispatch import RequestDispatcher
from devtls.net.client.service import ProxyService
from devtls.net.host_check import RefusalWatch
from devtls.net.relay import Relay
from devtls.net.tls.client_auth import Claim
from devtls.net.tls.layer import TlsTransport
from devtls.net.tunnel import Tunnel
from devtls.net.upstream.handle import UpstreamHandle

_PIPELINE_BYTES = 65536
"""What a client may send ahead of its answer before we stop reading."""
_LINGER_FACTOR = 15
"""`linger_s` is for silence; a client that goes on sending gets so many times as long (30 s), and no more."""


class H1ClientConnection(asyncio.Protocol):
    """A client inside TLS; `sni` as in its ClientHello, None without one; `port` as in Reception."""

    http2 = False

    def __init__(self, service: ProxyService, sni: str | None, port: int | None = None) -> None:
        self.writable = True
        self._service = service
        self._dispatcher = RequestDispatcher(service, sni, port)
        self._limits = service.limits
        self._codec = H1ClientCodec(service.limits.head)
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._out: list[bytes] = []
        self._relay: Relay | None = None
        self._answering: Request | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._lingering = 0
        self._linger_until = 0.0
        self._closed = False
        self._cut = False
        self._tunnel: Tunnel | None = None
        self._suspect: RefusalWatch | None = None
        self._begun = False
        self._refused = False
        self._answered_stream = 0
        self._handling = False
        self._over = False
        self._held_back = False
        self._stalled = False
        self._head_started = False
        self._unsent: int | None = None

    @property
    def id(self) -> int:
        """The number under which the observer hears of this connection."""
        return self._dispatcher.id

    @property
    def outdated(self) -> bool:
        """Whether the client would have to show another certificate today."""
        return self._dispatcher.outdated

    @property
    def claim(self) -> Claim:
        """What the client has shown, and what it would have to show today."""
        return self._dispatcher.claim

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head has its time."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(self._limits.max_buffer_bytes)
        service = self._service
        service.connections.add(self)
        self._dispatcher.connected(transport.get_extra_info("peername"), transport.get_extra_info("ssl_object"))
        self._set_deadline(self._limits.head_timeout_s)

    def data_received(self, data: bytes) -> None:
        """Take plaintext."""
        try:
            if self._lingering:
                self._linger_on(len(data))
                return
            self._handle(self._codec.receive_data(data))
        except Exception as error:  # noqa: BLE001 - no input ends the process; the observer logs it with our id
            self.fault(error)

    def eof_received(self) -> bool:
        """The client ended: whatever runs is for nobody."""
        try:
            if self._lingering:
                self._close()
                return False
            for event in self._codec.receive_eof():
                self._event(event)
        except Exception as error:  # noqa: BLE001
            self.fault(error)
        self._close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: free what it used."""
        self._closed = True
        self._service.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (relay := self._relay) is not None:
            relay.client_event(Reset(relay.request.stream_id, "The client's connection was lost."))

    def pause_writing(self) -> None:
        """The client reads more slowly than the app writes."""
        self.writable = False
        if self._relay is not None:
            self._relay.client_writable(False)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable = True
        if self._relay is not None:
            self._relay.client_writable(True)
        elif self._stalled:
            self._stalled = False
            try:
                self._proceed()
            except Exception as error:  # noqa: BLE001
                self.fault(error)

    # -- events -------------------------------------------------------------------------------------------------------

    def _handle(self, events: list[ClientEvent]) -> None:
        """Work through events, then through the requests that were sent ahead."""
        self._handling = True
        while True:
            if len(events) == 2 and type(first := events[0]) is Request and first.body_length == 0:
                self._begin(first)  # the end that follows says nothing new
            else:
                for event in events:
                    self._event(event)
            if self._relay is not None:
                self._relay.flush_upstream()
            if self._out or self._cut:
                self.flush()
            if self._closed or self._unsent is not None or self._relay is not None or self._answering is not None:
                break
            if not self.writable:
                self._stalled = True  # who does not read our answers is asked for no more requests
                break
            if not self._may_go_on():
                break
            events = self._codec.next_request()
            if not events:
                break
        self._handling = False
        busy = self._relay is not None or self._answering is not None
        if not busy:
            self._watch_head()
        if (busy or self._stalled) and self._codec.buffered > _PIPELINE_BYTES:
            self._held_back = True
            self._transport.pause_reading()

    def _event(self, event: ClientEvent) -> None:
        if type(event) is Request:
            self._begin(event)
            return
        if isinstance(event, Malformed):
            self._malformed(event)
        elif self._relay is not None:
            self._relay.client_event(event)

    def _begin(self, request: Request) -> None:
        self._deadline = None
        self._begun = False
        self._answering = request
        if self._service.draining:
            self._codec.close_after_response()
        taken = self._dispatcher.take(self, request)
        if isinstance(taken, Relay):
            self._relay = taken
            taken.begin(request)
        else:
            self._respond(request, taken)

    def _malformed(self, event: Malformed) -> None:
        # The codec reads nothing more. Half an answer cannot be taken back; a whole one explains.
        if event.stream_id == self._answered_stream:
            return
        self._refused = True
        self._cut = self._begun
        relay = self._relay
        method = b"-" if relay is None else relay.request.method
        if relay is not None:
            relay.client_event(event)  # the app must not take the request for whole
        if not self._cut:
            request = Request(event.stream_id, method, b"", self._dispatcher.sni, [])
            self._respond(request, pages.malformed(event.status, event.reason))

    # -- answers ------------------------------------------------------------------------------------------------------

    def _respond(self, request: Request, page: pages.LocalResponse) -> None:
        """Answer a request that reaches no app."""
        self._answering = None
        self._write_page(request, page)
        self._begun = False
        self._answered_stream = request.stream_id
        self._dispatcher.record_refused(request, page.status)

    def _write_page(self, request: Request, page: pages.LocalResponse) -> None:
        stream = request.stream_id
        bodiless = request.method == b"HEAD"
        self.send(Response(stream, page.status, list(page.headers), b"", 0 if bodiless else len(page.body)))
        if page.body and not bodiless:
            self.send(Data(stream, page.body))
        self.send(EndOfMessage(stream))

    def answer(self, relay: Relay, answer: SendErrorPage) -> None:
        """Answer in the app's stead (RelayClient)."""
        self._write_page(relay.request, self._dispatcher.failure(relay, answer))

    # -- RelayClient --------------------------------------------------------------------------------------------------

    def send(self, event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset) -> None:
        """Encode an event for the client."""
        if type(event) is Response:
            self._before_response(event)
        elif type(event) is Data:
            if self._suspect is not None and self._suspect.add(event.data):
                self._tell_of_refusal()
        elif type(event) is EndOfMessage:
            if self._suspect is not None:
                self._tell_of_refusal()
        elif type(event) is Reset:
            self._cut = True
        if data := self._codec.send(event):
            self._out.append(data)

    def send_whole(self, head: Response, body: Data) -> None:
        """Encode an answer that is complete."""
        self._before_response(head)
        if self._suspect is not None:
            self._suspect.add(body.data)
            self._tell_of_refusal()
        self._out.append(self._codec.send_whole(head, body))

    def _before_response(self, response: Response) -> None:
        self._begun = True
        if not self._codec.request_complete:
            # An answer before the end of the request: the rest of the body may never be read (RFC 9112 9.3).
            self._codec.close_after_response()
        if response.status >= 400 and self._relay is not None:
            self._suspect = self._dispatcher.watch(response)

    def _tell_of_refusal(self) -> None:
        suspect, self._suspect = self._suspect, None
        if suspect is not None and self._answering is not None:
            self._dispatcher.tell_of_refusal(suspect, self._answering.authority)

    def flush(self) -> None:
        """Send what was encoded, in one write; then see whether the connection ends here."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            if not self._closed:
                self._transport.write(data)
        if self._cut:
            self._cut_off()
        elif self._over and not self._handling:
            self._over = False
            if self._held_back or not self.writable or not self._codec.rest():
                self._proceed()
            else:
                self._head_started = False
                self._set_deadline(self._limits.keep_alive_s)

    def finished(self, relay: Relay, *, complete: bool) -> None:
        """The relay is done; the next request is taken up when the stack is unwound."""
        self._relay = None
        self._answering = None
        self._suspect = None
        self._begun = False
        self._dispatcher.record(relay, complete=complete)
        if complete:
            self._over = True
            self._answered_stream = relay.request.stream_id
        elif not self._cut and not self._refused:
            self._close()

    def _proceed(self) -> None:
        """After an answer: take up what the client sent ahead, or start the keep-alive clock."""
        if self._held_back:
            self._held_back = False
            self._transport.resume_reading()
        self._handle([])

    def pause_request(self) -> None:
        """Stop reading the request's body."""
        if not self._closed:
            self._transport.pause_reading()

    def resume_request(self) -> None:
        """Read the request's body again."""
        if not self._closed:
            self._transport.resume_reading()

    def open_tunnel(self, relay: Relay, upstream: UpstreamHandle) -> None:
        """Join the transports; this object keeps only the bookkeeping."""
        self.flush()
        self._deadline = None
        idle_s, grace_s = self._limits.tunnel_idle_timeout_s, self._limits.half_close_grace_s
        tunnel = self._tunnel = Tunnel(self._transport, upstream.transport, idle_s, grace_s)
        from_client, from_upstream = self._codec.start_tunnel(), upstream.start_tunnel()

        def closed() -> None:
            self.finished(relay, complete=True)
            self.connection_lost(None)

        tunnel.start(from_client, from_upstream, closed)

    # -- time ---------------------------------------------------------------------------------------------------------

    def wake_at(self, when: float) -> None:
        """Make sure that `_tick` runs at `when`; an earlier timer finds out by itself."""
        if self._timer is None or when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = self.loop.call_at(when, self._tick)

    def _set_deadline(self, after_s: float) -> None:
        self._deadline = self.loop.time() + after_s
        self.wake_at(self._deadline)

    def _watch_head(self) -> None:
        if self._closed or self._lingering:
            return
        if self._codec.in_head:
            if self._deadline is None or not self._head_started:
                self._head_started = True
                self._set_deadline(self._limits.head_timeout_s)
        elif self._deadline is None:
            self._head_started = False
            self._set_deadline(self._limits.keep_alive_s)

    def _tick(self) -> None:
        self._timer = None
        now = self.loop.time() + 0.001
        try:
            if self._deadline is not None and self._deadline <= now:
                self._deadline = None
                self._timed_out()
            elif self._relay is not None:
                self._relay.tick(now)
        except Exception as error:  # noqa: BLE001
            self.fault(error)
        deadlines = [self._deadline, None if self._relay is None else self._relay.next_deadline]
        if (soonest := min((d for d in deadlines if d is not None), default=None)) is not None and not self._closed:
            self.wake_at(max(soonest, now))

    def _timed_out(self) -> None:
        if self._unsent is not None:
            self._watch_last_bytes()
        elif self._lingering or not self._codec.in_head:
            self._close()
        else:
            limit = self._limits.head_timeout_s
            reason = f"The request's head was not complete after {limit:g} s."
            self._handle([self._codec.refuse_head(408, reason)])

    # -- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what runs, take nothing new."""
        if self._tunnel is not None:
            self._tunnel.close()
        elif self._relay is None and self._answering is None:
            self._close()
        else:
            self._codec.close_after_response()

    @property
    def answer_position(self) -> int | None:
        """How many bytes of an answer are on their way; None before it begins and while the request still comes."""
        relay = self._relay
        if relay is None or not self._begun or not self._codec.request_complete:
            return None
        return relay.received - self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Close at once."""
        if self._tunnel is not None:
            self._tunnel.close(abort=True)
        elif not self._closed:
            self._transport.abort()

    def _may_go_on(self) -> bool:
        """Between two requests: True when the next one may be parsed, else begin to close."""
        if not self._codec.closing:
            return True
        if self._codec.request_complete:
            self._close()
        else:
            self._linger()
        return False

    def _linger(self) -> None:
        # RFC 9112 9.6: close while the client still sends, and TCP's reset may destroy the answer on its way.
        self._lingering = self._limits.max_drain_bytes
        if not self._lingering:
            self._close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        self._linger_until = self.loop.time() + _LINGER_FACTOR * self._limits.linger_s
        self._set_deadline(self._limits.linger_s)

    def _linger_on(self, size: int) -> None:
        self._lingering -= size
        if self._lingering <= 0:
            self._lingering = 1
            self._close()
        else:  # a client that sends its whole upload before it reads may be slow about it
            self._deadline = min(self.loop.time() + self._limits.linger_s, self._linger_until)

    def _close(self) -> None:
        if not self._closed:
            self._transport.close()
            self._watch_last_bytes()

    def _cut_off(self) -> None:
        if self._closed:
            return
        if isinstance(self._transport, TlsTransport):
            self._transport.cut()
            self._watch_last_bytes()
        else:
            self._transport.abort()

    def _watch_last_bytes(self) -> None:
        """Let a closing transport deliver what it holds as long as the client reads any of it."""
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        if before is None or self._unsent < before:
            self._set_deadline(self._limits.keep_alive_s)
        elif self._deadline is None:  # its time is over, and not a byte went
            self._transport.abort()

    def fault(self, error: Exception) -> None:
        """End this connection, and no other, for a bug of ours (RelayClient)."""
        self._service.observer.fault(self._dispatcher.id, error)
        self.abort()
