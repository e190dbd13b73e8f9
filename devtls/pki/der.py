"""DER (X.690) encoding of leaf certificates and P-256 keys.

Owns the encoding of a few types, and the split of any text into its elements. Refuses to decode anything but a key file
of our own, and that only when encoding it again gives the same bytes.
Strategy: the first response needs one certificate of a fixed profile, and cryptography's x509 package takes 45 ms to
import. Measured in alternating starts of `devtls serve` and Caddy on a busy machine with 2 cores (30 each, the least
CPU time up to the first response): 142 ms with this module and `devtls.system.storage.seal`, 185 ms with x509 in their
place, 53 ms Caddy; in wall time 2.0 and 2.3 times Caddy. Importing x509 after the listeners are open does not help the
first client, whose handshake waits for it. Tests compare every byte with cryptography's own builder.
"""

from __future__ import annotations

from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

_PEM_LINE = 64
_COORDINATE_BYTES = 32
_FIRST_GENERALIZED_YEAR = 2050  # RFC 5280 4.1.2.5

# AlgorithmIdentifier: id-ecPublicKey with prime256v1 (RFC 5480 2.1.1).
_P256 = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
# PrivateKeyInfo, version 0 (RFC 5208), around an ECPrivateKey, version 1 (RFC 5915), up to the 32 bytes of the key.
_KEY_HEAD = bytes.fromhex("308187020100") + _P256 + bytes.fromhex("046d306b0201010420")
# publicKey [1], a BIT STRING without unused bits (RFC 5915 3), around the 65 bytes of the point.
_KEY_POINT = bytes.fromhex("a144034200")
_KEY_LABEL = "PRIVATE KEY"


def encode(tag: int, *content: bytes) -> bytes:
    """Return one element: tag, length in the shortest form (X.690 10.1), the content joined."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def sequence(*items: bytes) -> bytes:
    """Return a SEQUENCE of encoded items."""
    return encode(0x30, *items)


def integer(number: int) -> bytes:
    """Return an INTEGER that is not negative."""
    # One bit more than the number has: two's complement, and the sign bit stays clear (X.690 8.3).
    return encode(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def byte_string(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return encode(0x04, content)


def bit_string(content: bytes) -> bytes:
    """Return a BIT STRING of whole bytes."""
    return encode(0x03, b"\0", content)  # no unused bits (X.690 8.6.2)


def time(moment: datetime) -> bytes:
    """Return a Time of `moment` (UTC, whole seconds) in the form that RFC 5280 prescribes for its year."""
    if moment.year < _FIRST_GENERALIZED_YEAR:
        return encode(0x17, f"{moment:%y%m%d%H%M%SZ}".encode())
    return encode(0x18, f"{moment:%Y%m%d%H%M%SZ}".encode())


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a P-256 key as an uncompressed point (SEC 1, 2.3.3)."""
    numbers = key.public_numbers()
    return b"\x04" + _coordinate(numbers.x) + _coordinate(numbers.y)


def public_key_info(key_point: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a P-256 point."""
    return sequence(_P256, bit_string(key_point))


def pem(label: str, der: bytes) -> bytes:
    """Return `der` as a PEM text (RFC 7468)."""
    text = b2a_base64(der, newline=False)
    lines = [text[start : start + _PEM_LINE] for start in range(0, len(text), _PEM_LINE)]
    return b"\n".join([f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----\n".encode()])


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a P-256 key as unencrypted PKCS #8, PEM."""
    numbers = key.private_numbers()
    secret = _coordinate(numbers.private_value)
    return pem(_KEY_LABEL, b"".join([_KEY_HEAD, secret, _KEY_POINT, point(key.public_key())]))


def read_key_pem(text: bytes) -> ec.EllipticCurvePrivateKey | None:
    """Return the key of a text that `key_pem` made, or None: then a general parser has to read it."""
    try:
        der = a2b_base64(b"".join(text.split(b"\n")[1:-2]), strict_mode=True)
    except NotBase64:
        return None
    secret = der[len(_KEY_HEAD) : len(_KEY_HEAD) + _COORDINATE_BYTES]
    if not der.startswith(_KEY_HEAD) or not any(secret):
        return None
    try:
        key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
    except ValueError:  # as large as the order of the group
        return None
    # Whatever differs (attributes, a public point of another key) is for the general parser to judge.
    return key if key_pem(key) == text else None


def _coordinate(number: int) -> bytes:
    # Always 32 bytes, leading zeros included (SEC 1, 2.3.5; RFC 5915 3).
    return number.to_bytes(_COORDINATE_BYTES, "big")


Element = tuple[int, bytes, bytes]
"""Tag, content, and the whole element."""


def only(data: bytes, tag: int) -> bytes:
    """Return the content of the one element that `data` is. Raises ValueError."""
    found = list(items(data))
    if len(found) != 1 or found[0][0] != tag:
        raise ValueError("it holds something else")
    return found[0][1]


def items(data: bytes) -> Iterator[Element]:
    """Yield the elements (DER) in `data`. Raises ValueError."""
    at = 0
    while at < len(data):
        tag, start, end = data[at], *_extent(data, at + 1)
        yield tag, data[start:end], data[at:end]
        at = end


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content begins whose length stands at `at`, and where it ends."""
    first = data[at] if at < len(data) else 0x80
    start = at + 1 + (first & 0x7F if first > 0x80 else 0)
    size = int.from_bytes(data[at + 1 : start], "big") if first > 0x80 else first
    if first == 0x80 or start + size > len(data):  # 0x80 is BER's unknown length, which DER does not have
        raise ValueError("it ends too early")
    return start, start + size
