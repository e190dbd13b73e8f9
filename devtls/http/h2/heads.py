"""Requests, responses and trailers from field blocks, and blocks from events (RFC 9113 section 8).

Owns pseudo-fields, Host against :authority, cookie crumbs, Content-Length against END_STREAM, and the extended CONNECT
of RFC 8441, which becomes the WebSocket request that an app knows. Refuses what an HTTP/1.1 app could misread before a
byte of it is written: malformed messages are stream errors (StreamFault), those that deserve an answer carry a status
(ProtocolViolation).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final

from devtls.errors import ProtocolViolation
from devtls.http.events import Headers, InformationalResponse, RememberedHeaders, Request, Response
from devtls.http.h1.framing import parse_content_length
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.target import parse_authority
from devtls.http.h1.writer import STATUS_LINES
from devtls.http.h2 import fields
from devtls.http.h2.fields import FieldEntry
from devtls.http.h2.frames import ErrorCode, StreamFault
from devtls.http.h2.hpack import Block, encode_field

HTTP_VERSION: Final = b"2.0"
_BODILESS = frozenset((204, 205, 304))
_STATUS_BLOCKS = {status: encode_field((b":status", b"%d" % status)) for status in STATUS_LINES}
_FORBIDDEN_TRAILERS = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"host",
        b"set-cookie",
        b"te",
        b"trailer",
        *fields.CONNECTION_SPECIFIC,
    )
)


def malformed(reason: str) -> StreamFault:
    """Return the error for a malformed message (RFC 9113 8.1.1)."""
    return StreamFault(ErrorCode.PROTOCOL_ERROR, reason)


class _Head:
    """Entries sorted into pseudo-fields and fields, in one pass."""

    __slots__ = ("_cookie_place", "_cookies", "body_length", "expects", "headers", "host", "pseudo", "websocket")

    def __init__(self, entries: list[FieldEntry]) -> None:
        self.pseudo: dict[int, bytes] = {}
        self.headers: Headers = []
        self.host: bytes | None = None
        self.body_length: int | None = None
        self.expects: list[bytes] = []
        self.websocket: set[int] = set()
        self._cookies: list[bytes] = []
        self._cookie_place = 0
        keep = self.headers.append
        in_pseudo = True
        for entry in entries:
            kind = entry.kind
            if kind == fields.PLAIN:
                in_pseudo = False
                keep(entry.field)
            elif kind >= fields.FIRST_PSEUDO:
                if not in_pseudo or kind in self.pseudo:  # RFC 9113 8.3
                    raise malformed("A pseudo-field comes twice or behind the fields.")
                self.pseudo[kind] = entry.field[1]
            else:
                in_pseudo = False
                self._take(entry, kind)
        if self._cookies:
            # RFC 9113 8.2.3: crumbs are joined before anybody sees them who does not speak HTTP/2.
            self.headers.insert(self._cookie_place, (b"cookie", b"; ".join(self._cookies)))

    def _take(self, entry: FieldEntry, kind: int) -> None:
        if kind == fields.MALFORMED:
            raise malformed(entry.flaw)
        value = entry.field[1]
        if kind == fields.COOKIE:
            if not self._cookies:
                self._cookie_place = len(self.headers)
            self._cookies.append(value)
            return
        if kind == fields.CONTENT_LENGTH:
            if self.body_length is not None:
                raise malformed("There is more than one Content-Length.")
            self.body_length = _length(value)
        elif kind == fields.HOST:
            if self.host is not None:
                raise malformed("There is more than one Host.")
            self.host = value
        elif kind == fields.EXPECT:
            self.expects.append(value.lower())
        else:
            self.websocket.add(kind)
        self.headers.append(entry.field)


def _length(value: bytes) -> int:
    try:
        return parse_content_length(value)
    except ProtocolViolation as violation:
        raise malformed(str(violation)) from None


def check_size(block: Block, limits: HeadLimits) -> None:
    """Refuse a head over its limits. Raises ProtocolViolation (431)."""
    if block.size > limits.max_head_bytes:
        raise ProtocolViolation(f"The head is longer than {limits.max_head_bytes} bytes.", status=431)
    if len(block.entries) > limits.max_fields:
        raise ProtocolViolation(f"The head has more than {limits.max_fields} fields.", status=431)


def read_request(
    block: Block, stream_id: int, limits: HeadLimits, *, end_stream: bool, websocket_key: Callable[[], bytes]
) -> Request:
    """Return a request; `websocket_key` makes the key that the CONNECT of a WebSocket lacks and the app wants.

    Raises StreamFault for a malformed request, ProtocolViolation for one that is answered (400, 405, 414, 417, 431,
    501).
    """
    check_size(block, limits)
    head = _Head(block.entries)
    pseudo = head.pseudo
    method = pseudo.get(fields.METHOD)
    if method is None or fields.STATUS in pseudo:
        raise malformed("The request has no :method, or a :status.")
    protocol = pseudo.get(fields.PROTOCOL)
    if method == b"CONNECT" and protocol is None:
        raise ProtocolViolation("This proxy opens no tunnels: CONNECT is not served.", status=501)
    if protocol is not None and method != b"CONNECT":  # RFC 8441 4
        raise malformed("The request has a :protocol and is no CONNECT.")
    target, scheme = pseudo.get(fields.PATH), pseudo.get(fields.SCHEME)
    if target is None or scheme is None:  # RFC 9113 8.3.1; for extended CONNECT: RFC 8441 4
        raise malformed("The request has no :path or no :scheme.")
    if target == b"*" and method != b"OPTIONS":  # RFC 9113 8.3.1
        raise malformed("Only OPTIONS may have the path *.")
    authority = _authority(pseudo.get(fields.AUTHORITY), head.host)
    _check_answerable(method, target, scheme, head, limits)
    request = Request(stream_id, method, target, authority, head.headers, 0, HTTP_VERSION)
    if protocol is not None:
        if head.body_length:
            raise malformed("The CONNECT of a WebSocket has a Content-Length.")
        return _websocket(request, protocol, head.websocket, websocket_key())
    if not end_stream:
        request.body_length = head.body_length
        request.expects_continue = bool(head.expects) and head.body_length != 0
    elif head.body_length:  # RFC 9113 8.1.1
        raise malformed("The request ends with its head and has a Content-Length.")
    return request


def method_of(block: Block) -> bytes:
    """Return a refused request's method, b"" without a proper one: the answer to a HEAD has no body."""
    return next((entry.field[1] for entry in block.entries if entry.kind == fields.METHOD), b"")


