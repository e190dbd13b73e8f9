from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from devtls.cli.certificates.cert import command
from devtls.errors import CertificateError, NameNotPermitted, NoAuthority, Refused
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.pki.register import serial_text
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register


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
def authority(keystore: Keystore, directory: Path) -> Authority:
    return keystore.create(DEFAULT_ZONES, datetime.now(UTC))


def run(*argv: str) -> Result:
    result = CliRunner().invoke(command, argv, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def names_in(certificate: x509.Certificate) -> list[str]:
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in held]


def test_without_a_ca_it_says_devtls_trust(directory: Path) -> None:
    with pytest.raises(NoAuthority):
        run("app.dev.local")
    assert list(directory.iterdir()) == []


def test_it_writes_the_chain_and_the_key(authority: Authority, directory: Path, keystore: Keystore) -> None:
    said = run("app.dev.local")
    assert said.stdout.splitlines() == [
        f"Certificate  {directory}/app.dev.local.pem",
        f"Key          {directory}/app.dev.local-key.pem",
    ]
    leaf, intermediate = x509.load_pem_x509_certificates((directory / "app.dev.local.pem").read_bytes())
    assert intermediate == authority.intermediate.certificate
    assert names_in(leaf) == ["app.dev.local"]
    assert said.stderr == f"For app.dev.local, until {leaf.not_valid_after_utc:%Y-%m-%d}.\n"
    key = load_pem_private_key((directory / "app.dev.local-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == leaf.public_key()
    assert stat.S_IMODE((directory / "app.dev.local-key.pem").stat().st_mode) == 0o600
    (record,) = Register(keystore, authority).history().issued.values()
    assert int(record.serial, 16) == leaf.serial_number
    assert (record.by, record.place) == ("cert", str(directory / "app.dev.local.pem"))


def test_several_names_go_into_one_certificate_that_has_the_firsts_name(authority: Authority, directory: Path) -> None:
    run("*.app.test", "app.test", "127.0.0.1", "::1")
    (leaf, _) = x509.load_pem_x509_certificates((directory / "_wildcard.app.test.pem").read_bytes())
    assert names_in(leaf) == ["*.app.test", "app.test", "127.0.0.1", "::1"]


def test_another_directory_and_days(authority: Authority, directory: Path) -> None:
    run("app.test", "--out", "etc/tls", "--days", "7")
    leaf = x509.load_pem_x509_certificate((directory / "etc/tls/app.test.pem").read_bytes())
    assert abs(leaf.not_valid_after_utc - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=5)


def test_fullchain_ends_with_the_root(authority: Authority, directory: Path) -> None:
    run("app.test", "--fullchain")
    chain = x509.load_pem_x509_certificates((directory / "app.test.pem").read_bytes())
    assert chain[1:] == [authority.intermediate.certificate, authority.root]


def test_rsa(authority: Authority, directory: Path) -> None:
    run("app.test", "--key-type", "rsa")
    key = load_pem_private_key((directory / "app.test-key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


def test_a_client(authority: Authority, directory: Path) -> None:
    said = json.loads(run("alice.dev.local", "--client", "--json").stdout)
    assert said["kind"] == "client"
    leaf = x509.load_pem_x509_certificate(Path(said["files"]["certificate"]).read_bytes())
    assert leaf.subject.rfc4514_string() == "CN=alice.dev.local"
    assert said["serial"] == serial_text(leaf.serial_number)


def test_it_says_where_its_status_can_be_asked_where_the_configuration_wants_that(
    authority: Authority, directory: Path
) -> None:
    (directory / "devtls.toml").write_text(
        '[ca]\nocsp = true\n[routes]\nx = { target = "https://10.0.0.5", allow_remote = true }\n'
    )
    run("app.test")
    (directory / "devtls.toml").write_text("[ca]\nocsp = false\n")
    run("other.test")
    said = [x509.load_pem_x509_certificate((directory / f"{name}.test.pem").read_bytes()) for name in ("app", "other")]
    with_status = [any(isinstance(e.value, x509.AuthorityInformationAccess) for e in one.extensions) for one in said]
    assert with_status == [True, False]


def test_pkcs12_takes_the_place_of_the_two_files(authority: Authority, directory: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"ganz geheim\r\nrest")
    os.close(writing)
    said = json.loads(run("app.test", "--p12", "--password-fd", str(reading), "--json").stdout)
    os.close(reading)
    assert said["files"] == {"pkcs12": str(directory / "app.test.p12")}
    assert [path.name for path in directory.iterdir()] == ["app.test.p12"]
    assert stat.S_IMODE((directory / "app.test.p12").stat().st_mode) == 0o600
    key, leaf, others = load_key_and_certificates((directory / "app.test.p12").read_bytes(), b"ganz geheim")
    assert key is not None
    assert leaf is not None
    assert names_in(leaf) == ["app.test"]
    assert others == [authority.intermediate.certificate]


def test_without_a_passphrase_there_is_no_pkcs12_and_no_certificate(
    authority: Authority, directory: Path, keystore: Keystore
) -> None:
    with pytest.raises(Refused, match="no terminal") as caught:
        run("app.test", "--p12")
    assert "--password-fd N" in caught.value.hint
    assert CliRunner().invoke(command, ["app.test", "--password-fd", "0"]).exit_code == 2
    assert list(directory.iterdir()) == []
    assert Register(keystore, authority).history().events == ()


def test_nothing_is_overwritten_without_force_and_nothing_recorded(
    authority: Authority, directory: Path, keystore: Keystore
) -> None:
    run("app.test")
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(Refused, match="exist already") as caught:
        run("app.test")
    assert "--force" in caught.value.hint
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert len(Register(keystore, authority).history().issued) == 1
    run("app.test", "--force")
    after = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert set(after) == set(before)
    assert all(after[name] != before[name] for name in before)


@pytest.mark.parametrize("argv", [["example.com"], ["app.test", "10.1.2.3"], ["*.test"]])
def test_names_outside_leave_no_trace(
    argv: list[str], authority: Authority, directory: Path, keystore: Keystore
) -> None:
    with pytest.raises(NameNotPermitted):
        run(*argv)
    assert list(directory.iterdir()) == []
    assert Register(keystore, authority).history().events == ()


def test_more_than_825_days_are_refused(authority: Authority, directory: Path) -> None:
    with pytest.raises(CertificateError, match="cannot last 826 days"):
        run("app.test", "--days", "826")
