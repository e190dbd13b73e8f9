"""The connections to one app that speaks HTTP/2: as few as possible, each shared by many requests.

Owns the choice of a connection for each request, and the one dial that many requests wait for together. An idle
connection is kept a minute: unlike in HTTP/1.1 an app can say that it leaves (GOAWAY) without losing a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from devtls.http.actions import DialFailed
from devtls.net.upstream.h2 import H2UpstreamConnection
from devtls.net.upstream.h2_stream import H2UpstreamStream

IDLE_S = 60.0

Connect = Callable[[], Awaitable[H2UpstreamConnection | DialFailed]]


class H2UpstreamPool:
    """Connections to one upstream; `connect` opens another."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connections: list[H2UpstreamConnection] = []
        self._dialling: asyncio.Task[DialFailed | None] | None = None

    def __repr__(self) -> str:
        dialling = "" if self._dialling is None else ", dialling"
        return (
            f"<H2UpstreamPool {len(self)} connection{'' if len(self) == 1 else 's'}, {self.idle_count} idle{dialling}>"
        )

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def idle_count(self) -> int:
        """How many of them are idle."""
        return sum(connection.idle for connection in self._connections)

    def open(self) -> H2UpstreamStream | None:
        """Return a stream on a connection that can take one more request, or None: then `dial`."""
        for connection in self._connections:
            if connection.available:
                return connection.open()
        return None

    async def dial(self) -> H2UpstreamStream | DialFailed:
        """Return a stream on a fresh connection; callers meanwhile get streams on the same one."""
        # Again: those who waited may have used up the streams that the app allows.
        while (stream := self.open()) is None:
            if self._dialling is None:
                self._dialling = asyncio.get_running_loop().create_task(self._add())
            # One client that goes away must not cancel the dial that others wait for.
            failed = await asyncio.shield(self._dialling)
            if failed is not None:
                return failed
        return stream

    async def _add(self) -> DialFailed | None:
        try:
            outcome = await self._connect()
            if isinstance(outcome, DialFailed):
                return outcome
            if not outcome.available:  # to dial again and again would lead to the same
                outcome.close()
                return DialFailed(((outcome.upstream.label, "the app takes no requests on a new connection"),))
            self._connections.append(outcome)
            return None
        finally:
            self._dialling = None

    def drop(self, connection: H2UpstreamConnection) -> None:
        """It takes no more requests."""
        if connection in self._connections:
            self._connections.remove(connection)

    def sweep(self, now: float) -> int:
        """Close connections that were idle for a minute; return how many are left."""
        for connection in list(self._connections):
            if connection.idle and now - connection.idle_since > IDLE_S:
                connection.close()
        return len(self._connections)

    def close(self) -> None:
        """Close idle connections."""
        if self._dialling is not None:
            self._dialling.cancel()
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
