"""Signed requests: JWS in the one form that ACME allows (RFC 8555 6.2), their keys, their signatures.

Owns the reading of an envelope, which algorithms and keys are good enough, and thumbprints. Refuses unprotected
headers, several signatures, MACs in the place of signatures, keys that come with their private half, weak keys, and an
algorithm that does not belong to the key.
Strategy: keys and algorithms are josepy's; the envelope is read here, since josepy's own class takes unprotected
headers, certificates and several signatures, and re-encodes what was signed.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
import msgspec.json
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from josepy.errors import Error as JoseError
from josepy.jwa import JWASignature
from josepy.jwk import JWKEC, JWKRSA

from devtls.acme.encoding import from_text, to_text
from devtls.acme.problems import refusal

# RFC 7518 3.4: each of these algorithms has one curve.
_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
ALGORITHMS = ("ES256", "ES384", "ES512", "RS256")
_MAC_ALGORITHMS = ("HS256", "HS384", "HS512")
_RSA_BITS = range(2048, 8193)
_KINDS: dict[str, type[JWKRSA] | type[JWKEC]] = {"RSA": JWKRSA, "EC": JWKEC}
# RFC 7518 6.2.2 and 6.3.2 (EC, RSA), 6.4.1 (k, a symmetric key).
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

Jwk = dict[str, str]
"""A public key as JSON has it (RFC 7517)."""


# Unknown fields would be `header` and `signatures`, which RFC 8555 6.2 forbids.
class _Flat(msgspec.Struct, forbid_unknown_fields=True):
    """A JWS in the flattened form, without an unprotected header."""

    protected: str
    payload: str
    signature: str


class _Header(msgspec.Struct):
    """The protected header; others than these mean nothing here, but for `crit`."""

    alg: str
    url: str
    nonce: str | None = None
    jwk: dict[str, Any] | None = None
    kid: str | None = None
    crit: list[str] | None = None


class Envelope(msgspec.Struct, frozen=True):
    """A signed request before its verification; one of `jwk` and `kid` is there."""

    alg: str
    url: str
    nonce: str | None
    jwk: dict[str, Any] | None
    kid: str | None
    payload: bytes
    content: bytes
    """The signed bytes."""
    signature: bytes


def open_envelope(body: bytes) -> Envelope:
    """Return what a request says of itself. Raises AcmeProblem."""
    try:
        flat = msgspec.json.decode(body, type=_Flat)
        header = msgspec.json.decode(from_text(flat.protected, "protected header"), type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal(
            "malformed", f"This is no flattened JWS whose header is all protected: {error} (RFC 8555 6.2)."
        ) from error
    # RFC 7515 4.1.11: what is critical and not understood makes the JWS invalid.
    if header.crit is not None:
        raise refusal("malformed", "No extension of JWS (crit) is understood here.")
    if (header.jwk is None) == (header.kid is None):
        raise refusal("malformed", "The protected header needs either jwk or kid.")
    return Envelope(
        alg=header.alg,
        url=header.url,
        nonce=header.nonce,
        jwk=header.jwk,
        kid=header.kid,
        payload=from_text(flat.payload, "payload"),
        # As it came (RFC 7515 5.2): encoding it again could give other bytes.
        content=f"{flat.protected}.{flat.payload}".encode("ascii"),
        signature=from_text(flat.signature, "signature"),
    )


def public_jwk(jwk: dict[str, Any]) -> Jwk:
    """Return the members of a key that make it what it is (RFC 7638 3.2). Raises AcmeProblem for a weak or odd one."""
    if _PRIVATE & jwk.keys():
        raise refusal("badPublicKey", "A public key is expected; what came has its private half in it.")
    key = _load(jwk)
    if isinstance(key, JWKRSA) and key.key.key_size not in _RSA_BITS:
        raise refusal("badPublicKey", f"RSA keys have 2048 to 8192 bits here, not {key.key.key_size}.")
    return {name: str(value) for name, value in key.to_json().items()}


def _load(jwk: dict[str, Any]) -> JWKRSA | JWKEC:
    # Not the symmetric kind, oct (RFC 7518 6.4), which josepy knows as well.
    kind = _KINDS.get(str(jwk.get("kty")))
    if kind is None:
        raise refusal("badPublicKey", "Only RSA and EC keys are taken.")
    try:
        return cast(JWKRSA | JWKEC, kind.from_json(jwk))
    except (JoseError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise refusal("badPublicKey", "The key is no RSA or EC key (P-256, P-384, P-521) as JWK has it.") from error


def thumbprint(jwk: Jwk) -> str:
    """Return the key's thumbprint (RFC 7638), base64url."""
    return to_text(_load(jwk).thumbprint())


def key_info(jwk: Jwk) -> bytes:
    """Return the key as SubjectPublicKeyInfo, DER."""
    content: bytes = _load(jwk).key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return content


def jwk_of(key: object) -> Jwk | None:
    """Return a public key of cryptography's as JSON has it, None for a kind that signs no ACME request."""
    for kind in (JWKRSA, JWKEC):
        if isinstance(key, kind.cryptography_key_types):
            try:
                return {name: str(value) for name, value in kind(key=key).to_json().items()}
            except (JoseError, ValueError):  # a curve that JWK does not know
                return None
    return None


def verify(envelope: Envelope, jwk: Jwk) -> None:
    """Raise AcmeProblem unless `envelope` was signed with the key."""
    # Before the key is used: an HMAC with the public key as its secret must never count (RFC 8725 2.1).
    if envelope.alg not in ALGORITHMS:
        raise refusal(
            "badSignatureAlgorithm", f"{envelope.alg!r} is no algorithm for signatures here.", algorithms=ALGORITHMS
        )
    key, algorithm = _load(jwk), JWASignature.from_json(envelope.alg)
    fits = isinstance(key, algorithm.kty) and _CURVE_OF.get(envelope.alg) == jwk.get("crv")
    if not fits or not algorithm.verify(key.key, envelope.content, envelope.signature):
        raise refusal("malformed", "The signature does not belong to the request and its key.")


def verify_mac(envelope: Envelope, secret: bytes) -> None:
    """Raise AcmeProblem unless `envelope` was made with `secret` (RFC 8555 7.3.4)."""
    if envelope.alg not in _MAC_ALGORITHMS:
        raise refusal(
            "badSignatureAlgorithm", f"{envelope.alg!r} is no MAC that is known here.", algorithms=_MAC_ALGORITHMS
        )
    if not JWASignature.from_json(envelope.alg).verify(secret, envelope.content, envelope.signature):
        raise refusal("unauthorized", "The external account binding was not made with its key.")
