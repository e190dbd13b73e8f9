"""Certificates for other servers, and for clients that authenticate with one.

Owns their profile, which keys are good enough, and which certificates of clients count later. Refuses keys that
browsers or the field have given up on, and a life of more than 825 days, which Apple's systems refuse from any CA.
Strategy: what the proxy itself shows is built in `leaf`, for one kind of key and without an X.509 library; these may
hold a key of any common kind and can wait 25 ms. Both have the same extensions.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from devtls.errors import CertificateError, InvalidName
from devtls.names import Hostname, parse_hostname, zone_of
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import identifier_of
from devtls.pki.intermediate import Intermediate
from devtls.pki.leaf import PROFILE, Name, crl_url, ocsp_url, whole_seconds
from devtls.pki.names_in_certificates import Kind
from devtls.pki.profile import LOOPBACK_NETWORKS, distribution_point, key_usage
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


def client_objection(der: bytes, zones: Iterable[Hostname]) -> str:
    """Return why a client's certificate of our own CA does not count, "" if it does.

    Name constraints do not reach subjects and otherNames (UPN), so whoever copied the CA's key could put any person
    there; what `certify` makes has host names in the zones and a common name that is one of them.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        alternative = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        subject = list(certificate.subject)
    except x509.ExtensionNotFound:
        return "its certificate has no alternative name"
    except (ValueError, x509.DuplicateExtension):  # OpenSSL reads more than cryptography does
        return "its certificate has names that cannot be read"
    zones, names = tuple(zones), set()
    for name in alternative:
        if not _is_ours(name, zones):
            return f"its certificate is for {_in_words(name)}, and only host names in {', '.join(zones)} count"
        names.add(str(name.value).lower())
    for attribute in subject:
        if attribute.oid != NameOID.COMMON_NAME or str(attribute.value).lower() not in names:
            return f"its certificate has a subject that is none of its host names: {attribute.rfc4514_string()[:100]!r}"
    return ""


def _is_ours(name: x509.GeneralName, zones: tuple[Hostname, ...]) -> bool:
    if isinstance(name, x509.IPAddress):
        return any(name.value in network for network in LOOPBACK_NETWORKS)
    try:
        # No wildcard: whoever logs in has one name (`names_in_certificates`).
        return isinstance(name, x509.DNSName) and zone_of(parse_hostname(name.value), zones) is not None
    except InvalidName:
        return False


def _in_words(name: x509.GeneralName) -> str:
    if isinstance(name, x509.OtherName):
        return f"an otherName ({name.type_id.dotted_string})"
    return f"{type(name).__name__} {str(name.value)[:100]!r}"


def certify(
    authority: Authority, template: CertificateTemplate, key: CertificatePublicKeyTypes, *, now: datetime, serial: int
) -> x509.Certificate:
    """Return the certificate; it ends with the CA if that comes first. Raises CertificateError."""
    check_days(template.days)
    check_key(key)
    issuer = authority.issuer_for(template.kind)
    authority.signer.check_dates(now)
    start, end = _life(authority, template.days, now)
    subject = _subject(template)
    names = x509.SubjectAlternativeName([_general_name(name) for name in template.names])
    builder = x509.CertificateBuilder().serial_number(serial).subject_name(subject).public_key(key)
    builder = builder.issuer_name(issuer.certificate.subject)
    builder = builder.not_valid_before(start).not_valid_after(end)
    for extension, critical in _extensions(authority, issuer, template, key):
        builder = builder.add_extension(extension, critical=critical)
    # RFC 5280 4.2.1.6: critical when there is no subject.
    builder = builder.add_extension(names, critical=not list(subject))
    return builder.sign(issuer.key, SHA256(), ecdsa_deterministic=deterministic_with(issuer.key))


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
    authority: Authority, issuer: Intermediate, template: CertificateTemplate, key: CertificatePublicKeyTypes
) -> list[tuple[x509.ExtensionType, bool]]:
    # Servers that still speak TLS 1.2 with RSA key exchange need the second usage.
    usage = key_usage(signature=True, encipherment=template.kind == "server" and isinstance(key, rsa.RSAPublicKey))
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([_PURPOSES[template.kind]]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.AuthorityKeyIdentifier(identifier_of(issuer.certificate).digest, None, None), False),
    ]
    if authority.signs_crls:
        found.append((distribution_point(crl_url(authority.pki_port, authority.crl_path_of(issuer))), False))
    if template.ocsp:
        place = x509.UniformResourceIdentifier(ocsp_url(authority.pki_port))
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
        found.append((x509.AuthorityInformationAccess([access]), False))
    return found


def _general_name(name: Name) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
