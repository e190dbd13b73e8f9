"""CRLs in files: the root's, the newest of several, and those that decide whether a client would pass again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import CertificateError
from devtls.pki.authority import Authority
from devtls.pki.crl_files import chain_is_accepted, crls_are_complete, newer_root_crl, root_crl_in
from devtls.pki.revocation import build_crl, crl_number, load_crl
from tests.net.client_certificates import ClientCertificate, make_client_certificate, trust_pem
from tests.net.harness import make_authority
from tests.pki.elsewhere import mkcert


@pytest.fixture(scope="module")
def ours() -> Authority:
    return make_authority()


@pytest.fixture
def alice(tmp_path: Path, ours: Authority) -> ClientCertificate:
    return make_client_certificate(tmp_path, ours.issuer_for("client"))


def chain(shown: ClientCertificate, authority: Authority) -> tuple[bytes, ...]:
    above = authority.path_of(authority.issuer_for("client"))
    return (shown.der, *(one.public_bytes(Encoding.DER) for one in above))


def test_who_is_on_no_list_would_pass(alice: ClientCertificate, ours: Authority, tmp_path: Path) -> None:
    other = make_client_certificate(tmp_path, ours.issuer_for("client"))
    assert chain_is_accepted(chain(alice, ours), trust_pem(ours))
    assert chain_is_accepted(chain(alice, ours), trust_pem(ours, other))
    assert not chain_is_accepted(chain(alice, ours), trust_pem(ours, other, alice))


def test_a_list_counts_for_its_own_ca_alone(alice: ClientCertificate, ours: Authority) -> None:
    assert chain_is_accepted(chain(alice, ours), trust_pem(ours) + trust_pem(make_authority(), alice))


def test_a_ca_that_is_trusted_no_more_lets_nobody_in(alice: ClientCertificate, ours: Authority) -> None:
    assert not chain_is_accepted(chain(alice, ours), trust_pem(make_authority()))
    assert not chain_is_accepted(chain(alice, ours)[:1], trust_pem(ours)), "without its chain nothing is known of it"


@pytest.mark.parametrize("trust", [b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_what_cannot_be_read_lets_nobody_in(alice: ClientCertificate, ours: Authority, trust: bytes) -> None:
    assert not chain_is_accepted(chain(alice, ours), trust)


def test_a_file_is_complete_with_a_list_of_each_ca(ours: Authority) -> None:
    of_the_root = x509.load_der_x509_crl(ours.root_crl_der).public_bytes(Encoding.PEM)
    assert not crls_are_complete(trust_pem(ours)), "the root's is lacking"
    assert crls_are_complete(trust_pem(ours) + of_the_root)
    assert not crls_are_complete(trust_pem(ours) + of_the_root + trust_pem(make_authority()))
    assert not crls_are_complete(b"")


ROOT = mkcert()


def root_crl(number: int, encoding: Encoding = Encoding.DER) -> bytes:
    start = datetime(2026, 11, 30, tzinfo=UTC)
    crl = build_crl(ROOT.certificate, ROOT.key, number=number, this_update=start, next_update=start + timedelta(days=9))
    return crl.public_bytes(encoding)


def test_the_newest_crl_of_the_root_is_taken_from_a_file(ours: Authority) -> None:
    foreign = x509.load_der_x509_crl(ours.root_crl_der).public_bytes(Encoding.PEM)
    several = b"".join((root_crl(7, Encoding.PEM), foreign, root_crl(8, Encoding.PEM), root_crl(2, Encoding.PEM)))
    assert crl_number(load_crl(root_crl_in(several, ROOT.certificate))) == 8
    assert root_crl_in(root_crl(3), ROOT.certificate) == root_crl(3)


def test_a_crl_of_another_root_and_a_file_without_one_are_refused(ours: Authority) -> None:
    with pytest.raises(CertificateError, match="was not signed by"):
        root_crl_in(ours.root_crl_der, ROOT.certificate)
    for content in (b"junk", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"):
        with pytest.raises(CertificateError, match="holds no CRL"):
            root_crl_in(content, ROOT.certificate)


def test_only_a_later_crl_replaces_the_present_one() -> None:
    assert newer_root_crl(root_crl(5), ROOT.certificate, b"") == root_crl(5)
    assert newer_root_crl(root_crl(5), ROOT.certificate, root_crl(4)) == root_crl(5)
    present = root_crl(5)
    assert newer_root_crl(present, ROOT.certificate, present) == present
    with pytest.raises(CertificateError, match=r"CRL number 4 .* is not later than number 5"):
        newer_root_crl(root_crl(4), ROOT.certificate, present)
