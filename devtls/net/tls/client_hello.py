"""Reading a ClientHello before any TLS library sees it (RFC 8446 4.1.2, RFC 6066 3, RFC 7301 3.1).

Owns the peek: which name and which protocols a client asks for, from bytes that arrive in any pieces, spread over any
number of records. Refuses a hello above 64 KiB. Pure: bytes in, one of four answers out.
"""

from __future__ import annotations

from enum import Enum, auto

import msgspec

_HANDSHAKE = 0x16
_CLIENT_HELLO = 0x01
_EXTENSION_SERVER_NAME = 0
_EXTENSION_ALPN = 16
# RFC 8446 4 allows 16 MiB; a hello with post-quantum key shares has about 2 KiB.
_MAX_HELLO = 65536
# RFC 8446 5.2; a plain record may hold 16384 bytes only (5.1), OpenSSL checks that.
_MAX_RECORD = 16384 + 256


class Peek(Enum):
    """First bytes that are no ClientHello, or not yet one."""

    INCOMPLETE = auto()
    NOT_TLS = auto()
    MALFORMED = auto()


class ClientHello(msgspec.Struct, frozen=True):
    """What a client asks for; `sni` is lower case, None when there is none; `alpn` is None without the extension."""

    sni: str | None
    alpn: tuple[bytes, ...] | None


def peek_client_hello(data: bytes) -> ClientHello | Peek:
    """Say what the first bytes of a connection are."""
    if not data:
        return Peek.INCOMPLETE
    if data[0] != _HANDSHAKE:
        return Peek.NOT_TLS
    message = _handshake_bytes(data)
    if isinstance(message, Peek):
        return message
    try:
        return _parse(message)
    except IndexError:  # a length points past the end, or stops before it
        return Peek.MALFORMED


def _handshake_bytes(data: bytes) -> bytes | Peek:
    """Join the handshake message out of its records."""
    joined = bytearray()
    pos = 0
    while True:
        if len(joined) >= 4:
            if joined[0] != _CLIENT_HELLO:
                return Peek.MALFORMED
            wanted = 4 + int.from_bytes(joined[1:4], "big")
            if wanted > _MAX_HELLO:
                return Peek.MALFORMED
            if len(joined) >= wanted:
                return bytes(joined[4:wanted])
        if len(data) < pos + 5:
            return Peek.INCOMPLETE
        length = int.from_bytes(data[pos + 3 : pos + 5], "big")
        # Major version 3 only: the minor one is not looked at, as RFC 8446 5.1 wants.
        if data[pos] != _HANDSHAKE or data[pos + 1] != 3 or not 0 < length <= _MAX_RECORD:
            return Peek.MALFORMED
        if len(data) < pos + 5 + length:
            # A record may be cut anywhere; what is here of it can already hold the rest of the message's header.
            return Peek.INCOMPLETE
        joined += data[pos + 5 : pos + 5 + length]
        pos += 5 + length


def _parse(message: bytes) -> ClientHello | Peek:
    # Plain arithmetic: a reader object cost 0.02 ms of each handshake.
    pos = 2 + 32  # legacy_version, random
    pos += 1 + message[pos]  # legacy_session_id
    pos += 2 + _uint16(message, pos)  # cipher_suites
    pos += 1 + message[pos]  # legacy_compression_methods
    if pos == len(message):  # extensions may be absent in TLS 1.2 (RFC 5246 7.4.1.2)
        return ClientHello(None, None)
    end = pos + 2 + _uint16(message, pos)
    if end != len(message):  # RFC 8446 4.1.2: nothing follows the extensions
        return Peek.MALFORMED
    pos += 2
    sni: str | None = None
    alpn: tuple[bytes, ...] | None = None
    while pos < end:
        kind, start = _uint16(message, pos), pos + 4
        pos = start + _uint16(message, pos + 2)
        if pos > end:
            return Peek.MALFORMED
        if kind == _EXTENSION_SERVER_NAME:
            sni = _server_name(message[start:pos])
            # RFC 6066 3: the list has at least one name, ASCII without exception.
            if sni is None:
                return Peek.MALFORMED
        elif kind == _EXTENSION_ALPN:
            alpn = _protocols(message[start:pos])
    return ClientHello(sni, alpn)


def _uint16(data: bytes, pos: int) -> int:
    return data[pos] << 8 | data[pos + 1]


def _whole_vector(data: bytes) -> bytes:
    """Return the one vector that an extension consists of; raises IndexError when it is empty or something follows."""
    vector = _vector(data, 0, 2)
    if not vector or len(vector) + 2 != len(data):
        raise IndexError
    return vector


def _vector(data: bytes, pos: int, length_bytes: int) -> bytes:
    """Return the vector at `pos`; raises IndexError when it is longer than what there is."""
    start = pos + length_bytes
    end = start + int.from_bytes(data[pos:start], "big")
    if end > len(data) or start > len(data):
        raise IndexError
    return data[start:end]


def _server_name(body: bytes) -> str | None:
    names = _whole_vector(body)
    found: str | None = None
    pos = 0
    while pos < len(names):
        name = _vector(names, pos + 1, 2)
        # Names of other types are skipped; none was ever defined.
        if names[pos] == 0:  # host_name
            if found is not None or not name.isascii():  # RFC 6066 3: no two of a type
                return None
            found = name.decode("ascii").lower()
        pos += 3 + len(name)
    return found or None  # RFC 6066 3: it has a byte at least


def _protocols(body: bytes) -> tuple[bytes, ...]:
    # RFC 7301 3.1: the list is not empty, and neither is a name in it.
    names = _whole_vector(body)
    protocols = []
    pos = 0
    while pos < len(names):
        protocols.append(_vector(names, pos, 1))
        if not protocols[-1]:
            raise IndexError
        pos += 1 + names[pos]
    return tuple(protocols)
