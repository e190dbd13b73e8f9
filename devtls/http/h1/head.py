"""Heads: finding where one ends in a stream of bytes, and parsing requests from it.

Owns request lines (RFC 9112 section 3), the limits, and the split between a head and what follows it. Refuses
HTTP/0.9, every version but 1.0 and 1.1, doubled spaces, and whatever `fields`, `target` and `framing` refuse; apps are
forgiven more (`response_head`).
Strategy: a complete head within its limits takes a path of few calls; anything else takes a slow path that judges what
has arrived so far in the order of the wire, so that an error does not depend on how the bytes were cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from devtls.errors import ProtocolViolation
from devtls.http.events import Headers, RememberedHeaders, Request
from devtls.http.h1.fields import LineMemo, bad_bytes, check_bytes, is_token, parse_fields, parse_repaired
from devtls.http.h1.framing import RequestFrame, ResponseFrame, frame_request, frame_response
from devtls.http.h1.target import resolve_target

_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"))
# Bytes above ASCII are `resolve_target`'s to judge.
_IN_TARGET = bytes(code for code in range(0x21, 0x100) if code not in (ord("#"), 0x7F))
_IN_START_LINE = bytes(code for code in range(0x100) if code >= 0x20 and code != 0x7F)
_VERSION = re.compile(rb"[A-Z]+/[0-9]+\.[0-9]+")
_START_LINE_SLACK = 256  # for the method, the version, the spaces
_BLANK_LINES = 2  # old clients send a CRLF behind a POST
_CR = 0x0D


class HeadLimits(msgspec.Struct, frozen=True):
    """What heads may cost: bytes of one (its end included), its fields, bytes of a target, 1xx before an answer."""

    max_head_bytes: int = 65536
    max_fields: int = 256
    max_target_bytes: int = 16384
    max_informational: int = 100

    @property
    def max_start_line_bytes(self) -> int:
        """Bytes of a start line: the target's and a method's, a version's or a reason's."""
        return self.max_target_bytes + _START_LINE_SLACK


# Per connection: thousands of them must not hold much.
_MAX_BLOCKS = 8
_MAX_BLOCK_BYTES = 4096


class HeadMemo:
    """What one connection's heads were made of: single lines, and whole field blocks with their framing.

    A browser repeats most of its lines, a program that polls repeats its whole request; so does an app the head of its
    answer within the second that its Date lasts. A block is kept when it comes for the second time, so that those that
    never do cost little. At most 8 of each, of 4 KiB; the list that a block stands for is shared by its messages.
    """

    __slots__ = ("_requests", "_responses", "_seen", "heads", "lines")

    def __init__(self) -> None:
        self.lines: LineMemo = {}
        self.heads: dict[bytes, tuple[Request, bool]] = {}
        self._seen: dict[bytes, bool] = {}
        self._requests: dict[bytes, tuple[Headers, RequestFrame]] = {}
        self._responses: dict[bytes, tuple[Headers, ResponseFrame]] = {}

    def request(self, block: bytes, max_fields: int) -> tuple[Headers, RequestFrame]:
        """Return the fields of an HTTP/1.1 request and its framing; raises ProtocolViolation."""
        known = self._requests.get(block)
        if known is None:
            headers, acted = parse_fields(block, max_fields, self.lines)
            known = headers, frame_request(acted, is_1_1=True)
            # RememberedHeaders cost more to make: only for what comes again.
            if self._comes_again(block):
                known = RememberedHeaders(headers), known[1]
                _remember(self._requests, block, known)
        return known

    def response(self, block: bytes, max_fields: int) -> tuple[Headers, ResponseFrame]:
        """Return the fields of an HTTP/1.1 response with a body, to no HEAD; raises ProtocolViolation."""
        known = self._responses.get(block)
        if known is None:
            headers, acted = parse_repaired(block, max_fields, self.lines)
            frame = frame_response(200, b"GET", acted, is_1_1=True)
            if frame.repair is not None:
                headers = frame.repair(headers)
            if not self._comes_again(block):
                return headers, frame
            known = RememberedHeaders(headers), frame
            _remember(self._responses, block, known)
        return known

    def _comes_again(self, block: bytes) -> bool:
        if block in self._seen:
            return True
        _remember(self._seen, block, True)
        return False


_KnownT = TypeVar("_KnownT")


def _remember(blocks: dict[bytes, _KnownT], block: bytes, known: _KnownT) -> None:
    if len(block) <= _MAX_BLOCK_BYTES:
        if len(blocks) >= _MAX_BLOCKS:
            blocks.clear()
        blocks[block] = known


class HeadSplitter:
    """Holds the bytes of a head until it is complete, and refuses what cannot become one."""

    __slots__ = ("_blank_lines", "_check_start_line", "_checked", "_limits", "_skips_blank_lines", "held")

    def __init__(
        self, limits: HeadLimits, check_start_line: Callable[[bytes], object], *, skips_blank_lines: bool = False
    ) -> None:
        self._limits = limits
        self._check_start_line = check_start_line
        self._skips_blank_lines = skips_blank_lines
        self._blank_lines = 0
        self._checked = 0
        self.held = b""

    def whole(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return what `split` would for the usual case, a head that is whole in one read; None = ask `split`.

        0.4 us less than `split`, which keeps account of what it has seen; every message has a head.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0 or self.held or self._blank_lines or end > self._limits.max_head_bytes - 4 or data[0] == _CR:
            return None
        return data[:end], data[end + 4 :]

    def split(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Add `data`; return (head without its last CRLFCRLF, what follows it), or None while it is incomplete."""
        searched = max(0, len(self.held) - 3)  # the CRLFCRLF may be cut after three bytes
        if self.held:
            data = self.held + data
        if self._skips_blank_lines and data.startswith(b"\r") and not self._checked:
            data = self._skip_blank_lines(data)
            searched = 0
        end = data.find(b"\r\n\r\n", searched)
        if 0 <= end <= self._limits.max_head_bytes - 4:
            self.held = b""
            self._checked = self._blank_lines = 0
            return data[:end], data[end + 4 :]
        self._check_partial(data, end)
        self.held = data
        return None

    def _skip_blank_lines(self, data: bytes) -> bytes:
        # RFC 9112 2.2: a server should ignore an empty line before the request line; endless ones are an attack
        while data.startswith(b"\r\n"):
            self._blank_lines += 1
            if self._blank_lines > _BLANK_LINES:
                raise ProtocolViolation("There are too many empty lines before the request.")
            data = data[2:]
        return data

    def _check_partial(self, data: bytes, end: int) -> None:
        limit = self._limits.max_head_bytes
        visible = data[:limit]
        if not self._checked:
            line_end = visible.find(b"\r\n")
            if line_end < 0:
                check_line_length(visible, self._limits, partial=True)
            else:
                self._check_start_line(visible[:line_end])
                self._checked = line_end + 2
        if self._checked:
            last = visible.rfind(b"\r\n", self._checked)
            if last >= 0:
                check_bytes(visible[self._checked : last])
                self._checked = last + 2
            # Judged at once: a client that ends lines by LF would wait for our response for ever.
            if b"\n" in visible[self._checked :]:
                raise bad_bytes()
        if end >= 0 or len(data) >= limit:
            raise head_too_long(limit)


