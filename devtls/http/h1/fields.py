"""Field lines: a block of `name: value` lines into a field list, and the few fields that HTTP/1 itself acts on.

Owns the syntax of RFC 9112 section 5 and RFC 9110 section 5. Refuses control characters, bare CR and LF, names that
are no token, whitespace before the colon and, in requests, folded lines. Strategy: one `translate` clears the whole
block of bad bytes; a line that this connection has seen is looked up; one that it has not seen is judged, and usual
names need no regular expression for that.
"""

from __future__ import annotations

import re
from typing import Final

from devtls.errors import ProtocolViolation
from devtls.http.events import Headers

Acted = list[tuple[int, bytes]]
"""The fields that HTTP/1 acts on, as (kind, value) in the order of their lines."""

LineMemo = dict[bytes, tuple[tuple[bytes, bytes], int]]
"""Lines that a connection has seen, parsed: most lines of a message repeat those of the one before (2 us of 6)."""

PLAIN: Final = 0
CONTENT_LENGTH: Final = 1
TRANSFER_ENCODING: Final = 2
CONNECTION: Final = 3
HOST: Final = 4
EXPECT: Final = 5
UPGRADE: Final = 6
KEEP_ALIVE: Final = 7
TE: Final = 8

_MAX_REMEMBERED = 64  # lines of one connection
_MAX_REMEMBERED_BYTES = 512
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FOLD = re.compile(rb"\r\n[ \t]+")
# RFC 9112 5.1: in a request it is refused, in a response removed.
_SPACE_BEFORE_COLON = re.compile(rb"(?m)^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:")
_CONTROLS_AND_CRLF = bytes(code for code in (*range(0x20), 0x7F) if code != ord("\t"))

_ACTED_ON = {
    b"Content-Length": CONTENT_LENGTH,
    b"Transfer-Encoding": TRANSFER_ENCODING,
    b"Connection": CONNECTION,
    b"Host": HOST,
    b"Expect": EXPECT,
    b"Upgrade": UPGRADE,
    b"Keep-Alive": KEEP_ALIVE,
    b"TE": TE,
}
_ACTED_ON_FOLDED = {name.lower(): kind for name, kind in _ACTED_ON.items()}
_USUAL = (
    b"Accept|Accept-Encoding|Accept-Language|Accept-Ranges|Access-Control-Allow-Origin|Age|Authorization|Cache-Control"
    b"|Content-Disposition|Content-Encoding|Content-Language|Content-Security-Policy|Content-Type|Cookie|DNT|Date|ETag"
    b"|Expires|If-Modified-Since|If-None-Match|If-Range|Last-Modified|Link|Location|Origin|Pragma|Priority|Range|Referer"
    b"|sec-ch-ua|sec-ch-ua-mobile|sec-ch-ua-platform|Sec-Fetch-Dest|Sec-Fetch-Mode|Sec-Fetch-Site|Sec-Fetch-User"
    b"|Sec-GPC|Sec-WebSocket-Accept|Sec-WebSocket-Extensions|Sec-WebSocket-Key|Sec-WebSocket-Protocol"
    b"|Sec-WebSocket-Version|Server|Set-Cookie|Trailer|Upgrade-Insecure-Requests|User-Agent|Vary|Via|WWW-Authenticate"
    b"|X-Content-Type-Options|X-Forwarded-For|X-Forwarded-Host|X-Forwarded-Port|X-Forwarded-Proto|X-Frame-Options"
    b"|X-Powered-By|X-Request-Id|X-Requested-With"
).split(b"|")

KIND_OF_USUAL: Final[dict[bytes, int]] = {
    **{spelling: PLAIN for name in _USUAL for spelling in (name, name.lower())},
    **_ACTED_ON,
    **_ACTED_ON_FOLDED,
}
"""The kind of each usual spelling; hot loops ask here before they call `kind_of`."""


def kind_of(name: bytes) -> int:
    """Return which of the kinds above `name` is, in whatever case; PLAIN for all others."""
    return _ACTED_ON_FOLDED.get(name.lower(), PLAIN)


