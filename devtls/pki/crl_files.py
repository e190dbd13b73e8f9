"""CRLs in PEM files: the one of a root whose key is on another machine, and those beside the CAs of clients.

Owns the choice among the CRLs of a file, and the check of a client certificate on an open connection: TLS checks it in
the handshake and never again (RFC 8446 4.4.2.4). Refuses CRLs of other issuers, one that is older than the present one,
and a client in doubt: it connects again, and the handshake decides. Signatures and dates of a client's chain are not
checked here, since the handshake did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import CertificateError
from devtls.pki.ca_chain import in_words
from devtls.pki.revocation import crl_number, load_crl

_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def root_crl_in(content: bytes, root: x509.Certificate) -> bytes:
    """Return the CRL (DER) of `root` in a file, PEM with one or several CRLs or DER; the one with the highest number.

    Raises CertificateError when there is none.
    """
    key = root.public_key()
    theirs = [
        crl
        for crl in _crls(content)
        if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and crl.is_signature_valid(key)
    ]
    if not theirs:
        raise CertificateError(f"The CRL was not signed by {in_words(root)}.", hint="--crl FILE: the root's")
    # RFC 5280 5.2.3: the number grows with each CRL of an issuer, so it tells which one is later.
    return max(theirs, key=crl_number).public_bytes(Encoding.DER)


def _crls(content: bytes) -> Iterator[x509.CertificateRevocationList]:
    blocks = _BLOCK.findall(content)
    try:
        if not blocks:
            yield x509.load_der_x509_crl(content)
        for block in blocks:
            yield x509.load_pem_x509_crl(block)
    except ValueError as error:
        raise CertificateError(
            "The file holds no CRL, or one that cannot be read.", hint="--crl FILE: PEM or DER"
        ) from error


def newer_root_crl(content: bytes, root: x509.Certificate, present: bytes) -> bytes:
    """Return the CRL of `root` in a file as `root_crl_in` does; raises CertificateError unless it is a later one.

    `present` is the one that is here (DER), empty for none.
    """
    der = root_crl_in(content, root)
    # An older CRL would let revoked certificates in again; the very same one is no error.
    if present and crl_number(load_crl(der)) <= crl_number(load_crl(present)) and der != present:
        raise CertificateError(
            f"CRL number {crl_number(load_crl(der))} of {in_words(root)} is not later than number "
            f"{crl_number(load_crl(present))}, which is here.",
            hint="devtls ca export --crl on the machine that has the root's key writes the latest one",
        )
    return der


def chain_is_accepted(chain: Sequence[bytes], trust_pem: bytes) -> bool:
    """Say whether a verified chain (DER, the root last) ends at a CA in `trust_pem`, none of it on a CRL there."""
    try:
        trusted, crls = _read_trust(trust_pem)
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
    except ValueError:  # OpenSSL reads some that cryptography does not
        return False
    return certificates[-1] in trusted and not any(
        # Serial numbers are unique for one issuer only (RFC 5280 4.1.2.2).
        certificate.issuer == crl.issuer
        and crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
        for certificate in certificates
        for crl in crls
    )


def crls_are_complete(trust_pem: bytes) -> bool:
    """Say whether `trust_pem` has a CRL of each CA in it: then a CA can be revoked by the one above it."""
    try:
        trusted, crls = _read_trust(trust_pem)
    except ValueError:
        return False
    return {certificate.subject for certificate in trusted} <= {crl.issuer for crl in crls}


@lru_cache(maxsize=4)  # asked once for each open connection
def _read_trust(trust_pem: bytes) -> tuple[list[x509.Certificate], list[x509.CertificateRevocationList]]:
    crls = [x509.load_pem_x509_crl(block) for block in _BLOCK.findall(trust_pem)]
    return x509.load_pem_x509_certificates(trust_pem), crls
