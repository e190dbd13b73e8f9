"""The reading half of an HTTP/2 connection, common to both sides: frames are checked, streams kept, ends put in order.

Owns the buffer, stream states and GOAWAY (RFC 9113 sections 3 to 6). Refuses what the RFC calls an error, as
a ConnectionFault or StreamFault inside and as GOAWAY or RST_STREAM outside, and what it merely allows but nobody needs:
empty DATA, resets and control frames without end. Strategy: a frame is one slice and a few comparisons, the usual ones
first; what leads to many events is worked off in pieces, so that one connection never holds up the others.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final, Generic, TypeVar

from devtls.errors import ProtocolViolation
from devtls.http.events import ClientEvent, Data, EndOfMessage, Reset, Trailers, UpstreamEvent
from devtls.http.h2 import frames, heads
from devtls.http.h2.blocks import BlockAssembler, is_self_dependent
from devtls.http.h2.frames import ConnectionFault, ErrorCode, StreamFault, protocol_error, without_padding
from devtls.http.h2.hpack import Block, FieldDecoder
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.settings import ACK_COST, CONTROL_COST, LIGHT_COST, Settings
from devtls.http.h2.streams import END, Ended, Stream

_MAX_EMPTIES = 100  # in a row; flow control does not bound them (CVE-2019-9518)
_MAX_EVENTS = 512  # of one call: as many requests as may be open, twice; each costs 30 us
_LATE_BYTES = 1024
"""DATA on a stream that is over is charged when it is smaller: what was on its way comes in larger pieces."""
_COSTS: Final = dict.fromkeys((frames.SETTINGS, frames.RST_STREAM, frames.PING, frames.CONTINUATION), CONTROL_COST)

Event = ClientEvent | UpstreamEvent
EventT = TypeVar("EventT")


class Endpoint(Settings, Generic[EventT]):
    """One side of a connection; `now_s` are seconds of whatever clock the caller has."""

    def __init__(self, limits: H2Limits) -> None:
        super().__init__(limits)
        self._limits = limits
        self._events: list[EventT] = []
        self._decoder = FieldDecoder()
        self._buffer = b""
        self._blocks = BlockAssembler(limits.head.max_head_bytes)
        self._last_peer_stream = 0
        self.has_more = False
        """Whole frames wait in the buffer: call `receive_data` with nothing in the next turn of the loop."""
        self.broken = False
        """GOAWAY for a fault is in the buffer; nothing more is read."""
        self.peer_leaves = False
        """The peer has sent GOAWAY."""

    # -- what the owner asks ------------------------------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    # -- reading ------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_s: float) -> list[EventT]:
        """Return what `data` completes."""
        self._now_s = now_s
        if self.broken:
            return []
        events = self._events = []
        self.has_more = False
        data = self._buffer + data if self._buffer else data
        position, end = 0, len(data)
        try:
            while end - position >= frames.HEADER_BYTES:
                if len(events) >= _MAX_EVENTS:
                    self.has_more = True
                    break
                high, low, kind, flags, stream_id = frames.unpack_header(data, position)
                length = high << 8 | low
                # We never offer more. Before the payload is here: it would have to be buffered.
                if length > frames.MIN_FRAME_BYTES:
                    raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "A frame is larger than was agreed.")
                start = position + frames.HEADER_BYTES
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
        # RFC 9113 6.10
        if self._blocks.stream_id and (kind != frames.CONTINUATION or stream_id != self._blocks.stream_id):
            raise protocol_error("A field block was interrupted by another frame.")
        try:
            if kind == frames.HEADERS and self._greeted:
                self._on_headers(stream_id, flags, payload)
            elif kind == frames.DATA and self._greeted:
                self._on_data(stream_id, flags, payload)
            elif kind == frames.WINDOW_UPDATE and self._greeted:
                self._control_left -= LIGHT_COST  # as `_charge`, but each DATA may bring two of them
                if self._control_left < 0:
                    self._refill_control()
                self._on_window_update(stream_id, payload)
            else:
                self._on_other(kind, flags, stream_id, payload)
        except StreamFault as fault:
            self._fail_stream(stream_id, fault)

    def _on_other(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.SETTINGS:
            self._on_settings(flags, stream_id, payload)
        elif not self._greeted:  # RFC 9113 3.4
            raise protocol_error("The first frame is not SETTINGS.")
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
            raise protocol_error("Nobody may push to us.")
        # RFC 9113 5.5: frames of other types are ignored, but not for nothing.
        is_ack = flags & frames.ACK and kind in (frames.SETTINGS, frames.PING)
        self._charge(ACK_COST if is_ack else _COSTS.get(kind, LIGHT_COST))

    # -- field blocks -------------------------------------------------------------------------------------------------

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id == 0:
            raise protocol_error("HEADERS on stream 0.")
        block = self._blocks.begin(stream_id, flags, payload, self._now_s)
        if block is not None:
            self._on_block(stream_id, block, end_stream=bool(flags & frames.END_STREAM))

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        whole = self._blocks.go_on(flags, payload)
        if whole is not None:
            self._on_block(stream_id, whole.block, end_stream=whole.end_stream)

    @abstractmethod
    def _on_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        """Take a whole field block; it must be decoded, or the next one cannot be."""

    def _on_trailers(self, stream: Stream, block: Block, *, end_stream: bool) -> None:
        if not stream.peer_open:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS behind the end of their stream.")
        if not end_stream or stream.tunnel:  # RFC 9113 8.1
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
        size = len(payload)
        if stream_id == 0:
            raise protocol_error("DATA on stream 0.")
        # Padding counts, and so do frames on streams that are over (RFC 9113 6.1, 6.9).
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "More DATA than the connection's window allows.")
        stream = self._streams.get(stream_id)
        if stream is None or not stream.peer_open:
            # Else each late frame would shrink the connection's window for ever.
            self._credit_connection(size)
            if size < _LATE_BYTES:
                self._charge(LIGHT_COST)
            self._on_late_frame(stream_id, frames.DATA)
            return
        data = without_padding(payload) if flags & frames.PADDED else payload
        ends = flags & frames.END_STREAM
        stream.receive_window -= size
        if stream.receive_window < 0:
            self._credit_connection(size)
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "More DATA than the stream's window allows.")
        stream.held += size
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
        # Credit is given for what was consumed: withheld, it holds the peer back.
        elif not stream.paused:
            self._credit(stream)

    def _take_data(self, stream: Stream, data: bytes) -> None:
        self._emit(stream, Data(stream.label, data))

    def _count_body(self, stream: Stream, size: int) -> None:
        assert stream.body_left is not None  # noqa: S101 - the caller has looked
        stream.body_left -= size
        if stream.body_left < 0:  # RFC 9113 8.1.1
            raise heads.malformed("The body is longer than its Content-Length.")

    def _peer_ended(self, stream: Stream) -> None:
        if stream.body_left:  # RFC 9113 8.1.1
            raise heads.malformed("The body is shorter than its Content-Length.")
        stream.peer_open = False
        self._credit_connection(stream.held)
        stream.held = 0
        self._emit(stream, EndOfMessage(stream.label))
        if not stream.our_side_open:
            self._remove(stream, Ended.COMPLETE)

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not four bytes.")
        increment = int.from_bytes(payload) & frames.MAX_WINDOW  # the reserved bit is ignored (RFC 9113 6.9)
        if stream_id == 0:
            self._send_window += increment
            if not increment:
                raise protocol_error("WINDOW_UPDATE by 0.")
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

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise protocol_error("PING on a stream.")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not eight bytes.")
        # An acknowledgement is not answered (RFC 9113 6.7): two peers would never stop.
        if not flags & frames.ACK:
            self._reply(frames.ping(payload, ack=True))

    def _on_priority(self, stream_id: int, payload: bytes) -> None:
        # RFC 9113 5.3.2: the scheme is deprecated, only the frame's form counts.
        if stream_id == 0:
            raise protocol_error("PRIORITY on stream 0.")
        if len(payload) != 5 and self._is_idle(stream_id):
            # RFC 9113 6.4: a RST_STREAM must not be sent for an idle stream
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not five bytes.")
        if len(payload) != 5:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not five bytes.")
        if is_self_dependent(stream_id, payload):
            # As Go: a stream error on idle streams too, though RFC 9113 6.4 knows no RST_STREAM for those.
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "A stream depends on itself.")

    def _on_rst_stream(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not four bytes.")
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
            raise protocol_error("GOAWAY on a stream.")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than eight bytes.")
        self.peer_leaves = True

    def _on_late_frame(self, stream_id: int, kind: int) -> None:
        """Judge a frame on a stream that is not open to the peer (RFC 9113 5.1)."""
        if stream_id in self._streams:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "A frame behind the end of its stream.")
        if self._is_idle(stream_id):
            raise protocol_error("A frame on a stream that nobody has opened.")
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
        """Report a fault of the whole connection."""

    def _last_looked_at(self) -> int:
        """Return the last stream of the peer's that was not ignored."""
        return self._last_peer_stream

    def _fail(self, fault: ConnectionFault) -> None:
        self.broken = True
        self.has_more = False
        self._buffer = b""
        self._blocks.abandon()
        self._settings_since_s = None
        # RFC 9113 5.4.1: GOAWAY says which streams may have been acted on, so that others can be sent again.
        self._append(frames.goaway(self._last_looked_at(), fault.code, str(fault).encode()))
        self._emit_fault(str(fault))
        self._streams.clear()
        self._ring.clear()
        self._waiting = 0

    def _fail_stream(self, stream_id: int, fault: StreamFault) -> None:
        # A client that makes us reset its streams costs as much as one that resets them itself (CVE-2025-8671).
        if not self._take_reset():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "Too many streams were reset.") from fault
        self._append(frames.rst_stream(stream_id, fault.code))
        stream = self._streams.get(stream_id)
        if stream is None:
            if not self._is_idle(stream_id):
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
        # A window of 0 that never opens would keep the response, and its app, for ever.
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
        if self._blocks.stream_id and now_s - self._blocks.since_s > limit_s:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "A field block was not completed.")

    @property
    def waits(self) -> bool:
        """Whether `tick` has something to look after."""
        return self._settings_since_s is not None or self._blocks.stream_id > 0 or self._waiting > 0

    # -- the end of streams and of the connection ---------------------------------------------------------------------

    def finish(self, stream_id: int) -> None:
        """End a tunnel: what is queued still goes, what the peer still sends is dropped."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.tunnel = False
        stream.deserted = True
        if stream.our_side_open:
            self._send_last(stream, END)
        else:
            self.reset(stream_id, ErrorCode.NO_ERROR)  # RFC 9113 8.1: no error, only nothing more is wanted
