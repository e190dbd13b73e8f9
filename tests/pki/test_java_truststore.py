"""Java's truststores, held against cryptography's own reader and writer."""

from __future__ import annotations

import struct

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, pkcs12

from devtls.errors import CertificateError
from devtls.pki.authority import Authority
from devtls.pki.java_truststore import read_truststore, write_pkcs12

ROOT = bytes.fromhex("3003020101")


def jks(*entries: bytes, version: int = 2) -> bytes:
    return struct.pack(">III", 0xFEEDFEED, version, len(entries)) + b"".join(entries) + bytes(20)


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def certificate(der: bytes, version: int = 2) -> bytes:
    return (text("X.509") if version == 2 else b"") + struct.pack(">I", len(der)) + der


def trusted(alias: str, der: bytes, version: int = 2) -> bytes:
    return struct.pack(">I", 2) + text(alias) + bytes(8) + certificate(der, version)


def key(alias: str, *chain: bytes) -> bytes:
    held = b"".join(certificate(der) for der in chain)
    return struct.pack(">I", 1) + text(alias) + bytes(8) + struct.pack(">I", 3) + b"key" + struct.pack(">I", 1) + held


def test_what_is_written_is_read_by_cryptography_with_names(authority: Authority) -> None:
    data = write_pkcs12(
        {"devtls root": authority.root_der, "größe": authority.intermediate.certificate.public_bytes(Encoding.DER)}
    )
    found = pkcs12.load_pkcs12(data, None).additional_certs
    assert [(each.friendly_name, each.certificate) for each in found] == [
        (b"devtls root", authority.root),
        ("größe".encode(), authority.intermediate.certificate),
    ]


def test_the_same_entries_give_the_same_bytes_and_come_back() -> None:
    entries = {f"root {number}": bytes((0x30, 0x82, 0x01, 0x00)) + bytes(number) for number in (0, 1, 200, 70_000)}
    assert write_pkcs12(entries) == write_pkcs12(entries)
    assert read_truststore(write_pkcs12(entries)) == tuple(entries.values())


def test_a_certificate_that_no_parser_takes_passes_as_it_is() -> None:
    assert read_truststore(write_pkcs12({"odd": b"\x30\x00odd"})) == (b"\x30\x00odd",)


def test_what_cryptography_writes_for_java_is_read(authority: Authority) -> None:
    entries = [pkcs12.PKCS12Certificate(authority.root, b"root")]
    assert read_truststore(pkcs12.serialize_java_truststore(entries, NoEncryption())) == (authority.root_der,)


def test_certificates_and_keys_that_java_would_not_trust_do_not_count(authority: Authority) -> None:
    plain = pkcs12.serialize_key_and_certificates(
        b"me", authority.intermediate.key, authority.intermediate.certificate, [authority.root], NoEncryption()
    )
    assert read_truststore(plain) == ()


def test_an_encrypted_one_is_refused(authority: Authority) -> None:
    entries = [pkcs12.PKCS12Certificate(authority.root, b"root")]
    data = pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(b"changeit"))
    with pytest.raises(CertificateError, match="encrypted"):
        read_truststore(data)


@pytest.mark.parametrize("version", [1, 2])
def test_jks_gives_its_trusted_certificates(version: int) -> None:
    data = jks(trusted("a", b"one", version), trusted("b", b"two", version), version=version)
    assert read_truststore(data) == (b"one", b"two")


def test_jks_keys_and_their_chains_do_not_count() -> None:
    assert read_truststore(jks(key("k", b"chain"), trusted("a", b"one"))) == (b"one",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x82\xff",
        b"\x30\x03\x02\x01\x03",
        b"-----BEGIN CERTIFICATE-----",
        ROOT + ROOT,
        jks(version=3),
        jks(struct.pack(">I", 7) + text("x") + bytes(8)),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateError, match="no truststore that devtls can read"):
        read_truststore(data)


def test_cut_at_any_byte_it_is_refused() -> None:
    for whole in (write_pkcs12({"a": ROOT}), jks(key("k", b"c"), trusted("a", b"one"))[:-20]):
        for size in range(4, len(whole)):
            with pytest.raises(CertificateError):
                read_truststore(whole[:size])


def test_the_roots_stay_what_they_are(authority: Authority) -> None:
    (der,) = read_truststore(write_pkcs12({"root": authority.root_der}))
    assert x509.load_der_x509_certificate(der) == authority.root
