"""`devtls unsetup` takes back what setup did, with the record and without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtls.cli.terminal import prompts
from devtls.errors import ExitCode
from devtls.system.changes.change import SETUP_PARTS, Part
from devtls.system.changes.record import AppliedChange, ChangeRecord
from tests.cli.shell import Shell
from tests.system.changes.fake_changes import FakeChanges
from tests.system.changes.file_change import MARK, program

NOTHING = "Nothing of devtls setup is on this machine.\n"


@pytest.fixture
def changes(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChanges:
    made = FakeChanges(tmp_path / "system/changed")
    made.install(monkeypatch)
    monkeypatch.chdir(shell.machine.home)
    return made


def test_everything_comes_back_as_it_was_and_the_ca_stays(shell: Shell, changes: FakeChanges) -> None:
    (changes.directory / "names").write_text("mine\n")
    before = changes.files()
    shell.succeed("add", "app", "3000", "--global")
    shell.succeed("setup", "--yes", "--service")
    shell.succeed("setup", "names", "--yes", "--name", "api")  # the second run's keepsake is not the first's
    result = shell.succeed("unsetup", "--yes")
    assert changes.files() == before
    shown = result.stderr
    assert shown.index("Lines in service") < shown.index("Lines in ports") < shown.index("Lines in names")
    assert result.stdout.count("removed") == 3
    record = ChangeRecord(shell.state)
    assert (record.entries(*SETUP_PARTS), record.hostnames()) == ((), ())
    assert "trusts the root already" in shell.succeed("trust", "--dry-run").stdout
    assert shell.succeed("unsetup", "--yes").stdout == NOTHING


def test_parts_are_reverted_singly(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes", "--name", "api")
    shell.succeed("unsetup", "ports", "--yes")
    assert list(changes.files()) == ["names"]
    assert [entry.name for entry in ChangeRecord(shell.state).entries(*SETUP_PARTS)] == ["names:names"]
    assert ChangeRecord(shell.state).hostnames() != ()


def test_without_the_record_the_marks_say_what_is_ours(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes", "--method", "other")
    ChangeRecord(shell.state).path.unlink()
    (changes.directory / "ports").write_text("an administrator's\n")
    shell.succeed("unsetup", "--yes")
    assert changes.files() == {"ports": "an administrator's\n"}


def test_a_damaged_record_is_refused_and_without_it_the_rest_goes_on(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "names", "--yes")
    record = ChangeRecord(shell.state)
    record.path.write_text("{")
    error = shell.fail(ExitCode.STATE, "unsetup", "--yes")
    assert "Remove the file" in error.hint
    record.path.unlink()
    shell.succeed("unsetup", "--yes")
    assert changes.files() == {}


def test_a_dry_run_changes_nothing(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    before = changes.files()
    assert "Lines in ports\n      /bin/rm -f" in shell.succeed("unsetup", "--dry-run").stdout
    values = json.loads(shell.succeed("unsetup", "--dry-run", "--json").stdout)
    assert [each["name"] for each in values["measures"]] == ["ports:ports", "names:names"]
    assert changes.files() == before
    shell.succeed("unsetup", "--yes")
    assert shell.succeed("unsetup", "--dry-run").stdout == NOTHING


def test_json_is_one_document_on_stdout(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    values = json.loads(shell.succeed("unsetup", "--yes", "--json").stdout)
    assert [(each["state"], each["changed"]) for each in values["measures"]] == [("absent", True)] * 2


def test_a_no_leaves_everything(shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.succeed("setup", "--yes")
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    for command in ("unsetup", "uninstall"):
        assert "did not say yes" in str(shell.fail(ExitCode.REFUSED, command, answer="n\n"))
    assert list(changes.files()) == ["names", "ports"]


def test_one_that_cannot_be_reverted_stops_no_other_and_stays_recorded(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    changes.change("ports:ports", stuck=(program("false"),))
    error = shell.fail(ExitCode.FAILED, "unsetup", "--yes")
    assert str(error) == "Still there: Lines in ports."
    assert list(changes.files()) == ["ports"]
    assert [entry.name for entry in ChangeRecord(shell.state).entries(*SETUP_PARTS)] == ["ports:ports"]


def test_what_another_version_did_is_named_not_forgotten(shell: Shell, changes: FakeChanges) -> None:
    ChangeRecord(shell.state).add(AppliedChange(Part.NAMES, "names:telepathy", {}))
    error = shell.fail(ExitCode.FAILED, "unsetup", "--yes")
    assert str(error) == "Still there: names:telepathy."
    assert error.hint.startswith("Upgrade devtls; or, if you reverted it yourself, take its entry out of ")
    assert len(ChangeRecord(shell.state).entries(*SETUP_PARTS)) == 1
    assert shell.succeed("unsetup", "ports", "--yes").stdout == NOTHING


def test_an_entry_of_what_is_gone_by_itself_is_cleared(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "ports", "--yes")
    (changes.directory / "ports").unlink()
    assert "not there" in shell.succeed("unsetup", "--yes").stdout
    assert ChangeRecord(shell.state).entries(*SETUP_PARTS) == ()


def test_it_knows_nothing_of_marks_that_are_not_ours(shell: Shell, changes: FakeChanges) -> None:
    (changes.directory / "names").write_text(f"mine\n{MARK}")
    assert shell.succeed("unsetup", "--yes").stdout == NOTHING
