"""The revocation list of a root whose key is on another machine, as that machine hands it on.

Owns which of the lists in a file it is. Refuses lists of other issuers, and one that is older than what is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import CertificateError
from devtls.pki.ca_chain import in_words
from devtls.pki.revocation import crl_number, load_crl

_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


def root_list_in(content: bytes, root: x509.Certificate) -> bytes:
    """Return the list (DER) of `root` in a file, PEM with one or several lists or DER; the one with the highest number.

    Raises CertificateError when there is none.
    """
    key = root.public_key()
    theirs = [
        crl
        for crl in _lists(content)
        if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and crl.is_signature_valid(key)
    ]
    if not theirs:
        raise CertificateError(
            f"The revocation list was not signed by {in_words(root)}.", hint="--crl FILE: the root's"
        )
    return max(theirs, key=crl_number).public_bytes(Encoding.DER)


def _lists(content: bytes) -> Iterator[x509.CertificateRevocationList]:
    blocks = _BLOCK.findall(content)
    try:
        if not blocks:
            yield x509.load_der_x509_crl(content)
        for block in blocks:
            yield x509.load_pem_x509_crl(block)
    except ValueError as error:
        raise CertificateError(
            "The file holds no revocation list, or one that cannot be read.", hint="--crl FILE: PEM or DER"
        ) from error


def newer_root_list(content: bytes, root: x509.Certificate, present: bytes) -> bytes:
    """Return the list of `root` in a file as `root_list_in` does; raises CertificateError unless it is a later one.

    `present` is the one that is here (DER), empty for none.
    """
    der = root_list_in(content, root)
    if present and crl_number(load_crl(der)) <= crl_number(load_crl(present)) and der != present:
        raise CertificateError(
            f"List number {crl_number(load_crl(der))} of {in_words(root)} is not later than number "
            f"{crl_number(load_crl(present))}, which is here.",
            hint="devtls ca export --crl on the machine that has the root's key writes the latest one",
        )
    return der
