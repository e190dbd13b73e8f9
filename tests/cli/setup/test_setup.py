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
from tests.cli.desk import Desk
from tests.system.changes.fake_changes import FakeChanges
from tests.system.changes.file_change import MARK, FileChange, program

APP = f"{MARK}app.dev.local\napp.localhost\napp.test\n"


@pytest.fixture
def changes(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChanges:
    made = FakeChanges(tmp_path / "changed")
    made.install(monkeypatch)
    monkeypatch.chdir(desk.machine.home)
    return made


def rows(text: str) -> dict[str, str]:
    """Return label -> the rest of the row, from a plain table."""
    found = {}
    for line in text.splitlines()[1:]:
        label, _, rest = line.partition("  ")
        found[label] = rest.strip()
    return found


def test_trust_names_and_ports_are_one_plan_done_and_shown(desk: Desk, changes: FakeChanges) -> None:
    result = desk.succeed("setup", "--yes")
    assert changes.files() == {"names": APP, "ports": APP}
    told = result.stderr
    assert told.count("This will be done:") == 1
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
    assert [entry.name for entry in ChangeRecord(desk.state).entries(*SETUP_PARTS)] == ["names:names", "ports:ports"]


def test_a_second_run_says_one_line_and_asks_nothing(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("setup", "--yes")
    (desk.machine.root / "usr/bin/curl").unlink()  # nothing is proved once more
    result = desk.succeed("setup", "--yes")
    assert result.stdout == "Everything is applied already: trust, names, ports.\n"
    assert result.stderr == ""
    assert desk.succeed("setup", "ports", "--yes").stdout == "Everything is applied already: ports.\n"


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False)])
def test_a_terminal_is_asked_once(
    desk: Desk, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, answer: str, done: bool
) -> None:
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    if done:
        assert desk.succeed("setup", answer=answer).stderr.count("Go ahead?") == 1
        assert "Go ahead?" not in desk.succeed("setup").stderr
    else:
        error = desk.fail(ExitCode.REFUSED, "setup", answer=answer)
        assert str(error) == "You did not say yes: nothing was changed on this machine but the directory of the new CA."
        assert str(desk.fail(ExitCode.REFUSED, "setup", answer=answer)).endswith("on this machine.")
    assert bool(changes.files()) is done
    assert desk.nss.exists() is done


def test_without_a_terminal_nothing_happens_unless_yes_is_given(desk: Desk, changes: FakeChanges) -> None:
    assert "devtls setup --yes" in desk.fail(ExitCode.REFUSED, "setup").hint
    assert "devtls setup --yes" in desk.fail(ExitCode.REFUSED, "setup", "names").hint
    assert not desk.state.exists()
    assert changes.files() == {}
    desk.succeed("setup", "--yes")
    for command in ("unsetup", "uninstall"):
        assert f"devtls {command} --yes" in desk.fail(ExitCode.REFUSED, command).hint
    assert list(changes.files()) == ["names", "ports"]


def test_nobody_need_be_there_where_nothing_is_asked(desk: Desk, changes: FakeChanges) -> None:
    for command in ("unsetup", "uninstall"):
        desk.succeed(command)
    desk.succeed("setup", "--yes")
    assert desk.succeed("setup").stdout == "Everything is applied already: trust, names, ports.\n"


