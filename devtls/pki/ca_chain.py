"""CA certificates of other tools: their constraints, and whether they form a path that verifiers accept.

Owns the reading of a chain from the issuer of leaves up to its root. Refuses chains that no verifier accepts: an issuer
that is no CA, a path that is too long, a purpose that is not servers, a broken or weak signature. `imported` reports
what is unusual and works.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.errors import CertificateError
from devtls.names import is_below

_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)
_LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))

Path = Sequence[x509.Certificate]
"""The issuer of leaves first, its root last; one certificate when they are the same."""


def found(certificate: x509.Certificate, kind: type[_ExtensionT]) -> x509.Extension[_ExtensionT] | None:
    """Return an extension, or None; raises CertificateError for a certificate whose extensions cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise CertificateError(f"{in_words(certificate)} has an extension that cannot be read: {error}.") from error


def common_name(certificate: x509.Certificate) -> str:
    """Return how a person knows a certificate: its common name, else its whole name."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def in_words(certificate: x509.Certificate) -> str:
    """Return the same as a part of a sentence."""
    return repr(common_name(certificate))


def identifier_of(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """Return what the certificate says its key is called, or the usual name where it says nothing."""
    extension = found(certificate, x509.SubjectKeyIdentifier)
    return extension.value if extension else x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())


def is_root(certificate: x509.Certificate) -> bool:
    """Say whether the certificate signed itself."""
    return certificate.issuer == certificate.subject and signed_by(certificate, certificate)


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether `issuer` signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    # ValueError: the names do not match; TypeError: the issuer's key is of a kind that signs no certificates.
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def order_path(issuer: x509.Certificate, others: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Return the path from `issuer` to a root among `others`; raises CertificateError where it breaks off."""
    path, rest = [issuer], [each for each in dict.fromkeys(others) if each != issuer]
    while not is_root(path[-1]):
        above = next((each for each in rest if signed_by(path[-1], each)), None)
        if above is None:
            raise CertificateError(
                f"The certificate that signed {in_words(path[-1])} is missing: {path[-1].issuer.rfc4514_string()}.",
                hint="--chain FILE: every certificate up to the root, in any order",
            )
        # Each is taken once: two CAs that signed each other would be followed for ever.
        rest.remove(above)
        path.append(above)
    return tuple(path)


def check_path(path: Path) -> None:
    """Raise CertificateError unless verifiers take a leaf that the first certificate signed."""
    for below, certificate in enumerate(path):
        _check_authority(certificate, below)
        _check_purposes(certificate)
        # A root is trusted for its key, not for its signature (RFC 5280 6.1.1 (d)): its hash does not matter.
        if certificate != path[-1] and isinstance(certificate.signature_hash_algorithm, SHA1 | MD5):
            raise CertificateError(f"{in_words(certificate)} is signed with a hash that no verifier takes any more.")
    for certificate, above in zip(path, (*path[1:], path[-1]), strict=True):
        if not signed_by(certificate, above):
            raise CertificateError(f"{in_words(certificate)} was not signed by {in_words(above)}.")


def _check_authority(certificate: x509.Certificate, below: int) -> None:
    name, basic = in_words(certificate), found(certificate, x509.BasicConstraints)
    usage = found(certificate, x509.KeyUsage)
    # RFC 5280 4.2.1.9 and 4.2.1.3: cA must be set, and keyCertSign where there is a keyUsage.
    if basic is None or not basic.value.ca or (usage is not None and not usage.value.key_cert_sign):
        raise CertificateError(f"{name} is not the certificate of a CA: it may sign no others.")
    # It counts the CAs below this one, the leaf not included (RFC 5280 4.2.1.9).
    length = basic.value.path_length
    if length is not None and length < below:
        raise CertificateError(f"{name} allows {length} CAs below it, and here are {below}.")


def _check_purposes(certificate: x509.Certificate) -> None:
    purposes = found(certificate, x509.ExtendedKeyUsage)
    # RFC 5280 does not ask for it, but browsers and Windows apply a CA's purposes to what is below it.
    good = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and good.isdisjoint(purposes.value):
        raise CertificateError(f"What {in_words(certificate)} signs is not for web servers: its purposes are others.")


def check_dates(path: Path, now: datetime) -> None:
    """Raise CertificateError unless every certificate is in its time."""
    for certificate in path:
        if now < certificate.not_valid_before_utc:
            begin = certificate.not_valid_before_utc
            raise CertificateError(f"{in_words(certificate)} is not valid before {begin:%Y-%m-%d}.")
        if now >= certificate.not_valid_after_utc:
            raise CertificateError(f"{in_words(certificate)} ended on {certificate.not_valid_after_utc:%Y-%m-%d}.")


def limits_of(path: Path) -> tuple[x509.NameConstraints, ...]:
    """Return the name constraints along the path, those nearest to the leaves first."""
    limits = (found(certificate, x509.NameConstraints) for certificate in path)
    return tuple(each.value for each in limits if each is not None)


def permitted_names(path: Path) -> tuple[str, ...]:
    """Return the DNS names that the constraints nearest to the leaves permit; () = there are no such limits."""
    for limits in limits_of(path):
        if names := _names(limits.permitted_subtrees):
            return names
    return ()


def allows_zone(path: Path, zone: str) -> bool:
    """Say whether every name of `zone`, the bare one included, may stand in a leaf."""
    for limits in limits_of(path):
        # RFC 5280 6.1.4 (g): along the path permitted subtrees intersect, and excluded ones add up.
        permitted, excluded = _names(limits.permitted_subtrees), _names(limits.excluded_subtrees)
        if permitted and not any(_covers(name, zone) for name in permitted):
            return False
        # Also where a part of the zone is excluded: every name in a zone must be good.
        if any(_covers(name, zone) or is_below(name.removeprefix("."), zone) for name in excluded):
            return False
    return True


def _covers(name: str, zone: str) -> bool:
    # With a leading dot verifiers refuse the bare name, which a zone has as well.
    return is_below(zone, name) if not name.startswith(".") else zone.endswith(name)


def allows_loopback(path: Path) -> bool:
    """Say whether 127.0.0.1 and ::1 may stand in a leaf."""
    for limits in limits_of(path):
        trees = [each.value for each in limits.permitted_subtrees or () if isinstance(each, x509.IPAddress)]
        networks = [each for each in trees if isinstance(each, IPv4Network | IPv6Network)]
        if networks and not all(any(address in network for network in networks) for address in _LOOPBACK):
            return False
        if any(isinstance(each, x509.IPAddress) for each in limits.excluded_subtrees or ()):
            return False
    return True


def is_name_constrained(path: Path) -> bool:
    """Say whether name constraints limit an attacker who has the issuer's key."""
    return bool(permitted_names(path))


def may_sign_crls(certificate: x509.Certificate) -> bool:
    """Say whether verifiers take CRLs that this CA signed."""
    usage = found(certificate, x509.KeyUsage)
    # RFC 5280 6.3.3 (f): cRLSign is asked for only where there is a keyUsage.
    return usage is None or usage.value.crl_sign


def issuer_id(certificate: x509.Certificate) -> str:
    """Return eight hex digits that tell this certificate from every other, also one for the same key."""
    return certificate.fingerprint(SHA256()).hex()[:8]


def _names(trees: Iterable[x509.GeneralName] | None) -> tuple[str, ...]:
    return tuple(tree.value.lower() for tree in trees or () if isinstance(tree, x509.DNSName) and tree.value)