def is_token(text: bytes) -> bool:
    """Say whether `text` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def list_members(values: list[bytes]) -> list[bytes]:
    """Return the members of a comma-separated list over several lines, in lower case, without empty ones."""
    members = [member.strip(b" \t") for member in b",".join(values).lower().split(b",")]
    return [member for member in members if member]


def bad_bytes() -> ProtocolViolation:
    """Return the one error for bytes that no head may hold; one text, so that no split of the input changes it."""
    return ProtocolViolation(
        "The head holds a control character or a bare CR or LF.", summary="control character or bare CR in the head"
    )


def check_bytes(block: bytes) -> None:
    """Refuse control characters and any CR or LF that is not part of a CRLF (RFC 9112 2.2, RFC 9110 5.5)."""
    if len(block) - len(block.translate(None, _CONTROLS_AND_CRLF)) != 2 * block.count(b"\r\n"):
        raise bad_bytes()


def unfold(block: bytes) -> bytes:
    """Return a response's block with folded lines joined and spaces before colons removed (RFC 9112 5.1, 5.2)."""
    if b"\r\n " in block or b"\r\n\t" in block:
        block = _FOLD.sub(b" ", block)
    if b" :" in block or b"\t:" in block:
        block = _SPACE_BEFORE_COLON.sub(rb"\1:", block)
    return block


def too_many_fields(max_fields: int) -> ProtocolViolation:
    """Return the error for a head with more fields than its limit, `max_fields` or `max_response_fields`."""
    return ProtocolViolation(
        f"The head has more than {max_fields} fields.",
        status=431,
        summary=f"more than {max_fields} fields: max_response_fields",
    )


def parse_repaired(block: bytes, max_fields: int, memo: LineMemo) -> tuple[Headers, Acted]:
    """Parse the lines of a response, and repair what a proxy has to; raises ProtocolViolation."""
    try:
        return parse_fields(block, max_fields, memo)
    except ProtocolViolation:
        # what a proxy has to repair never passes the strict parser: to look for it first would cost each response 1 us
        return parse_fields(unfold(block), max_fields, memo)


def parse_fields(block: bytes, max_fields: int, memo: LineMemo) -> tuple[Headers, Acted]:
    """Parse lines separated by CRLF; raises ProtocolViolation (400, 431)."""
    headers: Headers = []
    acted: Acted = []
    if not block:
        return headers, acted
    lines = block.split(b"\r\n")
    # each CRLF between lines is two control characters: one more is one too many (0.2 us; a regex takes 1)
    if len(block) - len(block.translate(None, _CONTROLS_AND_CRLF)) != 2 * (len(lines) - 1):
        raise bad_bytes()
    if len(lines) > max_fields:
        raise too_many_fields(max_fields)
    recall = memo.get
    for line in lines:
        field = recall(line)
        if field is None:
            field = _parse_line(line, memo)
        headers.append(field[0])
        if field[1]:
            acted.append((field[1], field[0][1]))
    return headers, acted


def _parse_line(line: bytes, memo: LineMemo) -> tuple[tuple[bytes, bytes], int]:
    name, colon, value = line.partition(b":")
    kind = KIND_OF_USUAL.get(name)
    if kind is None:
        kind = _kind_of_unusual(name)
    if not colon:
        raise ProtocolViolation("A header line has no colon.", summary="a header line without a colon")
    field = (name, value.strip(b" \t")), kind  # RFC 9110 5.5: not part of the value; other whitespace is
    if len(line) <= _MAX_REMEMBERED_BYTES:
        if len(memo) >= _MAX_REMEMBERED:
            # All at once: to keep an order of use would cost each line.
            memo.clear()
        memo[line] = field
    return field


def _kind_of_unusual(name: bytes) -> int:
    if _TOKEN.fullmatch(name) is None:
        # RFC 9112 2.2, 5.2: a folded line, or one behind the start line that could hide a field.
        if name[:1] in (b" ", b"\t"):
            raise ProtocolViolation(
                "A header line starts with whitespace.", summary="the first header line starts with whitespace"
            )
        raise ProtocolViolation("The name of a header field is not a token.", summary="bad name of a header field")
    return kind_of(name)
