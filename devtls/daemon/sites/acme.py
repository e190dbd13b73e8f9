"""The ACME server of a running proxy: a route to a private socket, and the places where proofs are looked for.

Owns the route `acme` while the server is switched on, when josepy is loaded (at the first request), and where the proof
of a name is looked for: the port that [acme] names, else where the name's route leads, else port 80 of this machine.
Refuses to start without josepy, and a route of the user's with the same name.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib.util import find_spec

from msgspec.structs import replace

from devtls.config import ACME_ROUTE, Config, RouteConfig, UnixTarget
from devtls.config.acme import port_for
from devtls.config.lines import dotted
from devtls.daemon.console.log import Log
from devtls.daemon.generation import Generation
from devtls.daemon.listeners import HTTP_PORT
from devtls.daemon.sites.private_sockets import PrivateSockets
from devtls.errors import ConfigError
from devtls.net.acme_challenge import Challenges, Contexts, local_port
from devtls.routing import Snapshot, Upstream
from devtls.system.storage.keystore import Keystore
from devtls.web.lazy_site import LazySite

_LABEL = "ACME server"
_APP = "devtls.daemon.sites.acme_app:make_app"


class AcmeSite:
    """The server of one configuration after the other; `routed` may block, the rest runs on the loop.

    `snapshot` gives the routes and rules of the moment.
    """

    def __init__(
        self,
        keystore: Keystore,
        private: PrivateSockets,
        snapshot: Callable[[], Snapshot],
        contexts: Contexts,
        log: Log,
    ) -> None:
        self._keystore = keystore
        self._private = private
        self._snapshot = snapshot
        self._log = log
        self._listening: tuple[str, socket.socket] | None = None
        self._site: LazySite | None = None
        self.http_is_ours = False
        """Whether port 80 of this machine leads back to us."""
        self.challenges = Challenges(contexts, self._place)

    def routed(self, config: Config) -> Config:
        """Return `config` with the route to the server. Raises ConfigError."""
        for route in config.routes:
            if route.name == ACME_ROUTE:
                key = dotted(("routes", route.key)) if route.line else route.key
                raise ConfigError(
                    f"the name {ACME_ROUTE} is the ACME server's.",
                    source=route.source,
                    key=key,
                    line=route.line,
                    hint="Give the route another name, or switch the server off: enabled = false in [acme].",
                )
        # Looked for, not imported: the import waits for the first request.
        if find_spec("josepy") is None:
            raise ConfigError(
                "the ACME server needs josepy.",
                source=config.source,
                key="acme.enabled",
                line=config.acme.line,
                hint="pip install 'devtls[acme]', where devtls is installed",
            )
        if self._listening is None:
            self._listening = self._private.listen("there is no ACME server", "Write enabled = false in [acme].")
        # Behind a route like any app: ACME requests pass TLS, limits and the log as others do.
        target = UnixTarget(self._listening[0], _LABEL)
        ours = RouteConfig(ACME_ROUTE, "/", target, key=ACME_ROUTE, source=ACME_ROUTE)
        return replace(config, routes=(*config.routes, ours))

    async def start(self) -> None:
        """Answer, from the first request on."""
        if self._listening is not None and self._site is None:
            context = self._keystore, self._snapshot, self._log, self.challenges, self._place
            self._site = LazySite(self._listening[1], self._private.terms(), _APP, *context)
            self._site.start()

    async def replace(self, generation: Generation) -> None:
        """Answer where a reload has switched the server on; without its route nobody reaches it."""
        if generation.config.acme.enabled:
            await self.start()

    def abandon(self) -> None:
        """Close what nobody serves: the start failed."""
        if self._listening is not None and self._site is None:
            self._listening[1].close()

    async def close(self) -> None:
        """Stop."""
        if self._site is not None:
            await self._site.close()
        else:
            self.abandon()

    def _place(self, name: str) -> Upstream | None:
        snapshot = self._snapshot()
        # What a person wrote wins over every guess.
        port = port_for(snapshot.config.acme.http_port, name)
        if port is not None:
            return local_port(port)
        # The app itself shows the proof, so we ask it directly: certbot's webroot, for example.
        route = snapshot.routes.match(name, b"/.well-known/acme-challenge/")
        if route is not None:
            return route.upstream
        # RFC 8555 8.3 asks port 80: where that is ours and the name has no route, we would ask ourselves.
        return None if self.http_is_ours else local_port(HTTP_PORT)
