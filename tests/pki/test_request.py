from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID

from devtls.errors import CertificateError
from devtls.pki import der
from devtls.pki.request import read_request

KEY = ec.generate_private_key(ec.SECP256R1())


def subject(**parts: str) -> x509.Name:
    oids = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME}
    return x509.Name([x509.NameAttribute(oids[name], value) for name, value in parts.items()])


def request(name: x509.Name, *extensions: x509.ExtensionType, password: bytes = b"") -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    if password:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, password)
    return builder.sign(KEY, SHA256())


def alternative(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_names_and_key_are_taken(encoding: Encoding) -> None:
    names = alternative(x509.DNSName("a.test"), x509.IPAddress(ip_address("127.0.0.1")))
    found = read_request(request(subject(CN="a.test"), names).public_bytes(encoding))
    assert found.names == ("a.test", "127.0.0.1")
    assert found.key == KEY.public_key()
    assert found.left_out == ()


def test_without_alternative_names_the_common_name_counts() -> None:
    found = read_request(request(subject(CN="a.test")).public_bytes(Encoding.PEM))
    assert (found.names, found.left_out) == (("a.test",), ())


def test_text_around_the_pem_is_passed_over() -> None:
    """`openssl req -text` writes it in front."""
    content = b"Certificate Request:\n    Data:\n" + request(subject(CN="a.test")).public_bytes(Encoding.PEM)
    assert read_request(content).names == ("a.test",)


def test_everything_else_is_left_out_and_named() -> None:
    names = alternative(
        x509.DNSName("a.test"),
        x509.RFC822Name("me@example.com"),
        x509.DirectoryName(subject(CN="x")),
    )
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    asked = request(
        subject(O="Example", CN="other.test"),
        names,
        x509.BasicConstraints(ca=True, path_length=None),
        unknown,
        password=b"secret",
    )
    assert read_request(asked.public_bytes(Encoding.DER)).left_out == (
        "subject O=Example",
        "subject CN=other.test",
        "name me@example.com",
        "name CN=x",
        "extension basicConstraints",
        "extension 1.2.3.4",
        "attribute challengePassword",
    )


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    good = request(subject(CN="a.test")).public_bytes(Encoding.DER)
    changed = good.replace(b"a.test", b"b.test")
    assert changed != good
    with pytest.raises(CertificateError, match="not signed with its own key"):
        read_request(changed)


def test_a_request_without_a_name_is_refused() -> None:
    with pytest.raises(CertificateError, match="names no host"):
        read_request(request(subject(O="Example")).public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x30\x03\x02\x01\x00",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        bytes(70_000),
    ],
    ids=["empty", "text", "DER", "PEM", "certificate", "large"],
)
def test_what_is_no_request_is_refused(content: bytes) -> None:
    with pytest.raises(CertificateError) as caught:
        read_request(content)
    assert "openssl req" in caught.value.hint


def test_of_several_requests_none_is_signed_in_silence() -> None:
    pem = request(subject(CN="a.test")).public_bytes(Encoding.PEM)
    with pytest.raises(CertificateError, match="holds 2 certificate requests"):
        read_request(pem + pem.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"))


def test_a_request_with_the_same_extension_twice_is_refused() -> None:
    """Which one of the two counts would be a matter of the reader."""
    with pytest.raises(CertificateError, match="cannot be used"):
        read_request(_twice())


def test_a_key_of_an_unknown_kind_is_refused() -> None:
    good = request(subject(CN="a.test")).public_bytes(Encoding.DER)
    p256, unknown = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030163")
    with pytest.raises(CertificateError, match="cannot be used"):
        read_request(good.replace(p256, unknown))


def _twice() -> bytes:
    one = request(subject(CN="a.test"), alternative(x509.DNSName("a.test"))).public_bytes(Encoding.DER)
    extension = der.sequence(
        der.encode(0x06, bytes.fromhex("551d11")), der.byte_string(der.sequence(der.encode(0x82, b"a.test")))
    )
    assert extension in one
    asked = der.encode(0x06, bytes.fromhex("2a864886f70d01090e"))
    attribute = der.sequence(asked, der.encode(0x31, der.sequence(extension, extension)))
    name = subject(CN="a.test").public_bytes()
    key = der.public_key_info(der.point(KEY.public_key()))
    info = der.sequence(der.integer(0), name, key, der.encode(0xA0, attribute))
    signature = KEY.sign(info, ec.ECDSA(SHA256()))
    return der.sequence(info, bytes.fromhex("300a06082a8648ce3d040302"), der.bit_string(signature))
