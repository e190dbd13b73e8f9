"""What both ends of an HTTP/2 connection do: read frames, keep the windows, queue what is to be sent, end in order.

Owns the connection's buffers, settings, flow control and GOAWAY (RFC 9113 sections 3 to 6). Refuses what the RFC calls
an error, as a ConnectionFault or StreamFault inside and as GOAWAY or RST_STREAM outside, and what it merely allows but
nobody needs: endless CONTINUATIONs, empty DATA, acknowledgements that are never read. Strategy: a frame is one slice
and a few comparisons, the usual ones first; DATA goes straight out while windows and buffer allow it, else it waits in
its stream's queue, and the queues are served in turn, one frame each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Final, Generic, TypeVar

import msgspec

from devtls.errors import ProtocolViolation
from devtls.http.events import ClientEvent, Data, EndOfMessage, Reset, Trailers, UpstreamEvent
from devtls.http.h1.head import HeadLimits
from devtls.http.h2 import frames, heads
from devtls.http.h2.budget import Budget
from devtls.http.h2.frames import ConnectionFault, ErrorCode, StreamFault
from devtls.http.h2.hpack import EMPTY_TABLE, Block, FieldDecoder
from devtls.http.h2.streams import END, End, Ended, EndedStreams, Stream

OUT_OCTETS: Final = 65536
"""How much is made ready for one write; more waits in the streams' queues, where it is shared fairly."""
QUEUE_OCTETS: Final = 65536
"""How much may wait in one stream before its sender is asked to stop; at half of it, to go on."""
_QUEUE_PIECES = 1024
"""The same for pieces: one of a single octet costs two hundred."""
_MAX_CONTINUATIONS = 64
_MAX_EMPTIES = 100
_MAX_UNREAD_REPLIES = 1000
_RESETS_AT_ONCE = 1000
_RESETS_PER_S = 100.0

Event = ClientEvent | UpstreamEvent
EventT = TypeVar("EventT")


class H2Limits(msgspec.Struct, frozen=True):
    """Limits of one connection; octets and seconds.

    `window_octets` is what a peer may send on one stream before we have passed it on (65,535 at least: so much it may
    send before it has read our settings), `max_streams` how many it may have open; `linger_s` and `max_drain_octets`
    say how much of a request is read away behind its answer, after how much silence; `still_s` is how long a stream may
    stand still, `answer_s` how long a peer may take for what a protocol asks of it at once (the rest of a head, the
    acknowledgement of our settings).
    """

    head: HeadLimits = HeadLimits()
    window_octets: int = 262_144
    max_streams: int = 128
    still_s: float = 60.0
    linger_s: float = 2.0
    max_drain_octets: int = 67_108_864
    answer_s: float = 10.0

    @property
    def stream_window_octets(self) -> int:
        """The window of a stream (RFC 9113 6.9.2)."""
        return max(self.window_octets, frames.DEFAULT_WINDOW)

    @property
    def connection_window_octets(self) -> int:
        """Enough for every stream at once, so that no stream that stands still can stop another."""
        return min(self.stream_window_octets * self.max_streams, frames.MAX_WINDOW)


