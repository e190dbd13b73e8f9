"""The sending half of an HTTP/2 connection: frames that are ready, and streams that wait for their turn.

Owns the order of the wire, both windows of the peer, and fairness: DATA goes straight out while windows and buffer
allow it, else it waits in its stream's queue, and the queues are served in turn, one frame each. Refuses to make ready
more than one write's worth, or anything but replies while the transport takes no more; says of each stream when its
sender should stop and when it may go on. The end of a stream stands behind its data, and nothing behind that.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from devtls.http.events import Trailers
from devtls.http.h2 import frames, heads
from devtls.http.h2.frames import ConnectionFault, ErrorCode
from devtls.http.h2.hpack import EMPTY_TABLE
from devtls.http.h2.streams import END, Ended, EndedStreams, EndMarker, Stream

OUT_BYTES: Final = 65536
"""How much is made ready for one write; more waits in the streams' queues, where it is shared fairly."""
QUEUE_BYTES: Final = 65536
"""How much may wait in one stream before its sender is asked to stop; at half of it, to go on."""
_QUEUE_PIECES = 1024
"""The same for pieces: one of a single byte costs two hundred."""
_MAX_UNREAD_REPLIES = 1000
_WHOLE_AND_LAST = frames.END_HEADERS | frames.END_STREAM


