"""One client connection of HTTP/1: bytes to events, a relay per request, responses in order, and an orderly end.

Owns the client's codec, its output buffer, its deadlines and how it closes. Refuses what `routing.select` refuses and
sends the page itself. What the connection may do next is its phase (`http.h1.phases`). One write per burst; no task; an
exception in here ends this connection and no other. Longer than others: every method is a step of that one machine, on
the same few fields, and a step that is called elsewhere costs each request its call.
"""

from __future__ import annotations

import asyncio
from typing import cast

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
from devtls.http.h1 import phases
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.phases import ConnectionEvent, advance
from devtls.net.client.dispatch import RequestDispatcher
from devtls.net.client.service import ProxyService
from devtls.net.read_turns import PacedReading, read_turns_of
from devtls.net.relay import Relay
from devtls.net.tls.client_auth import Claim
from devtls.net.tls.layer import TlsTransport
from devtls.net.tunnel import Tunnel
from devtls.net.upstream.handle import UpstreamHandle

# Globals of this module: an attribute of a module or of an Enum costs thrice as much, a dozen times per request.
_IDLE = phases.IDLE
_WAITING = phases.WAITING
_RESPONDED = phases.RESPONDED
_TRUNCATED = phases.TRUNCATED
_LINGERING = phases.LINGERING
_TUNNEL = phases.TUNNEL
_AFTER_REQUEST = phases.column(ConnectionEvent.REQUEST)
_AFTER_RESPONSE_STARTED = phases.column(ConnectionEvent.RESPONSE_STARTED)
_AFTER_RESPONSE_ENDED = phases.column(ConnectionEvent.RESPONSE_ENDED)
_AT_REST = phases.STEPS[_RESPONDED][ConnectionEvent.NEXT_REQUEST]

_HOLDS_BACK = phases.BUSY | {phases.STALLED}

_PIPELINE_BYTES = 65536
"""What a client may send ahead of its response before we stop reading."""
_REFUSALS_PER_TURN = 16  # pipelined ones; each costs half a millisecond
_YIELD_S = 1.0
_LINGER_FACTOR = 15
"""`linger_s` is for silence; a client that goes on sending gets so many times as long (30 s), and no more."""


