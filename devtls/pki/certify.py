"""Certificates for other servers, and for clients that authenticate with one.

Owns their profile and which keys are good enough. Refuses keys that browsers or the field have given up on, and a life
of more than 825 days, which Apple's systems refuse from any CA.
Strategy: what the proxy itself shows is built in `leaf`, for one kind of key and without an X.509 library; these may
hold a key of any common kind and can wait 25 ms. Both have the same extensions.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from devtls.errors import CertificateError
from devtls.pki.authority import Authority
from devtls.pki.leaf import PROFILE, Name, crl_url, ocsp_url, whole_seconds
from devtls.pki.names_in_certificates import Kind
from devtls.pki.profile import distribution_point, key_usage
from devtls.pki.signature import deterministic_with

# Apple HT210176: since iOS 13 and macOS 10.15 a server's certificate that lasts longer is refused.
MAX_DAYS = 825
RSA_BITS = 2048
"""The size of a new RSA key, and the least size of a given one."""

_RSA_MOST_BITS = 8192
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_COMMON_NAME_LENGTH = 64  # RFC 5280, ub-common-name
_PURPOSES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
_GOOD_KEYS = "use ECDSA on P-256 or P-384, or RSA with 2048 bits and more"


class CertificateTemplate(msgspec.Struct, frozen=True):
    """The subject of a new certificate, besides its key; `names` are checked (`parse_names`).

    `ocsp`: the certificate says where its status can be asked.
    """

    names: tuple[Name, ...]
    kind: Kind = "server"
    days: int = PROFILE.leaf_lifetime.days
    ocsp: bool = False


def check_days(days: int) -> None:
    """Raise CertificateError for a life that is too long, or none."""
    if not 1 <= days <= MAX_DAYS:
        raise CertificateError(
            f"A certificate cannot last {days} days.",
            hint=f"from 1 to {MAX_DAYS} days: Apple's systems refuse a longer one from any CA",
        )


def check_key(key: object) -> None:
    """Raise CertificateError for a key that is weak, or that browsers do not take in a certificate."""
    match key:
        case rsa.RSAPublicKey():
            if not RSA_BITS <= key.key_size <= _RSA_MOST_BITS:
                raise CertificateError(f"The key is RSA with {key.key_size} bits.", hint=_GOOD_KEYS)
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, _CURVES):
                raise CertificateError(f"No browser takes a key on the curve {key.curve.name}.", hint=_GOOD_KEYS)
        case _:
            kind = type(key).__name__.removesuffix("PublicKey").strip("_")
            raise CertificateError(f"No browser takes a certificate with a key of the kind {kind}.", hint=_GOOD_KEYS)


def certify(
    authority: Authority, template: CertificateTemplate, key: CertificatePublicKeyTypes, *, now: datetime, serial: int
) -> x509.Certificate:
    """Return the certificate; it ends with the CA if that comes first. Raises CertificateError."""
    check_days(template.days)
    check_key(key)
    authority.signer.check_dates(now)
    start, end = _life(authority, template.days, now)
    subject = _subject(template)
    names = x509.SubjectAlternativeName([_general_name(name) for name in template.names])
    builder = x509.CertificateBuilder().serial_number(serial).subject_name(subject).public_key(key)
    builder = builder.issuer_name(authority.intermediate.certificate.subject)
    builder = builder.not_valid_before(start).not_valid_after(end)
    for extension, critical in _extensions(authority, template, key):
        builder = builder.add_extension(extension, critical=critical)
    # RFC 5280 4.2.1.6: critical when there is no subject.
    builder = builder.add_extension(names, critical=not list(subject))
    return builder.sign(
        authority.intermediate.key, SHA256(), ecdsa_deterministic=deterministic_with(authority.intermediate.key)
    )


def _life(authority: Authority, days: int, now: datetime) -> tuple[datetime, datetime]:
    # Apple counts the 825 days from notBefore, which is backdated: the longest life counts from there, too.
    start = whole_seconds(now) - PROFILE.backdate
    longest = start + timedelta(days=MAX_DAYS)
    return start, min(whole_seconds(now) + timedelta(days=days), longest, authority.signer.not_after)


def _subject(template: CertificateTemplate) -> x509.Name:
    """Return an empty name, but for clients: servers that map clients to users read the common name."""
    first = str(template.names[0])
    if template.kind == "server" or len(first) > _COMMON_NAME_LENGTH:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, first)])


def _extensions(
    authority: Authority, template: CertificateTemplate, key: CertificatePublicKeyTypes
) -> list[tuple[x509.ExtensionType, bool]]:
    signer = authority.signer
    # Servers that still speak TLS 1.2 with RSA key exchange need the second usage.
    usage = key_usage(signature=True, encipherment=template.kind == "server" and isinstance(key, rsa.RSAPublicKey))
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([_PURPOSES[template.kind]]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.AuthorityKeyIdentifier(signer.identifier, None, None), False),
    ]
    if signer.signs_crls:
        found.append((distribution_point(crl_url(signer.pki_port, signer.intermediate_crl_path)), False))
    if template.ocsp:
        place = x509.UniformResourceIdentifier(ocsp_url(signer.pki_port))
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
        found.append((x509.AuthorityInformationAccess([access]), False))
    return found


def _general_name(name: Name) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
