"""What real verifiers make of the certificates: OpenSSL's command, Python's ssl, cryptography's own path builder."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from devtls.names import Hostname
from devtls.pki.authority import FOREIGN_NAME, Authority, issue_foreign_probe
from devtls.pki.intermediate import Intermediate
from devtls.pki.leaf import Leaf, Name, sign_leaf

NAMES = ["app.dev.local", "dev.local", "x.test", "app.localhost", "localhost"]


def issue(authority: Authority, name: str) -> Leaf:
    return authority.issue(
        Hostname(name), now=datetime.now(UTC), key=ec.generate_private_key(ec.SECP256R1()), serial=99
    )


def issue_evil(authority: Authority, *names: Name) -> Leaf:
    now = datetime.now(UTC).replace(microsecond=0)
    return sign_leaf(
        authority.signer,
        names,
        not_before=now - timedelta(hours=1),
        not_after=now + timedelta(days=1),
        key=ec.generate_private_key(ec.SECP256R1()),
        serial=98,
    )


def issue_probe(authority: Authority) -> Leaf:
    key = ec.generate_private_key(ec.SECP256R1())
    return issue_foreign_probe(authority, now=datetime.now(UTC), key=key, serial=97)


def handshake(authority: Authority, leaf: Leaf, name: str, directory: Path) -> None:
    """Shake hands in memory as a strict Python 3.13 client would; raises ssl.SSLCertVerificationError."""
    pem = directory / "leaf.pem"
    pem.write_bytes(leaf.pem)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(pem)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.load_verify_locations(cadata=authority.root_pem.decode())
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)


@pytest.mark.parametrize("name", NAMES)
def test_python_accepts_permitted_names(authority_of_today: Authority, name: str, tmp_path: Path) -> None:
    handshake(authority_of_today, issue(authority_of_today, name), name, tmp_path)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_python_accepts_the_default_leaf(authority_of_today: Authority, name: str, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = authority_of_today.issue_default(now=datetime.now(UTC), key=key, serial=5)
    handshake(authority_of_today, leaf, name, tmp_path)


@pytest.mark.parametrize(
    "name",
    ["evil.example.com", "xdev.local", ip_address("10.0.0.1")],
    ids=["name", "lookalike", "address"],
)
def test_python_refuses_what_the_constraints_forbid(authority_of_today: Authority, name: Name, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(authority_of_today, issue_evil(authority_of_today, name), str(name), tmp_path)


def test_python_refuses_the_foreign_probe_for_its_constraints_alone(
    authority_of_today: Authority, tmp_path: Path
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(authority_of_today, issue_probe(authority_of_today), FOREIGN_NAME, tmp_path)


def test_a_thiefs_second_intermediate_is_refused(authority_of_today: Authority, tmp_path: Path) -> None:
    """Path length 0: the stolen intermediate can sign leaves, not another CA."""
    stolen, thiefs_key = authority_of_today.intermediate, ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "devtls intermediate 00000000")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(thiefs_key.public_key())
    builder = x509.CertificateBuilder(extensions=list(stolen.certificate.extensions)[:3]).subject_name(subject)
    builder = builder.issuer_name(stolen.certificate.subject).public_key(thiefs_key.public_key()).serial_number(4)
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    second = builder.add_extension(identifier, critical=False).add_extension(
        x509.AuthorityKeyIdentifier(authority_of_today.signer.identifier, None, None), critical=False
    )
    forged = Authority(
        authority_of_today.root,
        Intermediate(second.sign(stolen.key, SHA256()), thiefs_key),
        authority_of_today.root_crl_der,
        1,
    )
    leaf = issue(forged, "app.dev.local")
    chain = leaf.chain_pem + authority_of_today.intermediate_pem
    leaf = Leaf(leaf.names, chain, leaf.key_pem, leaf.not_before, leaf.not_after, leaf.serial)
    with pytest.raises(ssl.SSLCertVerificationError, match="path length"):
        handshake(authority_of_today, leaf, "app.dev.local", tmp_path)


@pytest.fixture
def openssl() -> str:
    path = shutil.which("openssl")
    if path is None:
        pytest.skip("openssl is not here")
    return path


def openssl_verify(openssl: str, authority: Authority, leaf: Leaf, directory: Path, crl: bytes) -> str:
    files = {
        "root.pem": authority.root_pem,
        "intermediate.pem": authority.intermediate_pem,
        "leaf.pem": leaf.chain_pem,
        "crls.pem": b"".join(
            x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in (authority.root_crl_der, crl)
        ),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    options = ["-x509_strict", "-purpose", "sslserver", "-crl_check_all", "-CRLfile", "crls.pem"]
    chain = ["-CAfile", "root.pem", "-untrusted", "intermediate.pem", "leaf.pem"]
    result = subprocess.run(
        [openssl, "verify", *options, *chain], check=False, cwd=directory, capture_output=True, text=True, timeout=20
    )
    return result.stdout + result.stderr


def test_openssl_accepts_a_leaf_and_both_lists(authority_of_today: Authority, openssl: str, tmp_path: Path) -> None:
    crl = authority_of_today.intermediate_crl(number=1, this_update=datetime.now(UTC))
    leaf = issue(authority_of_today, "app.dev.local")
    assert openssl_verify(openssl, authority_of_today, leaf, tmp_path, crl) == "leaf.pem: OK\n"


def test_openssl_refuses_a_revoked_leaf(authority_of_today: Authority, openssl: str, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    leaf = issue(authority_of_today, "app.dev.local")
    revoked = x509.RevokedCertificateBuilder().serial_number(leaf.serial).revocation_date(now).build()
    crl = authority_of_today.intermediate_crl(number=2, this_update=now, revoked=[revoked])
    assert "certificate revoked" in openssl_verify(openssl, authority_of_today, leaf, tmp_path, crl)


def test_openssl_refuses_a_foreign_name(authority_of_today: Authority, openssl: str, tmp_path: Path) -> None:
    crl = authority_of_today.intermediate_crl(number=1, this_update=datetime.now(UTC))
    said = openssl_verify(openssl, authority_of_today, issue_probe(authority_of_today), tmp_path, crl)
    assert "permitted subtree violation" in said


def path_of(authority: Authority, leaf: Leaf, name: str) -> list[x509.Certificate]:
    certificates = x509.load_pem_x509_certificates(leaf.chain_pem)
    verifier = PolicyBuilder().store(Store([authority.root])).build_server_verifier(x509.DNSName(name))
    return verifier.verify(certificates[0], certificates[1:])


@pytest.mark.parametrize("name", NAMES)
def test_cryptography_builds_the_path(authority_of_today: Authority, name: str) -> None:
    path = path_of(authority_of_today, issue(authority_of_today, name), name)
    assert path[1:] == [authority_of_today.intermediate.certificate, authority_of_today.root]


def test_cryptography_refuses_a_foreign_name(authority_of_today: Authority) -> None:
    with pytest.raises(VerificationError):
        path_of(authority_of_today, issue_evil(authority_of_today, "evil.example.com"), "evil.example.com")
