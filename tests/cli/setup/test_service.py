"""`devtls service` against a systemd that the test plays, and the two ways in which logs are shown."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path

import pytest

from devtls.cli.entry import run as run_command
from devtls.cli.setup import service
from devtls.cli.terminal import prompts
from devtls.cli.terminal.log_tail import show_log
from devtls.errors import StateError
from devtls.operations import context
from devtls.operations import service as operation
from devtls.operations.control import RunningProxy
from devtls.system.changes.engine import Executor
from devtls.system.changes.record import ChangeRecord
from devtls.system.control.unix_socket import ControlSocket
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine
from devtls.web.control_messages import About
from tests.system.changes.service.conftest import NO_BUS, Systemd


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    root, home = tmp_path / "system", tmp_path / "home"
    (root / "usr/bin").mkdir(parents=True)
    (home / ".config/devtls").mkdir(parents=True)
    (root / "usr/bin/systemctl").write_text("")
    (root / "usr/bin/systemctl").chmod(0o755)
    (home / ".config/devtls/devtls.toml").write_text("[routes]\napp = 3000\n")
    return Machine.redirected(root, home, {})


@pytest.fixture(autouse=True)
def systemd(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Systemd:
    """A user's manager, in the place of every program that the command starts."""
    played = Systemd(machine.config_home / "systemd/user")
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: machine))
    monkeypatch.setattr(ProcessRunner, "run", lambda self, run: played.run(run))
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DEVTLS_CONFIG_DIR", str(machine.home / ".config/devtls"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(context, "Executor", partial(Executor, patience_s=0.0))
    return played


