"""The port for browsers whose proxy settings name our PAC file: names resolve in them without an administrator.

Owns what leads to devtls (the zones of the CA, at the https port and at 443, which need not be ours for that) and
its log lines; when it opens and what a reload changes is `auxiliary_listener`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

from devtls.daemon.console.log import Log
from devtls.daemon.generation import Generation
from devtls.daemon.sites.auxiliary_listener import AuxiliaryListener, ListenerWording
from devtls.http.pac import PacScope
from devtls.names import Hostname
from devtls.net.bind import Bound, bind, share
from devtls.net.pac import PacEntrance, PacServer

_USUAL_HTTPS_PORT = 443


def scope_of(zones: Sequence[Hostname], https: Bound) -> PacScope:
    """Return what browsers are to bring to a proxy whose https port is this."""
    # 443 too, although it may not be ours: through the proxy it leads to us all the same.
    return PacScope(tuple(zones), frozenset({_USUAL_HTTPS_PORT, https.port, https.public_port}))


class PacSite(AuxiliaryListener[PacServer, PacScope, PacScope]):
    """The port of one configuration after the other; `entrance` is the https port's."""

    words = ListenerWording("pac", "PAC port", "PAC server", "hands out no PAC file", "which serves browsers there")

    def __init__(self, generation: Generation, https: Bound, log: Log, entrance: PacEntrance) -> None:
        super().__init__(generation.config.pac, scope_of(generation.snapshot.zones, https), log)
        self._https = https
        self._entrance = entrance

    async def replace(self, generation: Generation) -> None:
        """Lead browsers to the zones, from the port, that a reload brought."""
        await self._replace(generation.config.pac, scope_of(generation.snapshot.zones, self._https))

    async def close(self) -> None:
        """Stop."""
        await super().close()
        if self._entrance.held is not None:
            self._entrance.held.close()

    async def _prepare(self, subject: PacScope) -> PacScope:
        return subject

    def _renew(self, server: PacServer, content: PacScope) -> None:
        server.scope = content

    def _make(self, port: int, content: PacScope) -> PacServer:
        held = self._entrance.held
        # Descriptors of its own: a reload may lead to another port, and back.
        bound = bind(port) if held is None or port not in (0, held.port) else share(held)
        return PacServer(bound, content, self._entrance)

    def _success(self, port: int) -> tuple[str, dict[str, object]]:
        url = pac_url(port)
        return f"Browsers may use devtls as their proxy: {url}", {"port": port, "url": url}


def pac_url(port: int) -> str:
    """Return the address of the PAC file."""
    return f"http://127.0.0.1:{port}/proxy.pac"
