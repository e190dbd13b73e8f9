from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec.structs import replace

from devtls.errors import CertificateError, NameNotPermitted
from devtls.names import Hostname
from devtls.pki.authority import Authority, NewKey, create_authority
from devtls.pki.intermediate import Intermediate
from devtls.pki.leaf import Leaf

APP = Hostname("app.dev.local")


def leaf_certificate(leaf: Leaf) -> x509.Certificate:
    return x509.load_pem_x509_certificates(leaf.chain_pem)[0]


def test_zones_come_from_the_certificate_in_the_order_given(authority: Authority) -> None:
    assert authority.zones == ("dev.local", "localhost", "test")


def test_the_id_is_in_the_name_and_in_the_crl_paths(authority: Authority) -> None:
    assert authority.root.subject.rfc4514_string() == f"CN=devtls root {authority.id},O=devtls"
    assert authority.root_crl_path == f"/root-{authority.id}.crl"
    assert authority.intermediate_crl_path == f"/intermediate-{authority.id}.crl"


def test_the_signer_says_the_same_as_its_ca(authority: Authority) -> None:
    signer = authority.signer
    for name in ("id", "fingerprint", "zones", "pki_port", "root_pem", "root_crl_path", "intermediate_crl_path"):
        assert getattr(signer, name) == getattr(authority, name)


def test_root_pem_der_and_fingerprint_are_of_one_certificate(authority: Authority) -> None:
    assert x509.load_pem_x509_certificate(authority.root_pem) == x509.load_der_x509_certificate(authority.root_der)
    assert bytes.fromhex(authority.fingerprint) == authority.root.fingerprint(SHA256())


@pytest.mark.parametrize("name", ["dev.local", "app.dev.local", "a.b.dev.local", "localhost", "x.test"])
def test_names_in_the_zones_are_permitted_and_issued(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey, name: str
) -> None:
    leaf = authority.issue(Hostname(name), now=now, key=leaf_key, serial=7)
    assert leaf.names == (name,)
    san = leaf_certificate(leaf).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical
    assert list(san.value) == [x509.DNSName(name)]


@pytest.mark.parametrize("name", ["example.com", "xdev.local", "local", "dev.local.example.com", "mylocalhost"])
def test_names_outside_the_zones_are_refused(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey, name: str
) -> None:
    assert not authority.permits(name)
    with pytest.raises(NameNotPermitted) as caught:
        authority.issue(Hostname(name), now=now, key=leaf_key, serial=7)
    assert caught.value.name == name
    assert "devtls ca renew --zone" in caught.value.hint