def head_too_long(limit: int) -> ProtocolViolation:
    """Return the error for a head over its limit, `max_head_bytes` or `max_response_head_bytes`."""
    size = f"{limit} bytes" if limit % 1024 else f"{limit // 1024} KiB"
    return ProtocolViolation(
        f"The head is longer than {limit} bytes.", status=431, summary=f"head over {size}: max_response_head_bytes"
    )


def check_line_length(line: bytes, limits: HeadLimits, *, partial: bool = False) -> None:
    """Refuse a start line with a bare LF or over its limit; a `partial` one may end with the CR of its CRLF."""
    limit = limits.max_start_line_bytes
    if b"\n" in line[: limit + 1]:
        raise bad_bytes()
    if len(line) > limit + partial:
        raise ProtocolViolation(f"The start line is longer than {limit} bytes.", status=414)


def target_too_long(limits: HeadLimits) -> ProtocolViolation:
    """Return the error for a target over its limit (414)."""
    return ProtocolViolation(f"The request target is longer than {limits.max_target_bytes} bytes.", status=414)


def parse_request_line(line: bytes, limits: HeadLimits) -> tuple[bytes, bytes, bool]:
    """Return (method, target, is HTTP/1.1); raises ProtocolViolation with 400, 414 or 505 (RFC 9112 section 3)."""
    parts = line.split(b" ")
    if len(parts) == 3:
        method, target, version = parts
        if (
            version in (b"HTTP/1.1", b"HTTP/1.0")
            and target
            and not target.translate(None, _IN_TARGET)
            and len(target) <= limits.max_target_bytes
            and (method in _METHODS or (is_token(method) and len(line) <= limits.max_start_line_bytes))
        ):
            return method, target, version == b"HTTP/1.1"
    raise _explain_request_line(line, limits)


