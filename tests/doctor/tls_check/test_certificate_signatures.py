from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from devtls.doctor.tls_check.certificate import issued_by
from tests.doctor.tls_check.pki import DAY, NOW, make_root, signed_with_sha1

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
RSA = rsa.generate_private_key(65537, 2048)


def certificate(key: Key, algorithm: HashAlgorithm | None, padding: PSS | None = None) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a root")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    return builder.sign(key, algorithm, rsa_padding=padding)  # type: ignore[arg-type] # which hash goes with which key


@pytest.mark.parametrize(
    "made",
    [
        certificate(ec.generate_private_key(ec.SECP256R1()), SHA256()),
        certificate(ec.generate_private_key(ec.SECP521R1()), SHA384()),
        certificate(RSA, SHA256()),
        certificate(RSA, SHA256(), PSS(MGF1(SHA256()), 32)),
        certificate(ed25519.Ed25519PrivateKey.generate(), None),
        certificate(ed448.Ed448PrivateKey.generate(), None),
    ],
)
def test_every_kind_of_key_is_checked(made: x509.Certificate) -> None:
    assert issued_by(made, made)
    assert not issued_by(made, make_root().raw)
    assert not issued_by(made, make_root("another root").raw)


def test_a_signature_over_an_old_hash_still_holds() -> None:
    root = make_root(key=RSA)
    assert issued_by(signed_with_sha1(root, root).raw, root.raw)
