"""A whole data plane in the test's loop: a raw app that records, the proxy in front of it, raw clients.

Nothing is mocked: real sockets on port 0, real TLS with leaves of a real CA; the app is a script of what it reads and
writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.config import parse_config
from devtls.errors import InvalidName
from devtls.http.frameworks.advice import FrameworkFinding
from devtls.http.h1.response_head import RESPONSE_LIMITS
from devtls.names import DEFAULT_ZONES, Hostname, parse_hostname
from devtls.net.bind import bind
from devtls.net.client.access import AccessRecord
from devtls.net.client.h1 import H1ClientConnection
from devtls.net.client.listener import ConnectionLimiter, TlsGate, https_protocol, redirect_protocol
from devtls.net.client.service import ClientLimits, ProxyService
from devtls.net.listener import Listener
from devtls.net.tls.client_auth import ClientPolicy
from devtls.net.tls.contexts import ContextCache, Issuer
from devtls.net.tls.handshake import HandshakeFailure
from devtls.net.upstream.pool import Pool, PoolLimits
from devtls.pki.authority import Authority, NewKey, create_authority
from devtls.pki.leaf import Leaf
from devtls.routing import ClientAuth, Route, Snapshot, Upstream, build_routes
from devtls.system.machine.pem import pem_path

DEADLINE_S = 5.0

Conversation = Callable[["AppConnection"], Awaitable[None]]


@dataclass
class AppConnection:
    """One connection to the scripted app."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heads: list[bytes] = field(default_factory=list)

    async def head(self) -> bytes:
        """Read up to the end of a head; it is kept in `heads`."""
        self.heads.append(await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE_S))
        return self.heads[-1]

    async def body(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        return await asyncio.wait_for(self.reader.readexactly(count), DEADLINE_S)

    async def to_eof(self) -> bytes:
        """Read until the proxy closes."""
        return await asyncio.wait_for(self.reader.read(-1), DEADLINE_S)

    async def send(self, data: bytes) -> None:
        """Write and wait until the kernel has it."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"ok", *, status: bytes = b"200 OK", fields: bytes = b"") -> None:
        """Send a complete response."""
        await self.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), fields, body))

    def close(self) -> None:
        """Send a FIN (or a reset, if something is unread)."""
        self.writer.close()


@dataclass
class App:
    """The scripted app and what it saw."""

    port: int
    connections: list[AppConnection] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


@contextlib.asynccontextmanager
async def app(conversation: Conversation, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[App]:
    """Run an app, on a free port unless one is given; `conversation` is awaited for each connection."""
    state = App(0)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = AppConnection(len(state.connections) + 1, reader, writer)
        state.connections.append(connection)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await conversation(connection)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            state.errors.append(error)
        except asyncio.CancelledError:
            return  # the test is over
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, host, port)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await aborted(connection.writer for connection in state.connections)


def answering(body: bytes = b"ok", **more: bytes) -> Conversation:
    """Return a conversation that answers every bodyless request on the connection."""

    async def talk(connection: AppConnection) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await connection.head()
                await connection.answer(body, **more)

    return talk


@dataclass
class Noted:
    """An Observer that keeps everything."""

    requests: list[AccessRecord] = field(default_factory=list)
    cookies: list[tuple[str, str, str, str]] = field(default_factory=list)
    findings: list[tuple[str, FrameworkFinding]] = field(default_factory=list)
    failures: list[HandshakeFailure] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    wants_requests: bool = True

    def request(self, record: AccessRecord) -> None:
        """Keep a record."""
        self.requests.append(record)

    def framework(self, host: str, route: Route, found: FrameworkFinding) -> None:
        """Keep a finding."""
        self.findings.append((host, found))

    def cookie_domain(self, route: str, host: str, cookie: str, domain: str) -> None:
        """Keep what was done to a cookie."""
        self.cookies.append((route, host, cookie, domain))

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        """Keep a failure."""
        self.failures.append(failure)

    def fault(self, connection_id: int, error: Exception) -> None:
        """Keep a fault; the fixture fails the test for it."""
        self.faults.append(error)


class Proxy:
    """The proxy under test."""

    def __init__(self, service: ProxyService, contexts: ContextCache, noted: Noted, authority: Authority) -> None:
        self.service = service
        self.contexts = contexts
        self.noted = noted
        self.authority = authority
        self.port = 0
        self.http_port = 0
        self.zones = DEFAULT_ZONES
        self.clients: list[Client] = []

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts the proxy's root and nothing else."""
        context = ssl.create_default_context(cadata=self.authority.root_pem.decode())
        context.set_alpn_protocols(["http/1.1"])
        return context

    def route(self, toml: str, policies: Mapping[ClientAuth, ClientPolicy] | None = None) -> None:
        """Replace the routes (the body of [routes]), and what their clients have to show."""
        config = parse_config(f"[routes]\n{toml}\n".encode(), source="test.toml", directory="/")
        routes = build_routes(config, self.zones, static_sockets={})
        self.service.snapshot, self.service.policies = Snapshot(config, routes, self.zones), policies or {}
        self.contexts.pin(routes.exact_hosts())

    async def connect(self, name: str = "app.dev.local", alpn: str = "http/1.1") -> Client:
        """Open a verified TLS connection for `name`."""
        context = self.client_context()
        context.set_alpn_protocols([alpn])
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name), DEADLINE_S
        )
        self.clients.append(Client(reader, writer))
        return self.clients[-1]

    @property
    def h1_connections(self) -> list[H1ClientConnection]:
        """Return the open connections of clients that speak HTTP/1."""
        return [connection for connection in self.service.connections if isinstance(connection, H1ClientConnection)]

    async def get(self, path: bytes = b"/", *, fields: bytes = b"", method: bytes = b"GET") -> Reply:
        """Send one bodyless request to app.dev.local on a connection of its own."""
        client = await self.connect()
        try:
            await client.request(method, path, fields=fields)
            return await client.reply(head_only=method == b"HEAD")
        finally:
            client.close()