def devtls(*arguments: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(["service", *arguments])
    assert ended.value.code == code


def unit(machine: Machine) -> Path:
    return machine.config_home / "systemd/user/devtls.service"


def test_a_dry_run_shows_everything_and_changes_nothing(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    devtls("install", "--dry-run")
    shown = capsys.readouterr().out
    assert "systemctl --user enable --now devtls.service" in shown
    assert "ExecStart=" in shown
    assert shown.endswith("Nothing was changed.\n")
    assert not unit(machine).exists()


def test_install_status_and_uninstall(machine: Machine, systemd: Systemd, capsys: pytest.CaptureFixture[str]) -> None:
    devtls("install", "--yes")
    told = capsys.readouterr()
    assert told.out.startswith("devtls runs as a service (process 77).")
    assert "systemctl --user daemon-reload" in told.err
    assert "enable-linger" in told.err
    devtls("install", "--yes")
    assert capsys.readouterr().out == "It is installed already, and runs: devtls service status\n"
    devtls("status")
    shown = capsys.readouterr().out
    assert shown.startswith("systemd service of yours: installed, runs (process 77).")
    assert "systemctl --user stop devtls" in shown
    devtls("status", "--json")
    (found,) = json.loads(capsys.readouterr().out)["services"]
    assert (found["name"], found["running"], found["pid"], found["serve"]) == ("service:systemd", True, 77, None)
    assert found["command"][1:] == ["-P", "-m", "devtls", "serve"]
    systemd.active.clear()
    devtls("status", code=9)
    assert "does not run" in capsys.readouterr().out
    devtls("uninstall", "--yes")
    assert capsys.readouterr().out == "The service is gone.\n"
    assert not unit(machine).exists()
    assert (systemd.enabled, systemd.active) == (set(), set())
    devtls("uninstall", "--yes")
    assert capsys.readouterr().out == "No service of devtls is installed for you.\n"
    devtls("status", code=9)
    devtls("status", "--json", code=9)
    assert json.loads(capsys.readouterr().out) == {"format": 1, "services": []}


def test_json_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    devtls("install", "--yes", "--json")
    told = json.loads(capsys.readouterr().out)
    (done,) = told["measures"]
    assert (told["dry_run"], done["name"], done["state"], done["changed"]) == (
        *(False, "service:systemd", "in force", True),
    )
    assert done["commands"][-1].endswith("enable --now devtls.service")
    devtls("uninstall", "--dry-run", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["dry_run"], [len(each["commands"]) for each in told["measures"]]) == (True, [4])
    devtls("uninstall", "--yes", "--json")
    (gone,) = json.loads(capsys.readouterr().out)["measures"]
    assert (gone["state"], gone["changed"]) == ("absent", True)
    devtls("uninstall", "--yes", "--json")
    assert json.loads(capsys.readouterr().out)["measures"] == []


def test_it_is_recorded_like_every_change_of_setup(
    machine: Machine, systemd: Systemd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = ChangeRecord(tmp_path / "state")
    devtls("install", "--yes")
    assert [entry.name for entry in record.entries()] == ["service:systemd"]
    with pytest.raises(SystemExit) as ended:
        run_command(["setup", "service", "--yes"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.endswith("Everything is applied already: service.\n")
    with pytest.raises(SystemExit):
        run_command(["unsetup", "service", "--yes"])
    assert (record.entries(), unit(machine).exists(), systemd.active) == ((), False, set())


def test_a_file_that_was_named_is_the_services(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("[serve]\nhttps_port = 9443\n[routes]\na = 1\n")
    devtls("install", "--yes", "--config", "mine.toml")
    assert f"serve --config {tmp_path}/mine.toml" in unit(machine).read_text()
    Path("mine.toml").write_text("[routes]\n")
    devtls("install", "--yes", code=3)
    said = capsys.readouterr().err
    assert "it has no routes" in said
    assert f"devtls add app 3000 --config {tmp_path}/mine.toml" in said


def test_directories_that_count_from_here_are_written_in_full(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEVTLS_STATE_DIR", "here/state")
    devtls("install", "--yes")
    assert f"Environment=DEVTLS_STATE_DIR={tmp_path}/here/state" in unit(machine).read_text()


def test_without_routes_there_is_no_service(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    file = machine.home / ".config/devtls/devtls.toml"
    file.write_text("[routes]\n")
    devtls("install", "--yes", code=3)
    assert "devtls add app 3000 --global, then devtls service install" in capsys.readouterr().err
    file.unlink()
    devtls("install", "--yes", code=7)
    assert "there is no ~/.config/devtls/devtls.toml" in capsys.readouterr().err
    assert not unit(machine).exists()


def test_an_obstacle_is_named(systemd: Systemd, capsys: pytest.CaptureFixture[str]) -> None:
    systemd.silent = NO_BUS
    devtls("install", "--yes", code=1)
    said = capsys.readouterr().err
    assert "no systemd manager of yours runs here" in said
    assert "Log in as this user" in said


def test_a_start_that_fails_is_no_success(
    machine: Machine, systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    systemd.refuses_start = "Job for devtls.service failed."
    devtls("install", "--yes", code=1)
    said = capsys.readouterr().err
    assert "The service was not installed: it did not start: Job for devtls.service failed." in said
    assert "journalctl --user -u devtls.service" in said


def test_a_service_that_ends_at_once_is_no_success(systemd: Systemd, capsys: pytest.CaptureFixture[str]) -> None:
    systemd.extra = {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "5"}
    devtls("install", "--yes", code=1)
    said = capsys.readouterr().err
    assert "it failed: exit-code, exit code 5" in said
    assert "devtls service logs" in said
    devtls("status", code=9)  # it stays, for its log to be read
    assert "it failed: exit-code, exit code 5" in capsys.readouterr().out


def test_without_a_terminal_nothing_is_done_unasked(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    devtls("install", code=7)
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    devtls("install", code=7)
    assert "nothing was changed" in capsys.readouterr().err
    assert not unit(machine).exists()


def test_a_proxy_that_was_started_manually_is_pointed_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    about = About(version="1", pid=42, https_port=443, config_file=None)
    monkeypatch.setattr(operation, "find_running", lambda *_: [RunningProxy(ControlSocket(Path("/x"), 42), about)])
    devtls("install", "--yes")
    assert "devtls serve (process 42) runs already, on port 443" in capsys.readouterr().err


def test_logs_are_the_journals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def launch(argv: list[str], _: object) -> int:
        started.append(argv)
        return 0

    monkeypatch.setattr(service, "launch", launch)
    devtls("logs", code=9)
    devtls("install", "--yes")
    devtls("logs")
    devtls("logs", "--follow", "-n", "3")
    assert started == [
        ["journalctl", "--user", "--unit", "devtls.service", "--no-pager", "--lines", "50"],
        ["journalctl", "--user", "--unit", "devtls.service", "--follow", "--lines", "3"],
    ]


def test_the_end_of_a_file_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "serve.log"
    shown: list[str] = []
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    show_log(path, 2, shown.append, follow=False)
    assert shown == ["line 98\n", "line 99\n"]
    with pytest.raises(StateError, match="cannot be read: No such file"):
        show_log(tmp_path / "none", 2, shown.append, follow=False)


def test_what_comes_is_followed_into_the_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, written = tmp_path / "serve.log", threading.Event()
    shown: list[str] = []
    path.write_text("one\ntwo\n")
    turns = iter(["three\n", None, "four, longer than all before\n", "five\n"])

    def next_turn(_: float) -> None:
        """Change the file in the place of a wait; end it like Ctrl-C."""
        if written.is_set():
            raise KeyboardInterrupt
        match next(turns):
            case None:
                path.replace(tmp_path / "serve.log.1")
            case text:
                with path.open("a") as file:
                    file.write(text)
                if text == "five\n":
                    written.set()

    monkeypatch.setattr("time.sleep", next_turn)
    with pytest.raises(KeyboardInterrupt):
        show_log(path, 1, shown.append, follow=True)
    assert "".join(shown) == "two\nthree\nfour, longer than all before\nfive\n"
