"""A Java keystore file read without Java: its certificates by alias.

Owns the format that Java calls JKS and, through cryptography, PKCS#12 (with a password, or without any as newer JDKs
ship it). Refuses to write: changes are keytool's work. Strategy: starting Java for each of several JDKs only to ask
would take seconds, and what a tool says about its own success is not to be believed anyway. Private keys are skipped
unread.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from devtls.system.changes.truststore.root import fingerprint_of

PASSWORD = "changeit"  # noqa: S105  # the one that every JDK ships its list of roots with
# JKS, and JCEKS, which has the same fields for certificates.
_MAGICS = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
# SHA-1 at the end of the file.
_DIGEST_BYTES = 20
_PEPPER = b"Mighty Aphrodite"  # part of the format: Sun's JavaKeyStore mixes it into the digest


class Unreadable(Enum):
    """The reason why a file cannot be read."""

    OTHER_PASSWORD = "other password"  # noqa: S105
    NO_KEYSTORE = "no keystore"


@dataclass(frozen=True, slots=True)
class KeystoreEntry:
    """One trusted certificate under its alias."""

    alias: str
    der: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER."""
        return fingerprint_of(self.der)


def read_keystore(data: bytes) -> tuple[KeystoreEntry, ...] | Unreadable:
    """Return the trusted certificates of a keystore file, in its order."""
    if data[:4] in _MAGICS:
        return _read_jks(data)
    # A SEQUENCE, with which every PFX begins (RFC 7292 section 4).
    if data[:1] == b"\x30":
        return _read_pkcs12(data)
    return Unreadable.NO_KEYSTORE


def _read_jks(data: bytes) -> tuple[KeystoreEntry, ...] | Unreadable:
    try:
        # Certificates are not encrypted in JKS: the password is only needed for the digest.
        entries = tuple(_Fields(data).entries())
    except (IndexError, UnicodeDecodeError):
        return Unreadable.NO_KEYSTORE
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    expected = hashlib.sha1(PASSWORD.encode("utf-16-be") + _PEPPER + body, usedforsecurity=False).digest()
    return entries if hmac.compare_digest(digest, expected) else Unreadable.OTHER_PASSWORD


class _Fields:
    """Walks the fields of a JKS file; IndexError where it ends too early or says what it must not."""

    _TRUSTED = 2
    _PRIVATE_KEY = 1

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 4

    def entries(self) -> list[KeystoreEntry]:
        version, count = self._number(4), self._number(4)
        found: list[KeystoreEntry] = []
        for _ in range(count):
            # surrogatepass: Java writes modified UTF-8 (DataOutput.writeUTF), with surrogate pairs.
            tag, alias = self._number(4), self._take(self._number(2)).decode("utf-8", "surrogatepass")
            self._take(8)  # when it was added
            if tag == self._TRUSTED:
                found.append(KeystoreEntry(alias, self._certificate(version)))
            elif tag == self._PRIVATE_KEY:
                self._take(self._number(4))
                for _ in range(self._number(4)):
                    self._certificate(version)
            else:
                raise IndexError(tag)
        if len(self._data) - self._at != _DIGEST_BYTES:
            raise IndexError(self._at)
        return found

    def _certificate(self, version: int) -> bytes:
        # Version 1 had no field for the certificate's type.
        if version >= 2:
            self._take(self._number(2))  # "X.509"
        return self._take(self._number(4))

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise IndexError(self._at)
        return self._data[start : self._at]


def _read_pkcs12(data: bytes) -> tuple[KeystoreEntry, ...] | Unreadable:
    try:
        store = pkcs12.load_pkcs12(data, PASSWORD.encode())
    except ValueError as error:
        return Unreadable.OTHER_PASSWORD if "password" in str(error).lower() else Unreadable.NO_KEYSTORE
    return tuple(
        KeystoreEntry(
            (held.friendly_name or b"").decode("utf-8", "replace"), held.certificate.public_bytes(Encoding.DER)
        )
        for held in store.additional_certs
    )
