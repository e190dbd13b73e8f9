"""What clients have to show, in a running proxy: the CA's lists, another CA's file, and what changes of them do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from h2.connection import H2Connection

from devtls.daemon import state_watch
from devtls.daemon.client_trust import ClientTrust
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.run import Process
from devtls.errors import ConfigError, StateError
from devtls.names import DEFAULT_ZONES, parse_zone
from devtls.pki.authority import Authority, NewKey, create_authority
from devtls.pki.imported import ImportBundle, validate_import
from devtls.system.machine.private_files import replace_private_file
from devtls.system.storage.keystore import Keystore
from tests.net.client_certificates import ClientCertificate, make_client_certificate, trust_pem
from tests.net.harness import make_authority
from tests.pki.attacker import UNREACHED, forge, of_earlier_profile
from tests.pki.elsewhere import mkcert

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]

LINE = '[dns]\nenabled = false\n[pac]\nenabled = false\n[routes]\nsafe = {{ target = {}, client_auth = "require"{} }}\n'


def authority_of(running: Any) -> Authority:
    return running.daemon.keystore.load(datetime.now(UTC))  # type: ignore[no-any-return] # Running is whatever start gave


def revoke(running: Any, certificate: ClientCertificate) -> None:
    """Publish a list with this certificate in it, as whoever keeps the list does."""
    crl = trust_pem(authority_of(running), certificate).partition(b"-----BEGIN X509 CRL")
    der = x509.load_pem_x509_crl(crl[1] + crl[2]).public_bytes(Encoding.DER)
    directory = running.daemon.keystore.directory_of(authority_of(running))
    replace_private_file(directory / "client-intermediate.crl", der)


async def fetch(running: Any, certificate: ClientCertificate | None) -> bytes:
    """Return an answer's body; raises the alert that refuses the client."""
    context = ssl.create_default_context(cadata=running.daemon.generation.authority.root_pem.decode())
    if certificate is not None:
        context.load_cert_chain(certificate.pem, certificate.key)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=context, server_hostname="safe.dev.local"
    )
    writer.write(b"GET / HTTP/1.1\r\nHost: safe.dev.local\r\nConnection: close\r\n\r\n")
    try:
        return (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")[2]
    finally:
        writer.close()


def question(protocol: str) -> bytes:
    if protocol != "h2":
        return b"GET / HTTP/1.1\r\nHost: safe.dev.local\r\n\r\n"
    client = H2Connection()
    client.initiate_connection()
    fields = {":method": "GET", ":scheme": "https", ":authority": "safe.dev.local", ":path": "/"}
    client.send_headers(1, list(fields.items()), end_stream=True)
    return client.data_to_send()


@pytest.fixture
async def streaming() -> AsyncIterator[int]:
    """Run an app whose answers begin and never end; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nbegun")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process look for changes all the time."""
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.02)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "devtls.toml"


async def test_our_own_ca_decides_by_its_crl_and_a_new_list_counts_at_once(
    start: Start, app: App, file: Path, tmp_path: Path
) -> None:
    file.write_text(LINE.format(await app(b"hello"), ""))
    running = await start(file=file)
    issuer = (await asyncio.to_thread(authority_of, running)).issuer_for("client")
    alice, bob = make_client_certificate(tmp_path, issuer), make_client_certificate(tmp_path, issuer)
    assert await fetch(running, alice) == b"hello"
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        await fetch(running, None)
    before = running.daemon.service.policies
    await running.daemon.refresh_policies()
    assert running.daemon.service.policies is before
    await asyncio.to_thread(revoke, running, alice)
    await running.daemon.refresh_policies()
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        await fetch(running, alice)
    assert await fetch(running, bob) == b"hello"


@pytest.mark.parametrize("http2", [True, False])
# OpenSSL takes mail addresses in a subject and in an otherName for what they are: TLS refuses these.
@pytest.mark.parametrize("name", [name for name in UNREACHED if "mail" not in name])
async def test_an_identity_that_no_constraint_reaches_is_answered_403_and_logged(
    start: Start, app: App, tmp_path: Path, name: str, http2: bool
) -> None:
    """An attacker who copied the key of the intermediate for clients can put any person into a certificate."""
    file = tmp_path / "devtls.toml"
    file.write_text(LINE.format(await app(b"hello"), "") + f"[serve]\nhttp2 = {str(http2).lower()}\n")
    running = await start(file=file)
    issuer = (await asyncio.to_thread(authority_of, running)).issuer_for("client")
    certificate, key = forge(issuer, UNREACHED[name])
    shown = ClientCertificate(certificate, tmp_path / "admin.pem", tmp_path / "admin.key")
    above = issuer.certificate.public_bytes(Encoding.PEM)
    shown.pem.write_bytes(certificate.public_bytes(Encoding.PEM) + above)
    shown.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    body = await fetch(running, shown)
    assert b"hello" not in body
    assert b"does not count here" in body
    (line,) = [line for line in running.lines if "was not let in" in line]
    assert "its certificate " in line


