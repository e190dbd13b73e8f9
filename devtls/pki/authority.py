"""The development CA: a root without a key, one intermediate, and the leaves it issues.

Owns the promise that every certificate is for a name inside the zones. Refuses every other name, a CA whose parts do
not belong together, and a clock outside the CA's life.
Strategy: `create_authority` signs one intermediate and the root's only revocation list, and returns nothing that
holds the root's key; what the zones are is read from the certificate's own constraints, so no second record can
disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from devtls.errors import CertificateError, NameNotPermitted
from devtls.names import LOCALHOST, Hostname, zone_of
from devtls.pki.profile import (
    LOOPBACK_ADDRESSES,
    PROFILE,
    LeafIssuer,
    build_intermediate,
    build_leaf,
    build_root,
    crl_url,
    distribution_point,
    key_identifier,
    short_id,
    whole_seconds,
)
from devtls.pki.revocation import build_crl, load_crl

_NEW_CA = "devtls untrust --forget, then devtls trust"

_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_ExtensionT]) -> _ExtensionT:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateError(f"A certificate of the CA lacks its {kind.__name__}.", hint=_NEW_CA) from error


def _is_constrained(certificate: x509.Certificate) -> bool:
    """Say whether names and networks are limited: either kind alone leaves the other open."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    kinds = {type(tree) for tree in constraints.value.permitted_subtrees or ()}
    return constraints.critical and {x509.DNSName, x509.IPAddress} <= kinds


class Leaf(msgspec.Struct, frozen=True):
    """One server certificate with its key: PEM texts ready to be loaded."""

    names: tuple[str, ...]
    chain_pem: bytes
    key_pem: bytes
    not_before: datetime
    not_after: datetime
    serial: int

    def __repr__(self) -> str:
        # A leaf may be printed, its key never.
        return f"Leaf({', '.join(self.names)}; serial {self.serial:x}; until {self.not_after:%Y-%m-%d %H:%M})"

    def usable(self, now: datetime) -> bool:
        """Say whether the leaf may still be served: valid, and before two thirds of its life."""
        return self.not_before <= now < self.not_before + (self.not_after - self.not_before) * 2 / 3

    @property
    def pem(self) -> bytes:
        """Leaf, intermediate and key in one text."""
        return self.chain_pem + self.key_pem


