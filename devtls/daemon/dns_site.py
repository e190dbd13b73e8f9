"""The DNS server of a running proxy: on one loopback port, for the zones of the CA.

Owns when it opens (after the first answer: dnspython takes longer to load than a start may last), what a reload
changes, and what is said. A port that is taken is no stop: it is tried again, since a second devtls serve, which gives
the same answers, may end first; anybody else on it is worth a warning. A new port is opened before the old one is
closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from devtls.config import DnsConfig
from devtls.daemon.log import Log
from devtls.dns.zones import Zones
from devtls.errors import DevtlsError, PortInUse
from devtls.names import Hostname
from devtls.system.port_holder import port_holder

if TYPE_CHECKING:
    from devtls.dns.responder import Responder
    from devtls.net.dns import DnsServer
    from devtls.net.listener import Bound

_RETRY_S = 10.0
_OURSELVES = "devtls "
"""How `port_holder` names another process of ours."""


def zones_of(names: Sequence[Hostname], https: Bound) -> Zones:
    """Return what the DNS says of `names`: the addresses on which the proxy listens."""
    addresses = https.addresses
    ipv4 = [address for address in addresses if ":" not in address]
    usual = "127.0.0.1" if "127.0.0.1" in ipv4 else next(iter(ipv4), None)
    return Zones(tuple(names), usual, next((address for address in addresses if ":" in address), None))


class _Trouble(msgspec.Struct, frozen=True):
    """Why the port that was asked for is not open."""

    port: int
    sentence: str
    is_ours: bool = False


class DnsSite:
    """The server of one configuration after the other."""

    def __init__(self, config: DnsConfig, zones: Zones, log: Log) -> None:
        self._config = config
        self._zones = zones
        self._log = log
        self._server: DnsServer | None = None
        self._opened_as = -1
        """The port that was asked for when the server was opened."""
        self._trouble: _Trouble | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    @property
    def port(self) -> int | None:
        """The port that answers, None for none."""
        return None if self._server is None else self._server.bound.port

    async def start(self) -> None:
        """Answer, and go on trying where that is not possible yet."""
        self._retrying = asyncio.get_running_loop().create_task(self._retry())
        await self._apply()

    async def replace(self, config: DnsConfig, zones: Zones) -> None:
        """Take over what a reload brought."""
        if (config, zones) == (self._config, self._zones):
            return
        self._config, self._zones = config, zones
        if self._retrying is not None:
            await self._apply()

    async def close(self) -> None:
        """Stop."""
        if self._retrying is not None:
            retrying, self._retrying = self._retrying, None
            retrying.cancel()
            await asyncio.gather(retrying, return_exceptions=True)
        self._close_server()

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            if self._opened_as != self._config.port:
                await self._apply()

    async def _apply(self) -> None:
        async with self._changing:
            if not self._config.enabled:
                self._close_server()
                self._trouble = None
                return
            try:
                await self._open()
            except DevtlsError as error:
                await self._tell_of_trouble(error)

    async def _open(self) -> None:
        """Open the port, or give the open one the zones of the moment. Raises DevtlsError."""
        try:
            port, responder = self._config.port, await asyncio.to_thread(_make_responder, self._zones)
            from devtls.net.dns import DnsServer, bind_dns

            if self._server is not None:
                self._server.responder = responder  # also while its successor's port is taken
            if port in (self._opened_as, self.port):
                self._opened_as, self._trouble = port, None
                return
            server = DnsServer(bind_dns(port), responder, lambda error: self._log.fault(0, error))
            await server.start()
        except OSError as error:  # no descriptor is left just now, say
            raise DevtlsError(f"The DNS server cannot be opened: {error.strerror or error}.") from error
        self._close_server()
        self._server, self._opened_as = server, port
        self._tell_of_success(server.bound.port)

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server, self._opened_as = None, -1

    def _tell_of_success(self, port: int) -> None:
        zones = list(self._zones.names)
        was_told = self._trouble is not None and not self._trouble.is_ours
        if was_told or self._log.level == "verbose":
            text = f"DNS for {', '.join(zones)} is answered on port {port}, UDP and TCP."
            self._log.say(text, event="dns", port=port, zones=zones)
        else:
            self._log.event("dns", port=port, zones=zones)
        self._trouble = None

    async def _tell_of_trouble(self, error: DevtlsError) -> None:
        instead = "answers no DNS queries" if self.port is None else f"goes on answering on port {self.port}"
        trouble = await asyncio.to_thread(_explain, error, self._config.port, instead)
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if not trouble.is_ours:
            self._log.warn(trouble.sentence, event="dns_unavailable", port=trouble.port)
        elif self._log.level == "verbose":
            self._log.say(trouble.sentence, event="dns_elsewhere", port=trouble.port)


def _make_responder(zones: Zones) -> Responder:
    # In a thread: dnspython loads a module for each type of record when it meets the first.
    import devtls.net.dns  # noqa: F401 - so that the loop need not wait for it
    from devtls.dns.responder import Responder

    return Responder(zones)


def _explain(error: DevtlsError, port: int, instead: str) -> _Trouble:
    """Return what happened to `port`, and what devtls does `instead`; blocks for a moment."""
    if not isinstance(error, PortInUse):
        return _Trouble(port, f"{error} devtls {instead}.")
    holder = port_holder(port) or port_holder(port, protocol="udp")
    if holder.startswith(_OURSELVES):
        return _Trouble(port, f"DNS port {port} belongs to {holder}, which answers there.", is_ours=True)
    by = holder or "another program"
    return _Trouble(port, f"DNS port {port} belongs to {by}: devtls {instead}. `port` in [dns] chooses another.")
