"""One request on an HTTP/2 connection to an app: a relay's handle, or the end of a tunnel.

Owns nothing but which stream it is and who uses it: the codec has the stream, the connection the socket. Refuses to ask
for a WebSocket where the app takes none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from devtls.http.events import ConnectionClosed, Data, EndOfMessage, Malformed, Request, Reset, Trailers, UpstreamEvent
from devtls.http.h2.upstream import H2UpstreamCodec
from devtls.net.stream_transport import StreamTransport
from devtls.net.upstream.handle import UpstreamUser
from devtls.routing import Upstream

_NO_WEBSOCKETS = "The app speaks HTTP/2 but takes no WebSockets over it (RFC 8441): write http:// for it."


class H2UpstreamStreams(Protocol):
    """What a stream needs of its connection."""

    upstream: Upstream
    codec: H2UpstreamCodec
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop

    def begin(self, stream: H2UpstreamStream, request: Request) -> int:
        """Send a request's head; return the number of its stream."""

    def forget(self, stream_id: int) -> None:
        """Drop a stream whose user is done."""

    def flush_soon(self) -> None:
        """Send what is ready at the end of the turn."""


class H2UpstreamStream:
    """One request on a shared connection (UpstreamHandle), and the app's end of a tunnel (StreamCarrier)."""

    __slots__ = (
        "_asks_for_tunnel",
        "_connection",
        "_id",
        "_label",
        "_transport",
        "closed",
        "upstream",
        "user",
        "writable",
    )

    def __init__(self, connection: H2UpstreamStreams) -> None:
        self._connection = connection
        self._id = 0
        self._label = 0
        self._asks_for_tunnel = False
        self._transport: StreamTransport | None = None
        self.upstream: Upstream = connection.upstream
        self.user: UpstreamUser | None = None
        self.writable = True
        self.closed = False

    def __repr__(self) -> str:
        in_use = "tunnel" if self._transport is not None else "in use" if self.user is not None else "idle"
        state = "closed" if self.closed else in_use
        return f"<H2UpstreamStream {self._id} {self.upstream.label}: {state}{'' if self.writable else ', app stalled'}>"

    # -- UpstreamHandle -----------------------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        """What a tunnel writes to."""
        if self._transport is None:
            self._transport = StreamTransport(self)
        return self._transport

    def start_tunnel(self) -> bytes:
        """Leave HTTP: what has come behind the answer is delivered by the transport."""
        return b""

    def send(self, event: Request | Data | Trailers | EndOfMessage) -> None:
        """Encode an event."""
        if type(event) is Request:
            self._label = event.stream_id
            self._asks_for_tunnel = bool(event.upgrade)
            if event.upgrade and not self._connection.codec.carries_websockets:
                self._connection.loop.call_soon(self._refuse_tunnel)  # RFC 8441 section 3: it may not be asked
                return
            self._id = self._connection.begin(self, event)
        elif self._connection.codec.send(self._id, cast("Data | Trailers | EndOfMessage", event)) and self.writable:
            self.writable = False
            if self.user is not None:
                self.user.upstream_writable(False)

    def _refuse_tunnel(self) -> None:
        if self.user is not None:
            self.user.upstream_events([Malformed(self._label, 502, _NO_WEBSOCKETS)])

    def flush(self) -> None:
        """Send what was encoded."""
        self._connection.flush_soon()

    def pause_reading(self) -> None:
        """Give the app no more credit."""
        self._connection.codec.pause_reading(self._id)

    def resume_reading(self) -> None:
        """Give it again."""
        self._connection.codec.resume_reading(self._id)
        self._connection.flush_soon()

    def abort(self) -> None:
        """Cancel the request: RST_STREAM tells the app."""
        self.user = None
        if not self.closed:
            self.closed = True
            self._connection.codec.reset(self._id)
            self._connection.forget(self._id)

    def release(self) -> None:
        """The exchange is complete."""
        self.user = None
        self.closed = True
        self._connection.forget(self._id)

    def when_lost(self, then: Callable[[], None]) -> None:
        """Call `then`: RST_STREAM is written, nothing more comes."""
        then()

    # -- from the connection ------------------------------------------------------------------------------------------

    def take(self, events: list[UpstreamEvent]) -> None:
        """Take what one read brought for this stream."""
        if self._transport is not None:
            for event in events:
                self._tunnel_event(self._transport, event)
            return
        if self._asks_for_tunnel:
            self._take_one_by_one(events)
        elif self.user is not None:
            self.user.upstream_events(events)

    def _take_one_by_one(self, events: list[UpstreamEvent]) -> None:
        """Give what lies behind a 101 to the tunnel that it opens."""
        for event in events:
            if self._transport is not None:
                self._tunnel_event(self._transport, event)
            elif self.user is not None:
                self.user.upstream_events([event])

    def _tunnel_event(self, transport: StreamTransport, event: UpstreamEvent) -> None:
        if isinstance(event, Data):
            transport.deliver(event.data)
        elif isinstance(event, EndOfMessage):
            transport.deliver_end()
        else:
            self.closed = True
            self._connection.forget(self._id)
            transport.lose(ConnectionResetError("the app ended the stream"))

    def drained(self) -> None:
        """The queue has room again."""
        self.writable = True
        if self._transport is not None:
            self._transport.resume_writing()
        elif self.user is not None:
            self.user.upstream_writable(True)

    def lose(self, why: str, *, answered: bool) -> None:
        """The connection is gone."""
        if self.closed:
            return
        self.closed = True
        if self._transport is not None:
            self._transport.lose(ConnectionResetError(why))
            return
        user, self.user = self.user, None
        if user is not None:
            # ConnectionClosed means that not a byte came: only then may the request be sent again (RFC 9110 9.2.2).
            user.upstream_event(Reset(self._label, why) if answered else ConnectionClosed(self._label))
            user.upstream_flush()

    # -- StreamCarrier ------------------------------------------------------------------------------------------------

    def carry(self, data: bytes) -> bool:
        """Send bytes of the client."""
        full = self._connection.codec.send(self._id, Data(self._label, data))
        self._connection.flush_soon()
        if full:
            self.writable = False
        return full

    def carry_end(self) -> None:
        """The client sends no more."""
        self._connection.codec.send(self._id, EndOfMessage(self._label))
        self._connection.flush_soon()

    def finish(self) -> None:
        """End both directions, in order."""
        self.closed = True
        self._connection.codec.finish(self._id)
        self._connection.forget(self._id)

    def reset(self) -> None:
        """End both directions now."""
        self.abort()

    def extra_info(self, name: str) -> Any:
        """Return what the connection's transport says about itself."""
        return self._connection.transport.get_extra_info(name)

    @property
    def waiting_bytes(self) -> int:
        """How much waits for the app."""
        return self._connection.codec.queued(self._id)
