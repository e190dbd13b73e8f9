"""Clients that have to prove who they are: who is let in, which alert the others get, and what the app is told."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.net.bind import LOOPBACK
from devtls.net.tls.client_auth import ClientPolicy
from devtls.pki.authority import Authority
from devtls.routing import ClientAuth
from tests.net.client_certificates import ClientCertificate, make_client_certificate, trust_pem
from tests.net.harness import DEADLINE_S, App, Client, Proxy, answering, app, make_authority, until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
ROUTES = 'safe = {{ target = {0}, client_auth = "{1}" }}\nopen = {0}\n'
REQUIRED, REQUESTED = ClientAuth(True, None), ClientAuth(False, None)

Make = Callable[..., ClientCertificate]


@pytest.fixture
def make(tmp_path: Path, authority: Authority) -> Make:
    """Return a function that makes a certificate of the proxy's own CA."""
    return lambda **options: make_client_certificate(tmp_path, authority.issuer_for("client"), **options)


def route(running: Proxy, state: App, mode: str = "require", *revoked: ClientCertificate) -> None:
    trust = trust_pem(running.authority, *revoked)
    policies = {auth: ClientPolicy(auth.required, trust) for auth in (REQUIRED, REQUESTED)}
    running.route(ROUTES.format(state.port, mode), policies)


def context_with(
    running: Proxy, certificate: ClientCertificate | None, version: ssl.TLSVersion = V13
) -> ssl.SSLContext:
    context = running.client_context()
    context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate.pem, certificate.key)
    return context


async def connect(
    running: Proxy,
    certificate: ClientCertificate | None,
    version: ssl.TLSVersion = V13,
    *,
    name: str | None = "safe.dev.local",
) -> Client:
    context = context_with(running, certificate, version)
    context.check_hostname = name is not None
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection("127.0.0.1", running.port, ssl=context, server_hostname=name or ""), DEADLINE_S
    )
    running.clients.append(Client(reader, writer))
    return running.clients[-1]


async def fetch(
    running: Proxy, certificate: ClientCertificate | None, version: ssl.TLSVersion = V13, fields: bytes = b""
) -> int:
    """Return the status; raises the alert: in TLS 1.3 it comes when the client believes to be in already."""
    client = await connect(running, certificate, version)
    client.writer.write(b"GET / HTTP/1.1\r\nHost: safe.dev.local\r\n%b\r\n" % fields)
    status = (await client.reply()).status
    client.close()
    return status


def told(state: App) -> dict[str, bytes]:
    """Return what the last request told the app of its client."""
    lines = [line.partition(b": ") for line in state.connections[-1].heads[-1].split(b"\r\n")]
    return {name.decode().lower(): value for name, _, value in lines if b"cert" in name.lower()}


def item(der: bytes) -> bytes:
    return b":" + base64.b64encode(der) + b":"


@VERSIONS
@pytest.mark.parametrize("mode", ["require", "request"])
async def test_the_app_is_told_who_was_let_in(running: Proxy, make: Make, version: ssl.TLSVersion, mode: str) -> None:
    async with app(answering()) as state:
        route(running, state, mode)
        alice = make()
        assert await fetch(running, alice, version, b"Client-Cert: :forged=:\r\nClient_Cert_Chain: x\r\n") == 200
        intermediate = running.authority.issuer_for("client").certificate.public_bytes(Encoding.DER)
        assert told(state) == {"client-cert": item(alice.der), "client-cert-chain": item(intermediate)}
    assert running.noted.failures == []


@VERSIONS
async def test_without_a_certificate_nobody_gets_in(running: Proxy, version: ssl.TLSVersion) -> None:
    async with app(answering()) as state:
        route(running, state)
        alert = "CERTIFICATE_REQUIRED" if version is V13 else "HANDSHAKE_FAILURE"
        with pytest.raises(ssl.SSLError, match=alert):
            await fetch(running, None, version)
        assert state.connections == []
    (failure,) = running.noted.failures
    assert (failure.sni, failure.reason, failure.asked) == (
        "safe.dev.local", "peer did not return a certificate", True,
    )  # fmt: skip


@VERSIONS
async def test_where_one_is_only_asked_for_nothing_is_told_without_it(running: Proxy, version: ssl.TLSVersion) -> None:
    async with app(answering()) as state:
        route(running, state, "request")
        assert await fetch(running, None, version, b"Client-Cert: :forged=:\r\nCLIENT-CERT-CHAIN: x\r\n") == 200
        assert told(state) == {}


