"""Certificates as files, without a command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from devtls.errors import CertificateError, NameNotPermitted, Refused
from devtls.names import DEFAULT_ZONES
from devtls.operations.certificate_lookup import open_certificates
from devtls.operations.certificates import CertificateOptions, KeyAndFiles, issue_certificate, sign_request
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.pki.request import CertificateRequest
from devtls.system.storage.passphrase import PassphraseSource
from tests.operations.recording import RecordingReporter

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()


@pytest.fixture
def authority(context: Context) -> Authority:
    return context.keystore.create(DEFAULT_ZONES, context.now)


def test_key_and_chain_are_written_and_recorded(context: Context, authority: Authority, tmp_path: Path) -> None:
    issued = issue_certificate(context, ["b.test", "a.test"], CertificateOptions(), KeyAndFiles(tmp_path))
    assert issued.files == {"key": tmp_path / "b.test-key.pem", "certificate": tmp_path / "b.test.pem"}
    assert issued.files["certificate"].read_bytes() == issued.chain_pem
    chain = x509.load_pem_x509_certificates(issued.chain_pem)
    assert chain == [issued.certificate, authority.intermediate.certificate]
    (recorded,) = open_certificates(context).find("a.test")
    assert (recorded.by, recorded.place) == ("cert", str(tmp_path / "b.test.pem"))


def test_a_pkcs12_file_has_the_passphrase_of_the_caller(context: Context, authority: Authority, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "correct horse"

    options = CertificateOptions(kind="client", fullchain=True)
    issued = issue_certificate(context, ["a.test"], options, KeyAndFiles(tmp_path, pkcs12=PassphraseSource(ask=ask)))
    content = issued.files["pkcs12"].read_bytes()
    _, leaf, above = load_key_and_certificates(content, b"correct horse")
    assert leaf == issued.certificate
    assert above == [authority.issuer_for("client").certificate, authority.root]
    assert asked == ["New passphrase for a.test.p12: ", "The same again: "]


def test_nothing_is_signed_that_cannot_be_written_or_is_not_allowed(
    context: Context, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "a.test.pem").touch()
    with pytest.raises(Refused, match="exists already"):
        issue_certificate(context, ["a.test"], CertificateOptions(), KeyAndFiles(tmp_path))
    with pytest.raises(NameNotPermitted):
        issue_certificate(context, ["example.com"], CertificateOptions(), KeyAndFiles(tmp_path))
    with pytest.raises(CertificateError, match="cannot last"):
        issue_certificate(context, ["a.test"], CertificateOptions(days=826), KeyAndFiles(tmp_path))
    assert open_certificates(context).history.issued == {}


def test_a_request_is_signed_for_the_caller_or_into_a_file(
    context: Context, authority: Authority, tmp_path: Path, reporter: RecordingReporter
) -> None:
    request = CertificateRequest(("db.test",), KEY, ("subject CN=db",))
    issued = sign_request(context, request, CertificateOptions(), None, force=False)
    assert issued.files == {}
    assert x509.load_pem_x509_certificates(issued.chain_pem)[0].public_key() == KEY
    assert reporter.of("info") == ["Not taken from the request: subject CN=db. Only its names and its key count."]
    out = tmp_path / "db.pem"
    written = sign_request(context, request, CertificateOptions(), out, force=False)
    assert (written.files, out.read_bytes()) == ({"certificate": out}, written.chain_pem)
    with pytest.raises(Refused, match="exists already"):
        sign_request(context, request, CertificateOptions(), out, force=False)
    places = [one.place for one in open_certificates(context).history.issued.values()]
    assert places == ["standard output", str(out)]
