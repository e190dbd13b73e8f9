"""An HTTP/1 connection to an app: its codec, its socket, and the relay that uses it.

Owns the bytes between the app and its client codec. While an exchange uses it, every event goes to that exchange's
relay; while it is idle, anything that arrives (data, an end) makes it worthless and the pool is told.

An HTTP/2 client need not say how long its body is, and many an app cannot read chunks (Python's http.server): the head
of such a request is held back for a moment, and when the whole body is here by then, it goes with its Content-Length.
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable
from time import perf_counter
from typing import cast

import msgspec

from devtls.http.events import ConnectionClosed, Data, EndOfMessage, Request, Trailers
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.upstream import H1UpstreamCodec
from devtls.net.outbox import outbox_of
from devtls.net.read_turns import FULL_READ_BYTES, SHARE_S, PacedReading, read_turns_of
from devtls.net.upstream.handle import UpstreamUser
from devtls.routing import Upstream

_MAX_PUT_OFF = 16  # writes in a row
_LARGE_BYTES = 65536
_PIECE_BYTES = 8192
_NOTHING = memoryview(b"")
_HTTP_2 = b"2.0"
_HOLD_S = 0.01
"""How long a head waits for its body: Go's and Node's clients send them apart, some 50 us on this machine."""


class H1UpstreamConnection(asyncio.Protocol):
    """A connection to `upstream`; `discarded` is called once, when it can no longer serve.

    `max_buffer_bytes` may wait for an app that does not read; then its user is told.
    """

    __slots__ = (
        "_buffer",
        "_discarded",
        "_gone",
        "_head_unsent",
        "_held",
        "_hold_timer",
        "_is_costly",
        "_is_due",
        "_is_put_off",
        "_is_read_again",
        "_lost",
        "_max_buffer_bytes",
        "_outbox",
        "_put_off",
        "_reading",
        "_rest",
        "_stream_id",
        "_uploading",
        "closed",
        "codec",
        "idle_since",
        "transport",
        "upstream",
        "user",
        "writable",
    )

    def __init__(
        self,
        upstream: Upstream,
        limits: HeadLimits,
        discarded: Callable[[H1UpstreamConnection], None],
        max_buffer_bytes: int = 256 * 1024,
    ) -> None:
        self.upstream = upstream
        self.codec = H1UpstreamCodec(limits)
        self.user: UpstreamUser | None = None
        self.idle_since = 0.0
        self.closed = False
        self.writable = True
        self.transport: asyncio.Transport
        self._buffer: list[bytes] = []
        self._reading: PacedReading
        self._is_costly = False
        self._rest = _NOTHING
        """What a turn has left of a read."""
        self._stream_id = 0
        self._uploading = False
        self._put_off = 0
        self._gone = False
        self._is_due = False
        self._head_unsent = False
        self._held: list[Request | Data | Trailers | EndOfMessage] = []
        """A request whose length is not yet known, and what has come of its body."""
        self._hold_timer: asyncio.TimerHandle | None = None
        self._is_read_again = False
        self._outbox = outbox_of(asyncio.get_running_loop())
        self._lost: Callable[[], None] | None = None
        self._is_put_off = False
        self._discarded = discarded
        self._max_buffer_bytes = max_buffer_bytes

    def __repr__(self) -> str:
        if self.closed:
            state = "closed"
        elif self.user is not None:
            state = "in use" if self._response_started else "waiting for a response"
        else:
            state = "idle"
        stalled = "" if self.writable else ", app stalled"
        return f"<{type(self).__name__} {self.upstream.label}: {state}{stalled}>"

    @property
    def _response_started(self) -> bool:
        """Whether the app has begun to answer; while a request is held back, the codec tells of the one before."""
        return self.codec.response_started and not self._held

    # -- what the user does -------------------------------------------------------------------------------------------

    def send(self, event: Request | Data | Trailers | EndOfMessage) -> None:
        """Encode an event; `flush` sends it."""
        if type(event) is Request:
            self._stream_id = event.stream_id
            self._head_unsent = True
            if event.body_length is None and event.http_version == _HTTP_2 and _may_wait(event):
                self._held = [event]
                return
        elif self._held:
            self._held.append(event)
            return
        if data := self.codec.send(event):
            self._buffer.append(data)
            # The end of a body is no upload: it may wait for the end of the turn.
            self._uploading = type(event) is Data

    def _release_held(self) -> None:
        """Encode a request that was held back, with its length when its end has come."""
        held, self._held = self._held, []
        self._is_read_again = False
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
        request, *body = held
        assert isinstance(request, Request)  # noqa: S101 - it is what begins to be held
        length: int | None = None
        # Trailers have a place behind chunks only (RFC 9112 7.1.2).
        if isinstance(held[-1], EndOfMessage) and not isinstance(held[-2], Trailers):
            length = sum(len(piece.data) for piece in body if isinstance(piece, Data))
        self.send(msgspec.structs.replace(request, body_length=length, goes_on=True))
        for event in body:
            self.send(event)

    def _holds(self) -> bool:
        """Say whether a request has to wait for more of its body."""
        loop = asyncio.get_running_loop()
        if type(self._held[-1]) is EndOfMessage:
            return False
        if len(self._held) == 1:
            if self._hold_timer is None:
                self._hold_timer = loop.call_later(_HOLD_S, self._hold_no_longer)
        elif not self._is_read_again:
            self._is_read_again = True
            # Two turns, as in `_waits_to_be_read`: curl and Go send an empty DATA with the end just behind the body.
            loop.call_soon(loop.call_soon, self._hold_no_longer)
        return True

    def _hold_no_longer(self) -> None:
        if self._held and not self.closed:
            self._release_held()
            self.flush()

    def flush(self) -> None:
        """Send what was encoded, in one write: a body at once, anything else at the end of the turn."""
        if self._held:
            if self._holds():
                return
            self._release_held()
        if not self._buffer:
            return
        if self._uploading:
            if not self._waits_to_be_read():
                self.send_out()
        elif not self._is_due:
            self._is_due = True
            self._outbox.add(self)

    def send_out(self) -> None:
        """Write what was encoded (Sender)."""
        self._is_due = False
        self._head_unsent = bool(self._held)
        buffer = self._buffer
        if not buffer:
            return
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        if not self.closed:
            self.transport.write(data)

    @property
    def has_unread(self) -> bool:
        """Say whether something of the app's waits in the kernel: an answer, or the end of the connection."""
        sock = self.transport.get_extra_info("socket")
        if sock is None:
            return False
        if sys.platform == "win32":
            # Windows has no poll(); its select() limits the number of sockets, not their numbers.
            return bool(select.select([sock], [], [], 0)[0])
        poll = select.poll()  # select() takes no descriptor above 1023
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    @property
    def has_undelivered(self) -> bool:
        """Say whether bytes lie behind the answer: they would pass for the next one (rule 48)."""
        if self._rest:
            return True
        return self.upstream.tls is not None and bool(self.transport.get_extra_info("undelivered"))

    def _waits_to_be_read(self) -> bool:
        """Put a write off while the app's answer waits in the kernel.

        An app that refuses an upload answers and closes; our next write would fail, and with it the loop throws the
        unread answer away (rule 54). Bounded: an app may well send and receive at the same time.
        """
        if self._is_put_off:
            return True
        if self._reading.held or self.closed or self._put_off >= _MAX_PUT_OFF or not self.has_unread:
            self._put_off = 0
            return False
        self._put_off += 1
        self._is_put_off = True
        loop = asyncio.get_running_loop()
        # Two turns: what is due at once runs before the sockets of the next turn are read.
        loop.call_soon(loop.call_soon, self._flush_again)
        return True

    def _flush_again(self) -> None:
        self._is_put_off = False
        self.flush()

    def pause_reading(self) -> None:
        """Let the app wait."""
        self._reading.hold()

    def resume_reading(self) -> None:
        """Let the app go on."""
        if self._reading.held:
            self._reading.go_on()
            if self._rest:
                self._reading.end_turn()

    async def ready(self) -> str | None:
        """An HTTP/1.1 server says nothing before it is asked (Dialled)."""
        return None

    def start_tunnel(self) -> bytes:
        """Leave HTTP after a 101 arrived: return what the upstream sent behind it."""
        self.send_out()
        self._reading.leave()
        rest, self._rest = self._rest, _NOTHING
        return self.codec.start_tunnel() + bytes(rest)

    def when_lost(self, then: Callable[[], None]) -> None:
        """Call `then` when the transport is gone; once, soon after `abort`."""
        if self._gone:
            then()
        else:
            self._lost = then

    def abort(self) -> None:
        """Close at once; its user hears no more of it."""
        # First: `connection_lost` must not tell a user that has given it up.
        self.user = None
        self._held = []
        self._rest = _NOTHING
        if not self.closed:
            self.closed = True
            self.transport.abort()
            self._discarded(self)

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (TCP, Unix or TLS)."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(self._max_buffer_bytes)
        self._reading = PacedReading(self.transport, read_turns_of(asyncio.get_running_loop()), self._take_rest)

    def data_received(self, data: bytes) -> None:
        """Turn bytes into events for the user."""
        if self._rest:
            self._rest = memoryview(bytes(self._rest) + data)
        elif len(data) >= _LARGE_BYTES:
            self._take_large(data)
        # `_take` without the call: 60 ns of each response.
        elif (user := self.user) is None or self._head_unsent:
            self._refuse(user)
        else:
            user.upstream_events(self.codec.receive_data(data))

    def _take_large(self, data: bytes) -> None:
        """Take a large read; an app that sends it in chunks of a byte costs a thousand times as much as by length."""
        began = perf_counter()
        if self._is_costly:
            self._rest = memoryview(data)
            self._take_rest()
        else:
            self._take(data)
            self._is_costly = perf_counter() - began > SHARE_S
        if len(data) >= FULL_READ_BYTES:
            self._reading.end_turn()

    def _take_rest(self) -> None:
        """Take pieces of a read for as long as a turn allows."""
        until = perf_counter() + SHARE_S
        while self._rest and not self._reading.held:
            piece, self._rest = bytes(self._rest[:_PIECE_BYTES]), self._rest[_PIECE_BYTES:]
            self._take(piece)
            if self._rest and perf_counter() > until:
                self._reading.end_turn()
                return
        self._is_costly = bool(self._rest)

    def _take(self, data: bytes) -> None:
        if (user := self.user) is None or self._head_unsent:
            self._refuse(user)
        else:
            user.upstream_events(self.codec.receive_data(data))

    def _refuse(self, user: UpstreamUser | None) -> None:
        """Give up on an app that is out of step: it answers what nobody asked for, or has not been sent (rule 48)."""
        self.abort()
        if user is not None:
            user.upstream_event(ConnectionClosed(self._stream_id))
            user.upstream_flush()

    def eof_received(self) -> bool:
        """The app ended its direction: that may complete an answer, be a cut, or end an idle connection."""
        user = self.user
        if user is None:
            self.abort()
            return False
        if self.transport.get_extra_info("truncated"):
            # TLS ended without close_notify: a close-delimited body may be cut (RFC 8446 6.1, RFC 9112 9.8).
            self.connection_lost(ConnectionResetError("the TLS connection was cut"))
            return False
        for event in self.codec.receive_eof() if self._response_started else [ConnectionClosed(self._stream_id)]:
            user.upstream_event(event)
        user.upstream_flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._rest:
            rest, self._rest = self._rest, _NOTHING
            self._take(bytes(rest))
        self._gone = True
        lost, self._lost = self._lost, None
        if lost is not None:
            lost()
        if self.closed:
            return
        self.closed = True
        user, self.user = self.user, None
        # Before the user is told: it may ask the pool for another connection at once.
        self._discarded(self)
        if user is None:
            return
        if self._response_started:
            # Not an orderly end: even a body that ends with the connection is cut (RFC 9112 8).
            why = f"The connection to the app was lost: {exc}." if exc else "The connection to the app was lost."
            user.upstream_event(self.codec.receive_loss(why))
        else:
            user.upstream_event(ConnectionClosed(self._stream_id))  # not a byte came: the request may be sent again
        user.upstream_flush()

    def pause_writing(self) -> None:
        """The app does not keep up."""
        self.writable = False
        if self.user is not None:
            self.user.upstream_writable(False)

    def resume_writing(self) -> None:
        """The app has caught up."""
        self.writable = True
        if self.user is not None:
            self.user.upstream_writable(True)


def _may_wait(request: Request) -> bool:
    # A client that waits for 100 Continue sends nothing before its head has arrived.
    return not request.expects_continue and not request.goes_on
