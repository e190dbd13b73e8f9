"""The DNS server of a running proxy: on one loopback port, for the zones of the CA.

Owns what it answers and its log lines; when it opens and what a reload changes is `auxiliary_listener`'s. dnspython
takes longer to import than a start may last, so this module is imported in a thread, after the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from devtls.daemon.console.log import Log
from devtls.daemon.generation import Generation
from devtls.daemon.sites.auxiliary_listener import AuxiliaryListener, ListenerWording
from devtls.dns.responder import Responder
from devtls.dns.zones import Zones
from devtls.names import Hostname
from devtls.net.admission import ConnectionTable
from devtls.net.bind import Bound
from devtls.net.dns import DnsServer, bind_dns


def zones_of(names: Sequence[Hostname], https: Bound) -> Zones:
    """Return what the DNS says of `names`: the addresses on which the proxy listens."""
    addresses = https.addresses
    ipv4 = [address for address in addresses if ":" not in address]
    # The one of hosts files, where we listen on it.
    usual = "127.0.0.1" if "127.0.0.1" in ipv4 else next(iter(ipv4), None)
    return Zones(tuple(names), usual, next((address for address in addresses if ":" in address), None))


class DnsSite(AuxiliaryListener[DnsServer, Zones, Responder]):
    """The server of one configuration after the other."""

    words = ListenerWording("dns", "DNS port", "DNS server", "answers no DNS queries", "which answers there", udp=True)

    def __init__(self, generation: Generation, https: Bound, log: Log, places: ConnectionTable) -> None:
        self._https = https
        self._places = places
        super().__init__(generation.config.dns, zones_of(generation.snapshot.zones, https), log)

    async def replace(self, generation: Generation) -> None:
        """Answer for the zones, on the port, that a reload brought."""
        await self._replace(generation.config.dns, zones_of(generation.snapshot.zones, self._https))

    async def _prepare(self, subject: Zones) -> Responder:
        # In a thread: dnspython loads a module for each type of record when it meets the first.
        return await asyncio.to_thread(Responder, subject)

    def _renew(self, server: DnsServer, content: Responder) -> None:
        server.responder = content

    def _make(self, port: int, content: Responder) -> DnsServer:
        return DnsServer(bind_dns(port), content, lambda error: self._log.fault(0, error), self._places)

    def _success(self, port: int) -> tuple[str, dict[str, object]]:
        zones = list(self._subject.names)
        text = f"DNS for {', '.join(zones)} is answered on port {port}, UDP and TCP."
        return text, {"port": port, "zones": zones}