@VERSIONS
@pytest.mark.parametrize("mode", ["require", "request"])
@pytest.mark.parametrize(
    ("which", "alert", "reason"),
    [
        ("foreign", "UNKNOWN_CA", "unable to get local issuer certificate"),
        ("ended", "CERTIFICATE_EXPIRED", "certificate has expired"),
        ("server", "UNSUPPORTED_CERTIFICATE|UNKNOWN", "unsuitable certificate purpose"),
        ("revoked", "CERTIFICATE_REVOKED", "certificate revoked"),
        ("outside", "UNKNOWN|BAD_CERTIFICATE", "permitted subtree violation"),
    ],
)
async def test_a_certificate_that_is_no_good_is_refused_with_its_alert(
    running: Proxy,
    make: Make,
    tmp_path: Path,
    version: ssl.TLSVersion,
    *,
    mode: str,
    which: str,
    alert: str,
    reason: str,
) -> None:
    match which:
        case "foreign":
            shown = make_client_certificate(tmp_path, make_authority().issuer_for("client"))
        case "ended":
            shown = make(ended=True)
        case "server":
            shown = make(purpose=ExtendedKeyUsageOID.SERVER_AUTH)
        case "outside":
            shown = make(name="alice.example.com")
        case _:
            shown = make()
    async with app(answering()) as state:
        route(running, state, mode, *([shown] if which == "revoked" else []))
        with pytest.raises(ssl.SSLError, match=alert):
            await fetch(running, shown, version)
        assert state.connections == []
        assert await fetch(running, make(), version) == 200
    (failure,) = running.noted.failures
    assert failure.asked
    assert failure.reason == reason


async def test_an_upload_that_has_begun_does_not_destroy_the_alert(running: Proxy) -> None:
    async with app(answering()) as state:
        route(running, state)
        loop = asyncio.get_running_loop()
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            await loop.run_in_executor(None, upload, running.port, context_with(running, None))
        assert state.connections == []


