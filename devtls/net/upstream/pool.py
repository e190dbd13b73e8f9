"""Connections to apps: idle ones kept a little while, new ones dialled on every address the app may listen on.

Owns the idle connections, and for how long each is kept. An app closes its idle connections after a time it seldom
announces (Node: 5 s): ours are kept 4 s, or a second less than it announced, and half of that after each one that
turned out stale; so a request meets a closed connection rarely, and a POST never by our choice.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, cast

import msgspec

from devtls.http.actions import DialFailed
from devtls.http.h1.head import HeadLimits
from devtls.net.upstream.dial import DialledT, Dialler
from devtls.net.upstream.h1 import H1UpstreamConnection
from devtls.net.upstream.handle import UpstreamHandle
from devtls.net.upstream.restart import RestartQueue
from devtls.routing import Upstream

if TYPE_CHECKING:
    from devtls.net.upstream.h2 import H2UpstreamConnection
    from devtls.net.upstream.h2_pool import Connect, H2UpstreamPool
    from devtls.net.upstream.h2_stream import H2UpstreamStream

_MIN_IDLE_S = 1.0  # below it nothing would ever be reused
_MAX_IDLE_PER_UPSTREAM = 256
_RESTARTING_S = 30.0
"""An app that has answered within it and refuses connections is taken to be starting again."""


class PoolLimits(msgspec.Struct, frozen=True):
    """Seconds that dialling may take and that idle connections are kept; bytes that may wait for a slow app."""

    connect_timeout_s: float = 5.0
    idle_s: float = 4.0
    max_buffer_bytes: int = 256 * 1024


class UpstreamState(msgspec.Struct):
    """The state of an app beyond one request; outlives reloads."""

    base_s: float
    """How long idle connections are kept before anything is known against it."""
    penalty: float = 1.0
    idle: deque[H1UpstreamConnection] = msgspec.field(default_factory=deque)
    shared: H2UpstreamPool | None = None
    """Connections to an app that speaks HTTP/2."""
    preferred: tuple[str, int] | None = None
    """The address that answered last: tried first."""
    active: int = 0
    last_error: str = ""
    answered_at: float = -math.inf
    """When a connection that is gone was last known to have answered, in the loop's time."""

    @property
    def connections(self) -> int:
        """How many connections are idle."""
        return len(self.idle) + (0 if self.shared is None else self.shared.idle_count)

    def heard(self, at: float) -> None:
        """Note that the app has answered at a time of the loop."""
        self.answered_at = max(self.answered_at, at)

    @property
    def keep_idle_s(self) -> float:
        """How long an idle connection is kept, in seconds."""
        # The floor is for stale closes; an app that announces less than it (timeout=1) is taken at its word.
        return max(min(_MIN_IDLE_S, self.base_s), self.base_s * self.penalty)


