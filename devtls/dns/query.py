"""One DNS query, read and checked (RFC 1035 4, 6891, 9619): the question, the reason for a refusal, or no response.

Owns the walk through a message: header, the one question, and the OPT record among what follows. Refuses with FORMERR
what is malformed, with NOTIMP other opcodes; drops answers (two servers must not talk to each other for ever) and what
is too short to have an id. Strategy: no record's content matters but OPT's, so nothing else is parsed. A pointer must
lead backwards, as in dnspython, and records are few, so no message costs much.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

import dns.flags
import dns.opcode
import dns.rcode
import dns.rdatatype
import msgspec

HEADER_BYTES = 12  # RFC 1035 4.1.1
MAX_QUERY_BYTES = 4096
"""No query is larger: a name of 255 bytes, an OPT record, perhaps a signature."""
MAX_RECORDS = 16  # a query has an OPT record and perhaps a TSIG

QR, AA, RD, CD = (int(flag) for flag in (dns.flags.QR, dns.flags.AA, dns.flags.RD, dns.flags.CD))
DO = int(dns.flags.DO)
ECHOED = RD | CD
"""The flags that an answer copies; AD and the reserved bit are never ours to set."""

_OPCODE_BITS = 0x7800
_OPT = int(dns.rdatatype.OPT)
_NO_NAME = b"\0"
_POINTER = 0xC0  # RFC 1035 4.1.4
_MAX_LABEL = 63  # RFC 1035 2.3.4
_MAX_NAME = 255
_COUNTS = Struct("!2x5H")
_PAIR = Struct("!2H")
_FIXED = Struct("!HHLH")


class Edns(msgspec.Struct, frozen=True):
    """What the OPT record says; `udp_bytes` is how much the client takes in a datagram."""

    version: int
    udp_bytes: int
    wants_dnssec: bool


class Query(msgspec.Struct, frozen=True):
    """A query that can be answered; `question` are its bytes as they came, `name` the same name in lower case."""

    id: bytes
    flags: int
    question: bytes
    name: bytes
    rdtype: int
    rdclass: int
    edns: Edns | None


class RefusedQuery(msgspec.Struct, frozen=True):
    """A query that gets a bare header for an answer."""

    id: bytes
    flags: int
    rcode: int

    def to_wire(self) -> bytes:
        """Return the answer."""
        flags = QR | self.flags & (_OPCODE_BITS | ECHOED) | self.rcode
        return self.id + flags.to_bytes(2, "big") + bytes(8)


class _MalformedError(Exception):
    """The bytes are no DNS message; never leaves this module."""


def read_query(wire: bytes) -> Query | RefusedQuery | None:
    """Return the query in `wire`, or how it is refused; None: it gets no answer at all."""
    if len(wire) < HEADER_BYTES:
        return None
    flags, questions, *records = _COUNTS.unpack_from(wire)
    if flags & QR:
        return None
    if flags & _OPCODE_BITS:
        return RefusedQuery(wire[:2], flags, int(dns.rcode.NOTIMP))
    try:
        if questions != 1 or sum(records) > MAX_RECORDS or len(wire) > MAX_QUERY_BYTES:  # RFC 9619
            raise _MalformedError
        return _read_body(wire, flags, records[0] + records[1], records[2])
    # A length that points past the end fails in whichever read comes first.
    except (_MalformedError, IndexError, StructError):
        return RefusedQuery(wire[:2], flags, int(dns.rcode.FORMERR))


def _read_body(wire: bytes, flags: int, before: int, additional: int) -> Query:
    name_end = _question_name_end(wire)
    rdtype, rdclass = _PAIR.unpack_from(wire, name_end)
    end = name_end + _PAIR.size
    edns = _read_records(wire, end, before, additional)
    # Length bytes are below 64, no letter in either case: lower() changes letters alone.
    name = wire[HEADER_BYTES:name_end].lower()
    return Query(wire[:2], flags, wire[HEADER_BYTES:end], name, rdtype, rdclass, edns)


def _question_name_end(wire: bytes) -> int:
    # Before the first name there is no name that a pointer could lead to.
    at = HEADER_BYTES
    while length := wire[at]:
        if length > _MAX_LABEL:
            raise _MalformedError
        at += 1 + length
    if at + 1 - HEADER_BYTES > _MAX_NAME:
        raise _MalformedError
    return at + 1


def _read_records(wire: bytes, at: int, before: int, additional: int) -> Edns | None:
    """Walk through all records, which must fill the message; return what the one OPT record says."""
    edns: Edns | None = None
    for number in range(before + additional):
        name_end = _name_end(wire, at)
        rdtype, rdclass, ttl, length = _FIXED.unpack_from(wire, name_end)
        start = name_end + _FIXED.size
        end = start + length
        if rdtype == _OPT:
            # RFC 6891 6.1.1: at most one, among the additional records, named by the root
            if edns is not None or number < before or wire[at:name_end] != _NO_NAME:
                raise _MalformedError
            _check_options(wire, start, end)
            edns = Edns(ttl >> 16 & 0xFF, rdclass, bool(ttl & DO))  # RFC 6891 6.1.3: the TTL holds version and flags
        at = end
    # Bytes behind the last record are no part of any message.
    if at != len(wire):
        raise _MalformedError
    return edns


def _name_end(wire: bytes, at: int) -> int:
    """Return where the name at `at` ends. Each pointer leads before the last one, so this ends."""
    end, lowest, total = 0, at, 0
    while length := wire[at]:
        if length >= _POINTER:
            end = end or at + 2
            at = (length - _POINTER) << 8 | wire[at + 1]
            if at >= lowest:
                raise _MalformedError
            lowest = at
            continue
        total += 1 + length
        if length > _MAX_LABEL or total >= _MAX_NAME:
            raise _MalformedError
        at += 1 + length
    return end or at + 1


def _check_options(wire: bytes, at: int, end: int) -> None:
    # What an option means is not asked; that it ends where its record does is.
    while at < end:
        at += _PAIR.size + _PAIR.unpack_from(wire, at)[1]
    if at != end:
        raise _MalformedError
