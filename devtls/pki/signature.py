"""How everything is signed: ECDSA with SHA-256, deterministic (RFC 6979) where the OpenSSL behind it can do that.

Owns the algorithm and the two hashes. Refuses nothing.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, Hash


def can_sign_deterministically() -> bool:
    """Say whether this cryptography signs ECDSA without a random nonce (OpenSSL 3.2 and later)."""
    try:
        ec.ECDSA(SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return False
    return True


DETERMINISTIC: bool | None = True if can_sign_deterministically() else None
"""What goes into `ecdsa_deterministic` of each signature: 2 microseconds dearer, and the same bytes every time."""


def sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    """Return the signature of `content`, DER."""
    return key.sign(content, ec.ECDSA(SHA256(), deterministic_signing=bool(DETERMINISTIC)))


def point_identifier(key_point: bytes) -> bytes:
    """Return the identifier that SKI and AKI carry (RFC 5280 section 4.2.1.2, method 1: SHA-1, no security in it)."""
    digest = Hash(SHA1())  # noqa: S303 - an identifier, see above
    digest.update(key_point)
    return digest.finalize()


def sha256_hex(content: bytes) -> str:
    """Return SHA-256 of `content` as 64 lower-case hex digits."""
    digest = Hash(SHA256())
    digest.update(content)
    return digest.finalize().hex()
