from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.names import Hostname
from devtls.pki.authority import Authority


@pytest.fixture
def leaf(authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    issued = authority.issue(Hostname("app.dev.local"), now=now, key=leaf_key, serial=7)
    return x509.load_pem_x509_certificate(issued.chain_pem)


def criticality(certificate: x509.Certificate) -> dict[str, bool]:
    return {extension.oid._name: extension.critical for extension in certificate.extensions}


CA_EXTENSIONS = {
    "basicConstraints": True,
    "keyUsage": True,
    "extendedKeyUsage": False,
    "subjectKeyIdentifier": False,
    "authorityKeyIdentifier": False,
    "nameConstraints": True,
}


def test_each_certificate_has_exactly_its_extensions(authority: Authority, leaf: x509.Certificate) -> None:
    assert criticality(authority.root) == CA_EXTENSIONS
    assert criticality(authority.intermediate.certificate) == CA_EXTENSIONS | {"cRLDistributionPoints": False}
    assert criticality(leaf) == {
        "basicConstraints": True,
        "keyUsage": True,
        "extendedKeyUsage": False,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
        "subjectAltName": True,
        "cRLDistributionPoints": False,
    }


def test_path_lengths_and_key_usage(authority: Authority, leaf: x509.Certificate) -> None:
    expected = {
        authority.root: (True, 1, (False, True, True)),
        authority.intermediate.certificate: (True, 0, (True, True, True)),
        leaf: (False, None, (True, False, False)),
    }
    for certificate, (ca, path_length, usages) in expected.items():
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (constraints.ca, constraints.path_length) == (ca, path_length)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == usages
        assert not (usage.key_encipherment or usage.data_encipherment or usage.key_agreement)


def test_purposes(authority: Authority, leaf: x509.Certificate) -> None:
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    expected = {
        authority.root: both,
        authority.intermediate.certificate: both[:1],
        authority.issuer_for("client").certificate: both[1:],
        leaf: both[:1],
    }
    for certificate, purposes in expected.items():
        assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == purposes


def test_constraints_name_zones_without_a_dot_loopback_networks_and_nobody_else(
    authority: Authority,
) -> None:
    nobody = [x509.RFC822Name("invalid"), x509.UniformResourceIdentifier("invalid")]
    for certificate in authority.certificates:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        assert constraints.excluded_subtrees == nobody
        assert constraints.permitted_subtrees == [
            x509.DNSName("dev.local"),
            x509.DNSName("localhost"),
            x509.DNSName("test"),
            x509.IPAddress(ip_network("127.0.0.0/8")),
            x509.IPAddress(ip_network("::1/128")),
            *nobody,
        ]


def test_key_identifiers_link_leaf_to_intermediate_to_root(authority: Authority, leaf: x509.Certificate) -> None:
    intermediate = authority.intermediate.certificate
    for certificate, issuer in ((leaf, intermediate), (intermediate, authority.root), (authority.root, authority.root)):
        authority_key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        issuer_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert authority_key.key_identifier == issuer_key.digest
        assert certificate.issuer == issuer.subject


def crl_urls(certificate: x509.Certificate) -> list[str]:
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return [name.value for point in points for name in point.full_name or []]


def test_crl_pointers_are_plain_http_on_the_pki_port(authority: Authority, leaf: x509.Certificate) -> None:
    assert crl_urls(leaf) == [f"http://127.0.0.1:20443{authority.intermediate_crl_path}"]
    assert crl_urls(authority.intermediate.certificate) == [f"http://127.0.0.1:20443{authority.root_crl_path}"]


def test_the_leaf_has_no_subject_and_the_cas_say_who_they_are(authority: Authority, leaf: x509.Certificate) -> None:
    assert list(leaf.subject) == []
    name = authority.intermediate.certificate.subject.rfc4514_string()
    identifier = authority.intermediate.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert name == f"CN=devtls intermediate {identifier.digest[:4].hex()},O=devtls"


def test_root_and_intermediate_end_together_after_ten_years(authority: Authority, now: datetime) -> None:
    start = now.replace(microsecond=0)
    for certificate in (authority.root, authority.intermediate.certificate):
        assert certificate.not_valid_before_utc == start - timedelta(hours=1)
        assert certificate.not_valid_after_utc == start + timedelta(days=3650)
