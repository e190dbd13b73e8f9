"""The remarks beside the four questions: the connection, revocation, other verifiers, HSTS.

Owns these sentences, and the name that Chromium gives to the worst of all troubles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from devtls.doctor.tls_check.certificate import shortened
from devtls.doctor.tls_check.evidence import CRYPTOGRAPHY, OPENSSL, STRICT, Evidence, Handshake, VerifierResult
from devtls.doctor.tls_check.report import CheckAnswer, Mark
from devtls.doctor.tls_check.revocation import CertificateStatus, Revocation

_DAY_S = 86400
_PRELOADED = frozenset(
    {"app", "dev", "page", "new", "day", "foo", "zip", "mov", "bank", "insurance", "google", "search"}
)
"""Top-level domains that browsers open with https alone, with every name below them."""

_ERRORS = (
    ("neither protocol nor", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH"),
    ("browsers cannot use", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH"),
    ("malformed|oversteps|do not know$|not for servers", "NET::ERR_CERT_INVALID"),
    ("revoked", "NET::ERR_CERT_REVOKED"),
    ("unknown issuer|self-signed|incomplete|wrong signature", "NET::ERR_CERT_AUTHORITY_INVALID"),
    ("another name", "NET::ERR_CERT_COMMON_NAME_INVALID"),
    ("broken hash", "NET::ERR_CERT_WEAK_SIGNATURE_ALGORITHM"),
    ("weak key", "NET::ERR_CERT_WEAK_KEY"),
    ("expired|not valid yet", "NET::ERR_CERT_DATE_INVALID"),
)
"""Chromium shows one error alone, the worst; in its order."""


def on_connection(handshake: Handshake) -> Iterator[CheckAnswer]:
    """Yield the faults of protocol and cipher."""
    if not handshake.browserly:
        spoken = f"{handshake.protocol} with {handshake.cipher}"
        sentence = (
            f"The server speaks {spoken}, and nothing that browsers offer: they want TLS 1.3, or 1.2 with AES-GCM."
        )
        yield CheckAnswer("Connection", Mark.WARNS, sentence, "it offers neither protocol nor cipher of a browser")
    if handshake.wants_certificate:
        sentence = (
            "The server lets in only clients that show a certificate. For a route of yours with client_auth, "
            "`devtls cert NAME --client` makes one, with --p12 for browsers."
        )
        yield CheckAnswer("Client", Mark.NOTE, sentence)
    if not handshake.whole:
        sentence = "This Python shows the server's own certificate only: a chain that was sent with it was not seen."
        yield CheckAnswer("Connection", Mark.NOTE, sentence)


def on_revocation(revocations: Iterable[Revocation]) -> Iterator[CheckAnswer]:
    """Yield the answers of the issuers."""
    for each in revocations:
        match each.status:
            case CertificateStatus.GOOD:
                yield CheckAnswer("Revocation", Mark.FINE, each.sentence)
            case CertificateStatus.UNKNOWN:
                yield CheckAnswer("Revocation", Mark.NOTE, f"{each.sentence} Browsers do not mind.")
            case CertificateStatus.REVOKED:
                sentence = f"{each.sentence} Not every browser looks; nobody should go on."
                yield CheckAnswer("Revocation", Mark.WARNS, sentence, "it was revoked")


def on_verifiers(verifiers: Sequence[VerifierResult], *, would_warn: bool) -> Iterator[CheckAnswer]:
    """Yield the disagreements of the verifiers with each other, or of both with our own answers."""
    by_name = {each.verifier: each for each in verifiers}
    if not {OPENSSL, STRICT, CRYPTOGRAPHY} <= by_name.keys():
        return
    openssl, strict, other = by_name[OPENSSL], by_name[STRICT], by_name[CRYPTOGRAPHY]
    yield _compared(openssl, other, would_warn=would_warn)
    if openssl.accepts and not strict.accepts:
        yield CheckAnswer("Verifiers", Mark.NOTE, f"Python 3.13 and later are stricter and refuse it: {strict.says}.")


def _compared(openssl: VerifierResult, other: VerifierResult, *, would_warn: bool) -> CheckAnswer:
    if openssl.accepts != other.accepts:
        return CheckAnswer("Verifiers", Mark.NOTE, f"They disagree: {_says(openssl)}; {_says(other)}.")
    if not openssl.accepts and not would_warn:
        sentence = f"{_says(openssl)}; {_says(other)}."
        return CheckAnswer("Verifiers", Mark.WARNS, sentence, "it satisfies neither OpenSSL nor cryptography")
    if not openssl.accepts:
        sentence = f"OpenSSL and cryptography refuse it as well: {openssl.says}."
        return CheckAnswer("Verifiers", Mark.NOTE, sentence)
    if would_warn:
        return CheckAnswer("Verifiers", Mark.NOTE, "OpenSSL and cryptography accept it: browsers look at more.")
    return CheckAnswer("Verifiers", Mark.FINE, "OpenSSL and cryptography accept it as well.")


def _says(result: VerifierResult) -> str:
    return f"{result.verifier} accepts it" if result.accepts else f"{result.verifier} refuses it ({result.says})"


def on_hsts(evidence: Evidence, *, would_warn: bool) -> Iterator[CheckAnswer]:
    """Yield the rules that keep a person from going on at a warning."""
    address, value = evidence.address, evidence.handshake.hsts
    if address.is_ip:
        return
    top = str(address.host).rpartition(".")[2]
    if top in _PRELOADED:
        sentence = (
            f"Browsers open names below .{top} with https alone (preloaded HSTS): a warning cannot be clicked away."
        )
        yield CheckAnswer("HSTS", Mark.NOTE, sentence)
    if value is None:
        return
    # Names are case-insensitive and the value may be quoted (RFC 6797 section 6.1).
    age = re.search(r"max-age\s*=\s*\"?(\d{1,15})", value, re.IGNORECASE)
    # max-age=0 has a browser forget the host (RFC 6797 section 6.1.1).
    if age is None or int(age[1]) == 0:
        shown = shortened(value)
        yield CheckAnswer(
            "HSTS", Mark.NOTE, f"It sends Strict-Transport-Security: {shown}, which has browsers forget HSTS."
        )
        return
    days = int(age[1]) // _DAY_S
    below = " and every name below it" if "includesubdomains" in value.lower() else ""
    term = f"{days} days" if days > 1 else f"{age[1]} seconds"
    sentence = f"It tells browsers to insist on https for {address.host}{below}, for {term}, on every port (HSTS)"
    after = ": one that has been here before lets nobody click the warning away." if would_warn else "."
    yield CheckAnswer("HSTS", Mark.NOTE, sentence + after)


def chromium_error(answers: Iterable[CheckAnswer]) -> str:
    """Return Chromium's name of the worst fault ("" = it has no name there)."""
    reasons = [each.because for each in answers if each.mark is Mark.WARNS]
    return next((name for words, name in _ERRORS if any(re.search(words, reason) for reason in reasons)), "")
