"""Field blocks as they arrive: HEADERS and the CONTINUATIONs behind them become one block (RFC 9113 6.2, 6.10).

Owns the block that is not complete. Refuses blocks that go on without end, before they are anything but bytes
(CVE-2024-27316 and its kin).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from devtls.http.h2 import frames
from devtls.http.h2.frames import ConnectionFault, ErrorCode, protocol_error, without_padding

# Empty CONTINUATIONs add no bytes, so the bytes alone bound nothing.
_MAX_PIECES: Final = 64
_PRIORITY_BYTES: Final = 5  # RFC 9113 6.2


def is_self_dependent(stream_id: int, priority: bytes) -> bool:
    """Say whether the payload of PRIORITY makes a stream depend on itself (RFC 7540 5.3.1: an error of that stream)."""
    return int.from_bytes(priority[:4]) & frames.MAX_STREAM_ID == stream_id


class WholeBlock(NamedTuple):
    """A block and whether its HEADERS ended the stream."""

    block: bytes
    end_stream: bool


class BlockAssembler:
    """One connection's; `stream_id` is 0 while no block is open, `since_s` when the open one began.

    `depends_on_itself` says of the last block that its HEADERS made their stream depend on itself.
    """

    __slots__ = ("_bytes", "_end_stream", "_max_bytes", "_pieces", "depends_on_itself", "since_s", "stream_id")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._end_stream = False
        self.stream_id = 0
        self.since_s = 0.0
        self.depends_on_itself = False

    def begin(self, stream_id: int, flags: int, payload: bytes, now_s: float) -> bytes | None:
        """Take the payload of HEADERS; return the block when that is all of it. Raises ConnectionFault."""
        if flags & frames.PADDED:
            payload = without_padding(payload)
        if flags & frames.PRIORITISED:
            if len(payload) < _PRIORITY_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS are too short for their priority.")
            self.depends_on_itself = is_self_dependent(stream_id, payload)
            payload = payload[_PRIORITY_BYTES:]  # deprecated (RFC 9113 5.3.2)
        else:
            self.depends_on_itself = False
        if flags & frames.END_HEADERS:
            return payload
        self.stream_id, self.since_s = stream_id, now_s
        self._pieces, self._bytes = [payload], len(payload)
        self._end_stream = bool(flags & frames.END_STREAM)
        return None

    def go_on(self, flags: int, payload: bytes) -> WholeBlock | None:
        """Take the payload of a CONTINUATION; return the block with the last one. Raises ConnectionFault."""
        if not self.stream_id:  # RFC 9113 6.10
            raise protocol_error("CONTINUATION without HEADERS.")
        self._pieces.append(payload)
        self._bytes += len(payload)
        if len(self._pieces) > _MAX_PIECES or self._bytes > self._max_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "A field block goes on without end.")
        if not flags & frames.END_HEADERS:
            return None
        whole = WholeBlock(b"".join(self._pieces), self._end_stream)
        self.abandon()
        return whole

    def abandon(self) -> None:
        """Forget the open block."""
        self.stream_id = 0
        self._pieces = []