class H1ClientConnection(asyncio.Protocol):
    """A client inside TLS; `sni` and `port` as in RequestDispatcher."""

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
        self._phase = phases.IDLE
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._lingering = 0
        self._linger_until = 0.0
        self._tunnel: Tunnel | None = None
        self._handling = False
        """`_handle` is on the stack: it takes up the next request itself."""
        self._held_back = False
        """Reading is paused: the client has sent too much ahead of its response."""
        self._refusals = 0
        """How many requests were answered without an app since the last turn that ended for them."""
        self._unsent: int | None = None
        """What the closing transport still held when it was last looked at."""
        self._opened_at = self.loop.time()

    def __repr__(self) -> str:
        request = "" if self._relay is None else f", {self._relay!r}"
        stalled = "" if self.writable else ", client stalled"
        name, phase = self._dispatcher.sni.decode() or "-", self._phase.name.lower()
        return f"<H1ClientConnection {self.id} {name}: {phase}{request}{stalled}>"

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

    @property
    def idle_since(self) -> float | None:
        """When it began to wait for the head of a request; None while one runs, or a response is on its way."""
        unread = self._transport.get_write_buffer_size()
        if self._deadline is None or self._phase not in (phases.IDLE, phases.HEAD) or unread:
            return None
        waits_s = self._limits.keep_alive_s if self._phase is phases.IDLE else self._limits.head_timeout_s
        return max(self._deadline - waits_s, self._opened_at)

    def yield_place(self) -> None:
        """Close an idle connection: a new client needs its place."""
        self._close()
        # What is unread by now is a few bytes of TLS.
        self._set_deadline(_YIELD_S)

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head has its time."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(self._limits.max_buffer_bytes)
        service = self._service
        # Before the first byte: a stop or a new policy must find connections that have said nothing.
        service.connections.add(self)
        self._dispatcher.connected(transport.get_extra_info("peername"), transport.get_extra_info("ssl_object"))
        self._set_deadline(self._limits.head_timeout_s)

    def data_received(self, data: bytes) -> None:
        """Take plaintext."""
        try:
            if self._phase >= _LINGERING:
                # In later phases (closing, closed) bytes are dropped: the socket may deliver one more read.
                if self._phase is _LINGERING:
                    self._linger_on(len(data))
                return
            self._handle(self._codec.receive_data(data))
        except Exception as error:  # noqa: BLE001 - no input ends the process; the observer logs it with our id
            self.fault(error)

    def eof_received(self) -> bool:
        """The client closed its side: cancel its exchange."""
        try:
            if self._phase is _LINGERING:
                self._close()
                return False
            # A client that half-closes is taken for gone: from here it looks like one that closed altogether.
            for event in self._codec.receive_eof():
                self._event(event)
        except Exception as error:  # noqa: BLE001
            self.fault(error)
        self._close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: free what it used."""
        if self._phase is not phases.CLOSED:
            self._advance(ConnectionEvent.LOST)
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
        # A pipelined request waits until the responses before it are read.
        elif self._phase is phases.STALLED:
            self._advance(ConnectionEvent.CLIENT_RESUMED)
            try:
                self._proceed()
            except Exception as error:  # noqa: BLE001
                self.fault(error)

    # -- events -------------------------------------------------------------------------------------------------------

    def _advance(self, event: ConnectionEvent) -> None:
        self._phase = advance(self._phase, event)

    def _handle(self, events: list[ClientEvent]) -> None:
        """Work through events, then through the requests that were sent ahead."""
        self._handling = True
        while True:
            if len(events) == 2 and type(first := events[0]) is Request and first.body_length == 0:
                self._begin(first)  # the end that follows says nothing new: 0.6 us of a request's 26 saved
            else:
                for event in events:
                    self._event(event)
            # Once per burst: head and body of a small upload leave in one write.
            if self._relay is not None:
                self._relay.flush_upstream()
            # A truncated response has to be cut even when nothing is left to write.
            if self._out or self._phase is _TRUNCATED:
                self.flush()
            if self._phase is not _RESPONDED:
                break
            if not self.writable:
                self._advance(ConnectionEvent.CLIENT_STALLED)
                break
            if not self._may_go_on():
                break
            if self._refusals >= _REFUSALS_PER_TURN:
                self._refusals = 0
                PacedReading(self._transport, read_turns_of(self.loop), self._next_turn).end_turn()
                break
            self._advance(ConnectionEvent.NEXT_REQUEST)
            events = self._codec.next_request()
            if not events:
                break
        self._handling = False
        phase = self._phase
        # Only while a response is due: between requests the head's own limit bounds the buffer.
        if phase in _HOLDS_BACK and self._codec.buffered > _PIPELINE_BYTES:
            self._held_back = True
            self._transport.pause_reading()
        if phase is not _WAITING:
            self._watch_head()

    def _next_turn(self) -> None:
        if self._phase is _RESPONDED:
            try:
                self._proceed()
            except Exception as error:  # noqa: BLE001
                self.fault(error)

    def _event(self, event: ClientEvent) -> None:
        if type(event) is Request:
            self._begin(event)
        elif self._relay is not None:
            self._relay.client_event(event)  # a malformed body is its exchange's business
        elif isinstance(event, Malformed) and self._phase in (phases.IDLE, phases.HEAD):
            self._malformed(event)

    def _begin(self, request: Request) -> None:
        self._deadline = None
        self._phase = _AFTER_REQUEST[self._phase] or advance(self._phase, ConnectionEvent.REQUEST)
        # Taken all the same: to refuse it would lose a request that was sent before the client could know.
        if self._service.draining:
            self._codec.close_after_response()
        taken = self._dispatcher.dispatch(self, request)
        if isinstance(taken, Relay):
            self._relay = taken
            taken.begin(request)
        else:
            self._respond(request, taken)

    def _malformed(self, event: Malformed) -> None:
        """Answer bytes that are no request; the codec reads nothing more."""
        self._deadline = None
        self._advance(ConnectionEvent.MALFORMED)
        # Its method and target are unknown; the record needs a request nevertheless.
        request = Request(event.stream_id, b"-", b"", self._dispatcher.sni, [])
        self._respond(request, pages.malformed(event.status, event.reason), event)

    def _respond(self, request: Request, page: pages.LocalResponse, malformed: Malformed | None = None) -> None:
        """Answer a request that reaches no app."""
        self._refusals += 1
        for event in self._dispatcher.refuse(request, page, malformed):
            self.send(event)
        self._advance(ConnectionEvent.RESPONSE_ENDED)

    # -- RelayClient --------------------------------------------------------------------------------------------------

    def send(self, event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset) -> None:
        """Encode an event for the client."""
        if type(event) is Response:
            self._begin_response()
        elif type(event) is Reset:
            self._advance(ConnectionEvent.RESPONSE_TRUNCATED)
        if data := self._codec.send(event):
            self._out.append(data)

    def send_whole(self, head: Response, body: Data) -> None:
        """Encode a response that is complete."""
        self._begin_response()
        self._out.append(self._codec.send_whole(head, body))

    def _begin_response(self) -> None:
        phase = self._phase
        self._phase = _AFTER_RESPONSE_STARTED[phase] or advance(phase, ConnectionEvent.RESPONSE_STARTED)
        if not self._codec.request_complete:
            # A response before the end of the request: the rest of the body may never be read (RFC 9112 9.3).
            self._codec.close_after_response()

    def flush(self) -> None:
        """Send what was encoded, in one write; then see whether the connection ends here."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            # The app may answer after the client has gone.
            if self._phase is not phases.CLOSED:
                self._transport.write(data)
        phase = self._phase
        if phase is _RESPONDED and not self._handling:
            # To rest in one step, in the place of `_handle`, saves 0.9 us of a request's 26.
            if self._held_back or not self.writable or not self._codec.rest():
                self._proceed()
            else:
                self._phase = _AT_REST
                self._set_deadline(self._limits.keep_alive_s)
        elif phase is _TRUNCATED:
            self._cut_off()

    def finished(self, relay: Relay, *, complete: bool) -> None:
        """The relay is done; the next request is taken up when the stack is unwound."""
        self._relay = None
        if complete:
            if (phase := self._phase) is not _TUNNEL:
                self._phase = _AFTER_RESPONSE_ENDED[phase] or advance(phase, ConnectionEvent.RESPONSE_ENDED)
        # A truncated response is closed by `flush`, after its last bytes.
        elif self._phase is not _TRUNCATED:
            self._close()

    def _proceed(self) -> None:
        """Take up what the client sent ahead, or close, or start the keep-alive clock."""
        if self._held_back:
            self._held_back = False
            self._transport.resume_reading()
        self._handle([])

    def pause_request(self) -> None:
        """Stop reading the request's body."""
        if self._phase is not phases.CLOSED:
            self._transport.pause_reading()

    def resume_request(self) -> None:
        """Read the request's body again."""
        if self._phase is not phases.CLOSED:
            self._transport.resume_reading()

    def open_tunnel(self, relay: Relay, upstream: UpstreamHandle) -> None:
        """Join the transports; this object keeps only the bookkeeping."""
        # The 101 must be out before the tunnel writes to the same transport.
        self.flush()
        self._advance(ConnectionEvent.SWITCHED)
        self._deadline = None
        idle_s, grace_s = self._limits.tunnel_idle_timeout_s, self._limits.half_close_grace_s
        # What either side sent behind its head is in the codecs: it belongs to the tunnel.
        tunnel = self._tunnel = Tunnel(self._transport, upstream.transport, idle_s, grace_s, relay.recorder)
        from_client, from_upstream = self._codec.start_tunnel(), upstream.start_tunnel()

        def closed() -> None:
            relay.tunnel_closed()
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
        phase = self._phase
        if phase is _IDLE and self._codec.in_head:
            self._advance(ConnectionEvent.HEAD_STARTED)
            self._set_deadline(self._limits.head_timeout_s)
        elif phase in (_IDLE, phases.STALLED) and self._deadline is None:
            self._set_deadline(self._limits.keep_alive_s)

    def _tick(self) -> None:
        self._timer = None
        # Timers fire up to the clock's resolution early; without the millisecond a deadline would be missed by it.
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
        if (soonest := min((d for d in deadlines if d is not None), default=None)) is not None and (
            self._phase is not phases.CLOSED
        ):
            # Never in the past: the loop would spin.
            self.wake_at(max(soonest, now))

    def _timed_out(self) -> None:
        if self._phase is phases.CLOSING:
            self._watch_last_bytes()
        # RFC 9112 9.5: an idle connection may be closed at any time; only a begun head earns a 408.
        elif self._phase is not phases.HEAD:
            self._close()
        else:
            limit = self._limits.head_timeout_s
            reason = f"The request's head was not complete after {limit:g} s."
            self._handle([self._codec.refuse_head(408, reason)])

    # -- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what runs, take nothing new."""
        if self._tunnel is not None:  # it has no end of its own to wait for
            self._tunnel.close()
        elif self._phase not in phases.BUSY:
            self._close()
        else:
            self._codec.close_after_response()

    @property
    def response_position(self) -> int | None:
        """How many bytes of a response are on their way; None before it begins and while the request still comes."""
        relay = self._relay
        if relay is None or self._phase is not phases.RESPONDING or not self._codec.request_complete:
            return None
        # Without what the kernel has not taken: only what moves counts as progress.
        return relay.received - self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Close at once."""
        if self._tunnel is not None:
            self._tunnel.close(abort=True)
        elif self._phase is not phases.CLOSED:
            self._transport.abort()

    def _may_go_on(self) -> bool:
        """Between two requests: True when the next one may be parsed, else begin to close."""
        if not self._codec.closing:
            return True
        # Nothing of the client's is unread: closing cannot cause a reset.
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
        self._advance(ConnectionEvent.LINGER)
        self._transport.write_eof()
        # It may be paused for the body of the exchange that was cut short.
        self._transport.resume_reading()
        self._linger_until = self.loop.time() + _LINGER_FACTOR * self._limits.linger_s
        self._set_deadline(self._limits.linger_s)

    def _linger_on(self, size: int) -> None:
        self._lingering -= size
        if self._lingering <= 0:
            self._close()
        else:  # a client that sends its whole upload before it reads may be slow about it
            self._deadline = min(self.loop.time() + self._limits.linger_s, self._linger_until)

    def _close(self) -> None:
        if self._phase < phases.CLOSING:
            self._advance(ConnectionEvent.CLOSE)
            self._transport.close()
            self._watch_last_bytes()

    def _cut_off(self) -> None:
        self._advance(ConnectionEvent.CLOSE)
        if isinstance(self._transport, TlsTransport):
            # Without close_notify; in plain TCP only a reset shows that a close-delimited body is not whole.
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