def _explain_request_line(line: bytes, limits: HeadLimits) -> ProtocolViolation:
    check_line_length(line, limits)
    if line.translate(None, _IN_START_LINE):
        return bad_bytes()
    parts = line.split(b" ")
    if len(parts) == 2 and is_token(parts[0]) and parts[1].startswith(b"/"):
        return ProtocolViolation("HTTP/0.9 is not spoken here.", status=505)
    if len(parts) != 3 or not is_token(parts[0]) or not parts[1] or _VERSION.fullmatch(parts[2]) is None:
        return ProtocolViolation("The request line is not a method, a target and a version.")
    # RFC 9110 15.6.6
    if parts[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        return ProtocolViolation("Only HTTP/1.0 and HTTP/1.1 are spoken in this form.", status=505)
    if len(parts[1]) > limits.max_target_bytes:
        return target_too_long(limits)
    return ProtocolViolation("The request target has a fragment.")


def parse_request(head: bytes, stream_id: int, limits: HeadLimits, memo: HeadMemo) -> tuple[Request, bool]:
    """Return a complete head as (request, whether the client keeps the connection); raises ProtocolViolation."""
    known = memo.heads.get(head)
    if known is None:
        known = _parse_request(head, stream_id, limits, memo)
        if type(known[0].headers) is RememberedHeaders:
            _remember(memo.heads, head, known)
        return known
    same, keep_alive = known
    request = Request(
        stream_id,
        same.method,
        same.target,
        same.authority,
        same.headers,
        same.body_length,
        same.http_version,
        same.expects_continue,
        same.upgrade,
    )
    return request, keep_alive


def _parse_request(head: bytes, stream_id: int, limits: HeadLimits, memo: HeadMemo) -> tuple[Request, bool]:
    line, _, block = head.partition(b"\r\n")
    method, target, is_1_1 = parse_request_line(line, limits)
    if is_1_1:
        headers, frame = memo.request(block, limits.max_fields)
    else:
        headers, acted = parse_fields(block, limits.max_fields, memo.lines)
        frame = frame_request(acted, is_1_1=False)
    if method == b"CONNECT":
        raise ProtocolViolation("This proxy opens no tunnels: CONNECT is not served.", status=501)
    if method == b"TRACE":
        # It would show a script the cookies that are hidden from it (cross-site tracing).
        raise ProtocolViolation("TRACE is not served.", status=405)
    target, authority = resolve_target(method, target, frame.host)
    if len(target) > limits.max_target_bytes:  # it grew: a byte beyond ASCII becomes three
        raise target_too_long(limits)
    upgrade = frame.upgrade if method == b"GET" and frame.body_length == 0 else b""  # RFC 6455 4.1: a GET
    version = b"1.1" if is_1_1 else b"1.0"
    request = Request(
        stream_id, method, target, authority, headers, frame.body_length, version, frame.expects_continue, upgrade
    )
    return request, frame.keep_alive
