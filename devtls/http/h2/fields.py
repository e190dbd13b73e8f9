"""The check of one HTTP/2 field: its kind, its flaw if it has one, its size (RFC 9113 8.2, 8.3).

Owns the syntax of names, values and pseudo-fields. Refuses nothing by itself: a field that is malformed is an entry
that says why, because the block around it must be decoded to its end all the same. Strategy: an entry is made once and
then stands in the decoder's table, so that a field that comes with every request is checked with the first.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from devtls.errors import ProtocolViolation
from devtls.http.h1.fields import is_token
from devtls.http.h1.target import encode_target

PLAIN: Final = 0
COOKIE: Final = 1
CONTENT_LENGTH: Final = 2
HOST: Final = 3
EXPECT: Final = 4
WEBSOCKET_KEY: Final = 5
WEBSOCKET_VERSION: Final = 6
MALFORMED: Final = 7
FIRST_PSEUDO: Final = 8
METHOD: Final = 8
SCHEME: Final = 9
AUTHORITY: Final = 10
PATH: Final = 11
PROTOCOL: Final = 12
STATUS: Final = 13

_KINDS: Final = {
    b"cookie": COOKIE,
    b"content-length": CONTENT_LENGTH,
    b"host": HOST,
    b"expect": EXPECT,
    b"sec-websocket-key": WEBSOCKET_KEY,
    b"sec-websocket-version": WEBSOCKET_VERSION,
    b":method": METHOD,
    b":scheme": SCHEME,
    b":authority": AUTHORITY,
    b":path": PATH,
    b":protocol": PROTOCOL,
    b":status": STATUS,
}
CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
"""RFC 9113 8.2.2: they have no meaning in HTTP/2, and a message with one is malformed."""

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code != ord("\t"))
_IN_PATH = bytes(code for code in range(0x21, 0x100) if code not in (ord("#"), 0x7F))
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*")
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_FIELD_BYTES = 32  # RFC 9113 6.5.2: what a list is charged for each of its fields


class FieldEntry(msgspec.Struct, frozen=True, gc=False):
    """A field and what is known of it; `flaw` is a sentence when it makes its message malformed."""

    field: tuple[bytes, bytes]
    kind: int
    size: int
    flaw: str = ""


def check_field(name: bytes, value: bytes) -> FieldEntry:
    """Return the entry of a field as it was decoded; a path leaves in ASCII, as HTTP/1's (`encode_target`)."""
    kind = _KINDS.get(name, PLAIN)
    size = len(name) + len(value) + _FIELD_BYTES  # of what was sent: both sides' tables count it
    flaw = _flaw(name, value, kind)
    if kind == PATH and not flaw and not value.isascii():
        try:
            value = encode_target(value)
        except ProtocolViolation as violation:
            flaw = str(violation)
    return FieldEntry((name, value), MALFORMED if flaw else kind, size, flaw)


def _flaw(name: bytes, value: bytes, kind: int) -> str:
    if kind >= FIRST_PSEUDO:
        return _pseudo_flaw(name, value, kind)
    # RFC 9113 8.2.1: an upper-case name is malformed; 8.3: so is an unknown pseudo-field.
    if kind == PLAIN and _NAME.fullmatch(name) is None:
        return "A field name is not a token in lower case." if name[:1] != b":" else "There is an unknown pseudo-field."
    if name in CONNECTION_SPECIFIC:
        return "A field belongs to HTTP/1.1's connections."
    # RFC 9113 8.2.1 names NUL, CR and LF: in HTTP/1.1 they would begin another field.
    if value.translate(None, _CONTROLS) != value:
        return "A field value holds a control character."
    if value[:1] in (b" ", b"\t") or value[-1:] in (b" ", b"\t"):
        return "A field value begins or ends with whitespace."
    if name == b"te" and value.lower() != b"trailers":  # RFC 9113 8.2.2
        return "TE says something else than trailers."
    return ""


def _pseudo_flaw(name: bytes, value: bytes, kind: int) -> str:
    if kind == PATH:
        # one check for what HTTP/1.1 could not carry and what RFC 3986 does not allow
        fine = value == b"*" or (value[:1] == b"/" and not value.translate(None, _IN_PATH))
    elif kind == SCHEME:
        fine = _SCHEME.fullmatch(value) is not None
    elif kind == STATUS:
        fine = _STATUS.fullmatch(value) is not None  # three digits
    elif kind == AUTHORITY:
        fine = bool(value)  # its syntax is checked with the request's, where Host can stand in its place
    else:
        fine = is_token(value)
    return "" if fine else f"The pseudo-field {name.decode('ascii')} is not what it should be."
