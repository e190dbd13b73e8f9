"""The control channel of a running proxy: open before anything answers, gone when the process is.

Owns the socket and what is loaded behind it at the first question, so that no start has to wait for it. A socket that
cannot be made is worth a warning, never a stop: the proxy does its work without being asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

from devtls.errors import StateError
from devtls.system.control.channel import ControlChannel, open_channel, remove_leftovers
from devtls.web.lazy_site import LazySite, SiteTerms


class ControlSite:
    """One socket; `open` and `abandon` may block, the rest runs on the loop."""

    def __init__(self, runtime_dir: Path, terms: SiteTerms) -> None:
        self._runtime_dir = runtime_dir
        self._terms = terms
        self._socket: socket.socket | None = None
        self._site: LazySite | None = None
        self.place: ControlChannel | None = None
        self.error: StateError | None = None
        """Why there is no socket."""

    def open(self) -> None:
        """Listen: who asks now waits for `start`."""
        try:
            self.place, self._socket = open_channel(self._runtime_dir)
        except StateError as error:
            # Kept: it is told with the first lines of the log, once the ports are open.
            self.error = error

    def start(self, app: str, *process: object) -> None:
        """Serve `app` (`module:function`, loaded with the first request), which is given the place and `process`."""
        if self._socket is not None and self.place is not None:
            self._site = LazySite(self._socket, self._terms, app, self.place, *process)
            self._site.start()

    def clean(self) -> None:
        """Remove what killed processes left; blocks."""
        remove_leftovers(self._runtime_dir)

    def abandon(self) -> None:
        """Close what nobody answers: the start failed."""
        if self._socket is not None:
            self._socket.close()
        self._remove()

    async def close(self) -> None:
        """Answer what was asked, and be gone."""
        # First the name: whoever waits for the end sees it, and nobody new finds a socket that is about to close.
        await asyncio.to_thread(self._remove)
        if self._site is not None:
            await self._site.close()
        elif self._socket is not None:
            self._socket.close()

    def _remove(self) -> None:
        if self.place is not None:
            with contextlib.suppress(OSError):  # gone already, or left: it answers nobody
                self.place.path.unlink()
