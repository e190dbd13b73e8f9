"""Connections to apps: idle ones kept a little while, new ones dialled on every address the app may listen on.

Owns who is idle and for how long it may stay so. Refuses link-local addresses even when a name resolves to one. An
app closes its idle connections after a time it seldom announces (Node: 5 s): ours are kept 4 s, or a second less than
it announced, and half of that after each one that turned out stale; so a request meets a closed door rarely, and a
POST never by our choice.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable

import msgspec

from devtls.config import is_refused_address
from devtls.http.actions import DialFailed
from devtls.http.h1.head import HeadLimits
from devtls.http.pages import HANDSHAKE_FAILED
from devtls.net.tls_client import TlsClient
from devtls.net.upstream import UpstreamConnection
from devtls.routing import Upstream

_STAGGER_S = 0.25  # RFC 8305 section 5: the next address is tried when the one before has not answered by then
_MIN_IDLE_S = 1.0
_MAX_IDLE_PER_UPSTREAM = 32


class PoolLimits(msgspec.Struct, frozen=True):
    """Seconds that dialling may take and that idle connections are kept; octets that may wait for a slow app."""

    connect_timeout_s: float = 5.0
    idle_s: float = 4.0
    max_buffer_bytes: int = 256 * 1024


class UpstreamState(msgspec.Struct):
    """What is known of an app beyond one request; outlives reloads."""

    base_s: float
    """How long idle connections are kept before anything is known against it."""
    penalty: float = 1.0
    idle: deque[UpstreamConnection] = msgspec.field(default_factory=deque)
    preferred: tuple[str, int] | None = None
    """The address that answered last: tried first."""
    active: int = 0
    last_error: str = ""

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
        self._cached_loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        apps = ", ".join(
            f"{u.label}: {len(s.idle)} idle, {s.active} active" + (f", {s.last_error}" if s.last_error else "")
            for u, s in self._states.items()
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
        """Return what is known of an app."""
        state = self._states.get(upstream)
        if state is None:
            state = self._states[upstream] = UpstreamState(self._limits.idle_s)
        return state

    @property
    def connect_timeout_s(self) -> float:
        """How long a dial may take, in seconds."""
        return self._limits.connect_timeout_s

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        # Kept: until Python 3.12 get_running_loop asks the kernel for the process id, a quarter of a request's cost.
        if self._cached_loop is None:
            self._cached_loop = asyncio.get_running_loop()
        return self._cached_loop

    # -- using --------------------------------------------------------------------------------------------------------

    def acquire(self, upstream: Upstream, max_idle_s: float | None) -> UpstreamConnection | None:
        """Return an idle connection that is fresh enough, or None: then `dial`."""
        state = self._states.get(upstream)
        if state is None or not state.idle or max_idle_s == 0:
            return None
        now = self._loop.time()
        limit = state.keep_idle_s if max_idle_s is None else min(max_idle_s, state.keep_idle_s)
        connection = state.idle[-1]  # the one used last is the one least likely to be stale
        if now - connection.idle_since > limit:
            return None
        if max_idle_s is not None and connection.has_unread:
            return None  # the app has closed it, though the loop has not got to that yet: this request has one try
        state.idle.pop()
        state.active += 1
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back; it is kept only when its codec says that it can serve again."""
        connection.user = None
        state = self._states[connection.upstream]
        state.active -= 1
        codec = connection.codec
        full = len(state.idle) >= _MAX_IDLE_PER_UPSTREAM
        if connection.closed or not codec.reusable or full or connection.has_undelivered:
            connection.abort()
            return
        if codec.keep_alive_timeout_s is not None:
            state.base_s = codec.keep_alive_timeout_s - 1
        connection.resume_reading()
        connection.idle_since = self._loop.time()
        state.idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(1.0, self._sweep)

    def abort(self, connection: UpstreamConnection, *, stale: bool = False) -> None:
        """Close a connection in use; a stale one shortens how long this app's are kept."""
        state = self.state(connection.upstream)
        state.active -= 1
        if stale:
            state.penalty /= 2
            self._drop_idle(state)
        connection.abort()

    def hand_over(self, connection: UpstreamConnection) -> None:
        """The connection became a tunnel: it is nobody's business here any more."""
        connection.user = None
        self.state(connection.upstream).active -= 1

    def close(self) -> None:
        """Close every idle connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for state in self._states.values():
            self._drop_idle(state)

    def _drop_idle(self, state: UpstreamState) -> None:
        while state.idle:
            state.idle.popleft().abort()

    def _discarded(self, connection: UpstreamConnection) -> None:
        state = self._states.get(connection.upstream)
        if state is not None and connection in state.idle:
            state.idle.remove(connection)

    def _sweep(self) -> None:
        now = self._loop.time()
        left = 0
        for state in self._states.values():
            while state.idle and now - state.idle[0].idle_since > state.keep_idle_s:
                state.idle.popleft().abort()
            left += len(state.idle)
        self._sweeper = self._loop.call_later(1.0, self._sweep) if left else None

    # -- dialling -----------------------------------------------------------------------------------------------------

    async def dial(self, upstream: Upstream) -> UpstreamConnection | DialFailed:
        """Open a fresh connection; every address is tried, each error is kept for the 502 page."""
        state = self.state(upstream)
        tried: list[tuple[str, str]] = []
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                connection = await self._first_to_answer(upstream, state, tried)
        except TimeoutError:
            waited = f"no answer within {self._limits.connect_timeout_s:g} s"
            state.last_error = waited
            return DialFailed((*tried, (upstream.label, waited)), timed_out=True)
        if connection is not None and connection.closed:
            # Between two turns of the loop nobody was listening: the app ended it, or spoke before it was asked.
            tried.append((upstream.label, "the app took the connection and closed it at once"))
            connection = None
        if connection is None:
            state.last_error = tried[-1][1] if tried else "no address"
            return DialFailed(tuple(tried))
        state.last_error = ""
        state.active += 1
        return connection

    async def _first_to_answer(
        self, upstream: Upstream, state: UpstreamState, tried: list[tuple[str, str]]
    ) -> UpstreamConnection | None:
        if upstream.unix_path:
            return await self._attempt(upstream, None, tried)
        addresses = list(upstream.addresses) or await _resolve(upstream, tried)
        if state.preferred in addresses:
            addresses.remove(state.preferred)
            addresses.insert(0, state.preferred)
        return await self._race(upstream, addresses, tried)

    async def _race(
        self, upstream: Upstream, addresses: list[tuple[str, int]], tried: list[tuple[str, str]]
    ) -> UpstreamConnection | None:
        running: set[asyncio.Task[UpstreamConnection | None]] = set()
        winner: UpstreamConnection | None = None
        try:
            while (addresses or running) and winner is None:
                if addresses:
                    running.add(asyncio.create_task(self._attempt(upstream, addresses.pop(0), tried)))
                wait_s = _STAGGER_S if addresses else None
                done, running = await asyncio.wait(running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if connection := task.result():
                        if winner is None:
                            winner = connection
                        else:
                            connection.abort()
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_close_late)
        return winner

    async def _attempt(
        self, upstream: Upstream, address: tuple[str, int] | None, tried: list[tuple[str, str]]
    ) -> UpstreamConnection | None:
        shown = upstream.label if address is None else _show(address)
        try:
            connection = await self._connect(upstream, address)
        except (OSError, ssl.SSLError) as error:
            tried.append((shown, _why(error)))
            return None
        if address is not None:
            self.state(upstream).preferred = address
        return connection

    async def _connect(self, upstream: Upstream, address: tuple[str, int] | None) -> UpstreamConnection:
        loop = self._loop
        connection = UpstreamConnection(upstream, self._head_limits, self._discarded, self._limits.max_buffer_bytes)
        factory: Callable[[], asyncio.Protocol] = lambda: connection  # noqa: E731
        established: asyncio.Future[str | None] | None = None
        if upstream.tls is not None:
            established = loop.create_future()
            layer = TlsClient(
                self._client_context(upstream), upstream.tls.server_name, connection, _settle(established)
            )
            factory = lambda: layer  # noqa: E731
        if address is None:
            transport, _ = await loop.create_unix_connection(factory, upstream.unix_path)
        else:
            transport, _ = await loop.create_connection(factory, address[0], address[1])
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if established is None:
            return connection
        try:
            failure = await established
        except asyncio.CancelledError:
            transport.abort()
            raise
        if failure is not None:
            raise ssl.SSLError(0, f"{HANDSHAKE_FAILED}: {failure}")
        return connection


def _settle(future: asyncio.Future[str | None]) -> Callable[[str | None], None]:
    def report(failure: str | None) -> None:
        if not future.done():
            future.set_result(failure)

    return report


def _close_late(task: asyncio.Task[UpstreamConnection | None]) -> None:
    if not task.cancelled() and task.exception() is None and (connection := task.result()):
        connection.abort()


async def _resolve(upstream: Upstream, tried: list[tuple[str, str]]) -> list[tuple[str, int]]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(upstream.host, upstream.port, type=socket.SOCK_STREAM)
    except OSError as error:
        tried.append((upstream.host, f"the name does not resolve ({_why(error)})"))
        return []
    addresses = []
    for _, _, _, _, sockaddr in found:
        ip = str(sockaddr[0]).partition("%")[0]
        if is_refused_address(ip):
            # 169.254.169.254 hands out a cloud machine's credentials; no app lives there.
            tried.append((f"{upstream.host} ({ip})", "link-local addresses are never used"))
        else:
            addresses.append((ip, upstream.port))
    return addresses


def _show(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _why(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case FileNotFoundError():
            return "the socket does not exist"
        case PermissionError():
            return "permission denied"
        case OSError(strerror=str(text)) if text:
            return text[:1].lower() + text[1:]
        case _:
            return str(error) or error.__class__.__name__
