"""DER (X.690), as far as a leaf and its key need it.

Owns the encoding of a few types and of P-256 keys. Refuses to read: the one thing that is read back is a key file of
our own, and it counts only when writing it again gives the same bytes.
Strategy: cryptography's x509 package costs 25 ms to import, a fifth of the way to the first answer. What the first
answer needs of it is one certificate of a fixed shape; tests hold every byte against cryptography's own builder.
"""

from __future__ import annotations

from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

_PEM_LINE = 64
_COORDINATE_BYTES = 32
_FIRST_GENERALIZED_YEAR = 2050  # RFC 5280 4.1.2.5

# AlgorithmIdentifier: id-ecPublicKey with prime256v1 (RFC 5480 2.1.1).
_P256 = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
# PrivateKeyInfo, version 0 (RFC 5208), around an ECPrivateKey, version 1 (RFC 5915), up to the 32 octets of the key.
_KEY_HEAD = bytes.fromhex("308187020100") + _P256 + bytes.fromhex("046d306b0201010420")
_KEY_POINT = bytes.fromhex("a144034200")
_KEY_LABEL = "PRIVATE KEY"


def encode(tag: int, *content: bytes) -> bytes:
    """Return one element, its content joined."""
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
    return encode(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def byte_string(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return encode(0x04, content)


def bit_string(content: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return encode(0x03, b"\0", content)


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
    """Return the key that `key_pem` made `text` of, or None: then a real parser has to look at it."""
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
    return key if key_pem(key) == text else None


def _coordinate(number: int) -> bytes:
    return number.to_bytes(_COORDINATE_BYTES, "big")
