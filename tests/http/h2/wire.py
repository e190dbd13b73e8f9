"""Frames made and read by hand, and both codecs past their greetings: what the tests of `http.h2` share."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from devtls.http.events import Headers, Request
from devtls.http.h2 import frames
from devtls.http.h2.client import H2ClientCodec
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.upstream import H2UpstreamCodec

SECRET = b"sixteen bytes!!"
GET: Headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/")]
POST: Headers = [(b":method", b"POST"), *GET[1:]]
CONNECT: Headers = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
OK: Headers = [(b":status", b"200")]


class Frame(NamedTuple):
    """One frame as it was on the wire."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes = b""


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame, whatever it says."""
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 255, kind, flags, stream_id) + payload


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a field block of literals without indexing, whatever they say."""
    return b"".join(b"\x00" + string(name) + string(value) for name, value in fields)


def string(text: bytes) -> bytes:
    """Return a string of HPACK without Huffman."""
    return integer(len(text), 7) + text


def integer(number: int, bits: int, first: int = 0) -> bytes:
    """Return an integer of HPACK behind a prefix of `bits`."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((first | number,))
    wire, number = [first | most], number - most
    while number >= 128:
        wire.append(number & 127 | 128)
        number >>= 7
    return bytes((*wire, number))


def headers(stream_id: int, fields: Iterable[tuple[bytes, bytes]], *, end_stream: bool = True) -> bytes:
    """Return HEADERS that need no CONTINUATION."""
    flags = frames.END_HEADERS | (frames.END_STREAM if end_stream else 0)
    return frame(frames.HEADERS, flags, stream_id, block(fields))


def data(stream_id: int, payload: bytes = b"", *, end_stream: bool = False) -> bytes:
    """Return DATA."""
    return frame(frames.DATA, frames.END_STREAM if end_stream else 0, stream_id, payload)


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE."""
    return frame(frames.WINDOW_UPDATE, 0, stream_id, struct.pack(">L", increment))


def rst_stream(stream_id: int, code: int = 8) -> bytes:
    """Return a RST_STREAM."""
    return frame(frames.RST_STREAM, 0, stream_id, struct.pack(">L", code))


def goaway(last_stream_id: int, code: int = 0) -> bytes:
    """Return a GOAWAY."""
    return frame(frames.GOAWAY, 0, 0, struct.pack(">LL", last_stream_id, code))


def settings(pairs: dict[int, int] | None = None) -> bytes:
    """Return SETTINGS."""
    return frame(frames.SETTINGS, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in (pairs or {}).items()))


def parse(wire: bytes) -> list[Frame]:
    """Return the frames of `bytes`, which end with one."""
    found, position = [], 0
    while position < len(wire):
        high, low, kind, flags, stream_id = struct.unpack_from(">HBBBL", wire, position)
        end = position + 9 + (high << 8 | low)
        assert end <= len(wire)
        found.append(Frame(kind, flags, stream_id, wire[position + 9 : end]))
        position = end
    return found


def sent(endpoint: H2ClientCodec | H2UpstreamCodec) -> list[Frame]:
    """Return the frames that wait to be sent."""
    return parse(sent_bytes(endpoint))


def sent_bytes(endpoint: H2ClientCodec | H2UpstreamCodec) -> bytes:
    """Return what waits to be sent, call after call."""
    wire = b""
    while piece := endpoint.data_to_send():
        wire += piece
    return wire


def code_of(found: Frame) -> int:
    """Return the error code of a RST_STREAM or GOAWAY."""
    return int.from_bytes(found.payload[:4] if found.kind == frames.RST_STREAM else found.payload[4:8])


def codes(endpoint: H2ClientCodec | H2UpstreamCodec) -> list[tuple[int, int]]:
    """Return (stream, error code) of the RST_STREAMs and GOAWAYs (stream 0) that wait to be sent."""
    ends = (frames.RST_STREAM, frames.GOAWAY)
    return [(found.stream_id, code_of(found)) for found in sent(endpoint) if found.kind in ends]


def opened_server(limits: H2Limits | None = None, pairs: dict[int, int] | None = None) -> H2ClientCodec:
    """Return a server whose client has greeted it with `pairs`; its own greeting is sent."""
    server = H2ClientCodec(limits or H2Limits(), SECRET)
    assert server.receive_data(frames.PREFACE + settings(pairs) + frames.SETTINGS_ACK, 0.0) == []
    server.data_to_send()
    return server


def opened_client(limits: H2Limits | None = None, pairs: dict[int, int] | None = None) -> H2UpstreamCodec:
    """Return a client whose upstream has greeted it with `pairs`; its own greeting is sent."""
    client = H2UpstreamCodec(limits or H2Limits(), b"http")
    assert client.receive_data(settings(pairs) + frames.SETTINGS_ACK, 0.0) == []
    client.data_to_send()
    return client


def asked(label: int = 1, *, method: bytes = b"GET", length: int | None = 0, upgrade: bytes = b"") -> Request:
    """Return a request for an upstream."""
    return Request(label, method, b"/", b"a.test", [(b"Host", b"a.test")], length, upgrade=upgrade)