class Intermediate(msgspec.Struct, frozen=True):
    """What signs leaves, the list of revoked leaves, and OCSP answers."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Authority(msgspec.Struct, frozen=True, dict=True):
    """A CA as it stands on disk: everything but the root's key, which no longer exists."""

    root: x509.Certificate
    intermediate: Intermediate
    root_crl_der: bytes
    pki_port: int

    @cached_property
    def id(self) -> str:
        """Eight hex digits of the root's key identifier: the CA's name in files and URLs."""
        return short_id(_extension(self.root, x509.SubjectKeyIdentifier))

    @cached_property
    def zones(self) -> tuple[Hostname, ...]:
        """The zones, as the root's constraints name them, in the order in which they were given."""
        permitted = _extension(self.root, x509.NameConstraints).permitted_subtrees or []
        return tuple(Hostname(tree.value) for tree in permitted if isinstance(tree, x509.DNSName))

    @cached_property
    def root_der(self) -> bytes:
        """The root certificate, DER."""
        return self.root.public_bytes(Encoding.DER)

    @cached_property
    def root_pem(self) -> bytes:
        """The root certificate, PEM."""
        return self.root.public_bytes(Encoding.PEM)

    @cached_property
    def intermediate_pem(self) -> bytes:
        """The intermediate certificate, PEM."""
        return self.intermediate.certificate.public_bytes(Encoding.PEM)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the root's DER: 64 lower-case hex digits."""
        return self.root.fingerprint(SHA256()).hex()

    @property
    def root_crl_path(self) -> str:
        """Where the root's revocation list is on the PKI port."""
        return f"/root-{self.id}.crl"

    @property
    def intermediate_crl_path(self) -> str:
        """Where the intermediate's revocation list is on the PKI port."""
        return f"/intermediate-{self.id}.crl"

    @cached_property
    def leaf_issuer(self) -> LeafIssuer:
        """What all leaves share."""
        certificate = self.intermediate.certificate
        identifier = _extension(certificate, x509.SubjectKeyIdentifier)
        return LeafIssuer(
            name=certificate.subject,
            authority=x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            crl=distribution_point(crl_url(self.pki_port, self.intermediate_crl_path)),
            key=self.intermediate.key,
        )

    def permits(self, name: str) -> bool:
        """Say whether `name` (lower-case A-labels) lies in one of the zones."""
        return zone_of(name, self.zones) is not None

    def issue(self, name: Hostname, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
        """Return a leaf for `name`; raises NameNotPermitted, or CertificateError outside the life of the CA."""
        if not self.permits(name):
            raise NameNotPermitted(
                f"{name!r} lies in none of this CA's zones ({', '.join(self.zones)}).",
                name=name,
                hint="devtls untrust --forget, then devtls trust --zone ZONE: a new zone needs a new CA",
            )
        return self._issue((x509.DNSName(name),), now=now, key=key, serial=serial)

    def issue_default(self, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
        """Return the leaf for clients that name nobody: localhost (if it is a zone of ours), 127.0.0.1, ::1."""
        names: list[x509.GeneralName] = [x509.DNSName(LOCALHOST)] if self.permits(LOCALHOST) else []
        names += [x509.IPAddress(address) for address in LOOPBACK_ADDRESSES]
        return self._issue(names, now=now, key=key, serial=serial)

    def _issue(
        self, names: Sequence[x509.GeneralName], *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int
    ) -> Leaf:
        self._check_dates(now)
        end = self.intermediate.certificate.not_valid_after_utc
        start = whole_seconds(now)
        return sign_leaf(
            self,
            names,
            not_before=start - PROFILE.backdate,
            not_after=min(start + PROFILE.leaf_lifetime, end),
            key=key,
            serial=serial,
        )

    def intermediate_crl(
        self, *, number: int, this_update: datetime, revoked: Iterable[x509.RevokedCertificate] = ()
    ) -> bytes:
        """Return the intermediate's revocation list, DER, good for seven days from `this_update`."""
        crl = build_crl(
            self.intermediate.certificate,
            self.intermediate.key,
            number=number,
            this_update=this_update,
            next_update=this_update + PROFILE.crl_lifetime,
            revoked=revoked,
        )
        return crl.public_bytes(Encoding.DER)

    def check(self, now: datetime) -> None:
        """Raise CertificateError unless all parts belong together and `now` is inside the CA's life."""
        self._check_parts()
        self._check_constraints()
        self._check_dates(now)

    def _check_parts(self) -> None:
        certificate = self.intermediate.certificate
        if certificate.public_key() != self.intermediate.key.public_key():
            raise CertificateError("The intermediate's key does not belong to its certificate.", hint=_NEW_CA)
        try:
            self.root.verify_directly_issued_by(self.root)
            certificate.verify_directly_issued_by(self.root)
        except (InvalidSignature, ValueError, TypeError) as error:
            raise CertificateError("The intermediate was not signed by this root.", hint=_NEW_CA) from error
        root_key = self.root.public_key()
        if not isinstance(root_key, ec.EllipticCurvePublicKey):
            raise CertificateError("The root's key is not an elliptic curve key.", hint=_NEW_CA)
        if not load_crl(self.root_crl_der).is_signature_valid(root_key):
            raise CertificateError("The root's revocation list was not signed by this root.", hint=_NEW_CA)

    def _check_constraints(self) -> None:
        for role, certificate in (("root", self.root), ("intermediate", self.intermediate.certificate)):
            if not _is_constrained(certificate):
                raise CertificateError(
                    f"The {role} could speak for names outside of development: its constraints are missing.",
                    hint=_NEW_CA,
                )
        if _extension(self.root, x509.NameConstraints) != _extension(
            self.intermediate.certificate, x509.NameConstraints
        ):
            raise CertificateError("Root and intermediate are constrained to different zones.", hint=_NEW_CA)

    def _check_dates(self, now: datetime) -> None:
        certificate = self.intermediate.certificate
        if now < certificate.not_valid_before_utc:
            raise CertificateError(
                f"The clock says {now:%Y-%m-%d}, but the CA was made on {certificate.not_valid_before_utc:%Y-%m-%d}.",
                hint="Set the clock of this machine right.",
            )
        if now >= certificate.not_valid_after_utc:
            raise CertificateError(f"The CA ended on {certificate.not_valid_after_utc:%Y-%m-%d}.", hint=_NEW_CA)


def sign_leaf(
    authority: Authority,
    names: Sequence[x509.GeneralName],
    *,
    not_before: datetime,
    not_after: datetime,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
) -> Leaf:
    """Sign a leaf without asking whether its names are permitted: for `Authority.issue` and the trust proof alone."""
    certificate = build_leaf(
        authority.leaf_issuer, key.public_key(), names, not_before=not_before, not_after=not_after, serial=serial
    )
    return Leaf(
        names=tuple(str(name.value) for name in names),
        chain_pem=certificate.public_bytes(Encoding.PEM) + authority.intermediate_pem,
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        not_before=not_before,
        not_after=not_after,
        serial=serial,
    )


def create_authority(
    zones: Iterable[Hostname],
    *,
    now: datetime,
    pki_port: int,
    root_key: ec.EllipticCurvePrivateKey,
    intermediate_key: ec.EllipticCurvePrivateKey,
    root_serial: int,
    intermediate_serial: int,
) -> Authority:
    """Return a new CA for `zones`. The caller forgets `root_key`: nothing in the result holds it.

    The root's revocation list is good until the root's end, since nobody can sign a second one.
    """
    zones = tuple(zones)
    if not zones:
        raise CertificateError("A CA needs at least one zone.", hint="devtls trust --zone dev.local")
    start, end = whole_seconds(now) - PROFILE.backdate, whole_seconds(now) + PROFILE.root_lifetime
    root = build_root(root_key, zones=zones, not_before=start, not_after=end, serial=root_serial)
    root_crl = f"/root-{short_id(key_identifier(root_key.public_key()))}.crl"
    certificate = build_intermediate(
        intermediate_key.public_key(),
        root,
        root_key,
        zones=zones,
        serial=intermediate_serial,
        crl=crl_url(pki_port, root_crl),
    )
    crl = build_crl(root, root_key, number=1, this_update=start, next_update=end)
    return Authority(
        root=root,
        intermediate=Intermediate(certificate=certificate, key=intermediate_key),
        root_crl_der=crl.public_bytes(Encoding.DER),
        pki_port=pki_port,
    )
