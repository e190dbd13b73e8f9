from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.doctor.tls_check.fetch import Fetcher
from devtls.doctor.tls_check.path import find_path
from devtls.doctor.tls_check.revocation import (
    CertificateStatus,
    Revocation,
    build_ocsp_request,
    query_issuers,
    read_crl,
    read_ocsp,
)
from tests.doctor.tls_check.pki import DAY, NOW, Issued, LeafSpec, make_crl, make_root, publishing

SOURCE = "http://ca.example/list"
GOOD, REVOKED, UNKNOWN = CertificateStatus.GOOD, CertificateStatus.REVOKED, CertificateStatus.UNKNOWN


@pytest.fixture(scope="module")
def root() -> Issued:
    return make_root()


@pytest.fixture(scope="module")
def leaf(root: Issued) -> Issued:
    return root.issue(LeafSpec())


def by_list(der: bytes, leaf: Issued, root: Issued) -> Revocation:
    return read_crl(der, leaf.facts, root.facts, SOURCE, NOW)


def test_a_list_with_and_without_the_certificate(leaf: Issued, root: Issued) -> None:
    assert by_list(make_crl(root), leaf, root).status is GOOD
    assert by_list(make_crl(root, [leaf]), leaf, root).status is REVOKED
    assert by_list(make_crl(root, [root.issue(LeafSpec())]), leaf, root).status is GOOD


def test_a_list_in_pem(leaf: Issued, root: Issued) -> None:
    pem = x509.load_der_x509_crl(make_crl(root, [leaf])).public_bytes(Encoding.PEM)
    assert by_list(pem, leaf, root).status is REVOKED


def test_a_list_of_an_rsa_key() -> None:
    root = make_root(key=rsa.generate_private_key(65537, 2048))
    leaf = root.issue(LeafSpec())
    assert by_list(make_crl(root, [leaf]), leaf, root).status is REVOKED


@pytest.mark.parametrize("who", ["another key", "another name"])
def test_a_list_that_the_issuer_did_not_sign_says_nothing(leaf: Issued, root: Issued, who: str) -> None:
    other = make_root("a root" if who == "another key" else "a stranger")
    der = make_crl(root if who == "another key" else other, [leaf], signer=other)
    said = by_list(der, leaf, root)
    assert said.status is UNKNOWN
    assert "was not signed by a root" in said.sentence


def test_an_old_list_revokes_and_does_not_absolve(leaf: Issued, root: Issued) -> None:
    start, end = NOW - 9 * DAY, NOW - DAY
    assert by_list(make_crl(root, [leaf], this_update=start, next_update=end), leaf, root).status is REVOKED
    said = by_list(make_crl(root, this_update=start, next_update=end), leaf, root)
    assert said.status is UNKNOWN
    assert f"was good until {NOW - DAY:%Y-%m-%d} only" in said.sentence


def test_a_list_of_the_future_is_not_believed(leaf: Issued, root: Issued) -> None:
    said = by_list(make_crl(root, this_update=NOW + DAY, next_update=NOW + 2 * DAY), leaf, root)
    assert said.status is UNKNOWN
    assert "the future" in said.sentence


def test_an_entry_that_was_reverted_does_not_count(leaf: Issued, root: Issued) -> None:
    assert by_list(make_crl(root, [leaf], reason=x509.ReasonFlags.remove_from_crl), leaf, root).status is GOOD


@pytest.mark.parametrize("junk", [b"", b"<html>", b"0\x03\x02\x01\x01", b"-----BEGIN X509 CRL-----\nAAAA\n"])
def test_what_is_no_list_says_nothing(leaf: Issued, root: Issued, junk: bytes) -> None:
    said = by_list(junk, leaf, root)
    assert said.status is UNKNOWN
    assert f"what {SOURCE} sent is no revocation list" in said.sentence


