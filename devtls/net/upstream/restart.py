"""Requests that wait for an app to listen again: hot reload ends a process and starts the next one.

Owns the waiting requests of each route and one series of dials for each app. Refuses more than 100 requests of a route
at once: each may hold a piece of its body, some 300 KiB at most. Strategy: nothing was sent on a refused connection, so
the request may be of any method; the first that waits dials again and again and keeps the connection that it gets, the
others hear of it and dial then. A request whose client leaves is a task that is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from typing import Protocol

from devtls.http.actions import DialFailed
from devtls.net.upstream.handle import UpstreamHandle
from devtls.routing import Upstream

MAX_WAITING = 100
"""Requests of one route."""
_PAUSE_S = 0.05


class RestartPool(Protocol):
    """What the queue needs of the pool."""

    async def dial(self, upstream: Upstream) -> UpstreamHandle | DialFailed:
        """Open a fresh connection."""


class _Restart:
    """One app that restarts: whether a request dials, and those that wait to hear of it."""

    __slots__ = ("dialling", "waiting")

    def __init__(self) -> None:
        self.dialling = False
        self.waiting: set[asyncio.Future[bool]] = set()

    def tell(self, *, listens: bool) -> None:
        """Wake all: the app listens, or the request that dialled has left and another has to."""
        for future in self.waiting:
            if not future.done():
                future.set_result(listens)

    async def news(self) -> bool:
        """Wait; return whether the app listens."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.add(future)
        try:
            return await future
        finally:
            self.waiting.discard(future)


class RestartQueue:
    """All requests that wait, by route and by app."""

    def __init__(self, pool: RestartPool) -> None:
        self._pool = pool
        self._by_route: Counter[Hashable] = Counter()
        self._restarts: dict[Upstream, _Restart] = {}
        self._closed = False

    async def wait(
        self, upstream: Upstream, route: Hashable, wait_s: float, failed: DialFailed
    ) -> UpstreamHandle | DialFailed:
        """Return a connection to `upstream` within `wait_s` seconds, or `failed`: also when too many wait already."""
        if self._closed or self._by_route[route] >= MAX_WAITING:
            return failed
        self._by_route[route] += 1
        restart = self._restarts.setdefault(upstream, _Restart())
        try:
            async with asyncio.timeout(wait_s):
                return await self._connect(upstream, restart)
        except TimeoutError:
            return failed
        finally:
            self._by_route -= Counter({route: 1})  # drops what is zero
            if not restart.dialling and not restart.waiting:
                self._restarts.pop(upstream, None)

    async def _connect(self, upstream: Upstream, restart: _Restart) -> UpstreamHandle | DialFailed:
        while True:
            if not restart.dialling:
                return await self._dial(upstream, restart)
            if await restart.news():
                outcome = await self._pool.dial(upstream)
                if not isinstance(outcome, DialFailed) or not outcome.refused:
                    return outcome

    async def _dial(self, upstream: Upstream, restart: _Restart) -> UpstreamHandle | DialFailed:
        restart.dialling = True
        listens = False
        try:
            while True:
                await asyncio.sleep(_PAUSE_S)
                outcome = await self._pool.dial(upstream)
                if not isinstance(outcome, DialFailed) or not outcome.refused:
                    listens = True
                    return outcome
        finally:
            restart.dialling = False
            restart.tell(listens=listens)

    def close(self) -> None:
        """Let nobody wait any more; those that do end with their clients."""
        self._closed = True
