"""The revocation status of a certificate, from its issuer's CRL or OCSP response.

Owns the value of such an answer: its signature, its dates, its entry. Refuses to take an answer that its issuer did
not sign. An answer that cannot be used is never a reason to warn, as in browsers; one that says "revoked" is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.config.lines import visible
from devtls.doctor.tls_check.certificate import UNREADABLE, Certificate, holds, issued_by, shortened
from devtls.doctor.tls_check.fetch import Fetcher, NotFetched
from devtls.doctor.tls_check.path import CertificationPath

# Clocks of issuers and of this machine differ by minutes.
_SKEW = timedelta(minutes=5)


class CertificateStatus(Enum):
    """The status of a certificate (RFC 6960 4.2.1, CertStatus)."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Revocation:
    """One answer about one certificate: `source` is the address asked, `kind` CRL or OCSP."""

    subject: str
    kind: str
    source: str
    status: CertificateStatus
    sentence: str


def read_crl(der: bytes, certificate: Certificate, issuer: Certificate, source: str, now: datetime) -> Revocation:
    """Return the status of `certificate` by a CRL (DER or PEM)."""
    try:
        return _read_crl(der, certificate, issuer, source, now)
    except UNREADABLE as error:
        return unusable(
            certificate, "CRL", source, f"what {source} sent is no revocation list: {shortened(str(error))}"
        )


def _read_crl(der: bytes, certificate: Certificate, issuer: Certificate, source: str, now: datetime) -> Revocation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crl = x509.load_pem_x509_crl(der) if der.startswith(b"-----") else x509.load_der_x509_crl(der)
        key = issuer.raw.public_key()
        signed = crl.issuer == issuer.raw.subject and crl.is_signature_valid(key)  # type: ignore[arg-type] # TypeError
        entry = crl.get_revoked_certificate_by_serial_number(certificate.raw.serial_number)
    if not signed:
        return unusable(certificate, "CRL", source, f"the revocation list was not signed by {issuer.subject}")
    # Before the dates: an old list that says "revoked" is still believed, a revocation is seldom lifted.
    if entry is not None and _counts(entry):
        why = _reason(entry.extensions)
        return _revoked(certificate, "CRL", source, entry.revocation_date_utc, why)
    if crl.last_update_utc > now + _SKEW:
        return unusable(
            certificate, "CRL", source, f"the revocation list is of {crl.last_update_utc:%Y-%m-%d}, the future"
        )
    if crl.next_update_utc is not None and crl.next_update_utc < now:
        ended = f"{crl.next_update_utc:%Y-%m-%d}"
        return unusable(
            certificate, "CRL", source, f"the revocation list of {issuer.subject} was good until {ended} only"
        )
    return _good(certificate, "CRL", source, f"the list of {issuer.subject}, of {crl.last_update_utc:%Y-%m-%d}")


def _counts(entry: x509.RevokedCertificate) -> bool:
    # removeFromCRL lifts a hold (RFC 5280 section 5.3.1).
    return _reason(entry.extensions) != x509.ReasonFlags.remove_from_crl.value


def _reason(extensions: Iterable[x509.Extension[x509.ExtensionType]]) -> str:
    return next((each.value.reason.value for each in extensions if isinstance(each.value, x509.CRLReason)), "")


def build_ocsp_request(certificate: Certificate, issuer: Certificate) -> bytes:
    """Return the OCSP request for `certificate` (DER)."""
    # SHA-1 names the certificate here and protects nothing; many responders know no other.
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate.raw, issuer.raw, SHA1())  # noqa: S303 - see above
    return builder.build().public_bytes(Encoding.DER)


def read_ocsp(der: bytes, certificate: Certificate, issuer: Certificate, source: str, now: datetime) -> Revocation:
    """Return the status of `certificate` by an OCSP response (DER)."""
    try:
        return _read_ocsp(ocsp.load_der_ocsp_response(der), certificate, issuer, source, now)
    except UNREADABLE as error:
        return unusable(certificate, "OCSP", source, f"what {source} sent is no OCSP answer: {shortened(str(error))}")


