from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.system.changes.change import DesiredState, Status, User
from devtls.system.changes.service.discovery import find_changes
from devtls.system.changes.service.windows_task import LogonTask, split_arguments
from devtls.system.machine.execute import Finished, NotFinished, Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan, Run, WriteFile
from tests.system.changes.service.golden_plans import check_section

NAMESPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


class Scheduler:
    """The Task Scheduler as PowerShell shows it."""

    def __init__(self) -> None:
        self.xml = ""
        self.state = 4

    def run(self, run: Run) -> Finished | NotFinished:
        assert "Get-ScheduledTask -TaskName 'devtls'" in run.argv[-1]
        if not self.xml:
            return Finished(1, b"", b"Get-ScheduledTask : No MSFT_ScheduledTask objects found")
        return Finished(0, f"\ufeff{self.state}\r\n{self.xml}\r\n".encode())

    def do(self, plan: Plan) -> None:
        """Take over what a plan says, as schtasks.exe would."""
        for step in plan.steps:
            match step:
                case WriteFile(content=content):
                    written = content.decode("utf-16")
                case Run(argv=(_, "/Create", *_)):
                    self.xml = written
                case Run(argv=(_, "/Run", *_)):
                    self.state = 4
                case Run(argv=(_, "/End", *_)):
                    self.state = 3
                case Run(argv=(_, "/Delete", *_)):
                    self.xml = ""


@pytest.fixture
def windows() -> Machine:
    environ = {"SystemRoot": r"C:\project", "LOCALAPPDATA": r"C:\Users\J & D\AppData\Local", "USERDOMAIN": "DESK"}
    home = Path(r"C:\Users\J & D")
    return dataclasses.replace(Machine.redirected(Path("/"), home, environ), platform="win32")


@pytest.fixture
def desired(desired: DesiredState) -> DesiredState:
    return dataclasses.replace(
        desired,
        user=User("jd", -1, -1, PureWindowsPath(r"C:\Users\J & D")),
        command=(r"C:\Users\J & D\tools\python.exe", "-m", "devtls"),
        environment={"PATH": "x"},
    )


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def change(windows: Machine, scheduler: Scheduler) -> LogonTask:
    return LogonTask(windows, scheduler)


def status_of(change: LogonTask, desired: DesiredState) -> Status:
    return change.state(change.probe(), desired).status


def test_the_plans_are_the_ones_of_the_manual(
    change: LogonTask, windows: Machine, scheduler: Scheduler, desired: DesiredState
) -> None:
    config = Path(r"C:\my project\devtls.toml")
    named = LogonTask(windows, scheduler, config=config)
    plans = {"install": named.apply_plan(named.probe(), desired)}
    scheduler.do(plans["install"])
    other = dataclasses.replace(desired, command=(r"C:\new\python.exe", "-P", "-m", "devtls"))
    plans["after an upgrade"] = change.apply_plan(change.probe(), other)
    plans["uninstall"] = change.revert_plan(change.probe(), {})
    check_section("Windows", plans, {})


def test_it_comes_and_goes(change: LogonTask, scheduler: Scheduler, desired: DesiredState) -> None:
    assert status_of(change, desired) is Status.ABSENT
    scheduler.do(change.apply_plan(change.probe(), desired))
    assert status_of(change, desired) is Status.APPLIED
    assert not change.apply_plan(change.probe(), desired)
    account = change.account(change.probe())
    assert (account.installed, account.enabled, account.running) == (True, True, True)
    assert account.argv[0] == r"C:\Users\J & D\tools\pythonw.exe"
    scheduler.state = 3
    assert status_of(change, desired) is Status.OUTDATED
    plan = change.apply_plan(change.probe(), desired)
    assert [step.argv[1] for step in plan.steps if isinstance(step, Run)] == ["/Run"]
    scheduler.do(plan)
    scheduler.do(change.revert_plan(change.probe(), {}))
    assert status_of(change, desired) is Status.ABSENT
    assert not change.revert_plan(change.probe(), {})


def test_the_xml_says_what_the_defaults_would_not(change: LogonTask, desired: DesiredState) -> None:
    (file,) = [step for step in change.apply_plan(change.probe(), desired).steps if isinstance(step, WriteFile)]
    assert file.content[:2] == b"\xff\xfe"
    task = ElementTree.fromstring(file.content)

    def text(path: str) -> str | None:
        return task.findtext("/".join(NAMESPACE + part for part in path.split("/")))

    assert text("Settings/ExecutionTimeLimit") == "PT0S"
    assert text("Settings/DisallowStartIfOnBatteries") == text("Settings/StopIfGoingOnBatteries") == "false"
    assert text("Principals/Principal/LogonType") == "InteractiveToken"
    assert text("Principals/Principal/RunLevel") == "LeastPrivilege"
    assert text("Triggers/LogonTrigger/UserId") == text("Principals/Principal/UserId") == r"DESK\jd"
    assert text("Actions/Exec/Command") == r"C:\Users\J & D\tools\pythonw.exe"
    assert text("Actions/Exec/WorkingDirectory") == r"C:\Users\J & D"


def test_a_file_that_was_asked_for_is_kept(
    change: LogonTask, windows: Machine, scheduler: Scheduler, desired: DesiredState
) -> None:
    named = LogonTask(windows, scheduler, config=Path(r"C:\my project\devtls.toml"))
    scheduler.do(named.apply_plan(named.probe(), desired))
    assert status_of(change, desired) is Status.APPLIED
    assert change.account(change.probe()).config == r"C:\my project\devtls.toml"


def test_a_task_of_somebody_else_is_left_alone(change: LogonTask, scheduler: Scheduler, desired: DesiredState) -> None:
    scheduler.xml = "<Task><Actions><Exec><Command>x.exe</Command></Exec></Actions></Task>"
    assert status_of(change, desired) is Status.MANUAL
    assert not change.apply_plan(change.probe(), desired)
    assert not change.revert_plan(change.probe(), {})
    assert not change.account(change.probe()).installed


def test_variables_that_a_task_cannot_carry_are_reported(change: LogonTask, desired: DesiredState) -> None:
    assert change.explain(change.probe(), desired) == ""
    moved = dataclasses.replace(desired, environment={"DEVTLS_STATE_DIR": r"D:\my state"})
    assert change.explain(change.probe(), moved).endswith(r'setx DEVTLS_STATE_DIR "D:\my state"')


def test_failures_are_put_into_words(change: LogonTask) -> None:
    for trouble, status in ((StepFailure.NO_TOOL, Status.NO_TOOL), (StepFailure.FAILED, Status.FAILED)):
        state = change.read_failure(change.probe(), Outcome(Run(("x",)), trouble, "ERROR: Access is denied."))
        assert (state.status, state.detail, bool(state.remedy)) == (status, "ERROR: Access is denied.", True)


@given(st.lists(st.text(st.sampled_from('ab \t"\\')), max_size=5))
def test_a_command_line_is_read_as_windows_does(words: list[str]) -> None:
    assert list(split_arguments(subprocess.list2cmdline(words))) == words


def test_discovery_offers_it_on_windows(windows: Machine, scheduler: Scheduler) -> None:
    assert [each.name for each in find_changes(windows, scheduler)] == ["service:task"]
