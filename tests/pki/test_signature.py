from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from devtls.pki import signature


def test_an_old_openssl_signs_with_a_random_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*args: object, **kwargs: object) -> None:
        raise UnsupportedAlgorithm("ECDSA with deterministic signature (RFC 6979)")

    monkeypatch.setattr("devtls.pki.signature.ec.ECDSA", unsupported)
    assert not signature.can_sign_deterministically()


@pytest.mark.parametrize("deterministic", [True, None])
def test_a_signature_is_one_of_what_was_signed(
    leaf_key: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch, deterministic: bool | None
) -> None:
    monkeypatch.setattr(signature, "DETERMINISTIC", deterministic and signature.DETERMINISTIC)
    signed = signature.sign(leaf_key, b"content")
    leaf_key.public_key().verify(signed, b"content", ec.ECDSA(SHA256()))


def test_hashes() -> None:
    assert signature.sha256_hex(b"content") == hashlib.sha256(b"content").hexdigest()
    assert signature.point_identifier(b"point") == hashlib.sha1(b"point", usedforsecurity=False).digest()