async def test_the_intermediate_for_servers_signs_no_clients(
    start: Start, app: App, file: Path, tmp_path: Path
) -> None:
    file.write_text(LINE.format(await app(b"hello"), ""))
    running = await start(file=file)
    issuer = (await asyncio.to_thread(authority_of, running)).intermediate
    alice = make_client_certificate(tmp_path, issuer)
    with alice.pem.open("ab") as chain:
        chain.write(issuer.certificate.public_bytes(Encoding.PEM))
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_CERTIFICATE"):
        await fetch(running, alice)


async def test_a_ca_of_an_earlier_devtls_goes_on_with_one_intermediate_for_both(
    start: Start, app: App, file: Path, tmp_path: Path
) -> None:
    file.write_text(LINE.format(await app(b"hello"), ""))
    running = await start(file=file)
    keystore: Keystore = running.daemon.keystore
    root_key = ec.generate_private_key(ec.SECP256R1())
    made = create_authority(
        DEFAULT_ZONES,
        now=datetime.now(UTC),
        pki_port=9,
        root=NewKey(root_key, 1),
        intermediates={"any": NewKey(ec.generate_private_key(ec.SECP256R1()), 2)},
    )
    earlier = of_earlier_profile(made, root_key)
    await asyncio.to_thread(keystore.adopt, earlier, datetime.now(UTC))
    await asyncio.to_thread(keystore.switch_to_next, earlier)
    await running.daemon.reload()
    assert not (keystore.directory_of(earlier) / "intermediates.json").exists()
    assert await fetch(running, make_client_certificate(tmp_path, earlier.intermediate)) == b"hello"


async def test_what_an_older_ca_signed_is_good_until_it_is_retired(
    start: Start, app: App, file: Path, tmp_path: Path
) -> None:
    file.write_text(LINE.format(await app(b"hello"), ""))
    running = await start(file=file)
    keystore: Keystore = running.daemon.keystore
    old = await asyncio.to_thread(authority_of, running)
    alice = make_client_certificate(tmp_path, old.issuer_for("client"))
    following = await asyncio.to_thread(keystore.prepare_next, DEFAULT_ZONES, datetime.now(UTC))
    await asyncio.to_thread(keystore.switch_to_next, following)
    await running.daemon.reload()
    assert running.daemon.generation.authority.fingerprint == following.fingerprint
    assert await fetch(running, make_client_certificate(tmp_path, following.issuer_for("client"))) == b"hello"
    assert await fetch(running, alice) == b"hello"
    await asyncio.to_thread(keystore.retire, [old.fingerprint])
    await running.daemon.refresh_policies()
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        await fetch(running, alice)


async def test_connections_from_before_a_change_end(
    start: Start, app: App, file: Path, tmp_path: Path, wait_until: Wait
) -> None:
    file.write_text(LINE.format(await app(b"hello"), ""))
    running = await start(file=file)
    alice = make_client_certificate(tmp_path, (await asyncio.to_thread(authority_of, running)).issuer_for("client"))
    context = ssl.create_default_context(cadata=running.daemon.generation.authority.root_pem.decode())
    context.load_cert_chain(alice.pem, alice.key)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=context, server_hostname="safe.dev.local"
    )
    await wait_until(lambda: len(running.daemon.service.connections) == 1)
    await asyncio.to_thread(revoke, running, alice)
    await running.daemon.refresh_policies()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    await wait_until(lambda: not running.daemon.service.connections)
    writer.close()


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
async def test_who_was_revoked_is_cut_off_and_others_finish(
    start: Start, streaming: int, file: Path, wait_until: Wait, protocol: str
) -> None:
    """An event stream has no end of its own: it would outlive the certificate that opened it."""
    file.write_text(LINE.format(streaming, ""))
    running = await start(file=file)
    signer = (await asyncio.to_thread(authority_of, running)).issuer_for("client")
    alice, bob = (make_client_certificate(file.parent, signer) for _ in range(2))
    opened = {}
    for one in (alice, bob):
        context = ssl.create_default_context(cadata=running.daemon.generation.authority.root_pem.decode())
        context.load_cert_chain(one.pem, one.key)
        context.set_alpn_protocols([protocol])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=context, server_hostname="safe.dev.local"
        )
        writer.write(question(protocol))
        opened[one] = reader, writer
        async with asyncio.timeout(5):
            await reader.readuntil(b"begun")
    await asyncio.to_thread(revoke, running, bob)
    await running.daemon.refresh_policies()
    with contextlib.suppress(ConnectionResetError):
        while await asyncio.wait_for(opened[bob][0].read(1024), 5):
            continue
    await wait_until(lambda: len(running.daemon.service.connections) == 1)
    (left,) = running.daemon.service.connections
    assert left.claim.chain[0] == alice.der
    assert left.outdated
    for _, writer in opened.values():
        writer.close()


