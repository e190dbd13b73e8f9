from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.errors import CertificateError, NameNotPermitted
from devtls.names import Hostname
from devtls.pki.authority import Authority
from devtls.pki.delegation import checked_key, delegate, key_in_request
from devtls.pki.intermediate import Intermediate
from devtls.pki.profile import Purpose, name_constraints
from tests.pki.conftest import fixed_key

ROOT_KEY, OTHER_KEY = fixed_key(1001), fixed_key(2001)


def hand_on(authority: Authority, now: datetime, zones: tuple[str, ...] = (), days: int = 30) -> x509.Certificate:
    wanted = tuple(Hostname(zone) for zone in zones)
    return delegate(authority, ROOT_KEY, OTHER_KEY.public_key(), zones=wanted, now=now, days=days, serial=77)


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.CertificateSigningRequest:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ignored.example.com")])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())


def test_it_has_the_profile_of_an_intermediate_and_the_roots_zones(authority: Authority, now: datetime) -> None:
    handed, own = hand_on(authority, now), authority.intermediate.certificate
    skipped = (x509.SubjectKeyIdentifier, x509.ExtendedKeyUsage)
    values = {
        each.oid: (each.critical, each.value) for each in handed.extensions if not isinstance(each.value, skipped)
    }
    assert values == {
        each.oid: (each.critical, each.value) for each in own.extensions if not isinstance(each.value, skipped)
    }
    assert handed.issuer == authority.root.subject
    assert handed.public_key() == OTHER_KEY.public_key()
    assert handed.not_valid_after_utc == now.replace(microsecond=0) + timedelta(days=30)
    handed.verify_directly_issued_by(authority.root)


@pytest.mark.parametrize(
    ("purpose", "usages"),
    [
        ("any", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        ("server", [ExtendedKeyUsageOID.SERVER_AUTH]),
        ("client", [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_it_signs_for_servers_and_clients_or_for_one_of_them(
    authority: Authority, now: datetime, purpose: Purpose, usages: list[x509.ObjectIdentifier]
) -> None:
    key = OTHER_KEY.public_key()
    handed = delegate(authority, ROOT_KEY, key, zones=(), now=now, days=30, serial=7, purpose=purpose)
    assert list(handed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == usages


def test_it_may_be_for_some_of_the_zones_and_for_what_lies_below_them(authority: Authority, now: datetime) -> None:
    handed = hand_on(authority, now, ("shop.test", "dev.local"))
    found = handed.extensions.get_extension_for_class(x509.NameConstraints).value
    assert found == name_constraints([Hostname("shop.test"), Hostname("dev.local")])


@pytest.mark.parametrize("zone", ["example.com", "local", "xdev.local"])
def test_a_zone_outside_the_roots_is_refused(authority: Authority, now: datetime, zone: str) -> None:
    with pytest.raises(NameNotPermitted, match="nothing that it could hand on") as caught:
        hand_on(authority, now, ("test", zone))
    assert caught.value.name == zone
    assert f"--zone {zone}" in caught.value.hint


def test_it_never_outlives_the_root_and_begins_before_it_ends(authority: Authority, now: datetime) -> None:
    assert hand_on(authority, now, days=9999).not_valid_after_utc == authority.root.not_valid_after_utc
    with pytest.raises(CertificateError, match="ended before"):
        hand_on(authority, authority.root.not_valid_after_utc)


def test_another_key_than_the_roots_signs_nothing(authority: Authority, now: datetime) -> None:
    with pytest.raises(CertificateError, match="not the root's"):
        delegate(authority, OTHER_KEY, OTHER_KEY.public_key(), zones=(), now=now, days=1, serial=7)


def test_what_it_signs_is_checked_like_any_ca_of_ours(authority: Authority, now: datetime) -> None:
    handed = hand_on(authority, now)
    Authority(authority.root, Intermediate(handed, OTHER_KEY), authority.root_crl_der, 20443).check(now)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_only_the_key_is_taken_from_a_request(encoding: Encoding) -> None:
    assert key_in_request(request(OTHER_KEY).public_bytes(encoding)) == OTHER_KEY.public_key()


def test_a_request_proves_that_its_sender_holds_the_key() -> None:
    der = bytearray(request(OTHER_KEY).public_bytes(Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(CertificateError, match="not signed with the key"):
        key_in_request(bytes(der))


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END"])
def test_what_is_no_request_is_named(content: bytes) -> None:
    with pytest.raises(CertificateError, match="no certificate request"):
        key_in_request(content)


def test_keys_that_browsers_do_not_take_are_refused() -> None:
    good = (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert all(checked_key(key.public_key()) == key.public_key() for key in good)
    weak = (
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        ed25519.Ed25519PrivateKey.generate(),
    )
    for key in weak:
        with pytest.raises(CertificateError, match="of this kind"):
            checked_key(key.public_key())
