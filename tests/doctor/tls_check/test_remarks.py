from __future__ import annotations

import pytest

from devtls.doctor.tls_check.address import parse_address
from devtls.doctor.tls_check.evidence import CRYPTOGRAPHY, OPENSSL, STRICT, Evidence, Handshake, LocalCa, VerifierResult
from devtls.doctor.tls_check.path import find_path
from devtls.doctor.tls_check.remarks import chromium_error, on_connection, on_hsts, on_verifiers
from devtls.doctor.tls_check.report import CheckAnswer, Mark
from devtls.names import DEFAULT_ZONES
from tests.doctor.tls_check.pki import NOW, LeafSpec, make_root

LEAF = make_root().issue(LeafSpec()).facts


def handshake(*, whole: bool = True, hsts: str | None = None) -> Handshake:
    return Handshake("127.0.0.1", (LEAF.der,), whole, "TLS 1.3", "TLS_AES_256_GCM_SHA384", "", hsts=hsts)


def hsts(address: str, value: str | None, *, would_warn: bool = True) -> list[str]:
    path = find_path([LEAF], [], [], NOW)
    where = parse_address(address)
    evidence = Evidence(where, handshake(hsts=value), path, (), False, (), (), LocalCa(DEFAULT_ZONES), NOW)
    return [each.sentence for each in on_hsts(evidence, would_warn=would_warn)]


def test_a_chain_that_was_not_seen_whole_is_told() -> None:
    (said,) = on_connection(handshake(whole=False))
    assert said.mark is Mark.NOTE
    assert "the server's own certificate only" in said.sentence
    assert list(on_connection(handshake())) == []


@pytest.mark.parametrize(
    ("address", "value", "said"),
    [
        ("shop.dev", None, "Browsers open names below .dev with https alone (preloaded HSTS)"),
        ("app.test", "max-age=86400000", "for 1000 days, on every port (HSTS): one that has been here before"),
        ("app.test", 'MAX-AGE="60"', "for app.test, for 60 seconds, on every port"),
        ("app.test", "max-age=0; includeSubDomains", "which has browsers forget HSTS"),
        ("app.test", "\x1b[2J", "Strict-Transport-Security: \\x1b[2J, which has"),
    ],
)
def test_what_hsts_means(address: str, value: str | None, said: str) -> None:
    (sentence,) = hsts(address, value)
    assert said in sentence
    assert sentence.isprintable()


def test_addresses_know_no_hsts_and_silence_says_nothing() -> None:
    assert hsts("127.0.0.1", "max-age=1000") == []
    assert hsts("app.test", None) == []


def results(openssl: bool, strict: bool, other: bool) -> tuple[VerifierResult, ...]:
    return (
        VerifierResult(OPENSSL, openssl, "x"),
        VerifierResult(STRICT, strict, "y"),
        VerifierResult(CRYPTOGRAPHY, other, "z"),
    )


@pytest.mark.parametrize(
    ("verifiers", "would_warn", "mark", "said"),
    [
        ((True, True, True), False, Mark.FINE, "OpenSSL and cryptography accept it as well."),
        ((True, True, True), True, Mark.NOTE, "OpenSSL and cryptography accept it: browsers look at more."),
        ((False, False, False), True, Mark.NOTE, "OpenSSL and cryptography refuse it as well: x."),
        ((False, False, False), False, Mark.WARNS, "OpenSSL refuses it (x); cryptography refuses it (z)."),
        ((True, True, False), False, Mark.NOTE, "They disagree: OpenSSL accepts it; cryptography refuses it (z)."),
        ((False, False, True), True, Mark.NOTE, "They disagree: OpenSSL refuses it (x); cryptography accepts it."),
    ],
)
def test_what_the_verifiers_say(verifiers: tuple[bool, bool, bool], would_warn: bool, mark: Mark, said: str) -> None:
    (answer,) = on_verifiers(results(*verifiers), would_warn=would_warn)
    assert (answer.mark, answer.sentence) == (mark, said)


def test_the_stricter_python_is_told_apart() -> None:
    *_, last = on_verifiers(results(True, False, True), would_warn=False)
    assert last.sentence == "Python 3.13 and later are stricter and refuse it: y."


def test_chromium_names_the_worst_trouble_alone() -> None:
    expired, unknown = (CheckAnswer("x", Mark.WARNS, "s", each) for each in ("it has expired", "it is self-signed"))
    assert chromium_error([expired]) == "NET::ERR_CERT_DATE_INVALID"
    assert chromium_error([expired, unknown]) == "NET::ERR_CERT_AUTHORITY_INVALID"
    assert chromium_error([CheckAnswer("x", Mark.FINE, "s")]) == ""
