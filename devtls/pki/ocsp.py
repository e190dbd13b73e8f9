"""OCSP responses (RFC 6960, and RFC 5019 for the lightweight profile).

Owns the status in a response: good for a certificate that this CA issued, revoked for one on its CRL, unknown for a
serial number that it never gave out. Refuses requests for several certificates (malformedRequest) and for other CAs, or
one that has ended (unauthorized: nobody would believe our signature). No answer outlives the CA that signed it. An
expired certificate keeps the answer that it had: entries are never taken off the CRL because of their age.
Strategy: the intermediate signs by itself (RFC 6960 4.2.2.2), so no responder's certificate has to be made and checked.
Its own does not go along: whoever asks has it, and Go's golang.org/x/crypto/ocsp, hence Caddy, takes the first
certificate in an answer for one that the issuer signed, and refuses this one. What running proxies mint is in no
register; its serial numbers carry a mark, and it is good until it is on the CRL.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from enum import Enum

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256, Hash, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from devtls.pki.intermediate import Intermediate
from devtls.pki.leaf import TRANSIENT, whole_seconds
from devtls.pki.register import serial_text
from devtls.pki.revocation import reason_of

REQUEST_TYPE, RESPONSE_TYPE = "application/ocsp-request", "application/ocsp-response"
MAX_REQUEST_BYTES = 4096
LIFETIME = timedelta(hours=1)
"""From one answer to when it should be asked again."""

_LONGEST_NONCE = 128  # RFC 9654 2.1: more must not be accepted


class Publisher(msgspec.Struct, frozen=True):
    """An intermediate that can be asked about: its CRL as published, and the serial numbers that it has on record.

    `mints`: running proxies sign with it too, and record nothing.
    """

    issuer: Intermediate
    crl: x509.CertificateRevocationList
    issued: Container[str]
    mints: bool = True


class OcspResponse(msgspec.Struct, frozen=True):
    """A response, DER; `until` is None for one that may not be kept: an error, or one for a single request (nonce)."""

    der: bytes
    until: datetime | None = None


class _Refusal(Enum):
    """Why there is no signed answer."""

    MALFORMED = ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    FOREIGN = ocsp.OCSPResponseStatus.UNAUTHORIZED
    LATER = ocsp.OCSPResponseStatus.TRY_LATER


def respond(request_der: bytes, publishers: Iterable[Publisher], now: datetime) -> OcspResponse:
    """Return what to answer to a request, whatever it is."""
    try:
        request = ocsp.load_der_ocsp_request(request_der[: MAX_REQUEST_BYTES + 1])
        nonce = _nonce(request)
        if request.serial_number < 0:  # RFC 5280 4.1.2.2: no CA gives one out, and no answer could repeat it
            return _refused(_Refusal.MALFORMED)
        publisher = _publisher(request, publishers)
    except (ValueError, NotImplementedError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return _refused(_Refusal.MALFORMED)
    if publisher is None or whole_seconds(now) >= publisher.issuer.certificate.not_valid_after_utc:
        return _refused(_Refusal.FOREIGN)
    return _signed(request, nonce, publisher, now)


def try_later_response() -> OcspResponse:
    """Return the response while nothing can be signed (tryLater, RFC 6960 2.3)."""
    return _refused(_Refusal.LATER)


def _refused(why: _Refusal) -> OcspResponse:
    response = ocsp.OCSPResponseBuilder.build_unsuccessful(why.value)
    return OcspResponse(response.public_bytes(Encoding.DER))


def _nonce(request: ocsp.OCSPRequest) -> x509.OCSPNonce | None:
    """Return the nonce; raises ValueError for one that is too long, and for what must be understood and is not."""
    found = None
    for extension in request.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            found = extension.value
        elif extension.critical:
            raise ValueError("a critical extension that is unknown")
    if found is not None and not 1 <= len(found.nonce) <= _LONGEST_NONCE:
        raise ValueError("a nonce of an impossible length")
    return found


def _publisher(request: ocsp.OCSPRequest, publishers: Iterable[Publisher]) -> Publisher | None:
    algorithm, wanted = request.hash_algorithm, (request.issuer_name_hash, request.issuer_key_hash)
    return next((one for one in publishers if _issuer_hashes(one.issuer, algorithm) == wanted), None)


def _issuer_hashes(issuer: Intermediate, algorithm: HashAlgorithm) -> tuple[bytes, bytes]:
    """Return what a request calls the issuer by: hashes of its name and of its key's bit string (RFC 6960 4.1.1)."""
    key = issuer.certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):  # of a CA that came from elsewhere
        bits = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    else:
        bits = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _hashed(issuer.certificate.subject.public_bytes(), algorithm), _hashed(bits, algorithm)


def _hashed(content: bytes, algorithm: HashAlgorithm) -> bytes:
    digest = Hash(algorithm)
    digest.update(content)
    return digest.finalize()


def _signed(
    request: ocsp.OCSPRequest, nonce: x509.OCSPNonce | None, publisher: Publisher, now: datetime
) -> OcspResponse:
    status, entry = _status(request.serial_number, publisher)
    this_update = whole_seconds(now)
    issuer = publisher.issuer
    # No answer may outlive the CA that signed it.
    next_update = min(this_update + LIFETIME, issuer.certificate.not_valid_after_utc)
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=request.issuer_name_hash,
        issuer_key_hash=request.issuer_key_hash,
        serial_number=request.serial_number,
        algorithm=request.hash_algorithm,
        cert_status=status,
        this_update=this_update,
        next_update=next_update,
        revocation_time=None if entry is None else entry.revocation_date_utc,
        revocation_reason=None if entry is None else reason_of(entry),
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate)
    if nonce is not None:
        builder = builder.add_extension(nonce, critical=False)
    # Without certificates: Go's x/crypto/ocsp, hence Caddy, takes the first for a delegated responder's and refuses
    # ours.
    response = builder.sign(issuer.key, SHA256())
    # An answer with a nonce is for one request: no cache may keep it.
    return OcspResponse(response.public_bytes(Encoding.DER), None if nonce is not None else next_update)


def _status(serial: int, publisher: Publisher) -> tuple[ocsp.OCSPCertStatus, x509.RevokedCertificate | None]:
    entry = publisher.crl.get_revoked_certificate_by_serial_number(serial)
    # Before the mark of running proxies is looked at: what they minted can be revoked as well.
    if entry is not None:
        return ocsp.OCSPCertStatus.REVOKED, entry
    # What running proxies mint is in no register: its mark makes it good until it is on the CRL.
    known = (publisher.mints and serial & TRANSIENT) or serial_text(serial) in publisher.issued
    return (ocsp.OCSPCertStatus.GOOD if known else ocsp.OCSPCertStatus.UNKNOWN), None
