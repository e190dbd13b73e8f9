"""Static routes: one private socket for each directory and its options, opened before its route goes live.

Owns one private socket per static target, and the site behind it; both go when no route has the target any more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from devtls.config import Config, StaticTarget
from devtls.daemon.generation import Generation
from devtls.daemon.sites.private_sockets import PrivateSockets
from devtls.system.machine.paths import Paths
from devtls.web.lazy_site import LazySite

_APP = "devtls.web.static:make_static_app"


class StaticSites:
    """Static target -> site; `report` takes a sentence for the log.

    `open_sockets` may block; the rest runs on the loop.
    """

    def __init__(self, private: PrivateSockets, paths: Paths, report: Callable[[str], None]) -> None:
        self.private = private
        self._never_served = paths.private()
        self._report = report
        self._sockets: dict[StaticTarget, tuple[str, socket.socket]] = {}
        self._sites: dict[StaticTarget, LazySite] = {}

    def open_sockets(self, config: Config) -> Mapping[StaticTarget, str]:
        """Return target -> socket path for every static target of `config`; each listens from now on."""
        wanted = [route.target for route in config.routes if isinstance(route.target, StaticTarget)]
        for target in wanted:
            if target not in self._sockets:
                self._sockets[target] = self.private.listen(
                    "static folders are not served", "Name the port of a web server."
                )
        return {target: self._sockets[target][0] for target in wanted}

    async def start(self) -> None:
        """Serve what listens and is not served yet: aiohttp is loaded in a thread meanwhile."""
        for target, (_, listening) in self._sockets.items():
            if target not in self._sites:
                context = (target, self._never_served, self._report)
                site = self._sites[target] = LazySite(listening, self.private.terms(), _APP, *context)
                # Not at the first connection: a route that is written down will be asked for.
                site.load()

    async def replace(self, generation: Generation) -> None:
        """Serve the static targets of a generation, and no others."""
        await self.start()
        await self._retire(generation.static_targets)

    async def _retire(self, keep: Collection[StaticTarget]) -> None:
        for target in [target for target in self._sockets if target not in keep]:
            path, listening = self._sockets.pop(target)
            site = self._sites.pop(target, None)
            if site is None:
                listening.close()
            else:
                await site.close()
            # After the site: its last responses still come through.
            await asyncio.to_thread(Path(path).unlink, missing_ok=True)

    def abandon(self) -> None:
        """Close sockets that nothing serves yet: the start failed."""
        for _, listening in self._sockets.values():
            listening.close()
        self._sockets.clear()
        self.private.remove()

    async def close(self) -> None:
        """Stop everything and leave nothing behind."""
        await self._retire(())
        await asyncio.to_thread(self.private.remove)
