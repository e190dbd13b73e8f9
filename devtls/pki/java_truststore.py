"""Java truststores: PKCS #12 (RFC 7292) and JKS.

Owns reading and writing lists of trusted certificates. Refuses anything encrypted, and checks no password and no
digest: what is read here is public, and lies where only its owner can change it. Strategy: a certificate counts for
Java only with Oracle's trustedKeyUsage attribute, so it is written, and asked for. Without encryption and without a
MAC every Java since 8 reads the file with any password or none; and since no certificate is parsed on the way, an odd
one among the system's roots passes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from devtls.errors import CertificateError
from devtls.pki.der import byte_string, encode, integer, items, only, sequence

_DATA = bytes.fromhex("06092a864886f70d010701")  # pkcs7-data (RFC 2315 14)
_CERTIFICATE_BAG = bytes.fromhex("060b2a864886f70d010c0a0103")  # certBag (RFC 7292 4.2.3)
_X509 = bytes.fromhex("060a2a864886f70d01091601")  # x509Certificate in a certBag
_FRIENDLY_NAME = bytes.fromhex("06092a864886f70d010914")  # RFC 2985 5.5.1: the alias
_TRUSTED_KEY_USAGE = bytes.fromhex("060c6086480186f966adca7b0101")  # 2.16.840.1.113894.746875.1.1, Oracle's
_ANY_USAGE = bytes.fromhex("0604551d2500")  # anyExtendedKeyUsage (RFC 5280 4.2.1.12)

_SEQUENCE, _SET, _BYTE_STRING, _EXPLICIT, _BMP_STRING = 0x30, 0x31, 0x04, 0xA0, 0x1E

# The magic number of sun.security.provider.JavaKeyStore.
_JKS = bytes.fromhex("feedfeed")


def write_pkcs12(entries: Mapping[str, bytes]) -> bytes:
    """Return a truststore of alias -> certificate (DER); the same entries give the same bytes."""
    safe = sequence(*(_bag(alias, der) for alias, der in entries.items()))
    # PFX version 3 (RFC 7292 4); MacData is optional, and without it any password is taken.
    return sequence(integer(3), _content(sequence(_content(safe))))


def _content(data: bytes) -> bytes:
    return sequence(_DATA, encode(_EXPLICIT, byte_string(data)))


def _bag(alias: str, der: bytes) -> bytes:
    certificate = sequence(_X509, encode(_EXPLICIT, byte_string(der)))
    attributes = [
        sequence(_TRUSTED_KEY_USAGE, encode(_SET, _ANY_USAGE)),
        sequence(_FRIENDLY_NAME, encode(_SET, encode(_BMP_STRING, alias.encode("utf-16-be")))),
    ]
    # DER orders a SET OF by its encodings (X.690 11.6).
    return sequence(_CERTIFICATE_BAG, encode(_EXPLICIT, certificate), encode(_SET, *sorted(attributes)))


def read_truststore(data: bytes) -> tuple[bytes, ...]:
    """Return the trusted certificates (DER) of a JKS file or of a PKCS #12 file without encryption.

    Raises CertificateError for anything else.
    """
    try:
        return tuple(_read_jks(data) if data.startswith(_JKS) else _read_pkcs12(data))
    except ValueError as error:
        raise CertificateError(f"It is no truststore that devtls can read: {error}.") from error


def _read_pkcs12(data: bytes) -> Iterator[bytes]:
    _, content, *_ = items(only(data, _SEQUENCE))
    for part in items(only(_data_in(content[1]), _SEQUENCE)):
        for bag in items(only(_data_in(part[1]), _SEQUENCE)):
            yield from _trusted(bag[1])


def _trusted(bag: bytes) -> Iterator[bytes]:
    kind, value, *attributes = items(bag)
    if kind[2] != _CERTIFICATE_BAG or not any(_TRUSTED_KEY_USAGE in attribute[1] for attribute in attributes):
        return
    _, certificate = items(only(value[1], _SEQUENCE))
    yield only(certificate[1], _BYTE_STRING)


def _data_in(content: bytes) -> bytes:
    kind, value = items(content)
    if kind[2] != _DATA:
        raise ValueError("it is encrypted")
    return only(value[1], _BYTE_STRING)


def _read_jks(data: bytes) -> Iterator[bytes]:
    reader = _Reader(data, len(_JKS))
    version, count = reader.number(4), reader.number(4)
    if version not in (1, 2):
        raise ValueError(f"version {version} of JKS is unknown")
    for _ in range(count):
        tag = reader.number(4)
        reader.take(reader.number(2) + 8)  # alias and date
        match tag:
            case 2:  # a trusted certificate
                yield reader.certificate(version)
            case 1:  # a key and its chain: nothing that is trusted
                reader.take(reader.number(4))
                for _ in range(reader.number(4)):
                    reader.certificate(version)
            case _:
                raise ValueError(f"entries of kind {tag} are unknown")


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError("it ends too early")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def certificate(self, version: int) -> bytes:
        # Version 1 does not name the type of each certificate.
        if version == 2:
            self.take(self.number(2))  # "X.509"
        return self.take(self.number(4))