class Pool:
    """All connections to apps, by Upstream."""

    def __init__(
        self, limits: PoolLimits, head_limits: HeadLimits, client_context: Callable[[Upstream], ssl.SSLContext]
    ) -> None:
        self._limits = limits
        self._head_limits = head_limits
        self._client_context = client_context
        self._states: dict[Upstream, UpstreamState] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._restarts = RestartQueue(self)

    def __repr__(self) -> str:
        apps = ", ".join(
            f"{upstream.label}: {state.connections} idle, {state.active} active"
            + (f", {state.last_error}" if state.last_error else "")
            for upstream, state in self._states.items()
        )
        return f"<Pool {apps or 'empty'}>"

    def limit(self, limits: PoolLimits, head_limits: HeadLimits) -> None:
        """Take other limits over: for connections from now on, idle ones included."""
        for state in self._states.values():
            if state.base_s == self._limits.idle_s:  # nothing better is known of this app
                state.base_s = limits.idle_s
        self._limits = limits
        self._head_limits = head_limits

    def state(self, upstream: Upstream) -> UpstreamState:
        """Return the state of an app."""
        state = self._states.get(upstream)
        if state is None:
            state = self._states[upstream] = UpstreamState(self._limits.idle_s)
        return state

    def known(self, upstream: Upstream) -> UpstreamState | None:
        """Return the state of an app, None when no request was for it yet."""
        return self._states.get(upstream)

    @property
    def connect_timeout_s(self) -> float:
        """How long a dial may take, in seconds."""
        return self._limits.connect_timeout_s

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        # Kept: until Python 3.12 get_running_loop asks the kernel for the process id, a quarter of a request's cost.
        loop = self._loop = asyncio.get_running_loop()
        return loop

    # -- using --------------------------------------------------------------------------------------------------------

    def acquire(self, upstream: Upstream, max_idle_s: float | None) -> UpstreamHandle | None:
        """Return an idle connection that is fresh enough, or None: then `dial`."""
        state = self._states.get(upstream)
        if state is None:
            return None
        if state.shared is not None:
            stream = state.shared.open()
            if stream is not None:
                state.active += 1
            return stream
        if not state.idle or max_idle_s == 0:
            return None
        now = (self._loop or self._running_loop()).time()
        limit = state.keep_idle_s if max_idle_s is None else min(max_idle_s, state.keep_idle_s)
        connection = state.idle[-1]  # the one used last is the one least likely to be stale
        if now - connection.idle_since > limit:
            return None
        if max_idle_s is not None and connection.has_unread:
            return None  # the app has closed it, though the loop has not got to that yet: this request has one try
        state.idle.pop()
        state.active += 1
        return connection

    def release(self, connection: UpstreamHandle) -> None:
        """Take a connection back; it is kept only when its codec says that it can serve again."""
        connection.user = None
        state = self._states[connection.upstream]
        state.active -= 1
        if not isinstance(connection, H1UpstreamConnection):
            cast("H2UpstreamStream", connection).release()
            return
        codec = connection.codec
        full = len(state.idle) >= _MAX_IDLE_PER_UPSTREAM
        if connection.closed or not codec.reusable or full or connection.has_undelivered:
            connection.abort()
            self.heard_from(connection.upstream)
            return
        if codec.keep_alive_timeout_s is not None:
            # A second less than announced: our request must not cross the app's close on the wire.
            state.base_s = codec.keep_alive_timeout_s - 1
        # Idle ones are read: the app's close must be seen before the next request.
        connection.resume_reading()
        connection.idle_since = (self._loop or self._running_loop()).time()
        state.idle.append(connection)
        if self._sweeper is None:
            self._sweep_later()

    def abort(self, connection: UpstreamHandle, *, stale: bool = False) -> None:
        """Close a connection in use; a stale one shortens how long this app's are kept."""
        state = self.state(connection.upstream)
        state.active -= 1
        if not stale and (not isinstance(connection, H1UpstreamConnection) or connection.codec.response_started):
            self.heard_from(connection.upstream)
        if stale and state.shared is None:
            state.penalty /= 2
            # Its idle neighbours are as old or older: they are stale as well.
            self._drop_idle(state)
        connection.abort()

    def hand_over(self, connection: UpstreamHandle) -> None:
        """Give up a connection that became a tunnel."""
        connection.user = None
        self.state(connection.upstream).active -= 1
        self.heard_from(connection.upstream)

    def heard_from(self, upstream: Upstream) -> None:
        """Note that an app was there a moment ago."""
        self.state(upstream).heard((self._loop or self._running_loop()).time())

    def close(self) -> None:
        """Close every idle connection."""
        self._restarts.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for state in self._states.values():
            self._drop_idle(state)
            if state.shared is not None:
                state.shared.close()

    def _drop_idle(self, state: UpstreamState) -> None:
        while state.idle:
            state.idle.popleft().abort()

    def _discarded(self, connection: H1UpstreamConnection) -> None:
        state = self._states.get(connection.upstream)
        if state is not None:
            # Here, once for a connection, and not for each answer.
            state.heard(connection.idle_since)
            if connection in state.idle:
                state.idle.remove(connection)

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = (self._loop or self._running_loop()).call_later(1.0, self._sweep)

    def _sweep(self) -> None:
        loop = self._loop or self._running_loop()
        now = loop.time()
        left = 0
        for state in self._states.values():
            # The oldest stand on the left: the first that is fresh ends the search.
            while state.idle and now - state.idle[0].idle_since > state.keep_idle_s:
                state.idle.popleft().abort()
            left += len(state.idle) + (state.shared.sweep(now) if state.shared is not None else 0)
        self._sweeper = loop.call_later(1.0, self._sweep) if left else None

    # -- dialling -----------------------------------------------------------------------------------------------------

    async def dial(self, upstream: Upstream) -> UpstreamHandle | DialFailed:
        """Open a fresh connection; every address is tried, each error is kept for the 502 page."""
        state = self.state(upstream)
        outcome: UpstreamHandle | DialFailed
        if upstream.http2:
            outcome = await self._shared(upstream, state).dial()
        else:
            outcome = await self._dial(upstream, state, self._make_connection)
        if isinstance(outcome, DialFailed):
            outcome.restarting = outcome.refused and self._has_answered(state)
        else:
            state.active += 1
        return outcome

    def _has_answered(self, state: UpstreamState) -> bool:
        idle_since = state.idle[-1].idle_since if state.idle else -math.inf
        return (self._loop or self._running_loop()).time() - max(state.answered_at, idle_since) < _RESTARTING_S

    async def await_restart(
        self, upstream: Upstream, route: Hashable, wait_s: float, failed: DialFailed
    ) -> UpstreamHandle | DialFailed:
        """Return a connection to an app that listens again within `wait_s` seconds, else `failed`."""
        return await self._restarts.wait(upstream, route, wait_s, failed)

    async def _dial(
        self, upstream: Upstream, state: UpstreamState, make: Callable[[Upstream], DialledT]
    ) -> DialledT | DialFailed:
        connecting = Dialler(upstream, lambda: make(upstream), self._client_context)
        outcome = await connecting.connect(self._limits.connect_timeout_s, state.preferred)
        if isinstance(outcome, DialFailed):
            state.last_error = outcome.tried[-1][1] if outcome.tried else "no address"
        else:
            state.last_error = ""
            state.preferred = connecting.answered
        return outcome

    def _make_connection(self, upstream: Upstream) -> H1UpstreamConnection:
        return H1UpstreamConnection(upstream, self._head_limits, self._discarded, self._limits.max_buffer_bytes)

    def _shared(self, upstream: Upstream, state: UpstreamState) -> H2UpstreamPool:
        if state.shared is None:
            state.shared = _make_h2_pool(lambda: self._dial_shared(upstream, state))
        return state.shared

    async def _dial_shared(self, upstream: Upstream, state: UpstreamState) -> H2UpstreamConnection | DialFailed:
        shared = self._shared(upstream, state)
        limits = self._head_limits, self._limits.max_buffer_bytes

        def drop(connection: H2UpstreamConnection) -> None:
            state.heard(connection.idle_since)
            shared.drop(connection)

        outcome = await self._dial(upstream, state, lambda _: _make_h2_connection(upstream, *limits, drop))
        self._sweep_later()
        return outcome


# HTTP/2 takes 15 ms to import, which only its first request pays, and only before `daemon.run` has imported it.


def _make_h2_pool(connect: Connect) -> H2UpstreamPool:
    from devtls.net.upstream.h2_pool import H2UpstreamPool

    return H2UpstreamPool(connect)


def _make_h2_connection(
    upstream: Upstream, head: HeadLimits, window_bytes: int, closed: Callable[[H2UpstreamConnection], None]
) -> H2UpstreamConnection:
    from devtls.http.h2.limits import H2Limits
    from devtls.net.upstream.h2 import H2UpstreamConnection

    return H2UpstreamConnection(upstream, H2Limits(head=head, window_bytes=window_bytes), closed)
