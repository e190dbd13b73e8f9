"""devtls as a launchd agent of the user: started at login, with ports 443 and 80 that launchd opened for it.

Owns the property list in ~/Library/LaunchAgents. The Sockets dictionary is what lets a normal user have 127.0.0.1:443:
launchd opens it, and the process asks for it by the names `https`, `http` and `pac` (launch_activate_socket(3)). Each
name stands for an array, one dictionary for each address, as launchd.plist(5) allows. The environment of an agent is
nearly empty, so PATH is written out; not the shell's own, which is another one in each shell. Written from the manuals;
its plans are tested, no Mac has run them yet.
"""

from __future__ import annotations

import os
import plistlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from devtls.system.changes.change import ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.changes.service.account import (
    READ_LOG,
    Account,
    Filed,
    Service,
    ServiceLogFile,
    config_of,
    directory_variables,
    read_filed,
    refusal_of_paths,
    service_argv,
)
from devtls.system.machine.execute import Finished, Outcome, Runner, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import MakeDirectory, Plan, RemoveFile, Run, Step, WriteFile

LABEL = "devtls.serve"
LOG_NAME = "serve.log"
LOG_NAMES = (LOG_NAME, f"{LOG_NAME}.1", "launchd.log")
_LAUNCHCTL = "/bin/launchctl"
# An agent's own PATH is nearly empty; the shell's differs from shell to shell and would outdate the file.
_PATH = "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_ASK_S = 5.0
_CHANGE_S = 30.0
_MARK = f"<string>{LABEL}</string>".encode()
_PID = re.compile(rb"^\s*pid = (\d+)$", re.MULTILINE)
_CODE = re.compile(rb"^\s*last exit code = ([1-9]\d*)", re.MULTILINE)
_ADDRESSES = (("127.0.0.1", "IPv4"), ("::1", "IPv6"))


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The property list, and what launchd says: `desktop` = it has a session of this user, `told` = of the agent.

    `logs` are the files of ours in `log_directory`; `log_directory_is_ours` = there is nothing else in it.
    """

    filed: Filed
    log_directory: Path
    desktop: bool = True
    told: bytes | None = None
    logs: tuple[Path, ...] = ()
    log_directory_is_ours: bool = False

    @property
    def argv(self) -> tuple[str, ...]:
        """The command of the agent."""
        if self.filed.foreign or self.filed.content is None:
            return ()
        try:
            return tuple(str(word) for word in plistlib.loads(self.filed.content)["ProgramArguments"])
        # plistlib passes on expat's error for XML that is broken, and its own for everything else.
        except (plistlib.InvalidFileException, ExpatError, ValueError, KeyError, TypeError):
            return ()

    @property
    def pid(self) -> int:
        """The running process, 0 = none."""
        found = _PID.search(self.told or b"")
        return int(found[1]) if found else 0

    @property
    def trouble(self) -> str:
        """Half a sentence on why it does not run, "" when it runs or launchd does not say."""
        code = _CODE.search(self.told or b"")
        return f"it ended with exit code {int(code[1])}" if code and not self.pid else ""


class LaunchAgent(Service[AgentFacts]):
    """The change `service:launchd`; `config` is the file that the service shall read."""

    name = "service:launchd"
    part = Part.SERVICE
    label = "launchd agent of yours"
    purpose = (
        "Starts devtls serve when you log in, as you, and again when it crashes; "
        "launchd opens ports 443 and 80 and that of the PAC file for it, on this Mac's own addresses only."
    )

    def __init__(self, machine: Machine, runner: Runner, *, config: Path | None = None, uid: int | None = None) -> None:
        self._machine = machine
        self._runner = runner
        self._config = config
        own = getattr(os, "getuid", lambda: -1)() if uid is None else uid
        # gui/: the domain of a desktop session, the one with login items and the login keychain.
        self._domain = f"gui/{own}"

    def probe(self) -> AgentFacts:
        """Read the property list and the directory of logs, and ask launchd."""
        library = self._machine.home / "Library"
        logs = library / "Logs" / "devtls"
        names = {each.name for each in logs.iterdir()} if logs.is_dir() else set()
        return AgentFacts(
            read_filed(library / "LaunchAgents" / f"{LABEL}.plist", _MARK),
            logs,
            desktop=self._ask(self._domain) is not None,
            told=self._ask(f"{self._domain}/{LABEL}"),
            logs=tuple(logs / name for name in LOG_NAMES if name in names),
            log_directory_is_ours=logs.is_dir() and names <= set(LOG_NAMES),
        )

    def _ask(self, target: str) -> bytes | None:
        ended = self._runner.run(Run((_LAUNCHCTL, "print", target), timeout_s=_ASK_S))
        return ended.stdout if isinstance(ended, Finished) and ended.code == 0 else None

    def state(self, facts: AgentFacts, desired: DesiredState) -> ChangeState:
        """Say whether the agent is there as desired, and loaded."""
        path = self._machine.tilde(facts.filed.path)
        if facts.filed.foreign:
            return ChangeState(
                Status.MANUAL, f"{path} was not written by devtls", "Move that file away, then devtls service install."
            )
        if not facts.desktop:
            return ChangeState(
                Status.MANUAL,
                "you are not logged in on this Mac's own screen, and launchd starts agents there only",
                "Log in there, then devtls service install.",
            )
        if (unwritable := refusal_of_paths(desired, self._config_of(facts), str(self._machine.home))) is not None:
            return unwritable
        if facts.filed.content is None:
            return ChangeState(Status.ABSENT)
        if facts.filed.content != self._property_list(facts, desired):
            return ChangeState(Status.OUTDATED, "the agent was written for another devtls, other directories or ports")
        if facts.told is None:
            return ChangeState(Status.OUTDATED, "the file is there, but launchd has not loaded it")
        if facts.pid == 0:
            why = facts.trouble or "it does not run"
            return ChangeState(Status.OUTDATED, f"launchd has loaded it, but {why}", READ_LOG)
        return ChangeState(Status.APPLIED)

    def _config_of(self, facts: AgentFacts) -> str:
        return str(self._config) if self._config else config_of(facts.argv)

    def _property_list(self, facts: AgentFacts, desired: DesiredState) -> bytes:
        config = self._config_of(facts)
        ports = {"https": desired.https_port, "http": desired.http_port, "pac": desired.pac_port}
        values: dict[str, Any] = {
            "Label": LABEL,
            "ProgramArguments": list(service_argv(desired, config, "--log-file", str(facts.log_directory / LOG_NAME))),
            "WorkingDirectory": str(self._machine.home),
            "EnvironmentVariables": {**directory_variables(desired.environment), "PATH": _PATH},
            "RunAtLoad": True,
            # Again after a crash, not after an end that somebody asked for (launchd.plist(5)).
            "KeepAlive": {"SuccessfulExit": False},
            # Without it launchd throttles CPU and I/O of the process (launchd.plist(5)).
            "ProcessType": "Interactive",
            "Umask": 0o077,
            "Sockets": {name: _listeners(port) for name, port in ports.items() if port is not None},
            # Only what Python says before serve has its own log, or without it.
            "StandardOutPath": str(facts.log_directory / "launchd.log"),
            "StandardErrorPath": str(facts.log_directory / "launchd.log"),
        }
        return plistlib.dumps(values, sort_keys=False)

    def apply_plan(self, facts: AgentFacts, desired: DesiredState) -> Plan:
        """Return: write the property list, and have launchd load it, which starts it."""
        if self.state(facts, desired).status not in (Status.ABSENT, Status.OUTDATED):
            return Plan()
        content, path = self._property_list(facts, desired), facts.filed.path
        # launchd keeps the old list until it is booted out; a second bootstrap of a label fails.
        steps: list[Step] = [] if facts.told is None else [self._launchctl("bootout", f"{self._domain}/{LABEL}")]
        if facts.filed.content != content:
            steps += [MakeDirectory(path.parent), WriteFile(path, content)]
        steps.append(MakeDirectory(facts.log_directory, 0o700))
        steps.append(self._launchctl("bootstrap", self._domain, str(path)))
        return Plan(tuple(steps))

    def previous_state(self, facts: AgentFacts, desired: DesiredState) -> PreviousState:
        """Return nothing: what is ours says so itself."""
        return {}

    def revert_plan(self, facts: AgentFacts, previous_state: PreviousState) -> Plan:
        """Return: unload it, which stops it, and remove its files."""
        if facts.filed.foreign or (facts.filed.content is None and facts.told is None):
            return Plan()
        steps: list[Step] = [] if facts.told is None else [self._launchctl("bootout", f"{self._domain}/{LABEL}")]
        steps += [RemoveFile(path) for path in (facts.filed.path, *facts.logs)]
        if facts.log_directory_is_ours:
            # rmdir, not a tree's removal: what somebody else put there stays.
            steps.append(Run(("/bin/rmdir", str(facts.log_directory))))
        return Plan(tuple(steps))

    def _launchctl(self, *arguments: str) -> Run:
        return Run((_LAUNCHCTL, *arguments), timeout_s=_CHANGE_S)

    def read_failure(self, facts: AgentFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        if outcome.trouble is StepFailure.NO_TOOL:
            return ChangeState(Status.NO_TOOL, outcome.detail, "Run devtls service install on macOS itself.")
        if isinstance(outcome.failed, Run) and "bootstrap" in outcome.failed.argv:
            remedy = "Look in System Settings, Login Items, whether devtls may run in the background; then try again."
            return ChangeState(Status.FAILED, f"launchd did not load it: {outcome.detail}", remedy)
        return ChangeState(Status.FAILED, outcome.detail, "Run the commands above yourself.")

    def explain(self, facts: AgentFacts, desired: DesiredState) -> str:
        """Return the manual way where there is no plan."""
        return self.state(facts, desired).remedy

    def account(self, facts: AgentFacts) -> Account:
        """Return the account of the agent."""
        return Account(
            installed=facts.filed.content is not None and not facts.filed.foreign,
            place=self._machine.tilde(facts.filed.path),
            argv=facts.argv,
            enabled=facts.told is not None,
            running=facts.pid != 0,
            pid=facts.pid,
            trouble=facts.trouble,
            stop=("launchctl", "bootout", f"{self._domain}/{LABEL}"),
        )

    def log(self, facts: AgentFacts) -> ServiceLogFile:
        """Return the file that serve writes."""
        return ServiceLogFile(facts.log_directory / LOG_NAME)


def _listeners(port: int) -> list[dict[str, str]]:
    return [
        {"SockNodeName": address, "SockServiceName": str(port), "SockFamily": family, "SockType": "stream"}
        for address, family in _ADDRESSES
    ]
