from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from devtls.cli.certificates.sign import command
from devtls.errors import CertificateError, Refused, StateError
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def keystore(home: Path) -> Keystore:
    return Keystore(home / "state")


@pytest.fixture
def authority(keystore: Keystore) -> Authority:
    return keystore.create(DEFAULT_ZONES, datetime.now(UTC))


def request(name: str, *, ca: bool = False) -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(KEY, SHA256())


@pytest.fixture
def csr(directory: Path) -> Path:
    path = directory / "db.csr"
    path.write_bytes(request("db.dev.local", ca=True).public_bytes(Encoding.PEM))
    return path


def run(*argv: str, given: bytes = b"") -> Result:
    result = CliRunner().invoke(command, argv, catch_exceptions=False, input=given)
    assert result.exit_code == 0, result.output
    return result


def test_the_certificate_goes_to_stdout_with_the_intermediate(
    authority: Authority, csr: Path, keystore: Keystore
) -> None:
    said = run("db.csr")
    leaf, intermediate = x509.load_pem_x509_certificates(said.stdout_bytes)
    assert intermediate == authority.intermediate.certificate
    assert leaf.public_key() == KEY.public_key()
    assert leaf.subject == x509.Name([])
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    (record,) = Register(keystore, authority).history().issued.values()
    assert (record.by, record.place, record.names) == ("sign", "standard output", ("db.dev.local",))
    assert f"serial {record.serial}" in said.stderr


def test_what_is_not_taken_is_named(authority: Authority, csr: Path) -> None:
    assert "Not taken from the request: extension basicConstraints." in run("db.csr").stderr


def test_a_plain_request_is_no_reason_to_talk(authority: Authority, csr: Path) -> None:
    csr.write_bytes(request("db.dev.local").public_bytes(Encoding.DER))
    assert "Not taken" not in run("db.csr").stderr


def test_it_goes_into_a_file_which_is_not_overwritten(authority: Authority, csr: Path, keystore: Keystore) -> None:
    run("db.csr", "--out", "db.pem")
    first = csr.with_name("db.pem").read_bytes()
    with pytest.raises(Refused, match="exists already"):
        run("db.csr", "--out", "db.pem")
    assert csr.with_name("db.pem").read_bytes() == first
    run("db.csr", "--out", "db.pem", "--force", "--fullchain", "--client", "--days", "3")
    leaf, *rest = x509.load_pem_x509_certificates(csr.with_name("db.pem").read_bytes())
    assert leaf.subject.rfc4514_string() == "CN=db.dev.local"
    assert rest == [authority.issuer_for("client").certificate, authority.root]
    places = [one.place for one in Register(keystore, authority).history().issued.values()]
    assert places == [str(csr.with_name("db.pem"))] * 2


def test_it_says_where_its_status_can_be_asked_where_the_configuration_wants_that(
    authority: Authority, csr: Path
) -> None:
    csr.with_name("devtls.toml").write_text("[ca]\nocsp = true\n")
    leaf = x509.load_pem_x509_certificates(run("db.csr").stdout_bytes)[0]
    (access,) = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert access.access_method == AuthorityInformationAccessOID.OCSP


def test_it_reads_stdin(authority: Authority, directory: Path) -> None:
    said = run("-", given=request("x.test").public_bytes(Encoding.PEM))
    assert "For x.test, until" in said.stderr


def ed25519_request() -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.test")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(ed25519.Ed25519PrivateKey.generate(), None)


REFUSED = {
    "example.com": request("example.com").public_bytes(Encoding.PEM),
    "no certificate request": b"hello",
    "Ed25519": ed25519_request().public_bytes(Encoding.PEM),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_signed_is_not_recorded(why: str, authority: Authority, csr: Path, keystore: Keystore) -> None:
    csr.write_bytes(REFUSED[why])
    with pytest.raises(CertificateError, match=why):
        run("db.csr")
    assert Register(keystore, authority).history().events == ()


def test_a_file_that_is_not_there(authority: Authority, directory: Path) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        run("none.csr")