@dataclass
class Reply:
    """A response as a client reads it."""

    status: int
    head: bytes
    body: bytes
    trailers: list[bytes] = field(default_factory=list)

    def field(self, name: bytes) -> list[bytes]:
        """Return the values of a field, in order."""
        lines = self.head.split(b"\r\n")[1:]
        pairs = [line.partition(b":") for line in lines if line]
        return [value.strip() for key, _, value in pairs if key.lower() == name.lower()]


@dataclass
class Client:
    """A raw client inside TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write and drain."""
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), DEADLINE_S)

    async def request(
        self, method: bytes = b"GET", path: bytes = b"/", *, fields: bytes = b"", host: bytes = b"app.dev.local"
    ) -> None:
        """Send a request head."""
        await self.send(b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, path, host, fields))

    async def head(self) -> bytes:
        """Read a response head."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE_S)

    async def read(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        return await asyncio.wait_for(self.reader.readexactly(count), DEADLINE_S)

    async def line(self) -> bytes:
        """Read a line, its end included."""
        return await asyncio.wait_for(self.reader.readline(), DEADLINE_S)

    async def to_eof(self) -> bytes:
        """Read until the proxy closes."""
        return await asyncio.wait_for(self.reader.read(-1), DEADLINE_S)

    async def reply(self, *, head_only: bool = False) -> Reply:
        """Read one response with Content-Length or chunked framing."""
        head = await self.head()
        reply = Reply(int(head.split(b" ", 2)[1]), head, b"")
        if head_only or reply.status in (204, 304) or reply.status < 200:
            return reply
        if reply.field(b"transfer-encoding"):
            while size := int(await self.line(), 16):
                reply.body += (await self.read(size + 2))[:-2]
            while (line := await self.line()) != b"\r\n":
                reply.trailers.append(line.rstrip())
        elif lengths := reply.field(b"content-length"):
            reply.body = await self.read(int(lengths[0]))
        else:
            reply.body = await self.to_eof()
        return reply

    def close(self) -> None:
        """Close without waiting."""
        self.writer.close()


def make_authority(zones: tuple[Hostname, ...] = DEFAULT_ZONES) -> Authority:
    """Make a CA of the real profile."""
    return create_authority(
        zones,
        now=datetime.now(UTC),
        pki_port=9,
        root=NewKey(ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()),
        intermediates={
            "server": NewKey(ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()),
            "client": NewKey(ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()),
        },
    )


def issuer_for(authority: Authority) -> Issuer:
    """Join a CA to the context cache as the daemon does."""

    def issue(name: Hostname | None) -> Leaf:
        now = datetime.now(UTC)
        key, serial = ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()
        if name is None:
            return authority.issue_default(now=now, key=key, serial=serial)
        return authority.issue(name, now=now, key=key, serial=serial)

    def permits(name: str) -> bool:
        try:
            return authority.permits(parse_hostname(name))
        except InvalidName:
            return False

    return Issuer(issue, permits, partial(pem_path, Path("unused")))


def client_context(upstream: Upstream) -> ssl.SSLContext:
    """Return a context for apps that speak TLS, as the route's settings say."""
    context = ssl.create_default_context(cafile=upstream.tls.ca_file if upstream.tls else None)
    if upstream.tls and not upstream.tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.asynccontextmanager
