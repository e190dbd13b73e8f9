"""devtls as a service of the user's own systemd manager: no administrator, started at login.

Owns `devtls.service` in the user's directory of units. Refuses a unit of that name that devtls did not write, and does
not turn lingering on (a service before login and after logout), which is the user's to decide. The unit holds the
interpreter's full path: an upgrade that moves it makes the unit outdated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from devtls.system.changes.change import ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.changes.service.account import (
    READ_LOG,
    Account,
    Filed,
    Service,
    ServiceLogCommand,
    config_of,
    directory_variables,
    read_filed,
    service_argv,
)
from devtls.system.changes.service.systemd import (
    MARK,
    PAC_SOCKET,
    START_S,
    UNIT,
    argv_of,
    ask_systemctl,
    has_ipv6,
    refusal,
    runs,
    service_unit,
    socket_unit,
    trouble_in,
)
from devtls.system.machine.execute import Outcome, Runner, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import MakeDirectory, Plan, RemoveFile, Run, Step, WriteFile

SYSTEM_SOCKET = "etc/systemd/system/devtls.socket"
_LOGS = f"journalctl --user -u {UNIT} -n 20"


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """The unit's file, and what the user's manager says of it: `shown`, or `silent`, why it says nothing.

    `link` is what has it started at login; `by_socket` = the system's devtls.socket is installed. `pac` is the socket
    unit beside it, `ipv6` = ::1 is there.
    """

    filed: Filed
    link: Path
    pac: Filed
    systemctl: Path | None = None
    shown: dict[str, str] = field(default_factory=dict)
    silent: str = ""
    linked: bool = False
    by_socket: bool = False
    ipv6: bool = True

    @property
    def argv(self) -> tuple[str, ...]:
        """The command of the unit."""
        return () if self.filed.foreign else argv_of(self.filed.content)

    @property
    def enabled(self) -> bool:
        """Whether it is started at login."""
        return self.linked or self.shown.get("UnitFileState") == "enabled"


class UserUnit(Service[UnitFacts]):
    """The change `service:systemd`; `config` is the file that the service shall read."""

    name = "service:systemd"
    part = Part.SERVICE
    label = "systemd service of yours"
    purpose = (
        "Starts devtls serve when you log in, as you, and again when it crashes; "
        "it ends when you log out, unless you allow lingering (loginctl enable-linger)."
    )

    def __init__(self, machine: Machine, runner: Runner, *, config: Path | None = None) -> None:
        self._machine = machine
        self._runner = runner
        self._config = config

    def probe(self) -> UnitFacts:
        """Read the file and ask the user's manager."""
        machine, directory = self._machine, self._machine.config_home / "systemd" / "user"
        filed, link = read_filed(directory / UNIT, MARK), directory / "default.target.wants" / UNIT
        systemctl = machine.system_tool("systemctl")
        by_socket, pac = (machine.root / SYSTEM_SOCKET).is_file(), read_filed(directory / PAC_SOCKET, MARK)
        if systemctl is None:
            return UnitFacts(filed, link, pac, linked=link.is_symlink(), by_socket=by_socket)
        told = ask_systemctl(self._runner, systemctl, ("--user",), UNIT)
        return UnitFacts(
            filed,
            link,
            pac,
            systemctl,
            shown=told if isinstance(told, dict) else {},
            silent="" if isinstance(told, dict) else told,
            linked=link.is_symlink(),
            by_socket=by_socket,
            ipv6=has_ipv6(machine.root),
        )

    def state(self, facts: UnitFacts, desired: DesiredState) -> ChangeState:
        """Say whether the unit is there as desired, enabled and running."""
        blocked = self._blocked(facts) or refusal(desired, self._config_of(facts))
        if blocked is not None:
            return blocked
        if facts.filed.content is None:
            return ChangeState(Status.ABSENT)
        if (facts.filed.content, facts.pac.content) != (self._unit(facts, desired), self._socket(facts, desired)):
            return ChangeState(Status.OUTDATED, "the unit was written for another devtls, or for other directories")
        if not (facts.enabled and runs(facts.shown)):
            why = trouble_in(facts.shown) or ("it does not run" if facts.enabled else "it is not enabled")
            return ChangeState(Status.OUTDATED, f"the unit is there, but {why}", READ_LOG)
        return ChangeState(Status.APPLIED)

    def _blocked(self, facts: UnitFacts) -> ChangeState | None:
        foreign = facts.filed if facts.filed.foreign else facts.pac
        path = self._machine.tilde(foreign.path)
        if foreign.foreign:
            return ChangeState(
                Status.MANUAL, f"{path} was not written by devtls", "Move that file away, then devtls service install."
            )
        if facts.systemctl is None:
            return ChangeState(
                Status.NO_TOOL,
                "this system has no systemd",
                "Let your own init system run devtls serve, as your user.",
            )
        if facts.silent:
            return ChangeState(
                Status.MANUAL,
                f"no systemd manager of yours runs here ({facts.silent.rstrip('.')})",
                "Log in as this user (not by su or sudo; containers have none), then devtls service install.",
            )
        # Two of them would fight for the ports and the control socket.
        if facts.by_socket:
            return ChangeState(Status.SKIPPED, "the system's devtls.socket starts devtls already")
        return None

    def _config_of(self, facts: UnitFacts) -> str:
        return str(self._config) if self._config else config_of(facts.argv)

    def _unit(self, facts: UnitFacts, desired: DesiredState) -> bytes:
        return service_unit(
            service_argv(desired, self._config_of(facts)),
            directory_variables(desired.environment),
            # Wants=, not Requires=: a serve that runs may have that port, and https works without it.
            unit=[f"Wants={PAC_SOCKET}", f"After={PAC_SOCKET}"] if desired.pac_port is not None else [],
            # Without it the socket is handed over only to a start that a connection to it has caused.
            service=[f"Sockets={PAC_SOCKET}"] if desired.pac_port is not None else [],
            install=["WantedBy=default.target"],
        )

    def _socket(self, facts: UnitFacts, desired: DesiredState) -> bytes | None:
        return None if desired.pac_port is None else socket_unit(desired.pac_port, "pac", ipv6=facts.ipv6)

    def apply_plan(self, facts: UnitFacts, desired: DesiredState) -> Plan:
        """Return: write the unit, have it read, enable and start it."""
        status = self.state(facts, desired).status
        if facts.systemctl is None or status not in (Status.ABSENT, Status.OUTDATED):
            return Plan()
        steps: list[Step] = []
        unit, path = self._unit(facts, desired), facts.filed.path
        socket, before = self._socket(facts, desired), facts.pac
        if facts.filed.content != unit or before.content != socket:
            steps = [MakeDirectory(path.parent), WriteFile(path, unit)]
        if before.content is not None and before.content != socket:
            # A socket unit that listens cannot be changed by a reload: it must be stopped first.
            steps += [self._systemctl(facts.systemctl, "disable", "--now", PAC_SOCKET), RemoveFile(before.path)]
        if socket is not None and before.content != socket:
            steps.append(WriteFile(before.path, socket))
        steps.append(self._systemctl(facts.systemctl, "daemon-reload"))
        if facts.filed.content is None:
            steps += self._enable_socket(facts.systemctl, desired)
            steps.append(self._systemctl(facts.systemctl, "enable", "--now", UNIT))
        else:  # what runs, runs the old one
            steps += self._enable_socket(facts.systemctl, desired)
            steps += [self._systemctl(facts.systemctl, verb, UNIT) for verb in ("enable", "restart")]
        return Plan(tuple(steps))

    def _enable_socket(self, systemctl: Path, desired: DesiredState) -> list[Step]:
        # Not --now: a serve that runs may have the port, which would be a failure; the service takes it along.
        return [] if desired.pac_port is None else [self._systemctl(systemctl, "enable", PAC_SOCKET)]

    def previous_state(self, facts: UnitFacts, desired: DesiredState) -> PreviousState:
        """Return nothing: what is ours says so itself."""
        return {}

    def revert_plan(self, facts: UnitFacts, previous_state: PreviousState) -> Plan:
        """Return: stop and disable it, remove the file; without a manager its link is removed manually."""
        if facts.filed.foreign or facts.filed.content is None:
            return Plan()
        ours = [
            facts.filed.path,
            *([facts.pac.path] if facts.pac.content is not None and not facts.pac.foreign else []),
        ]
        remove = tuple(RemoveFile(path) for path in ours)
        if facts.systemctl is None or facts.silent:
            # No manager runs, as over su or in a container: what `disable` does is one link for each.
            links = [facts.link] if facts.linked else []
            links += [path.parent / "sockets.target.wants" / path.name for path in ours[1:]]
            return Plan((*(RemoveFile(link) for link in links), *remove))
        # The socket first: a connection would start the service again right after its stop.
        units = [path.name for path in reversed(ours)]
        return Plan(
            (
                self._systemctl(facts.systemctl, "disable", "--now", *units),
                *remove,
                self._systemctl(facts.systemctl, "daemon-reload"),
            )
        )

    def _systemctl(self, tool: Path, *arguments: str) -> Run:
        return Run((str(tool), "--user", *arguments), timeout_s=START_S)

    def read_failure(self, facts: UnitFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        match outcome.trouble:
            case StepFailure.READ_ONLY:
                return ChangeState(Status.READ_ONLY, outcome.detail, "Make the directory writable, then try again.")
            case StepFailure.NO_TOOL:
                return ChangeState(Status.NO_TOOL, outcome.detail, "Run the commands above yourself.")
            case _ if isinstance(outcome.failed, Run) and UNIT in outcome.failed.argv:
                return ChangeState(Status.FAILED, f"it did not start: {outcome.detail}", _LOGS)
            case _:
                return ChangeState(Status.FAILED, outcome.detail, "Run the commands above yourself.")

    def explain(self, facts: UnitFacts, desired: DesiredState) -> str:
        """Return the manual way where there is no plan."""
        state = self.state(facts, desired)
        return state.remedy

    def account(self, facts: UnitFacts) -> Account:
        """Return the account of the unit."""
        return Account(
            installed=facts.filed.content is not None and not facts.filed.foreign,
            place=self._machine.tilde(facts.filed.path),
            argv=facts.argv,
            enabled=facts.enabled,
            running=runs(facts.shown),
            pid=int(facts.shown.get("MainPID", "0")),
            trouble=trouble_in(facts.shown) or (facts.silent and "no systemd manager of yours runs here"),
            # With its socket, or the next browser that asks for the PAC file starts it again.
            stop=("systemctl", "--user", "stop", "devtls", *([PAC_SOCKET] if facts.pac.content is not None else [])),
        )

    def log(self, facts: UnitFacts) -> ServiceLogCommand:
        """Return journalctl's command."""
        argv = (str(self._machine.system_tool("journalctl") or "journalctl"), "--user", "--unit", UNIT)
        return ServiceLogCommand((*argv, "--no-pager", "--lines"), (*argv, "--follow", "--lines"))
