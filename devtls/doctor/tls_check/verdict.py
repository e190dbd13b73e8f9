"""From evidence to answers: the four questions, and every further rule of a browser.

Owns every verdict. Decides as a browser does, by the browsers' own lists: a root that only the system's store holds
is not trusted by a browser. A revoked certificate counts as a warning, although Chromium and Firefox do not read the
lists of private CAs: nobody should open it. Pure: `check` gathers the facts.
"""

from __future__ import annotations

from datetime import datetime

from devtls.doctor.tls_check.advice import advise
from devtls.doctor.tls_check.certificate import Certificate, shortened
from devtls.doctor.tls_check.constraints import find_breaches
from devtls.doctor.tls_check.evidence import Evidence, StoreAnswer
from devtls.doctor.tls_check.flaws import find_flaws
from devtls.doctor.tls_check.names import PublicSuffix, match_name
from devtls.doctor.tls_check.path import CertificationPath, PathEnd
from devtls.doctor.tls_check.remarks import chromium_error, on_connection, on_hsts, on_revocation, on_verifiers
from devtls.doctor.tls_check.report import CheckAnswer, Mark, TlsCheckReport

_MOST_LABELS = 4
_OF_BROWSERS = {True: "and none of them has it", False: "and none was found here"}
_INCOMPLETE = "it comes with an incomplete chain"


def decide(evidence: Evidence, is_public_suffix: PublicSuffix) -> TlsCheckReport:
    """Return the decision of a browser, with its reasons."""
    path = evidence.path
    matched, sentence = match_name(evidence.address.host, path.leaf, is_public_suffix)
    questions = (
        check_issuer(evidence),
        check_dates(path, evidence.now),
        _answer("Name", matched, sentence, "it is for another name"),
        check_chain(path),
    )
    remarks = [*on_connection(evidence.handshake), *find_flaws(path, public=evidence.public)]
    remarks += on_revocation(evidence.revocations)
    # Revocation counts here, although not every browser looks: nobody should open a revoked one.
    would_warn = any(each.mark is Mark.WARNS for each in (*questions, *remarks))
    remarks += on_verifiers(evidence.verifiers, would_warn=would_warn)
    remarks += on_hsts(evidence, would_warn=would_warn)
    error = chromium_error((*questions, *remarks))
    return TlsCheckReport(questions, tuple(remarks), error, advise(evidence, questions, remarks))


def _answer(about: str, fine: bool, sentence: str, because: str) -> CheckAnswer:
    return CheckAnswer(about, Mark.FINE, sentence) if fine else CheckAnswer(about, Mark.WARNS, sentence, because)


def check_issuer(evidence: Evidence) -> CheckAnswer:
    """Say whether a browser trusts the end of the chain."""
    path = evidence.path
    match path.end:
        case PathEnd.ANCHORED:
            return _check_anchor(evidence)
        case PathEnd.SELF_SIGNED:
            return _answer(
                "Issuer",
                False,
                "Nobody vouches for the certificate but itself (self-signed), and no store of this machine holds it.",
                "it is self-signed",
            )
        case PathEnd.UNTRUSTED_ROOT:
            sentence = f"It goes back to {path.last.subject}, which no store of this machine trusts."
        case PathEnd.OTHER_KEY:
            sentence = (
                f"It goes back to {path.last.issuer}, and the certificate of that name here has another key: "
                "one of the two was made anew."
            )
        case PathEnd.INCOMPLETE:
            sentence = (
                f"It goes back to {path.last.issuer}: the server did not send that certificate, and no store of this "
                "machine has it."
            )
        case PathEnd.BAD_SIGNATURE:
            sentence = f"Nobody can say who issued it: {path.last.issuer} did not make its signature."
    return _answer("Issuer", False, sentence, "it comes from an unknown issuer")


def _check_anchor(evidence: Evidence) -> CheckAnswer:
    root, stores = evidence.path.last.subject, evidence.stores
    trusting = [store for store in stores if store.trusts]
    browsers = [store for store in stores if store.kind == "browser"]
    doubting = [store for store in browsers if store.trusts is False]
    holders = _labels(trusting)
    # Asked for by the user: then the question is what a browser with that root would do.
    if any(store.kind == "given" for store in trusting):
        return _answer("Issuer", True, f"{root} counts as trusted, as asked with --ca: {holders}.", "")
    # Before the stores: Chromium's and Firefox' built-in lists are in no database that could be read.
    if evidence.public:
        return _answer("Issuer", True, f"{root} is a public root, which browsers bring along. Here: {holders}.", "")
    unknown = [store for store in browsers if store.trusts is None]
    if not any(store.trusts for store in browsers):
        sentence = f"{root} is trusted by {holders}, for other programs; browsers keep lists of their own, "
        sentence += _not_asked(unknown) if unknown else _OF_BROWSERS[bool(browsers)]
        return _answer("Issuer", False, f"{sentence}.", "it comes from an unknown issuer")
    if doubting:
        sentence = f"{root} is trusted by {holders}, but not by {_labels(doubting)}."
        return _answer("Issuer", False, sentence, f"it comes from an unknown issuer for {_labels(doubting)}")
    return _answer("Issuer", True, f"{root} is trusted by {holders}.", "")


