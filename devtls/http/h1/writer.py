"""Heads and chunks as bytes: the one place where HTTP/1 leaves the program.

Owns serialisation. Refuses to write a field that would end its line early, so that nothing above it can split a
message. Strategy: status lines are made once, a head is one `join`, one pass over the fields drops what belongs to the
codec (Connection, Transfer-Encoding) and finds Content-Length on the way.
"""

from __future__ import annotations

from devtls.errors import LocalProtocolError
from devtls.http.events import Headers, RememberedHeaders
from devtls.http.h1.fields import CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE, kind_of

LAST_CHUNK = b"0\r\n\r\n"
CONNECTION_CLOSE = b"\r\nConnection: close"
CONNECTION_TE = b"\r\nConnection: TE"
CONNECTION_UPGRADE = b"\r\nConnection: Upgrade"
CONNECTION_KEEP_ALIVE = b"\r\nConnection: keep-alive"
TRANSFER_CHUNKED = b"\r\nTransfer-Encoding: chunked"

_REASONS = {
    100: b"Continue",
    101: b"Switching Protocols",
    102: b"Processing",
    103: b"Early Hints",
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    203: b"Non-Authoritative Information",
    204: b"No Content",
    205: b"Reset Content",
    206: b"Partial Content",
    207: b"Multi-Status",
    208: b"Already Reported",
    226: b"IM Used",
    300: b"Multiple Choices",
    301: b"Moved Permanently",
    302: b"Found",
    303: b"See Other",
    304: b"Not Modified",
    305: b"Use Proxy",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    406: b"Not Acceptable",
    407: b"Proxy Authentication Required",
    408: b"Request Timeout",
    409: b"Conflict",
    410: b"Gone",
    411: b"Length Required",
    412: b"Precondition Failed",
    413: b"Content Too Large",
    414: b"URI Too Long",
    415: b"Unsupported Media Type",
    416: b"Range Not Satisfiable",
    417: b"Expectation Failed",
    418: b"I'm a Teapot",
    421: b"Misdirected Request",
    422: b"Unprocessable Content",
    423: b"Locked",
    424: b"Failed Dependency",
    425: b"Too Early",
    426: b"Upgrade Required",
    428: b"Precondition Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    451: b"Unavailable For Legal Reasons",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
    506: b"Variant Also Negotiates",
    507: b"Insufficient Storage",
    508: b"Loop Detected",
    510: b"Not Extended",
    511: b"Network Authentication Required",
}
"""RFC 9110 section 15 and the IANA registry; `http.HTTPStatus` would cost each start 0.5 ms."""
STATUS_LINES = {code: b"HTTP/1.1 %d %b" % (code, reason) for code, reason in _REASONS.items()}

_FORBIDDEN_TRAILERS = frozenset(  # RFC 9110 6.5.1
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


_colon = b": "

Written = tuple[bytes, tuple[bytes, ...], bool]
"""Field lines, each with a CRLF in front; the values of Content-Length among them; whether TE is."""


def write_fields(headers: Headers) -> Written:
    """Return a field list as lines, without Connection and Transfer-Encoding; a remembered list is written once.

    Raises LocalProtocolError when a field holds a line end or NUL.
    """
    if type(headers) is not RememberedHeaders:
        return _write_fields(headers)
    written = headers.written
    if written is None:
        written = headers.written = _write_fields(headers)
    return written


def _write_fields(headers: Headers) -> Written:
    # Usually nothing in the list concerns the codec: to look for that in the whole block costs less than in each field.
    block = _checked([b"", *map(_colon.join, headers)])
    folded = block.lower()
    if not (
        b"\r\ncontent-length:" in folded
        or b"\r\nte:" in folded
        or b"\r\nconnection:" in folded
        or b"\r\ntransfer-encoding:" in folded
    ):
        return block, (), False
    lines = [b""]
    lengths: tuple[bytes, ...] = ()
    has_te = False
    for pair in headers:
        kind = kind_of(pair[0])
        if kind in (CONNECTION, TRANSFER_ENCODING):
            continue
        if kind == CONTENT_LENGTH:
            lengths += (pair[1],)
        elif kind == TE:
            has_te = True
        lines.append(b": ".join(pair))
    return _checked(lines), lengths, has_te


def _checked(lines: list[bytes]) -> bytes:
    block = b"\r\n".join(lines)
    count = len(lines) - 1
    if block.count(b"\n") != count or block.count(b"\r") != count or b"\0" in block:
        raise LocalProtocolError("A header field that was to be sent holds a line end or a NUL.")
    return block


def write_fields_without(headers: Headers, unwanted: int) -> bytes:
    """Return field lines as `write_fields` does, without those of one kind."""
    return _write_fields([field for field in headers if kind_of(field[0]) != unwanted])[0]


def content_length(length: int) -> bytes:
    """Return the line of a Content-Length."""
    return b"\r\nContent-Length: %d" % length


def missing_length(lengths: tuple[bytes, ...], length: int) -> bytes:
    """Return the Content-Length that is still missing; raises LocalProtocolError when the fields say otherwise."""
    if not lengths:
        return b"\r\nContent-Length: %d" % length
    if len(lengths) > 1 or not lengths[0].isdigit() or int(lengths[0]) != length:
        raise LocalProtocolError("The Content-Length that was to be sent is not the length of the body.")
    return b""


def switching_head(reason: bytes, headers: Headers, protocol: bytes) -> bytes:
    """Return a 101: its fields as they are, and those that RFC 9110 7.8 demands when they are missing."""
    lines = [b"", *(b": ".join(pair) for pair in headers)]
    kinds = {kind_of(name) for name, _ in headers}
    # The app's own fields stay as they are: a browser checks Sec-WebSocket-Accept among them.
    extra = b"" if UPGRADE in kinds else b"\r\nUpgrade: " + protocol
    if CONNECTION not in kinds:
        extra += CONNECTION_UPGRADE
    return seal(status_line(101, reason), _checked(lines), extra)


def seal(start_line: bytes, fields: bytes, extra: bytes = b"") -> bytes:
    """Return a whole head; raises LocalProtocolError when the start line holds a line end or NUL."""
    if b"\n" in start_line or b"\r" in start_line or b"\0" in start_line:
        raise LocalProtocolError("A start line that was to be sent holds a line end or a NUL.")
    return b"%b%b%b\r\n\r\n" % (start_line, fields, extra)


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers) -> bytes:
    """Return the end of a chunked body with its trailer section, without the fields that may not stand there."""
    # Trailers that came over HTTP/2 pass here, too: framing must not be changed by them.
    kept = [b": ".join(pair) for pair in trailers if pair[0].lower() not in _FORBIDDEN_TRAILERS]
    if not kept:
        return LAST_CHUNK
    return seal(b"0", _checked([b"", *kept]))
