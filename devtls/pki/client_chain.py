"""Whether a client that was let in would be let in again, now that what clients are judged by has changed.

Owns one question about connections that are open: TLS judges a certificate in the handshake and never again (RFC 8446
4.4.2.4); and one about files with lists. Refuses when in doubt: whoever is refused wrongly connects again, and the
handshake judges. Signatures and dates are not looked at, for the handshake has done so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from cryptography import x509

_LIST = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def would_pass(chain: Sequence[bytes], trust_pem: bytes) -> bool:
    """Say whether a verified chain (DER, the root last) ends at a CA in `trust_pem`, none of it on a list there."""
    try:
        trusted, lists = _read(trust_pem)
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
    except ValueError:  # OpenSSL reads some that cryptography does not
        return False
    return certificates[-1] in trusted and not any(
        one.issuer == crl.issuer and crl.get_revoked_certificate_by_serial_number(one.serial_number) is not None
        for one in certificates
        for crl in lists
    )


def lists_are_complete(trust_pem: bytes) -> bool:
    """Say whether there is a list of each CA in `trust_pem`: then a CA can be taken back by the one above it."""
    try:
        trusted, lists = _read(trust_pem)
    except ValueError:
        return False
    return {one.subject for one in trusted} <= {crl.issuer for crl in lists}


@lru_cache(maxsize=4)  # one question for each open connection
def _read(trust_pem: bytes) -> tuple[list[x509.Certificate], list[x509.CertificateRevocationList]]:
    lists = [x509.load_pem_x509_crl(found) for found in _LIST.findall(trust_pem)]
    return x509.load_pem_x509_certificates(trust_pem), lists
