from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from devtls.pki import signature


@ec.EllipticCurvePrivateKey.register
class OldKey:
    """A key of an OpenSSL that cannot sign without a random nonce."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def sign(self, content: bytes, algorithm: ec.ECDSA) -> bytes:
        if algorithm.deterministic_signing:
            raise UnsupportedAlgorithm("ECDSA with deterministic signature (RFC 6979)")
        return self._key.sign(content, algorithm)


def test_an_old_openssl_signs_with_a_random_nonce(
    leaf_key: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = signature.sign(OldKey(leaf_key), b"content")  # type: ignore[arg-type]  # it does what `sign` needs
    leaf_key.public_key().verify(signed, b"content", ec.ECDSA(SHA256()))

    def unsupported(*args: object, **kwargs: object) -> None:
        raise UnsupportedAlgorithm("ECDSA with deterministic signature (RFC 6979)")

    signature.deterministic.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr("devtls.pki.signature.ec.ECDSA", unsupported)
        assert signature.deterministic() is None
    signature.deterministic.cache_clear()


def test_a_signature_is_the_one_that_cryptographys_own_algorithm_gives(leaf_key: ec.EllipticCurvePrivateKey) -> None:
    signed = signature.sign(leaf_key, b"content")
    leaf_key.public_key().verify(signed, b"content", ec.ECDSA(SHA256()))
    if signature.deterministic():
        assert signed == leaf_key.sign(b"content", ec.ECDSA(SHA256(), deterministic_signing=True))
        assert signed == signature.sign(leaf_key, b"content")


def test_hashes() -> None:
    assert signature.sha256_hex(b"content") == hashlib.sha256(b"content").hexdigest()
    assert signature.point_identifier(b"point") == hashlib.sha1(b"point", usedforsecurity=False).digest()
