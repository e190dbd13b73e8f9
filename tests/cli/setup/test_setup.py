"""`devtls setup` on a redirected machine with changes of files: one plan, one question, every part for itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.cli.terminal import prompts
from devtls.errors import ExitCode
from devtls.system.changes.change import SETUP_PARTS, ChangeState, DesiredState, Status
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.record import ChangeRecord
from devtls.system.machine.elevation import find_elevation
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan
from tests.cli.shell import Shell
from tests.system.changes.fake_changes import FakeChanges
from tests.system.changes.file_change import MARK, FileChange, program

APP = f"{MARK}app.dev.local\napp.localhost\napp.test\n"


@pytest.fixture
def changes(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChanges:
    made = FakeChanges(tmp_path / "system/changed")
    made.install(monkeypatch)
    monkeypatch.chdir(shell.machine.home)
    return made


def rows(text: str) -> dict[str, str]:
    """Return label -> the rest of the row, from a plain table."""
    found = {}
    for line in text.splitlines()[1:]:
        label, _, rest = line.partition("  ")
        found[label] = rest.strip()
    return found


def test_trust_names_and_ports_are_one_plan_done_and_shown(shell: Shell, changes: FakeChanges) -> None:
    result = shell.succeed("setup", "--yes")
    assert changes.files() == {"names": APP, "ports": APP}
    told = result.stderr
    assert told.count("This will be done:") == 1
    assert "\nIn short: the root into 2 stores, names, ports" in told
    assert told.index("In short:") > told.index("Ports:")
    assert told.index("Trust:") < told.index("Names:") < told.index("Ports:")
    assert "Writes the names into names, where nobody reads them." in told
    assert "/usr/bin/install -m 0644" in told
    table = rows(result.stdout)
    assert (table["System store"], table["Lines in names"], table["Lines in ports"]) == (
        "trusted",
        "applied",
        "applied",
    )
    assert "curl" in table
    assert told.rstrip().endswith(
        "Next: devtls serve app=3000, where 3000 is your app's port; then open https://app.dev.local"
    )
    assert [entry.name for entry in ChangeRecord(shell.state).entries(*SETUP_PARTS)] == ["names:names", "ports:ports"]


def test_a_second_run_says_one_line_and_asks_nothing(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    (shell.machine.root / "usr/bin/curl").unlink()  # nothing is proved once more
    result = shell.succeed("setup", "--yes")
    assert result.stdout == "Everything is applied already: trust, names, ports.\n"
    assert result.stderr == ""
    assert shell.succeed("setup", "ports", "--yes").stdout == "Everything is applied already: ports.\n"


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False)])
def test_a_terminal_is_asked_once(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, answer: str, done: bool
) -> None:
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    if done:
        assert shell.succeed("setup", answer=answer).stderr.count("Go ahead?") == 1
        assert "Go ahead?" not in shell.succeed("setup").stderr
    else:
        error = shell.fail(ExitCode.REFUSED, "setup", answer=answer)
        assert str(error) == "You did not say yes: nothing was changed on this machine but the directory of the new CA."
        assert str(shell.fail(ExitCode.REFUSED, "setup", answer=answer)).endswith("on this machine.")
    assert bool(changes.files()) is done
    assert shell.nss.exists() is done


def test_without_a_terminal_nothing_happens_unless_yes_is_given(shell: Shell, changes: FakeChanges) -> None:
    assert "devtls setup --yes" in shell.fail(ExitCode.REFUSED, "setup").hint
    assert "devtls setup --yes" in shell.fail(ExitCode.REFUSED, "setup", "names").hint
    assert not shell.state.exists()
    assert changes.files() == {}
    shell.succeed("setup", "--yes")
    for command in ("unsetup", "uninstall"):
        assert f"devtls {command} --yes" in shell.fail(ExitCode.REFUSED, command).hint
    assert list(changes.files()) == ["names", "ports"]


def test_nobody_need_be_there_where_nothing_is_asked(shell: Shell, changes: FakeChanges) -> None:
    for command in ("unsetup", "uninstall"):
        shell.succeed(command)
    shell.succeed("setup", "--yes")
    assert shell.succeed("setup").stdout == "Everything is applied already: trust, names, ports.\n"


@pytest.mark.parametrize("command", ["setup", "unsetup", "uninstall"])
def test_under_sudo_it_refuses(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert "without sudo" in shell.fail(ExitCode.REFUSED, command, "--yes").hint


def test_a_dry_run_changes_nothing_at_all(shell: Shell, changes: FakeChanges) -> None:
    result = shell.succeed("setup", "--dry-run", "--service")
    assert "A CA would be made for dev.local, localhost, test" in result.stdout
    assert "devtls-ID.crt" in result.stdout
    assert "Service:\n  Lines in service" in result.stdout
    assert result.stdout.endswith("Nothing was changed.\n")
    values = json.loads(shell.succeed("setup", "--dry-run", "--json").stdout)
    assert values["trust"]["root"] is None
    assert [(each["name"], each["state"]) for each in values["measures"]] == [
        ("names:names", "absent"),
        ("ports:ports", "absent"),
    ]
    assert not shell.state.exists()
    assert changes.files() == {}


def test_a_dry_run_beside_a_ca_goes_by_its_zones(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("trust", "--yes", "--zone", "corp.dev")
    assert "app.corp.dev" in shell.succeed("setup", "--dry-run").stdout
    assert "app.corp.dev" in shell.succeed("setup", "names", "--dry-run").stdout
    assert json.loads(shell.succeed("setup", "names", "--dry-run", "--json").stdout)["trust"] is None


def test_a_service_without_routes_is_not_installed(shell: Shell, changes: FakeChanges, home: Path) -> None:
    error = shell.fail(ExitCode.FAILED, "setup", "service", "--yes")
    assert error.hint == "devtls add app 3000 --global, then devtls setup service"
    own = home / "config/devtls.toml"
    own.parent.mkdir()
    for content in ("", "[routes\n"):
        own.write_text(content)
        result = shell.run("setup", "service", "--yes")
        assert str(own) in result.stdout
        assert changes.files() == {}
    own.write_text("[routes]\napp = 3000\n")
    shell.succeed("setup", "service", "--yes")
    own.unlink()  # one that is installed is its owner's business
    assert shell.succeed("setup", "service", "--yes").stdout == "Everything is applied already: service.\n"


def test_a_service_goes_by_the_file_that_it_will_read(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    asked: list[tuple[str, int]] = []

    def apply_plan(self: FileChange, facts: str | None, wish: DesiredState) -> Plan:
        asked.append((self.name, wish.https_port))
        return Plan()

    monkeypatch.setattr(FileChange, "apply_plan", apply_plan)
    shell.succeed("add", "app", "3000", "--global")
    project = home / "project"
    project.mkdir()
    (project / "devtls.toml").write_text("[serve]\nhttps_port = 9443\n[routes]\nweb = 3000\n")
    monkeypatch.chdir(project)
    shell.run("setup", "ports", "service", "--dry-run")
    assert asked == [("ports:ports", 9443), ("service:service", 443)]


def test_parts_are_done_singly_and_without_a_ca(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("add", "app", "3000", "--global")
    result = shell.succeed("setup", "names", "--yes")
    assert changes.files() == {"names": APP}
    assert "Trust" not in result.stderr
    assert not (shell.state / "ca.current").exists()
    shell.succeed("setup", "service", "ports", "--yes")
    assert list(changes.files()) == ["names", "ports", "service"]


def test_json_is_one_document_on_stdout(shell: Shell, changes: FakeChanges) -> None:
    for _ in range(2):
        values = json.loads(shell.succeed("setup", "--yes", "--json").stdout)
        assert values["complete"] is True
        assert values["trust"]["trusted"] is True
        assert [each["state"] for each in values["measures"]] == ["in force", "in force"]
    assert values["hostnames"] == ["app.dev.local", "app.localhost", "app.test"]
    assert json.loads(shell.succeed("setup", "ports", "--yes", "--json").stdout)["trust"] is None


def test_one_failing_change_leaves_the_others_and_is_named(shell: Shell, changes: FakeChanges) -> None:
    changes.change("names:names", tail=(program("false"),))
    result = shell.run("setup", "--yes")
    assert str(result.exception) == "Not applied: Lines in names."
    assert getattr(result.exception, "exit_code", None) is ExitCode.FAILED
    assert getattr(result.exception, "hint", "") == "devtls setup names"
    assert rows(result.stdout)["Lines in names"].startswith("failed")
    assert rows(result.stdout)["Lines in ports"] == "applied"
    assert "Manually: Write the names into names." in result.stderr
    assert "Next:" not in result.stderr
    assert changes.files() == {"ports": APP}


def test_when_no_store_trusts_it_the_rest_is_done_all_the_same(shell: Shell, changes: FakeChanges) -> None:
    shell.tool("usr/sbin/update-ca-certificates", "exit 1")
    shell.tool("usr/bin/certutil", 'case "$*" in *-A*) echo SEC_ERROR_BAD_PASSWORD >&2; exit 255;; *-N*) exit 0;; esac')
    shell.fail(ExitCode.NOT_TRUSTED, "setup", "--yes")
    assert list(changes.files()) == ["names", "ports"]


def test_what_is_not_needed_is_no_failure(shell: Shell, changes: FakeChanges) -> None:
    changes.change("ports:ports", blocked=ChangeState(Status.SKIPPED, "you are root already"))
    shell.succeed("setup", "--yes")
    assert shell.succeed("setup", "--yes").stdout == "Everything is applied already: trust, names, ports.\n"
    changes.change("ports:ports", blocked=ChangeState(Status.SKIPPED, "no tool", "get one"))
    assert shell.fail(ExitCode.FAILED, "setup", "--yes").hint == "get one"


def test_a_system_without_changes_needs_none(shell: Shell, changes: FakeChanges) -> None:
    changes.found.clear()
    assert "Names:\n  nothing to do on this system" in shell.succeed("setup", "--yes").stderr
    assert "Nothing needs" not in shell.succeed("setup", "--yes").stdout


def test_a_certain_method_replaces_the_usual_one_for_ports_and_stays(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes", "--method", "other")
    assert list(changes.files()) == ["names", "other"]
    assert shell.succeed("setup", "--yes").stdout.startswith("Everything is applied already")
    assert list(changes.files()) == ["names", "other"]


def test_the_former_name_of_the_option_works_and_is_hidden(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "ports", "--yes", "--way", "other")
    assert list(changes.files()) == ["other"]
    assert "--way" not in shell.succeed("setup", "--help").stdout


def test_an_unknown_method_is_refused_with_those_that_exist_before_a_ca_is_made(
    shell: Shell, changes: FakeChanges
) -> None:
    error = shell.fail(ExitCode.USAGE, "setup", "--yes", "--method", "magic")
    assert str(error) == "There is no method 'magic' for this on this machine."
    assert error.hint == "--method with one of: names, ports, other"
    assert "other" not in shell.fail(ExitCode.USAGE, "setup", "names", "--yes", "--method", "other").hint
    assert not shell.state.exists()


def test_names_add_up_over_projects_and_runs(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shell.succeed("setup", "names", "--yes")
    for project in ("one", "two"):
        directory = tmp_path / project
        directory.mkdir()
        (directory / "devtls.toml").write_text(f'[routes]\n{project} = 3000\n"*.{project}" = 3000\n')
        monkeypatch.chdir(directory)
        shell.succeed("setup", "names", "--yes")
    shell.succeed("setup", "names", "--yes", "--name", "api", "--name", "shop.test")
    shown = changes.files()["names"].split()
    assert [name for name in shown if name.endswith(".test")] == ["api.test", "one.test", "shop.test", "two.test"]
    assert "app.test" not in shown
    assert "shop.dev.local" not in shown
    assert "outside.example" in str(shell.fail(ExitCode.CONFIG, "setup", "names", "--yes", "--name", "outside.example"))


def test_the_next_step_names_what_is_there(shell: Shell, changes: FakeChanges) -> None:
    (shell.machine.home / "devtls.toml").write_text("[serve]\nhttps_port = 9443\n[routes]\nweb = 3000\n")
    told = shell.succeed("setup", "--yes").stderr
    assert "devtls serve web=3000, where 3000 is your app's port; then open https://web.dev.local:9443" in told


def test_zones_are_those_of_the_new_ca(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes", "--zone", "corp.dev")
    assert changes.files()["names"] == f"{MARK}app.corp.dev\n"
    assert "other.dev" in str(shell.fail(ExitCode.REFUSED, "setup", "--yes", "--zone", "other.dev"))
    assert "without a part" in shell.run("setup", "names", "--yes", "--zone", "corp.dev").output


def test_only_the_shown_commands_are_elevated_and_the_password_is_announced(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = shell.machine.root / "calls"
    sudo = shell.tool("usr/bin/sudo", f'echo "$1" >>{calls}; exec "$@"')
    machine = replace(shell.machine, elevation=find_elevation(1000, shell.machine.root))
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine))
    told = shell.succeed("setup", "--yes").stderr
    assert "sudo may ask for your password, once" in told
    assert f"{sudo} /usr/bin/install" in told
    assert [Path(line).name for line in calls.read_text().split()] == ["install", "update-ca-certificates"] + [
        "install"
    ] * 2
    assert "sudo may ask for your password, once" in shell.succeed("unsetup", "--yes").stderr


def test_without_elevation_the_commands_are_printed_and_the_code_says_so(
    shell: Shell, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(shell.machine, elevation=None)
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine))
    result = shell.run("setup", "names", "--yes")
    assert "# skipped: neither sudo, doas nor pkexec is here\n      sudo /usr/bin/install" in result.stderr
    assert str(result.exception) == "Not applied: Lines in names."
    assert changes.files() == {}


def test_a_blocked_store_is_shown_again_also_when_nothing_is_to_be_done(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    (shell.machine.root / "usr/bin/certutil").unlink()
    assert "libnss3-tools" in shell.succeed("setup", "--yes").stdout


def test_the_file_of_roots_keeps_the_older_one_of_a_renewed_ca(shell: Shell, changes: FakeChanges) -> None:
    shell.succeed("setup", "--yes")
    shell.succeed("ca", "renew", "--yes")
    shell.succeed("setup", "--yes")
    before = (shell.state / ROOT_FILE).read_bytes()
    assert before.count(b"BEGIN CERTIFICATE") == 2
    assert shell.succeed("setup").stdout.startswith("Everything is applied already")
    assert (shell.state / ROOT_FILE).read_bytes() == before