def _read_ocsp(
    answer: ocsp.OCSPResponse, certificate: Certificate, issuer: Certificate, source: str, now: datetime
) -> Revocation:
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        words = answer.response_status.name.lower().replace("_", " ")
        return unusable(certificate, "OCSP", source, f"{source} did not answer the question: {words}")
    # One response may be about several certificates (RFC 6960 section 4.2.1).
    single = next((each for each in answer.responses if each.serial_number == certificate.raw.serial_number), None)
    if single is None:
        return unusable(certificate, "OCSP", source, f"{source} answered about another certificate")
    if not _is_signed(answer, issuer):
        return unusable(certificate, "OCSP", source, f"the OCSP answer was not signed on behalf of {issuer.subject}")
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED and single.revocation_time_utc is not None:
        why = single.revocation_reason.value if single.revocation_reason else ""
        return _revoked(certificate, "OCSP", source, single.revocation_time_utc, why)
    if single.next_update_utc is not None and single.next_update_utc < now:
        ended = f"{single.next_update_utc:%Y-%m-%d}"
        return unusable(certificate, "OCSP", source, f"the OCSP answer of {source} was good until {ended} only")
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        return unusable(certificate, "OCSP", source, f"{source} does not know the certificate")
    return _good(certificate, "OCSP", source, f"the OCSP answer of {source}")


def _is_signed(answer: ocsp.OCSPResponse, issuer: Certificate) -> bool:
    """Say whether the issuer signed the answer, or a responder that it made for this purpose."""
    signers = [issuer.raw, *(each for each in answer.certificates if _is_delegate(each, issuer.raw))]
    algorithm = answer.signature_hash_algorithm
    return any(holds(signer, answer.signature, answer.tbs_response_bytes, algorithm) for signer in signers)


def _is_delegate(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (*UNREADABLE, x509.ExtensionNotFound):
        return False
    # A delegate must be marked so and be signed by the issuer itself (RFC 6960 section 4.2.2.2).
    return ExtendedKeyUsageOID.OCSP_SIGNING in purposes and issued_by(certificate, issuer)


def _good(certificate: Certificate, kind: str, source: str, by: str) -> Revocation:
    return Revocation(
        certificate.subject, kind, source, CertificateStatus.GOOD, f"{certificate.subject} is not revoked: {by}."
    )


def _revoked(certificate: Certificate, kind: str, source: str, when: datetime, why: str) -> Revocation:
    reason = f" ({why})" if why else ""
    sentence = f"{certificate.subject} was revoked on {when:%Y-%m-%d}{reason}, says its issuer's {kind} at {source}."
    return Revocation(certificate.subject, kind, source, CertificateStatus.REVOKED, sentence)


def unusable(certificate: Certificate, kind: str, source: str, why: str) -> Revocation:
    """Return an unknown status; `why` is half a sentence."""
    sentence = f"It is not known whether {certificate.subject} is revoked: {why}."
    return Revocation(certificate.subject, kind, source, CertificateStatus.UNKNOWN, sentence)


# Each may wait for the whole time limit, and certificates of strangers choose the addresses.
_MOST_TRIED = 2
_LONGEST_URL = 200


def query_issuers(path: CertificationPath, fetcher: Fetcher, now: datetime) -> tuple[Revocation, ...]:
    """Ask the issuers of a path; return the status of each certificate that names a CRL or a responder.

    For each one the first CRL and the first responder count that give an answer, at most two are tried of each kind.
    All are asked at once.
    """
    jobs: list[Callable[[], Revocation]] = []
    for certificate, issuer in path.links:
        by_list = partial(_ask_list, certificate, issuer, fetcher, now)
        by_responder = partial(_ask_responder, certificate, issuer, fetcher, now)
        jobs += [partial(_first, by_list, certificate.crl_urls)] if certificate.crl_urls else []
        jobs += [partial(_first, by_responder, certificate.ocsp_urls)] if certificate.ocsp_urls else []
    if not jobs:
        return ()
    with ThreadPoolExecutor(len(jobs)) as pool:
        return tuple(pool.map(lambda job: job(), jobs))


def _first(ask: Callable[[str], Revocation], urls: tuple[str, ...]) -> Revocation:
    tried: list[Revocation] = []
    for url in urls[:_MOST_TRIED]:
        tried.append(ask(url))
        if tried[-1].status is not CertificateStatus.UNKNOWN:
            break
    return tried[-1]


def _ask_list(certificate: Certificate, issuer: Certificate, fetcher: Fetcher, now: datetime, url: str) -> Revocation:
    source = _shown(url)
    try:
        content = fetcher.fetch(url)
    except NotFetched as error:
        return unusable(certificate, "CRL", source, str(error))
    return read_crl(content, certificate, issuer, source, now)


def _ask_responder(
    certificate: Certificate, issuer: Certificate, fetcher: Fetcher, now: datetime, url: str
) -> Revocation:
    source = _shown(url)
    try:
        question = build_ocsp_request(certificate, issuer)
        content = fetcher.fetch(url, question, "application/ocsp-request")
    except NotFetched as error:
        return unusable(certificate, "OCSP", source, str(error))
    return read_ocsp(content, certificate, issuer, source, now)


def _shown(url: str) -> str:
    return visible(url[:_LONGEST_URL])