@pytest.mark.parametrize("command", ["setup", "unsetup", "uninstall"])
def test_under_sudo_it_refuses(desk: Desk, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert "without sudo" in desk.fail(ExitCode.REFUSED, command, "--yes").hint


def test_a_dry_run_changes_nothing_at_all(desk: Desk, changes: FakeChanges) -> None:
    result = desk.succeed("setup", "--dry-run", "--service")
    assert "A CA would be made for dev.local, localhost, test" in result.stdout
    assert "devtls-ID.crt" in result.stdout
    assert "Service:\n  Lines in service" in result.stdout
    assert result.stdout.endswith("Nothing was changed.\n")
    values = json.loads(desk.succeed("setup", "--dry-run", "--json").stdout)
    assert values["trust"]["root"] is None
    assert [(each["name"], each["state"]) for each in values["measures"]] == [
        ("names:names", "absent"),
        ("ports:ports", "absent"),
    ]
    assert not desk.state.exists()
    assert changes.files() == {}


def test_a_dry_run_beside_a_ca_goes_by_its_zones(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("trust", "--yes", "--zone", "corp.dev")
    assert "app.corp.dev" in desk.succeed("setup", "--dry-run").stdout
    assert "app.corp.dev" in desk.succeed("setup", "names", "--dry-run").stdout
    assert json.loads(desk.succeed("setup", "names", "--dry-run", "--json").stdout)["trust"] is None


def test_a_service_without_routes_is_not_installed(desk: Desk, changes: FakeChanges, home: Path) -> None:
    error = desk.fail(ExitCode.FAILED, "setup", "service", "--yes")
    assert error.hint == "devtls add app 3000 --global, then devtls setup service"
    own = home / "config/devtls.toml"
    own.parent.mkdir()
    for content in ("", "[routes\n"):
        own.write_text(content)
        result = desk.run("setup", "service", "--yes")
        assert str(own) in result.stdout
        assert changes.files() == {}
    own.write_text("[routes]\napp = 3000\n")
    desk.succeed("setup", "service", "--yes")
    own.unlink()  # one that is installed is its owner's business
    assert desk.succeed("setup", "service", "--yes").stdout == "Everything is applied already: service.\n"


def test_a_service_goes_by_the_file_that_it_will_read(
    desk: Desk, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    asked: list[tuple[str, int]] = []

    def apply_plan(self: FileChange, facts: str | None, wish: DesiredState) -> Plan:
        asked.append((self.name, wish.https_port))
        return Plan()

    monkeypatch.setattr(FileChange, "apply_plan", apply_plan)
    desk.succeed("add", "app", "3000", "--global")
    project = home / "project"
    project.mkdir()
    (project / "devtls.toml").write_text("[serve]\nhttps_port = 9443\n[routes]\nweb = 3000\n")
    monkeypatch.chdir(project)
    desk.run("setup", "ports", "service", "--dry-run")
    assert asked == [("ports:ports", 9443), ("service:service", 443)]


def test_parts_are_done_singly_and_without_a_ca(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("add", "app", "3000", "--global")
    result = desk.succeed("setup", "names", "--yes")
    assert changes.files() == {"names": APP}
    assert "Trust" not in result.stderr
    assert not (desk.state / "ca.current").exists()
    desk.succeed("setup", "service", "ports", "--yes")
    assert list(changes.files()) == ["names", "ports", "service"]


def test_json_is_one_document_on_stdout(desk: Desk, changes: FakeChanges) -> None:
    for _ in range(2):
        values = json.loads(desk.succeed("setup", "--yes", "--json").stdout)
        assert values["complete"] is True
        assert values["trust"]["trusted"] is True
        assert [each["state"] for each in values["measures"]] == ["in force", "in force"]
    assert values["hostnames"] == ["app.dev.local", "app.localhost", "app.test"]
    assert json.loads(desk.succeed("setup", "ports", "--yes", "--json").stdout)["trust"] is None


def test_one_failing_change_leaves_the_others_and_is_named(desk: Desk, changes: FakeChanges) -> None:
    changes.change("names:names", tail=(program("false"),))
    result = desk.run("setup", "--yes")
    assert str(result.exception) == "Not applied: Lines in names."
    assert getattr(result.exception, "exit_code", None) is ExitCode.FAILED
    assert getattr(result.exception, "hint", "") == "devtls setup names"
    assert rows(result.stdout)["Lines in names"].startswith("failed")
    assert rows(result.stdout)["Lines in ports"] == "applied"
    assert "Manually: Write the names into names." in result.stderr
    assert "Next:" not in result.stderr
    assert changes.files() == {"ports": APP}


def test_when_no_store_trusts_it_the_rest_is_done_all_the_same(desk: Desk, changes: FakeChanges) -> None:
    desk.tool("usr/sbin/update-ca-certificates", "exit 1")
    desk.tool("usr/bin/certutil", 'case "$*" in *-A*) echo SEC_ERROR_BAD_PASSWORD >&2; exit 255;; *-N*) exit 0;; esac')
    desk.fail(ExitCode.NOT_TRUSTED, "setup", "--yes")
    assert list(changes.files()) == ["names", "ports"]


def test_what_is_not_needed_is_no_failure(desk: Desk, changes: FakeChanges) -> None:
    changes.change("ports:ports", blocked=ChangeState(Status.SKIPPED, "you are root already"))
    desk.succeed("setup", "--yes")
    assert desk.succeed("setup", "--yes").stdout == "Everything is applied already: trust, names, ports.\n"
    changes.change("ports:ports", blocked=ChangeState(Status.SKIPPED, "no tool", "get one"))
    assert desk.fail(ExitCode.FAILED, "setup", "--yes").hint == "get one"


def test_a_system_without_changes_needs_none(desk: Desk, changes: FakeChanges) -> None:
    changes.found.clear()
    assert "Names:\n  nothing to do on this system" in desk.succeed("setup", "--yes").stderr
    assert "Nothing needs" not in desk.succeed("setup", "--yes").stdout


def test_a_certain_method_replaces_the_usual_one_for_ports_and_stays(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("setup", "--yes", "--method", "other")
    assert list(changes.files()) == ["names", "other"]
    assert desk.succeed("setup", "--yes").stdout.startswith("Everything is applied already")
    assert list(changes.files()) == ["names", "other"]


def test_the_former_name_of_the_option_works_and_is_hidden(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("setup", "ports", "--yes", "--way", "other")
    assert list(changes.files()) == ["other"]
    assert "--way" not in desk.succeed("setup", "--help").stdout


def test_an_unknown_method_is_refused_with_those_that_exist_before_a_ca_is_made(
    desk: Desk, changes: FakeChanges
) -> None:
    error = desk.fail(ExitCode.USAGE, "setup", "--yes", "--method", "magic")
    assert str(error) == "There is no method 'magic' for this on this machine."
    assert error.hint == "--method with one of: names, ports, other"
    assert "other" not in desk.fail(ExitCode.USAGE, "setup", "names", "--yes", "--method", "other").hint
    assert not desk.state.exists()


def test_names_add_up_over_projects_and_runs(
    desk: Desk, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk.succeed("setup", "names", "--yes")
    for project in ("one", "two"):
        directory = tmp_path / project
        directory.mkdir()
        (directory / "devtls.toml").write_text(f'[routes]\n{project} = 3000\n"*.{project}" = 3000\n')
        monkeypatch.chdir(directory)
        desk.succeed("setup", "names", "--yes")
    desk.succeed("setup", "names", "--yes", "--name", "api", "--name", "shop.test")
    shown = changes.files()["names"].split()
    assert [name for name in shown if name.endswith(".test")] == ["api.test", "one.test", "shop.test", "two.test"]
    assert "app.test" not in shown
    assert "shop.dev.local" not in shown
    assert "outside.example" in str(desk.fail(ExitCode.CONFIG, "setup", "names", "--yes", "--name", "outside.example"))


def test_the_next_step_names_what_is_there(desk: Desk, changes: FakeChanges) -> None:
    (desk.machine.home / "devtls.toml").write_text("[serve]\nhttps_port = 9443\n[routes]\nweb = 3000\n")
    told = desk.succeed("setup", "--yes").stderr
    assert "devtls serve web=3000, where 3000 is your app's port; then open https://web.dev.local:9443" in told


def test_zones_are_those_of_the_new_ca(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("setup", "--yes", "--zone", "corp.dev")
    assert changes.files()["names"] == f"{MARK}app.corp.dev\n"
    assert "other.dev" in str(desk.fail(ExitCode.REFUSED, "setup", "--yes", "--zone", "other.dev"))
    assert "without a part" in desk.run("setup", "names", "--yes", "--zone", "corp.dev").output


def test_only_the_shown_commands_are_elevated_and_the_password_is_announced(
    desk: Desk, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = desk.machine.root / "calls"
    sudo = desk.tool("usr/bin/sudo", f'echo "$1" >>{calls}; exec "$@"')
    machine = replace(desk.machine, elevation=find_elevation(1000, desk.machine.root))
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine))
    told = desk.succeed("setup", "--yes").stderr
    assert "sudo may ask for your password, once" in told
    assert f"{sudo} /usr/bin/install" in told
    assert [Path(line).name for line in calls.read_text().split()] == ["install", "update-ca-certificates"] + [
        "install"
    ] * 2
    assert "sudo may ask for your password, once" in desk.succeed("unsetup", "--yes").stderr


def test_without_elevation_the_commands_are_printed_and_the_code_says_so(
    desk: Desk, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(desk.machine, elevation=None)
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine))
    result = desk.run("setup", "names", "--yes")
    assert "# skipped: neither sudo, doas nor pkexec is here\n      sudo /usr/bin/install" in result.stderr
    assert str(result.exception) == "Not applied: Lines in names."
    assert changes.files() == {}


def test_a_blocked_store_is_shown_again_also_when_nothing_is_to_be_done(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("setup", "--yes")
    (desk.machine.root / "usr/bin/certutil").unlink()
    assert "libnss3-tools" in desk.succeed("setup", "--yes").stdout


def test_the_file_of_roots_keeps_the_older_one_of_a_renewed_ca(desk: Desk, changes: FakeChanges) -> None:
    desk.succeed("setup", "--yes")
    desk.succeed("ca", "renew", "--yes")
    desk.succeed("setup", "--yes")
    before = (desk.state / ROOT_FILE).read_bytes()
    assert before.count(b"BEGIN CERTIFICATE") == 2
    assert desk.succeed("setup").stdout.startswith("Everything is applied already")
    assert (desk.state / ROOT_FILE).read_bytes() == before