class Endpoint(ABC, Generic[EventT]):
    """One side of a connection; `now_s` are seconds of whatever clock the caller has."""

    def __init__(self, limits: H2Limits) -> None:
        self._limits = limits
        self._events: list[EventT] = []
        self._streams: dict[int, Stream] = {}
        self._ended = EndedStreams()
        self._decoder = FieldDecoder()
        self._table_prefix = EMPTY_TABLE
        self._buffer = b""
        self._now_s = 0.0
        self._greeted = False
        """The peer's SETTINGS have come; they must be its first frame."""
        self._partial: tuple[int, int, list[bytes]] | None = None
        """A field block that goes on in CONTINUATIONs: stream, flags, pieces."""
        self._partial_since_s = 0.0
        self._settings_since_s: float | None = None
        self._out: list[bytes | memoryview] = []
        self._out_octets = 0
        self._tail: Stream | None = None
        """The stream whose DATA stands last in `_out`: its END_STREAM needs no frame of its own."""
        self._ring: deque[Stream] = deque()
        self._waiting = 0
        """How many streams have a queue."""
        self._send_window = frames.DEFAULT_WINDOW
        self._peer_window = frames.DEFAULT_WINDOW
        self._peer_max_frame = frames.MIN_FRAME_OCTETS
        self._receive_window = limits.connection_window_octets
        self._window = limits.stream_window_octets
        self._held = 0
        self._replies = 0
        self._resets = Budget(_RESETS_AT_ONCE, _RESETS_PER_S)
        self._last_peer_stream = 0
        self.paused = False
        """Set by the owner while its transport takes no more: then nothing but replies is made ready."""
        self.broken = False
        """GOAWAY for a fault is in the buffer; nothing more is read."""
        self.peer_leaves = False
        """The peer has sent GOAWAY."""
        self.octets_sent = 0
        """DATA, over all streams."""
        self.drained: list[int] = []
        """Streams whose queue has emptied enough that their senders may go on; the owner takes them out."""

    # -- what the owner asks ------------------------------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def _greet(self, settings: dict[int, int]) -> None:
        settings = {frames.SETTINGS_INITIAL_WINDOW_SIZE: self._window, **settings}
        self._append(frames.settings(settings))
        if (more := self._receive_window - frames.DEFAULT_WINDOW) > 0:
            self._append(frames.window_update(0, more))

    # -- reading ------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_s: float) -> list[EventT]:
        """Return what `data` completes."""
        self._now_s = now_s
        if self.broken:
            return []
        events = self._events = []
        data = self._buffer + data if self._buffer else data
        position, end = 0, len(data)
        try:
            while end - position >= frames.HEADER_OCTETS:
                high, low, kind, flags, stream_id = frames.unpack_header(data, position)
                length = high << 8 | low
                if length > frames.MIN_FRAME_OCTETS:
                    raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "A frame is larger than was agreed.")
                start = position + frames.HEADER_OCTETS
                if end - start < length:
                    break
                position = start + length
                self._frame(kind, flags, stream_id & frames.MAX_STREAM_ID, data[start:position])
        except ConnectionFault as fault:
            self._fail(fault)
            return events
        self._buffer = data[position:] if position < end else b""
        return events

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._partial is not None and (kind != frames.CONTINUATION or stream_id != self._partial[0]):
            raise _protocol_error("A field block was interrupted by another frame.")
        try:
            if kind == frames.HEADERS and self._greeted:
                self._on_headers(stream_id, flags, payload)
            elif kind == frames.DATA and self._greeted:
                self._on_data(stream_id, flags, payload)
            elif kind == frames.WINDOW_UPDATE and self._greeted:
                self._on_window_update(stream_id, payload)
            else:
                self._on_other(kind, flags, stream_id, payload)
        except StreamFault as fault:
            self._fail_stream(stream_id, fault)

    def _on_other(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.SETTINGS:
            self._on_settings(flags, stream_id, payload)
        elif not self._greeted:
            raise _protocol_error("The first frame is not SETTINGS.")
        elif kind == frames.RST_STREAM:
            self._on_rst_stream(stream_id, payload)
        elif kind == frames.PING:
            self._on_ping(flags, stream_id, payload)
        elif kind == frames.CONTINUATION:
            self._on_continuation(stream_id, flags, payload)
        elif kind == frames.GOAWAY:
            self._on_goaway(stream_id, payload)
        elif kind == frames.PRIORITY:
            self._on_priority(stream_id, payload)
        elif kind == frames.PUSH_PROMISE:
            raise _protocol_error("Nobody may push to us.")
        # RFC 9113 5.5: frames of other types are ignored.

    # -- field blocks -------------------------------------------------------------------------------------------------

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id == 0:
            raise _protocol_error("HEADERS on stream 0.")
        if flags & frames.PADDED:
            payload = _without_padding(payload)
        if flags & frames.PRIORITISED:
            if len(payload) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS are too short for their priority.")
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, payload, end_stream=bool(flags & frames.END_STREAM))
        else:
            self._partial = stream_id, flags, [payload]
            self._partial_since_s = self._now_s

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        if self._partial is None:
            raise _protocol_error("CONTINUATION without HEADERS.")
        _, first_flags, pieces = self._partial
        pieces.append(payload)
        octets = sum(map(len, pieces))
        if len(pieces) > _MAX_CONTINUATIONS or octets > self._limits.head.max_head_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "A field block goes on without end.")
        if flags & frames.END_HEADERS:
            self._partial = None
            self._on_block(stream_id, b"".join(pieces), end_stream=bool(first_flags & frames.END_STREAM))

    @abstractmethod
    def _on_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        """Take a whole field block; it must be decoded, or the next one cannot be."""

    def _on_trailers(self, stream: Stream, block: Block, *, end_stream: bool) -> None:
        if not stream.peer_open:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS behind the end of their stream.")
        if not end_stream or stream.tunnel:
            raise heads.malformed("Trailers do not end their stream, or stand in a tunnel.")
        try:
            trailers = heads.read_trailers(block, self._limits.head)
        except ProtocolViolation as violation:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, str(violation)) from None
        if trailers:
            self._emit(stream, Trailers(stream.label, trailers))
        self._peer_ended(stream)

    # -- DATA and windows ---------------------------------------------------------------------------------------------

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        octets = len(payload)
        if stream_id == 0:
            raise _protocol_error("DATA on stream 0.")
        self._receive_window -= octets
        if self._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "More DATA than the connection's window allows.")
        stream = self._streams.get(stream_id)
        if stream is None or not stream.peer_open:
            self._credit_connection(octets)
            self._on_late_frame(stream_id, frames.DATA)
            return
        data = _without_padding(payload) if flags & frames.PADDED else payload
        ends = flags & frames.END_STREAM
        stream.receive_window -= octets
        if stream.receive_window < 0:
            self._credit_connection(octets)
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "More DATA than the stream's window allows.")
        stream.held += octets
        if data:
            stream.empties = 0
            if stream.body_left is not None:
                self._count_body(stream, len(data))
            self._take_data(stream, data)
            if not stream.peer_open:
                return
        elif not ends:
            stream.empties += 1
            if stream.empties > _MAX_EMPTIES:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "Empty DATA without end.")
        if ends:
            self._peer_ended(stream)
        elif not stream.paused:
            self._credit(stream)

    def _take_data(self, stream: Stream, data: bytes) -> None:
        self._emit(stream, Data(stream.label, data))

    def _count_body(self, stream: Stream, octets: int) -> None:
        assert stream.body_left is not None  # noqa: S101 - the caller has looked
        stream.body_left -= octets
        if stream.body_left < 0:
            raise heads.malformed("The body is longer than its Content-Length.")

    def _peer_ended(self, stream: Stream) -> None:
        if stream.body_left:
            raise heads.malformed("The body is shorter than its Content-Length.")
        stream.peer_open = False
        self._credit_connection(stream.held)
        stream.held = 0
        self._emit(stream, EndOfMessage(stream.label))
        if not stream.our_side_open:
            self._remove(stream, Ended.COMPLETE)

    def _credit(self, stream: Stream) -> None:
        """Give back what was consumed, by halves of a window: a frame for each piece would cost as much as that."""
        if stream.held * 2 >= self._window:
            stream.receive_window += stream.held
            self._append(frames.window_update(stream.id, stream.held))
            self._credit_connection(stream.held)
            stream.held = 0

    def _credit_connection(self, octets: int) -> None:
        self._held += octets
        # Half of a stream's window, not of ours: what is kept back must not be what the last stream needs.
        if self._held * 2 >= self._window:
            self._receive_window += self._held
            self._append(frames.window_update(0, self._held))
            self._held = 0

    def pause_reading(self, stream_id: int) -> None:
        """Let a stream's peer send no more than its window has left."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.paused = True

    def resume_reading(self, stream_id: int) -> None:
        """What was received is consumed."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.paused = False
            if stream.peer_open:
                self._credit(stream)

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not four octets.")
        increment = int.from_bytes(payload) & frames.MAX_WINDOW
        if stream_id == 0:
            self._send_window += increment
            if not increment:
                raise _protocol_error("WINDOW_UPDATE by 0.")
            if self._send_window > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "The connection's window is too large.")
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._on_late_frame(stream_id, frames.WINDOW_UPDATE)
            return
        if not increment:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0.")
        if not stream.open_window(increment):
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "A stream's window is too large.")
        self._into_ring(stream)

    # -- the connection's own frames ----------------------------------------------------------------------------------

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _protocol_error("SETTINGS on a stream.")
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "An acknowledgement of SETTINGS has a payload.")
            if not self._greeted:
                raise _protocol_error("The first frame is not SETTINGS.")
            self._settings_since_s = None
            return
        if len(payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS are no multiple of six octets.")
        if not self._greeted:
            self._greeted = True
            self._settings_since_s = self._now_s
        for key, value in frames.parse_settings(payload):
            self._apply(key, value)
        self._reply(frames.SETTINGS_ACK)

    def _apply(self, key: int, value: int) -> None:
        if key == frames.SETTINGS_INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "The initial window is too large.")
            change, self._peer_window = value - self._peer_window, value
            for stream in self._streams.values():
                if not stream.open_window(change):
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "A stream's window is too large.")
                self._into_ring(stream)
        elif key == frames.SETTINGS_MAX_FRAME_SIZE:
            if not frames.MIN_FRAME_OCTETS <= value <= frames.MAX_FRAME_OCTETS:
                raise _protocol_error("The maximum frame size is out of range.")
            self._peer_max_frame = min(value, OUT_OCTETS)
        elif key == frames.SETTINGS_HEADER_TABLE_SIZE:
            self._table_prefix = EMPTY_TABLE  # RFC 7541 4.2: the next block must say that ours is no larger
        else:
            self._apply_other(key, value)

    def _apply_other(self, key: int, value: int) -> None:
        """Take a setting that concerns one side only; unknown ones are ignored (RFC 9113 6.5.2)."""
        if key in (frames.SETTINGS_ENABLE_PUSH, frames.SETTINGS_ENABLE_CONNECT_PROTOCOL) and value > 1:
            raise _protocol_error("A setting that is a switch is neither 0 nor 1.")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _protocol_error("PING on a stream.")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not eight octets.")
        if not flags & frames.ACK:
            self._reply(frames.ping(payload, ack=True))

    def _on_priority(self, stream_id: int, payload: bytes) -> None:
        # RFC 9113 5.3.2: the scheme is deprecated, only the frame's form counts.
        if stream_id == 0:
            raise _protocol_error("PRIORITY on stream 0.")
        if len(payload) != 5 and self._is_idle(stream_id):
            # RFC 9113 6.4: a RST_STREAM must not be sent for an idle stream
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not five octets.")
        if len(payload) != 5:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not five octets.")

    def _on_rst_stream(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not four octets.")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._on_late_frame(stream_id, frames.RST_STREAM)
            return
        self._peer_reset(stream, int.from_bytes(payload))

    def _peer_reset(self, stream: Stream, code: int) -> None:
        self._remove(stream, Ended.RESET_BY_PEER)
        self._emit(stream, Reset(stream.label, f"The peer ended the stream: {frames.error_name(code)}.", code))

    def _on_goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise _protocol_error("GOAWAY on a stream.")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than eight octets.")
        self.peer_leaves = True

    def _on_late_frame(self, stream_id: int, kind: int) -> None:
        """Judge a frame on a stream that is not open to the peer (RFC 9113 5.1)."""
        if stream_id in self._streams:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "A frame behind the end of its stream.")
        if self._is_idle(stream_id):
            raise _protocol_error("A frame on a stream that nobody has opened.")
        how = self._ended.how(stream_id)
        if how in (Ended.RESET_BY_US, Ended.FORGOTTEN) or kind in (frames.WINDOW_UPDATE, frames.RST_STREAM):
            return  # it was, or may have been, on its way when the stream ended
        if how is Ended.RESET_BY_PEER:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "A frame behind the reset of its stream.")
        raise ConnectionFault(ErrorCode.STREAM_CLOSED, "A frame on a stream that is over.")

    @abstractmethod
    def _is_idle(self, stream_id: int) -> bool:
        """Say whether a stream has never been opened."""

    # -- faults -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _emit(self, stream: Stream, event: Event) -> None:
        """Add to what is returned."""

    @abstractmethod
    def _emit_fault(self, reason: str) -> None:
        """Tell whoever is concerned that the connection is over."""

    def _last_looked_at(self) -> int:
        """Return the last stream of the peer's that was not ignored."""
        return self._last_peer_stream

    def _fail(self, fault: ConnectionFault) -> None:
        self.broken = True
        self._buffer = b""
        self._partial = None
        self._settings_since_s = None
        self._append(frames.goaway(self._last_looked_at(), fault.code, str(fault).encode()))
        self._emit_fault(str(fault))
        self._streams.clear()
        self._ring.clear()
        self._waiting = 0

    def _fail_stream(self, stream_id: int, fault: StreamFault) -> None:
        if not self._resets.take(self._now_s):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "Too many streams were reset.") from fault
        self._append(frames.rst_stream(stream_id, fault.code))
        stream = self._streams.get(stream_id)
        if stream is None:
            self._ended.note(stream_id, Ended.RESET_BY_US)
            return
        self._remove(stream, Ended.RESET_BY_US)
        self._emit(stream, Reset(stream.label, str(fault), fault.code))

    def tick(self, now_s: float) -> list[EventT]:
        """Give up on a peer that does not do its part in time; ask about once a second while `waits`."""
        self._now_s = now_s
        events = self._events = []
        try:
            self._check_promptness(now_s)
        except ConnectionFault as fault:
            self._fail(fault)
            return events
        for stream in [stream for stream in self._streams.values() if stream.queue]:
            if stream.still_sent != stream.sent:
                stream.still_sent, stream.still_since = stream.sent, now_s
            elif now_s - stream.still_since >= self._limits.still_s:
                self._append(frames.rst_stream(stream.id, ErrorCode.CANCEL))
                self._remove(stream, Ended.RESET_BY_US)
                self._emit(stream, Reset(stream.label, "The peer took no more of the body.", ErrorCode.CANCEL))
        return events

    def _check_promptness(self, now_s: float) -> None:
        limit_s = self._limits.answer_s
        if self._settings_since_s is not None and now_s - self._settings_since_s > limit_s:
            raise ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, "Our settings were not acknowledged.")
        if self._partial is not None and now_s - self._partial_since_s > limit_s:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "A field block was not completed.")

    @property
    def ready_octets(self) -> int:
        """How much waits for `data_to_send`, queues not counted."""
        return self._out_octets

    @property
    def waits(self) -> bool:
        """Whether `tick` has something to look after."""
        return self._settings_since_s is not None or self._partial is not None or self._waiting > 0

    # -- sending ------------------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        """Return what is ready, about OUT_OCTETS of it at most; call again until it returns nothing."""
        if self._ring and not self.paused:
            self._serve_queues()
        out = self._out
        if not out:
            return b""
        data = b"".join(out)
        out.clear()
        self._out_octets = self._replies = 0
        self._tail = None
        return data

    def _append(self, frame: bytes) -> None:
        self._out.append(frame)
        self._out_octets += len(frame)
        self._tail = None

    def _reply(self, frame: bytes) -> None:
        self._replies += 1
        if self._replies > _MAX_UNREAD_REPLIES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "More acknowledgements are asked for than are read.")
        self._append(frame)

    def _append_block(self, stream: Stream, block: bytes, *, end_stream: bool) -> None:
        if self._table_prefix:
            block, self._table_prefix = self._table_prefix + block, b""
        self._append(frames.headers(stream.id, block, end_stream=end_stream, max_octets=self._peer_max_frame))

    def _send_data(self, stream: Stream, data: bytes) -> bool:
        """Send or queue a piece of a body; True when the stream's queue is full."""
        if not stream.our_side_open:
            return False
        view = memoryview(data)
        if not stream.queue and not self.paused:
            view = view[self._write_data(stream, view, OUT_OCTETS - self._out_octets) :]
            if not view:
                return False
        if _is_ended(stream):
            return False
        self._enqueue(stream, view)
        stream.queued += len(view)
        if stream.queued >= QUEUE_OCTETS or len(stream.queue) >= _QUEUE_PIECES:
            stream.full = True
        return stream.full

    def _send_last(self, stream: Stream, last: Trailers | End) -> None:
        if not stream.our_side_open:
            return
        if not stream.queue and not self.paused:
            self._write_last(stream, last)
        elif not _is_ended(stream):
            self._enqueue(stream, last)

    def _enqueue(self, stream: Stream, item: memoryview | Trailers | End) -> None:
        if not stream.queue:
            self._waiting += 1
        stream.queue.append(item)
        self._into_ring(stream)

    def _write_data(self, stream: Stream, view: memoryview, room: int) -> int:
        """Write frames while windows and `room` allow it; return how many octets went."""
        written = 0
        out, stream_id = self._out, stream.id
        while room > 0 and written < len(view):
            octets = min(len(view) - written, self._peer_max_frame, stream.send_window, self._send_window)
            if octets <= 0:
                break
            stream.send_window -= octets
            self._send_window -= octets
            out.append(frames.frame_header(octets, frames.DATA, 0, stream_id))
            out.append(view[written : written + octets])
            written += octets
            room -= octets + frames.HEADER_OCTETS
            self._out_octets += octets + frames.HEADER_OCTETS
        if written:
            stream.sent += written
            self.octets_sent += written
            self._tail = stream
        return written

    def _write_last(self, stream: Stream, last: Trailers | End) -> None:
        block = heads.write_trailers(last.headers) if isinstance(last, Trailers) else b""
        if block:
            self._append_block(stream, block, end_stream=True)
        elif self._tail is stream:
            header = self._out[-2]
            self._out[-2] = bytes(header[:4]) + bytes((header[4] | frames.END_STREAM,)) + bytes(header[5:])
        else:
            self._append(frames.frame_header(0, frames.DATA, frames.END_STREAM, stream.id))
        self._our_side_ended(stream)

    def _our_side_ended(self, stream: Stream) -> None:
        stream.our_side_open = False
        if not stream.peer_open:
            self._remove(stream, Ended.COMPLETE)
        elif stream.deserted:
            self.reset(stream.id, ErrorCode.NO_ERROR)

    def _into_ring(self, stream: Stream) -> None:
        if stream.queue and not stream.ringed:
            stream.ringed = True
            self._ring.append(stream)

    def _serve_queues(self) -> None:
        ring = self._ring
        in_vain = 0
        while ring and self._out_octets < OUT_OCTETS and in_vain < len(ring):
            stream = ring.popleft()
            served = self._serve(stream)
            if stream.queue and (stream.send_window > 0 or not isinstance(stream.queue[0], memoryview)):
                ring.append(stream)
                in_vain += not served
            else:
                stream.ringed = False  # out of the ring: those behind it have not been looked at

    def _serve(self, stream: Stream) -> bool:
        """Send one frame's worth of a queue; False when the windows allow nothing."""
        if not stream.queue:
            return True  # it was reset meanwhile
        first = stream.queue[0]
        if not isinstance(first, memoryview):
            stream.queue.popleft()
            self._waiting -= 1
            self._write_last(stream, first)
            return True
        written = self._write_data(stream, first[: self._peer_max_frame], 1)
        stream.queued -= written
        if written == len(first):
            stream.queue.popleft()
            if stream.queue and stream.queue[0] is END:
                stream.queue.popleft()
                self._waiting -= 1
                self._write_last(stream, END)
            elif not stream.queue:
                self._waiting -= 1
        else:
            stream.queue[0] = first[written:]
        if stream.full and stream.queued * 2 < QUEUE_OCTETS and len(stream.queue) * 2 < _QUEUE_PIECES:
            stream.full = False
            self.drained.append(stream.id)
        return written > 0

    # -- the end of streams and of the connection ---------------------------------------------------------------------

    def _remove(self, stream: Stream, how: Ended) -> None:
        self._streams.pop(stream.id, None)
        self._ended.note(stream.id, how)
        if stream.held:
            self._credit_connection(stream.held)
            stream.held = 0
        if stream.queue:
            self._waiting -= 1
            stream.queue.clear()
        stream.queued = 0
        stream.peer_open = stream.our_side_open = False

    def reset(self, stream_id: int, code: int = ErrorCode.CANCEL) -> None:
        """End a stream at once; nothing happens when it is over."""
        if (stream := self._streams.get(stream_id)) is not None:
            self._append(frames.rst_stream(stream_id, code))
            self._remove(stream, Ended.RESET_BY_US)

    def finish(self, stream_id: int) -> None:
        """End a tunnel: what is queued still goes, what the peer still sends is for nobody."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.tunnel = False
        stream.deserted = True
        if stream.our_side_open:
            self._send_last(stream, END)
        else:
            self.reset(stream_id, ErrorCode.NO_ERROR)

    def peer_is_open(self, stream_id: int) -> bool:
        """Say whether the peer may still send on a stream."""
        stream = self._streams.get(stream_id)
        return stream is not None and stream.peer_open

    def queued(self, stream_id: int) -> int:
        """Return how many octets wait in a stream's queue."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.queued


def _is_ended(stream: Stream) -> bool:
    """Say whether the end of our message is queued: nothing comes behind it."""
    return bool(stream.queue) and not isinstance(stream.queue[-1], memoryview)


def _protocol_error(reason: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.PROTOCOL_ERROR, reason)


def _without_padding(payload: bytes) -> bytes:
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "A padded frame has no length of its padding.")
    end = len(payload) - payload[0]
    if end < 1:
        raise _protocol_error("The padding is as long as the frame.")
    return payload[1:end]
