"""Answers DNS messages: query bytes in, answer bytes out.

Owns how large an answer may be, and a memory of answers by name, type, class and flags, because a message costs forty
times what a look-up does and programs ask for the same few names. What is remembered is an answer without its id and
question, which are the asker's own bytes: resolvers that vary the case of a name (0x20) get theirs back. The memory is
bounded, the answer that was asked for longest ago goes first; it dies with its zones. Refuses nothing itself.
"""

from __future__ import annotations

from devtls.dns.answers import UDP_BYTES, ZoneAnswers, render
from devtls.dns.query import ECHOED, HEADER_BYTES, Query, RefusedQuery, read_query
from devtls.dns.zones import Zones

PLAIN_UDP_BYTES = 512
"""What every client takes in a datagram (RFC 1035 4.2.1)."""
TCP_BYTES = 65_535  # RFC 1035 4.2.2: two bytes of length
MOST_REMEMBERED = 1024

_Key = tuple[bytes, int, int, int, int, bool, int]


class Responder:
    """Answers for `zones`; a change of zones is a new Responder."""

    def __init__(self, zones: Zones) -> None:
        self.zones = zones
        self._answers = ZoneAnswers(zones)
        self._remembered: dict[_Key, tuple[bytes, bytes]] = {}

    def answer(self, wire: bytes, *, over_tcp: bool = False) -> bytes | None:
        """Return the answer to the message `wire`; None: it gets none."""
        query = read_query(wire)
        if query is None:
            return None
        if isinstance(query, RefusedQuery):
            return query.to_wire()
        head, tail = self._parts(query, TCP_BYTES if over_tcp else _udp_bytes(query))
        return query.id + head + query.question + tail

    def _parts(self, query: Query, max_bytes: int) -> tuple[bytes, bytes]:
        """Return the answer's bytes before and behind the question, without the id."""
        edns = query.edns
        # Version 0 or more than that: 255 versions would be remembered as many times.
        version, wants_dnssec = (-1, False) if edns is None else (min(edns.version, 1), edns.wants_dnssec)
        key = (query.name, query.rdtype, query.rdclass, query.flags & ECHOED, version, wants_dnssec, max_bytes)
        # Taken out and put in again at the end: a dict keeps the order of use.
        parts = self._remembered.pop(key, None)
        if parts is None:
            whole = render(self._answers.answer(query), max_bytes)
            # An answer that was truncated has its question still.
            parts = whole[2:HEADER_BYTES], whole[HEADER_BYTES + len(query.question) :]
            if len(self._remembered) >= MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = parts
        return parts


def _udp_bytes(query: Query) -> int:
    # Two sizes only, so that one answer is remembered and not one for each number that a client may name.
    edns = query.edns
    return UDP_BYTES if edns is not None and edns.udp_bytes >= UDP_BYTES else PLAIN_UDP_BYTES
