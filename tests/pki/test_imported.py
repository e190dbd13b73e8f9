"""CAs that were made elsewhere: which are taken, for which zones, what is said of them, which are refused and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.errors import CertificateError, NameNotPermitted
from devtls.names import DEFAULT_ZONES, Hostname, parse_zone
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import allows_loopback, allows_zone, check_path, common_name, identifier_of, in_words, is_root
from devtls.pki.certify import CertificateTemplate, certify
from devtls.pki.imported import ImportBundle, ValidatedCa, validate_import
from devtls.pki.profile import distribution_point
from devtls.pki.revocation import build_crl, revoked_entry
from tests.pki.elsewhere import CERT_SIGN_ONLY, Made, company, excluding, make, mkcert, new_key, permitting, step_ca

PRIVATE = ip_network("10.0.0.0/8")
PARSE = partial(parse_zone, is_public_suffix=lambda name: name == "co.uk")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def check(now: datetime, issuer: Made, *others: Made, zones: tuple[str, ...] = (), crl: bytes = b"") -> ValidatedCa:
    brought = ImportBundle(issuer.certificate, issuer.key, tuple(each.certificate for each in others), crl)
    return validate_import(brought, zones=[Hostname(zone) for zone in zones], parse_zone=PARSE, now=now, pki_port=20443)


def issue(authority: Authority, name: str, now: datetime) -> x509.Certificate:
    leaf = authority.issue(Hostname(name), now=now, key=ec.generate_private_key(ec.SECP256R1()), serial=7)
    certificates = x509.load_pem_x509_certificates(leaf.chain_pem)
    assert tuple(certificates[1:]) == authority.path[:-1]
    certificates[0].verify_directly_issued_by(authority.path[0])
    return certificates[0]


def test_mkcerts_root_signs_leaves_itself_and_the_differences_are_listed(now: datetime) -> None:
    found = check(now, mkcert())
    authority = found.authority
    assert (authority.imported, authority.name_constrained, found.name_constrained, authority.signs_crls) == (
        True,
        False,
        False,
        False,
    )
    assert (authority.zones, authority.intermediate_pem) == (DEFAULT_ZONES, b"")
    leaf = issue(authority, "app.test", now)
    assert not [each for each in leaf.extensions if isinstance(each.value, x509.CRLDistributionPoints)]
    assert leaf.signature_algorithm_oid._name == "sha256WithRSAEncryption"
    text = " ".join(found.differences)
    for words in ("signs leaves itself", "RSA with 2048", "no cRLSign", "for every purpose", "ends on"):
        assert words in text
    assert authority.signer.generation == authority.generation != f"ca-{authority.id}"


def test_step_cas_intermediate_signs_with_its_root_above(now: datetime) -> None:
    root, intermediate = step_ca()
    found = check(now, intermediate, root)
    assert found.authority.path == (intermediate.certificate, root.certificate)
    assert issue(found.authority, "app.localhost", now).issuer == intermediate.certificate.subject
    assert "names no CRL of its own" in " ".join(found.differences)
    assert found.authority.intermediate_crl(number=1, this_update=now)


def test_a_companys_three_tiers_in_any_order_for_what_its_constraints_permit(now: datetime) -> None:
    root, policy, issuing = company()
    found = check(now, issuing, root, mkcert(), policy)
    assert found.authority.path == (issuing.certificate, policy.certificate, root.certificate)
    assert (found.name_constrained, found.authority.zones) == (True, ("dev.corp.example",))
    issue(found.authority, "app.dev.corp.example", now)
    assert check(now, issuing, root, policy, zones=("a.dev.corp.example",)).authority.zones == ("a.dev.corp.example",)
    with pytest.raises(NameNotPermitted, match="do not permit test") as caught:
        check(now, issuing, root, policy, zones=("test",))
    assert caught.value.hint == "it permits dev.corp.example"


def test_the_life_is_the_shortest_in_the_path(now: datetime) -> None:
    root = make("Root", begin=now - timedelta(hours=2), end=now + timedelta(days=3))
    found = check(now, make("Below", by=root), root)
    assert found.authority.not_after == found.authority.signer.not_after == root.certificate.not_valid_after_utc
    assert found.authority.signer.not_before == root.certificate.not_valid_before_utc
    with pytest.raises(CertificateError, match="ended"):
        check(now + timedelta(days=4), make("Below", by=root), root)
    with pytest.raises(CertificateError, match="not valid before"):
        check(now - timedelta(days=2), make("Below", by=root), root)


def test_a_key_of_another_certificate_is_refused(now: datetime) -> None:
    with pytest.raises(CertificateError, match="does not belong"):
        check(now, Made(mkcert().certificate, new_key()))


def test_a_chain_that_breaks_off_names_what_is_missing(now: datetime) -> None:
    _, policy, issuing = company()
    with pytest.raises(CertificateError, match="CN=Corp Root") as caught:
        check(now, issuing, policy)
    assert "--chain" in caught.value.hint


def test_what_is_no_ca_or_not_for_servers_signs_nothing(now: datetime) -> None:
    signing_only = x509.KeyUsage(True, *[False] * 8)
    mail = [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    for bad, why in (
        (make("Leaf", ca=False), "not the certificate of a CA"),
        (make("No signer", usage=signing_only), "not the certificate of a CA"),
        (make("Mail", purposes=mail), "not for web servers"),
    ):
        with pytest.raises(CertificateError, match=why):
            check(now, bad)
    assert check(now, make("Any", purposes=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])).authority.imported


def test_a_path_that_is_too_long_is_refused(now: datetime) -> None:
    root = make("Root", path_length=0)
    with pytest.raises(CertificateError, match="'Root' allows 0 CAs below it, and here are 1"):
        check(now, make("Below", by=root), root)


def test_a_signature_that_no_verifier_takes_is_refused(now: datetime) -> None:
    root, policy, issuing = company()
    sha256_with_rsa, sha1_with_rsa = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    der = issuing.certificate.public_bytes(Encoding.DER).replace(sha256_with_rsa, sha1_with_rsa)
    with pytest.raises(CertificateError, match="no verifier takes"):
        check_path((x509.load_der_x509_certificate(der), policy.certificate, root.certificate))


def test_certificates_for_other_servers_name_no_list_that_cannot_be_signed(now: datetime) -> None:
    authority = check(now, mkcert()).authority
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    leaf = certify(authority, CertificateTemplate(("app.test",)), key, now=now, serial=5)
    assert not [each for each in leaf.extensions if isinstance(each.value, x509.CRLDistributionPoints)]
    leaf.verify_directly_issued_by(authority.root)


def test_a_seal_from_before_imports_says_no_generation(authority: Authority) -> None:
    assert authority.signer.directory_name == authority.generation == f"ca-{authority.id}"
    assert msgspec.structs.replace(authority.signer, generation="").directory_name == authority.generation


def test_parts_that_were_exchanged_on_disk_are_noticed(now: datetime) -> None:
    root, intermediate = step_ca()
    authority = check(now, intermediate, root).authority
    other = Authority(step_ca()[0].certificate, authority.intermediate, b"", 1, limits=authority.limits)
    with pytest.raises(CertificateError, match="was not signed by"):
        other.check_parts()


@pytest.mark.parametrize(
    ("limits", "zone", "allowed"),
    [
        (permitting("dev.local"), "dev.local", True),
        (permitting("dev.local"), "app.dev.local", True),
        (permitting("dev.local"), "xdev.local", False),
        (permitting(".dev.local"), "dev.local", False),
        (permitting(".dev.local"), "app.dev.local", True),
        (excluding("test"), "app.test", False),
        (excluding("bank.test"), "test", False),
        (excluding("bank.test"), "app.test", True),
        (permitting("DEV.Local"), "dev.local", True),
    ],
)
def test_constraints_are_read_as_verifiers_read_them(limits: x509.NameConstraints, zone: str, allowed: bool) -> None:
    assert allows_zone((make("CA", constraints=limits).certificate,), zone) is allowed


def test_constraints_anywhere_in_the_path_count(now: datetime) -> None:
    root = make("Root", constraints=permitting("test", "co.uk", "dev.local"))
    issuing = make("Issuing", by=root, constraints=excluding("dev.local"))
    found = check(now, issuing, root)
    assert found.authority.zones == ("test",)  # co.uk is a public suffix, dev.local excluded below
    outside = make("Outside", by=root, constraints=permitting("com"))
    with pytest.raises(CertificateError, match="no zone that devtls could serve"):
        check(now, outside, root)
    plain = check(now, make("Plain", by=root, path_length=0), root)
    assert "on the root alone, where Java does not look" in " ".join(plain.differences)


def test_addresses_are_left_out_where_they_are_not_permitted(now: datetime) -> None:
    only = x509.NameConstraints([x509.DNSName("test"), x509.IPAddress(PRIVATE)], None)
    authority = check(now, make("No loopback", constraints=only)).authority
    assert not authority.signer.addresses
    with pytest.raises(NameNotPermitted, match="neither localhost"):
        authority.issue_default(now=now, key=ec.generate_private_key(ec.SECP256R1()), serial=3)
    wide = x509.NameConstraints([x509.DNSName("localhost"), x509.IPAddress(PRIVATE)], None)
    leaf = check(now, make("localhost", constraints=wide)).authority.issue_default(
        now=now, key=ec.generate_private_key(ec.SECP256R1()), serial=3
    )
    assert leaf.names == ("localhost",)
    assert allows_loopback((make("both", constraints=permitting("test", networks=True)).certificate,))
    excluded = x509.NameConstraints(None, [x509.IPAddress(PRIVATE)])
    assert not allows_loopback((make("excluded", constraints=excluded).certificate,))


def test_the_roots_list_is_taken_when_the_root_signed_it(now: datetime) -> None:
    root, intermediate = step_ca()
    crl = build_crl(root.certificate, root.key, number=1, this_update=now, next_update=now + timedelta(days=9))
    der = crl.public_bytes(Encoding.DER)
    assert check(now, intermediate, root, crl=der).authority.root_crl_der == der
    with pytest.raises(CertificateError, match="was not signed by"):
        check(
            now,
            intermediate,
            root,
            crl=check(now, intermediate, root).authority.intermediate_crl(number=1, this_update=now),
        )
    with pytest.raises(CertificateError, match="holds no CRL"):
        check(now, intermediate, root, crl=b"junk")


def revoking(root: Made, revoked: Made, now: datetime) -> bytes:
    """Return a CRL of `root` with another CA on it."""
    entry = revoked_entry(revoked.certificate.serial_number, now, "unspecified")
    crl = build_crl(root.certificate, root.key, number=2, this_update=now, next_update=now, revoked=[entry])
    return crl.public_bytes(Encoding.DER)


def test_a_ca_that_its_root_revoked_is_refused(now: datetime) -> None:
    root, intermediate = step_ca()
    with pytest.raises(CertificateError, match=r"was revoked on \d{4}-\d\d-\d\d: it is on its root's CRL") as caught:
        check(now, intermediate, root, crl=revoking(root, intermediate, now))
    assert "root's key" in caught.value.hint


def test_a_ca_that_its_root_revoked_later_says_so(now: datetime) -> None:
    root, intermediate = step_ca()
    authority = check(now, intermediate, root).authority
    assert authority.withdrawn_in_words == ""
    crl = revoking(root, intermediate, now)
    assert "was revoked on" in msgspec.structs.replace(authority, root_crl_der=crl).withdrawn_in_words


def test_a_ca_like_ours_differs_in_little(now: datetime) -> None:
    server = [ExtendedKeyUsageOID.SERVER_AUTH]
    limits = permitting("test", networks=True)
    root = make("Root", path_length=1, constraints=limits, purposes=server)
    point = distribution_point("http://127.0.0.1:1/x.crl")
    issuing = make("Issuing", by=root, path_length=0, constraints=limits, purposes=server, more=(point,))
    differences = check(now, issuing, root).differences
    assert [difference[:25] for difference in differences] == [
        "Its constraints say nothi",
        "It is for servers alone: ",
        "It ends on 2026-12-23, in"[:11] + differences[-1][11:25],
    ]
    with pytest.raises(CertificateError, match="not for clients"):
        check(now, issuing, root).authority.issuer_for("client")


def bare(name: str, key: ec.EllipticCurvePrivateKey, *extensions: tuple[x509.ExtensionType, bool]) -> Made:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(3).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2090, 1, 1))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Made(builder.sign(key, SHA256()), key)


def test_extensions_that_strict_verifiers_want_are_missed(now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = bare("Bare", key, (x509.BasicConstraints(ca=True, path_length=0), False))
    found = check(now, made)
    assert "OpenSSL in strict mode" in " ".join(found.differences)
    assert found.authority.signs_crls
    assert identifier_of(made.certificate) == x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    assert (common_name(made.certificate), in_words(made.certificate)) == ("O=Bare", "'O=Bare'")
    with pytest.raises(CertificateError, match="not the certificate of a CA"):
        check(now, bare("Nothing", key))
    broken = bare("Broken", key, (x509.UnrecognizedExtension(x509.BasicConstraints.oid, b"\x01"), True))
    with pytest.raises(CertificateError, match="cannot be read"):
        check(now, broken)


def test_a_root_is_what_signed_itself() -> None:
    root, intermediate = step_ca()
    assert is_root(root.certificate)
    assert not is_root(intermediate.certificate)
    assert CERT_SIGN_ONLY.key_cert_sign
