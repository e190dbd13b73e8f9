"""A listening socket whose aiohttp app is imported later: in a thread, at the first connection.

Owns the socket from the moment it listens until `close`. Clients that come early wait in the backlog: importing
aiohttp takes 190 ms, which neither the start nor the loop may spend on it. How long a client may take and how many
there may be is said by `SiteTerms`.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from aiohttp import web

_TIMED = "devtls.web.timed_connection"


class SiteTimeouts(msgspec.Struct, frozen=True):
    """How long a client may be idle, send a head, send a body, and leave a response unread (None = for ever)."""

    idle_s: float = 10.0
    head_s: float = 10.0
    body_s: float = 10.0
    stall_s: float | None = 10.0
    only_rested_yield: bool = False
    """Its only client asks as soon as it is connected: to close before the first response would lose a request."""


class SiteConnection(Protocol):
    """A connection of a client, as the limit of the site sees it."""

    @property
    def idle_since(self) -> float | None:
        """When it began to wait for its client, on the loop's clock; None while we work for it."""

    def yield_place(self) -> None:
        """Close now: a new client needs the place."""


class Places(Protocol):
    """The connections that count against the limit of a site (`devtls.net.admission.ConnectionTable`)."""

    def add(self, connection: SiteConnection, /) -> None:
        """Count a connection."""

    def discard(self, connection: SiteConnection, /) -> None:
        """Count it no more."""


class Acceptor(Protocol):
    """A socket on which connections are accepted."""

    async def start(self) -> None:
        """Begin to accept."""

    def stop(self) -> None:
        """Accept no more, and close the socket."""


class SiteTerms(msgspec.Struct, frozen=True, eq=False):
    """What a site needs of the daemon: `listen` accepts within the limit, `fault` is told of bugs of ours."""

    listen: Callable[[socket.socket, Callable[[], asyncio.Protocol]], Acceptor]
    places: Places
    fault: Callable[[Exception], None]
    timeouts: SiteTimeouts = SiteTimeouts()
    max_head_bytes: int = 8_190
    """Of a request line, and of one field; aiohttp's own value."""


class LazySite:
    """One app on one socket; `app` names the function that makes it, "package.module:function", `args` are passed on.

    `max_head_bytes` is the limit of a request line and of a field, each.
    The module is imported in a thread, and with it aiohttp: nothing here waits for either.
    """

    def __init__(self, listening: socket.socket, terms: SiteTerms, app: str, *args: object) -> None:
        self._socket = listening
        self._terms = terms
        self._module, _, self._function = app.partition(":")
        self._args = args
        self._runner: web.AppRunner | None = None
        self._accepting: Acceptor | None = None
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
        timing = await asyncio.to_thread(importlib.import_module, _TIMED)
        module = await asyncio.to_thread(importlib.import_module, self._module)
        app: web.Application = getattr(module, self._function)(*self._args)
        cancels = getattr(module, "CANCEL_ON_DISCONNECT", False)
        runner: web.AppRunner = timing.make_runner(app, self._terms, cancels=cancels)
        self._runner = runner
        await runner.setup()
        self._accepting = self._terms.listen(self._socket, timing.timed(runner, self._terms))
        await self._accepting.start()

    async def close(self) -> None:
        """Stop answering and close the socket."""
        self._unwatch()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._runner is not None:
            if self._accepting is not None:
                self._accepting.stop()
            await self._runner.cleanup()
        self._socket.close()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            asyncio.get_running_loop().remove_reader(self._socket)
