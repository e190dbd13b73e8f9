"""The PKI endpoint of a running proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from devtls.daemon.sites import pki as pki_site
from devtls.daemon.sites import pki_app
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.apple_profile import apple_profile
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate
from devtls.pki.imported import ImportBundle, validate_import
from devtls.pki.intermediate import Intermediate
from devtls.pki.leaf import TRANSIENT, Signer
from devtls.pki.register import serial_text
from devtls.pki.revocation import crl_number, load_crl, revoked_entry
from devtls.system.machine.paths import Paths
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage.generation import free_pki_port
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
from tests.pki.elsewhere import make, permitting

Start = Callable[..., Awaitable[Any]]
Wait = Callable[..., Awaitable[None]]


@pytest.mark.parametrize(("holder", "told"), [("nginx (process 5)", True), ("", True), ("devtls (process 6)", False)])
async def test_a_port_that_is_taken_is_a_warning_unless_it_is_ours_and_the_rest_goes_on(
    start: Start, monkeypatch: pytest.MonkeyPatch, wait_until: Wait, holder: str, told: bool
) -> None:
    asked: list[int] = []

    def port_holder(port: int) -> str:
        asked.append(port)
        return holder

    monkeypatch.setattr(pki_site, "port_holder", port_holder)
    authority = (await start("app=9")).daemon.generation.authority
    second = await start("app=9")
    await wait_until(lambda: asked == [authority.pki_port])
    assert (await second.get("none.test")).status == 404
    said = [line for line in second.lines if f"port {authority.pki_port} on 127.0.0.1 belongs to" in line]
    assert len(said) == told
    assert all((holder or "another program") in line for line in said)


async def test_a_second_proxy_takes_the_port_over_when_the_first_ends(
    start: Start, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(pki_site, "_RETRY_S", 0.01)
    first, second = await start("app=9"), await start("app=9")
    authority = first.daemon.generation.authority
    await first.daemon.pki.close()
    await wait_until(lambda: second.daemon.pki.is_open)
    async with (
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{authority.pki_port}{authority.intermediate_crl_path}") as answer,
    ):
        assert crl_number(load_crl(await answer.read())) == 1


async def test_documents_are_served_on_the_port_of_the_ca(start: Start) -> None:
    running = await start("app=9")
    authority = running.daemon.generation.authority
    async with ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{authority.pki_port}/root.pem") as answer:
            assert await answer.read() == authority.root_pem
        async with session.get(f"http://127.0.0.1:{authority.pki_port}{authority.intermediate_crl_path}") as answer:
            assert crl_number(load_crl(await answer.read())) == 1


async def test_the_intermediate_for_clients_publishes_a_crl_and_answers_by_ocsp(start: Start) -> None:
    running, now = await start("app=9"), datetime.now(UTC)
    keystore: Keystore = running.daemon.keystore
    authority = await asyncio.to_thread(keystore.load, now)
    issuer, register = authority.issuer_for("client"), Register(keystore, authority)
    order, key = CertificateTemplate(("alice.test",), "client"), new_leaf_key().public_key()
    leaf = await asyncio.to_thread(lambda: register.issue(order, key, by="cert", place="x", now=now))
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer.certificate, SHA1()).build()
    unknown = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        asked.issuer_name_hash, asked.issuer_key_hash, TRANSIENT | 7, SHA1()
    )
    content = running.daemon.pki.content()

    async def status(request: ocsp.OCSPRequest) -> ocsp.OCSPCertStatus:
        answer = await content.status(request.public_bytes(Encoding.DER))
        return ocsp.load_der_ocsp_response(answer.content).certificate_status

    assert await status(asked) is ocsp.OCSPCertStatus.GOOD
    assert await status(unknown.build()) is ocsp.OCSPCertStatus.UNKNOWN, "no proxy mints with it"
    await asyncio.to_thread(register.revoke, [serial_text(leaf.serial_number)], "superseded", now)
    assert await status(asked) is ocsp.OCSPCertStatus.REVOKED
    documents = await content.documents()
    on_lists = {
        each.name: [entry.serial_number for entry in load_crl(documents[authority.crl_path_of(each)].content)]
        for each in authority.intermediates
    }
    assert on_lists == {"intermediate": [], "client-intermediate": [leaf.serial_number]}


async def test_the_root_is_offered_in_each_form_with_its_type(start: Start) -> None:
    authority = (await start("app=9")).daemon.generation.authority
    base = f"http://127.0.0.1:{authority.pki_port}"
    found = {}
    async with ClientSession() as session:
        for name in ("devtls-root.pem", "devtls-root.crt", "devtls-root.mobileconfig", "root.pem", "root.der"):
            async with session.get(f"{base}/{name}") as answer:
                found[name] = (answer.content_type, await answer.read())
        async with session.get(base + "/") as answer:
            text = await answer.text()
    der = ssl.PEM_cert_to_DER_cert(authority.root_pem.decode())
    pem = ("application/x-pem-file", authority.root_pem)
    assert found == {
        "devtls-root.pem": pem,
        "devtls-root.crt": ("application/x-x509-ca-cert", der),
        "devtls-root.mobileconfig": ("application/x-apple-aspen-config", apple_profile(der, authority.id)),
        "root.pem": pem,
        "root.der": ("application/x-x509-ca-cert", der),
    }
    assert f"devtls root {authority.id}" in text
    assert authority.fingerprint.upper() in text.replace(":", "")
    assert str(base) + "/devtls-root.crt" in text


async def test_a_list_is_signed_anew_when_its_half_life_is_over(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start("app=9")
    path = running.daemon.generation.authority.intermediate_crl_path

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=4)

    monkeypatch.setattr(pki_app, "datetime", Later)
    document = (await running.daemon.pki.content().documents())[path]
    assert crl_number(load_crl(document.content)) == 2


async def test_it_is_looked_at_also_when_nobody_asks(
    start: Start, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(pki_site, "_LOOK", timedelta())
    monkeypatch.setattr(pki_site, "_TICK_S", 0.01)
    calls: list[datetime] = []

    def next_crl(_keystore: Keystore, _authority: object, now: datetime, _issuer: object) -> bytes:
        calls.append(now)
        return b""

    monkeypatch.setattr(Keystore, "next_crl", next_crl)
    await start("app=9")
    await wait_until(lambda: len(calls) > 1)


@pytest.mark.parametrize("days", [4, -30], ids=["woken after days", "clock set back"])
async def test_a_list_is_signed_anew_by_the_wall_clock_though_nobody_asks(
    start: Start, monkeypatch: pytest.MonkeyPatch, wait_until: Wait, days: int
) -> None:
    """The loop's own clock does not move while a machine sleeps."""
    shift = timedelta()
    looks: list[timedelta] = []

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            looks.append(shift)
            return datetime.now(tz) + shift

    monkeypatch.setattr(pki_site, "datetime", Shifted)
    monkeypatch.setattr(pki_app, "datetime", Shifted)
    monkeypatch.setattr(pki_site, "_TICK_S", 0.01)
    numbers: list[int] = []
    real = Keystore.next_crl

    def next_crl(keystore: Keystore, authority: Authority, now: datetime, issuer: Intermediate) -> bytes:
        crl = real(keystore, authority, now, issuer)
        if issuer is authority.intermediate:
            numbers.append(crl_number(load_crl(crl)))
        return crl

    monkeypatch.setattr(Keystore, "next_crl", next_crl)
    monkeypatch.setattr(Signer, "check_dates", lambda _signer, _now: None)
    await start("app=9")
    await wait_until(lambda: len(looks) > 1)
    shift = timedelta(days=days)
    await wait_until(lambda: numbers == [2])


