from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from devtls.cli.terminal import shell_lines
from devtls.cli.trust.env import command
from devtls.errors import ExitCode, NoAuthority, StateError
from devtls.names import DEFAULT_ZONES
from devtls.pki.authority import Authority
from devtls.system.changes.clientenv import probe
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, NAMES, ROOT_FILE
from devtls.system.changes.truststore.root import certificates_in
from devtls.system.storage.keystore import Keystore
from tests.system.changes.clientenv.conftest import CORPORATE, CORPORATE_PEM, PUBLIC

DEVTLS = (sys.executable, "-m", "devtls")


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "it's my $tate"
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(directory))
    monkeypatch.setenv("SHELL", "/bin/sh")
    monkeypatch.setattr(probe, "system_certificates", lambda _: [PUBLIC])
    return directory


@pytest.fixture
def authority(state_dir: Path) -> Authority:
    return Keystore(state_dir).create(DEFAULT_ZONES, datetime.now(UTC))


def run(*argv: str) -> str:
    result = CliRunner().invoke(command, argv, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("argv", [[], ["--json"], ["--", "true"]])
def test_without_a_ca_each_form_says_devtls_trust(argv: list[str], state_dir: Path) -> None:
    with pytest.raises(NoAuthority) as caught:
        run(*argv)
    assert caught.value.hint == "devtls trust"
    assert not state_dir.exists()


def test_a_shell_that_evaluates_it_has_every_variable(authority: Authority, state_dir: Path) -> None:
    printed = run()
    names = " ".join(f'"${name}"' for name in NAMES)
    done = subprocess.run(
        ["/bin/sh"], input=f"{printed}printf '%s\\n' {names}\n", capture_output=True, text=True, check=True
    )
    values = dict(zip(NAMES, done.stdout.splitlines(), strict=True))
    assert values == json.loads(run("--json"))
    assert values["NODE_EXTRA_CA_CERTS"] == str(state_dir / ROOT_FILE)
    bundle = Path(values["SSL_CERT_FILE"])
    assert list(certificates_in(bundle.read_bytes())) == [PUBLIC, authority.root_der]


def test_each_shell_gets_its_own_language(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run().startswith("export NODE_EXTRA_CA_CERTS='")
    assert run("--shell", "pwsh").startswith("$env:NODE_EXTRA_CA_CERTS = '")
    assert run("--shell", "cmd").startswith('@set "NODE_EXTRA_CA_CERTS=')
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run().startswith("set -gx NODE_EXTRA_CA_CERTS '")


def test_the_bundle_is_made_anew_when_its_parts_change(
    authority: Authority, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    first = (state_dir / BUNDLE_FILE).stat()
    run()
    assert (state_dir / BUNDLE_FILE).stat().st_ino == first.st_ino
    monkeypatch.setattr(probe, "system_certificates", lambda _: [PUBLIC, CORPORATE])
    run()
    assert list(certificates_in((state_dir / BUNDLE_FILE).read_bytes())) == [PUBLIC, CORPORATE, authority.root_der]
    Keystore(state_dir).forget()
    fresh = Keystore(state_dir).create(DEFAULT_ZONES, datetime.now(UTC))
    run()
    assert list(certificates_in((state_dir / BUNDLE_FILE).read_bytes())) == [PUBLIC, CORPORATE, fresh.root_der]


def test_lists_that_the_user_named_are_kept_and_come_back(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corporate = tmp_path / "corp.pem"
    corporate.write_bytes(CORPORATE_PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(corporate))
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1g")
    for name, value in json.loads(run("--json")).items():
        monkeypatch.setenv(name, value)
    held = list(certificates_in(Path(os.environ["SSL_CERT_FILE"]).read_bytes()))
    assert held == [CORPORATE, authority.root_der]
    former = json.loads(run("--unset", "--json"))
    assert former == {**dict.fromkeys(NAMES), "SSL_CERT_FILE": str(corporate), "JAVA_TOOL_OPTIONS": "-Xmx1g"}
    lines = run("--unset").splitlines()
    assert f"export SSL_CERT_FILE={corporate}" in lines
    assert "unset NODE_EXTRA_CA_CERTS" in lines


def test_unset_needs_no_ca_and_leaves_strangers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/corp.pem")
    assert run("--unset") == ""


def test_notes_go_to_stderr(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/gone\x1b.pem")
    result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert "note: SSL_CERT_FILE names /gone\\x1b.pem" in result.stderr
    assert all(line.startswith("export ") for line in result.stdout.splitlines())


def test_a_person_at_a_terminal_is_told_how_to_use_it(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtls.cli.trust.env._is_terminal", lambda: True)
    result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert shell_lines.USAGE["sh"] in result.stderr


@pytest.mark.parametrize(
    "argv", [["--json", "true"], ["--shell", "sh", "true"], ["--shell", "sh", "--json"], ["--unset", "true"]]
)
def test_what_excludes_each_other_is_wrong_usage(argv: list[str]) -> None:
    result = CliRunner().invoke(command, argv)
    assert result.exit_code == ExitCode.USAGE
    assert "exclude" in result.stderr


def test_a_state_directory_that_cannot_be_written_is_an_error(authority: Authority, state_dir: Path) -> None:
    (state_dir / ROOT_FILE).mkdir()
    with pytest.raises(StateError, match="cannot be read: Is a directory"):
        run()


def test_a_command_runs_with_it_and_its_options_are_its_own(authority: Authority, state_dir: Path) -> None:
    for dashes in ([], ["--"]):
        argv = [*DEVTLS, "env", *dashes, "sh", "-c", 'echo "$NODE_EXTRA_CA_CERTS"; exit "$1"', "--json", "7"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (7, f"{state_dir / ROOT_FILE}\n"), done.stderr


def test_a_command_that_does_not_exist_ends_as_in_a_shell(authority: Authority) -> None:
    done = subprocess.run([*DEVTLS, "env", "no-such-command"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (127, "")
    assert "There is no command 'no-such-command'." in done.stderr
