"""The pool: what is reused and for how long, how addresses are tried, and what a failed dial says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.http.actions import DialFailed
from devtls.http.events import EndOfMessage, Request, UpstreamEvent
from devtls.http.h1.head import HeadLimits
from devtls.names import Hostname
from devtls.net.upstream.h1 import H1UpstreamConnection
from devtls.net.upstream.pool import Pool, PoolLimits
from devtls.pki.authority import Authority
from devtls.routing import Upstream, UpstreamTls
from tests.net.harness import AppConnection, Proxy, answering, app, client_context, until


def tcp(*addresses: tuple[str, int], tls: UpstreamTls | None = None, host: str = "") -> Upstream:
    return Upstream(addresses, host, addresses[0][1] if addresses else 80, "", tls, "the app")


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(PoolLimits(), HeadLimits(), client_context)
    yield made
    made.close()
    await asyncio.sleep(0)


class Asker:
    """An UpstreamUser that keeps the events of one answer."""

    def __init__(self) -> None:
        self.events: list[UpstreamEvent] = []
        self.ended = asyncio.Event()

    def upstream_event(self, event: UpstreamEvent) -> None:
        self.events.append(event)
        if isinstance(event, EndOfMessage):
            self.ended.set()

    def upstream_events(self, events: list[UpstreamEvent]) -> None:
        for event in events:
            self.upstream_event(event)

    def upstream_flush(self) -> None:
        return

    def upstream_writable(self, writable: bool) -> None:
        return


async def dial(pool: Pool, upstream: Upstream) -> H1UpstreamConnection:
    outcome = await pool.dial(upstream)
    assert isinstance(outcome, H1UpstreamConnection), outcome
    return outcome


async def ask(connection: H1UpstreamConnection) -> None:
    """Send a request and wait for its answer: the connection may then be released."""
    asker = Asker()
    connection.user = asker
    connection.send(Request(1, b"GET", b"/", b"app", [(b"Host", b"app")]))
    connection.send(EndOfMessage(1))
    connection.flush()
    await asyncio.wait_for(asker.ended.wait(), 5)


async def used(pool: Pool, upstream: Upstream) -> H1UpstreamConnection:
    """Return a connection that served once and is idle now."""
    connection = await dial(pool, upstream)
    await ask(connection)
    pool.release(connection)
    return connection


@contextlib.contextmanager
def silent(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none: its backlog is full."""
    listener = socket.socket(socket.AF_INET)
    fillers = []
    try:
        listener.bind((host, 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            filler = socket.socket(socket.AF_INET)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(address)
            fillers.append(filler)
        yield address
    finally:
        for sock in (*fillers, listener):
            sock.close()


def refusing(host: str = "127.0.0.1") -> tuple[str, int]:
    """An address where nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return host, port


def server_context(authority: Authority, name: str, tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """Return a context that presents a leaf for `name`, and the file of its root."""
    leaf = authority.issue(
        Hostname(name),
        now=datetime.now(UTC),
        key=ec.generate_private_key(ec.SECP256R1()),
        serial=x509.random_serial_number(),
    )
    pem, root = tmp_path / "leaf.pem", tmp_path / "root.pem"
    pem.write_bytes(leaf.chain_pem + leaf.key_pem)
    root.write_bytes(authority.root_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, str(root)


@contextlib.asynccontextmanager
async def tls_app(context: ssl.SSLContext) -> AsyncIterator[tuple[str, int]]:
    """An app behind TLS that answers every request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await asyncio.sleep(0.02)  # its connections end by themselves


# -- idle connections ------------------------------------------------------------------------------------------------


async def test_a_connection_that_served_is_taken_again_the_last_one_first(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        first, second = await dial(pool, upstream), await dial(pool, upstream)
        await ask(first)
        await ask(second)
        pool.release(first)
        pool.release(second)
        assert repr(pool) == "<Pool the app: 2 idle, 0 active>"
        assert pool.acquire(upstream, None) is second
        assert pool.acquire(upstream, None) is first
        assert pool.acquire(upstream, None) is None
        assert repr(pool) == "<Pool the app: 0 idle, 2 active>"


async def test_a_request_for_a_fresh_connection_gets_no_idle_one(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        await used(pool, upstream)
        assert pool.acquire(upstream, 0) is None


@pytest.mark.parametrize(("max_idle_s", "idle_s", "found"), [(None, 3.9, True), (None, 4.1, False), (1.0, 1.1, False)])
async def test_an_idle_connection_is_used_only_while_it_is_fresh_enough(
    pool: Pool, max_idle_s: float | None, idle_s: float, found: bool
) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        connection = await used(pool, upstream)
        connection.idle_since -= idle_s
        assert (pool.acquire(upstream, max_idle_s) is connection) is found


@pytest.mark.parametrize(
    ("announced", "kept_s"), [(b"timeout=20", 19.0), (b"timeout=3, max=9", 2.0), (b"timeout=1", 0.0)]
)
async def test_the_apps_own_keep_alive_timeout_counts_less_a_second(
    pool: Pool, announced: bytes, kept_s: float
) -> None:
    async with app(answering(fields=b"Keep-Alive: %b\r\n" % announced)) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        await used(pool, upstream)
        assert pool.state(upstream).keep_idle_s == kept_s


async def test_each_stale_connection_halves_the_time_down_to_a_second(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        seen = []
        for _ in range(4):
            pool.abort(await dial(pool, upstream), stale=True)
            seen.append(pool.state(upstream).keep_idle_s)
        assert seen == [2.0, 1.0, 1.0, 1.0]


async def test_a_stale_connection_takes_the_other_idle_ones_with_it(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        other = await dial(pool, upstream)
        await used(pool, upstream)
        pool.abort(other, stale=True)
        assert pool.acquire(upstream, None) is None


async def test_a_connection_that_the_app_ends_while_idle_is_forgotten(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        connection = await used(pool, upstream)
        backend.connections[0].close()
        await until(lambda: connection.closed)
        assert pool.acquire(upstream, None) is None
        assert repr(pool) == "<Pool the app: 0 idle, 0 active>"


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        connection = await used(pool, upstream)
        await backend.connections[0].send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        await until(lambda: connection.closed)
        assert pool.acquire(upstream, None) is None


async def test_a_connection_in_the_middle_of_an_answer_is_not_kept(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        connection = await dial(pool, upstream)
        connection.send(Request(1, b"GET", b"/", b"app", [(b"Host", b"app")]))
        pool.release(connection)
        assert connection.closed
        assert repr(pool) == "<Pool the app: 0 idle, 0 active>"


async def test_other_limits_are_taken_over_while_it_runs(pool: Pool) -> None:
    async with app(answering(fields=b"Keep-Alive: timeout=9\r\n")) as chatty, app(answering()) as terse:
        announced, silent_one = tcp(("127.0.0.1", chatty.port)), tcp(("127.0.0.1", terse.port))
        await used(pool, announced)
        await used(pool, silent_one)
        pool.limit(PoolLimits(connect_timeout_s=0.5, idle_s=2.0), HeadLimits(max_fields=40))
        assert (pool.state(announced).keep_idle_s, pool.state(silent_one).keep_idle_s) == (8.0, 2.0)
        assert pool.connect_timeout_s == 0.5


async def test_no_more_than_256_idle_connections_are_kept(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        connections = [await dial(pool, upstream) for _ in range(257)]
        for connection in connections:
            pool.release(connection)
        assert [connection.closed for connection in connections] == [False] * 256 + [True]


async def test_what_has_been_idle_too_long_is_closed_by_itself(pool: Pool, sweep_now: Callable[[Pool], None]) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        old, young = await dial(pool, upstream), await dial(pool, upstream)
        pool.release(old)
        pool.release(young)
        old.idle_since -= 5
        sweep_now(pool)
        assert old.closed
        assert not young.closed


@pytest.fixture
def sweep_now() -> Callable[[Pool], None]:
    """Run the sweep that the pool has put on the clock."""

    def run(pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        handle = pool._sweeper
        assert handle is not None
        assert 0 < handle.when() - loop.time() < 1.1
        handle.cancel()
        pool._sweep()

    return run


async def test_closing_the_pool_closes_what_is_idle_and_stops_its_clock(pool: Pool) -> None:
    async with app(answering()) as backend:
        connection = await used(pool, tcp(("127.0.0.1", backend.port)))
        pool.close()
        assert connection.closed


# -- dialling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_app_on_either_loopback_family_is_found_and_tried_first_next_time(pool: Pool, host: str) -> None:
    async with app(answering(), host=host) as backend:
        upstream = tcp(("127.0.0.1", backend.port), ("::1", backend.port))
        for _ in range(2):
            connection = await dial(pool, upstream)
            assert connection.transport.get_extra_info("peername")[0] == host
            pool.abort(connection)
        assert pool.state(upstream).preferred == (host, backend.port)


async def test_a_dial_that_is_refused_by_all_names_each_address(pool: Pool) -> None:
    host, port = refusing()
    upstream = tcp((host, port), ("::1", port))
    outcome = await pool.dial(upstream)
    tried = ((f"127.0.0.1:{port}", "connection refused"), (f"[::1]:{port}", "connection refused"))
    assert outcome == DialFailed(tried, refused=True)
    assert "connection refused" in repr(pool)


async def test_a_silent_first_address_does_not_hold_up_the_second() -> None:
    pool = Pool(PoolLimits(connect_timeout_s=2), HeadLimits(), client_context)
    async with app(answering()) as backend:
        with silent() as hanging:
            begun = asyncio.get_running_loop().time()
            connection = await dial(pool, tcp(hanging, ("127.0.0.1", backend.port)))
            assert asyncio.get_running_loop().time() - begun < 1
            pool.abort(connection)


async def test_an_app_that_never_takes_the_connection_times_out() -> None:
    pool = Pool(PoolLimits(connect_timeout_s=0.1), HeadLimits(), client_context)
    refused = refusing()
    with silent() as hanging:
        outcome = await pool.dial(tcp(refused, hanging))
    assert isinstance(outcome, DialFailed)
    assert outcome.timed_out
    assert outcome.tried == ((f"127.0.0.1:{refused[1]}", "connection refused"), ("the app", "no answer within 0.1 s"))


async def test_a_cancelled_dial_leaves_no_socket_behind() -> None:
    pool = Pool(PoolLimits(), HeadLimits(), client_context)
    with silent() as hanging:
        task = asyncio.create_task(pool.dial(tcp(hanging)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    # A socket that is left to the garbage collector is a ResourceWarning, and that an error.


async def test_a_dial_cancelled_at_any_turn_of_the_loop_leaves_no_connection_behind(pool: Pool) -> None:
    async with app(answering()) as backend:
        upstream = tcp(("127.0.0.1", backend.port))
        for turns in range(12):
            task = asyncio.create_task(pool.dial(upstream))
            for _ in range(turns):
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                outcome = await task
                assert isinstance(outcome, H1UpstreamConnection)
                pool.abort(outcome)
        await until(lambda: all(connection.reader.at_eof() for connection in backend.connections))
        assert pool.state(upstream).active == 0


async def test_an_app_that_closes_at_once_is_a_failed_dial(pool: Pool) -> None:
    async def close(connection: AppConnection) -> None:
        connection.close()

    async with app(close) as backend:
        outcome = await pool.dial(tcp(("127.0.0.1", backend.port)))
        if not isinstance(outcome, DialFailed):  # the end came later than the connection: it is heard then
            await until(lambda: outcome.closed)
        else:
            assert "closed it at once" in outcome.tried[-1][1]


async def test_a_unix_socket_is_dialled(pool: Pool, tmp_path: Path, home: Path) -> None:
    path = str(home / "app.sock")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()
        writer.close()
        gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_unix_server(serve, path)
    await used(pool, Upstream((), "", 0, path, None, "app.sock"))
    server.close()
    pool.close()
    await asyncio.wait_for(gone.wait(), 5)
    missing = await pool.dial(Upstream((), "", 0, str(home / "none.sock"), None, "none.sock"))
    assert missing == DialFailed((("none.sock", "the socket does not exist"),), refused=True)


# -- names -----------------------------------------------------------------------------------------------------------


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.1.1", "fd00:ec2::254", "::ffff:100.100.100.200"],
)
async def test_a_name_that_resolves_to_a_cloud_metadata_service_is_refused(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolving_to(monkeypatch, address)
    outcome = await pool.dial(Upstream((), "metadata.test", 80, "", None, "metadata.test:80"))
    assert isinstance(outcome, DialFailed)
    assert outcome.tried[0][1] == "addresses of cloud metadata services are never used"


async def test_a_name_with_a_good_address_too_uses_that_one(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with app(answering()) as backend:
        resolving_to(monkeypatch, "169.254.169.254", "127.0.0.1")
        connection = await dial(pool, Upstream((), "mixed.test", backend.port, "", None, "mixed.test"))
        assert connection.transport.get_extra_info("peername")[0] == "127.0.0.1"
        pool.abort(connection)


async def test_a_name_that_does_not_resolve_says_so(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch)
    outcome = await pool.dial(Upstream((), "nowhere.test", 80, "", None, "nowhere.test"))
    assert outcome == DialFailed(
        (("nowhere.test", "the name does not resolve (name or service not known)"),), timed_out=False
    )


# -- TLS to the app --------------------------------------------------------------------------------------------------


async def test_an_app_behind_tls_is_verified_against_its_ca(pool: Pool, authority: Authority, tmp_path: Path) -> None:
    context, root = server_context(authority, "api.dev.local", tmp_path)
    async with tls_app(context) as address:
        upstream = tcp(address, tls=UpstreamTls("api.dev.local", root, True))
        connection = await used(pool, upstream)
        assert pool.acquire(upstream, None) is connection
        await ask(connection)
        pool.abort(connection)


async def test_a_wrong_name_in_the_apps_certificate_is_refused_with_the_reason(
    pool: Pool, authority: Authority, tmp_path: Path
) -> None:
    context, root = server_context(authority, "other.dev.local", tmp_path)
    async with tls_app(context) as address:
        outcome = await pool.dial(tcp(address, tls=UpstreamTls("api.dev.local", root, True)))
    assert isinstance(outcome, DialFailed)
    assert outcome.tried[0][1].startswith("the TLS handshake failed: Hostname mismatch")


async def test_an_unknown_ca_is_refused_unless_verification_is_off(
    pool: Pool, authority: Authority, tmp_path: Path
) -> None:
    context, _ = server_context(authority, "api.dev.local", tmp_path)
    async with tls_app(context) as address:
        outcome = await pool.dial(tcp(address, tls=UpstreamTls("api.dev.local", None, True)))
        assert isinstance(outcome, DialFailed)
        assert "certificate" in outcome.tried[0][1]
        await used(pool, tcp(address, tls=UpstreamTls("api.dev.local", None, False)))
        pool.close()


async def test_tls_to_an_app_that_speaks_none_fails_with_a_reason(pool: Pool) -> None:
    async def talk(connection: AppConnection) -> None:
        await connection.reader.read(1)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with app(talk) as backend:
        outcome = await pool.dial(tcp(("127.0.0.1", backend.port), tls=UpstreamTls("app", None, False)))
    assert isinstance(outcome, DialFailed)
    assert outcome.tried[0][1] == "the TLS handshake failed: wrong version number"


async def test_an_app_that_hangs_in_the_tls_handshake_times_out_and_is_closed() -> None:
    pool = Pool(PoolLimits(connect_timeout_s=0.3), HeadLimits(), client_context)

    async def talk(connection: AppConnection) -> None:
        await connection.to_eof()

    async with app(talk) as backend:
        outcome = await pool.dial(tcp(("127.0.0.1", backend.port), tls=UpstreamTls("app", None, False)))
        assert isinstance(outcome, DialFailed)
        assert outcome.timed_out
        await until(lambda: backend.errors or (backend.connections and backend.connections[0].reader.at_eof()))


# -- through the proxy -----------------------------------------------------------------------------------------------


async def test_an_answer_that_broke_off_in_its_head_is_not_asked_for_again(running: Proxy) -> None:
    heads = 0

    async def talk(connection: AppConnection) -> None:
        nonlocal heads
        while True:
            await connection.head()
            heads += 1
            if heads == 2:
                await connection.send(b"HTTP/1.1 200")
                return
            await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get()).status == 200
        assert (await running.get()).status == 502
        assert heads == 2


async def test_a_connection_that_ended_without_a_byte_is_replaced(running: Proxy) -> None:
    heads = 0

    async def talk(connection: AppConnection) -> None:
        nonlocal heads
        while True:
            await connection.head()
            heads += 1
            if heads == 2:
                return
            await connection.answer()

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        assert (await running.get()).status == 200
        assert (await running.get()).status == 200
        assert len(backend.connections) == 2
        assert heads == 3
