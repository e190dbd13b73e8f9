"""Dialling an app: every address that it may listen on, the next one when the last is slow to answer.

Owns the race and what each address said, for the 502 page. Refuses addresses of cloud metadata services even when a
name resolves to one, and an app that does not speak the HTTP that its target says.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

from devtls.config import is_refused_address
from devtls.http.actions import DialFailed
from devtls.http.answers.pages import HANDSHAKE_FAILED
from devtls.net.tls.layer import TlsLayer
from devtls.routing import Upstream

_STAGGER_S = 0.25  # RFC 8305 section 5: the next address is tried when the one before has not answered by then


class Dialled(Protocol):
    """What is dialled: a protocol that can say whether it was closed already, and whether the app suits it."""

    closed: bool

    def abort(self) -> None:
        """Close at once."""

    async def ready(self) -> str | None:
        """Wait until the app has said what it must say first; return why it never will."""


DialledT = TypeVar("DialledT", bound=Dialled)


class UpstreamTlsLayer(TlsLayer):
    """The client side, towards an app that speaks TLS; `established` receives None or what went wrong."""

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str,
        application: asyncio.Protocol,
        established: Callable[[str | None], None],
    ) -> None:
        super().__init__()
        self._context = context
        self._server_name = server_name
        self._inner = application
        self._report = established

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the ClientHello."""
        super().connection_made(transport)
        self._begin(self._context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._server_name))

    def _application(self) -> asyncio.Protocol:
        asyncio.get_running_loop().call_soon(self._report, None)
        return self._inner

    def _failed(self, reason: str) -> None:
        self._report(reason)


class Dialler(Generic[DialledT]):
    """One attempt to reach `upstream`; `make` gives a connection's protocol, `answered` is the address that took it."""

    def __init__(
        self, upstream: Upstream, make: Callable[[], DialledT], client_context: Callable[[Upstream], ssl.SSLContext]
    ) -> None:
        self._upstream = upstream
        self._make = make
        self._client_context = client_context
        self._tried: list[tuple[str, str]] = []
        self._refused = False
        self._reached = False
        """An address took the connection, whatever became of it."""
        self.answered: tuple[str, int] | None = None

    async def connect(self, timeout_s: float, preferred: tuple[str, int] | None) -> DialledT | DialFailed:
        """Return a connection within `timeout_s` seconds, the preferred address first."""
        label = self._upstream.label
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._first_to_answer(preferred)
        except TimeoutError:
            return DialFailed((*self._tried, (label, f"no answer within {timeout_s:g} s")), timed_out=True)
        if connection is not None and connection.closed:
            # Between two turns of the loop nobody was listening: the app ended it, or spoke before it was asked.
            self._tried.append((label, "the app took the connection and closed it at once"))
            self._reached = True
            connection = None
        if connection is None:
            return DialFailed(tuple(self._tried), refused=self._refused and not self._reached)
        return connection

    async def _first_to_answer(self, preferred: tuple[str, int] | None) -> DialledT | None:
        upstream = self._upstream
        if upstream.unix_path:
            return await self._attempt(None)
        addresses = list(upstream.addresses) or await _resolve(upstream, self._tried)
        # An app listens on one family mostly: the one that answered last saves a refused connect.
        if preferred in addresses:
            addresses.remove(preferred)
            addresses.insert(0, preferred)
        return await self._race(addresses)

    async def _race(self, addresses: list[tuple[str, int]]) -> DialledT | None:
        running: set[asyncio.Task[DialledT | None]] = set()
        winner: DialledT | None = None
        try:
            while (addresses or running) and winner is None:
                if addresses:
                    running.add(asyncio.create_task(self._attempt(addresses.pop(0))))
                wait_s = _STAGGER_S if addresses else None
                done, running = await asyncio.wait(running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if connection := task.result():
                        if winner is None:
                            winner = connection
                        else:
                            # Two may be done in one turn; only one can be used.
                            connection.abort()
        finally:
            for task in running:
                task.cancel()
                # A task may have its connection before the cancel reaches it.
                task.add_done_callback(_close_late)
        return winner

    async def _attempt(self, address: tuple[str, int] | None) -> DialledT | None:
        shown = self._upstream.label if address is None else _show(address)
        try:
            connection = await self._open(address)
        except (OSError, ssl.SSLError) as error:
            self._tried.append((shown, _why(error)))
            # A Unix socket without a listener refuses; one that an app has taken away is not there.
            self._refused |= isinstance(error, ConnectionRefusedError | FileNotFoundError)
            self._reached |= isinstance(error, ssl.SSLError)
            return None
        try:
            failure = await connection.ready()
        except asyncio.CancelledError:
            # The race is over or the time is up: nobody else knows this connection.
            connection.abort()
            raise
        if failure is not None:
            self._tried.append((shown, failure))
            self._reached = True
            connection.abort()
            return None
        self.answered = address
        return connection

    async def _open(self, address: tuple[str, int] | None) -> DialledT:
        loop = asyncio.get_running_loop()
        upstream = self._upstream
        connection = self._make()
        factory: Callable[[], asyncio.Protocol] = lambda: cast(asyncio.Protocol, connection)  # noqa: E731
        established: asyncio.Future[str | None] | None = None
        if upstream.tls is not None:
            established = loop.create_future()
            layer = UpstreamTlsLayer(
                self._client_context(upstream), upstream.tls.server_name, factory(), _settle(established)
            )
            factory = lambda: layer  # noqa: E731
        if address is None:
            if upstream.unix_real:
                await asyncio.to_thread(_check_links, upstream)
            transport, _ = await loop.create_unix_connection(factory, upstream.unix_path)
        else:
            transport, _ = await loop.create_connection(factory, address[0], address[1])
            # A peer may vanish without a FIN; at the other end of a Unix socket none can.
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


def _check_links(upstream: Upstream) -> None:
    """Raise OSError when a link has come into the path since the route was permitted: to Docker's socket, perhaps."""
    if os.path.realpath(upstream.unix_path) != upstream.unix_real:
        what = "the socket, or a folder above it, has become a link since the route was read"
        raise OSError(0, f"{what}: devtls reload, or type the route again")


def _settle(future: asyncio.Future[str | None]) -> Callable[[str | None], None]:
    def report(failure: str | None) -> None:
        if not future.done():
            future.set_result(failure)

    return report


def _close_late(task: asyncio.Task[DialledT | None]) -> None:
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
            tried.append((f"{upstream.host} ({ip})", "addresses of cloud metadata services are never used"))
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
