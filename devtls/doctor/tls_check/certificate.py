"""A certificate as facts: read once, with all its text made safe to print.

Owns the reading. Refuses bytes that are no certificate (CertificateError); extensions that cannot be read are a fact
too (`broken`), since such certificates are sent in earnest and a browser has an opinion about them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from devtls.config.lines import visible
from devtls.errors import CertificateError
from devtls.system.changes.truststore.root import fingerprint_of

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for bytes that are not what they should be."""

_LONGEST_TEXT = 80
_NAMELESS = "a certificate without a name"
_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


def read_certificate(der: bytes) -> Certificate:
    """Return the certificate in `der`; raises CertificateError when there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is unusual in it is for a verifier to say
            raw = x509.load_der_x509_certificate(der)
            # What is read late would fail late: without these there is nothing to judge.
            _ = raw.subject, raw.issuer, raw.not_valid_before_utc, raw.not_valid_after_utc, raw.serial_number
            return Certificate(der, raw)
    except UNREADABLE as error:
        raise CertificateError(f"This certificate cannot be read: {shortened(str(error))}.") from error


def shortened(text: str) -> str:
    """Return text from a certificate or a server as a part of a sentence: escaped, one line, bounded."""
    shown = visible(text[: _LONGEST_TEXT + 1])
    return shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 1] + "…"


@dataclass(frozen=True)
class Certificate:
    """One certificate; `raw` is for verifiers, everything else for people and rules."""

    der: bytes
    raw: x509.Certificate

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER in lower-case hex."""
        return fingerprint_of(self.der)

    @cached_property
    def broken(self) -> str:
        """Why the extensions cannot be read ("" = they can)."""
        return self._extensions[1]

    @cached_property
    def _extensions(self) -> tuple[tuple[x509.Extension[x509.ExtensionType], ...], str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return tuple(self.raw.extensions), ""
        except UNREADABLE as error:
            return (), shortened(str(error))

    def _value(self, kind: type[_ExtensionT]) -> _ExtensionT | None:
        return next((each.value for each in self._extensions[0] if isinstance(each.value, kind)), None)

    @cached_property
    def subject(self) -> str:
        """Its subject in a few words: common name, organisation or first alternative name."""
        return _in_words(self.raw, "subject") or next(iter(self.names), _NAMELESS)

    @cached_property
    def issuer(self) -> str:
        """Its issuer, as it says itself."""
        return _in_words(self.raw, "issuer") or _NAMELESS

    @cached_property
    def common_name(self) -> str:
        """The common name ("" = none)."""
        return _attribute(self.raw, "subject", NameOID.COMMON_NAME)

    @property
    def not_before(self) -> datetime:
        """The begin of its validity."""
        return self.raw.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """The end of its validity."""
        return self.raw.not_valid_after_utc

    def valid_at(self, now: datetime) -> bool:
        """Say whether `now` lies in its validity."""
        return self.not_before <= now <= self.not_after

    @cached_property
    def has_names(self) -> bool:
        """Whether there are alternative names at all."""
        return self._value(x509.SubjectAlternativeName) is not None

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS names, lower-case, as they stand there (not escaped: for comparing)."""
        value = self._value(x509.SubjectAlternativeName)
        return tuple(name.lower() for name in value.get_values_for_type(x509.DNSName)) if value else ()

    @cached_property
    def ip_addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """The IP addresses."""
        value = self._value(x509.SubjectAlternativeName)
        found = value.get_values_for_type(x509.IPAddress) if value else []
        return tuple(each for each in found if isinstance(each, IPv4Address | IPv6Address))

    @property
    def names(self) -> tuple[str, ...]:
        """DNS names and addresses, for people."""
        return tuple(shortened(str(name)) for name in (*self.dns_names, *self.ip_addresses))

    @cached_property
    def is_ca(self) -> bool:
        """Whether it says that it may sign certificates."""
        value = self._value(x509.BasicConstraints)
        return bool(value and value.ca)

    @cached_property
    def path_length(self) -> int | None:
        """The number of CAs that may stand below it; None = any number."""
        value = self._value(x509.BasicConstraints)
        return value.path_length if value else None

    @cached_property
    def may_sign(self) -> bool:
        """Whether its key usage, if it has one, lets it sign certificates."""
        value = self._value(x509.KeyUsage)
        # No key usage at all restricts nothing (RFC 5280 section 4.2.1.3).
        return value is None or value.key_cert_sign

    @cached_property
    def purposes(self) -> tuple[x509.ObjectIdentifier, ...] | None:
        """The extended key usages; None = there are none, which means any."""
        value = self._value(x509.ExtendedKeyUsage)
        return tuple(value) if value is not None else None

    @property
    def serves(self) -> bool:
        """Whether its purposes let it stand for a server."""
        allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        return self.purposes is None or not allowed.isdisjoint(self.purposes)

    @cached_property
    def unknown_critical(self) -> tuple[str, ...]:
        """Extensions that must be understood and that nobody knows."""
        found = [each for each in self._extensions[0] if each.critical]
        return tuple(each.oid.dotted_string for each in found if isinstance(each.value, x509.UnrecognizedExtension))

    @cached_property
    def names_ignorable(self) -> bool:
        """Whether the subject is empty and the alternative names are not critical (RFC 5280 4.1.2.6 forbids it)."""
        found = [each for each in self._extensions[0] if isinstance(each.value, x509.SubjectAlternativeName)]
        # RFC 5280 section 4.2.1.6: with an empty subject the extension must be critical.
        return any(not each.critical for each in found) and not _in_words(self.raw, "subject")

    @cached_property
    def wants_staple(self) -> bool:
        """Whether it demands a stapled OCSP answer."""
        return self._value(x509.TLSFeature) is not None

    @cached_property
    def name_constraints(self) -> x509.NameConstraints | None:
        """The names that may stand below it."""
        return self._value(x509.NameConstraints)

    @cached_property
    def crl_urls(self) -> tuple[str, ...]:
        """The addresses of its issuer's CRLs."""
        points = self._value(x509.CRLDistributionPoints) or ()
        return tuple(
            name.value
            for point in points
            for name in point.full_name or ()
            if isinstance(name, x509.UniformResourceIdentifier)
        )

    @property
    def ocsp_urls(self) -> tuple[str, ...]:
        """The OCSP responders of its issuer."""
        return self._access(AuthorityInformationAccessOID.OCSP)

    @property
    def issuer_urls(self) -> tuple[str, ...]:
        """The addresses of its issuer's certificate."""
        return self._access(AuthorityInformationAccessOID.CA_ISSUERS)

    def _access(self, method: x509.ObjectIdentifier) -> tuple[str, ...]:
        described = [
            each for each in self._value(x509.AuthorityInformationAccess) or () if each.access_method == method
        ]
        places = [each.access_location for each in described]
        return tuple(place.value for place in places if isinstance(place, x509.UniformResourceIdentifier))

    @cached_property
    def key_id(self) -> bytes | None:
        """The identifier of its own key."""
        value = self._value(x509.SubjectKeyIdentifier)
        return value.digest if value else None

    @cached_property
    def issuer_key_id(self) -> bytes | None:
        """The identifier of the key that signed it."""
        value = self._value(x509.AuthorityKeyIdentifier)
        return value.key_identifier if value else None

    @cached_property
    def key(self) -> tuple[str, int]:
        """Kind and size of its key: ("RSA", 2048), ("P-256", 256), ("Ed25519", 256), ("unknown", 0)."""
        try:
            key = self.raw.public_key()
        except UNREADABLE:
            return "unknown", 0
        match key:
            case rsa.RSAPublicKey():
                return "RSA", key.key_size
            case ec.EllipticCurvePublicKey():
                return _CURVES.get(key.curve.name, key.curve.name), key.key_size
            case dsa.DSAPublicKey():
                return "DSA", key.key_size
            case ed25519.Ed25519PublicKey():
                return "Ed25519", 256
            case ed448.Ed448PublicKey():
                return "Ed448", 448
            case _:
                return "unknown", 0

    @cached_property
    def signature_hash(self) -> str:
        """The hash that its signature is made over ("" = none of its own, or unknown)."""
        try:
            algorithm = self.raw.signature_hash_algorithm
        except UNREADABLE:
            return ""
        return algorithm.name if algorithm else ""

    def is_signed_by(self, other: Certificate) -> bool:
        """Say whether the key of `other` made the signature, and its name is the issuer's."""
        return issued_by(self.raw, other.raw)

    @cached_property
    def self_signed(self) -> bool:
        """Whether its own key signed it."""
        return self.is_signed_by(self)


_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def _attribute(certificate: x509.Certificate, whose: str, oid: x509.ObjectIdentifier) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = getattr(certificate, whose).get_attributes_for_oid(oid)
    except ValueError:  # a name that is not encoded as it says
        return ""
    return shortened(str(found[0].value)) if found else ""


def _in_words(certificate: x509.Certificate, whose: str) -> str:
    kinds = (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME)
    return next((text for kind in kinds if (text := _attribute(certificate, whose, kind))), "")


RsaPadding = padding.PKCS1v15 | padding.PSS


def holds(
    signer: x509.Certificate,
    signature: bytes,
    content: bytes,
    algorithm: HashAlgorithm | None,
    rsa_padding: RsaPadding | None = None,
) -> bool:
    """Say whether the key of `signer` made `signature` over `content`; False for kinds of keys that sign nothing."""
    try:
        match signer.public_key():
            case rsa.RSAPublicKey() as key if algorithm is not None:
                key.verify(signature, content, rsa_padding or padding.PKCS1v15(), algorithm)
            case ec.EllipticCurvePublicKey() as key if algorithm is not None:
                key.verify(signature, content, ec.ECDSA(algorithm))
            case dsa.DSAPublicKey() as key if algorithm is not None:
                key.verify(signature, content, algorithm)
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey() as key:
                key.verify(signature, content)
            case _:
                return False
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether the key of `issuer` signed `certificate`, and its name stands there as the issuer's."""
    try:
        algorithm, parameters = certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters
        # RFC 5280 section 6.1.3 (a)(4): the names chain, not only the keys.
        if certificate.issuer != issuer.subject:
            return False
    except (ValueError, UnsupportedAlgorithm):
        return False
    rsa_padding = parameters if isinstance(parameters, RsaPadding) else None
    return holds(issuer, certificate.signature, certificate.tbs_certificate_bytes, algorithm, rsa_padding)
