"""Certificates that were damaged at any place: whatever can still be read is judged, in text that is safe to print."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.doctor.tls_check.address import parse_address
from devtls.doctor.tls_check.certificate import read_certificate
from devtls.doctor.tls_check.evidence import Evidence, Handshake, LocalCa
from devtls.doctor.tls_check.path import find_path
from devtls.doctor.tls_check.revocation import read_crl, read_ocsp
from devtls.doctor.tls_check.verdict import decide
from devtls.doctor.tls_check.verifiers import ask_cryptography
from devtls.errors import CertificateError
from devtls.names import DEFAULT_ZONES
from tests.doctor.tls_check.pki import NOW, LeafSpec, make_crl, make_root

ADDRESS = parse_address("app.check.test")
MEETING = Handshake("127.0.0.1", (), True, "TLS 1.3", "TLS_AES_256_GCM_SHA384", "")
ROOT = make_root(constraints=("check.test", "127.0.0.0/8"))
LEAF = ROOT.issue(
    LeafSpec(ips=("127.0.0.1",), crl="http://a.test/crl", ocsp="http://a.test/o", issuer_url="http://a.test/i")
)
CRL = make_crl(ROOT, [LEAF])

places = st.integers(0, len(LEAF.facts.der) - 1)
octets = st.integers(0, 255)


@given(st.lists(st.tuples(places, octets), min_size=1, max_size=4))
def test_a_damaged_certificate_is_refused_or_checked(changes: list[tuple[int, int]]) -> None:
    der = bytearray(LEAF.facts.der)
    for place, octet in changes:
        der[place] = octet
    try:
        leaf = read_certificate(bytes(der))
    except CertificateError as error:
        assert str(error).isprintable()
        return
    path = find_path([leaf], [ROOT.facts], [], NOW)
    verifiers = (ask_cryptography(ADDRESS, [leaf], [ROOT.facts], NOW),)
    evidence = Evidence(ADDRESS, MEETING, path, (), False, (), verifiers, LocalCa(DEFAULT_ZONES), NOW)
    report = decide(evidence, lambda _: False)
    text = [*(each.sentence for each in (*report.questions, *report.remarks)), report.verdict, *report.advice]
    assert all(each and each.isprintable() for each in text)
    assert report.warns


@given(st.integers(0, len(CRL) - 1), octets)
def test_a_damaged_list_never_raises(place: int, octet: int) -> None:
    der = bytearray(CRL)
    der[place] = octet
    said = read_crl(bytes(der), LEAF.facts, ROOT.facts, "http://a.test/crl", NOW)
    assert said.sentence.isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_in_the_place_of_an_answer(junk: bytes) -> None:
    assert read_ocsp(junk, LEAF.facts, ROOT.facts, "x", NOW).sentence.isprintable()
    assert read_crl(junk, LEAF.facts, ROOT.facts, "x", NOW).sentence.isprintable()
    with contextlib.suppress(CertificateError):
        read_certificate(junk)


@pytest.mark.parametrize("place", range(0, len(LEAF.facts.der), 97))
def test_a_cut_certificate_is_refused(place: int) -> None:
    with pytest.raises(CertificateError):
        read_certificate(LEAF.facts.der[:place])
