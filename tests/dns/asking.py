"""Queries as bytes, and answers read by dnspython."""

from __future__ import annotations

import struct

import dns.message
import dns.rrset

from devtls.dns.responder import Responder
from devtls.dns.zones import Zones
from devtls.names import DEFAULT_ZONES

ZONES = Zones(DEFAULT_ZONES)
OPT = b"\0" + struct.pack("!HHLH", 41, 1232, 0, 0)
"""An OPT record without options."""
SOA_TEXT = "nobody.invalid. 1 3600 1200 604800 5"


def wire_of(name: str, rdtype: str = "A", rdclass: str = "IN", **more: object) -> bytes:
    """Return a query; `more` goes to dnspython's make_query."""
    return dns.message.make_query(name, rdtype, rdclass, **more).to_wire()  # type: ignore[arg-type]  # its keywords differ in type


def header(flags: int = 0, counts: tuple[int, int, int, int] = (1, 0, 0, 0), number: int = 0x1234) -> bytes:
    return struct.pack("!6H", number, flags, *counts)


def question(*labels: bytes, rdtype: int = 1, rdclass: int = 1) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack("!2H", rdtype, rdclass)


def ask(responder: Responder, name: str, rdtype: str = "A", rdclass: str = "IN", **more: object) -> dns.message.Message:
    """Return the answer, checked to be one to this very question."""
    wire = wire_of(name, rdtype, rdclass, **more)
    found = responder.answer(wire)
    assert found is not None
    query, answer = dns.message.from_wire(wire), dns.message.from_wire(found)
    assert query.is_response(answer)
    return answer


def lines(section: list[dns.rrset.RRset]) -> list[str]:
    """Return a section's records as text."""
    return [line for rrset in section for line in rrset.to_text().splitlines()]
