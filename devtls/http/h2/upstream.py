"""The codec that faces an upstream which speaks HTTP/2: requests out, responses in, many at a time.

Owns the streams that we open. Refuses pushes, responses that are none, and interim responses without end. Strategy:
each event comes with the number of its stream here and carries the number of the request that it answers there; a
request that the upstream has said it did not look at (GOAWAY, REFUSED_STREAM) ends as if its connection had closed
before it, so that it may be sent again.
"""

from __future__ import annotations

from typing import Final, cast

from devtls.errors import LocalProtocolError, ProtocolViolation
from devtls.http.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    Request,
    Response,
    Trailers,
    UpstreamEvent,
)
from devtls.http.h2 import frames, heads
from devtls.http.h2.endpoint import Endpoint, Event
from devtls.http.h2.frames import ConnectionFault, ErrorCode, StreamFault
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.settings import CONTROL_COST
from devtls.http.h2.streams import END, Ended, Stream
from devtls.http.upgrade import accept_of

_ASSUMED_STREAMS: Final = 100
"""How many streams an upstream that does not say takes at once."""
Addressed = tuple[int, UpstreamEvent]
"""An event and the stream that it came on."""


class H2UpstreamCodec(Endpoint[Addressed]):
    """One upstream connection; `scheme` is b"http" (h2c) or b"https"."""

    def __init__(self, limits: H2Limits, scheme: bytes) -> None:
        super().__init__(limits)
        self._scheme = scheme
        self._next_stream = 1
        self._peer_streams = min(_ASSUMED_STREAMS, limits.max_streams)
        self.carries_websockets = False
        """The upstream takes extended CONNECT (RFC 8441)."""
        self._append(frames.PREFACE)
        # A push could not be passed on: our own connections to clients have none.
        self._greet({frames.SETTINGS_ENABLE_PUSH: 0, frames.SETTINGS_MAX_HEADER_LIST_SIZE: limits.head.max_head_bytes})

    @property
    def ready(self) -> bool:
        """Whether the upstream's settings are known."""
        return self._greeted

    @property
    def available(self) -> bool:
        """Whether another request may be sent."""
        # RFC 9113 5.1.1: numbers are not used again; past the last one a new connection is due.
        usable = not self.broken and not self.peer_leaves and self._next_stream <= frames.MAX_STREAM_ID
        return usable and len(self._streams) < self._peer_streams

    # -- reading ------------------------------------------------------------------------------------------------------

    def _emit(self, stream: Stream, event: Event) -> None:
        self._events.append((stream.id, cast(UpstreamEvent, event)))

    def _emit_fault(self, reason: str) -> None:
        for stream in self._streams.values():
            self._emit(stream, Malformed(stream.label, 502, reason))

    def _is_idle(self, stream_id: int) -> bool:
        # Even ones are pushes, which we have forbidden.
        return stream_id % 2 == 0 or stream_id >= self._next_stream

    def _apply_other(self, key: int, value: int) -> None:
        if key == frames.SETTINGS_ENABLE_PUSH and value:  # RFC 9113 6.5.2
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "A server's ENABLE_PUSH is not 0.")
        super()._apply_other(key, value)
        if key == frames.SETTINGS_MAX_CONCURRENT_STREAMS:
            self._peer_streams = min(value, self._limits.max_streams)
        elif key == frames.SETTINGS_ENABLE_CONNECT_PROTOCOL:
            self.carries_websockets = value == 1

    def _on_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        decoded = self._decoder.decode(block)
        stream = self._streams.get(stream_id)
        if stream is None:
            self._charge(CONTROL_COST)  # it had to be decoded
            self._on_late_frame(stream_id, frames.HEADERS)
            return
        if self._blocks.depends_on_itself:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "A stream depends on itself.")
        if stream.answered:
            self._on_trailers(stream, decoded, end_stream=end_stream)
            return
        try:
            heads.check_size(decoded, self._limits.head)
        except ProtocolViolation as violation:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, str(violation)) from None
        response = heads.read_response(decoded, stream.label, method=stream.method, end_stream=end_stream)
        if isinstance(response, InformationalResponse):
            self._on_interim(stream, response)
        else:
            self._on_response(stream, response, end_stream=end_stream)

    def _on_interim(self, stream: Stream, response: InformationalResponse) -> None:
        limit = self._limits.head.max_informational
        stream.interims += 1
        if stream.interims > limit:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, f"The app sent more than {limit} interim responses.")
        self._emit(stream, response)

    def _on_response(self, stream: Stream, response: Response, *, end_stream: bool) -> None:
        stream.answered = True
        # RFC 8441 5: 2xx opens the WebSocket; to the relay it is the 101 of HTTP/1.1.
        if stream.tunnel and 200 <= response.status < 300 and not end_stream:
            switched = InformationalResponse(stream.label, 101, [*response.headers, *stream.handshake])
            stream.body_left = None
            self._emit(stream, switched)
            return
        if stream.tunnel:
            stream.tunnel = False
            self._send_last(stream, END)  # it was refused: nobody will send anything on it
        stream.body_left = response.body_length
        self._emit(stream, response)
        if end_stream:
            stream.body_left = None
            self._peer_ended(stream)

    def _count_body(self, stream: Stream, size: int) -> None:
        if not stream.answered:
            raise heads.malformed("There is a body before the response.")
        super()._count_body(stream, size)

    def _peer_ended(self, stream: Stream) -> None:
        if not stream.answered:
            raise heads.malformed("The stream ends without a response.")
        super()._peer_ended(stream)

    def _peer_reset(self, stream: Stream, code: int) -> None:
        if code == ErrorCode.REFUSED_STREAM and not stream.answered:  # RFC 9113 8.7: safe to send again
            self._give_back(stream)
        elif code == ErrorCode.NO_ERROR and not stream.peer_open:
            self._remove(stream, Ended.RESET_BY_PEER)  # RFC 9113 8.1: the answer was whole
        else:
            super()._peer_reset(stream, code)

    def _give_back(self, stream: Stream) -> None:
        self._remove(stream, Ended.RESET_BY_PEER)
        self._emit(stream, ConnectionClosed(stream.label, unseen=True))

    def _on_goaway(self, stream_id: int, payload: bytes) -> None:
        super()._on_goaway(stream_id, payload)
        last = int.from_bytes(payload[:4]) & frames.MAX_STREAM_ID
        for stream in [stream for stream in self._streams.values() if stream.id > last]:  # RFC 9113 6.8: not looked at
            self._give_back(stream)

    def is_answered(self, stream_id: int) -> bool:
        """Say whether a response to a stream's request has begun."""
        stream = self._streams.get(stream_id)
        return stream is not None and stream.answered

    # -- sending ------------------------------------------------------------------------------------------------------

    def request(self, request: Request) -> int:
        """Queue a request's head; return the number of its stream. Raises LocalProtocolError unless `available`."""
        if not self.available:
            raise LocalProtocolError("This connection cannot take another request.")
        write = heads.write_connect if request.upgrade else heads.write_request
        block = write(request, self._scheme)
        stream_id = self._next_stream
        self._next_stream += 2
        stream = Stream(stream_id, request.stream_id, self._peer_window, self._window, request.method)
        stream.body_left = 0  # until there is a response
        self._streams[stream_id] = stream
        if request.upgrade:
            stream.tunnel = True
            stream.handshake = [
                (b"Connection", b"Upgrade"),
                (b"Upgrade", request.upgrade),
                (b"Sec-WebSocket-Accept", accept_of(request.headers)),
            ]
        bodiless = request.body_length == 0 and not request.upgrade
        self._append_block(stream, block, end_stream=bodiless)
        if bodiless:
            self._our_side_ended(stream)
        return stream_id

    def send(self, stream_id: int, event: Data | Trailers | EndOfMessage) -> bool:
        """Queue an event; True when the stream's queue is full: send no more until it stands in `drained`."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return False
        if isinstance(event, Data):
            return self._send_data(stream, event.data)
        self._send_last(stream, event if isinstance(event, Trailers) else END)
        return False
