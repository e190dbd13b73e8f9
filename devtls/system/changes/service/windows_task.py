"""devtls as a scheduled task of the user: started at logon, without a window, and without administrator rights.

Owns the task's XML and schtasks.exe's argv. The task runs as the user who is logged on (InteractiveToken, least
privilege): the system's account would not have the user's roots, nor should it run files that the user can change. What
Windows sets by itself is set otherwise: the end after 72 hours, and the refusal to run on batteries. pythonw.exe has no
console, so serve writes a log of its own, in the state directory. A task carries no variables: those that move devtls'
directories must be the user's own (setx). Written from the manuals; its plans are tested, no Windows has run them yet.
"""

from __future__ import annotations

import html
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from xml.sax.saxutils import escape

from devtls.system.changes.change import ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.changes.service.account import (
    READ_LOG,
    Account,
    Service,
    ServiceLogFile,
    config_of,
    directory_variables,
    service_argv,
)
from devtls.system.machine.execute import Finished, Outcome, Runner, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import MakeDirectory, Plan, RemoveFile, Run, Step, WriteFile
from devtls.system.machine.run_as import system_directory

TASK = "devtls"
_ASK_S = 10.0
_CHANGE_S = 30.0
_RUNNING = "4"  # TASK_STATE_RUNNING
_DISABLED = "1"
_MARK = "Written by devtls service install; devtls service uninstall removes it."
_SETTINGS = {
    # A second one could not have the ports.
    "MultipleInstancesPolicy": "IgnoreNew",
    # Task Scheduler's own default is true for both: a laptop would lose its proxy when unplugged.
    "DisallowStartIfOnBatteries": "false",
    "StopIfGoingOnBatteries": "false",
    "StartWhenAvailable": "true",
    # No limit; the default ends a task after 72 hours.
    "ExecutionTimeLimit": "PT0S",
    "Priority": "5",  # what windows get; a task's own default is below normal
}


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The task as Windows tells of it: its XML ("" = there is none) and its state."""

    xml: str = ""
    state: str = ""

    @property
    def ours(self) -> bool:
        """Whether devtls made it."""
        return self._text("Description") == _MARK

    @property
    def argv(self) -> tuple[str, ...]:
        """The command of the task."""
        command = self._text("Command")
        return (command, *split_arguments(self._text("Arguments"))) if self.ours and command else ()

    def _text(self, element: str) -> str:
        found = re.search(f"<{element}>(.*?)</{element}>", self.xml, re.DOTALL)
        return html.unescape(found[1]).strip() if found else ""


class LogonTask(Service[TaskFacts]):
    """The change `service:task`; `config` is the file that the service shall read."""

    name = "service:task"
    part = Part.SERVICE
    label = "Scheduled task of yours"
    purpose = "Starts devtls serve when you log on, as you, without a window and without administrator rights."

    def __init__(self, machine: Machine, runner: Runner, *, config: Path | None = None) -> None:
        self._machine = machine
        self._runner = runner
        self._config = config

    @property
    def _system(self) -> PureWindowsPath:
        return system_directory()

    @property
    def _directory(self) -> PureWindowsPath:
        local = self._machine.environ.get("LOCALAPPDATA") or PureWindowsPath(self._machine.home) / "AppData" / "Local"
        return PureWindowsPath(local) / "devtls"

    def probe(self) -> TaskFacts:
        """Ask PowerShell, which tells states as numbers and text as UTF-8; schtasks.exe does neither."""
        script = (
            "$ErrorActionPreference='Stop'; [Console]::OutputEncoding=[Text.UTF8Encoding]::new($false); "
            rf"[int](Get-ScheduledTask -TaskName '{TASK}' -TaskPath '\').State; "
            rf"Export-ScheduledTask -TaskName '{TASK}' -TaskPath '\'"
        )
        powershell = self._system / "WindowsPowerShell" / "v1.0" / "powershell.exe"
        argv = (str(powershell), "-NoProfile", "-NonInteractive", "-Command", script)
        ended = self._runner.run(Run(argv, timeout_s=_ASK_S))
        if not isinstance(ended, Finished) or ended.code != 0:
            return TaskFacts()
        state, _, xml = ended.stdout.decode("utf-8", "replace").lstrip("\ufeff").partition("\n")
        return TaskFacts(xml, state.strip())

    def state(self, facts: TaskFacts, desired: DesiredState) -> ChangeState:
        """Say whether the task is there as desired, and runs."""
        if not facts.xml:
            return ChangeState(Status.ABSENT)
        if not facts.ours:
            remedy = "Rename that task in the Task Scheduler, then devtls service install."
            return ChangeState(Status.MANUAL, f"a task {TASK!r} is there that devtls did not make", remedy)
        if facts.argv != self._argv(facts, desired):
            return ChangeState(Status.OUTDATED, "the task was made for another devtls")
        if facts.state != _RUNNING:
            return ChangeState(Status.OUTDATED, "the task is there, but it does not run", READ_LOG)
        return ChangeState(Status.APPLIED)

    def _argv(self, facts: TaskFacts, desired: DesiredState) -> tuple[str, ...]:
        config = str(self._config) if self._config else config_of(facts.argv)
        python, *rest = service_argv(desired, config, "--log-file", str(self._directory / "serve.log"))
        interpreter = PureWindowsPath(python)
        if interpreter.name.lower() == "python.exe":
            # python.exe opens a console window, which stays as long as it runs.
            interpreter = interpreter.with_name("pythonw.exe")
        return (str(interpreter), *rest)

    def apply_plan(self, facts: TaskFacts, desired: DesiredState) -> Plan:
        """Return: hand the XML to schtasks.exe, start the task."""
        if self.state(facts, desired).status not in (Status.ABSENT, Status.OUTDATED):
            return Plan()
        argv, file = self._argv(facts, desired), self._directory / "service-task.xml"
        steps: list[Step] = [self._schtasks("/End")] if facts.state == _RUNNING else []
        if facts.argv != argv:
            steps += [
                MakeDirectory(self._directory),
                # schtasks.exe wants the encoding that the XML declares: UTF-16 with a byte order mark.
                WriteFile(file, self._xml(argv, desired).encode("utf-16")),
                self._schtasks("/Create", "/XML", str(file), "/F"),
                RemoveFile(file),
            ]
        return Plan((*steps, self._schtasks("/Run")))

    def _xml(self, argv: tuple[str, ...], desired: DesiredState) -> str:
        environ = self._machine.environ
        user = escape(
            f"{environ['USERDOMAIN']}\\{desired.user.name}" if environ.get("USERDOMAIN") else desired.user.name
        )
        settings = "".join(f"<{name}>{value}</{name}>" for name, value in _SETTINGS.items())
        command, *arguments = argv
        return (
            '<?xml version="1.0" encoding="UTF-16"?>\n'
            '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">\n'
            f"<RegistrationInfo><Description>{_MARK}</Description></RegistrationInfo>\n"
            f"<Triggers><LogonTrigger><UserId>{user}</UserId></LogonTrigger></Triggers>\n"
            f'<Principals><Principal id="Author"><UserId>{user}</UserId><LogonType>InteractiveToken</LogonType>'
            "<RunLevel>LeastPrivilege</RunLevel></Principal></Principals>\n"
            f"<Settings>{settings}"
            "<RestartOnFailure><Interval>PT1M</Interval><Count>3</Count></RestartOnFailure></Settings>\n"
            f'<Actions Context="Author"><Exec><Command>{escape(command)}</Command>'
            f"<Arguments>{escape(subprocess.list2cmdline(arguments))}</Arguments>"
            f"<WorkingDirectory>{escape(str(desired.user.home))}</WorkingDirectory></Exec></Actions>\n"
            "</Task>\n"
        )

    def _schtasks(self, verb: str, *arguments: str) -> Run:
        return Run((str(self._system / "schtasks.exe"), verb, "/TN", TASK, *arguments), timeout_s=_CHANGE_S)

    def previous_state(self, facts: TaskFacts, desired: DesiredState) -> PreviousState:
        """Return nothing: what is ours says so itself."""
        return {}

    def revert_plan(self, facts: TaskFacts, previous_state: PreviousState) -> Plan:
        """Return: end the task and delete it."""
        if not facts.ours:
            return Plan()
        end = (self._schtasks("/End"),) if facts.state == _RUNNING else ()
        return Plan((*end, self._schtasks("/Delete", "/F")))

    def read_failure(self, facts: TaskFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        if outcome.trouble is StepFailure.NO_TOOL:
            return ChangeState(Status.NO_TOOL, outcome.detail, "Run devtls service install on Windows itself.")
        return ChangeState(Status.FAILED, outcome.detail, "Run the commands above yourself.")

    def explain(self, facts: TaskFacts, desired: DesiredState) -> str:
        """Return a note about the variables that move devtls' directories, which a task cannot hold."""
        moved = {
            name: value for name, value in directory_variables(desired.environment).items() if name.startswith("DEVTLS")
        }
        lines = "; ".join(subprocess.list2cmdline(["setx", name, value]) for name, value in moved.items())
        return lines and f"A task has the user's own variables only, so the service needs: {lines}"

    def account(self, facts: TaskFacts) -> Account:
        """Return the account of the task; Windows does not tell the process."""
        return Account(
            installed=facts.ours,
            place=f"Task Scheduler, {TASK}",
            argv=facts.argv,
            enabled=facts.ours and facts.state != _DISABLED,
            running=facts.ours and facts.state == _RUNNING,
            stop=("schtasks", "/End", "/TN", TASK),
        )

    def log(self, facts: TaskFacts) -> ServiceLogFile:
        """Return the file that serve writes."""
        return ServiceLogFile(Path(self._directory / "serve.log"))


def split_arguments(line: str) -> Iterator[str]:
    """Yield the words of a command line as Windows' programs read it (CommandLineToArgvW)."""
    position, size = 0, len(line)
    while position < size:
        if line[position] in " \t":
            position += 1
            continue
        word, quoted = "", False
        while position < size and (quoted or line[position] not in " \t"):
            backslashes = len(line) - position - len(line[position:].lstrip("\\"))
            position += backslashes
            if position < size and line[position] == '"':
                # 2n backslashes before a quote are n and the quote is syntax; 2n+1 are n and the quote is text.
                word += "\\" * (backslashes // 2)
                if backslashes % 2:
                    word += '"'
                else:
                    quoted = not quoted
                position += 1
            elif backslashes:
                word += "\\" * backslashes
            else:
                word += line[position]
                position += 1
        yield word