async def proxy(
    authority: Authority, *, limits: ClientLimits | None = None, pool_limits: PoolLimits | None = None
) -> AsyncIterator[Proxy]:
    """Run a proxy without routes; `Proxy.route` adds them."""
    noted = Noted()
    limits = limits or ClientLimits()
    pool = Pool(pool_limits or PoolLimits(), RESPONSE_LIMITS, client_context)
    config = parse_config(b"", source="test.toml", directory="/")
    snapshot = Snapshot(config, build_routes(config, DEFAULT_ZONES, static_sockets={}), DEFAULT_ZONES)
    service = ProxyService(snapshot, pool, noted, limits, b"devtls-test")
    loop = asyncio.get_running_loop()
    contexts = ContextCache(
        issuer_for(authority),
        now=lambda: datetime.now(UTC),
        monotonic=loop.time,
        report=noted_reports.append,
        policy=service.policy,
    )
    gate = TlsGate(service, contexts)
    bound, plain = bind(0), bind(0)
    service.https_port = bound.port
    accepted: list[asyncio.Protocol] = []
    inside = ConnectionLimiter(service)
    listeners = [
        Listener(bound, _noting(https_protocol(service, gate, inside), accepted), inside.connections, turns_away=True),
        Listener(plain, _noting(redirect_protocol(service), accepted)),
    ]
    for listener in listeners:
        await listener.start()
    running = Proxy(service, contexts, noted, authority)
    running.port, running.http_port = bound.port, plain.port
    try:
        yield running
    finally:
        for listener in listeners:
            listener.stop()
        for connection in list(service.connections):
            connection.abort()
        for protocol in accepted:
            # Those that are no connection of the service: handshakes, plain HTTP that lingers.
            transport: Any = getattr(protocol, "tcp", None) or getattr(protocol, "_transport", None)
            with contextlib.suppress(AttributeError):  # none yet, or asyncio's has dropped its loop
                transport.abort()
        pool.close()
        await aborted(client.writer for client in running.clients)
    assert not noted.faults, noted.faults


def _noting(make: Callable[[], asyncio.Protocol], accepted: list[asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
    def noted() -> asyncio.Protocol:
        accepted.append(protocol := make())
        return protocol

    return noted


async def aborted(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Close at once and let the loop get to it: a TLS client that waits for our close_notify outlives its loop."""
    for writer in writers:
        with contextlib.suppress(AttributeError):  # asyncio's transport has dropped its loop when it is lost already
            writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


noted_reports: list[str] = []


async def until(condition: Callable[[], object], *, within_s: float = DEADLINE_S) -> None:
    """Wait for a condition, at most `within_s`."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def until_still(number: Callable[[], int], *, for_s: float = 0.15, within_s: float = 10.0) -> int:
    """Return a number once it has not changed for a while."""
    clock = asyncio.get_running_loop().time
    last, since = number(), clock()
    async with asyncio.timeout(within_s):
        while clock() - since < for_s:
            await asyncio.sleep(0.01)
            if (now := number()) != last:
                last, since = now, clock()
    return last
