"""The development CA: a root without a key, its intermediates by purpose, and the leaves they issue.

Owns the promise that every certificate is for a name inside the zones. Refuses every other name, a CA whose parts do
not belong together, and a clock outside the CA's life.
Strategy: `create_authority` signs the intermediates and the root's only CRL, and returns nothing that
holds the root's key; what the zones are is read from the certificate's own constraints, so no second record can
disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import CertificateError
from devtls.names import Hostname
from devtls.pki.ca_chain import (
    allows_loopback,
    check_path,
    identifier_of,
    is_name_constrained,
    issuer_id,
    may_sign_crls,
)
from devtls.pki.intermediate import Intermediate, extension_of, intermediate_name, is_constrained, profile_gaps
from devtls.pki.leaf import NEW_CA, PROFILE, Leaf, Signer, crl_path, crl_url, sign_leaf, whole_seconds
from devtls.pki.names_in_certificates import Kind
from devtls.pki.profile import Purpose, build_intermediate, build_root, key_identifier, short_id
from devtls.pki.register import History, RecordedKind
from devtls.pki.revocation import build_crl, load_crl
from devtls.pki.signature import ECDSA_SHA256, SignatureScheme

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

RSA_SHA256 = SignatureScheme(
    bytes.fromhex("300d06092a864886f70d01010b0500"), lambda key, content: bytes(key.sign(content, PKCS1v15(), SHA256()))
)
"""sha256WithRSAEncryption (RFC 4055 5), for the key of a CA that was made elsewhere."""


class Authority(msgspec.Struct, frozen=True, dict=True):
    """A CA as it stands on disk: everything but the root's key, which is dropped or kept elsewhere.

    `intermediate` signs for servers, `others` are the further ones, such as that for clients. A CA that an earlier
    devtls made has one for both. One that was imported may have certificates `between` intermediate and root, or be a
    root that signs leaves itself; its zones are its `limits`, whatever its constraints say.
    """

    root: x509.Certificate
    intermediate: Intermediate
    root_crl_der: bytes
    pki_port: int
    between: tuple[x509.Certificate, ...] = ()
    limits: tuple[Hostname, ...] = ()
    others: tuple[Intermediate, ...] = ()

    @cached_property
    def id(self) -> str:
        """Eight hex digits of the root's key identifier: the CA's name in files and URLs."""
        return short_id(identifier_of(self.root))

    @property
    def imported(self) -> bool:
        """Whether it was made elsewhere."""
        return bool(self.limits)

    @cached_property
    def generation(self) -> str:
        """The name of its directory: an imported CA is told from the one before by the certificate that signs."""
        return f"ca-{issuer_id(self.intermediate.certificate) if self.imported else self.id}"

    @property
    def intermediates(self) -> tuple[Intermediate, ...]:
        """Every intermediate whose key is here."""
        return (self.intermediate, *self.others)

    @cached_property
    def _issuers(self) -> dict[RecordedKind, Intermediate]:
        kinds: tuple[Kind, ...] = ("server", "client")
        found = {kind: next((each for each in self.intermediates if each.signs(kind)), None) for kind in kinds}
        return {kind: each for kind, each in found.items() if each is not None}

    def issuer_for(self, kind: Kind) -> Intermediate:
        """Return the intermediate that signs certificates of that kind; raises CertificateError when none does."""
        if kind in self._issuers:
            return self._issuers[kind]
        raise CertificateError(
            f"This CA was imported, and its certificate is not for {kind}s: they would be refused everywhere.",
            hint="devtls ca renew makes a CA that signs for servers and for clients",
        )

    @cached_property
    def path(self) -> tuple[x509.Certificate, ...]:
        """The certificates from the one that signs servers' leaves up to the root."""
        return self.path_of(self.intermediate)

    def path_of(self, issuer: Intermediate) -> tuple[x509.Certificate, ...]:
        """Return the certificates from that of an intermediate up to the root."""
        # An imported root that signs leaves itself is both ends of the path, and counts once.
        return tuple(dict.fromkeys((issuer.certificate, *self.between, self.root)))

    @cached_property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """Every CA certificate of it, the root last."""
        others = (each.certificate for each in self.others)
        return tuple(dict.fromkeys((self.intermediate.certificate, *others, *self.between, self.root)))

    @cached_property
    def profile_gaps(self) -> tuple[str, ...]:
        """What a new CA has and this one, which an earlier devtls made, has not."""
        # What an imported one lacks is its maker's choice, and was shown when it was imported.
        return () if self.imported else tuple(profile_gaps(self.root, self.intermediates))

    @property
    def name_constrained(self) -> bool:
        """Whether constraints limit what an attacker could do with it."""
        return is_name_constrained(self.path)

    @property
    def signs_crls(self) -> bool:
        """Whether its certificate lets it sign CRLs."""
        return may_sign_crls(self.intermediate.certificate)

    @cached_property
    def zones(self) -> tuple[Hostname, ...]:
        """The zones, as the root's constraints name them, in the order in which they were given."""
        if self.limits:
            return self.limits
        permitted = extension_of(self.root, x509.NameConstraints).permitted_subtrees or []
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
        """The rest of a server's chain: every certificate between leaf and root, PEM."""
        return self.chain_pem(self.intermediate)

    def chain_pem(self, issuer: Intermediate) -> bytes:
        """Return every certificate from that of an intermediate up to the root, without it, PEM."""
        # RFC 8446 4.4.2: the root may be left out, since a client that trusts it has it.
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.path_of(issuer)[:-1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the root's DER: 64 lower-case hex digits."""
        return self.root.fingerprint(SHA256()).hex()

    @property
    def not_after(self) -> datetime:
        """When the first of root and the intermediates that sign ends."""
        # A chain is good only while all of it is.
        return min(one.not_valid_after_utc for each in self._issuers.values() for one in self.path_of(each))

    @property
    def root_crl_path(self) -> str:
        """Where the root's CRL is on the PKI port."""
        return crl_path("root", self.id)

    @property
    def intermediate_crl_path(self) -> str:
        """Where the CRL of the intermediate for servers is on the PKI port."""
        return self.crl_path_of(self.intermediate)

    def crl_path_of(self, issuer: Intermediate) -> str:
        """Return where an intermediate's CRL is on the PKI port."""
        return crl_path(issuer.name, self.generation.removeprefix("ca-"))

    @cached_property
    def signer(self) -> Signer:
        """The part that mints leaves."""
        certificate = self.intermediate.certificate
        return Signer(
            id=self.id,
            fingerprint=self.fingerprint,
            zones=self.zones,
            pki_port=self.pki_port,
            # As it is encoded there: many verifiers compare issuer and subject byte by byte.
            name=certificate.subject.public_bytes(),
            identifier=identifier_of(certificate).digest,
            not_before=max(each.not_valid_before_utc for each in self.path),
            not_after=self.not_after,
            root_pem=self.root_pem,
            intermediate_pem=self.intermediate_pem,
            key=self.intermediate.key,
            scheme=RSA_SHA256 if isinstance(certificate.public_key(), rsa.RSAPublicKey) else ECDSA_SHA256,
            generation=self.generation,
            signs_crls=self.signs_crls,
            addresses=allows_loopback(self.path),
        )

    def permits(self, name: str) -> bool:
        """Say whether `name` (lower-case A-labels) lies in one of the zones."""
        return self.signer.permits(name)

    def issue(self, name: Hostname, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
        """Return a leaf for `name`, as `Signer.issue` does."""
        return self.signer.issue(name, now=now, key=key, serial=serial)

    def issue_default(self, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
        """Return the leaf for clients without SNI, as `Signer.issue_default` does."""
        return self.signer.issue_default(now=now, key=key, serial=serial)

    def serials_of(self, issuer: Intermediate, history: History) -> frozenset[str]:
        """Return the serial numbers in a register of what an intermediate signed."""

        # Lines from before a CA had several intermediates name none; whatever fits none is that for servers'.
        def is_its(serial: str) -> bool:
            name, kind = history.issuer_of(serial)
            return kind != "intermediate" and issuer.name == (name or self._issuers.get(kind, self.intermediate).name)

        return frozenset(filter(is_its, (*history.issued, *history.revoked)))

    def intermediate_crl(
        self,
        *,
        number: int,
        this_update: datetime,
        revoked: Iterable[x509.RevokedCertificate] = (),
        issuer: Intermediate | None = None,
    ) -> bytes:
        """Return an intermediate's CRL (None = that for servers), DER, good for seven days from `this_update`."""
        issuer = issuer or self.intermediate
        crl = build_crl(
            issuer.certificate,
            issuer.key,
            number=number,
            this_update=this_update,
            next_update=this_update + PROFILE.crl_lifetime,
            revoked=revoked,
        )
        return crl.public_bytes(Encoding.DER)

    def root_crl(
        self, root_key: IssuerKey, *, number: int, this_update: datetime, revoked: Iterable[x509.RevokedCertificate]
    ) -> bytes:
        """Return a CRL of the root, DER, good until the root's end, as the first one is.

        Raises CertificateError for a key that is not the root's.
        """
        self.check_root_key(root_key)
        end = self.root.not_valid_after_utc
        crl = build_crl(self.root, root_key, number=number, this_update=this_update, next_update=end, revoked=revoked)
        return crl.public_bytes(Encoding.DER)

    def check_root_key(self, root_key: IssuerKey) -> None:
        """Raise CertificateError unless `root_key` is the root's."""
        if self.root.public_key() != root_key.public_key():
            raise CertificateError("The key that was kept is not the root's.")

    @cached_property
    def withdrawn(self) -> x509.RevokedCertificate | None:
        """The line of the root's CRL that is about an intermediate of this CA's own; None while there is none."""
        # The root of an imported CA publishes its own CRL somewhere else.
        if not self.root_crl_der:
            return None
        crl = load_crl(self.root_crl_der)
        # Serial numbers are unique for one issuer only (RFC 5280 4.1.2.2).
        below = (each for each in self.certificates if each != self.root and each.issuer == self.root.subject)
        return next(
            (entry for each in below if (entry := crl.get_revoked_certificate_by_serial_number(each.serial_number))),
            None,
        )

    @property
    def withdrawn_in_words(self) -> str:
        """A sentence about that revocation, "" while there is none."""
        entry = self.withdrawn
        if entry is None:
            return ""
        return (
            f"This machine's own CA was revoked on {entry.revocation_date_utc:%Y-%m-%d} by the holder of the root's "
            "key: programs that check CRLs refuse everything that it signs."
        )

    def check(self, now: datetime) -> None:
        """Raise CertificateError unless all parts belong together and `now` is inside the CA's life."""
        self.check_parts()
        self.signer.check_dates(now)

    def check_parts(self) -> None:
        """Raise CertificateError unless all parts belong together, whatever the date is."""
        for each in self.intermediates:
            each.check()
        if self.imported:
            check_path(self.path)
        else:
            self._check_signatures()
            self._check_constraints()

    def _check_signatures(self) -> None:
        try:
            for certificate in self.certificates:
                certificate.verify_directly_issued_by(self.root)
        except (InvalidSignature, ValueError, TypeError) as error:
            raise CertificateError("The intermediate was not signed by this root.", hint=NEW_CA) from error
        root_key = self.root.public_key()
        if not isinstance(root_key, ec.EllipticCurvePublicKey):
            raise CertificateError("The root's key is not an elliptic curve key.", hint=NEW_CA)
        if not load_crl(self.root_crl_der).is_signature_valid(root_key):
            raise CertificateError("The root's revocation list was not signed by this root.", hint=NEW_CA)

    def _check_constraints(self) -> None:
        roles = [("root", self.root), *((each.name, each.certificate) for each in self.intermediates)]
        for role, certificate in roles:
            if not is_constrained(certificate):
                raise CertificateError(
                    f"The {role} could speak for names outside of development: its constraints are missing.",
                    hint=NEW_CA,
                )
            # Java does not look at a root's constraints: what it enforces has to be what all others enforce.
            if extension_of(certificate, x509.NameConstraints) != extension_of(self.root, x509.NameConstraints):
                raise CertificateError("Root and intermediate are constrained to different zones.", hint=NEW_CA)


class NewKey(msgspec.Struct, frozen=True):
    """A key that is certified now, and the serial number of its certificate."""

    key: ec.EllipticCurvePrivateKey
    serial: int


def create_authority(
    zones: Iterable[Hostname],
    *,
    now: datetime,
    pki_port: int,
    root: NewKey,
    intermediates: Mapping[Purpose, NewKey],
) -> Authority:
    """Return a new CA for `zones`. The caller forgets the root's key: nothing in the result holds it.

    `intermediates` are in the order of the CA's list; the first signs for servers. The root's CRL is good until the
    root's end, since nobody can sign a second one.
    """
    zones = tuple(dict.fromkeys(zones))
    if not zones:
        raise CertificateError("A CA needs at least one zone.", hint="devtls trust --zone dev.local")
    start, end = whole_seconds(now) - PROFILE.backdate, whole_seconds(now) + PROFILE.root_lifetime
    certificate = build_root(root.key, zones=zones, not_before=start, not_after=end, serial=root.serial)
    root_crl = crl_url(pki_port, crl_path("root", short_id(key_identifier(root.key.public_key()))))

    def signed(purpose: Purpose, new: NewKey) -> Intermediate:
        below = build_intermediate(
            new.key.public_key(),
            certificate,
            root.key,
            zones=zones,
            serial=new.serial,
            crl=root_crl,
            purpose=purpose,
        )
        return Intermediate(below, new.key, purpose, intermediate_name(purpose))

    first, *others = (signed(purpose, new) for purpose, new in intermediates.items())
    # Good to the root's end: the key that could sign the next one is dropped now.
    crl = build_crl(certificate, root.key, number=1, this_update=start, next_update=end)
    return Authority(certificate, first, crl.public_bytes(Encoding.DER), pki_port, others=tuple(others))


FOREIGN_NAME = "devtls-probe.invalid"
"""A name that no CA of ours permits and no DNS will ever hold (RFC 6761 6.4)."""


def issue_foreign_probe(authority: Authority, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
    """Return an otherwise perfect leaf for FOREIGN_NAME, valid for five minutes from `now`.

    Every verifier must refuse it: the proof that the name constraints work. It is the one leaf that goes round
    `Signer.issue`; only the trust proof asks for it, and drops the key at once.
    """
    start = whole_seconds(now)
    return sign_leaf(
        authority.signer,
        (FOREIGN_NAME,),
        not_before=start,
        not_after=start + PROFILE.probe_lifetime,
        key=key,
        serial=serial,
    )
