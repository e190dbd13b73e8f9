"""One request of an HTTP/2 client: a relay's client, or the client's end of a tunnel.

Owns nothing but which stream it is and whether its answer has begun: the codec has the stream, the relay the exchange,
the connection the socket. Everything that it encodes is sent when the connection's burst is over. What the limits of a
client are for streams stands here as well.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

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
from devtls.http.h2.client import H2ClientCodec
from devtls.http.h2.limits import H2Limits
from devtls.net.client.dispatch import RequestDispatcher
from devtls.net.client.service import ClientLimits
from devtls.net.relay import Relay
from devtls.net.stream_transport import StreamTransport
from devtls.net.tunnel import Tunnel
from devtls.net.upstream.handle import UpstreamHandle


def h2_limits(limits: ClientLimits) -> H2Limits:
    """Return the codec's limits."""
    return H2Limits(
        head=limits.head,
        window_bytes=limits.max_buffer_bytes,
        max_streams=limits.max_streams,
        still_s=limits.exchange.body_idle_timeout_s,
        linger_s=limits.linger_s,
        max_drain_bytes=limits.max_drain_bytes,
        answer_s=limits.head_timeout_s,
    )


class H2ClientStreams(Protocol):
    """What a stream needs of its connection."""

    loop: asyncio.AbstractEventLoop
    dispatcher: RequestDispatcher

    def stream_over(self, stream: H2ClientStream) -> None:
        """Drop a stream whose exchange has ended."""

    def stream_fault(self, stream: H2ClientStream, error: Exception) -> None:
        """End one stream for a bug of ours."""

    def flush_soon(self) -> None:
        """Send what is ready at the end of the turn."""

    def wake_at(self, when: float) -> None:
        """Tick at this time of the loop, or a little later."""

    def extra_info(self, name: str) -> Any:
        """Return what the transport says about itself."""


