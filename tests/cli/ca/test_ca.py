from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.cli.ca.ca import command
from devtls.errors import NoAuthority, Refused, StateError
from devtls.names import DEFAULT_ZONES
from devtls.pki.apple_profile import apple_profile
from devtls.pki.authority import Authority
from devtls.system.storage.keystore import Keystore


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = (
        tmp_path / "a state folder with a name so long that it would have to be broken in two if it were wrapped"
    )
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(directory))
    monkeypatch.setenv("DEVTLS_CONFIG_DIR", str(tmp_path / "config"))
    return directory


@pytest.fixture
def authority(state_dir: Path) -> Authority:
    return Keystore(state_dir).create(DEFAULT_ZONES, datetime.now(UTC))


def run(*argv: str) -> bytes:
    result = CliRunner().invoke(command, argv, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


@pytest.mark.parametrize("argv", [[], ["--json"], ["export"]])
def test_without_a_ca_each_form_says_devtls_trust(argv: list[str], state_dir: Path) -> None:
    with pytest.raises(NoAuthority) as caught:
        run(*argv)
    assert caught.value.hint == "devtls trust"
    assert not state_dir.exists()


def test_in_words_it_names_zones_days_fingerprints_and_the_directory(authority: Authority, state_dir: Path) -> None:
    text = run().decode()
    assert "dev.local, localhost, test" in text
    assert "3649 days left" in text
    assert ":".join(authority.fingerprint[i : i + 2].upper() for i in range(0, 64, 2)) in text
    assert "SHA-1 " in text
    assert str(state_dir / f"ca-{authority.id}") in text
    assert "\x1b" not in text


def test_a_narrow_terminal_breaks_sentences_at_words(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _, sentences = run().decode().split("An attacker")
    assert max(len(line) for line in sentences.splitlines()) <= 40


def test_it_says_what_an_attacker_could_do_and_the_remedy(authority: Authority) -> None:
    text = " ".join(run().decode().split())
    assert "Can pose as any name in dev.local, localhost, test" in text
    assert "Cannot pose as any other site" in text
    assert "devtls ca renew, then devtls ca retire" in text


def test_as_json_it_carries_the_same_facts(authority: Authority, state_dir: Path) -> None:
    values = json.loads(run("--json"))
    assert values["zones"] == list(DEFAULT_ZONES)
    assert values["sha256"] == authority.fingerprint
    assert values["folder"] == str(state_dir / f"ca-{authority.id}")
    assert values["days_left"] == 3649
    assert values["page"] == f"http://127.0.0.1:{authority.pki_port}/"
    assert values["root_crl"] == f"http://127.0.0.1:{authority.pki_port}/root-{authority.id}.crl"
    assert datetime.fromisoformat(values["not_after"]) == authority.root.not_valid_after_utc


@pytest.mark.parametrize("argv", [["export"], ["export", "--format", "pem"], ["export", "--out", "-"]])
def test_export_writes_the_root_as_pem(authority: Authority, argv: list[str]) -> None:
    assert run(*argv) == authority.root_pem


def test_export_writes_both_lists_for_curl_and_nginx(authority: Authority) -> None:
    lists = [
        part + b"-----END X509 CRL-----\n" for part in run("export", "--crl").split(b"-----END X509 CRL-----\n")[:-1]
    ]
    found = [x509.load_pem_x509_crl(one) for one in lists]
    assert [one.issuer for one in found] == [each.subject for each in authority.certificates]


def test_export_writes_the_chain_of_clients_for_servers_that_ask_for_certificates(authority: Authority) -> None:
    issuer = authority.issuer_for("client").certificate
    chain = x509.load_pem_x509_certificates(run("export", "--chain", "--client"))
    assert chain == [issuer, authority.root]
    assert run("export", "--intermediate", "--client") == issuer.public_bytes(Encoding.PEM)
    assert "--client goes with" in CliRunner().invoke(command, ["export", "--client"]).output


def test_the_intermediates_are_shown_by_purpose(authority: Authority) -> None:
    text, values = run().decode(), json.loads(run("--json"))
    server, client = authority.intermediates
    assert f"For servers   devtls intermediate {server.id}" in text
    assert f"For clients   devtls client intermediate {client.id}" in text
    assert [(each["purpose"], each["id"]) for each in values["intermediates"]] == [
        ("server", server.id),
        ("client", client.id),
    ]
    assert values["intermediates"][1]["crl"].endswith(f"/client-intermediate-{authority.id}.crl")
    assert values["renewal_brings"] == []


def test_export_writes_der(authority: Authority) -> None:
    assert run("export", "--format", "der") == authority.root_der


def test_it_names_the_page_with_the_root(authority: Authority) -> None:
    assert f"http://127.0.0.1:{authority.pki_port}/ (while devtls serve runs" in run().decode()


def test_export_writes_a_profile_for_apple(authority: Authority, tmp_path: Path) -> None:
    written = run("export", "--mobileconfig")
    assert written == apple_profile(authority.root_der, authority.id)
    assert run("export", "--mobileconfig", "--out", str(tmp_path / "x.mobileconfig")) == b""
    assert (tmp_path / "x.mobileconfig").read_bytes() == written


@pytest.mark.parametrize("other", [["--format", "der"], ["--intermediate"], ["--chain"]])
def test_a_profile_stands_alone(authority: Authority, other: list[str]) -> None:
    result = CliRunner().invoke(command, ["export", "--mobileconfig", *other])
    assert result.exit_code == 2
    assert "--mobileconfig" in result.stderr


def test_export_writes_the_intermediate_and_the_chain(authority: Authority) -> None:
    assert run("export", "--intermediate") == authority.intermediate_pem
    chain = x509.load_pem_x509_certificates(run("export", "--chain"))
    assert chain == [authority.intermediate.certificate, authority.root]


@pytest.mark.parametrize("argv", [["--intermediate"], ["--chain"], [], ["--format", "der"], ["--mobileconfig"]])
def test_export_never_writes_a_key(authority: Authority, argv: list[str]) -> None:
    assert b"PRIVATE" not in run("export", *argv)


def test_export_to_a_file_keeps_stdout_empty(authority: Authority, tmp_path: Path) -> None:
    assert run("export", "--out", str(tmp_path / "root.pem")) == b""
    assert (tmp_path / "root.pem").read_bytes() == authority.root_pem


def test_export_to_a_place_that_cannot_be_written_is_an_error(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be written"):
        run("export", "--out", str(tmp_path / "missing" / "root.pem"))


def test_a_chain_in_der_is_a_usage_error(authority: Authority) -> None:
    result = CliRunner().invoke(command, ["export", "--chain", "--format", "der"])
    assert result.exit_code == 2
    assert "--format pem" in result.stderr


def test_der_is_not_thrown_at_a_terminal(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtls.cli.ca.export._is_terminal", lambda: True)
    with pytest.raises(Refused, match="binary") as caught:
        run("export", "--format", "der")
    assert "--out" in caught.value.hint
