"""Which proofs count (RFC 8555 8.3, RFC 8737 3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.acme.challenges import check_alpn_certificate, check_http_response
from devtls.acme.messages import Validate

PROOF = "token.thumbprint"
WORK = Validate("order", 0, "http-01", "web.test", "token", PROOF)
IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
DIGEST = b"\x04\x20" + sha256(PROOF.encode()).digest()


@pytest.mark.parametrize("body", [PROOF.encode(), PROOF.encode() + b"\r\n", PROOF.encode() + b" \t\n"])
def test_the_key_authorization_is_the_proof(body: bytes) -> None:
    assert check_http_response(WORK, 200, body) is None


def test_other_content_is_shown_escaped_and_cut() -> None:
    problem = check_http_response(WORK, 200, b"<html>\x1b\xff" + b"x" * 1000)
    assert problem is not None and problem.kind == "incorrectResponse"
    assert "\\x1b\\\\xff" in problem.detail and len(problem.detail) < 300


@pytest.mark.parametrize("status", [201, 204, 301, 404, 502])
def test_other_answers_are_no_proof(status: int) -> None:
    problem = check_http_response(WORK, status, PROOF.encode())
    assert problem is not None and problem.kind == "unauthorized" and str(status) in problem.detail


def certificate(
    *names: x509.GeneralName, digest: bytes | None = DIGEST, critical: bool = True, alternative: bool = True
) -> bytes:
    key, name = ec.derive_private_key(3, ec.SECP256R1()), x509.Name([])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(start).not_valid_after(start + timedelta(days=9))
    if alternative:
        found = x509.SubjectAlternativeName(names or [x509.DNSName("web.test")])
        builder = builder.add_extension(found, critical=False)
    if digest is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(IDENTIFIER, digest), critical=critical)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_with_the_digest_is_the_proof() -> None:
    assert check_alpn_certificate(WORK, "acme-tls/1", certificate()) is None


@pytest.mark.parametrize("alpn", [None, "h2", "http/1.1"])
def test_another_protocol_is_no_proof(alpn: str | None) -> None:
    problem = check_alpn_certificate(WORK, alpn, certificate())
    assert problem is not None and problem.kind == "tls"


@pytest.mark.parametrize(
    "shown",
    [
        b"",
        certificate(alternative=False),
        certificate(digest=None),
        certificate(critical=False),
        certificate(digest=b"\x04\x20" + bytes(32)),
        certificate(digest=DIGEST[2:]),
        certificate(x509.DNSName("other.test")),
        certificate(x509.DNSName("web.test"), x509.DNSName("other.test")),
        certificate(x509.RFC822Name("web.test")),
        certificate(x509.IPAddress(ip_address("127.0.0.1"))),
    ],
)
def test_another_certificate_is_no_proof(shown: bytes) -> None:
    problem = check_alpn_certificate(WORK, "acme-tls/1", shown)
    assert problem is not None and problem.kind == "incorrectResponse"
