"""The certificates that an attacker signs who copied the keys of a CA: identities, names, and a CA of their own.

Owns what is tried. The key identifiers and usages are those of good certificates, so that a verifier can only refuse
the name, the purpose or the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devtls.pki.authority import Authority
from devtls.pki.intermediate import Intermediate
from devtls.pki.names_in_certificates import Kind
from devtls.pki.profile import key_usage
from tests.pki.conftest import fixed_key

_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
_UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # userPrincipalName of Active Directory
_SMTP_UTF8 = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # id-on-SmtpUTF8Mailbox (RFC 9598 3)


def _utf8(text: str) -> bytes:
    content = text.encode()
    return bytes((12, len(content))) + content


def _subject(common_name: str = "", mail: str = "", organization: str = "") -> x509.Name:
    parts = [
        (NameOID.COMMON_NAME, common_name),
        (NameOID.EMAIL_ADDRESS, mail),
        (NameOID.ORGANIZATION_NAME, organization),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


@dataclass(frozen=True)
class Identity:
    """A subject and alternative names."""

    subject: x509.Name = field(default_factory=_subject)
    names: Sequence[x509.GeneralName] = ()


ALICE = x509.DNSName("alice.dev.local")

FORBIDDEN = {
    "a host": Identity(_subject("x"), [x509.DNSName("login.example.com")]),
    "a mail address": Identity(names=[x509.RFC822Name("boss@example.com")]),
    "a mail address in a zone": Identity(names=[x509.RFC822Name("boss@dev.local")]),
    "a SPIFFE id": Identity(names=[x509.UniformResourceIdentifier("spiffe://example.com/ns/admin")]),
    "a SPIFFE id in a zone": Identity(names=[x509.UniformResourceIdentifier("spiffe://dev.local/admin")]),
    "a URN": Identity(names=[x509.UniformResourceIdentifier("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6")]),
    "a host and a mail address": Identity(names=[ALICE, x509.RFC822Name("boss@example.com")]),
}
"""Identities that name constraints forbid in every verifier."""

UNREACHED = {
    "a common name": Identity(_subject("admin")),
    "a mail address in the subject": Identity(_subject("boss", "boss@example.com")),
    "a UPN": Identity(_subject("admin"), [x509.OtherName(_UPN, _utf8("admin@example.com"))]),
    "an internationalised mail address": Identity(
        _subject("boss"), [x509.OtherName(_SMTP_UTF8, _utf8("böss@example.com"))]
    ),
    "a host and another common name": Identity(_subject("admin"), [ALICE]),
    "a host and a group": Identity(_subject("alice.dev.local", organization="system:masters"), [ALICE]),
    "a wildcard": Identity(names=[x509.DNSName("*.dev.local")]),
    "an address and another common name": Identity(_subject("admin"), [ALICE, x509.RegisteredID(_UPN)]),
}
"""Identities that no constraint reaches without breaking a verifier: routes with `client_auth` refuse them."""


def forge(
    issuer: Intermediate, identity: Identity, kind: Kind = "client", *, serial: int = 0x666
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return a certificate and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC).replace(microsecond=0)
    builder = _begin(issuer, identity.subject, key, now, serial)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([_USAGES[kind]]), critical=False)
    if identity.names:
        critical = not list(identity.subject)
        builder = builder.add_extension(x509.SubjectAlternativeName(identity.names), critical=critical)
    return builder.sign(issuer.key, SHA256()), key


def forge_ca(issuer: Intermediate) -> Intermediate:
    """Return a CA below an intermediate, with nothing that limits it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC).replace(microsecond=0)
    builder = _begin(issuer, _subject("devtls intermediate 00000000"), key, now, 0x667)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(signature=True, ca=True), critical=True)
    return Intermediate(builder.sign(issuer.key, SHA256()), key)


def _begin(
    issuer: Intermediate, subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, serial: int
) -> x509.CertificateBuilder:
    above = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .serial_number(serial)
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False)
    )


def of_earlier_profile(authority: Authority, root_key: ec.EllipticCurvePrivateKey | None = None) -> Authority:
    """Return a CA with the same keys as earlier versions made it: one intermediate, hosts and networks limited."""
    root_key = root_key or fixed_key(1001)
    root = _as_before(authority.root, authority.root, root_key)
    both = authority.root.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    below = _as_before(authority.intermediate.certificate, authority.root, root_key, both)
    return Authority(root, Intermediate(below, authority.intermediate.key), authority.root_crl_der, authority.pki_port)


def _as_before(
    certificate: x509.Certificate,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    usages: x509.ExtendedKeyUsage | None = None,
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(certificate.subject).issuer_name(root.subject)
    builder = builder.serial_number(certificate.serial_number).public_key(certificate.public_key())
    builder = builder.not_valid_before(certificate.not_valid_before_utc)
    builder = builder.not_valid_after(certificate.not_valid_after_utc)
    for extension in certificate.extensions:
        value: x509.ExtensionType = extension.value
        if isinstance(value, x509.NameConstraints):
            trees = value.permitted_subtrees or []
            value = x509.NameConstraints(
                [each for each in trees if isinstance(each, x509.DNSName | x509.IPAddress)], None
            )
        elif isinstance(value, x509.ExtendedKeyUsage) and usages is not None:
            value = usages
        builder = builder.add_extension(value, critical=extension.critical)
    return builder.sign(root_key, SHA256())
