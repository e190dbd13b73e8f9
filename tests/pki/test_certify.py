"""Certificates that leave the process: profile, life, keys. Their bytes are in test_golden."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from ipaddress import ip_address

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from devtls.errors import CertificateError
from devtls.names import Hostname
from devtls.pki.authority import Authority
from devtls.pki.certify import MAX_DAYS, CertificateTemplate, certify, check_key, client_objection
from devtls.pki.names_in_certificates import Kind
from tests.pki.attacker import FORBIDDEN, UNREACHED, Identity, forge

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


def certified(
    authority: Authority, order: CertificateTemplate, now: datetime, key: CertificatePublicKeyTypes | None = None
) -> x509.Certificate:
    return certify(authority, order, key or ec.generate_private_key(ec.SECP256R1()).public_key(), now=now, serial=7)


@pytest.mark.parametrize("ocsp", [False, True])
def test_for_a_p256_key_it_is_what_the_proxy_shows(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey, ocsp: bool
) -> None:
    """Two builders, one profile."""
    signer = msgspec.structs.replace(authority.signer, ocsp=ocsp)
    leaf = signer.issue(Hostname("app.dev.local"), now=now, key=leaf_key, serial=7)
    ours = certified(authority, CertificateTemplate(("app.dev.local",), ocsp=ocsp), now, leaf_key.public_key())
    theirs = x509.load_pem_x509_certificate(leaf.chain_pem)
    assert [each.oid for each in ours.extensions if each not in list(theirs.extensions)] == []
    assert len(ours.extensions) == len(theirs.extensions)
    assert (ours.subject, ours.issuer, ours.not_valid_before_utc, ours.not_valid_after_utc) == (
        theirs.subject,
        theirs.issuer,
        theirs.not_valid_before_utc,
        theirs.not_valid_after_utc,
    )


def test_it_holds_every_name(authority: Authority, now: datetime) -> None:
    names = ("app.dev.local", "*.app.dev.local", ip_address("127.0.0.1"), ip_address("::1"))
    certificate = certified(authority, CertificateTemplate(names), now)
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert held.get_values_for_type(x509.DNSName) == ["app.dev.local", "*.app.dev.local"]
    assert held.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]


@pytest.mark.parametrize(
    ("kind", "purpose"), [("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)]
)
def test_it_serves_one_purpose(authority: Authority, now: datetime, kind: Kind, purpose: x509.ObjectIdentifier) -> None:
    certificate = certified(authority, CertificateTemplate(("a.test",), kind), now)
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]


def test_a_client_has_its_name_as_the_subject_too(authority: Authority, now: datetime) -> None:
    certificate = certified(authority, CertificateTemplate(("alice.dev.local", "alice.test"), "client"), now)
    assert certificate.subject.rfc4514_string() == "CN=alice.dev.local"
    assert not certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_a_clients_name_that_is_too_long_for_a_subject_stands_only_where_it_counts(
    authority: Authority, now: datetime
) -> None:
    certificate = certified(authority, CertificateTemplate(("a" * 60 + ".test",), "client"), now)
    assert certificate.subject == x509.Name([])
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize(("kind", "expected"), [("server", True), ("client", False)])
def test_an_rsa_key_of_a_server_may_also_encipher_keys(
    authority: Authority, now: datetime, kind: Kind, expected: bool
) -> None:
    certificate = certified(authority, CertificateTemplate(("a.test",), kind), now, RSA_KEY)
    assert certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment is expected


@pytest.mark.parametrize("days", [1, 90, 825])
def test_it_lasts_as_many_days_as_asked_for_but_never_more_than_apple_takes(
    authority: Authority, now: datetime, days: int
) -> None:
    certificate = certified(authority, CertificateTemplate(("a.test",), days=days), now)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert start == now.replace(microsecond=0) - timedelta(hours=1)
    assert end - start <= timedelta(days=MAX_DAYS)
    assert abs(end - now - timedelta(days=days)) <= timedelta(hours=1, seconds=1)


def test_it_ends_with_the_ca(authority: Authority) -> None:
    end = authority.intermediate.certificate.not_valid_after_utc
    late = end - timedelta(days=3)
    assert certified(authority, CertificateTemplate(("a.test",)), late).not_valid_after_utc == end
    with pytest.raises(CertificateError, match="The CA ended"):
        certified(authority, CertificateTemplate(("a.test",)), end)


@pytest.mark.parametrize("days", [0, -1, 826])
def test_a_life_that_nobody_accepts_is_refused(authority: Authority, now: datetime, days: int) -> None:
    with pytest.raises(CertificateError, match=f"cannot last {days} days"):
        certified(authority, CertificateTemplate(("a.test",), days=days), now)


def test_where_its_status_can_be_asked_stands_there_only_when_wanted(authority: Authority, now: datetime) -> None:
    with pytest.raises(x509.ExtensionNotFound):
        certified(authority, CertificateTemplate(("a.test",)), now).extensions.get_extension_for_class(
            x509.AuthorityInformationAccess
        )
    certificate = certified(authority, CertificateTemplate(("a.test",), ocsp=True), now)
    (access,) = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert access.access_method == AuthorityInformationAccessOID.OCSP
    assert access.access_location == x509.UniformResourceIdentifier("http://127.0.0.1:20443/ocsp")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (rsa.generate_private_key(65537, 1024).public_key(), "RSA with 1024 bits"),
        (rsa.RSAPublicNumbers(65537, (1 << 8200) + 1).public_key(), "RSA with 8201 bits"),
        (ec.generate_private_key(ec.SECP521R1()).public_key(), "the curve secp521r1"),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "the curve secp256k1"),
        (ed25519.Ed25519PrivateKey.generate().public_key(), "of the kind Ed25519"),
        (ed448.Ed448PrivateKey.generate().public_key(), "of the kind Ed448"),
        (dsa.generate_private_key(2048).public_key(), "of the kind DSA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_keys_that_are_weak_or_that_no_browser_takes_are_refused(key: CertificatePublicKeyTypes, said: str) -> None:
    with pytest.raises(CertificateError, match=said) as caught:
        check_key(key)
    assert "P-256" in caught.value.hint


@pytest.mark.parametrize("key", [RSA_KEY, ec.generate_private_key(ec.SECP384R1()).public_key()], ids=["RSA", "P-384"])
def test_common_keys_are_taken(authority: Authority, now: datetime, key: CertificatePublicKeyTypes) -> None:
    assert certified(authority, CertificateTemplate(("a.test",)), now, key).public_key() == key


def test_a_clients_certificate_of_ours_counts(authority: Authority, now: datetime) -> None:
    for names in (("alice.dev.local",), ("bob.test", ip_address("127.0.0.1")), ("a" * 60 + ".dev.local",)):
        certificate = certified(authority, CertificateTemplate(names, "client"), now)
        assert client_objection(certificate.public_bytes(Encoding.DER), authority.zones) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a host", "is for DNSName 'login.example.com'"),
        ("a mail address", "is for RFC822Name 'boss@example.com'"),
        ("a mail address in a zone", "only host names in dev.local, localhost, test count"),
        ("a SPIFFE id", "is for UniformResourceIdentifier 'spiffe://example.com/ns/admin'"),
        ("a SPIFFE id in a zone", "spiffe://dev.local/admin"),
        ("a URN", "urn:uuid"),
        ("a host and a mail address", "boss@example.com"),
        ("a common name", "no alternative name"),
        ("a mail address in the subject", "no alternative name"),
        ("a UPN", r"an otherName \(1\.3\.6\.1\.4\.1\.311\.20\.2\.3\)"),
        ("an internationalised mail address", "an otherName"),
        ("a host and another common name", "none of its host names: 'CN=admin'"),
        ("a host and a group", "none of its host names: 'O=system:masters'"),
        ("a wildcard", r"DNSName '\*\.dev\.local'"),
        ("an address and another common name", "RegisteredID"),
    ],
)
def test_a_clients_certificate_with_another_identity_does_not_count(
    authority: Authority, name: str, reason: str
) -> None:
    certificate, _ = forge(authority.issuer_for("client"), (FORBIDDEN | UNREACHED)[name])
    said = client_objection(certificate.public_bytes(Encoding.DER), authority.zones)
    assert said.startswith("its certificate ")
    assert re.search(reason, said), said


def test_a_clients_certificate_that_cannot_be_read_does_not_count(authority: Authority) -> None:
    assert "cannot be read" in client_objection(b"\x30\x00", authority.zones)
    certificate, _ = forge(authority.issuer_for("client"), Identity(names=[x509.IPAddress(ip_address("10.0.0.1"))]))
    assert "10.0.0.1" in client_objection(certificate.public_bytes(Encoding.DER), authority.zones)


def test_clients_and_servers_are_signed_by_the_intermediate_for_them(authority: Authority, now: datetime) -> None:
    kinds: tuple[Kind, Kind] = ("server", "client")
    paths = set()
    for kind in kinds:
        certificate, issuer = (
            certified(authority, CertificateTemplate(("a.test",), kind), now),
            authority.issuer_for(kind),
        )
        certificate.verify_directly_issued_by(issuer.certificate)
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        paths |= {name.value for point in points for name in point.full_name or ()}
    assert paths == {
        f"http://127.0.0.1:20443/{name}-{authority.id}.crl" for name in ("intermediate", "client-intermediate")
    }