def answer(
    leaf: Issued,
    root: Issued,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    *,
    signer: Issued | None = None,
    until: timedelta = DAY,
) -> bytes:
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    by = signer or root
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf.raw,
        issuer=root.raw,
        algorithm=SHA1(),
        cert_status=status,
        this_update=NOW - DAY,
        next_update=NOW + until,
        revocation_time=NOW - DAY if revoked else None,
        revocation_reason=x509.ReasonFlags.superseded if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.raw)
    if signer is not None:
        builder = builder.certificates([signer.raw])
    return builder.sign(by.key, SHA256()).public_bytes(Encoding.DER)


def by_responder(der: bytes, leaf: Issued, root: Issued) -> Revocation:
    return read_ocsp(der, leaf.facts, root.facts, SOURCE, NOW)


def test_what_a_responder_says_counts(leaf: Issued, root: Issued) -> None:
    assert by_responder(answer(leaf, root), leaf, root).status is GOOD
    revoked = by_responder(answer(leaf, root, ocsp.OCSPCertStatus.REVOKED), leaf, root)
    assert revoked.status is REVOKED
    assert "(superseded), says its issuer's OCSP at" in revoked.sentence
    assert by_responder(answer(leaf, root, ocsp.OCSPCertStatus.UNKNOWN), leaf, root).status is UNKNOWN


def test_a_responder_of_the_issuers_may_sign(leaf: Issued, root: Issued) -> None:
    responder = root.issue(LeafSpec(subject="a responder", purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,)))
    assert by_responder(answer(leaf, root, signer=responder), leaf, root).status is GOOD


@pytest.mark.parametrize("who", ["a server", "a stranger"])
def test_nobody_else_may_sign(leaf: Issued, root: Issued, who: str) -> None:
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if who == "a server" else ExtendedKeyUsageOID.OCSP_SIGNING
    signer = (root if who == "a server" else make_root()).issue(LeafSpec(purposes=(purpose,)))
    said = by_responder(answer(leaf, root, signer=signer), leaf, root)
    assert said.status is UNKNOWN
    assert "was not signed on behalf of a root" in said.sentence


def test_other_answers_say_nothing(leaf: Issued, root: Issued) -> None:
    about_another = answer(root.issue(LeafSpec()), root)
    refused = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    for der, words in (
        (about_another, "answered about another certificate"),
        (refused.public_bytes(Encoding.DER), "did not answer the question: try later"),
        (answer(leaf, root, until=timedelta(hours=-1)), "was good until"),
        (b"junk", "is no OCSP answer"),
    ):
        said = by_responder(der, leaf, root)
        assert (said.status, words in said.sentence) == (UNKNOWN, True), said


def test_a_responder_is_asked_about_the_certificate(root: Issued) -> None:
    asked: list[bytes] = []
    answers: dict[str, bytes] = {}
    with publishing(answers, asked) as site:
        leaf = root.issue(LeafSpec(ocsp=f"{site}/ocsp"))
        answers["/ocsp"] = answer(leaf, root, ocsp.OCSPCertStatus.REVOKED)
        path = find_path([leaf.facts], [root.facts], [], NOW)
        (said,) = query_issuers(path, Fetcher(5, private=True), NOW)
    assert (said.kind, said.status, said.source) == ("OCSP", REVOKED, f"{site}/ocsp")
    assert asked == [build_ocsp_request(leaf.facts, root.facts)]
    assert ocsp.load_der_ocsp_request(asked[0]).serial_number == leaf.raw.serial_number


def test_addresses_of_other_kinds_are_named(root: Issued) -> None:
    leaf = root.issue(LeafSpec(crl="ldap://ca.example/cn=x"))
    (said,) = query_issuers(find_path([leaf.facts], [root.facts], [], NOW), Fetcher(5, private=True), NOW)
    assert said.status is UNKNOWN
    assert "ldap://ca.example/cn=x is not fetched: only http:// addresses are" in said.sentence
