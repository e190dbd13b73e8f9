"""The intermediates of a CA: which certificates each of them signs, and what a stolen one could be used for.

Owns the list by purpose: for each purpose the first that fits signs, whatever comes behind it in the list. Refuses a
key that does not belong, a purpose that the certificate does not have, and constraints that leave names or networks
open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.errors import CertificateError
from devtls.pki.ca_chain import found, identifier_of
from devtls.pki.leaf import NEW_CA
from devtls.pki.names_in_certificates import Kind
from devtls.pki.profile import Purpose, short_id

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

SERVER_INTERMEDIATE, CLIENT_INTERMEDIATE = "intermediate", "client-intermediate"
"""What the intermediates of a new CA are called in file names and URLs."""

_NAMES = {"server": SERVER_INTERMEDIATE, "client": CLIENT_INTERMEDIATE, "any": SERVER_INTERMEDIATE}
_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}

_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


class Intermediate(msgspec.Struct, frozen=True):
    """A CA certificate and key that sign leaves, their CRL, and OCSP responses.

    `name` tells it from the others of its CA: its files, its CRL's URL and the register's lines carry it.
    """

    certificate: x509.Certificate
    key: IssuerKey
    purpose: Purpose = "any"
    name: str = SERVER_INTERMEDIATE

    @property
    def id(self) -> str:
        """Eight hex digits of its key's identifier."""
        return short_id(identifier_of(self.certificate))

    def signs(self, kind: Kind) -> bool:
        """Say whether verifiers take certificates of that kind from it."""
        return is_for(self.certificate, kind)

    def check(self) -> None:
        """Raise CertificateError unless key and certificate are a pair, and the purpose is the certificate's."""
        if self.certificate.public_key() != self.key.public_key():
            raise CertificateError("The intermediate's key does not belong to its certificate.", hint=NEW_CA)
        if self.purpose != "any":
            wanted = [_USAGES[self.purpose]]
            if list(extension_of(self.certificate, x509.ExtendedKeyUsage)) != wanted:
                raise CertificateError(f"The {self.name} is not for {self.purpose}s alone.", hint=NEW_CA)


def intermediate_name(purpose: Purpose) -> str:
    """Return what the intermediate of a new CA for `purpose` is called."""
    return _NAMES[purpose]


def is_for(certificate: x509.Certificate, kind: Kind) -> bool:
    """Say whether what a CA signs may be of that kind."""
    usages = found(certificate, x509.ExtendedKeyUsage)
    # A CA that was made elsewhere may have no purposes, which means all of them (RFC 5280 4.2.1.12).
    return usages is None or not {_USAGES[kind], ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}.isdisjoint(usages.value)


def extension_of(certificate: x509.Certificate, kind: type[_ExtensionT]) -> _ExtensionT:
    """Return an extension that a certificate of ours has; raises CertificateError."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateError(f"A certificate of the CA lacks its {kind.__name__}.", hint=NEW_CA) from error


def is_constrained(certificate: x509.Certificate) -> bool:
    """Say whether names and networks are limited: either kind alone leaves the other open."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    # Not critical, they could be ignored by a verifier that does not know them (RFC 5280 4.2).
    return constraints.critical and {x509.DNSName, x509.IPAddress} <= constrained_kinds(constraints.value)


def constrained_kinds(constraints: x509.NameConstraints) -> set[type[x509.GeneralName]]:
    """Return the kinds of names that are limited."""
    # RFC 5280 4.2.1.10: a kind of name that no permitted subtree mentions is not limited at all.
    return {type(tree) for tree in constraints.permitted_subtrees or ()}


def profile_gaps(root: x509.Certificate, intermediates: Iterable[Intermediate]) -> Iterator[str]:
    """Yield what a CA that an earlier devtls made lacks, as sentences; a renewal gives it that."""
    limited = constrained_kinds(extension_of(root, x509.NameConstraints))
    if not {x509.RFC822Name, x509.UniformResourceIdentifier} <= limited:
        yield "Mail addresses and URIs (SPIFFE) are not limited: an attacker with its key could certify any."
    if any(each.purpose == "any" for each in intermediates):
        yield "One intermediate signs for servers and clients alike; a new CA has one for each."
