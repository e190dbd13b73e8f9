"""CRLs (RFC 5280 5): building one, reading its number, and when the next is due.

Owns the shape of a CRL. Refuses an issuingDistributionPoint: with one, `openssl verify -crl_check_all` and NSS
reject the CRL; without it a CRL covers everything that its issuer signed, which is what ours do.
Strategy: the number is in the CRL itself (RFC 5280 section 5.2.3), so the last CRL is all the state there is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from devtls.errors import CertificateError
from devtls.pki.ca_chain import identifier_of
from devtls.pki.leaf import whole_seconds
from devtls.pki.register import History, RevocationReason, Revoked
from devtls.pki.signature import deterministic_with

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

REASON_FLAGS: dict[RevocationReason, x509.ReasonFlags] = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "ca-compromise": x509.ReasonFlags.ca_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
    "hold": x509.ReasonFlags.certificate_hold,
    "privilege-withdrawn": x509.ReasonFlags.privilege_withdrawn,
}


def build_crl(
    issuer: x509.Certificate,
    key: IssuerKey,
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    revoked: Iterable[x509.RevokedCertificate] = (),
) -> x509.CertificateRevocationList:
    """Return a signed version 2 CRL of `issuer`."""
    identifier = identifier_of(issuer)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(whole_seconds(this_update))
        .next_update(whole_seconds(next_update))
        # RFC 5280 5.2.1 and 5.2.3: a CRL has both its issuer's key identifier and a number.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for entry in revoked:
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, SHA256(), ecdsa_deterministic=deterministic_with(key))


def revoked_entry(serial: int, at: datetime, reason: RevocationReason) -> x509.RevokedCertificate:
    """Return the line of a CRL for one certificate; "unspecified" is said by silence (RFC 5280 5.3.1)."""
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(whole_seconds(at))
    if reason != "unspecified":
        builder = builder.add_extension(x509.CRLReason(REASON_FLAGS[reason]), critical=False)
    return builder.build()


def reason_of(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    """Return why a certificate is on a CRL; None when the CRL does not say."""
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return None


def entries_for(
    history: History, last: x509.CertificateRevocationList | None, signed: Container[str]
) -> tuple[x509.RevokedCertificate, ...]:
    """Return what the next CRL has to hold: all that the register says, and what the last CRL knew besides.

    `signed` are the serial numbers of what the CRL's issuer signed: it lists nothing else. CRLs only grow, but for
    holds that were released: RFC 5280 3.3 lets expired entries go, and clients that look back (signatures, logs) are
    better off if they stay.
    """
    decided = _decided(history)
    # What the register does not know, since it was lost or is younger, stays revoked.
    known = [entry for entry in last or () if entry.serial_number not in decided]
    return (
        *known,
        *(revoked_entry(int(one.serial, 16), one.at, one.reason) for one in _revocations_of(history, signed)),
    )


def says_the_same(crl: x509.CertificateRevocationList, history: History, signed: Container[str]) -> bool:
    """Say whether a CRL has exactly what the next one would have (`entries_for`), without making that."""
    decided = _decided(history)
    listed = {
        (entry.serial_number, entry.revocation_date_utc, reason_of(entry))
        for entry in crl
        if entry.serial_number in decided
    }
    return listed == {
        (int(one.serial, 16), whole_seconds(one.at), None if one.reason == "unspecified" else REASON_FLAGS[one.reason])
        for one in _revocations_of(history, signed)
    }


def _decided(history: History) -> frozenset[int]:
    return frozenset(int(serial, 16) for serial in history.decided)


def _revocations_of(history: History, signed: Container[str]) -> list[Revoked]:
    return [one for serial, one in history.revoked.items() if serial in signed]


def load_crl(der: bytes) -> x509.CertificateRevocationList:
    """Return the CRL in `der`; raises CertificateError when it is none."""
    try:
        return x509.load_der_x509_crl(der)
    except ValueError as error:
        raise CertificateError("The revocation list is damaged.", hint="devtls serve writes a new one.") from error


def crl_number(crl: x509.CertificateRevocationList) -> int:
    """Return the CRL's number; 0 when it has none, so that the next one is 1."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def resign_at(crl: x509.CertificateRevocationList) -> datetime:
    """Return when the next CRL is due: half-way through this one's life."""
    end = crl.next_update_utc or crl.last_update_utc
    return crl.last_update_utc + (end - crl.last_update_utc) / 2


def is_due(crl: x509.CertificateRevocationList, now: datetime) -> bool:
    """Say whether a new CRL must be signed: half of its life is over, or the clock was set back before its start."""
    return not crl.last_update_utc <= now < resign_at(crl)
