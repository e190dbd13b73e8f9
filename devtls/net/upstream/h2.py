"""A connection to an app that speaks HTTP/2: many requests on one, each with a stream of its own (`h2_stream`).

Owns the socket, the codec and the user of each stream. Refuses an app that does not begin with its settings: it speaks
something else. Strategy: the events of one read are sorted by stream, each user gets its own in one call, and what the
users made is sent in one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from devtls.http.events import Request, UpstreamEvent
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.upstream import Addressed, H2UpstreamCodec
from devtls.net.outbox import outbox_of
from devtls.net.read_turns import FULL_READ_BYTES, PacedReading, read_turns_of
from devtls.net.upstream.h2_stream import H2UpstreamStream
from devtls.routing import Upstream

_LOOK_S = 1.0
_LAST_WORDS_S = 5.0
"""How long an app that reads nothing may keep a connection that was closed from going away."""
_READY_BYTES = 262_144
"""What may be ready for an app that does not read; a client that asks and takes back would add to it without end."""


class H2UpstreamConnection(asyncio.Protocol):
    """A connection to `upstream`; `lost` is called once, when it can take no more requests."""

    def __init__(self, upstream: Upstream, limits: H2Limits, lost: Callable[[H2UpstreamConnection], None]) -> None:
        self.upstream = upstream
        self.codec = H2UpstreamCodec(limits, b"http" if upstream.tls is None else b"https")
        self.transport: asyncio.Transport
        self._reading: PacedReading
        self.closed = False
        self.idle_since = 0.0
        self.loop = asyncio.get_running_loop()
        self._outbox = outbox_of(self.loop)
        self._streams: dict[int, H2UpstreamStream] = {}
        self._lost: Callable[[H2UpstreamConnection], None] | None = lost
        self._writable = True
        self._flush_due = False
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._ready: asyncio.Future[str | None] = self.loop.create_future()

    def __repr__(self) -> str:
        leaving = self._lost is None  # GOAWAY came: those that run may end
        state = "closed" if self.closed else "leaving" if leaving else "open" if self.codec.ready else "greeting"
        streams = f"{len(self._streams)} stream{'' if len(self._streams) == 1 else 's'}"
        stalled = "" if self._writable else ", app stalled"
        return f"<H2UpstreamConnection {self.upstream.label}: {state}, {streams}{stalled}>"

    async def ready(self) -> str | None:
        """Wait for the app's settings; return why there are none."""
        # A dial that is cancelled must not cancel the future that `_close` settles.
        return await asyncio.shield(self._ready)

    @property
    def available(self) -> bool:
        """Whether another request can be sent."""
        codec = self.codec
        return not self.closed and codec.ready and codec.available and codec.ready_bytes < _READY_BYTES

    @property
    def idle(self) -> bool:
        """Whether it has no streams."""
        return not self._streams

    def open(self) -> H2UpstreamStream:
        """Return a stream for one request."""
        return H2UpstreamStream(self)

    def begin(self, stream: H2UpstreamStream, request: Request) -> int:
        """Send a request's head; return the number of its stream."""
        stream_id = self.codec.request(request)
        self._streams[stream_id] = stream
        return stream_id

    def forget(self, stream_id: int) -> None:
        """A stream has no user any more."""
        self._streams.pop(stream_id, None)
        self.idle_since = self.loop.time()
        if self._lost is None and self.idle:
            # Not at once: the caller may be in the midst of `_deliver`.
            self.loop.call_soon(self.close)  # it was the last one of a connection that the app leaves
        else:
            self.flush_soon()

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: preface and settings."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self.transport = cast(asyncio.Transport, transport)
        self._reading = PacedReading(self.transport, read_turns_of(self.loop), partial(self.data_received, b""))
        self.idle_since = self.loop.time()
        chosen = transport.get_extra_info("ssl_object")
        if chosen is not None and chosen.selected_alpn_protocol() != "h2":
            self._close("the app speaks TLS, but not HTTP/2: write https:// for it")
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Sort events by stream, deliver, send what came of it."""
        if self.closed:
            return
        # The commonest mistake with h2c: its reason is worth more than "protocol error".
        if not self.codec.ready and data[:5] == b"HTTP/":
            self._close("the app answers in HTTP/1.1: write http:// or https:// for it")
            return
        self._take(data)
        if self.codec.has_more or len(data) >= FULL_READ_BYTES:
            self._reading.end_turn()

    def _take(self, data: bytes) -> None:
        try:
            self._handling = True
            self._deliver(self.codec.receive_data(data, self.loop.time()))
            self._handling = False
            if self.codec.ready and not self._ready.done():
                self._ready.set_result(None)
            self.flush()
        except Exception as error:  # noqa: BLE001 - half of what came is delivered: nobody knows what the rest means
            self._fault(error)
        if self.codec.broken:
            self._close("the app does not speak HTTP/2 as it should")
        elif self.codec.peer_leaves:
            self._retire()

    def _deliver(self, events: list[Addressed]) -> None:
        if not events:
            return
        by_stream: dict[int, list[UpstreamEvent]] = {}
        for stream_id, event in events:
            by_stream.setdefault(stream_id, []).append(event)
        for stream_id, own in by_stream.items():
            if (stream := self._streams.get(stream_id)) is not None:
                stream.take(own)

    def eof_received(self) -> bool:
        """The app has ended the connection, in the middle of whatever runs."""
        self._close("The app closed the connection.")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._close("The connection to the app was lost.")

    def pause_writing(self) -> None:
        """The app does not keep up."""
        self._writable = False
        self.codec.paused = True

    def resume_writing(self) -> None:
        """The app has caught up."""
        self._writable = True
        self.codec.paused = False
        self.flush_soon()

    # -- sending ------------------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send what is ready, with what others make in this turn of the loop."""
        if not self._handling and not self._flush_due and not self.closed:
            self._flush_due = True
            self._outbox.add(self)

    def send_out(self) -> None:
        """Send what is ready (Sender)."""
        self._flush_due = False
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001
            self._fault(error)

    def flush(self) -> None:
        """Send what is ready, as far as the app takes it."""
        if self.closed or self._handling:
            return
        codec = self.codec
        while self._writable and (data := codec.data_to_send()):
            self.transport.write(data)
        if codec.drained:
            drained, codec.drained = codec.drained, []
            for stream_id in drained:
                if (stream := self._streams.get(stream_id)) is not None:
                    stream.drained()
        if codec.waits and self._timer is None:
            self._timer = self.loop.call_later(_LOOK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.closed:
            return
        try:
            self._deliver(self.codec.tick(self.loop.time()))
            self.flush()
        except Exception as error:  # noqa: BLE001
            self._fault(error)
        if self.codec.broken:
            self._close("The app did not acknowledge our settings.")

    # -- the end ------------------------------------------------------------------------------------------------------

    def _retire(self) -> None:
        """Take no more requests; those that run may end."""
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(self)
        if self.idle:
            self._close("The app closed the connection.")

    def _close(self, why: str) -> None:
        if self.closed:
            return
        # First: streams that are told below may ask for a flush or another stream.
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(_LAST_WORDS_S, self.transport.abort)
        if not self._ready.done():
            self._ready.set_result(why)
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(self)
        for stream_id, stream in list(self._streams.items()):
            try:
                stream.lose(why, answered=self.codec.is_answered(stream_id))
            except Exception as error:  # noqa: BLE001 - the others have to be told all the same
                self._tell(error)
        self._streams.clear()

    def _fault(self, error: Exception) -> None:
        """End this connection, and no other, for a bug of ours."""
        self._tell(error)
        self._close("devtls failed on the connection to the app.")

    def _tell(self, error: Exception) -> None:
        # It is many clients' connection, so there is no observer that it belongs to.
        self.loop.call_exception_handler({"message": "a connection to an app has failed", "exception": error})

    def abort(self) -> None:
        """Close at once (Dialled)."""
        self.close()

    def close(self) -> None:
        """End the connection, which is idle."""
        self.flush()  # the last words of a tunnel
        self._close("The connection to the app was closed.")
