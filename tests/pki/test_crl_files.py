"""Who would be let in again: the CA that is trusted today, its lists, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.pki.authority import Authority
from devtls.pki.crl_files import crls_are_complete, would_pass
from tests.net.client_certificates import ClientCertificate, make_client_certificate, trust_pem
from tests.net.harness import make_authority


@pytest.fixture(scope="module")
def ours() -> Authority:
    return make_authority()


@pytest.fixture
def alice(tmp_path: Path, ours: Authority) -> ClientCertificate:
    return make_client_certificate(tmp_path, ours.intermediate)


def chain(shown: ClientCertificate, authority: Authority) -> tuple[bytes, ...]:
    above = (authority.intermediate.certificate, authority.root)
    return (shown.der, *(one.public_bytes(Encoding.DER) for one in above))


def test_who_is_on_no_list_would_pass(alice: ClientCertificate, ours: Authority, tmp_path: Path) -> None:
    other = make_client_certificate(tmp_path, ours.intermediate)
    assert would_pass(chain(alice, ours), trust_pem(ours))
    assert would_pass(chain(alice, ours), trust_pem(ours, other))
    assert not would_pass(chain(alice, ours), trust_pem(ours, other, alice))


def test_a_list_counts_for_its_own_ca_alone(alice: ClientCertificate, ours: Authority) -> None:
    assert would_pass(chain(alice, ours), trust_pem(ours) + trust_pem(make_authority(), alice))


def test_a_ca_that_is_trusted_no_more_lets_nobody_in(alice: ClientCertificate, ours: Authority) -> None:
    assert not would_pass(chain(alice, ours), trust_pem(make_authority()))
    assert not would_pass(chain(alice, ours)[:1], trust_pem(ours)), "without its chain nothing is known of it"


@pytest.mark.parametrize("trust", [b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_what_cannot_be_read_lets_nobody_in(alice: ClientCertificate, ours: Authority, trust: bytes) -> None:
    assert not would_pass(chain(alice, ours), trust)


def test_a_file_is_complete_with_a_list_of_each_ca(ours: Authority) -> None:
    of_the_root = x509.load_der_x509_crl(ours.root_crl_der).public_bytes(Encoding.PEM)
    assert not crls_are_complete(trust_pem(ours)), "the root's is lacking"
    assert crls_are_complete(trust_pem(ours) + of_the_root)
    assert not crls_are_complete(trust_pem(ours) + of_the_root + trust_pem(make_authority()))
    assert not crls_are_complete(b"")
