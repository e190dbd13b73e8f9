"""Revocation by ACME clients (RFC 8555 7.6).

Owns the authorization: the account that ordered a certificate, an account that has shown control of all its names, and
the holder of the certificate's key may revoke it. Refuses all others, and reasons that are not a client's to give. That
the certificate is one of this CA's is checked where `Revoke` is done.
"""

from __future__ import annotations

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from devtls.acme.encoding import from_text
from devtls.acme.messages import AcmeOutcome, Revoke, SignedRequest
from devtls.acme.model import Ledger
from devtls.acme.problems import refusal
from devtls.acme.signed import Jwk, jwk_of

# RFC 5280 5.3.1, by the names that the register knows. A hold has no way back here, and the rest is about CAs.
_REASONS = {
    0: "unspecified",
    1: "key-compromise",
    3: "affiliation-changed",
    4: "superseded",
    5: "cessation-of-operation",
    9: "privilege-withdrawn",
}


class _RevocationRequest(msgspec.Struct):
    certificate: str
    reason: int = 0


class _CertificateFacts(msgspec.Struct, frozen=True):
    """Serial, names and key of a certificate; `key` is None for one of a kind that signs no request."""

    serial: int
    names: frozenset[str]
    key: Jwk | None


def revoke(ledger: Ledger, signed: SignedRequest) -> AcmeOutcome:
    """Return the revocation to be done, if the signer of the request may ask for it. Raises AcmeProblem."""
    wanted = signed.read(_RevocationRequest)
    if wanted.reason not in _REASONS:
        allowed = ", ".join(str(number) for number in _REASONS)
        raise refusal("badRevocationReason", f"The reasons that a client can give are {allowed}.")
    der = from_text(wanted.certificate, "certificate")
    facts = _read(der)
    if not signed.account:
        if signed.key != facts.key:
            raise refusal("unauthorized", "The request is signed with another key than the certificate's.")
    elif not _may(ledger, signed.account, facts):
        raise refusal("unauthorized", "This account neither ordered the certificate nor showed that its names are its.")
    return AcmeOutcome(None, Revoke(der, _REASONS[wanted.reason]))


def _read(der: bytes) -> _CertificateFacts:
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = jwk_of(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise refusal("malformed", f"The certificate cannot be used: {error}") from error
    return _CertificateFacts(certificate.serial_number, frozenset(str(name.value) for name in names), key)


def _may(ledger: Ledger, account: str, facts: _CertificateFacts) -> bool:
    orders = ledger.orders_of(ledger.accounts[account])
    if any(one.certificate is not None and int(one.certificate.serial, 16) == facts.serial for one in orders):
        return True
    shown = {each.name for one in orders for each in one.authorizations if each.status == "valid"}
    # RFC 8555 7.6: an account with authorizations for all names of the certificate.
    return facts.names <= shown
