"""The records of the zones: this machine's loopback addresses, for a zone's name and every name below it.

Owns the table of answers (RFC 1035, 2308, 6891): A and AAAA; SOA and NS at the top of a zone; for every other type an
empty answer with the zone's SOA; REFUSED for other names and classes. Inside a zone it never says NXDOMAIN: macOS then
waits five seconds for mDNS, and a cache may conclude that nothing exists below the name (RFC 8020). ANY and the types
of zone transfers get the empty answer as well. Records are dnspython's; nothing is looked up and nothing forwarded.
"""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from devtls.dns.query import AA, ECHOED, QR, Query
from devtls.dns.zones import Zones
from devtls.names import Hostname

TTL_S = 5
"""Also of the empty answers: how long a removed zone is remembered."""
UDP_BYTES = 1232
"""What we take and send in one datagram: it fits into one packet on every network (RFC 9715)."""

_IN = dns.rdataclass.IN
# RFC 6303: what a zone that nobody administers says of itself
_SOA_TEXT = f"@ nobody.invalid. 1 3600 1200 604800 {TTL_S}"


class _Zone:
    """One zone's own records."""

    def __init__(self, name: Hostname) -> None:
        self.name = dns.name.from_text(name)
        self.soa = dns.rdata.from_text(_IN, dns.rdatatype.SOA, _SOA_TEXT, origin=self.name, relativize=False)
        self.ns = dns.rdata.from_text(_IN, dns.rdatatype.NS, "@", origin=self.name, relativize=False)


class ZoneAnswers:
    """The answers of `zones`."""

    def __init__(self, zones: Zones) -> None:
        # The longest first: of two that hold a name, it is the one that answers.
        self._zones = [_Zone(name) for name in sorted(zones.names, key=len, reverse=True)]
        found = ((dns.rdatatype.A, zones.ipv4), (dns.rdatatype.AAAA, zones.ipv6))
        self._addresses = {int(kind): dns.rdata.from_text(_IN, kind, text) for kind, text in found if text is not None}

    def answer(self, query: Query) -> dns.message.QueryMessage:
        """Return the whole answer (without the query's id)."""
        name, _ = dns.name.from_wire(query.question, 0)
        message = dns.message.QueryMessage(id=0)
        message.flags = dns.flags.Flag(QR | query.flags & ECHOED)
        rdclass, rdtype = dns.rdataclass.RdataClass.make(query.rdclass), dns.rdatatype.RdataType.make(query.rdtype)
        message.question.append(dns.rrset.RRset(name, rdclass, rdtype))
        # RFC 6891 6.1.1, 7: an OPT record answers an OPT record, and only that.
        if (edns := query.edns) is not None:
            message.use_edns(0, int(dns.flags.DO) if edns.wants_dnssec else 0, UDP_BYTES)
        if edns is not None and edns.version > 0:  # RFC 6891 6.1.3
            message.set_rcode(dns.rcode.BADVERS)
        elif (zone := self._zone_of(name)) is None or rdclass != _IN:
            message.set_rcode(dns.rcode.REFUSED)
        else:
            message.flags |= AA  # only where the zone is ours
            self._fill(message, zone, name, query.rdtype)
        return message

    def _zone_of(self, name: dns.name.Name) -> _Zone | None:
        return next((zone for zone in self._zones if name.is_subdomain(zone.name)), None)

    def _fill(self, message: dns.message.QueryMessage, zone: _Zone, name: dns.name.Name, rdtype: int) -> None:
        found = self._addresses.get(rdtype)
        if name == zone.name and rdtype in (dns.rdatatype.SOA, dns.rdatatype.NS):
            found = zone.soa if rdtype == dns.rdatatype.SOA else zone.ns
        if found is not None:
            message.answer.append(dns.rrset.from_rdata(name, TTL_S, found))
        else:
            message.authority.append(dns.rrset.from_rdata(zone.name, TTL_S, zone.soa))  # RFC 2308 2.2: NODATA


def render(message: dns.message.QueryMessage, max_bytes: int) -> bytes:
    """Return the message's bytes; one that is too long loses records and gets the mark TC: ask again over TCP."""
    return message.to_wire(max_size=max_bytes, prefer_truncation=True)
