"""`devtls uninstall` leaves nothing but what is the user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtls.errors import DevtlsError, ExitCode, NotRunning
from devtls.operations import uninstall
from devtls.system.changes.change import SETUP_PARTS, Part
from devtls.system.changes.clientenv.variables import BUNDLE_FILE
from devtls.system.changes.record import ChangeRecord
from tests.cli.shell import Shell
from tests.system.changes.fake_changes import FakeChanges
from tests.system.changes.file_change import program


@pytest.fixture
def changes(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChanges:
    made = FakeChanges(tmp_path / "system/changed")
    made.install(monkeypatch)
    monkeypatch.chdir(shell.machine.home)
    return made


def test_nothing_is_left_but_what_is_the_users(
    shell: Shell, changes: FakeChanges, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = home / "config"
    config.mkdir()
    file = config / "devtls.toml"
    file.write_text('[routes]\napp = "unix:/run/app.sock"\n')
    before = shell.bundle.read_bytes()
    shell.succeed("add", "app", "3000", "--global")
    shell.succeed("setup", "--yes", "--service")
    shell.succeed("allow", str(file), "--yes")
    shell.succeed("add", "api", "4000", "--global")
    (shell.state / "run").mkdir()
    result = shell.succeed("uninstall", "--yes")
    assert changes.files() == {}
    assert shell.bundle.read_bytes() == before
    assert not shell.state.exists()
    assert file.exists()
    assert f"{config} is yours, and stays." in result.stderr
    assert f"{shell.state} is gone, and the CA with it." in result.stderr
    assert "The CA will be deleted for good" in result.stderr
    assert "Remove the program itself: " in result.stderr
    assert result.stdout.count("removed") == 5


def test_where_nothing_is_there_is_nothing_to_ask(shell: Shell, changes: FakeChanges) -> None:
    assert shell.succeed("uninstall", "--dry-run").stdout.startswith("Nothing of devtls is on this machine")
    assert "This will be done" not in shell.succeed("uninstall", "--yes").stderr


def test_a_dry_run_changes_nothing(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    shown = shell.succeed("uninstall", "--dry-run").stdout
    for line in (
        "  Lines in names",
        "  System store",
        f"  {shell.state} would be removed",
        "would be deleted for good",
    ):
        assert line in shown
    values = json.loads(shell.succeed("uninstall", "--dry-run", "--json").stdout)
    assert [each["name"] for each in values["measures"]] == ["ports:ports", "names:names"]
    assert (values["removes"], values["ends"]) == (str(shell.state), [])
    assert shell.state.exists()
    assert list(changes.files()) == ["names", "ports"]


def test_a_damaged_ca_is_no_obstacle(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    (shell.state / "ca.current").write_text("{")
    result = shell.succeed("uninstall", "--yes")
    assert "it cannot be read any more" in result.stderr
    assert not shell.state.exists()
    assert "devtls root" not in shell.bundle.read_text()


def test_without_a_ca_the_rest_is_reverted(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "names", "--yes")
    values = json.loads(shell.succeed("uninstall", "--yes", "--json").stdout)
    assert (values["kept"], [each["changed"] for each in values["measures"]]) == ([], [True])
    assert not shell.state.exists()


def test_a_change_that_cannot_be_reverted_stays_recorded_and_a_second_run_ends_it(
    shell: Shell, changes: FakeChanges
) -> None:
    shell.succeed("setup", "--yes")
    changes.change("ports:ports", stuck=(program("false"),))
    assert "Lines in ports" in str(shell.fail(ExitCode.FAILED, "uninstall", "--yes"))
    assert [path.name for path in shell.state.iterdir()] == ["changes.json"]
    changes.change("ports:ports", stuck=())
    shell.succeed("uninstall", "--yes")
    assert not shell.state.exists()
    assert changes.files() == {}


def test_a_store_that_keeps_the_root_is_named(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    shell.tool("usr/sbin/update-ca-certificates", "exit 1")
    assert "System store" in str(shell.fail(ExitCode.FAILED, "uninstall", "--yes"))
    assert ChangeRecord(shell.state).entries(Part.TRUST) != ()
    assert ChangeRecord(shell.state).entries(*SETUP_PARTS) == ()


def test_a_file_that_a_variable_names_or_that_is_not_ours_stays_and_is_named(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.succeed("setup", "--yes")
    (shell.state / "notes.txt").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(shell.state / BUNDLE_FILE))
    result = shell.succeed("uninstall", "--yes")
    assert "notes.txt" in result.stderr
    assert "a variable of your shell names it" in result.stderr
    assert sorted(path.name for path in shell.state.iterdir()) == [BUNDLE_FILE, "notes.txt"]


class Proxy:
    """A running proxy that ends as it is told."""

    label = "devtls serve (process 77)"

    class about:
        pid = 77


def test_what_runs_is_ended_as_part_of_the_plan(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    proxy = Proxy()
    monkeypatch.setattr(uninstall, "find_running", lambda *_: [proxy])
    monkeypatch.setattr(uninstall, "end", lambda one, with_joined: ended.append(one))
    assert "process 77) would be ended" in shell.succeed("uninstall", "--dry-run").stdout
    assert ended == []
    assert "process 77) will be ended" in shell.succeed("uninstall", "--yes").stderr
    assert ended == [proxy]


@pytest.mark.parametrize(
    ("error", "fails"), [(NotRunning("gone"), False), (DevtlsError("it has not ended yet.", hint="kill 77"), True)]
)
def test_one_that_does_not_end_stops_nothing_else(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, error: DevtlsError, fails: bool
) -> None:
    def refuse(one: object, *, with_joined: bool) -> None:
        raise error

    shell.succeed("setup", "--yes")
    monkeypatch.setattr(uninstall, "find_running", lambda *_: [Proxy()])
    monkeypatch.setattr(uninstall, "end", refuse)
    result = shell.run("uninstall", "--yes")
    assert (result.exception is error) is fails
    assert not shell.state.exists()
