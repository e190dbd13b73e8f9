"""Whether a key made a signature.

Owns the dispatch by kind of key. Accepts old hashes, which cryptography's own check of certificates refuses: a
signature over SHA-1 that holds is told from one that is wrong, and `flaws` says what is the matter with it.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import HashAlgorithm

RsaPadding = padding.PKCS1v15 | padding.PSS


def holds(
    signer: x509.Certificate,
    signature: bytes,
    content: bytes,
    algorithm: HashAlgorithm | None,
    rsa_padding: RsaPadding | None = None,
) -> bool:
    """Say whether the key of `signer` made `signature` over `content`; False for kinds of keys that sign nothing."""
    try:
        match signer.public_key():
            case rsa.RSAPublicKey() as key if algorithm is not None:
                key.verify(signature, content, rsa_padding or padding.PKCS1v15(), algorithm)
            case ec.EllipticCurvePublicKey() as key if algorithm is not None:
                key.verify(signature, content, ec.ECDSA(algorithm))
            case dsa.DSAPublicKey() as key if algorithm is not None:
                key.verify(signature, content, algorithm)
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey() as key:
                key.verify(signature, content)
            case _:
                return False
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether the key of `issuer` signed `certificate`, and its name stands there as the issuer's."""
    try:
        algorithm, parameters = certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters
        if certificate.issuer != issuer.subject:
            return False
    except (ValueError, UnsupportedAlgorithm):
        return False
    rsa_padding = parameters if isinstance(parameters, RsaPadding) else None
    return holds(issuer, certificate.signature, certificate.tbs_certificate_bytes, algorithm, rsa_padding)
