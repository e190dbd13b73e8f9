from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.system.changes.change import DesiredState, Part, Status
from devtls.system.changes.service.account import Account, AnyService
from devtls.system.changes.service.discovery import find_changes, find_services
from devtls.system.changes.service.socket_unit import SocketUnit
from devtls.system.changes.service.systemd_unit import UserUnit
from devtls.system.machine.execute import Finished, NotFinished, Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan, Run, render_plan
from tests.system.changes.service.conftest import NO_BUS, TIMED_OUT, Systemd, moved

Do = Callable[[Plan], Outcome]


@pytest.fixture
def change(machine: Machine, systemd: Systemd) -> UserUnit:
    return UserUnit(machine, systemd)


def status_of(change: UserUnit, desired: DesiredState) -> Status:
    return change.state(change.probe(), desired).status


def install(change: UserUnit, desired: DesiredState, do: Do) -> Outcome:
    return do(change.apply_plan(change.probe(), desired))


def unit_text(change: UserUnit) -> str:
    return change.probe().filed.path.read_text()


def test_it_comes_and_goes_without_a_trace(
    change: UserUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    assert status_of(change, desired) is Status.ABSENT
    assert install(change, desired, do).done
    assert status_of(change, desired) is Status.APPLIED
    assert not change.apply_plan(change.probe(), desired)
    lines = unit_text(change).splitlines()
    assert 'ExecStart="/opt/my tools/python" -P -m devtls serve' in lines
    assert 'Environment="DEVTLS_STATE_DIR=/home/ann/50%% state"' in lines
    assert "WorkingDirectory=~" in lines
    assert not any("SECRET" in line or "PATH=" in line.replace("STATE", "") for line in lines)
    account = change.account(change.probe())
    assert (account.installed, account.enabled, account.running, account.pid) == (True, True, True, 77)
    assert account.argv[0] == "/opt/my tools/python"
    facts = change.probe()
    assert do(change.revert_plan(facts, change.previous_state(facts, desired))).done
    assert status_of(change, desired) is Status.ABSENT
    assert (systemd.enabled, systemd.active, systemd.loaded) == (set(), set(), {})
    assert not [path for path in machine.home.rglob("*") if path.is_file()]
    assert not change.revert_plan(change.probe(), {})
    assert change.account(change.probe()) == Account(
        False, "~/.config/systemd/user/devtls.service", stop=("systemctl", "--user", "stop", "devtls")
    )


def test_after_an_upgrade_it_is_written_again_and_restarted(change: UserUnit, desired: DesiredState, do: Do) -> None:
    install(change, desired, do)
    state = change.state(change.probe(), moved(desired))
    assert (state.status, "another devtls" in state.detail) == (Status.OUTDATED, True)
    plan = change.apply_plan(change.probe(), moved(desired))
    assert [step.argv[2:] for step in plan.steps if isinstance(step, Run)] == [
        ("daemon-reload",), ("enable", "devtls-pac.socket"),
        ("enable", "devtls.service"), ("restart", "devtls.service"),
    ]  # fmt: skip
    assert do(plan).done
    assert status_of(change, moved(desired)) is Status.APPLIED
    assert change.account(change.probe()).argv[0] == "/opt/new/python"


def test_the_port_of_the_pac_file_is_held_whether_or_not_the_service_runs(
    change: UserUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    """A browser's proxy setting names it: while nobody listens, any user of the machine may."""
    install(change, desired, do)
    directory = machine.config_home / "systemd/user"
    socket = (directory / "devtls-pac.socket").read_text().splitlines()
    assert {
        "ListenStream=127.0.0.1:15354",
        "ListenStream=[::1]:15354",
        "FileDescriptorName=pac",
        "Service=devtls.service",
        "WantedBy=sockets.target",
    } <= set(socket)
    assert {"Wants=devtls-pac.socket", "After=devtls-pac.socket", "Sockets=devtls-pac.socket"} <= set(
        unit_text(change).splitlines()
    )
    assert systemd.enabled == {"devtls.service", "devtls-pac.socket"}
    moved_port = replace(desired, pac_port=25354)
    assert status_of(change, moved_port) is Status.OUTDATED
    assert install(change, moved_port, do).done
    assert status_of(change, moved_port) is Status.APPLIED
    assert "ListenStream=127.0.0.1:25354" in (directory / "devtls-pac.socket").read_text()
    without = replace(desired, pac_port=None)
    assert install(change, without, do).done
    assert status_of(change, without) is Status.APPLIED
    assert not (directory / "devtls-pac.socket").exists()
    assert "devtls-pac" not in unit_text(change)


def test_a_unit_of_an_older_devtls_gets_the_socket(
    change: UserUnit, machine: Machine, desired: DesiredState, do: Do
) -> None:
    install(change, replace(desired, pac_port=None), do)
    assert status_of(change, desired) is Status.OUTDATED
    assert install(change, desired, do).done
    assert (machine.config_home / "systemd/user/devtls-pac.socket").is_file()


def test_a_socket_unit_of_somebody_else_is_left_alone(
    change: UserUnit, machine: Machine, desired: DesiredState
) -> None:
    path = machine.config_home / "systemd/user/devtls-pac.socket"
    path.parent.mkdir(parents=True)
    path.write_text("[Socket]\nListenStream=127.0.0.1:15354\n")
    state = change.state(change.probe(), desired)
    assert (state.status, "devtls-pac.socket was not written by devtls" in state.detail) == (Status.MANUAL, True)
    assert not change.apply_plan(change.probe(), desired)


def test_a_file_that_was_asked_for_is_kept_when_nobody_asks_again(
    change: UserUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    named = UserUnit(machine, systemd, config=Path("/my project/devtls.toml"))
    install(named, desired, do)
    assert 'serve --config "/my project/devtls.toml"' in unit_text(change)
    assert status_of(change, desired) is Status.APPLIED
    assert change.account(change.probe()).config == "/my project/devtls.toml"
    install(change, moved(desired), do)
    assert change.account(change.probe()).config == "/my project/devtls.toml"


def test_one_that_was_stopped_is_started_again(
    change: UserUnit, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    systemd.active.clear()
    state = change.state(change.probe(), desired)
    assert (state.status, "does not run" in state.detail) == (Status.OUTDATED, True)
    assert install(change, desired, do).done
    assert status_of(change, desired) is Status.APPLIED
    systemd.enabled.clear()
    assert "not enabled" in change.state(change.probe(), desired).detail


def test_why_it_does_not_run_is_reported(change: UserUnit, systemd: Systemd, desired: DesiredState, do: Do) -> None:
    install(change, desired, do)
    failed = {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "5"}
    for extra, trouble in (
        (failed, "it failed: exit-code, exit code 5"),
        ({"ActiveState": "failed", "Result": "timeout"}, "it failed: timeout"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "it keeps ending and is started again"),
    ):
        systemd.extra = extra
        facts = change.probe()
        assert trouble in change.state(facts, desired).detail
        assert change.account(facts).trouble == trouble
        assert not change.account(facts).running


@pytest.mark.parametrize("how", ["file", "symlink", "folder"])
def test_a_unit_of_somebody_else_is_left_alone(
    change: UserUnit, machine: Machine, desired: DesiredState, how: str
) -> None:
    path = change.probe().filed.path
    path.parent.mkdir(parents=True)
    match how:
        case "file":
            path.write_text("[Service]\nExecStart=/usr/local/bin/devtls serve\n")
        case "symlink":
            path.symlink_to("/dev/null")
        case _:
            path.mkdir()
    facts = change.probe()
    assert change.state(facts, desired).status is Status.MANUAL
    assert not change.apply_plan(facts, desired)
    assert not change.revert_plan(facts, {})
    assert not change.account(facts).installed
    assert change.account(facts).argv == ()


@pytest.mark.parametrize("silent", [NO_BUS, TIMED_OUT])
def test_without_a_manager_of_the_user_nothing_is_done(
    change: UserUnit, systemd: Systemd, desired: DesiredState, silent: Finished | NotFinished
) -> None:
    systemd.silent = silent
    facts = change.probe()
    state = change.state(facts, desired)
    assert (state.status, state.detail.startswith("no systemd manager of yours runs here (")) == (Status.MANUAL, True)
    assert "Log in as this user" in change.explain(facts, desired)
    assert not change.apply_plan(facts, desired)


def test_without_a_manager_it_can_still_be_reverted(
    change: UserUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    link = change.probe().link
    link.parent.mkdir()
    link.symlink_to("../devtls.service")
    systemd.silent = NO_BUS
    assert change.account(change.probe()).trouble == "no systemd manager of yours runs here"
    assert do(change.revert_plan(change.probe(), {})).done
    assert not [path for path in machine.home.rglob("*") if not path.is_dir()]


def test_without_systemd_it_says_so(change: UserUnit, machine: Machine, desired: DesiredState) -> None:
    (machine.root / "usr/bin/systemctl").unlink()
    state = change.state(change.probe(), desired)
    assert (state.status, state.detail) == (Status.NO_TOOL, "this system has no systemd")


def test_it_makes_way_for_the_sockets_of_the_system(change: UserUnit, machine: Machine, desired: DesiredState) -> None:
    (machine.root / "etc/systemd/system/devtls.socket").write_text("")
    assert status_of(change, desired) is Status.SKIPPED
    assert not change.apply_plan(change.probe(), desired)


def test_a_start_that_fails_leads_to_the_log(change: UserUnit, systemd: Systemd, desired: DesiredState, do: Do) -> None:
    systemd.refuses_start = "Job for devtls.service failed because the control process exited with error code.\n"
    outcome = install(change, desired, do)
    state = change.read_failure(change.probe(), outcome)
    assert state.status is Status.FAILED
    assert state.detail.startswith("it did not start: Job for devtls.service failed")
    assert state.remedy.startswith("journalctl --user -u devtls.service")


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (StepFailure.READ_ONLY, Status.READ_ONLY),
        (StepFailure.NO_TOOL, Status.NO_TOOL),
        (StepFailure.FAILED, Status.FAILED),
    ],
)
def test_other_failures_are_put_into_words(change: UserUnit, trouble: StepFailure, status: Status) -> None:
    state = change.read_failure(change.probe(), Outcome(Run(("x",)), trouble, "why"))
    assert (state.status, state.detail) == (status, "why")
    assert state.remedy


def test_xdg_config_home_counts(machine: Machine, systemd: Systemd, tmp_path: Path) -> None:
    other = Machine.redirected(machine.root, machine.home, {"XDG_CONFIG_HOME": str(tmp_path / "cfg")})
    assert UserUnit(other, systemd).probe().filed.path == tmp_path / "cfg/systemd/user/devtls.service"


def test_the_plan_is_what_a_person_would_type(change: UserUnit, machine: Machine, desired: DesiredState) -> None:
    shown = render_plan(change.apply_plan(change.probe(), desired), machine.elevation)
    assert shown[-1].endswith("systemctl --user enable --now devtls.service")
    assert not change.apply_plan(change.probe(), desired).elevated


def test_discovery_offers_the_users_own_service_and_the_sockets_on_request(machine: Machine, systemd: Systemd) -> None:
    def names(**asked: tuple[str, ...]) -> list[str]:
        return [each.name for each in find_changes(machine, systemd, **asked)]

    assert names() == ["service:systemd"]
    assert names(methods=("socket-unit",)) == ["service:systemd", "ports:socket-unit"]
    assert names(recorded=("ports:socket-unit",)) == ["service:systemd", "ports:socket-unit"]
    assert [each.part for each in find_services(machine, systemd)] == [Part.SERVICE, Part.PORTS]


@pytest.mark.parametrize("directory", ["/home/a\udcff", "/home/a\x1b[31m", "/home/a\nExecStartPre=/bin/true"])
@pytest.mark.parametrize("where", ["command", "variable", "config"])
def test_a_path_that_no_unit_can_hold_is_refused(
    machine: Machine, systemd: Systemd, desired: DesiredState, directory: str, where: str
) -> None:
    config = Path(directory) / "devtls.toml" if where == "config" else None
    if where == "command":
        desired = replace(desired, command=(f"{directory}/python", "-m", "devtls"))
    elif where == "variable":
        desired = replace(desired, environment={"DEVTLS_STATE_DIR": directory})
    changes: tuple[AnyService, ...] = (
        UserUnit(machine, systemd, config=config), SocketUnit(machine, systemd, config=config),
    )  # fmt: skip
    for change in changes:
        facts = change.probe()
        state = change.state(facts, desired)
        assert (state.status, "not UTF-8, or has control characters" in state.detail) == (Status.MANUAL, True)
        assert not change.apply_plan(facts, desired)
