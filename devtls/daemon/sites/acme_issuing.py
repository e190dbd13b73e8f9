"""Certificates for ACME clients: checked, signed, recorded and revoked like those of `devtls sign`.

Owns what makes a certificate request fit an order. Refuses one for other names than the order's, one with the
account's own key, and revoking what is none of this CA's. Every call blocks.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devtls.acme.messages import Issue, Renewal, Revoke
from devtls.acme.model import AcmeCertificate
from devtls.acme.problems import Problem
from devtls.acme.renewal import at_once, window
from devtls.errors import CertificateError, InvalidName
from devtls.pki.ca_chain import identifier_of, signed_by
from devtls.pki.certify import CertificateTemplate, check_key
from devtls.pki.names_in_certificates import parse_names
from devtls.pki.register import RevocationReason, serial_text
from devtls.pki.request import read_request
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register, open_registers

_PLACE = "an ACME client"


def issue(keystore: Keystore, work: Issue, now: datetime, *, ocsp: bool) -> AcmeCertificate | Problem:
    """Return the certificate, or what is wrong with the request; `ocsp` as in `Order`. Raises StateError."""
    authority = keystore.load(now)
    try:
        request = read_request(work.request)
        check_key(request.key)
        order = CertificateTemplate(parse_names(request.names, authority.zones, "server"), "server", ocsp=ocsp)
    except (CertificateError, InvalidName) as error:
        return Problem("badCSR", str(error))
    # RFC 8555 7.4: exactly the identifiers of the order.
    if {str(name) for name in order.names} != set(work.names):
        asked, ordered = ", ".join(map(str, order.names)), ", ".join(work.names)
        return Problem("badCSR", f"The request is for {asked}, the order for {ordered}.")
    if request.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == work.account_key:
        return Problem("badCSR", "The certificate's key must be another one than the account's (RFC 8555 11.1).")
    leaf = Register(keystore, authority).issue(order, request.key, by="acme", place=_PLACE, now=now)
    chain = leaf.public_bytes(Encoding.PEM) + authority.intermediate_pem
    return AcmeCertificate(chain.decode("ascii"), serial_text(leaf.serial_number), leaf.not_valid_after_utc)


def advise(keystore: Keystore, work: Renewal, now: datetime) -> tuple[datetime, datetime] | None:
    """Return when a certificate should be renewed, None for one that is unknown. Raises StateError.

    At once, when it was revoked or another CA signs by now: the one before is trusted until it is retired, no longer.
    """
    present, *older = open_registers(keystore, now)
    # The issuer is named by its key identifier (RFC 9773 4.1), so each CA is asked for its own.
    for register in (present, *older):
        issuer = register.authority.issuer_for("server").certificate
        if identifier_of(issuer).digest != work.issuer:
            continue
        history, serial = register.history(), serial_text(work.serial)
        issued = history.issued.get(serial)
        if issued is not None:
            good = register is present and serial not in history.revoked
            return window(issued.not_before, issued.not_after) if good else at_once(now)
    return None


def revoke(keystore: Keystore, work: Revoke, now: datetime) -> Problem | None:
    """Revoke a certificate and publish that, or return why not. Raises StateError."""
    certificate = x509.load_der_x509_certificate(work.certificate)
    registers = open_registers(keystore, now)
    register = next((one for one in registers if signed_by(certificate, one.authority.intermediate.certificate)), None)
    if register is None:
        return Problem("unauthorized", "The certificate is none of this CA's.")
    # RFC 8555 7.6: a second revocation is alreadyRevoked.
    if not register.revoke([serial_text(certificate.serial_number)], cast(RevocationReason, work.reason), now):
        return Problem("alreadyRevoked", "The certificate is revoked already.")
    return None
