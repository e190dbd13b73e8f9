"""Intermediates for others: revoked with the key of the root, and the machine that has one learns of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import ExitCode
from devtls.pki import locked_key
from devtls.pki.authority import Authority
from devtls.pki.register import serial_text
from devtls.pki.revocation import crl_number, load_crl, reason_of
from devtls.system.storage.keystore import Keystore
from tests.cli.shell import Shell

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Callable[[], tuple[str, str]]]:
    """Return a function that gives the passphrase through a descriptor: the option and its value."""
    path, opened = tmp_path / "passphrase", list[int]()
    path.write_text(PASSPHRASE)

    def option() -> tuple[str, str]:
        opened.append(os.open(path, os.O_RDONLY))
        return "--passphrase-fd", str(opened[-1])

    yield option
    for descriptor in opened:
        os.close(descriptor)


@dataclass(frozen=True)
class IntermediateFiles:
    """An intermediate as it was issued: its files by role."""

    serial: str
    certificate: Path
    key: Path
    root: Path
    list: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("--cert", str(self.certificate), "--key", str(self.key), "--chain", str(self.root))


@pytest.fixture
def ours(shell: Shell, secret: Callable[[], tuple[str, str]]) -> Authority:
    shell.succeed("trust", "--yes", "--keep-root-key", *secret())
    return present(shell)


@pytest.fixture
def issued(shell: Shell, ours: Authority, secret: Callable[[], tuple[str, str]], tmp_path: Path) -> IntermediateFiles:
    argv = ("ca", "intermediate", "--zone", "shop.test", "--out", str(tmp_path / "issued"), "--json", *secret())
    values = json.loads(shell.succeed(*argv).stdout)
    return IntermediateFiles(values["serial"], **{role: Path(path) for role, path in values["files"].items()})


def present(shell: Shell) -> Authority:
    return Keystore(shell.state).load(datetime.now(UTC))


def root_list(shell: Shell) -> x509.CertificateRevocationList:
    authority = present(shell)
    crl = load_crl(authority.root_crl_der)
    assert crl.is_signature_valid(authority.root.public_key())  # type: ignore[arg-type]
    assert crl.next_update_utc == authority.root.not_valid_after_utc
    return crl


def state_of(shell: Shell, serial: str) -> str:
    return str(json.loads(shell.succeed("certs", "show", serial, "--json").stdout)[0]["state"])


@pytest.mark.parametrize("by", ["serial", "file"])
def test_it_is_revoked_on_the_roots_crl_and_on_no_other(
    shell: Shell, issued: IntermediateFiles, secret: Callable[[], tuple[str, str]], by: str
) -> None:
    which = issued.serial[:10] if by == "serial" else str(issued.certificate)
    result = shell.succeed("revoke", which, "--reason", "cACompromise", *secret())
    assert "shop.test" in result.stdout
    assert f"CRL number 2 is signed; while devtls serve runs it is at http://127.0.0.1:{present(shell).pki_port}/" in (
        result.stderr
    )
    assert "devtls ca import --crl FILE there" in result.stderr
    crl = root_list(shell)
    (entry,) = crl
    assert (crl_number(crl), serial_text(entry.serial_number)) == (2, issued.serial)
    assert reason_of(entry) is x509.ReasonFlags.ca_compromise
    lists = shell.succeed("ca", "export", "--crl").stdout
    assert lists.count("BEGIN X509 CRL") == 3
    assert crl.public_bytes(Encoding.PEM).decode() in lists
    authority = present(shell)
    assert not list(load_crl(Keystore(shell.state).next_crl(authority, datetime.now(UTC))))
    assert state_of(shell, issued.serial) == "revoked"
    assert authority.withdrawn is None
    again = shell.succeed("revoke", which, *secret())
    assert "Already revoked" in again.stdout
    assert crl_number(root_list(shell)) == 2


def test_the_ca_is_sealed_as_before(
    shell: Shell, issued: IntermediateFiles, secret: Callable[[], tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.succeed("revoke", issued.serial, *secret())
    monkeypatch.setattr(Keystore, "load", lambda *_: pytest.fail("the long way"))
    assert Keystore(shell.state).load_signer(datetime.now(UTC)).id


def test_a_hold_is_released(shell: Shell, issued: IntermediateFiles, secret: Callable[[], tuple[str, str]]) -> None:
    values = json.loads(shell.succeed("revoke", issued.serial, "--reason", "hold", "--json", *secret()).stdout)
    assert [one["kind"] for one in values["revoked"]] == ["intermediate"]
    assert [one["number"] for one in values["lists"]] == [2]
    assert state_of(shell, issued.serial) == "on hold"
    shell.succeed("unrevoke", issued.serial, *secret())
    assert (state_of(shell, issued.serial), list(root_list(shell)), crl_number(root_list(shell))) == ("valid", [], 3)


def test_after_a_renewal_it_is_on_the_crl_of_the_root_that_signed_it(
    shell: Shell, issued: IntermediateFiles, secret: Callable[[], tuple[str, str]]
) -> None:
    before = present(shell)
    shell.succeed("ca", "renew", "--yes")
    shell.succeed("revoke", issued.serial, *secret())
    (older,) = Keystore(shell.state).load_older(datetime.now(UTC))
    assert older.root == before.root
    assert [serial_text(entry.serial_number) for entry in load_crl(older.root_crl_der)] == [issued.serial]
    assert not list(root_list(shell))


def test_without_the_roots_key_it_says_what_to_do(shell: Shell, ours: Authority, issued: IntermediateFiles) -> None:
    kept = Keystore(shell.state).root_key_file(ours)
    assert kept is not None
    kept.unlink()
    for which in (issued.serial, str(issued.certificate)):
        error = shell.fail(ExitCode.REFUSED, "revoke", which)
        assert "is not here to sign one" in str(error)
        assert error.hint.startswith("devtls ca renew, then devtls ca retire")
    assert state_of(shell, issued.serial) == "valid"


def test_a_wrong_passphrase_changes_nothing(shell: Shell, issued: IntermediateFiles, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("another one")
    with (tmp_path / "wrong").open() as wrong:
        shell.fail(ExitCode.STATE, "revoke", issued.serial, "--passphrase-fd", str(wrong.fileno()))
    assert (state_of(shell, issued.serial), crl_number(root_list(shell))) == ("valid", 1)


def test_this_machines_own_ca_is_not_revoked_but_renewed(shell: Shell, ours: Authority, tmp_path: Path) -> None:
    own = ours.intermediate.certificate
    (tmp_path / "own.pem").write_bytes(ours.intermediate_pem)
    (tmp_path / "root.pem").write_bytes(ours.root_pem)
    for which in (str(tmp_path / "own.pem"), str(tmp_path / "root.pem"), serial_text(own.serial_number)):
        error = shell.fail(ExitCode.REFUSED, "revoke", which)
        assert "is this machine's own CA" in str(error)
        assert error.hint.startswith("devtls ca renew")


def test_ca_compromise_is_a_reason_for_intermediates_alone(shell: Shell, ours: Authority, tmp_path: Path) -> None:
    shell.succeed("cert", "a.test", "--out", str(tmp_path))
    error = shell.fail(ExitCode.REFUSED, "revoke", "a.test", "--reason", "ca-compromise")
    assert error.hint == "--reason key-compromise"


@pytest.fixture
def colleague(
    shell: Shell, issued: IntermediateFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bool], None]:
    """Return a function that sits down at the machine that has the intermediate (True), or back at ours."""
    theirs = tmp_path / "theirs"

    def sit(there: bool) -> None:
        monkeypatch.setenv("DEVTLS_STATE_DIR", str(theirs if there else shell.state))

    sit(True)
    shell.succeed("ca", "import", "--yes", *issued.options, "--crl", str(issued.list))
    sit(False)
    return sit


def test_the_machine_that_has_it_learns_of_it(
    shell: Shell,
    issued: IntermediateFiles,
    secret: Callable[[], tuple[str, str]],
    colleague: Callable[[bool], None],
    tmp_path: Path,
) -> None:
    lists = tmp_path / "crls.pem"
    shell.succeed("revoke", issued.serial, *secret())
    shell.succeed("ca", "export", "--crl", "--out", str(lists))
    colleague(True)
    assert "ca-revoked" not in shell.run("doctor", "--json").stdout
    result = shell.succeed("ca", "import", "--crl", str(lists))
    assert "CRL number 2" in result.stderr
    assert "This machine's own CA was revoked on 2" in result.stderr
    assert json.loads(shell.succeed("ca", "import", "--crl", str(lists), "--json").stdout)["revoked"] is True
    findings = {one["id"]: one for one in json.loads(shell.run("doctor", "--json").stdout)["findings"]}
    assert findings["ca-revoked"]["mend"] == "devtls ca renew"
    older = shell.fail(ExitCode.STATE, "ca", "import", "--crl", str(issued.list))
    assert "CRL number 1" in str(older)
    assert "not later than number 2" in str(older)
    options = (*issued.options, "--crl", str(lists))
    assert "was revoked on" in str(shell.fail(ExitCode.STATE, "ca", "import", "--yes", *options))
    shell.succeed("ca", "renew", "--yes")
    assert "ca-revoked" not in shell.run("doctor", "--json").stdout


def test_a_crl_of_another_ca_changes_nothing(
    shell: Shell, ours: Authority, colleague: Callable[[bool], None], tmp_path: Path
) -> None:
    file, now = tmp_path / "their.crl", datetime.now(UTC)
    file.write_bytes(ours.intermediate_crl(number=9, this_update=now))
    colleague(True)
    assert "was not signed by" in str(shell.fail(ExitCode.STATE, "ca", "import", "--crl", str(file)))
    for content in (b"", b"junk", ours.root_pem, b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"):
        file.write_bytes(content)
        shell.fail(ExitCode.STATE, "ca", "import", "--crl", str(file))
    shell.fail(ExitCode.STATE, "ca", "import", "--crl", str(tmp_path / "none.crl"))
    assert crl_number(root_list(shell)) == 1
