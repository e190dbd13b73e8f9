"""The wire of HTTP/2: frame headers, types, flags, settings and error codes (RFC 9113 sections 4, 6 and 7).

Owns the bytes of every frame that we send. Refuses nothing: who reads frames checks them (`endpoint`). Strategy: a
frame header is one `struct` call; what is sent often (acknowledgements, resets) is a few bytes made on the spot.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEADER_BYTES: Final = 9
MIN_FRAME_BYTES: Final = 16384
"""Every endpoint takes frames of this size (RFC 9113 4.2)."""
MAX_FRAME_BYTES: Final = 2**24 - 1
MAX_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65535
MAX_STREAM_ID: Final = 2**31 - 1

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITISED: Final = 0x20

SETTINGS_HEADER_TABLE_SIZE: Final = 1
SETTINGS_ENABLE_PUSH: Final = 2
SETTINGS_MAX_CONCURRENT_STREAMS: Final = 3
SETTINGS_INITIAL_WINDOW_SIZE: Final = 4
SETTINGS_MAX_FRAME_SIZE: Final = 5
SETTINGS_MAX_HEADER_LIST_SIZE: Final = 6
SETTINGS_ENABLE_CONNECT_PROTOCOL: Final = 8
"""RFC 8441 section 3."""


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """The peer broke the connection's rules: it ends with GOAWAY. Never leaves `http.h2`."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StreamFault(Exception):
    """The peer broke the rules of one stream: that one ends with RST_STREAM. Never leaves `http.h2`."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def protocol_error(reason: str) -> ConnectionFault:
    """Return the fault of a peer that breaks the protocol in no other named way."""
    return ConnectionFault(ErrorCode.PROTOCOL_ERROR, reason)


def without_padding(payload: bytes) -> bytes:
    """Return a padded payload's content (RFC 9113 6.1). Raises ConnectionFault."""
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "A padded frame has no length of its padding.")
    end = len(payload) - payload[0]
    if end < 1:  # RFC 9113 6.1
        raise protocol_error("The padding is as long as the frame.")
    return payload[1:end]


_header = struct.Struct(">HBBBL")  # the length has 24 bits, which struct does not know
unpack_header = _header.unpack_from
"""Return (length >> 8, length & 255, type, flags, stream with the reserved bit) at an offset."""
_pack = _header.pack
_two = struct.Struct(">LL").pack
_long = struct.Struct(">L").pack
_setting = struct.Struct(">HL")


def frame_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """Return the nine bytes before a payload."""
    return _pack(length >> 8, length & 255, kind, flags, stream_id)


def continued(stream_id: int, block: bytes, *, end_stream: bool, max_bytes: int) -> bytes:
    """Return a field block that is too long for a frame: HEADERS, and CONTINUATIONs behind it."""
    ends = END_STREAM if end_stream else 0
    pieces = [block[start : start + max_bytes] for start in range(0, len(block), max_bytes)]
    last = len(pieces) - 1
    return b"".join(
        frame_header(len(piece), CONTINUATION if place else HEADERS, _continued(place, last, ends), stream_id) + piece
        for place, piece in enumerate(pieces)
    )


def _continued(place: int, last: int, ends: int) -> int:
    # END_STREAM stands on HEADERS, END_HEADERS on the last frame (RFC 9113 6.2, 6.10).
    return (0 if place else ends) | (END_HEADERS if place == last else 0)


def settings(pairs: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    payload = b"".join(_setting.pack(key, value) for key, value in pairs.items())
    return frame_header(len(payload), SETTINGS, 0, 0) + payload


SETTINGS_ACK: Final = frame_header(0, SETTINGS, ACK, 0)


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the pairs of a SETTINGS payload, whose length is a multiple of six."""
    return list(_setting.iter_unpack(payload))


def ping(payload: bytes, *, ack: bool) -> bytes:
    """Return a PING with its eight bytes."""
    return frame_header(8, PING, ACK if ack else 0, 0) + payload


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM."""
    return _pack(0, 4, RST_STREAM, 0, stream_id) + _long(code)


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE; stream 0 is the connection."""
    return _pack(0, 4, WINDOW_UPDATE, 0, stream_id) + _long(increment)


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY; `debug` is for people who look at the wire."""
    return frame_header(8 + len(debug), GOAWAY, 0, 0) + _two(last_stream_id, code) + debug


def error_name(code: int) -> str:
    """Return an error code's name, for logs: a peer may send any number."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error {code}"
