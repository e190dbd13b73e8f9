"""Keys under a passphrase: the root's that is kept for a team, and the one that signs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from devtls.cli.group import cli
from devtls.cli.terminal import passphrase as asking
from devtls.cli.terminal import prompts
from devtls.errors import DevtlsError, ExitCode
from devtls.pki import locked_key
from devtls.pki.authority import Authority
from devtls.pki.register import serial_text
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import LockedKey
from devtls.system.storage.passphrase import PassphraseSource
from tests.cli.desk import Desk

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that gives a text through a descriptor, and the descriptor's number."""
    opened: list[int] = []

    def give(text: str) -> str:
        path = tmp_path / f"passphrase-{len(opened)}"
        path.write_text(text)
        opened.append(os.open(path, os.O_RDONLY))
        return str(opened[-1])

    yield give
    for descriptor in opened:
        os.close(descriptor)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sit somebody at a terminal: return the list of what they type."""
    answers: list[str] = []
    monkeypatch.setattr(asking, "_is_terminal", lambda: True)
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    monkeypatch.setattr(asking, "getpass", lambda _question: answers.pop(0))
    return answers


def present(desk: Desk) -> Authority:
    return Keystore(desk.state).load(datetime.now(UTC))


@pytest.fixture
def kept(desk: Desk, given: Callable[[str], str]) -> Authority:
    desk.succeed("trust", "--yes", "--keep-root-key", "--passphrase-fd", given(PASSPHRASE))
    return present(desk)


def keys_on_disk(desk: Desk) -> list[str]:
    files = (path for path in desk.state.rglob("*") if path.is_file())
    return sorted(path.name for path in files if b"BEGIN PRIVATE KEY" in path.read_bytes())


def test_a_kept_root_key_lies_under_its_passphrase_and_nowhere_else(desk: Desk, kept: Authority) -> None:
    file = Keystore(desk.state).root_key_file(kept)
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert keys_on_disk(desk) == ["intermediate.key"]
    assert locked_key.unlock_key(file.read_bytes(), PASSPHRASE).public_key() == kept.root.public_key()
    assert str(file) in desk.succeed("ca", "root-key").stdout
    values = json.loads(desk.succeed("ca", "root-key", "--json").stdout)
    assert values == {"id": kept.id, "kept": True, "file": str(file)}
    assert "the root's key is encrypted under a passphrase" in " ".join(desk.succeed("ca").stdout.split())
    assert json.loads(desk.succeed("ca", "--json").stdout)["root_key_kept"] is True


def test_without_a_kept_key_each_command_says_what_to_do(desk: Desk, given: Callable[[str], str]) -> None:
    desk.succeed("trust", "--yes")
    result = desk.succeed("ca", "root-key")
    assert "was dropped when the CA was made" in result.stdout
    assert "devtls ca renew --keep-root-key" in result.stderr
    for argv in (
        ("ca", "root-key", "--export-pkcs8", "key.pem"),
        ("ca", "intermediate"),
        ("trust", "--yes", "--keep-root-key"),
    ):
        assert "devtls ca renew --keep-root-key" in desk.fail(ExitCode.REFUSED, *argv).hint


def test_renew_keeps_the_key_of_the_next_root(desk: Desk, given: Callable[[str], str]) -> None:
    desk.succeed("trust", "--yes")
    desk.succeed("ca", "renew", "--yes", "--keep-root-key", "--passphrase-fd", given(PASSPHRASE))
    keystore, authority = Keystore(desk.state), present(desk)
    assert keystore.root_key_file(authority) is not None
    desk.succeed("trust", "--yes", "--keep-root-key")  # it is kept already
    desk.succeed("ca", "renew", "--yes")
    assert keystore.root_key_file(present(desk)) is None


def test_a_renewal_says_when_the_next_root_keeps_no_key(
    desk: Desk, kept: Authority, given: Callable[[str], str]
) -> None:
    loses = "The key of the root before was kept, the new one's is not"
    assert (
        loses
        not in desk.succeed("ca", "renew", "--yes", "--keep-root-key", "--passphrase-fd", given(PASSPHRASE)).stderr
    )
    assert loses in desk.succeed("ca", "renew", "--yes").stderr
    assert loses not in desk.succeed("ca", "renew", "--yes").stderr


def test_a_new_passphrase_is_asked_for_twice(desk: Desk, terminal: list[str]) -> None:
    terminal[:] = [PASSPHRASE, "something else"]
    assert "not the same" in str(desk.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key"))
    terminal[:] = ["short"]
    assert "8 characters" in str(desk.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key"))
    assert not Keystore(desk.state).exists()
    terminal[:] = [PASSPHRASE, PASSPHRASE]
    desk.succeed("trust", "--yes", "--keep-root-key")
    assert terminal == []


def test_where_nobody_can_be_asked_the_descriptor_is_named(desk: Desk, given: Callable[[str], str]) -> None:
    error = desk.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key")
    assert "--passphrase-fd" in error.hint
    assert not Keystore(desk.state).exists()
    error = desk.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key", "--passphrase-fd", "999")
    assert "descriptor 999" in str(error)
    desk.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key", "--passphrase-fd", given("short\n"))


def test_the_root_key_is_exported_as_pkcs8_with_a_warning(
    desk: Desk, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    out = tmp_path / "root-key.pem"
    argv = ("ca", "root-key", "--export-pkcs8", str(out), "--passphrase-fd")
    result = desk.succeed(*argv, given(PASSPHRASE + "\n"))
    assert "under the same passphrase" in result.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    key = load_pem_private_key(out.read_bytes(), PASSPHRASE.encode())
    assert key.public_key() == kept.root.public_key()
    assert "--force" in desk.fail(ExitCode.REFUSED, *argv, given(PASSPHRASE)).hint
    desk.succeed(*argv, given(PASSPHRASE), "--force")
    desk.fail(ExitCode.STATE, *argv[:-2], str(out / "below"), "--passphrase-fd", given(PASSPHRASE))
    desk.fail(ExitCode.STATE, *argv[:2], "--export-pkcs8", str(tmp_path / "x"), "--passphrase-fd", given("wrong one"))


def test_an_intermediate_is_handed_out_with_a_key_and_the_root(
    desk: Desk, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    out = tmp_path / "handed"
    argv = ("ca", "intermediate", "--zone", "shop.test", "--days", "30", "--out", str(out), "--passphrase-fd")
    result = desk.succeed(*argv, given(PASSPHRASE))
    key_file, certificate_file, root_file, list_file = (Path(line) for line in result.stdout.splitlines())
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    certificate.verify_directly_issued_by(kept.root)
    key = load_pem_private_key(key_file.read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert root_file.read_bytes() == kept.root_pem
    assert list_file.read_bytes() == kept.root_crl_der
    options = f"--cert {certificate_file} --key {key_file} --chain {root_file} --crl {list_file}"
    assert f"devtls ca import {options}" in result.stderr


def test_a_request_is_certified_and_its_key_stays_where_it_was_made(
    desk: Desk, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    theirs = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(theirs, SHA256())
    csr = tmp_path / "theirs.csr"
    csr.write_bytes(request.public_bytes(Encoding.PEM))
    argv = ("ca", "intermediate", "--csr", str(csr), "--out", str(tmp_path), "--json", "--passphrase-fd")
    values = json.loads(desk.succeed(*argv, given(PASSPHRASE)).stdout)
    assert set(values["files"]) == {"certificate", "root", "list"}
    certificate = x509.load_pem_x509_certificate(Path(values["files"]["certificate"]).read_bytes())
    assert certificate.public_key() == theirs.public_key()
    assert serial_text(certificate.serial_number) == values["serial"]
    assert "--force" in desk.fail(ExitCode.REFUSED, *argv, given(PASSPHRASE)).hint
    desk.succeed(*argv, given(PASSPHRASE), "--force")
    missing = ("ca", "intermediate", "--csr", str(tmp_path / "none.csr"), "--passphrase-fd", given(PASSPHRASE))
    desk.fail(ExitCode.STATE, *missing)


def test_a_zone_outside_the_roots_is_refused_before_anything_is_written(
    desk: Desk, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    argv = ("ca", "intermediate", "--zone", "shop.internal", "--out", str(tmp_path / "out"), "--passphrase-fd")
    error = desk.fail(ExitCode.STATE, *argv, given(PASSPHRASE))
    assert "shop.internal" in str(error)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    nowhere = ("ca", "intermediate", "--out", str(tmp_path / "file" / "x"), "--passphrase-fd")
    desk.fail(ExitCode.STATE, *nowhere, given(PASSPHRASE))


def test_a_locked_key_signs_only_with_its_passphrase_and_comes_back_as_it_was(
    desk: Desk, given: Callable[[str], str]
) -> None:
    desk.succeed("trust", "--yes")
    before = present(desk)
    desk.succeed("ca", "lock", "--passphrase-fd", given(PASSPHRASE))
    assert keys_on_disk(desk) == []
    assert json.loads(desk.succeed("ca", "--json").stdout)["locked"] is True
    assert "unless they find out the passphrase" in " ".join(desk.succeed("ca").stdout.split())
    keystore = Keystore(desk.state)
    locked = keystore.load(datetime.now(UTC))
    assert isinstance(locked.intermediate.key, LockedKey)
    assert locked.signer.fingerprint == before.fingerprint
    with pytest.raises(DevtlsError, match="nobody to ask") as caught:
        locked.intermediate_crl(number=9, this_update=datetime.now(UTC))
    assert "--passphrase-fd" in caught.value.hint
    keystore.passphrases = PassphraseSource(int(given(PASSPHRASE)))
    assert Keystore(desk.state).fingerprint_on_disk() == before.fingerprint
    opened = Keystore(desk.state)
    opened.passphrases = PassphraseSource(int(given(PASSPHRASE)))
    signer = opened.load_signer(datetime.now(UTC))
    assert not isinstance(signer.key, LockedKey)
    assert signer.key.public_key() == before.intermediate.key.public_key()
    assert "locked already" in str(desk.fail(ExitCode.REFUSED, "ca", "lock"))
    desk.succeed("ca", "unlock", "--passphrase-fd", given(PASSPHRASE))
    assert keys_on_disk(desk) == ["intermediate.key"]
    assert present(desk).intermediate.key.public_key() == before.intermediate.key.public_key()
    assert "not locked" in str(desk.fail(ExitCode.REFUSED, "ca", "unlock"))


def test_the_terminal_is_asked_three_times_and_only_when_something_is_signed(desk: Desk, terminal: list[str]) -> None:
    terminal[:] = [PASSPHRASE, PASSPHRASE]
    desk.succeed("trust", "--yes", "--store", "nss")
    desk.succeed("ca", "lock")
    desk.succeed("ca")
    desk.succeed("env")
    terminal[:] = ["wrong", "wrong again", PASSPHRASE]
    desk.succeed("trust", "--yes", "--store", "nss")  # its proof signs
    assert terminal == []
    terminal[:] = ["1", "2", "3"]
    assert "None of them" in str(desk.fail(ExitCode.STATE, "ca", "unlock"))


def test_the_successor_of_a_locked_ca_is_locked_in_the_same_way(
    desk: Desk, terminal: list[str], given: Callable[[str], str]
) -> None:
    desk.succeed("trust", "--yes")
    desk.succeed("ca", "lock", "--passphrase-fd", given(PASSPHRASE))
    terminal[:] = [PASSPHRASE]
    desk.succeed("ca", "renew", "--yes")
    assert (terminal, keys_on_disk(desk)) == ([], [])
    desk.succeed("ca", "unlock", "--passphrase-fd", given(PASSPHRASE))


def run_export(*argv: str) -> Result:
    return CliRunner().invoke(cli, argv)


def test_the_passphrase_is_no_argument(desk: Desk) -> None:
    for argv in (("trust",), ("ca", "renew"), ("ca", "lock"), ("ca", "intermediate"), ("ca", "root-key"), ("serve",)):
        text = run_export(*argv, "--help").output
        assert "--passphrase-fd N" in " ".join(text.split()) or "--passphrase-fd" in text
        assert "--passphrase " not in text
