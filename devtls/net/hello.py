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
_MAX_HELLO = 65536
_MAX_RECORD = 16384 + 256


class Peek(Enum):
    """The answers that are no ClientHello."""

    INCOMPLETE = auto()
    NOT_TLS = auto()
    MALFORMED = auto()


class ClientHello(msgspec.Struct, frozen=True):
    """What a client asks for; `sni` is lower case, None when there is none; `alpn` is None without the extension."""

    sni: str | None
    alpn: tuple[bytes, ...] | None


class _Short(Exception):
    """A length points past the end of its container."""


class _Reader:
    __slots__ = ("data", "pos")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def take(self, count: int) -> bytes:
        end = self.pos + count
        if end > len(self.data):
            raise _Short
        piece = self.data[self.pos : end]
        self.pos = end
        return piece

    def vector(self, length_octets: int) -> bytes:
        return self.take(int.from_bytes(self.take(length_octets), "big"))

    @property
    def done(self) -> bool:
        return self.pos >= len(self.data)


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
    except _Short:
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
        if data[pos] != _HANDSHAKE or data[pos + 1] != 3 or not 0 < length <= _MAX_RECORD:
            return Peek.MALFORMED
        if len(data) < pos + 5 + length:
            # A record may be cut anywhere; what is here of it can already hold the rest of the message's header.
            return Peek.INCOMPLETE
        joined += data[pos + 5 : pos + 5 + length]
        pos += 5 + length


def _parse(message: bytes) -> ClientHello | Peek:
    hello = _Reader(message)
    hello.take(2 + 32)  # legacy_version, random
    hello.vector(1)  # legacy_session_id
    hello.vector(2)  # cipher_suites
    hello.vector(1)  # legacy_compression_methods
    sni: str | None = None
    alpn: tuple[bytes, ...] | None = None
    if hello.done:
        return ClientHello(None, None)
    extensions = _Reader(hello.vector(2))
    while not extensions.done:
        kind = int.from_bytes(extensions.take(2), "big")
        body = extensions.vector(2)
        if kind == _EXTENSION_SERVER_NAME:
            sni = _server_name(body)
            if sni is None:
                return Peek.MALFORMED
        elif kind == _EXTENSION_ALPN:
            alpn = _protocols(body)
    return ClientHello(sni, alpn)


def _server_name(body: bytes) -> str | None:
    names = _Reader(_Reader(body).vector(2))
    while not names.done:
        kind = names.take(1)
        name = names.vector(2)
        if kind == b"\x00":
            try:
                return name.decode("ascii").lower()
            except UnicodeDecodeError:
                return None
    return None


def _protocols(body: bytes) -> tuple[bytes, ...]:
    names = _Reader(_Reader(body).vector(2))
    protocols = []
    while not names.done:
        protocols.append(names.vector(1))
    return tuple(protocols)