def upload(port: int, context: ssl.SSLContext) -> None:
    """Send all there is before looking at what comes, as many programs do."""
    with (
        socket.create_connection((LOOPBACK[0], port), timeout=DEADLINE_S) as raw,
        context.wrap_socket(raw, server_hostname="safe.dev.local") as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\nHost: safe.dev.local\r\nContent-Length: 3000000\r\n\r\n")
        client.sendall(bytes(3000000))
        client.recv(1)


@VERSIONS
async def test_a_session_of_another_name_is_not_resumed(running: Proxy, make: Make, version: ssl.TLSVersion) -> None:
    """With the ticket or the session id of an open name, and with that of a client who was let in."""
    async with app(answering()) as state:
        route(running, state)
        alice = make()
        bare, known = context_with(running, None, version), context_with(running, alice, version)
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(None, get, running.port, bare, "open.dev.local", None)
        again = await loop.run_in_executor(None, get, running.port, bare, "open.dev.local", opened.session)
        assert again.reused, "the open name resumes, so the test would notice"
        with pytest.raises(ssl.SSLError, match=r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"):
            await loop.run_in_executor(None, get, running.port, bare, "safe.dev.local", opened.session)
        first = await loop.run_in_executor(None, get, running.port, known, "safe.dev.local", None)
        other = await loop.run_in_executor(None, get, running.port, known, "open.dev.local", first.session)
        assert not other.reused
        # What was taken back since is asked for anew, whatever the client remembers.
        route(running, state, "require", alice)
        with pytest.raises(ssl.SSLError, match="REVOKED"):
            await loop.run_in_executor(None, get, running.port, known, "safe.dev.local", first.session)


async def test_a_session_that_is_resumed_tells_the_app_the_same(running: Proxy, make: Make) -> None:
    """TLS 1.2 remembers who was let in, and not the chain that was verified."""
    async with app(answering()) as state:
        route(running, state)
        context, loop = context_with(running, make(), V12), asyncio.get_running_loop()
        first = await loop.run_in_executor(None, get, running.port, context, "safe.dev.local", None)
        before = told(state)
        again = await loop.run_in_executor(None, get, running.port, context, "safe.dev.local", first.session)
        assert again.reused
        assert told(state) == before
        assert set(before) == {"client-cert", "client-cert-chain"}
        assert len([head for connection in state.connections for head in connection.heads]) == 2


class Got:
    """One answered request: the session afterwards, and whether one was resumed."""

    def __init__(self, session: ssl.SSLSession | None, reused: bool | None) -> None:
        self.session = session
        self.reused = bool(reused)


def get(port: int, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None) -> Got:
    with (
        socket.create_connection((LOOPBACK[0], port), timeout=DEADLINE_S) as raw,
        context.wrap_socket(raw, server_hostname=name, session=session) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % name.encode())
        while client.recv(65536):
            continue
        return Got(client.session, client.session_reused)


async def test_tls_1_3_hands_out_no_tickets_here(running: Proxy, make: Make) -> None:
    async with app(answering()) as state:
        route(running, state)
        context = context_with(running, make())
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(None, get, running.port, context, "safe.dev.local", None)
        assert first.session is None or not first.session.has_ticket


@pytest.mark.parametrize("certificate", [False, True], ids=["without", "with"])
async def test_another_name_cannot_be_asked_for_on_the_connection(
    running: Proxy, make: Make, certificate: bool
) -> None:
    async with app(answering()) as state:
        route(running, state, "require")
        shown = make() if certificate else None
        client = await connect(running, shown, name="open.dev.local")
        await client.request(host=b"safe.dev.local")
        assert (await client.reply()).status == 421
        client = await connect(running, make())
        await client.request(host=b"open.dev.local")
        assert (await client.reply()).status == 421
        await client.request(host=b"safe.dev.local")
        assert (await client.reply()).status == 200
        assert len(state.connections) == 1


async def test_a_client_that_names_nobody_is_asked_for_localhost(running: Proxy, make: Make) -> None:
    async with app(answering()) as state:
        policies = {REQUIRED: ClientPolicy(True, trust_pem(running.authority))}
        running.route(f'localhost = {{ target = {state.port}, client_auth = "require" }}', policies)
        client = await connect(running, None, name=None)
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            await client.reply()
        alice = make()
        client = await connect(running, alice, name=None)
        await client.request(host=b"127.0.0.1")
        assert (await client.reply()).status == 200
        assert told(state)["client-cert"] == item(alice.der)


async def test_wildcards_ask_at_every_depth_and_a_written_name_for_itself(running: Proxy) -> None:
    async with app(answering()) as state:
        policies = {REQUIRED: ClientPolicy(True, trust_pem(running.authority))}
        running.route(
            f'"*.safe" = {{ target = {state.port}, client_auth = "require" }}\n"a.safe.dev.local" = {state.port}',
            policies,
        )
        for name in ("b.safe.dev.local", "c.d.safe.test", "e.a.safe.dev.local"):
            client = await connect(running, None, name=name)
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
                await client.reply()
        client = await connect(running, None, name="a.safe.dev.local")
        await client.request(host=b"a.safe.dev.local")
        assert (await client.reply()).status == 200


async def test_a_connection_from_before_a_change_ends(running: Proxy, make: Make) -> None:
    async with app(answering()) as state:
        route(running, state, "off")
        running.route(ROUTES.format(state.port, "off"))
        before = await connect(running, None)
        await before.request(host=b"safe.dev.local")
        assert (await before.reply()).status == 200
        (connection,) = running.service.connections
        assert not connection.outdated
        route(running, state)
        assert connection.outdated
        await before.request(host=b"safe.dev.local")
        reply = await before.reply()
        assert reply.status == 421
        assert b"out of date" in reply.body
        connection.drain()
        assert await before.to_eof() == b""
        await until(lambda: not running.service.connections)
        assert await fetch(running, make()) == 200
        assert len(state.connections) == 1 or len(state.heads) <= 2


async def test_an_equal_policy_disturbs_nobody(running: Proxy, make: Make) -> None:
    async with app(answering()) as state:
        trust = trust_pem(running.authority)
        policies = {REQUIRED: ClientPolicy(True, trust)}
        running.route(ROUTES.format(state.port, "require"), policies)
        client = await connect(running, make())
        await client.request(host=b"safe.dev.local")
        assert (await client.reply()).status == 200
        minted = running.contexts.minted
        running.route(ROUTES.format(state.port, "require") + "more = 1", {REQUIRED: ClientPolicy(True, trust)})
        assert not any(connection.outdated for connection in running.service.connections)
        await client.request(host=b"safe.dev.local")
        assert (await client.reply()).status == 200
        await fetch(running, make())
        assert running.contexts.minted == minted