def _authority(authority: bytes | None, host: bytes | None) -> bytes:
    # RFC 9113 8.3.1: Host may stand in for :authority; where both are, they have to say the same.
    try:
        if authority is None and host is None:
            raise malformed("The request names no host.")
        chosen = parse_authority(authority or host or b"")
        if authority is not None and host is not None and parse_authority(host) != chosen:
            raise malformed("Host and :authority name different hosts.")
    except ProtocolViolation as violation:
        raise malformed(str(violation)) from None
    return chosen


def _check_answerable(method: bytes, target: bytes, scheme: bytes, head: _Head, limits: HeadLimits) -> None:
    if scheme.lower() != b"https":
        raise ProtocolViolation("The request's scheme is not https.")
    if len(target) > limits.max_target_bytes:
        raise ProtocolViolation(f"The request target is longer than {limits.max_target_bytes} bytes.", status=414)
    if method == b"TRACE":
        raise ProtocolViolation("TRACE is not served.", status=405)
    if any(expected != b"100-continue" for expected in head.expects):
        raise ProtocolViolation("The only expectation that can be met is 100-continue.", status=417)


def _websocket(request: Request, protocol: bytes, present: set[int], key: bytes) -> Request:
    """Return the GET with an Upgrade that an app knows for an extended CONNECT (RFC 8441 section 5)."""
    if protocol != b"websocket":
        raise ProtocolViolation("The only protocol that is carried over CONNECT is websocket.", status=501)
    request.method = b"GET"
    request.upgrade = b"websocket"
    request.websocket_key = key
    # RFC 8441 5 drops the key: a client's own would not match the one that we check.
    if fields.WEBSOCKET_KEY in present:
        request.headers = [field for field in request.headers if field[0] != b"sec-websocket-key"]
    if fields.WEBSOCKET_VERSION not in present:
        request.headers.append((b"Sec-WebSocket-Version", b"13"))
    request.headers.append((b"Sec-WebSocket-Key", key))
    return request


