from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from devtls.system.changes.truststore.root import RootCertificate, certificates_in, fingerprint_of, ours, pem_of


def _named(common_name: str | None, *, with_key_id: bool = True, forged: bool = False) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    text = (common_name or "devtls root ID").replace("ID", identifier.digest.hex()[:8])
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "devtls root of trust")]
    if common_name is not None:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, text))
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(x509.Name(attributes))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if with_key_id:
        builder = builder.add_extension(identifier, critical=False)
    signer = ec.generate_private_key(ec.SECP256R1()) if forged else key
    return builder.sign(signer, SHA256()).public_bytes(Encoding.DER)


def test_pem_is_written_as_openssl_writes_it(root: RootCertificate) -> None:
    certificate = x509.load_der_x509_certificate(root.der)
    assert root.pem == certificate.public_bytes(Encoding.PEM)
    assert root.fingerprint == certificate.fingerprint(SHA256()).hex()
    assert root.nickname == f"devtls root {root.id}"


def test_certificates_are_read_from_pem_with_comments_and_from_der(root: RootCertificate) -> None:
    other = _named("other")
    text = b"# a comment\r\n" + root.pem.replace(b"\n", b"\r\n") + b"junk\n" + pem_of(other)
    assert list(certificates_in(text)) == [root.der, other]
    assert list(certificates_in(root.der)) == [root.der]
    assert list(certificates_in(b"")) == []


def test_a_damaged_block_does_not_hide_the_next_one(root: RootCertificate) -> None:
    damaged = b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n"
    assert list(certificates_in(damaged + root.pem)) == [root.der]


def test_a_root_of_ours_is_recognised_by_what_it_proves(root: RootCertificate) -> None:
    found = ours(root.der)
    assert found is not None
    assert (found.id, found.fingerprint) == (root.id, root.fingerprint)
    assert ours(_named("devtls root ID")) is not None


@pytest.mark.parametrize(
    "der",
    [
        b"devtls root 12345678",
        _named("somebody else"),
        _named(None),
        _named("devtls root 00000000"),
        _named("devtls root ID and more"),
        _named("devtls root ID", with_key_id=False),
        _named("devtls root ID", forged=True),
    ],
    ids=["junk", "other name", "no name", "other key", "longer name", "no key id", "forged"],
)
def test_a_name_alone_proves_nothing(der: bytes) -> None:
    assert ours(der) is None


def test_the_fingerprint_is_of_the_der() -> None:
    assert (
        fingerprint_of(base64.b64decode("AAAA")) == "709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c"
    )
