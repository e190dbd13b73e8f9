"""Which certificates a person means: by serial number, by name, or by a file.

Owns the order in which these are tried, and what is said when nothing fits. Refuses files with certificates of other
CAs.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from devtls.errors import CertificateError, Refused, StateError
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import signed_by
from devtls.pki.register import History, Issued, matching, serial_text

_LIST = "devtls certs list"


def chosen(history: History, wanted: str, authorities: Sequence[Authority]) -> tuple[Issued, ...]:
    """Return the certificates of the register that are meant, at least one. Raises DevtlsError."""
    certificate = certificate_in_file(wanted, authorities)
    if certificate is not None:
        serial = serial_text(certificate.serial_number)
        found: tuple[Issued, ...] = tuple(one for one in (history.issued.get(serial),) if one is not None)
        if not found:
            raise CertificateError(f"The certificate in {wanted} is in no register.", hint=_LIST)
        return found
    found = matching(history, wanted)
    if not found:
        raise CertificateError(f"No certificate of this CA has the name or serial number {wanted!r}.", hint=_LIST)
    if len(found) > 1 and not any(wanted.lower() in one.names for one in found):
        raise Refused(f"{len(found)} serial numbers begin with {wanted!r}.", hint="write more of its digits")
    return found


def certificate_in_file(wanted: str, authorities: Sequence[Authority]) -> x509.Certificate | None:
    """Return the first certificate in a file, None when `wanted` is no file; raises CertificateError for others'."""
    content = _content(wanted)
    if content is None:
        return None
    load = x509.load_pem_x509_certificate if b"-----BEGIN " in content else x509.load_der_x509_certificate
    try:
        certificate = load(content)
    except ValueError as error:
        raise CertificateError(f"There is no certificate in {wanted}.", hint=_LIST) from error
    if issuer_of(certificate, authorities) is None:
        raise CertificateError(f"The certificate in {wanted} is none of this CA's.", hint=_LIST)
    return certificate


def _content(wanted: str) -> bytes | None:
    try:
        return Path(wanted).read_bytes() if Path(wanted).is_file() else None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise StateError(f"{wanted} cannot be read: {error.strerror}.", path=wanted, hint="check its mode") from error


def issuer_of(certificate: x509.Certificate, authorities: Sequence[Authority]) -> Authority | None:
    """Return which of our CAs, the present one or an older one, issued a certificate; its root may have signed it."""
    for authority in authorities:
        if signed_by(certificate, authority.intermediate.certificate) or signed_by(certificate, authority.root):
            return authority
    return None


def is_intermediate(certificate: x509.Certificate, authority: Authority) -> bool:
    """Say whether the root of a CA signed a certificate, rather than what signs for servers and clients."""
    return authority.root != authority.intermediate.certificate and signed_by(certificate, authority.root)
