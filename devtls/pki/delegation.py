"""Intermediates for other machines (a colleague's, a cluster), signed with a root's key that was kept.

Owns the check that such an intermediate may speak for no more than the root does. Refuses zones outside the root's, a
life beyond its end, a request that does not prove that its sender holds the key, and keys that no verifier trusts.
Only the key is taken from a request: name, constraints and everything else are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from devtls.errors import CertificateError, NameNotPermitted
from devtls.names import Hostname, is_below
from devtls.pki.authority import Authority
from devtls.pki.leaf import PROFILE, crl_url, whole_seconds
from devtls.pki.profile import Purpose, SubjectKey, build_intermediate

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

_RSA_BITS = range(2048, 8193)


def delegate(
    authority: Authority,
    root_key: IssuerKey,
    key: SubjectKey,
    *,
    zones: Iterable[Hostname],
    now: datetime,
    days: int,
    serial: int,
    purpose: Purpose = "any",
) -> x509.Certificate:
    """Return an intermediate for `key`, below the root of `authority`, constrained to `zones` (none = the root's).

    Raises NameNotPermitted for a zone that the root does not cover, CertificateError for a key or a life that is wrong.
    """
    authority.check_root_key(root_key)
    wanted = tuple(dict.fromkeys(zones)) or authority.zones
    # Verifiers intersect the constraints of a path (RFC 5280 6.1.4 (g)): a wider zone would fail at the client.
    for zone in wanted:
        if not any(is_below(zone, own) for own in authority.zones):
            raise NameNotPermitted(
                f"The root speaks for {', '.join(authority.zones)} alone, so {zone} is nothing that it could hand on.",
                name=zone,
                hint=f"devtls ca renew --keep-root-key --zone {zone} makes a root that can",
            )
    start = whole_seconds(now) - PROFILE.backdate
    # A chain is good only while all of it is: a later end could not be kept.
    end = min(whole_seconds(now) + timedelta(days=days), authority.root.not_valid_after_utc)
    if end <= now:
        raise CertificateError("The intermediate would have ended before it began.", hint="--days 365")
    return build_intermediate(
        checked_key(key),
        authority.root,
        root_key,
        zones=wanted,
        serial=serial,
        crl=crl_url(authority.pki_port, authority.root_crl_path),
        purpose=purpose,
        life=(start, end),
    )


def key_in_request(request: bytes) -> SubjectKey:
    """Return the key of a certificate request (PKCS #10, PEM or DER); raises CertificateError."""
    try:
        pem = b"-----BEGIN" in request
        parsed = x509.load_pem_x509_csr(request) if pem else x509.load_der_x509_csr(request)
        proved, key = parsed.is_signature_valid, parsed.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            "This is no certificate request.", hint="openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        ) from error
    # RFC 2986 3: the signature keeps people from asking for a certificate for another's key.
    if not proved:
        raise CertificateError("The request was not signed with the key that it names.", hint="ask for a new one")
    return checked_key(key)


def checked_key(key: object) -> SubjectKey:
    """Return `key` if verifiers take it for a CA; raises CertificateError."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    raise CertificateError(
        "No browser trusts a CA with a key of this kind.", hint="ECDSA on P-256 or P-384, or RSA with 2048 bits or more"
    )
