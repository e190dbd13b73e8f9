"""The codec that faces the client: requests in, responses out, many at a time.

Owns the streams that clients open and their order. Refuses streams beyond the limit, a client that resets as fast as it
asks (RFC 9113 10.5), and malformed requests before an app hears of them. Strategy: a field block that comes again while
the decoder's table is the same stands for the same request, and so is neither decoded nor checked again; what was made
of it on its way is remembered with it (`RememberedHeaders`).
"""

from __future__ import annotations

import sys
from typing import cast

from devtls.errors import HeadTooLarge, LocalProtocolError, ProtocolViolation
from devtls.http.events import (
    ClientEvent,
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    RememberedHeaders,
    Request,
    Reset,
    Response,
    Trailers,
)
from devtls.http.h2 import frames, heads
from devtls.http.h2.endpoint import Endpoint, Event
from devtls.http.h2.frames import ConnectionFault, ErrorCode, StreamFault
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.settings import CONTROL_COST
from devtls.http.h2.streams import END, Ended, Stream

_NOT_YET_S = -1.0
_RAPID_S = 1.0
"""A stream that lived longer before its client took it back was no rapid reset: the limit of open ones bounds those."""
_CHEAP_BYTES = 65536
# RFC 9113 6.5.2: the announcement is advice, and below this even an ordinary response, or our page, would be refused.
_LEAST_LIST_BYTES = 16_384
# RFC 9113 6.5.2 counts 32 for a field beside its bytes; an index into the static table stands for a name of 27 at most.
_FIELD_BYTES = 32
_INDEXED_FIELD_BYTES = 64
# Per connection: thousands of them must not hold much.
_MAX_BLOCKS = 32
_MAX_BLOCK_BYTES = 4096


