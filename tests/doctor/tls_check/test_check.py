"""The matrix: servers of every kind, and what a browser would decide about each."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.doctor.tls_check.conftest import NAME, Check
from tests.doctor.tls_check.pki import (
    DAY,
    NOW,
    Issued,
    LeafSpec,
    make_crl,
    make_intermediate,
    make_root,
    new_key,
    publishing,
    self_signed,
    showing,
    signed_with_sha1,
)
from tests.doctor.tls_check.reading import FINE, NOTE, WARNS, marks, remark, report_of


def test_a_good_server_is_fine(check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path) -> None:
    with showing(tmp_path, leaf, intermediate) as port:
        finding = check(port)
    report = report_of(finding)
    assert marks(report) == (FINE, FINE, FINE, FINE)
    assert [each.sentence for each in report.questions] == [
        "a root counts as trusted, as asked with --ca: roots.pem.",
        f"Valid since {NOW - DAY:%Y-%m-%d}, for 90 days more (until {NOW + 90 * DAY:%Y-%m-%d}).",
        f"The certificate is for {NAME}.",
        "All 2 signatures hold: a leaf < an intermediate < a root.",
    ]
    assert [(each.mark, each.sentence) for each in report.remarks] == [
        (FINE, "OpenSSL and cryptography accept it as well.")
    ]
    assert (report.warns, report.verdict) == (False, "A browser opens this address without a warning.")
    assert report.advice == ()
    assert finding.evidence is not None
    assert (finding.evidence.handshake.ip, finding.evidence.handshake.protocol) == ("127.0.0.1", "TLS 1.3")
    assert [each.subject for each in finding.sent] == ["a leaf", "an intermediate"]


def test_a_self_signed_certificate(check: Check, tmp_path: Path) -> None:
    with showing(tmp_path, self_signed(LeafSpec())) as port:
        report = report_of(check(port))
    assert marks(report) == (WARNS, FINE, FINE, NOTE)
    assert "Nobody vouches for the certificate but itself (self-signed)" in report.questions[0].sentence
    assert "Its only signature is its own" in report.questions[3].sentence
    assert report.verdict == "A browser would warn: it is self-signed (NET::ERR_CERT_AUTHORITY_INVALID)."
    assert "anybody can make one for any name" in report.advice[0]
    assert "devtls trust (once) and devtls serve app=3000" in report.advice[1]
    assert "refuse it as well: self-signed certificate" in remark(report, "Verifiers").sentence


def test_an_expired_certificate(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    expired = intermediate.issue(LeafSpec(not_before=NOW - 90 * DAY, not_after=NOW - 3 * DAY))
    with showing(tmp_path, expired, intermediate) as port:
        report = report_of(check(port))
    assert marks(report) == (FINE, WARNS, FINE, FINE)
    ended = f"{NOW - 3 * DAY:%Y-%m-%d}"
    assert report.questions[1].sentence == f"The certificate ended on {ended}, 3 days ago."
    assert report.verdict == "A browser would warn: it has expired (NET::ERR_CERT_DATE_INVALID)."
    assert report.advice[0].startswith("Renew the certificate")


def test_a_certificate_that_is_not_valid_yet(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    early = intermediate.issue(LeafSpec(not_before=NOW + 2 * DAY, not_after=NOW + 9 * DAY))
    with showing(tmp_path, early, intermediate) as port:
        report = report_of(check(port))
    assert marks(report) == (FINE, WARNS, FINE, FINE)
    assert "in 2 days: is the clock of this machine right?" in report.questions[1].sentence
    assert "it is not valid yet (NET::ERR_CERT_DATE_INVALID)" in report.verdict
    assert "clock" in report.advice[0]


def test_an_expired_intermediate_is_named(check: Check, root: Issued, tmp_path: Path) -> None:
    old = make_intermediate(root, "an old intermediate", not_before=NOW - 90 * DAY, not_after=NOW - DAY)
    with showing(tmp_path, old.issue(LeafSpec()), old) as port:
        report = report_of(check(port))
    assert marks(report) == (FINE, WARNS, FINE, FINE)
    assert report.questions[1].sentence.startswith("The certificate of an old intermediate, in its chain, ended on")


def test_a_wrong_name(check: Check, leaf: Issued, intermediate: Issued, tmp_path: Path) -> None:
    with showing(tmp_path, leaf, intermediate) as port:
        report = report_of(check(port, "other.check.test"))
    assert marks(report) == (FINE, FINE, WARNS, FINE)
    assert report.questions[2].sentence == f"The certificate is for {NAME}, not for other.check.test."
    assert "it is for another name (NET::ERR_CERT_COMMON_NAME_INVALID)" in report.verdict
    assert "subjectAltName = DNS:other.check.test" in report.advice[0]


def test_a_name_in_the_common_name_only(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    with showing(tmp_path, intermediate.issue(LeafSpec(subject=NAME, dns=())), intermediate) as port:
        report = report_of(check(port))
    assert marks(report) == (FINE, FINE, WARNS, FINE)
    assert f"{NAME} stands in the common name only, where no browser looks" in report.questions[2].sentence
    assert report.advice == (f"Have it issued with alternative names: subjectAltName = DNS:{NAME}.",)


@pytest.mark.parametrize("sends_root", [True, False])
def test_an_unknown_issuer(
    check: Check, leaf: Issued, intermediate: Issued, root: Issued, *, tmp_path: Path, sends_root: bool
) -> None:
    with showing(tmp_path, leaf, intermediate, *([root] if sends_root else [])) as port:
        report = report_of(check(port, trusted=()))
    assert report.questions[0].mark is WARNS
    assert report.questions[0].sentence.startswith("It goes back to a root")
    assert report.questions[3].mark is (FINE if sends_root else WARNS)
    assert "it comes from an unknown issuer" in report.verdict
    assert "NET::ERR_CERT_AUTHORITY_INVALID" in report.verdict
    assert "If a root is a CA that you trust" in report.advice[0]


def test_a_revoked_certificate(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    answers: dict[str, bytes] = {}
    with publishing(answers) as site:
        revoked = intermediate.issue(LeafSpec(crl=f"{site}/list.crl"))
        answers["/list.crl"] = make_crl(intermediate, [revoked])
        with showing(tmp_path, revoked, intermediate) as port:
            report = report_of(check(port))
    assert marks(report) == (FINE, FINE, FINE, FINE)
    said = remark(report, "Revocation")
    assert said.mark is WARNS
    assert f"was revoked on {NOW - DAY:%Y-%m-%d} (keyCompromise), says its issuer's CRL at {site}" in said.sentence
    assert report.verdict == "A browser would warn: it was revoked (NET::ERR_CERT_REVOKED)."
    assert report.advice == ("Have a new certificate issued, with a new key.",)
    assert remark(report, "Verifiers").sentence == "OpenSSL and cryptography accept it: browsers look at more."


def test_a_certificate_that_is_not_revoked(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    answers: dict[str, bytes] = {"/list.crl": make_crl(intermediate)}
    with publishing(answers) as site:
        good = intermediate.issue(LeafSpec(crl=f"{site}/list.crl"))
        with showing(tmp_path, good, intermediate) as port:
            report = report_of(check(port))
    assert remark(report, "Revocation").mark is FINE
    assert remark(report, "Revocation").sentence.startswith("a leaf is not revoked: the list of an intermediate, of ")
    assert not report.warns


def test_a_list_that_is_not_there_is_no_reason_to_warn(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    with (
        publishing({}) as site,
        showing(tmp_path, intermediate.issue(LeafSpec(crl=f"{site}/list.crl")), intermediate) as port,
    ):
        report = report_of(check(port))
    assert remark(report, "Revocation").mark is NOTE
    assert f"not known whether a leaf is revoked: {site}/list.crl answered 404" in remark(report, "Revocation").sentence
    assert not report.warns


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@pytest.mark.parametrize(
    ("wish", "sentence", "reason", "remedy"),
    [
        (
            lambda: LeafSpec(key=rsa_key(1024)),
            "The key of a leaf is weak: RSA with 1024 bits, where browsers want 2048.",
            "it has a weak key (NET::ERR_CERT_WEAK_KEY)",
            "Make a new key",
        ),
        (
            lambda: LeafSpec(key=ec.generate_private_key(ec.SECP521R1())),
            "The key of a leaf is of a kind (P-521) that Chromium cannot use: take P-256.",
            "it has a key that browsers cannot use (ERR_SSL_VERSION_OR_CIPHER_MISMATCH)",
            "Make a new key",
        ),
        (
            lambda: LeafSpec(not_after=NOW + 900 * DAY),
            "It lives 901 days: Safari and Apple's systems refuse more than 825, from any CA.",
            "it lives too long",
            "shorter life",
        ),
        (
            lambda: LeafSpec(purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
            "The certificate is not for servers: its purposes (EKU) are others.",
            "it is not for servers (NET::ERR_CERT_INVALID)",
            "extendedKeyUsage = serverAuth",
        ),
        (
            lambda: LeafSpec(ca=True),
            "A server showed the certificate of a CA: Firefox refuses that, and its key could sign any name.",
            "it belongs to a CA",
            "CA:FALSE",
        ),
        (
            lambda: LeafSpec(
                extra=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)
            ),
            "a leaf has an extension that must be understood, and that nobody knows: 1.2.3.4.",
            "it demands what browsers do not know (NET::ERR_CERT_INVALID)",
            "without what is named above",
        ),
        (
            lambda: LeafSpec(subject=""),
            "Its subject is empty, so its alternative names must be critical (RFC 5280), and are not.",
            "it is malformed (NET::ERR_CERT_INVALID)",
            "issued again",
        ),
    ],
)
def test_what_browsers_refuse_besides(
    check: Check, intermediate: Issued, tmp_path: Path, *, wish: object, sentence: str, reason: str, remedy: str
) -> None:
    assert callable(wish)
    with showing(tmp_path, intermediate.issue(wish()), intermediate) as port:
        report = report_of(check(port))
    assert marks(report) == (FINE, FINE, FINE, FINE)
    assert sentence in [each.sentence for each in report.remarks if each.mark is WARNS]
    assert reason in report.verdict
    assert any(remedy in each for each in report.advice), report.advice


def test_a_signature_over_sha1(check: Check, tmp_path: Path) -> None:
    root = make_root("an rsa root", key=rsa_key(2048))
    leaf = signed_with_sha1(root.issue(LeafSpec()), root)
    with showing(tmp_path, leaf) as port:
        report = report_of(check(port, trusted=(root,)))
    assert "a leaf is signed with SHA-1, which can be forged." in [each.sentence for each in report.remarks]
    assert "it is signed with a broken hash (NET::ERR_CERT_WEAK_SIGNATURE_ALGORITHM)" in report.verdict


@pytest.mark.parametrize("url", ["http://ca.example/intermediate.der", ""])
def test_a_missing_intermediate(check: Check, intermediate: Issued, tmp_path: Path, url: str) -> None:
    with showing(tmp_path, intermediate.issue(LeafSpec(issuer_url=url))) as port:
        report = report_of(check(port))
    assert marks(report) == (WARNS, FINE, FINE, WARNS)
    said = report.questions[3].sentence
    assert said.startswith(
        "The chain stops at a leaf: the certificate of an intermediate, which signed it, is not there."
    )
    hint = "which Chromium and Safari do, and Firefox, curl and Python do not" if url else "forgot to send it"
    assert hint in said
    assert "it comes with an incomplete chain" in report.verdict
    assert "send its whole chain" in report.advice[0]


def test_a_ca_that_may_not_speak_for_the_name(check: Check, root: Issued, tmp_path: Path) -> None:
    narrow = make_intermediate(root, "a narrow CA", constraints=("other.test",))
    with showing(tmp_path, narrow.issue(LeafSpec()), narrow) as port:
        report = report_of(check(port))
    assert marks(report) == (FINE, FINE, FINE, WARNS)
    assert report.questions[3].sentence == f"a narrow CA may not speak for {NAME} (name constraints)."
    assert "it comes from a CA that oversteps its limits (NET::ERR_CERT_INVALID)" in report.verdict
    assert "permitted subtree violation" in remark(report, "Verifiers").sentence


def test_constraints_of_the_root_count(check: Check, tmp_path: Path) -> None:
    narrow = make_root("a narrow root", constraints=("other.test",))
    with showing(tmp_path, narrow.issue(LeafSpec())) as port:
        report = report_of(check(port, trusted=(narrow,)))
    assert report.questions[3].sentence == f"a narrow root may not speak for {NAME} (name constraints)."


def test_a_ca_made_anew_under_the_same_name(check: Check, root: Issued, tmp_path: Path) -> None:
    other = make_root("a root")
    with showing(tmp_path, other.issue(LeafSpec())) as port:
        report = report_of(check(port))
    assert "the certificate of that name here has another key: one of the two was made anew" in (
        report.questions[0].sentence
    )
    assert "Have the certificate issued again by today's a root" in report.advice[0]


def test_where_the_verifiers_disagree_it_says_so(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    with showing(tmp_path, intermediate.issue(LeafSpec(identifiers=False)), intermediate) as port:
        report = report_of(check(port))
    said = [each for each in report.remarks if each.about == "Verifiers"]
    assert [each.mark for each in said] == [NOTE, NOTE]
    assert said[0].sentence.startswith(
        "They disagree: OpenSSL accepts it; cryptography refuses it (invalid extension: "
    )
    assert said[1].sentence == ("Python 3.13 and later are stricter and refuse it: Missing Authority Key Identifier.")
    assert not report.warns


def test_an_ip_address(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    with showing(tmp_path, intermediate.issue(LeafSpec(dns=(), ips=("127.0.0.1",))), intermediate) as port:
        assert not report_of(check(port, "127.0.0.1")).warns
    with showing(tmp_path, intermediate.issue(LeafSpec(dns=("127.0.0.1",))), intermediate) as port:
        report = report_of(check(port, "127.0.0.1"))
    assert "as if it were a DNS name" in report.questions[2].sentence
    assert "subjectAltName = IP:127.0.0.1" in report.advice[0]


def test_a_root_of_the_system_is_public_unless_a_person_filed_it(
    check: Check, leaf: Issued, intermediate: Issued, root: Issued, *, system: Path, tmp_path: Path
) -> None:
    (system / "etc/ssl/certs/ca-certificates.crt").write_bytes(root.pem)
    with showing(tmp_path, leaf, intermediate) as port:
        public = report_of(check(port, trusted=()))
        (system / "usr/local/share/ca-certificates/own.crt").write_bytes(root.pem)
        local = report_of(check(port, trusted=()))
    assert public.questions[0].sentence == (
        "a root is a public root, which browsers bring along. Here: System store (Debian)."
    )
    assert not public.warns
    assert local.questions[0].sentence == (
        "a root is trusted by System store (Debian), for other programs; browsers keep lists of their own, and none "
        "was found here."
    )
    assert local.warns


def test_java_is_asked_as_well(
    check: Check, leaf: Issued, intermediate: Issued, root: Issued, *, system: Path, tmp_path: Path
) -> None:
    (system / "etc/ssl/certs/java").mkdir()
    (system / "etc/ssl/certs/java/cacerts").write_bytes(b"\xfe\xed\xfe\xed" + root.facts.der)
    with showing(tmp_path, leaf, intermediate) as port:
        finding = check(port)
    assert finding.evidence is not None
    assert {store.kind: store.trusts for store in finding.evidence.stores} == {
        "given": True,
        "system": False,
        "runtime": True,
    }


def test_text_of_a_certificate_cannot_act_on_a_terminal(check: Check, tmp_path: Path) -> None:
    evil = self_signed(LeafSpec(subject="\x1b[2Jwiped\u202e", dns=("*.\x1b]0;x\x07.test",)))
    with showing(tmp_path, evil) as port:
        finding = check(port)
    report = report_of(finding)
    text = " ".join([*(each.sentence for each in (*report.questions, *report.remarks)), *report.advice, report.verdict])
    assert text.isprintable()
    assert "\\x1b" in text


def test_a_tampered_certificate(check: Check, intermediate: Issued, tmp_path: Path) -> None:
    """A stranger's key signed it in the intermediate's name, and it names no other key."""
    stranger = Issued(intermediate.raw, new_key())
    forged = stranger.issue(LeafSpec(subject="a forged leaf", identifiers=False))
    with showing(tmp_path, forged, intermediate) as port:
        report = report_of(check(port))
    assert marks(report) == (WARNS, FINE, FINE, WARNS)
    assert report.questions[0].sentence == "Nobody can say who issued it: an intermediate did not make its signature."
    assert report.questions[3].sentence == ("The signature on a forged leaf is wrong: an intermediate did not make it.")
    assert report.advice[0].startswith("Do not go on")