def _not_asked(stores: list[StoreAnswer]) -> str:
    return f"and {_labels(stores)} could not be asked ({shortened(stores[0].detail)})"


def _labels(stores: list[StoreAnswer]) -> str:
    labels = list(dict.fromkeys(store.label for store in stores))
    if len(labels) > _MOST_LABELS:
        return f"{', '.join(labels[:_MOST_LABELS])} and {len(labels) - _MOST_LABELS} more"
    return f"{', '.join(labels[:-1])} and {labels[-1]}" if len(labels) > 1 else "".join(labels)


def check_dates(path: CertificationPath, now: datetime) -> CheckAnswer:
    """Say whether now lies in the validity of every certificate of the path."""
    late = next((each for each in path.certificates if now > each.not_after), None)
    early = next((each for each in path.certificates if now < each.not_before), None)
    leaf = path.leaf
    if late is not None:
        return _answer("Dates", False, f"{_whose(late, leaf)} ended {_when(late.not_after, now)}.", "it has expired")
    if early is not None:
        sentence = f"{_whose(early, leaf)} begins {_when(early.not_before, now)}: is the clock of this machine right?"
        return _answer("Dates", False, sentence, "it is not valid yet")
    since, until = f"{leaf.not_before:%Y-%m-%d}", f"{leaf.not_after:%Y-%m-%d}"
    return _answer("Dates", True, f"Valid since {since}, for {_span(leaf.not_after, now)} more (until {until}).", "")


def _whose(certificate: Certificate, leaf: Certificate) -> str:
    return "The certificate" if certificate is leaf else f"The certificate of {certificate.subject}, in its chain,"


def _when(moment: datetime, now: datetime) -> str:
    span = _span(max(moment, now), min(moment, now))
    return f"on {moment:%Y-%m-%d}, {f'in {span}' if moment > now else f'{span} ago'}"


def _span(later: datetime, earlier: datetime) -> str:
    seconds = int((later - earlier).total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def check_chain(path: CertificationPath) -> CheckAnswer:
    """Say whether every signature holds, and every signer may sign."""
    breaches = list(find_breaches(path))
    line = " < ".join(each.subject for each in path.certificates)
    if breaches:
        return _answer("Signatures", False, " ".join(breaches), "it comes from a CA that oversteps its limits")
    match path.end:
        case PathEnd.ANCHORED | PathEnd.UNTRUSTED_ROOT if len(path.certificates) > 1:
            count = len(path.certificates) - 1
            many = "The one signature holds" if count == 1 else f"All {count} signatures hold"
            return _answer("Signatures", True, f"{many}: {line}.", "")
        case PathEnd.ANCHORED | PathEnd.UNTRUSTED_ROOT | PathEnd.SELF_SIGNED:
            return CheckAnswer(
                "Signatures", Mark.NOTE, "Its only signature is its own, which shows nothing about its maker."
            )
        case PathEnd.BAD_SIGNATURE:
            sentence = f"The signature on {path.last.subject} is wrong: {path.last.issuer} did not make it."
            return _answer("Signatures", False, sentence, "it has a wrong signature")
        case PathEnd.OTHER_KEY | PathEnd.INCOMPLETE:
            return _answer("Signatures", False, _stops(path, line), _INCOMPLETE)


def _stops(path: CertificationPath, line: str) -> str:
    sent = f"{line} < …" if len(path.certificates) > 1 else ""
    sentence = f"The chain stops at {path.last.subject}{f' ({sent})' if sent else ''}: the certificate of "
    sentence += f"{path.last.issuer}, which signed it, is not there."
    if path.last.issuer_urls:
        sentence += " It says where to get it, which Chromium and Safari do, and Firefox, curl and Python do not."
    elif len(path.certificates) == 1:
        sentence += " Either the server forgot to send it, or it is a root that is not known here."
    return sentence
