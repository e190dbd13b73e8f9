"""Certificates that clients show in tests: signed by the CA under test or by another, good or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devtls.pki.authority import Authority
from devtls.pki.intermediate import Intermediate


@dataclass(frozen=True)
class ClientCertificate:
    """One certificate with its key, and the files that a client loads."""

    certificate: x509.Certificate
    pem: Path
    key: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def make_client_certificate(
    directory: Path,
    issuer: Intermediate,
    name: str = "alice.dev.local",
    *,
    ended: bool = False,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
) -> ClientCertificate:
    """Return a certificate without its chain, as `curl --cert` is often given one."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    signer = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(minutes=-5 if ended else 5))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False)
        .sign(issuer.key, SHA256())
    )
    stem = f"{certificate.serial_number:x}"
    made = ClientCertificate(certificate, directory / f"{stem}.pem", directory / f"{stem}.key")
    made.pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def trust_pem(authority: Authority, *revoked: ClientCertificate) -> bytes:
    """Return what clients of a CA are judged by, with a list of those that were taken back."""
    now = datetime.now(UTC)
    entries = [
        x509.RevokedCertificateBuilder()
        .serial_number(one.certificate.serial_number)
        .revocation_date(now.replace(microsecond=0))
        .build()
        for one in revoked
    ]
    issuer = authority.issuer_for("client")
    crl = x509.load_der_x509_crl(authority.intermediate_crl(number=2, this_update=now, revoked=entries, issuer=issuer))
    return authority.root_pem + authority.chain_pem(issuer) + crl.public_bytes(Encoding.PEM)
