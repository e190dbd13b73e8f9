"""One client connection of HTTP/2: bytes to events, a stream per request, one write for what a turn of the loop made.

Owns the codec, the socket and the clock of the connection. Refuses nothing by itself: the codec checks the peer,
`dispatch` the requests. Answers of streams that are served in the same turn leave in one record: to encrypt and send
each by itself would cost half of what a request costs.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any, cast

from devtls.http.answers import pages
from devtls.http.events import ClientEvent, Malformed, Request, Reset
from devtls.http.h2.client import H2ClientCodec
from devtls.net.client.dispatch import RequestDispatcher
from devtls.net.client.h2_stream import H2ClientStream, h2_limits
from devtls.net.client.service import ProxyService
from devtls.net.outbox import outbox_of
from devtls.net.read_turns import PacedReading, read_turns_of
from devtls.net.tls.client_auth import Claim

_LAST_CALL_S = 0.05
"""Between the two GOAWAYs: what a client on this machine has sent before it read the first is here by then."""
_LOOK_S = 1.0
_READY_BYTES = 262_144
"""What may be ready for a client that does not read before it is not read any more either."""
_OWN_BYTES = 8192
"""What a client sends of its own accord while it reads the last answers: WINDOW_UPDATE, acknowledgements."""


class H2ClientConnection(asyncio.Protocol):
    """A client inside TLS that chose `h2`; `sni` and `port` as in RequestDispatcher."""

    http2 = True

    def __init__(self, service: ProxyService, sni: str | None, port: int | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self._outbox = outbox_of(self.loop)
        self.dispatcher = RequestDispatcher(service, sni, port)
        self._service = service
        self._limits = service.limits
        self._codec = H2ClientCodec(h2_limits(service.limits), os.urandom(16))
        self._transport: asyncio.Transport
        self._streams: dict[int, H2ClientStream] = {}
        self._writable = True
        self._handling = False
        self._flush_due = False
        self._closed = False
        self._draining = False
        self._idle_until: float | None = None
        self._rests_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._stuck_bytes: int | None = None
        self._stuck_since = 0.0
        self._linger_bytes = 0
        self._linger_timer: asyncio.TimerHandle | None = None
        self._met = False

    @property
    def idle_since(self) -> float | None:
        """When the last stream ended, or the connection began; None while there are streams, or bytes on their way."""
        rests = self._idle_until is not None and not (self._closed or self._codec.open_streams)
        return self._rests_since if rests and not self._transport.get_write_buffer_size() else None

    def yield_place(self) -> None:
        """Close an idle connection: a new client needs its place."""
        self._say_goodbye()
        self._close()

    @property
    def id(self) -> int:
        """The number under which the observer hears of this connection."""
        return self.dispatcher.id

    @property
    def outdated(self) -> bool:
        """Whether the client would have to show another certificate today."""
        return self.dispatcher.outdated

    @property
    def claim(self) -> Claim:
        """What the client has shown, and what it would have to show today."""
        return self.dispatcher.claim

    def __repr__(self) -> str:
        state = "closed" if self._closed else "draining" if self._draining else "open"
        streams = f"{len(self._streams)} stream{'' if len(self._streams) == 1 else 's'}"
        stalled = "" if self._writable else ", client stalled"
        return f"<H2ClientConnection {self.id} {self.dispatcher.sni.decode() or '-'}: {state}, {streams}{stalled}>"

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: our settings go first."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(self._limits.max_buffer_bytes)
        self._reading = PacedReading(self._transport, read_turns_of(self.loop), partial(self.data_received, b""))
        self._service.connections.add(self)
        self.dispatcher.connected(transport.get_extra_info("peername"), transport.get_extra_info("ssl_object"))
        self._rest(self._limits.head_timeout_s)
        # RFC 9113 3.4: the server's preface is a SETTINGS frame, and waits for nothing.
        self.flush()
        # It was accepted before the listener closed.
        if self._service.draining:
            self.drain()

    def data_received(self, data: bytes) -> None:
        """Take plaintext."""
        if self._closed:  # read and dropped, see `_linger`
            self._linger_on(len(data))
            return
        try:
            self._handle(self._codec.receive_data(data, self.loop.time()))
            if self._codec.has_more:
                self._reading.end_turn()
            if not self._met and not self._codec.awaits_preface:
                self._met = True
                if self._idle_until is not None:  # browsers connect before they have anything to ask
                    self._rest(self._limits.keep_alive_s)
        except Exception as error:  # noqa: BLE001 - no input ends the process; the observer logs it with our id
            self.fault(error)

    def eof_received(self) -> bool:
        """The client closed its side: cancel its exchanges."""
        self._lose_streams("The client closed the connection.")
        self._close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: free what it used."""
        self._closed = True
        self._service.connections.discard(self)
        for timer in (self._timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._linger_timer = None
        self._lose_streams("The client's connection was lost.")

    def _lose_streams(self, reason: str) -> None:
        # A copy: a stream that ends takes itself out.
        for stream in list(self._streams.values()):
            try:
                stream.lose(reason)
            except Exception as error:  # noqa: BLE001 - the others have to be told all the same
                self._service.observer.fault(self.dispatcher.id, error)
        self._streams.clear()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._writable = False
        # The codec goes on queueing, so that each stream's own limit tells its app.
        self._codec.paused = True
        self._stuck_bytes = None
        self.wake_at(self.loop.time() + _LOOK_S)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable = True
        self._codec.paused = False
        self._reading.go_on()
        self.flush_soon()

    # -- events -------------------------------------------------------------------------------------------------------

    def _handle(self, events: list[ClientEvent]) -> None:
        self._handling = True
        touched: list[H2ClientStream] = []
        for event in events:
            if type(event) is Request:
                stream = self._streams[event.stream_id] = H2ClientStream(self, self._codec, event.stream_id)
                self._idle_until = None
                stream.begin(event)
                touched.append(stream)
            elif (known := self._streams.get(event.stream_id)) is not None:
                known.client_event(event)
                # Cheap and enough: events of one stream mostly come in a row, a second flush does nothing.
                if touched[-1:] != [known]:
                    touched.append(known)
            else:
                self._other_event(event)
        for stream in touched:
            stream.flush_upstream()
        self._handling = False
        self.flush()

    def _other_event(self, event: ClientEvent) -> None:
        """Take an event that belongs to no exchange."""
        if isinstance(event, Malformed):
            # A connection error: every exchange ends with it (RFC 9113 5.4.1).
            if event.stream_id == 0:
                self._lose_streams(event.reason)
                return
            # RFC 9113 8.1.1: a malformed request may be answered before its stream is reset.
            stream = H2ClientStream(self, self._codec, event.stream_id)
            method = self._codec.method_of(event.stream_id) or b"-"
            request = Request(event.stream_id, method, b"", self.dispatcher.sni, [], 0, b"2.0")
            stream.respond(request, pages.malformed(event.status, event.reason), event)
        # A stream whose response is complete but not yet taken: no exchange knows it any more.
        elif isinstance(event, Reset):
            self._codec.release(event.stream_id)

    # -- what streams ask ---------------------------------------------------------------------------------------------

    def stream_over(self, stream: H2ClientStream) -> None:
        """An exchange has ended; its last bytes may still be queued."""
        self._streams.pop(stream.id, None)
        if not self._streams:
            self._rest(self._limits.keep_alive_s)

    def stream_fault(self, stream: H2ClientStream, error: Exception) -> None:
        """End one stream for a bug of ours."""
        self._service.observer.fault(self.dispatcher.id, error)
        stream.reset()
        stream.lose("devtls failed.")  # the app's side ends, too, and the request is recorded
        self.stream_over(stream)

    def extra_info(self, name: str) -> Any:
        """Return what the transport says about itself."""
        return self._transport.get_extra_info(name)

    def flush_soon(self) -> None:
        """Send what is ready, with what other streams make in this turn."""
        if not self._handling and not self._flush_due:
            self._flush_due = True
            self._outbox.add(self)

    def send_out(self) -> None:
        """Send what is ready (Sender)."""
        self._flush_due = False
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001
            self.fault(error)

    def flush(self) -> None:
        """Send what is ready, as far as the client takes it."""
        codec = self._codec
        if self._closed:
            return
        while self._writable and (data := codec.data_to_send()):
            self._transport.write(data)
        if codec.drained:
            self._tell_drained()
        if codec.waits:
            self.wake_at(self.loop.time() + _LOOK_S)
        # PING and SETTINGS make us answer: a client that never reads could fill memory with acknowledgements.
        if not self._writable and codec.ready_bytes > _READY_BYTES:
            self._reading.hold()
        if codec.broken or (self._draining and not codec.open_streams and not self._streams):
            self._end()

    def _tell_drained(self) -> None:
        drained, self._codec.drained = self._codec.drained, []
        for stream_id in drained:
            if (stream := self._streams.get(stream_id)) is not None:
                stream.drained()

    # -- time ---------------------------------------------------------------------------------------------------------

    def wake_at(self, when: float) -> None:
        """Make sure that `_tick` runs at `when`; an earlier timer finds out by itself."""
        if self._timer is None or when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = self.loop.call_at(when, self._tick)

    def _rest(self, for_s: float) -> None:
        self._rests_since = self.loop.time()
        self._idle_until = self._rests_since + for_s
        self.wake_at(self._idle_until)

    def _tick(self) -> None:
        self._timer = None
        if self._closed:
            return
        # Timers fire up to the clock's resolution early.
        now = self.loop.time() + 0.001
        try:
            if self._idle_until is not None and self._idle_until <= now:
                if not self._codec.open_streams:
                    self._idle_until = None
                    self._end()
                    return
                self._idle_until = now + self._limits.keep_alive_s  # the client has yet to take the rest of an answer
            self._handle(self._codec.tick(now))
            for stream in list(self._streams.values()):
                if (relay := stream.relay) is not None and (due := relay.next_deadline) is not None and due <= now:
                    relay.tick(now)
            if not self._writable:
                self._watch_stuck(now)
        except Exception as error:  # noqa: BLE001
            self.fault(error)
            return
        self._wake_for_the_next(now)

    def _wake_for_the_next(self, now: float) -> None:
        if self._closed:
            return
        relays = [stream.relay for stream in self._streams.values() if stream.relay is not None]
        deadlines = [due for relay in relays if (due := relay.next_deadline) is not None]
        if self._idle_until is not None:
            deadlines.append(self._idle_until)
        if self._codec.waits or not self._writable:
            deadlines.append(now + _LOOK_S)
        if deadlines:
            self.wake_at(max(min(deadlines), now))

    def _watch_stuck(self, now: float) -> None:
        """Let go of a client that takes not a byte for as long as a body may stand still."""
        # Any change is progress: the buffer shrinks only when the kernel takes something.
        size = self._transport.get_write_buffer_size()
        if size != self._stuck_bytes:
            self._stuck_bytes, self._stuck_since = size, now
        elif now - self._stuck_since >= self._limits.exchange.body_idle_timeout_s:
            self.abort()

    # -- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what runs, take nothing new (RFC 9113 6.8: in two steps, so that no request is lost)."""
        if self._draining or self._closed:
            return
        for stream in list(self._streams.values()):
            stream.drain()
        # GOAWAY with the highest id first: requests that cross it on the wire are still served.
        self._codec.announce_end()
        self.flush()
        self.loop.call_later(_LAST_CALL_S, self._last_call)

    def _last_call(self) -> None:
        if not self._closed:
            # Only now: until the second GOAWAY new streams are still taken.
            self._draining = True
            self._codec.end()
            self.flush()

    @property
    def response_position(self) -> int | None:
        """How many bytes of responses are on their way; None while one has not begun."""
        if any(not stream.begun for stream in self._streams.values()):
            return None
        return self._codec.bytes_sent - self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _end(self) -> None:
        """Say goodbye, and close."""
        self._say_goodbye()
        self._lose_streams("The connection has ended.")
        if not self._closed:
            self._linger()

    def _say_goodbye(self) -> None:
        self._codec.end()
        if data := self._codec.data_to_send():  # be the transport full: an answer may stand before it
            self._transport.write(data)

    def _linger(self) -> None:
        # Close while the client still sends, be it WINDOW_UPDATE, and TCP's reset may destroy what is on its way to it.
        self._closed = True
        self._linger_bytes = max(self._limits.max_drain_bytes, _OWN_BYTES)
        self._transport.write_eof()
        self._transport.resume_reading()
        self._wait_for_the_end(self._transport.get_write_buffer_size())

    def _linger_on(self, size: int) -> None:
        self._linger_bytes -= size
        if self._linger_bytes < 0:
            self._transport.abort()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._transport.close()
            self._wait_for_the_end(self._transport.get_write_buffer_size())

    def _wait_for_the_end(self, size: int) -> None:
        # `linger_s` is for what the client may still send, and may be 0; what we have sent it has to be given time for.
        after_s = max(self._limits.linger_s, _LOOK_S) if size else self._limits.linger_s
        self._linger_timer = self.loop.call_later(after_s, self._linger_look, size)

    def _linger_look(self, before: int) -> None:
        size = self._transport.get_write_buffer_size()
        if size and size != before:
            self._wait_for_the_end(size)
        else:
            self._transport.abort()

    def fault(self, error: Exception) -> None:
        """End this connection, and no other, for a bug of ours."""
        self._service.observer.fault(self.dispatcher.id, error)
        self.abort()