class H2ClientCodec(Endpoint[ClientEvent]):
    """One client connection; `secret` (16 bytes, random) is what WebSocket keys are made from."""

    def __init__(self, limits: H2Limits, secret: bytes) -> None:
        super().__init__(limits)
        self._secret = secret
        self._preface = frames.PREFACE
        self._leaving = False
        self._last_taken: int | None = None
        self._known: dict[bytes, Request] = {}
        self._seen: set[bytes] = set()
        self._known_generation = 0
        self._refused_method = b""
        self._list_bytes = sys.maxsize
        """How large a head the client takes."""
        self._lingering: set[int] = set()
        self._discarding: dict[int, float] = {}
        """Streams whose answer is whole before their request is, and when something was last heard on them."""
        self._greet(
            {
                frames.SETTINGS_MAX_CONCURRENT_STREAMS: limits.max_streams,
                frames.SETTINGS_MAX_HEADER_LIST_SIZE: limits.head.max_head_bytes,
                frames.SETTINGS_ENABLE_CONNECT_PROTOCOL: 1,  # RFC 8441 3
            }
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_s: float) -> list[ClientEvent]:
        """Return what `data` completes: events of several requests, in the order of the wire."""
        # RFC 9113 3.4; compared as it comes in, so that HTTP/1.1 is refused by its first byte.
        if self._preface and not self.broken:
            held = self._buffer + data
            expected = self._preface[: len(held)]
            if not held.startswith(expected):
                self._events = []
                self._fail(ConnectionFault(ErrorCode.PROTOCOL_ERROR, "The connection does not begin as HTTP/2 does."))
                return self._events
            if len(held) < len(self._preface):
                self._buffer = held
                return []
            self._buffer, data = b"", held[len(self._preface) :]
            self._preface = b""
        return super().receive_data(data, now_s)

    @property
    def awaits_preface(self) -> bool:
        """Whether the client has yet to say that it speaks HTTP/2."""
        return bool(self._preface)

    def _emit(self, stream: Stream, event: Event) -> None:
        self._events.append(cast(ClientEvent, event))

    def _emit_fault(self, reason: str) -> None:
        self._events.append(Malformed(0, 400, reason))

    def _is_idle(self, stream_id: int) -> bool:
        return stream_id % 2 == 0 or stream_id > self._last_peer_stream

    def _last_looked_at(self) -> int:
        return self._last_peer_stream if self._last_taken is None else self._last_taken  # RFC 9113 6.8: never more

    def _on_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        if stream_id > self._last_peer_stream and stream_id % 2:
            self._begin(stream_id, block, end_stream=end_stream)
            return
        # Even when the stream is over: the table must see each block (RFC 9113 4.3).
        decoded = self._decoder.decode(block)
        stream = self._streams.get(stream_id)
        if stream is not None:
            if self._blocks.depends_on_itself:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "A stream depends on itself.")
            self._on_trailers(stream, decoded, end_stream=end_stream)
        elif stream_id % 2 == 0 or self._ended.how(stream_id) is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "A stream's number is even or lower than the last one's.")
        else:
            self._charge(CONTROL_COST)  # it had to be decoded
            self._on_late_frame(stream_id, frames.HEADERS)

    def _begin(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        request: Request | None = None
        refused: ProtocolViolation | None = None
        # Before the block is read: a malformed request has opened its stream all the same.
        self._last_peer_stream = stream_id
        try:
            request = self._read_request(stream_id, block, end_stream=end_stream)
        except ProtocolViolation as violation:
            refused = violation
        if self._last_taken is not None and stream_id > self._last_taken:
            self._ended.note(stream_id, Ended.RESET_BY_US)  # its body may be on its way
            self._charge(CONTROL_COST)
            return  # RFC 9113 6.8: it was told that this one is not looked at
        if self._blocks.depends_on_itself:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "A stream depends on itself.")
        # Those that the client has reset count until the app is done with them (CVE-2023-44487).
        if len(self._streams) + len(self._lingering) >= self._limits.max_streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "Too many streams are open.")
        method = self._refused_method if request is None else request.method
        stream = self._streams[stream_id] = Stream(stream_id, stream_id, self._peer_window, self._window, method)
        stream.opened_s = self._now_s
        if request is None:
            assert refused is not None  # noqa: S101 - one of the two is there
            self._events.append(Malformed(stream_id, refused.status, str(refused)))
        else:
            stream.tunnel = bool(request.upgrade)
            stream.body_left = None if end_stream or stream.tunnel else request.body_length
            self._events.append(request)
        if end_stream:
            stream.peer_open = False
            self._events.append(EndOfMessage(stream_id))

    def _read_request(self, stream_id: int, block: bytes, *, end_stream: bool) -> Request:
        decoder = self._decoder
        # The same bytes mean other fields once the table has changed (RFC 7541 2.3.2).
        if decoder.generation != self._known_generation:
            self._known.clear()
            self._seen.clear()
            self._known_generation = decoder.generation
        # A block that changed the table is never remembered: to skip it would desynchronise the decoder.
        if end_stream and (known := self._known.get(block)) is not None:
            return Request(stream_id, known.method, known.target, known.authority, known.headers, 0, heads.HTTP_VERSION)
        decoded = decoder.decode(block)
        try:
            request = heads.read_request(
                decoded,
                stream_id,
                self._limits.head,
                end_stream=end_stream,
                websocket_key=lambda: heads.make_websocket_key(self._secret, stream_id),
            )
        except ProtocolViolation:
            self._refused_method = heads.method_of(decoded)
            raise
        if end_stream and not request.upgrade and decoder.generation == self._known_generation:
            self._remember(block, request)
        return request

    def _remember(self, block: bytes, request: Request) -> None:
        # When it comes for the second time: most never do.
        if len(block) > _MAX_BLOCK_BYTES:
            return
        if block not in self._seen:
            if len(self._seen) >= _MAX_BLOCKS:
                self._seen.clear()
            self._seen.add(block)
            return
        if len(self._known) >= _MAX_BLOCKS:
            self._known.clear()
        request.headers = RememberedHeaders(request.headers)
        self._known[block] = request

    def _apply_other(self, key: int, value: int) -> None:
        super()._apply_other(key, value)
        if key == frames.SETTINGS_MAX_HEADER_LIST_SIZE:
            self._list_bytes = max(value, _LEAST_LIST_BYTES)

    def _peer_reset(self, stream: Stream, code: int) -> None:
        # What an upload has used of its window was not sent for nothing.
        cheap = self._window - stream.receive_window < _CHEAP_BYTES
        rapid = cheap and stream.our_side_open and self._now_s - stream.opened_s < _RAPID_S
        super()._peer_reset(stream, code)
        # Rapid reset (CVE-2023-44487): it costs the client nothing and an app a request.
        if rapid and not self._take_reset():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "Too many requests were taken back.")

    def _take_data(self, stream: Stream, data: bytes) -> None:
        if stream.our_side_open or stream.tunnel:
            super()._take_data(stream, data)
            return
        self._discarding[stream.id] = self._now_s
        # The response is whole: nobody reads this any more.
        stream.discarded += len(data)
        if stream.discarded > self._limits.max_drain_bytes:
            self.reset(stream.id, ErrorCode.NO_ERROR)

    def _fail(self, fault: ConnectionFault) -> None:
        super()._fail(fault)
        self._discarding.clear()

    def tick(self, now_s: float) -> list[ClientEvent]:
        """Give up on a client that does not do its part in time; ask about once a second while `waits`."""
        events = super().tick(now_s)
        for stream_id, heard_s in list(self._discarding.items()):
            if heard_s == _NOT_YET_S:  # sending has no clock
                self._discarding[stream_id] = now_s
            elif now_s - heard_s >= self._limits.linger_s:
                self.reset(stream_id, ErrorCode.NO_ERROR)
        return events

    @property
    def waits(self) -> bool:
        """Whether `tick` has something to look after."""
        return bool(self._discarding) or super().waits

    def _remove(self, stream: Stream, how: Ended) -> None:
        self._discarding.pop(stream.id, None)
        if how is not Ended.COMPLETE and stream.our_side_open:
            self._lingering.add(stream.id)  # the app may still be at it
        super()._remove(stream, how)

    def method_of(self, stream_id: int) -> bytes:
        """Return the method of an open stream's request, refused or not; b"" when it had none."""
        stream = self._streams.get(stream_id)
        return b"" if stream is None else stream.method

    def release(self, stream_id: int) -> None:
        """The app's part in a stream that the client took back is over: it counts no longer."""
        self._lingering.discard(stream_id)

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset) -> bool:
        """Queue an event; True when its stream's queue is full: send no more until it stands in `drained`.

        Nothing happens on a stream that is over: the client may have ended it at any moment. Raises HeadTooLarge for a
        response that the client has said not to take.
        """
        stream = self._streams.get(event.stream_id)
        if stream is None:  # reset by the client, while the app was at it
            return False
        if isinstance(event, Data):
            return self._send_data(stream, event.data)
        if isinstance(event, Response):
            self._send_response(stream, event)
        elif isinstance(event, EndOfMessage):
            self._send_last(stream, END)
        elif isinstance(event, Trailers):
            self._send_last(stream, event)
        elif isinstance(event, InformationalResponse):
            self._send_informational(stream, event)
        else:
            self.reset(stream.id, event.code)
        return False

    def send_whole(self, head: Response, body: Data) -> bool:
        """Queue a response, the only piece of its body and its end; returns what `send` does."""
        stream = self._streams.get(head.stream_id)
        if stream is None:
            return False
        self._send_response(stream, head)
        full = self._send_data(stream, body.data)
        self._send_last(stream, END)
        return full

    def _send_response(self, stream: Stream, event: Response) -> None:
        if stream.answered:
            raise LocalProtocolError("The request has its final response already.")
        block = heads.write_response(event.status, event.headers)
        # Cheaper than to count, and never less than the count.
        if len(block) + _INDEXED_FIELD_BYTES * len(event.headers) > self._list_bytes:
            self._check_size(event)
        stream.answered = True
        stream.tunnel = False  # what was to be one was refused
        # Its end is an event of its own, also without a body: trailers may come before it.
        self._append_block(stream, block, end_stream=False, bodiless=event.body_length == 0)

    def _check_size(self, event: Response) -> None:
        # With :status and its three digits.
        size = sum((len(name) + len(value) + _FIELD_BYTES for name, value in event.headers), 10 + _FIELD_BYTES)
        if size > self._list_bytes:
            raise HeadTooLarge(size, self._list_bytes)

    def _send_informational(self, stream: Stream, event: InformationalResponse) -> None:
        if event.status == 101:  # HTTP/2 has no 101 (RFC 9113 8.6)
            stream.answered = True
            block = heads.write_switched(event.headers)
        else:
            block = heads.write_response(event.status, event.headers)
        self._append_block(stream, block, end_stream=False)

    def _our_side_ended(self, stream: Stream) -> None:
        super()._our_side_ended(stream)
        if stream.peer_open and not stream.tunnel:
            # RFC 9113 8.1 lets us reset at once, but curl 7.88 throws the answer away then: read on for a while.
            self._discarding[stream.id] = _NOT_YET_S
            self.resume_reading(stream.id)  # whoever held it back is gone

    # -- the end ------------------------------------------------------------------------------------------------------

    def announce_end(self) -> None:
        """Say that the connection will end; requests that are on their way are still taken (RFC 9113 6.8)."""
        if not self._leaving and not self.broken:
            self._leaving = True
            self._append(frames.goaway(frames.MAX_STREAM_ID, ErrorCode.NO_ERROR))

    def end(self) -> None:
        """Take no more requests."""
        if self._last_taken is None and not self.broken:
            self._leaving = True
            self._last_taken = self._last_peer_stream
            self._append(frames.goaway(self._last_taken, ErrorCode.NO_ERROR))
