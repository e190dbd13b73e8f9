"""Signatures: ECDSA with SHA-256, deterministic (RFC 6979) where OpenSSL supports that.

Owns the scheme, its name in certificates, and the two hashes. The RSA scheme of imported CAs is in `authority`: loading
it takes 2 ms, which a start with a key of ours need not wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, Hash

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

    IssuerKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    """The private key of a CA."""


class SignatureScheme(msgspec.Struct, frozen=True):
    """How a CA signs: the AlgorithmIdentifier (DER), and the function of key and content that returns a signature."""

    algorithm: bytes
    sign: Callable[[Any, bytes], bytes]


class _EcdsaSha256(ec.ECDSA):
    """ECDSA with SHA-256 that does not run ECDSA's constructor.

    That one imports twenty modules, 3 ms of every start, to learn whether signing can be deterministic; the signature
    itself says so too. Only the two public properties are read by the code that signs.
    """

    def __init__(self, *, deterministic: bool) -> None:
        self._deterministic = deterministic

    @property
    def algorithm(self) -> SHA256:
        return SHA256()

    @property
    def deterministic_signing(self) -> bool:
        return self._deterministic


_RANDOM, _DETERMINISTIC = _EcdsaSha256(deterministic=False), _EcdsaSha256(deterministic=True)


def deterministic_with(key: IssuerKey) -> bool | None:
    """Return the same for a key that may also be RSA, for which it must be None."""
    return deterministic() if isinstance(key, ec.EllipticCurvePrivateKey) else None


def sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    """Return the signature of `content`; deterministic ECDSA costs 2 microseconds more, for the same bytes again."""
    try:
        return key.sign(content, _DETERMINISTIC)
    except UnsupportedAlgorithm:  # OpenSSL before 3.2
        return key.sign(content, _RANDOM)


ECDSA_SHA256 = SignatureScheme(bytes.fromhex("300a06082a8648ce3d040302"), sign)
"""ecdsa-with-SHA256 (RFC 5758 3.2)."""


@cache
def deterministic() -> bool | None:
    """Return what cryptography's builders take as `ecdsa_deterministic`: True from OpenSSL 3.2 on, else None."""
    try:
        ec.ECDSA(SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return None
    return True


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