async def test_a_list_that_cannot_be_written_is_left_out_and_reported_once(start: Start) -> None:
    running = await start("app=9")
    await asyncio.to_thread(Keystore(running.daemon.source.paths.state_dir).forget)
    for _ in range(2):
        assert "/root.pem" in await running.daemon.pki.content().documents()
    assert len([line for line in running.lines if "cannot be renewed" in line]) == 1


@pytest.fixture
def withdrawn(paths: Paths) -> Authority:
    """A CA that was imported, and that its root revoked then."""
    now, keystore, root = datetime.now(UTC), Keystore(paths.state_dir), make("Corp Root")
    issuing = make("Corp Dev", by=root, path_length=0, constraints=permitting("dev.local", networks=True))
    brought = ImportBundle(issuing.certificate, issuing.key, (root.certificate,))
    authority = validate_import(brought, zones=(), parse_zone=Hostname, now=now, pki_port=free_pki_port()).authority
    keystore.adopt(authority, now)
    entry = revoked_entry(issuing.certificate.serial_number, now, "ca-compromise")
    with keystore.writing(authority):
        keystore.put_root_crl(authority, authority.root_crl(root.key, number=7, this_update=now, revoked=[entry]))
    return authority


async def test_a_ca_on_its_roots_list_is_told_of_at_the_start(
    withdrawn: Authority, start: Start, wait_until: Wait
) -> None:
    running = await start("app=9")
    await wait_until(lambda: any("This machine's own CA was revoked on" in line for line in running.lines))
    assert withdrawn.root_crl_path in await running.daemon.pki.content().documents()