def make_websocket_key(secret: bytes, stream_id: int) -> bytes:
    """Return a key for a WebSocket's request (RFC 6455 4.1): no client can foretell it."""
    return base64.b64encode(hashlib.blake2b(b"%d" % stream_id, key=secret, digest_size=16).digest())


def read_response(block: Block, stream_id: int, *, method: bytes, end_stream: bool) -> Response | InformationalResponse:
    """Return an upstream's response; its limits are the connection's. Raises StreamFault."""
    head = _Head(block.entries)
    code = head.pseudo.pop(fields.STATUS, None)
    if code is None or head.pseudo:
        raise malformed("The response has no :status, or a pseudo-field of requests.")
    status = int(code)
    if status < 200:
        if status == 101 or end_stream:  # RFC 9113 8.6, 8.1
            raise malformed("An interim response is a 101, or ends its stream.")
        return InformationalResponse(stream_id, status, head.headers)
    if method == b"HEAD" or status in _BODILESS:
        return Response(stream_id, status, head.headers, b"", 0, HTTP_VERSION)
    if not end_stream:
        return Response(stream_id, status, head.headers, b"", head.body_length, HTTP_VERSION)
    if head.body_length:
        raise malformed("The response ends with its head and has a Content-Length.")
    return Response(stream_id, status, head.headers, b"", 0, HTTP_VERSION)


def read_trailers(block: Block, limits: HeadLimits) -> Headers:
    """Return a trailer section. Raises StreamFault, ProtocolViolation (431)."""
    check_size(block, limits)
    head = _Head(block.entries)
    if head.pseudo:
        raise malformed("The trailers have a pseudo-field.")
    return head.headers


# -- writing ----------------------------------------------------------------------------------------------------------


def write_response(status: int, headers: Headers) -> bytes:
    """Return a response's block. Raises LocalProtocolError for a field that would not be one."""
    if type(headers) is RememberedHeaders:
        packed = headers.packed
        if packed is None:
            packed = headers.packed = _write(headers)
        return _status_block(status) + packed
    return _status_block(status) + _write(headers)


def _status_block(status: int) -> bytes:
    return _STATUS_BLOCKS.get(status) or encode_field((b":status", b"%d" % status))


def write_switched(headers: Headers) -> bytes:
    """Return the block that tells a client that its WebSocket is open: what was a 101 (RFC 8441 section 5)."""
    # RFC 8441 5: no Sec-WebSocket-Accept, for there was no key.
    return _STATUS_BLOCKS[200] + _write([field for field in headers if field[0].lower() != b"sec-websocket-accept"])


def write_request(request: Request, scheme: bytes) -> bytes:
    """Return a request's block; Host becomes :authority."""
    authority, headers = _split_host(request)
    pseudo: Headers = [
        (b":method", request.method),
        (b":scheme", scheme),
        (b":authority", authority),
        (b":path", request.target),
    ]
    return _write(pseudo) + _write(headers)


def write_connect(request: Request, scheme: bytes) -> bytes:
    """Return a WebSocket's request as an extended CONNECT (RFC 8441 section 5)."""
    authority, headers = _split_host(request)
    pseudo: Headers = [
        (b":method", b"CONNECT"),
        (b":protocol", request.upgrade),
        (b":scheme", scheme),
        (b":authority", authority),
        (b":path", request.target),
    ]
    return _write(pseudo) + _write([field for field in headers if field[0].lower() != b"sec-websocket-key"])


def _split_host(request: Request) -> tuple[bytes, Headers]:
    hosts = [value for name, value in request.headers if name.lower() == b"host"]
    rest = [field for field in request.headers if field[0].lower() != b"host"]
    # The edited Host, not the client's: the route may have set another one.
    return (hosts[0] if hosts else request.authority), rest


def write_trailers(headers: Headers) -> bytes:
    """Return a trailer section's block, without the fields that may not stand there."""
    return _write([field for field in headers if field[0].lower() not in _FORBIDDEN_TRAILERS])


def _write(headers: Headers) -> bytes:
    return b"".join(map(encode_field, headers))