def test_a_leaf_is_valid_from_an_hour_ago_for_ninety_days(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = authority.issue(APP, now=now, key=leaf_key, serial=7)
    second = now.replace(microsecond=0)
    assert leaf.not_before == second - timedelta(hours=1) == leaf_certificate(leaf).not_valid_before_utc
    assert leaf.not_after == second + timedelta(days=90) == leaf_certificate(leaf).not_valid_after_utc


def test_a_leaf_is_usable_until_two_thirds_of_its_life(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = authority.issue(APP, now=now, key=leaf_key, serial=7)
    third = (leaf.not_after - leaf.not_before) / 3
    assert leaf.usable(now)
    assert leaf.usable(leaf.not_before)
    assert not leaf.usable(leaf.not_before - timedelta(seconds=1))
    assert leaf.usable(leaf.not_before + 2 * third - timedelta(seconds=1))
    assert not leaf.usable(leaf.not_before + 2 * third)


def test_a_leaf_never_outlives_the_ca(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    late = now + timedelta(days=3649)
    leaf = authority.issue(APP, now=late, key=leaf_key, serial=7)
    assert leaf.not_after == authority.root.not_valid_after_utc


def test_the_pem_holds_leaf_intermediate_and_key_but_not_the_root(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = authority.issue(APP, now=now, key=leaf_key, serial=7)
    chain = x509.load_pem_x509_certificates(leaf.chain_pem)
    assert chain[1:] == [authority.intermediate.certificate]
    assert chain[0].serial_number == leaf.serial == 7
    key = serialization.load_pem_private_key(leaf.key_pem, password=None)
    assert key.public_key() == chain[0].public_key()
    assert leaf.pem == leaf.chain_pem + leaf.key_pem


def test_the_default_leaf_is_for_localhost_and_both_loopback_addresses(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = authority.issue_default(now=now, key=leaf_key, serial=7)
    assert leaf.names == ("localhost", "127.0.0.1", "::1")
    san = leaf_certificate(leaf).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]


def test_the_default_leaf_leaves_out_localhost_when_it_is_no_zone(
    authority_without_localhost: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = authority_without_localhost.issue_default(now=now, key=leaf_key, serial=7)
    assert leaf.names == ("127.0.0.1", "::1")


def test_a_new_ca_passes_its_own_check_from_first_to_last_second(authority: Authority) -> None:
    authority.check(authority.root.not_valid_before_utc)
    authority.check(authority.root.not_valid_after_utc - timedelta(seconds=1))


def test_a_zone_that_is_named_twice_is_in_the_constraints_once(
    now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    authority = create_authority(
        [Hostname("corp.test"), Hostname("dev.local"), Hostname("corp.test")],
        now=now,
        pki_port=1,
        root=NewKey(leaf_key, 1),
        intermediates={"server": NewKey(leaf_key, 2), "client": NewKey(leaf_key, 3)},
    )
    assert authority.zones == ("corp.test", "dev.local")


def test_a_ca_needs_a_zone(now: datetime, leaf_key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(CertificateError, match="zone"):
        create_authority(
            [],
            now=now,
            pki_port=1,
            root=NewKey(leaf_key, 1),
            intermediates={"server": NewKey(leaf_key, 2), "client": NewKey(leaf_key, 3)},
        )


def test_a_clock_before_the_ca_is_named_as_the_cause(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    early = datetime(2020, 1, 1, tzinfo=UTC)
    for act in (
        lambda: authority.check(early),
        lambda: authority.issue(APP, now=early, key=leaf_key, serial=7),
        lambda: authority.issue_default(now=early, key=leaf_key, serial=7),
    ):
        with pytest.raises(CertificateError, match="clock says 2020-01-01"):
            act()


def test_an_ended_ca_issues_nothing(authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey) -> None:
    end = authority.root.not_valid_after_utc
    with pytest.raises(CertificateError, match="ended on 2036-11-20"):
        authority.check(end)
    with pytest.raises(CertificateError, match="ended"):
        authority.issue(APP, now=end, key=leaf_key, serial=7)


def test_a_key_that_does_not_match_is_found(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    other = replace(authority, intermediate=Intermediate(authority.intermediate.certificate, leaf_key))
    with pytest.raises(CertificateError, match="key does not belong"):
        other.check(now)


def foreign_authority(now: datetime, zone: str = "dev.local") -> Authority:
    return create_authority(
        [Hostname(zone)],
        now=now,
        pki_port=1,
        root=NewKey(ec.generate_private_key(ec.SECP256R1()), 1),
        intermediates={
            "server": NewKey(ec.generate_private_key(ec.SECP256R1()), 2),
            "client": NewKey(ec.generate_private_key(ec.SECP256R1()), 3),
        },
    )


def test_an_intermediate_of_another_root_is_found(authority: Authority, now: datetime) -> None:
    mixed = replace(authority, intermediate=foreign_authority(now).intermediate)
    with pytest.raises(CertificateError, match="not signed by this root"):
        mixed.check(now)


def test_a_root_list_of_another_root_is_found(authority: Authority, now: datetime) -> None:
    mixed = replace(authority, root_crl_der=foreign_authority(now).root_crl_der)
    with pytest.raises(CertificateError, match="revocation list was not signed"):
        mixed.check(now)


def test_a_damaged_root_list_is_found(authority: Authority, now: datetime) -> None:
    with pytest.raises(CertificateError, match="damaged"):
        replace(authority, root_crl_der=b"junk").check(now)


def test_a_root_of_another_key_type_is_found(now: datetime) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    intermediate_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa")])

    def signed(public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
        return builder.public_key(public_key).sign(key, SHA256())

    intermediate = Intermediate(signed(intermediate_key.public_key()), intermediate_key)
    with pytest.raises(CertificateError, match="elliptic"):
        Authority(signed(key.public_key()), intermediate, b"", 1).check(now)


def resigned(
    authority: Authority, now: datetime, constraints: x509.NameConstraints | None, *, critical: bool = True
) -> Authority:
    """A CA whose intermediate carries other constraints, properly signed by the root of the fixture."""
    root_key = ec.derive_private_key(1001, ec.SECP256R1())
    old = authority.intermediate.certificate
    builder = x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer).serial_number(9)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.public_key(authority.intermediate.key.public_key())
    if constraints:
        builder = builder.add_extension(constraints, critical=critical)
    certificate = builder.sign(root_key, SHA256())
    return replace(authority, intermediate=Intermediate(certificate, authority.intermediate.key))


def test_missing_or_weak_constraints_are_found(authority: Authority, now: datetime) -> None:
    full = authority.root.extensions.get_extension_for_class(x509.NameConstraints).value
    names_only = x509.NameConstraints([x509.DNSName("dev.local")], None)
    excluding = x509.NameConstraints(None, [x509.DNSName("example.com")])
    for weak in (
        resigned(authority, now, None),
        resigned(authority, now, names_only),
        resigned(authority, now, excluding),
        resigned(authority, now, full, critical=False),
    ):
        with pytest.raises(CertificateError, match="intermediate could speak for names outside"):
            weak.check(now)


def test_different_constraints_on_root_and_intermediate_are_found(authority: Authority, now: datetime) -> None:
    other = foreign_authority(now, "corp.test").root.extensions.get_extension_for_class(x509.NameConstraints).value
    with pytest.raises(CertificateError, match="different zones"):
        resigned(authority, now, other).check(now)


def test_a_certificate_without_its_extensions_is_found(authority: Authority, now: datetime) -> None:
    bare = replace(authority, root=resigned(authority, now, None).intermediate.certificate)
    with pytest.raises(CertificateError, match="lacks its NameConstraints"):
        _ = bare.zones


def test_a_root_that_only_excludes_has_no_zones(authority: Authority, now: datetime) -> None:
    excluding = x509.NameConstraints(None, [x509.DNSName("example.com")])
    root = resigned(authority, now, excluding).intermediate.certificate
    assert replace(authority, root=root).zones == ()


def test_printing_a_leaf_or_a_ca_shows_no_key(
    authority: Authority, now: datetime, leaf_key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = authority.issue(APP, now=now, key=leaf_key, serial=7)
    assert "PRIVATE" not in repr(leaf)
    assert "PRIVATE" not in repr(authority)