class Outgoing:
    """The sending half of an endpoint, and the streams that it sends on."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}
        self._ended = EndedStreams()
        self._table_prefix = EMPTY_TABLE
        self._out: list[bytes | memoryview] = []
        self._out_bytes = 0
        self._tail: Stream | None = None
        """The stream whose DATA, or head without a body, stands last in `_out`: its end needs no frame of its own."""
        self._ring: deque[Stream] = deque()
        self._waiting = 0
        """How many streams have a queue."""
        self._send_window = frames.DEFAULT_WINDOW
        self._peer_max_frame = frames.MIN_FRAME_BYTES
        self._replies = 0
        self.paused = False
        """Set by the owner while its transport takes no more: then nothing but replies is made ready."""
        self.bytes_sent = 0
        """DATA, over all streams."""
        self._pieces = 0
        """How many pieces of bodies were sent or queued."""
        self._completed = 0
        """How many streams are over that our side had ended in order: answered, or asked."""
        self.drained: list[int] = []
        """Streams whose queue has emptied enough that their senders may go on; the owner takes them out."""

    @property
    def ready_bytes(self) -> int:
        """How much waits for `data_to_send`, queues not counted."""
        return self._out_bytes

    def queued(self, stream_id: int) -> int:
        """Return how many bytes wait in a stream's queue."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.queued

    def data_to_send(self) -> bytes:
        """Return what is ready, about OUT_BYTES of it at most; call again until it returns nothing."""
        if self._ring and not self.paused:
            self._serve_queues()
        out = self._out
        if not out:
            return b""
        data = b"".join(out)
        out.clear()
        self._out_bytes = self._replies = 0
        self._tail = None
        return data

    def _append(self, frame: bytes) -> None:
        self._out.append(frame)
        self._out_bytes += len(frame)
        self._tail = None

    def _reply(self, frame: bytes) -> None:
        self._replies += 1
        # PING and SETTINGS floods (CVE-2019-9512, CVE-2019-9515): each asks for a frame that nobody reads.
        if self._replies > _MAX_UNREAD_REPLIES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "More acknowledgements are asked for than are read.")
        self._append(frame)

    def _append_block(self, stream: Stream, block: bytes, *, end_stream: bool, bodiless: bool = False) -> None:
        """Make a head ready; a `bodiless` one takes END_STREAM in when the end comes right behind it.

        No other does: grpc-go never ends a stream whose request had its end in HEADERS, and a gRPC response with its
        end there is another one (trailers only) than with an empty DATA.
        """
        if self._table_prefix:  # RFC 7541 4.2: at the start of the next block
            block, self._table_prefix = self._table_prefix + block, b""
        size = len(block)
        if size > self._peer_max_frame:
            self._append(frames.continued(stream.id, block, end_stream=end_stream, max_bytes=self._peer_max_frame))
            return
        flags = _WHOLE_AND_LAST if end_stream else frames.END_HEADERS
        self._out.append(frames.frame_header(size, frames.HEADERS, flags, stream.id))
        self._out.append(block)
        self._out_bytes += size + frames.HEADER_BYTES
        self._tail = stream if bodiless else None

    def _send_data(self, stream: Stream, data: bytes) -> bool:
        """Send or queue a piece of a body; True when the stream's queue is full."""
        if not stream.our_side_open:
            return False
        self._pieces += 1
        view = memoryview(data)  # slices without copies
        if not stream.queue and not self.paused:
            view = view[self._write_data(stream, view, OUT_BYTES - self._out_bytes) :]
            if not view:
                return False
        if _is_ended(stream):
            return False
        self._enqueue(stream, view)
        stream.queued += len(view)
        if stream.queued >= QUEUE_BYTES or len(stream.queue) >= _QUEUE_PIECES:
            stream.full = True
        return stream.full

    def _send_last(self, stream: Stream, last: Trailers | EndMarker) -> None:
        if not stream.our_side_open:
            return
        if not stream.queue and not self.paused:
            self._write_last(stream, last)
        elif not _is_ended(stream):
            self._enqueue(stream, last)

    def _enqueue(self, stream: Stream, item: memoryview | Trailers | EndMarker) -> None:
        if not stream.queue:
            self._waiting += 1
        stream.queue.append(item)
        self._into_ring(stream)

    def _write_data(self, stream: Stream, view: memoryview, room: int) -> int:
        """Write frames while windows and `room` allow it; return how many bytes went."""
        written = 0
        out, stream_id = self._out, stream.id
        while room > 0 and written < len(view):
            size = min(len(view) - written, self._peer_max_frame, stream.send_window, self._send_window)
            if size <= 0:
                break
            stream.send_window -= size
            self._send_window -= size
            out.append(frames.frame_header(size, frames.DATA, 0, stream_id))
            out.append(view[written : written + size])
            written += size
            room -= size + frames.HEADER_BYTES
            self._out_bytes += size + frames.HEADER_BYTES
        if written:
            stream.sent += written
            self.bytes_sent += written
            self._tail = stream
        return written

    def _write_last(self, stream: Stream, last: Trailers | EndMarker) -> None:
        block = heads.write_trailers(last.headers) if isinstance(last, Trailers) else b""
        if block:
            self._append_block(stream, block, end_stream=True)
        # END_STREAM is set in the last frame when it is still here: one frame less per response.
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
        elif stream.deserted:  # RFC 9113 8.1: NO_ERROR, only nothing more is wanted
            self.reset(stream.id, ErrorCode.NO_ERROR)

    def _into_ring(self, stream: Stream) -> None:
        if stream.queue and not stream.ringed:
            stream.ringed = True
            self._ring.append(stream)

    def _serve_queues(self) -> None:
        ring = self._ring
        in_vain = 0
        while ring and self._out_bytes < OUT_BYTES and in_vain < len(ring):
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
        if stream.full and stream.queued * 2 < QUEUE_BYTES and len(stream.queue) * 2 < _QUEUE_PIECES:
            stream.full = False
            self.drained.append(stream.id)
        return written > 0

    # -- the end of streams -------------------------------------------------------------------------------------------

    def _remove(self, stream: Stream, how: Ended) -> None:
        self._streams.pop(stream.id, None)
        self._ended.note(stream.id, how)
        if not stream.our_side_open:
            self._completed += 1
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


def _is_ended(stream: Stream) -> bool:
    """Say whether the end of our message is queued: nothing comes behind it."""
    return bool(stream.queue) and not isinstance(stream.queue[-1], memoryview)