class H2ClientStream:
    """The client's side of one exchange (RelayClient), and of one tunnel (StreamCarrier)."""

    __slots__ = (
        "_codec",
        "_connection",
        "_early",
        "_transport",
        "_tunnel",
        "begun",
        "id",
        "loop",
        "relay",
        "writable",
    )

    def __init__(self, connection: H2ClientStreams, codec: H2ClientCodec, stream_id: int) -> None:
        self._connection = connection
        self._codec = codec
        self.loop: asyncio.AbstractEventLoop = connection.loop
        self.id = stream_id
        self.relay: Relay | None = None
        self.writable = True
        self.begun = False
        self._early: StreamTransport | None = None
        """Keeps what comes for a tunnel that the app has not opened yet."""
        self._transport: StreamTransport | None = None
        self._tunnel: Tunnel | None = None

    def __repr__(self) -> str:
        state = "tunnel" if self._tunnel is not None else "responding" if self.begun else "waiting"
        return f"<H2ClientStream {self.id}: {state}{'' if self.writable else ', client stalled'}>"

    # -- from the connection ------------------------------------------------------------------------------------------

    def begin(self, request: Request) -> None:
        """Give the request to an app, or refuse it."""
        taken = self._connection.dispatcher.dispatch(self, request)
        if isinstance(taken, Relay):
            self.relay = taken
            if request.upgrade:
                self._early = StreamTransport(self)
            taken.begin(request)
        else:
            self.respond(request, taken)

    def client_event(self, event: ClientEvent) -> None:
        """Take an event of this stream that is not its request."""
        if self._transport is not None:
            self._tunnel_event(self._transport, event)
        elif self._early is not None and isinstance(event, Data | EndOfMessage):
            self.pause_reading()  # no more than a window of it
            self._tunnel_event(self._early, event)
        elif self.relay is not None:
            self.relay.client_event(event)

    def flush_upstream(self) -> None:
        """The client's burst is over."""
        if self.relay is not None:
            self.relay.flush_upstream()

    def drained(self) -> None:
        """The queue has room again."""
        self.writable = True
        if self._transport is not None:
            self._transport.resume_writing()
        elif self.relay is not None:
            self.relay.client_writable(True)

    def lose(self, reason: str) -> None:
        """The connection is gone."""
        if self._transport is not None:
            self._transport.lose(None)
        elif self.relay is not None:
            self.relay.client_event(Reset(self.id, reason))

    def drain(self) -> None:
        """The proxy stops: a tunnel has no end of its own."""
        if self._tunnel is not None:
            self._tunnel.close()

    # -- answers ------------------------------------------------------------------------------------------------------

    def respond(self, request: Request, page: pages.LocalResponse, malformed: Malformed | None = None) -> None:
        """Answer a request that reaches no app."""
        for event in self._connection.dispatcher.refuse(request, page, malformed):
            self.send(event)
        self._connection.stream_over(self)

    # -- RelayClient --------------------------------------------------------------------------------------------------

    def send(self, event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset) -> None:
        """Encode an event for the client."""
        if type(event) is Response:
            self.begun = True
        if self._codec.send(event):
            self._full()

    def send_whole(self, head: Response, body: Data) -> None:
        """Encode a response that is complete."""
        self.begun = True
        if self._codec.send_whole(head, body):
            self._full()

    def _full(self) -> None:
        if self.writable:
            self.writable = False
            if self.relay is not None:
                self.relay.client_writable(False)

    def flush(self) -> None:
        """Send what was encoded, together with what the other streams of this turn encode."""
        self._connection.flush_soon()

    def finished(self, relay: Relay, *, complete: bool) -> None:
        """The relay is done."""
        if not complete:
            relay.when_upstream_ended(self._release)
        self._connection.stream_over(self)

    def _release(self) -> None:
        self._codec.release(self.id)

    def pause_request(self) -> None:
        """Give the client no more credit for the request's body."""
        self._codec.pause_reading(self.id)

    def resume_request(self) -> None:
        """Give it again."""
        self._codec.resume_reading(self.id)
        self._connection.flush_soon()

    def wake_at(self, when: float) -> None:
        """Make sure that the relay's `tick` runs at `when`."""
        self._connection.wake_at(when)

    def fault(self, error: Exception) -> None:
        """End this stream, and no other, for a bug of ours."""
        self._connection.stream_fault(self, error)

    # -- tunnels ------------------------------------------------------------------------------------------------------

    def open_tunnel(self, relay: Relay, upstream: UpstreamHandle) -> None:
        """Join the stream and the app's connection."""
        limits = self._connection.dispatcher.limits
        assert self._early is not None  # noqa: S101 - an app's 101 is refused unless an upgrade was asked for
        transport = self._transport = self._early
        tunnel = self._tunnel = Tunnel(
            transport,
            upstream.transport,
            limits.tunnel_idle_timeout_s,
            limits.half_close_grace_s,
            relay.recorder,
        )
        tunnel.start(b"", upstream.start_tunnel(), relay.tunnel_closed)
        self._connection.flush_soon()

    def _tunnel_event(self, transport: StreamTransport, event: ClientEvent) -> None:
        if isinstance(event, Data):
            transport.deliver(event.data)
        elif isinstance(event, EndOfMessage):
            transport.deliver_end()
        else:
            transport.lose(ConnectionResetError("the client ended the stream"))
            self._release()

    def carry(self, data: bytes) -> bool:
        """Send bytes of the app (StreamCarrier)."""
        full = self._codec.send(Data(self.id, data))
        self._connection.flush_soon()
        if full:
            self.writable = False
        return full

    def carry_end(self) -> None:
        """The app sends no more."""
        self._codec.send(EndOfMessage(self.id))
        self._connection.flush_soon()

    def finish(self) -> None:
        """End both directions, in order."""
        self._codec.finish(self.id)
        self._connection.flush_soon()

    def reset(self) -> None:
        """End both directions now."""
        self._codec.reset(self.id)
        self._codec.release(self.id)
        self._connection.flush_soon()

    def pause_reading(self) -> None:
        """The app does not keep up."""
        self._codec.pause_reading(self.id)

    def resume_reading(self) -> None:
        """The app has caught up."""
        self.resume_request()

    def extra_info(self, name: str) -> Any:
        """Return what the connection's transport says about itself."""
        return self._connection.extra_info(name)

    @property
    def waiting_bytes(self) -> int:
        """How much waits for the client."""
        return self._codec.queued(self.id)
