"""Two independent verifiers for the same server and the same roots: OpenSSL and cryptography.

Owns how they are set up: as browsers are (alternative names only, any trusted certificate may end a chain). OpenSSL is
asked twice, since Python 3.13 and later are stricter than browsers (X509_V_FLAG_X509_STRICT) and people meet both.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Sequence
from datetime import datetime

from cryptography.x509 import DNSName, IPAddress, verification

from devtls.doctor.tls_check.address import Address
from devtls.doctor.tls_check.certificate import UNREADABLE, Certificate, shortened
from devtls.doctor.tls_check.evidence import CRYPTOGRAPHY, OPENSSL, STRICT, VerifierResult
from devtls.doctor.tls_check.handshake import CheckTarget
from devtls.doctor.tls_check.resolve import CannotReach, cut_after


def ask_openssl(target: CheckTarget, anchors: Sequence[Certificate]) -> tuple[VerifierResult, ...]:
    """Return OpenSSL's results of two handshakes of its own: as usual, and strict."""
    usual, strict = _context(anchors, strict=False), _context(anchors, strict=True)
    return (_handshake(OPENSSL, target, usual), _handshake(STRICT, target, strict))


def _context(anchors: Sequence[Certificate], *, strict: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As browsers: the common name is no name of a server any more (RFC 9525).
    context.hostname_checks_common_name = False
    # PARTIAL_CHAIN: any trusted certificate may end a chain, as in browsers; OpenSSL wants a root.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    strictly = ssl.VerifyFlags.VERIFY_X509_STRICT
    # Set or cleared: Python 3.13 and later may set it by themselves.
    context.verify_flags = context.verify_flags | strictly if strict else context.verify_flags & ~strictly
    for anchor in anchors:
        try:
            context.load_verify_locations(cadata=anchor.der)
        except ssl.SSLError:  # OpenSSL cannot read it, so nothing can end there
            continue
    return context


def _handshake(verifier: str, target: CheckTarget, context: ssl.SSLContext) -> VerifierResult:
    try:
        with target.connect() as plain:
            name = str(target.address.host)
            with (
                context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False) as tls,
                cut_after(tls, target.timeout_s),
            ):
                tls.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return VerifierResult(verifier, False, shortened(error.verify_message))
    except (OSError, CannotReach) as error:
        reason = getattr(error, "reason", None)
        return VerifierResult(
            verifier, False, shortened(str(reason).lower().replace("_", " ") if reason else str(error))
        )
    return VerifierResult(verifier, True)


def ask_cryptography(
    address: Address, sent: Sequence[Certificate], anchors: Sequence[Certificate], now: datetime
) -> VerifierResult:
    """Return the result of cryptography's verifier for the chain that was sent."""
    if not anchors:
        return VerifierResult(CRYPTOGRAPHY, False, "no root to begin with")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            subject = DNSName(address.host) if isinstance(address.host, str) else IPAddress(address.host)
            store = verification.Store([each.raw for each in anchors])
            verifier = verification.PolicyBuilder().store(store).time(now).build_server_verifier(subject)
            verifier.verify(sent[0].raw, [each.raw for each in sent[1:]])
    except (verification.VerificationError, *UNREADABLE) as error:
        return VerifierResult(CRYPTOGRAPHY, False, shortened(_innermost(str(error))))
    return VerifierResult(CRYPTOGRAPHY, True)


def _innermost(text: str) -> str:
    """Return what the verifier says without its wrapping; its first words are always the same."""
    return text.removeprefix("validation failed: ").split(" (encountered processing")[0]
