"""The profiles of root and intermediate certificates: names and extensions.

Owns the bytes of root and intermediate; those of a leaf are in `leaf`. Refuses nothing: who may get which certificate
is decided in `authority`.
Strategy: every extension is there because a verifier insists on it (OpenSSL strict: SKI, AKI, KeyUsage, critical basic
constraints; Apple: lifetime; Java: the constraints on the intermediate as well; curl on Windows: a CRL pointer).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devtls.names import Hostname
from devtls.pki.signature import deterministic_with

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

SubjectKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
"""The kinds of keys that a CA certificate may certify."""

Purpose = Literal["server", "client", "any"]
"""The certificates that an intermediate signs; "any" = for servers and for clients."""

LOOPBACK_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

_ORGANIZATION = "devtls"
_USAGES = {
    "server": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    "client": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    "any": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
}
_ROLES = {"server": "intermediate", "client": "client intermediate", "any": "intermediate"}

# RFC 6761 6.4: no name below it is ever given out.
_NOBODY = "invalid"
_IDENTITIES: tuple[x509.GeneralName, ...] = (x509.RFC822Name(_NOBODY), x509.UniformResourceIdentifier(_NOBODY))
"""The kinds of names besides hosts that verifiers know constraints for: mail addresses and URIs."""


def key_usage(*, signature: bool, ca: bool = False, encipherment: bool = False) -> x509.KeyUsage:
    """Return the extension with what a key may be used for."""
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


_ROOT_KEY_USAGE = key_usage(signature=False, ca=True)
_INTERMEDIATE_KEY_USAGE = key_usage(signature=True, ca=True)  # signature: it will sign OCSP answers itself


def key_identifier(key: SubjectKey) -> x509.SubjectKeyIdentifier:
    """Return the identifier that SKI and AKI carry (RFC 5280 section 4.2.1.2, method 1)."""
    return x509.SubjectKeyIdentifier.from_public_key(key)


def short_id(identifier: x509.SubjectKeyIdentifier) -> str:
    """Return the eight hex digits that people, file names and URLs know a certificate by."""
    return identifier.digest[:4].hex()


def ca_name(role: str, identifier: x509.SubjectKeyIdentifier) -> x509.Name:
    """Return the name of a root or intermediate; it is visible to every client, so nothing personal is in it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, f"devtls {role} {short_id(identifier)}"),
        ]
    )


def name_constraints(zones: Iterable[Hostname]) -> x509.NameConstraints:
    """Return the constraints of a CA for `zones`.

    No leading dot: with one, verifiers refuse the bare zone. The loopback networks are there because constraints of
    one kind leave every other kind open, and so are mail addresses and URIs: none is permitted.
    """
    names: list[x509.GeneralName] = [x509.DNSName(zone) for zone in zones]
    networks: list[x509.GeneralName] = [x509.IPAddress(network) for network in LOOPBACK_NETWORKS]
    # The one permitted subtree is excluded as well: GnuTLS looks at URIs only for the second, OpenSSL takes an empty
    # excluded subtree for "nothing", and Java refuses to read one. No otherName (UPN) and no directoryName: Go refuses
    # every certificate below a critical constraint of these kinds (docs/explanation/certificates.md has the matrix).
    return x509.NameConstraints(permitted_subtrees=[*names, *networks, *_IDENTITIES], excluded_subtrees=_IDENTITIES)


def distribution_point(url: str) -> x509.CRLDistributionPoints:
    """Return the extension that names `url` as the place of the issuer's CRL."""
    # Without reasons and cRLIssuer: OpenSSL and NSS take only such a CRL as complete (RFC 5280 6.3.3).
    where = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    return x509.CRLDistributionPoints([where])


def build_root(
    key: ec.EllipticCurvePrivateKey,
    *,
    zones: Iterable[Hostname],
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> x509.Certificate:
    """Return the self-signed root: it may sign one level of intermediates, for `zones` only."""
    identifier = key_identifier(key.public_key())
    name = ca_name("root", identifier)
    builder = _ca_builder(key.public_key(), name, identifier, identifier, zones=zones)
    builder = builder.issuer_name(name).serial_number(serial)
    return (
        builder.not_valid_before(not_before)
        .not_valid_after(not_after)
        .sign(key, SHA256(), ecdsa_deterministic=deterministic_with(key))
    )


def build_intermediate(
    key: SubjectKey,
    root: x509.Certificate,
    root_key: IssuerKey,
    *,
    zones: Iterable[Hostname],
    serial: int,
    crl: str,
    purpose: Purpose = "any",
    life: tuple[datetime, datetime] | None = None,
) -> x509.Certificate:
    """Return an intermediate, with the root's own dates when `life` is None; `crl` is the URL of the root's CRL."""
    identifier = key_identifier(key)
    name = ca_name(_ROLES[purpose], identifier)
    issuer = key_identifier(root_key.public_key())
    builder = _ca_builder(key, name, identifier, issuer, zones=zones, purpose=purpose)
    builder = builder.add_extension(distribution_point(crl), critical=False).issuer_name(root.subject)
    start, end = life or (root.not_valid_before_utc, root.not_valid_after_utc)
    builder = builder.not_valid_before(start).not_valid_after(end).serial_number(serial)
    return builder.sign(root_key, SHA256(), ecdsa_deterministic=deterministic_with(root_key))


def _ca_builder(
    key: SubjectKey,
    name: x509.Name,
    identifier: x509.SubjectKeyIdentifier,
    issuer: x509.SubjectKeyIdentifier,
    *,
    zones: Iterable[Hostname],
    purpose: Purpose | None = None,
) -> x509.CertificateBuilder:
    """Return what root (None) and intermediates have in common."""
    # Path length 0: whoever steals the key that lies on disk can make no further CA with it.
    length, usage = (1, _ROOT_KEY_USAGE) if purpose is None else (0, _INTERMEDIATE_KEY_USAGE)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)  # RFC 5280 4.2.1.9
        .add_extension(usage, critical=True)
        # RFC 5280 gives purposes in CA certificates no meaning; OpenSSL, Go, browsers and Windows apply them to what
        # the CA signs.
        .add_extension(_USAGES[purpose or "any"], critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
        # Critical (RFC 5280 4.2.1.10): a verifier that does not know name constraints must refuse the CA.
        .add_extension(name_constraints(zones), critical=True)
    )
