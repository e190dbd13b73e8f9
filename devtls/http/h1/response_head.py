"""The heads of responses: as tolerant towards an app as browsers are, as long as it is clear where its body ends.

Owns status lines (RFC 9112 section 4) and the end of a head that is not as it should be: lines that end in a bare LF,
any version (`HTTP/2.0 404 Not Found` from PHP), more than one space in front of the status, a reason with control
characters. Caddy 2.11, nginx 1.22 and Chromium take all of these (tried). Refuses what one of them refuses or reads
differently: control characters in fields, a bare CR, an empty line in front, lines that are no fields. Strategy: the
usual head takes the strict parser's path, and only one that it refuses is looked at again; what is made of it is
written out in proper form.
"""

from __future__ import annotations

import re

from devtls.errors import ProtocolViolation
from devtls.http.events import InformationalResponse, Response
from devtls.http.h1.fields import parse_repaired
from devtls.http.h1.framing import ResponseFrame, frame_interim, frame_response
from devtls.http.h1.head import HeadLimits, HeadMemo, check_line_length, head_too_long
from devtls.http.h1.writer import STATUS_LINES

RESPONSE_LIMITS = HeadLimits(max_head_bytes=262_144, max_fields=1_000)
"""What the head of a response may cost when nothing else is said."""

# A reason may be missing with its space.
_STATUS_LINE = re.compile(
    rb"HTTP/([0-9]{1,3})(?:\.([0-9]{1,3}))? +([1-9][0-9]{2})(?: ([^\x00\r\n]*))?", re.IGNORECASE | re.DOTALL
)
_NOT_IN_REASON = bytes(code for code in (*range(0x20), 0x7F) if code != ord("\t"))
_USUAL_STATUS_LINES = {line: (True, code, line[13:]) for code, line in STATUS_LINES.items()}
_BODILESS = frozenset((204, 205, 304))
# As Chromium, nginx and Go: the CR in front of a LF may be missing.
_HEAD_END = re.compile(rb"\n\r?\n")
_QUOTED_BYTES = 40


class ResponseSplitter:
    """Holds the bytes of a response's head until it is complete."""

    __slots__ = ("_held", "_limits", "_line_is_checked")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._held = bytearray()
        self._line_is_checked = False

    @property
    def held(self) -> bytes:
        """What has come of a head that is not complete."""
        return bytes(self._held)

    def whole(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return (head, what follows it) in the usual case, a proper head that is whole in one read; else None.

        The caller parses it strictly. What that refuses may have ended before: ask `split`.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0 or self._held or end > self._limits.max_head_bytes - 4:
            return None
        return data[:end], data[end + 4 :]

    def split(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Add `data`; return (head in proper form, what follows it), or None while it is incomplete.

        Raises ProtocolViolation.
        """
        held = self._held
        searched = max(0, len(held) - 2)  # the end may be cut after LF CR
        held += data
        found = _HEAD_END.search(held, searched)
        size = len(held) if found is None else found.end()
        if not self._line_is_checked:
            self._check_line(held.find(b"\n"))
        if size > self._limits.max_head_bytes or (found is None and size == self._limits.max_head_bytes):
            raise head_too_long(self._limits.max_head_bytes)
        if found is None:
            return None
        head, rest = bytes(held[: found.start()]).removesuffix(b"\r"), bytes(held[size:])
        held.clear()
        self._line_is_checked = False
        return head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), rest

    def _check_line(self, line_end: int) -> None:
        """Judge the first line as soon as it is here: an app that speaks something else may never end its head."""
        if line_end < 0:
            check_line_length(bytes(self._held), self._limits, partial=True)
        else:
            parse_status_line(bytes(self._held[:line_end]).removesuffix(b"\r"), self._limits)
            self._line_is_checked = True


def parse_status_line(line: bytes, limits: HeadLimits) -> tuple[bool, int, bytes]:
    """Return (is HTTP/1.1, status, reason); every version above 1.1 stands for 1.1 here."""
    usual = _USUAL_STATUS_LINES.get(line)
    if usual is not None:
        return usual
    found = _STATUS_LINE.fullmatch(line)
    if found is None or len(line) > limits.max_start_line_bytes:
        check_line_length(line, limits)
        shown = line[:_QUOTED_BYTES].decode("ascii", "replace")
        raise ProtocolViolation(
            "The status line is not a version, a status and a reason.", summary=f'bad status line "{shown}"'
        )
    # `HTTP/2` has no minor version (RFC 9113 8.1), and frameworks write it so.
    version = int(found[1]), int(found[2] or 0)
    return version >= (1, 1), int(found[3]), (found[4] or b"").translate(None, _NOT_IN_REASON).strip(b" ")


def parse_response(
    head: bytes, request: tuple[int, bytes], limits: HeadLimits, memo: HeadMemo
) -> tuple[InformationalResponse | Response, ResponseFrame]:
    """Return a complete response head and its framing; `request` is (stream, method). Raises ProtocolViolation."""
    line, _, block = head.partition(b"\r\n")
    is_1_1, status, reason = parse_status_line(line, limits)
    stream_id, method = request
    # Only these are framed by their fields alone; the others depend on method and status.
    if is_1_1 and method != b"HEAD" and status >= 200 and status not in _BODILESS:
        headers, frame = memo.response(block, limits.max_fields)
        return Response(stream_id, status, headers, reason, frame.body_length, b"1.1", frame.close_delimited), frame
    headers, acted = parse_repaired(block, limits.max_fields, memo.lines)
    if status < 200:
        return InformationalResponse(stream_id, status, headers, reason), frame_interim(acted)
    frame = frame_response(status, method, acted, is_1_1=is_1_1)
    if frame.repair is not None:
        headers = frame.repair(headers)
    version = b"1.1" if is_1_1 else b"1.0"
    response = Response(stream_id, status, headers, reason, frame.body_length, version, frame.close_delimited)
    return response, frame
