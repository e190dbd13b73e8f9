"""CAs as other tools make them: mkcert's root, step-ca's and Vault's two tiers, a company's three with RSA.

Owns one function per tool; the extensions are those that the tools write, as far as verifiers look at them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devtls.pki.ca_chain import identifier_of
from devtls.pki.profile import key_usage

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: IssuerKey


def new_key(kind: str = "ec") -> IssuerKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def make(
    name: str,
    *,
    by: Made | None = None,
    key: IssuerKey | None = None,
    path_length: int | None = None,
    usage: x509.KeyUsage | None = None,
    constraints: x509.NameConstraints | None = None,
    purposes: list[x509.ObjectIdentifier] | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    more: tuple[x509.ExtensionType, ...] = (),
    ca: bool = True,
    called: bytes = b"",
) -> Made:
    """Return a CA with the extensions that everybody writes and those named here; `called` is its key identifier."""
    key = key or new_key()
    issuer, now = by or Made(None, key), datetime.now(UTC).replace(microsecond=0)  # type: ignore[arg-type]  # its own
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    own = x509.SubjectKeyIdentifier(called) if called else x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    identifier = identifier_of(by.certificate) if by else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin or now - DAY)
        .not_valid_after(end or now + 3650 * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(usage or key_usage(signature=False, ca=True), critical=True)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    return Made(builder.sign(issuer.key, SHA256()), key)


def permitting(*names: str, networks: bool = False) -> x509.NameConstraints:
    """Return constraints to `names`, and to the loopback networks."""
    from devtls.pki.profile import LOOPBACK_NETWORKS

    trees: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    trees += [x509.IPAddress(network) for network in LOOPBACK_NETWORKS] if networks else []
    return x509.NameConstraints(trees, None)


def excluding(*names: str) -> x509.NameConstraints:
    return x509.NameConstraints(None, [x509.DNSName(name) for name in names])


CERT_SIGN_ONLY = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


def mkcert() -> Made:
    """mkcert's root: RSA, signs leaves itself, keyCertSign alone, path length 0, no limits."""
    return make("mkcert me@laptop", key=new_key("rsa"), path_length=0, usage=CERT_SIGN_ONLY)


def step_ca() -> tuple[Made, Made]:
    """step-ca's root and intermediate: P-256, no limits, no purposes."""
    root = make("Smallstep Root CA", path_length=1)
    return root, make("Smallstep Intermediate CA", by=root, path_length=0)


def company() -> tuple[Made, Made, Made]:
    """A company's three tiers with RSA, the issuing one limited to its zone (AD CS can, Vault can)."""
    root = make("Corp Root", key=new_key("rsa"))
    policy = make("Corp Policy", by=root, key=new_key("rsa"))
    server = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    limits = permitting("dev.corp.example", networks=True)
    issuing = make("Corp Dev", by=policy, key=new_key("rsa"), path_length=0, constraints=limits, purposes=server)
    return root, policy, issuing
