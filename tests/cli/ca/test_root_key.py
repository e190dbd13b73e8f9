"""The root's key, kept under a passphrase for a team."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from devtls.cli.group import cli
from devtls.errors import ExitCode
from devtls.pki import locked_key
from devtls.pki.authority import Authority
from devtls.system.storage.keystore import Keystore
from tests.cli.ca.passphrases import PASSPHRASE, keys_on_disk, present
from tests.cli.shell import Shell


def test_a_kept_root_key_lies_under_its_passphrase_and_nowhere_else(shell: Shell, kept: Authority) -> None:
    file = Keystore(shell.state).root_key_file(kept)
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert keys_on_disk(shell) == ["client-intermediate.key", "intermediate.key"]
    assert locked_key.unlock_key(file.read_bytes(), PASSPHRASE).public_key() == kept.root.public_key()
    assert str(file) in shell.succeed("ca", "root-key").stdout
    values = json.loads(shell.succeed("ca", "root-key", "--json").stdout)
    assert values == {"id": kept.id, "kept": True, "file": str(file)}
    assert "the root's key is encrypted under a passphrase" in " ".join(shell.succeed("ca").stdout.split())
    assert json.loads(shell.succeed("ca", "--json").stdout)["root_key_kept"] is True


def test_without_a_kept_key_each_command_says_what_to_do(shell: Shell, given: Callable[[str], str]) -> None:
    shell.succeed("trust", "--yes")
    result = shell.succeed("ca", "root-key")
    assert "was dropped when the CA was made" in result.stdout
    assert "devtls ca renew --keep-root-key" in result.stderr
    for argv in (
        ("ca", "root-key", "--export-pkcs8", "key.pem"),
        ("ca", "intermediate"),
        ("trust", "--yes", "--keep-root-key"),
    ):
        assert "devtls ca renew --keep-root-key" in shell.fail(ExitCode.REFUSED, *argv).hint


def test_renew_keeps_the_key_of_the_next_root(shell: Shell, given: Callable[[str], str]) -> None:
    shell.succeed("trust", "--yes")
    shell.succeed("ca", "renew", "--yes", "--keep-root-key", "--passphrase-fd", given(PASSPHRASE))
    keystore, authority = Keystore(shell.state), present(shell)
    assert keystore.root_key_file(authority) is not None
    shell.succeed("trust", "--yes", "--keep-root-key")  # it is kept already
    shell.succeed("ca", "renew", "--yes")
    assert keystore.root_key_file(present(shell)) is None


def test_a_renewal_says_when_the_next_root_keeps_no_key(
    shell: Shell, kept: Authority, given: Callable[[str], str]
) -> None:
    loses = "The key of the root before was kept, the new one's is not"
    assert (
        loses
        not in shell.succeed("ca", "renew", "--yes", "--keep-root-key", "--passphrase-fd", given(PASSPHRASE)).stderr
    )
    assert loses in shell.succeed("ca", "renew", "--yes").stderr
    assert loses not in shell.succeed("ca", "renew", "--yes").stderr


def test_a_new_passphrase_is_asked_for_twice(shell: Shell, terminal: list[str]) -> None:
    terminal[:] = [PASSPHRASE, "something else"]
    assert "not the same" in str(shell.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key"))
    terminal[:] = ["short"]
    assert "8 characters" in str(shell.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key"))
    assert not Keystore(shell.state).exists()
    terminal[:] = [PASSPHRASE, PASSPHRASE]
    shell.succeed("trust", "--yes", "--keep-root-key")
    assert terminal == []


def test_where_nobody_can_be_asked_the_descriptor_is_named(shell: Shell, given: Callable[[str], str]) -> None:
    error = shell.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key")
    assert "--passphrase-fd" in error.hint
    assert not Keystore(shell.state).exists()
    error = shell.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key", "--passphrase-fd", "999")
    assert "descriptor 999" in str(error)
    shell.fail(ExitCode.REFUSED, "trust", "--yes", "--keep-root-key", "--passphrase-fd", given("short\n"))


def test_the_root_key_is_exported_as_pkcs8_with_a_warning(
    shell: Shell, kept: Authority, given: Callable[[str], str], tmp_path: Path
) -> None:
    out = tmp_path / "root-key.pem"
    argv = ("ca", "root-key", "--export-pkcs8", str(out), "--passphrase-fd")
    result = shell.succeed(*argv, given(PASSPHRASE + "\n"))
    assert "under the same passphrase" in result.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    key = load_pem_private_key(out.read_bytes(), PASSPHRASE.encode())
    assert key.public_key() == kept.root.public_key()
    assert "--force" in shell.fail(ExitCode.REFUSED, *argv, given(PASSPHRASE)).hint
    shell.succeed(*argv, given(PASSPHRASE), "--force")
    shell.fail(ExitCode.STATE, *argv[:-2], str(out / "below"), "--passphrase-fd", given(PASSPHRASE))
    shell.fail(ExitCode.STATE, *argv[:2], "--export-pkcs8", str(tmp_path / "x"), "--passphrase-fd", given("wrong one"))


def run_export(*argv: str) -> Result:
    return CliRunner().invoke(cli, argv)


def test_the_passphrase_is_no_argument(shell: Shell) -> None:
    for argv in (("trust",), ("ca", "renew"), ("ca", "lock"), ("ca", "intermediate"), ("ca", "root-key"), ("serve",)):
        text = run_export(*argv, "--help").output
        assert "--passphrase-fd N" in " ".join(text.split()) or "--passphrase-fd" in text
        assert "--passphrase " not in text
