"""Heads and chunks as bytes: the one place where HTTP/1 leaves the program.

Owns serialisation. Refuses to write a field that would end its line early, so that nothing above it can split a
message. Strategy: status lines are made once, a head is one `join`, one pass over the fields drops what belongs to the
codec (Connection, Transfer-Encoding) and finds Content-Length on the way.
"""

from __future__ import annotations

from http import HTTPStatus

from devtls.errors import LocalProtocolError
from devtls.http.events import Headers
from devtls.http.h1.fields import CONNECTION, CONTENT_LENGTH, KIND_OF_USUAL, TE, TRANSFER_ENCODING, UPGRADE, kind_of

LAST_CHUNK = b"0\r\n\r\n"
CONNECTION_CLOSE = b"Connection: close"
CONNECTION_TE = b"Connection: TE"
CONNECTION_UPGRADE = b"Connection: Upgrade"
CONNECTION_KEEP_ALIVE = b"Connection: keep-alive"
TRANSFER_CHUNKED = b"Transfer-Encoding: chunked"

_REASONS = {int(status): status.phrase.encode("ascii") for status in HTTPStatus}
STATUS_LINES = {code: b"HTTP/1.1 %d %b" % (code, reason) for code, reason in _REASONS.items()}

_FORBIDDEN_TRAILERS = frozenset(
    (
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"host",
        b"keep-alive",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)


def status_line(status: int, reason: bytes) -> bytes:
    """Return `HTTP/1.1 <status> <reason>`; an empty reason becomes the usual one."""
    if not reason or reason == _REASONS.get(status):
        line = STATUS_LINES.get(status)
        if line is not None:
            return line
    return b"HTTP/1.1 %d %b" % (status, reason)


def head_lines(start_line: bytes, headers: Headers) -> tuple[list[bytes], list[bytes], bool]:
    """Return (lines without Connection and Transfer-Encoding, the Content-Lengths, whether there is a TE)."""
    lines = [start_line]
    lengths: list[bytes] = []
    has_te = False
    for pair in headers:
        kind = KIND_OF_USUAL.get(pair[0])
        if kind is None:
            kind = kind_of(pair[0])
        if kind:
            if kind in (CONNECTION, TRANSFER_ENCODING):
                continue
            if kind == CONTENT_LENGTH:
                lengths.append(pair[1])
            elif kind == TE:
                has_te = True
        lines.append(b": ".join(pair))
    return lines, lengths, has_te


def without_lengths(lines: list[bytes]) -> list[bytes]:
    """Return head lines without Content-Length."""
    return [line for line in lines if kind_of(line.partition(b":")[0]) != CONTENT_LENGTH]


def content_length(length: int) -> bytes:
    """Return the line of a Content-Length."""
    return b"Content-Length: %d" % length


def settle_length(lines: list[bytes], lengths: list[bytes], length: int) -> None:
    """Make the lines carry exactly one Content-Length, `length`; raises LocalProtocolError when they say otherwise."""
    if not lengths:
        lines.append(b"Content-Length: %d" % length)
    elif len(lengths) > 1 or not lengths[0].isdigit() or int(lengths[0]) != length:
        raise LocalProtocolError("The Content-Length that was to be sent is not the length of the body.")


def switching_lines(reason: bytes, headers: Headers, protocol: bytes) -> list[bytes]:
    """Return the lines of a 101: its fields as they are, and those that RFC 9110 7.8 demands when they are missing."""
    lines = [status_line(101, reason), *(b": ".join(pair) for pair in headers)]
    kinds = {kind_of(name) for name, _ in headers}
    if UPGRADE not in kinds:
        lines.append(b"Upgrade: " + protocol)
    if CONNECTION not in kinds:
        lines.append(CONNECTION_UPGRADE)
    return lines


def seal(lines: list[bytes]) -> bytes:
    """Join lines into a head with its empty last line; raises LocalProtocolError for a line with a line end or NUL."""
    count = len(lines) + 1
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
        raise LocalProtocolError("A header field that was to be sent holds a line end or a NUL.")
    return head


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers) -> bytes:
    """Return the end of a chunked body with its trailer section, without the fields that may not stand there."""
    kept = [b": ".join(pair) for pair in trailers if pair[0].lower() not in _FORBIDDEN_TRAILERS]
    if not kept:
        return LAST_CHUNK
    return seal([b"0", *kept])


def asking_for(protocol: bytes, lines: list[bytes]) -> list[bytes]:
    """Return the lines of a request with the Upgrade and Connection fields that ask for `protocol`, once."""
    kept = [line for line in lines if kind_of(line.partition(b":")[0]) != UPGRADE]
    return [*kept, b"Upgrade: " + protocol, CONNECTION_UPGRADE]
