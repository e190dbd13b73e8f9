"""A listening socket whose aiohttp app is imported later: in a thread, at the first connection.

Owns the socket from the moment it listens until `close`. Clients that come early wait in the backlog: importing
aiohttp takes 190 ms, which neither the start nor the loop may spend on it.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from typing import TYPE_CHECKING

from devtls.config.model import LIMIT_RANGES

if TYPE_CHECKING:
    from aiohttp import web

# Seconds; aiohttp's own 60 would hold Ctrl-C.
_SHUTDOWN_S = 0.5
# aiohttp's own value.
_MAX_HEAD_BYTES = 8_190


BEHIND_A_ROUTE = int(LIMIT_RANGES["max_head_bytes"][1])
"""`max_head_bytes` of a site that only the proxy reaches: the proxy's own limits have been kept by then."""


class LazySite:
    """One app on one socket; `app` names the function that makes it, "package.module:function", `args` are passed on.

    `max_head_bytes` is the limit of a request line and of a field, each.
    The module is imported in a thread, and with it aiohttp: nothing here waits for either.
    """

    def __init__(
        self, listening: socket.socket, app: str, *args: object, max_head_bytes: int = _MAX_HEAD_BYTES
    ) -> None:
        self._socket = listening
        self._module, _, self._function = app.partition(":")
        self._args = args
        self._max_head_bytes = max_head_bytes
        self._runner: web.AppRunner | None = None
        self._loading: asyncio.Task[None] | None = None
        self._watched = False

    def start(self) -> None:
        """Load at the first connection."""
        loop = asyncio.get_running_loop()
        try:
            # Readable means that a connection waits in the backlog; it is accepted by aiohttp later.
            loop.add_reader(self._socket, self.load)
        except NotImplementedError:  # Windows without winloop
            self.load()
        else:
            self._watched = True

    def load(self) -> None:
        """Load now, in the background."""
        self._unwatch()
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())

    async def loaded(self) -> None:
        """Wait until the app answers."""
        self.load()
        if self._loading is not None:
            await self._loading

    async def _load(self) -> None:
        aiohttp_web = await asyncio.to_thread(importlib.import_module, "aiohttp.web")
        module = await asyncio.to_thread(importlib.import_module, self._module)
        app: web.Application = getattr(module, self._function)(*self._args)
        runner: web.AppRunner = aiohttp_web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            handler_cancellation=getattr(module, "CANCEL_ON_DISCONNECT", False),
            max_line_size=self._max_head_bytes,
            max_field_size=self._max_head_bytes,
        )
        self._runner = runner
        await runner.setup()
        await aiohttp_web.SockSite(runner, self._socket).start()

    async def close(self) -> None:
        """Stop answering and close the socket."""
        self._unwatch()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            asyncio.get_running_loop().remove_reader(self._socket)
