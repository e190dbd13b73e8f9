"""The DNS server of a running proxy: on one loopback port, for the zones of the CA.

Owns what it answers and how it is spoken of; when it opens and what a reload changes is `side_port`'s. dnspython takes
longer to load than a start may last, so it is loaded in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devtls.daemon.sites.auxiliary_listener import AuxiliaryListener, Words
from devtls.dns.zones import Zones
from devtls.names import Hostname

if TYPE_CHECKING:
    from devtls.dns.responder import Responder
    from devtls.net.bind import Bound
    from devtls.net.dns import DnsServer


def zones_of(names: Sequence[Hostname], https: Bound) -> Zones:
    """Return what the DNS says of `names`: the addresses on which the proxy listens."""
    addresses = https.addresses
    ipv4 = [address for address in addresses if ":" not in address]
    usual = "127.0.0.1" if "127.0.0.1" in ipv4 else next(iter(ipv4), None)
    return Zones(tuple(names), usual, next((address for address in addresses if ":" in address), None))


class DnsSite(AuxiliaryListener["DnsServer", Zones, "Responder"]):
    """The server of one configuration after the other."""

    words = Words("dns", "DNS port", "DNS server", "answers no DNS queries", "which answers there", udp=True)

    async def _prepare(self, subject: Zones) -> Responder:
        return await asyncio.to_thread(_make_responder, subject)

    def _renew(self, server: DnsServer, content: Responder) -> None:
        server.responder = content

    def _make(self, port: int, content: Responder) -> DnsServer:
        from devtls.net.dns import DnsServer, bind_dns

        return DnsServer(bind_dns(port), content, lambda error: self._log.fault(0, error))

    def _success(self, port: int) -> tuple[str, dict[str, object]]:
        zones = list(self._subject.names)
        text = f"DNS for {', '.join(zones)} is answered on port {port}, UDP and TCP."
        return text, {"port": port, "zones": zones}


def _make_responder(zones: Zones) -> Responder:
    # In a thread: dnspython loads a module for each type of record when it meets the first.
    import devtls.net.dns  # noqa: F401 - so that the loop need not wait for it
    from devtls.dns.responder import Responder

    return Responder(zones)
