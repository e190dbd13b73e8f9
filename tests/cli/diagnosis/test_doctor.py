"""`devtls doctor` on a redirected machine: its flags, its question, its exit codes, before and after trust."""

from __future__ import annotations

import io
import json
import sys
from datetime import datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from devtls.cli.diagnosis import doctor
from devtls.cli.diagnosis.doctor import command
from devtls.cli.terminal import passphrase, prompts
from devtls.doctor.health.diagnosis import Diagnosis, DoctorEnvironment, diagnose
from devtls.errors import ExitCode, Refused
from tests.cli.shell import Shell


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True)
def no_real_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtls.doctor.health.diagnosis.probe_ports", lambda *_: ())


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(command, arguments, input=answer, standalone_mode=False)


def levels() -> dict[str, str]:
    return {finding["id"]: finding["level"] for finding in json.loads(run("--json").stdout)["findings"]}


@pytest.fixture
def untrusted(shell: Shell) -> Shell:
    """A machine with a CA that no store has."""
    shell.succeed("trust", "--yes", "--store", "nss")
    shell.succeed("untrust", "--yes")
    return shell


def test_before_trust_after_it_and_after_untrust(shell: Shell) -> None:
    assert levels()["ca-missing"] == "trouble"
    assert run().return_value is ExitCode.FAILED
    shell.succeed("trust", "--yes")
    after = levels()
    assert {"ca-fine", "store-trusts"} <= after.keys()
    assert not {"warning", "trouble"} & set(after.values())
    fine = run()
    assert fine.return_value is ExitCode.OK
    assert "\nNothing is wrong.\n" in fine.stdout
    shell.succeed("untrust", "--yes")
    assert levels()["untrusted"] == "trouble"
    shell.succeed("untrust", "--yes", "--forget")
    assert levels()["ca-missing"] == "trouble"


def test_without_fix_it_needs_no_terminal_and_changes_nothing(untrusted: Shell) -> None:
    before = {path: path.read_bytes() for path in untrusted.state.rglob("*") if path.is_file()}
    assert "  1. devtls trust\n" in run().stdout
    assert {path: path.read_bytes() for path in untrusted.state.rglob("*") if path.is_file()} == before


def test_fix_shows_its_commands_asks_once_and_looks_again(untrusted: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (doctor, prompts):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    result = run("--fix", answer="y\n")
    assert result.return_value is ExitCode.OK, result.output
    assert result.stderr.count("Go ahead?") == 1
    assert "certutil -A" in result.stderr
    shown = result.stdout.removeprefix(" y\n")  # what is typed: click's runner showed it on stdout before 8.4
    assert shown.startswith("  ✓ done      Chromium and Chrome")
    assert "Nothing is wrong." in result.stdout


def test_a_no_changes_nothing(untrusted: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_terminal", lambda: True)
    assert isinstance(run("--fix", answer="n\n").exception, Refused)
    assert levels()["untrusted"] == "trouble"


def test_a_person_is_asked_for_the_passphrase_of_a_locked_ca(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.succeed("trust", "--yes")
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "long enough"

    monkeypatch.setattr(passphrase, "_is_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", ask)
    shell.succeed("ca", "lock")
    asked.clear()
    result = run()
    assert asked == ["Passphrase of the CA's key: "]
    assert result.return_value is ExitCode.OK, result.output
    assert "could not be looked at" not in result.stdout


def test_fix_never_elevates(untrusted: Shell) -> None:
    calls = untrusted.machine.root / "calls"
    untrusted.tool("usr/sbin/update-ca-certificates", f"echo called >>{calls}")
    run("--fix", "--yes")
    assert not calls.exists()
    assert levels()["store-trusts"] == "ok"


def test_fix_with_json_is_one_document(untrusted: Shell) -> None:
    values = json.loads(run("--fix", "--yes", "--json").stdout)
    assert values["wrong"] is False
    assert [each["done"] for each in values["fixed"]] == [True]


def test_where_nothing_is_safe_fix_says_so_and_looks_once(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[datetime] = []

    def counted(environment: DoctorEnvironment, now: datetime) -> Diagnosis:
        looked.append(now)
        return diagnose(environment, now)

    monkeypatch.setattr(doctor, "diagnose", counted)
    result = run("--fix", "--yes")
    assert result.return_value is ExitCode.FAILED
    assert "There is nothing that --fix may do." in result.stderr
    assert len(looked) == 1


def test_a_damaged_record_is_a_finding_not_a_crash(untrusted: Shell) -> None:
    (untrusted.state / "trusted.json").write_text("{")
    assert levels()["record-unreadable"] == "trouble"
    assert "trusted.json" in run().stdout


def test_fix_without_a_terminal_wants_yes(shell: Shell) -> None:
    error = run("--fix").exception
    assert isinstance(error, Refused)
    assert "--fix --yes" in error.hint


def test_yes_alone_answers_nothing(shell: Shell) -> None:
    assert isinstance(run("--yes").exception, click.UsageError)


def test_under_sudo_it_refuses(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert isinstance(run().exception, Refused)


def test_a_directory_that_is_gone_does_not_matter(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run().return_value is ExitCode.FAILED


def test_somebody_who_waits_at_a_terminal_sees_that_it_looks(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with pytest.raises(SystemExit) as ended:
        command.main([], prog_name="doctor")
    assert ended.value.code == 0  # click's own: the code that counts is what the command returns
    assert shown.getvalue() == "Looking …\r         \r"
