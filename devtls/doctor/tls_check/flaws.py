"""Flaws that browsers refuse in a certificate otherwise in order: weak keys, old hashes, long lives, wrong purposes.

Owns the limits and their sources. Roots are not checked: they count because somebody chose them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from devtls.doctor.tls_check.certificate import Certificate
from devtls.doctor.tls_check.path import CertificationPath
from devtls.doctor.tls_check.report import CheckAnswer, Mark

_SHORTEST_RSA = 2048
_WEAK_HASHES = frozenset({"md2", "md5", "sha1"})
# Chromium offers no Ed25519 for certificates, and P-521 neither.
_BROWSER_CURVES = frozenset({"P-256", "P-384"})
_HOUR = timedelta(hours=1)  # Apple allows that much more

# Apple, HT210176: TLS server certificates issued after this day, of any CA.
_APPLE_SINCE = datetime(2019, 7, 1, tzinfo=UTC)
_APPLE_DAYS = 825
_PUBLIC_LIMITS = ((datetime(2026, 3, 15, tzinfo=UTC), 200), (datetime(2020, 9, 1, tzinfo=UTC), 398))
"""CA/Browser Forum: certificates of public CAs that begin on that day or later live at most so many days."""


def find_flaws(path: CertificationPath, *, public: bool) -> Iterator[CheckAnswer]:
    """Yield the flaws of the certificates of a path; `public` = its root is a public one."""
    for certificate in path.below_the_root:
        if certificate.broken:
            yield _warns(
                f"The extensions of {certificate.subject} cannot be read: {certificate.broken}.", "is malformed"
            )
        yield from _weak(certificate)
        if certificate.unknown_critical:
            which = ", ".join(certificate.unknown_critical)
            sentence = (
                f"{certificate.subject} has an extension that must be understood, and that nobody knows: {which}."
            )
            yield _warns(sentence, "demands what browsers do not know")
    yield from _of_the_leaf(path.leaf)
    yield from _life(path.leaf, public=public)


def _weak(certificate: Certificate) -> Iterator[CheckAnswer]:
    kind, size = certificate.key
    if kind == "RSA" and size < _SHORTEST_RSA:
        sentence = (
            f"The key of {certificate.subject} is weak: RSA with {size} bits, where browsers want {_SHORTEST_RSA}."
        )
        yield _warns(sentence, "has a weak key")
    elif kind not in _BROWSER_CURVES | {"RSA"}:
        sentence = f"The key of {certificate.subject} is of a kind ({kind}) that Chromium cannot use: take P-256."
        yield _warns(sentence, "has a key that browsers cannot use")
    # A certificate's own signature on itself protects nothing, so its hash does not matter.
    if certificate.signature_hash in _WEAK_HASHES and not certificate.self_signed:
        name = certificate.signature_hash.upper().replace("SHA1", "SHA-1")
        sentence = f"{certificate.subject} is signed with {name}, which can be forged."
        yield _warns(sentence, "is signed with a broken hash")


def _of_the_leaf(leaf: Certificate) -> Iterator[CheckAnswer]:
    if leaf.is_ca:
        sentence = "A server showed the certificate of a CA: Firefox refuses that, and its key could sign any name."
        yield _warns(sentence, "belongs to a CA")
    if not leaf.serves:
        yield _warns("The certificate is not for servers: its purposes (EKU) are others.", "is not for servers")
    elif leaf.purposes is None:
        yield _note("It names no purpose (EKU serverAuth); Apple's systems may refuse that.")
    if leaf.names_ignorable:
        sentence = "Its subject is empty, so its alternative names must be critical (RFC 5280), and are not."
        yield _warns(sentence, "is malformed")
    if leaf.wants_staple:
        yield _note("It demands a stapled OCSP answer (must-staple); without one, Firefox refuses.")


def _life(leaf: Certificate, *, public: bool) -> Iterator[CheckAnswer]:
    life = leaf.not_after - leaf.not_before
    limit = next((days for since, days in _PUBLIC_LIMITS if leaf.not_before >= since), 0)
    if leaf.not_before >= _APPLE_SINCE and life > timedelta(days=_APPLE_DAYS) + _HOUR:
        sentence = f"It lives {life.days} days: Safari and Apple's systems refuse more than {_APPLE_DAYS}, from any CA."
        yield _warns(sentence, "lives too long")
    elif limit and life > timedelta(days=limit) + _HOUR:
        if public:
            sentence = f"It lives {life.days} days: browsers refuse more than {limit} from public CAs."
            yield _warns(sentence, "lives too long")
        else:
            yield _note(f"It lives {life.days} days; a public CA would be held to {limit}, a CA of your own is not.")


def _warns(sentence: str, because: str) -> CheckAnswer:
    return CheckAnswer("Certificate", Mark.WARNS, sentence, f"it {because}")


def _note(sentence: str) -> CheckAnswer:
    return CheckAnswer("Certificate", Mark.NOTE, sentence)