async def test_a_new_ca_with_another_port_moves_the_endpoint(start: Start) -> None:
    running = await start("app=9")
    old = running.daemon.generation.authority
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    keystore = Keystore(running.daemon.source.paths.state_dir)
    new = await asyncio.to_thread(lambda: keystore.create(DEFAULT_ZONES, datetime.now(UTC), pki_port=port))
    await running.daemon.reload()
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/root.pem") as answer:
        assert await answer.read() == new.root_pem != old.root_pem


async def certificate_of(running: Any) -> tuple[x509.Certificate, Register, Authority]:
    def make() -> tuple[x509.Certificate, Register, Authority]:
        keystore, now = Keystore(running.daemon.source.paths.state_dir), datetime.now(UTC)
        authority = keystore.load(now)
        register = Register(keystore, authority)
        key = new_leaf_key().public_key()
        return register.issue(CertificateTemplate(("a.test",)), key, by="cert", place="x", now=now), register, authority

    return await asyncio.to_thread(make)


async def test_a_revocation_is_published_at_once(start: Start) -> None:
    running = await start("app=9")
    leaf, register, _ = await certificate_of(running)
    path = running.daemon.generation.authority.intermediate_crl_path
    before = (await running.daemon.pki.content().documents())[path]
    await asyncio.to_thread(register.revoke, [serial_text(leaf.serial_number)], "superseded", datetime.now(UTC))
    after = (await running.daemon.pki.content().documents())[path]
    assert after.etag != before.etag
    assert [entry.serial_number for entry in load_crl(after.content)] == [leaf.serial_number]
    assert after.modified == load_crl(after.content).last_update_utc
    assert after.expires is not None
    assert after.expires - datetime.now(UTC) <= timedelta(minutes=5)


async def test_the_status_of_a_certificate_is_told_over_the_port(start: Start) -> None:
    running = await start("app=9")
    leaf, register, authority = await certificate_of(running)
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, authority.intermediate.certificate, SHA1())
    request = builder.build().public_bytes(Encoding.DER)
    base = f"http://127.0.0.1:{authority.pki_port}/ocsp"

    async def asked() -> list[ocsp.OCSPCertStatus]:
        found = []
        async with ClientSession() as session:
            headers = {"Content-Type": "application/ocsp-request"}
            async with session.post(base, data=request, headers=headers) as answer:
                found.append(ocsp.load_der_ocsp_response(await answer.read()).certificate_status)
            async with session.get(f"{base}/{quote(b64encode(request), safe='')}") as answer:
                found.append(ocsp.load_der_ocsp_response(await answer.read()).certificate_status)
                assert answer.headers["Cache-Control"].startswith("max-age=")
        return found

    assert await asked() == [ocsp.OCSPCertStatus.GOOD] * 2
    await asyncio.to_thread(register.revoke, [serial_text(leaf.serial_number)], "superseded", datetime.now(UTC))
    assert await asked() == [ocsp.OCSPCertStatus.REVOKED] * 2


async def test_an_older_ca_is_spoken_for_as_long_as_it_is_trusted(start: Start) -> None:
    running = await start("app=9")
    leaf, register, authority = await certificate_of(running)
    store, now = Keystore(running.daemon.source.paths.state_dir), datetime.now(UTC)
    await asyncio.to_thread(lambda: store.switch_to_next(store.prepare_next(DEFAULT_ZONES, now)))
    await running.daemon.reload()
    await asyncio.to_thread(register.revoke, [serial_text(leaf.serial_number)], "superseded", now)
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, authority.intermediate.certificate, SHA1())
    document = await running.daemon.pki.content().status(builder.build().public_bytes(Encoding.DER))
    found = ocsp.load_der_ocsp_response(document.content)
    assert found.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert found.responder_key_hash == authority.signer.identifier
    crl = load_crl((await running.daemon.pki.content().documents())[authority.intermediate_crl_path].content)
    assert [entry.serial_number for entry in crl] == [leaf.serial_number]


async def test_a_ca_that_is_gone_says_try_later(start: Start) -> None:
    running = await start("app=9")
    await asyncio.to_thread(Keystore(running.daemon.source.paths.state_dir).forget)
    document = await running.daemon.pki.content().status(b"")
    status = ocsp.load_der_ocsp_response(document.content).response_status
    assert status is ocsp.OCSPResponseStatus.TRY_LATER
    assert (document.expires, document.content_type) == (None, "application/ocsp-response")
    assert len([line for line in running.lines if "status of a certificate cannot be told" in line]) == 1
