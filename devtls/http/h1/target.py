"""Request targets and authorities: the four forms of RFC 9112 section 3.2, reduced to what a reverse proxy serves.

Owns which host a request is for. Refuses authority-form (we are no tunnel), user information, fragments (the start
line has refused them) and hosts that are no uri-host. A path and query are never decoded or normalised: they leave as
they came, but for raw UTF-8, which some programs send though RFC 3986 knows only ASCII; it is percent-encoded, as Caddy
does.
"""

from __future__ import annotations

import re
from functools import lru_cache

from devtls.errors import ProtocolViolation

_AUTHORITY = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2}){1,255})(?::[0-9]{0,5})?"
)
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_MAX_AUTHORITY = 300  # a name of 255 bytes, brackets and a port


def encode_target(target: bytes) -> bytes:
    """Return a target in ASCII: UTF-8 beyond it percent-encoded (RFC 3986 2.1, RFC 3987 3.1), the rest untouched.

    Raises ProtocolViolation for bytes that are no UTF-8: what they mean, another program could take for something else.
    """
    if target.isascii():
        return target
    try:
        target.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation("The request target has a byte outside ASCII that is not UTF-8.") from None
    return _BEYOND_ASCII.sub(_encode, target)


def _encode(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def parse_authority(text: bytes) -> bytes:
    """Return a valid `uri-host[:port]` in lower case (RFC 9110 section 7.2); raises ProtocolViolation."""
    # Before the cache, whose keys must be short.
    if len(text) > _MAX_AUTHORITY:
        raise ProtocolViolation("The host name of the request is too long.")
    return _parse_short_authority(text)


@lru_cache(maxsize=256)  # at most 256 * 300 bytes; a connection asks for the same few names over and over
def _parse_short_authority(text: bytes) -> bytes:
    if _AUTHORITY.fullmatch(text) is None:
        raise ProtocolViolation("The Host of the request is not a host name with an optional port.")
    return text.lower()


def resolve_target(method: bytes, target: bytes, host: bytes | None) -> tuple[bytes, bytes]:
    """Return (origin-form or `*`, effective authority); an absolute-form target wins over Host (RFC 9112 3.2.2).

    The target is ASCII. Raises ProtocolViolation (400).
    """
    # Checked even when it loses: an app gets no Host that is none.
    authority = b"" if host is None else parse_authority(host)
    if target.startswith(b"/"):
        return encode_target(target), authority
    if target == b"*":
        if method != b"OPTIONS":
            raise ProtocolViolation("Only OPTIONS may have the target *.")
        return target, authority
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise ProtocolViolation("The request target is neither a path nor an http or https URL.")
    path = absolute[2]
    if not path and method == b"OPTIONS":  # RFC 9112 3.2.4
        path = b"*"
    elif not path.startswith(b"/"):
        path = b"/" + path
    return encode_target(path), parse_authority(absolute[1])
