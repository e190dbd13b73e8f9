"""Our DER against cryptography's: the same values give the same bytes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from devtls.pki import der
from devtls.pki.authority import Authority
from devtls.pki.leaf import Name, sign_leaf
from devtls.pki.signature import deterministic

CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def keys() -> list[ec.EllipticCurvePrivateKey]:
    source = random.Random(7)
    numbers = [1, 2, 255, 256, ORDER - 1, *(source.randrange(1, ORDER) for _ in range(50))]
    return [ec.derive_private_key(number, CURVE) for number in numbers]


def test_private_keys_are_pkcs_8() -> None:
    for key in keys():
        expected = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert der.key_pem(key) == expected
        again = der.read_key_pem(expected)
        assert again is not None
        assert again.private_numbers() == key.private_numbers()


def test_public_keys_are_spki() -> None:
    for key in keys():
        expected = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert der.public_key_info(der.point(key.public_key())) == expected


def damaged(number: int) -> bytes:
    good = der.key_pem(keys()[10])
    return good[:number] + bytes([good[number] ^ 1]) + good[number + 1 :]


def test_a_damaged_key_is_left_to_a_real_parser() -> None:
    good = der.key_pem(keys()[10])
    for number in range(len(good)):
        assert der.read_key_pem(damaged(number)) is None


def of_number(number: int) -> bytes:
    head = der._KEY_HEAD + number.to_bytes(32, "big")
    return der.pem("PRIVATE KEY", head + der._KEY_POINT + der.point(keys()[0].public_key()))


@pytest.mark.parametrize(
    "text",
    [b"", b"\n\n\n", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", of_number(0), of_number(ORDER)],
)
def test_what_is_no_key_of_ours_is_left_to_a_real_parser(text: bytes) -> None:
    assert der.read_key_pem(text) is None


def test_another_curve_is_left_to_a_real_parser() -> None:
    other = ec.derive_private_key(7, ec.SECP384R1())
    text = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert der.read_key_pem(text) is None


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths_are_in_the_shortest_form(size: int) -> None:
    encoded = der.byte_string(b"x" * size)
    assert encoded[1] == size if size < 128 else encoded[1] - 128 == (size.bit_length() + 7) // 8
    assert encoded.endswith(b"x" * size)
    assert len(encoded) - size == (2 if size < 128 else 2 + encoded[1] - 128)


def expected_leaf(
    authority: Authority,
    key: ec.EllipticCurvePrivateKey,
    names: list[Name],
    dates: tuple[datetime, datetime],
    serial: int,
) -> x509.Certificate:
    """Return the leaf as cryptography builds it."""
    issuer = authority.intermediate.certificate
    general = [x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name) for name in names]
    where = x509.UniformResourceIdentifier(f"http://127.0.0.1:{authority.pki_port}{authority.intermediate_crl_path}")
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.SubjectAlternativeName(general), critical=True)
        .add_extension(x509.CRLDistributionPoints([x509.DistributionPoint([where], None, None, None)]), critical=False)
        .sign(authority.intermediate.key, SHA256(), ecdsa_deterministic=deterministic())
    )


NAMES: list[list[Name]] = [
    ["a.test"],
    ["app.dev.local"],
    ["xn--bcher-kva.dev.local"],
    [".".join(["a" * 63] * 3 + ["b" * 61])],
    ["localhost", ip_address("127.0.0.1"), ip_address("::1")],
    [f"n{number}.a-rather-long-label-of-a-name.dev.local" for number in range(20)],
]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: str(names[0])[:20])
@pytest.mark.parametrize("serial", [1, 127, 128, 255, 256, 2**159 - 1, 2**158])
@pytest.mark.parametrize("year", [2026, 2049, 2050, 2051])
def test_a_leaf_is_the_one_that_cryptography_builds(
    authority: Authority, leaf_key: ec.EllipticCurvePrivateKey, names: list[Name], serial: int, year: int
) -> None:
    start = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    end = start + timedelta(days=90)
    leaf = sign_leaf(authority.signer, names, not_before=start, not_after=end, key=leaf_key, serial=serial)
    built = expected_leaf(authority, leaf_key, names, (start, end), serial)
    ours = leaf.chain_pem.removesuffix(authority.intermediate_pem)
    assert x509.load_pem_x509_certificate(ours).tbs_certificate_bytes == built.tbs_certificate_bytes
    if deterministic():
        assert ours == built.public_bytes(Encoding.PEM)
