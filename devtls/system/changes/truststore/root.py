"""The root certificate as trust stores see it: its bytes, its fingerprint, and the test for one of ours.

Owns PEM reading and the test "is this a devtls root": by name *and* by what the certificate proves about itself,
because names alone are cheap. Refuses nothing: bytes that are no certificate are simply none of ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

# TRUSTED CERTIFICATE is OpenSSL's own form (openssl-x509(1), -trustout).
_BLOCK = re.compile(rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END")
_NAME = re.compile(r"devtls root ([0-9a-f]{8})\Z")
_MARK = b"devtls root "


@dataclass(frozen=True, slots=True)
class RootCertificate:
    """One root: `id` starts its key identifier (8 hex digits), `path` is a public PEM file to name in commands.

    `older` are earlier roots of the same CA (DER) that are trusted until they are retired: stores have them already,
    and files of ours go on listing them.
    """

    id: str
    der: bytes
    path: PurePath
    older: tuple[bytes, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER in lower-case hex: the only identity that stores are asked about."""
        return fingerprint_of(self.der)

    @property
    def nickname(self) -> str:
        """The name under which NSS keeps it: unique per root, since NSS refuses two certificates with one nickname."""
        return f"devtls root {self.id}"

    @property
    def ders(self) -> tuple[bytes, ...]:
        """The root and the older ones, DER: what a list of ours holds."""
        return (self.der, *self.older)

    @property
    def list_pem(self) -> bytes:
        """The root and the older ones as PEM."""
        return b"".join(pem_of(der) for der in self.ders)

    @property
    def pem(self) -> bytes:
        """PEM with a trailing newline: Debian concatenates anchor files as they are."""
        return pem_of(self.der)


def fingerprint_of(der: bytes) -> str:
    """Return the SHA-256 of a certificate in lower-case hex."""
    return hashlib.sha256(der).hexdigest()


def sha1_of(der: bytes) -> str:
    """Return the hash by which macOS and Windows address a certificate, upper case; never taken as a proof."""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def pem_of(der: bytes) -> bytes:
    """Return a certificate as PEM in lines of 64, with a trailing newline."""
    text = base64.b64encode(der)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


def certificates_in(data: bytes) -> Iterator[bytes]:
    """Yield the DER of every certificate in PEM text, or of the one DER certificate that `data` is."""
    # 0x30 is the tag of a SEQUENCE, with which every certificate in DER begins; it is also the digit 0.
    if data[:1] == b"\x30" and b"-----BEGIN" not in data:
        yield data
        return
    for block in _BLOCK.finditer(data):
        try:
            yield base64.b64decode(b"".join(block[1].split()), validate=True)
        except binascii.Error:
            continue


def ours(der: bytes) -> RootCertificate | None:
    """Return `der` as a devtls root, or None: name, issuer, key identifier and its own signature must all agree."""
    # Cheap, before parsing: a bundle holds well over a hundred roots that are not ours.
    if _MARK not in der:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        named = _NAME.match(str(common[0].value)) if common else None
        key_id = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
        if named is None or not key_id.startswith(named[1]):
            return None
        # A name is free to anybody: only who has the key can sign for it.
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return None
    return RootCertificate(named[1], certificate.public_bytes(Encoding.DER), PurePath())