@pytest.mark.parametrize("before", ["off", "request"])
async def test_a_stream_that_nobody_proved_anything_for_ends_when_proof_is_required(
    start: Start, streaming: int, file: Path, wait_until: Wait, before: str
) -> None:
    file.write_text(LINE.format(streaming, "").replace("require", before))
    running = await start(file=file)
    context = ssl.create_default_context(cadata=running.daemon.generation.authority.root_pem.decode())
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=context, server_hostname="safe.dev.local"
    )
    writer.write(b"GET / HTTP/1.1\r\nHost: safe.dev.local\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"begun")
    file.write_text(LINE.format(streaming, ""))
    await running.daemon.reload()
    await wait_until(lambda: not running.daemon.service.connections)
    writer.close()


@pytest.mark.usefixtures("often")
async def test_the_process_looks_again_and_again(
    start: Start, app: App, file: Path, tmp_path: Path, wait_until: Wait
) -> None:
    team = make_authority()
    (tmp_path / "team.pem").write_bytes(trust_pem(team))
    file.write_text(LINE.format(await app(b"hello"), ', client_ca = "team.pem"'))
    running = await start(file=file)
    looking = asyncio.ensure_future(Process(running.daemon, TerminalStyle()).state_watch.run())
    alice = make_client_certificate(tmp_path, team.issuer_for("client"))
    assert await fetch(running, alice) == b"hello"
    before = running.daemon.service.policies
    (tmp_path / "team.pem").write_bytes(trust_pem(team, alice))
    await wait_until(lambda: running.daemon.service.policies is not before)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        await fetch(running, alice)
    (tmp_path / "team.pem").unlink()
    await wait_until(lambda: any("stays as it is" in line and "team.pem" in line for line in running.lines))
    assert not looking.done()
    looking.cancel()


async def test_another_ca_takes_the_place_of_ours(start: Start, app: App, file: Path, tmp_path: Path) -> None:
    team = make_authority()
    (tmp_path / "team.pem").write_bytes(team.root_pem + team.chain_pem(team.issuer_for("client")))
    file.write_text(LINE.format(await app(b"hello"), ', client_ca = "team.pem"'))
    running = await start(file=file)
    assert await fetch(running, make_client_certificate(tmp_path, team.issuer_for("client"))) == b"hello"
    ours = (await asyncio.to_thread(authority_of, running)).issuer_for("client")
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        await fetch(running, make_client_certificate(tmp_path, ours))


async def test_a_ca_that_was_revoked_lets_nobody_in(start: Start, app: App, file: Path, tmp_path: Path) -> None:
    """The list of the root says so: in a file with a list of each CA it is looked at."""
    team, now = make_authority(), datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root of the team")])
    below = team.issuer_for("client").certificate
    start_of = x509.CertificateBuilder().issuer_name(name).not_valid_before(now).not_valid_after(now + timedelta(1))
    is_ca = x509.BasicConstraints(ca=True, path_length=None)
    root, signed = (
        start_of.subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .add_extension(is_ca, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, SHA256())
        for subject, public in ((name, key.public_key()), (below.subject, below.public_key()))
    )
    entry = x509.RevokedCertificateBuilder().serial_number(signed.serial_number).revocation_date(now).build()
    empty = x509.CertificateRevocationListBuilder().issuer_name(name).last_update(now).next_update(now + timedelta(1))
    empty = empty.add_extension(x509.CRLNumber(1), critical=False)
    lists = [each.sign(key, SHA256()) for each in (empty, empty.add_revoked_certificate(entry))]
    own_list = trust_pem(team).partition(b"-----BEGIN X509 CRL")
    known = b"".join((root.public_bytes(Encoding.PEM), signed.public_bytes(Encoding.PEM), *own_list[1:]))
    trust = tmp_path / "team.pem"
    trust.write_bytes(known + lists[0].public_bytes(Encoding.PEM))
    file.write_text(LINE.format(await app(b"hello"), ', client_ca = "team.pem"'))
    running = await start(file=file)
    alice = make_client_certificate(tmp_path, team.issuer_for("client"))
    assert await fetch(running, alice) == b"hello"
    trust.write_bytes(known + lists[1].public_bytes(Encoding.PEM))
    await running.daemon.refresh_policies()
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        await fetch(running, alice)


async def test_a_reload_asks_and_stops_asking(start: Start, app: App, file: Path) -> None:
    port = await app(b"hello")
    file.write_text(LINE.format(port, "").replace("require", "off"))
    running = await start(file=file)
    assert running.daemon._client_trust is None
    assert await fetch(running, None) == b"hello"
    file.write_text(LINE.format(port, ""))
    await running.daemon.reload()
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        await fetch(running, None)
    file.write_text(LINE.format(port, "").replace("require", "request"))
    await running.daemon.reload()
    assert await fetch(running, None) == b"hello"
    file.write_text(LINE.format(port, ', client_ca = "none.pem"'))
    with pytest.raises(ConfigError, match=r"devtls\.toml:6: routes\.safe\.client_ca: .*none\.pem cannot be used"):
        await running.daemon.reload()
    assert await fetch(running, None) == b"hello"


def test_a_list_is_signed_anew_in_time_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    keystore = Keystore(tmp_path)
    signer = keystore.create(DEFAULT_ZONES, now).signer
    trust = ClientTrust(keystore)
    first = trust._own_policy(True, signer, now)
    loads, real = [], Keystore.load

    def load(self: Keystore, at: datetime) -> Authority:
        loads.append(at)
        return real(self, at)

    monkeypatch.setattr(Keystore, "load", load)
    assert trust._own_policy(True, signer, now + timedelta(days=3)) == first
    assert loads == []
    second = trust._own_policy(True, signer, now + timedelta(days=4))
    assert second != first
    assert trust._own_policy(True, signer, now + timedelta(days=4, seconds=1)) == second
    assert len(loads) == 1
    assert trust._own_policy(True, signer, now - timedelta(minutes=1)) != second, "the clock was set back"


def test_a_list_of_another_ca_is_not_taken(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    keystore = Keystore(tmp_path)
    signer = keystore.create(DEFAULT_ZONES, now).signer
    keystore.create(DEFAULT_ZONES, now)
    with pytest.raises(StateError, match="was replaced"):
        ClientTrust(keystore)._own_policy(True, signer, now)


async def test_a_file_that_is_no_list_of_certificates_is_named(start: Start, file: Path, tmp_path: Path) -> None:
    file.write_text(LINE.format(9, ', client_ca = "team.pem"'))
    for content, why in ((b"no certificate", "cannot be used"), (bytes(2_000_000), "larger than 1 MiB")):
        (tmp_path / "team.pem").write_bytes(content)
        with pytest.raises(ConfigError, match=rf"devtls\.toml:6: routes\.safe\.client_ca: .*team\.pem .*{why}"):
            await start(file=file)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in folders")
async def test_a_pipe_in_the_place_of_a_ca_is_not_waited_for(start: Start, file: Path, tmp_path: Path) -> None:
    file.write_text(LINE.format(9, ', client_ca = "team.pem"'))
    os.mkfifo(tmp_path / "team.pem")
    with pytest.raises(ConfigError, match=r"team\.pem is not a file"):
        await start(file=file)


def test_an_imported_ca_that_may_sign_no_lists_checks_no_clients(tmp_path: Path) -> None:
    keystore, now, made = Keystore(tmp_path / "state"), datetime.now(UTC), mkcert()
    parse = partial(parse_zone, is_public_suffix=lambda _name: False)
    imported = validate_import(
        ImportBundle(made.certificate, made.key), zones=(), parse_zone=parse, now=now, pki_port=20443
    ).authority
    keystore.adopt(imported, now)
    with pytest.raises(StateError, match="may sign revocation lists") as caught:
        ClientTrust(keystore)._own_policy(True, imported.signer, now)
    assert "client_ca" in caught.value.hint
    following = keystore.prepare_next(DEFAULT_ZONES, now)
    keystore.switch_to_next(following)
    trust = ClientTrust(keystore)._own_policy(True, following.signer, now).trust_pem
    assert following.root_pem in trust
    assert imported.root_pem not in trust
