"""Static directories: one private socket for each, opened before its route goes live and removed after it.

Owns one private socket per static directory, and the site behind it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from devtls.config import Config, StaticTarget
from devtls.daemon.generation import Generation
from devtls.daemon.sites.private_sockets import PrivateSockets
from devtls.web.lazy_site import LazySite

_APP = "devtls.web.static:make_static_app"


class StaticSites:
    """Static directory -> site. `open_sockets` may block; the rest runs on the loop."""

    def __init__(self, private: PrivateSockets) -> None:
        self.private = private
        self._sockets: dict[str, tuple[str, socket.socket]] = {}
        self._sites: dict[str, LazySite] = {}

    def open_sockets(self, config: Config) -> Mapping[str, str]:
        """Return directory -> socket path for every static directory of `config`; each listens from now on."""
        wanted = [route.target.directory for route in config.routes if isinstance(route.target, StaticTarget)]
        for directory in wanted:
            if directory not in self._sockets:
                self._sockets[directory] = self.private.listen(
                    "static folders are not served", "Name the port of a web server."
                )
        return {directory: self._sockets[directory][0] for directory in wanted}

    async def start(self) -> None:
        """Serve what listens and is not served yet: aiohttp is loaded in a thread meanwhile."""
        for directory, (_, listening) in self._sockets.items():
            if directory not in self._sites:
                site = self._sites[directory] = LazySite(listening, self.private.terms(), _APP, Path(directory))
                # Not at the first connection: a route that is written down will be asked for.
                site.load()

    async def replace(self, generation: Generation) -> None:
        """Serve the directories of a generation, and no others."""
        await self.start()
        await self._retire(generation.static_directories)

    async def _retire(self, keep: Collection[str]) -> None:
        for directory in [directory for directory in self._sockets if directory not in keep]:
            path, listening = self._sockets.pop(directory)
            site = self._sites.pop(directory, None)
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
