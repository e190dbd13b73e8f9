"""Ports 443 and 80 held by the system's systemd, which starts devtls with them when somebody connects.

Owns the system units: a socket for each port (a name stands for a whole unit's descriptors), that of the PAC file
included, and the service they start. Refuses to run anything of the user's as root: the sockets are systemd's, the
service runs the user's own Python as the user, without a capability, with a file system of which only devtls' own
directories can be written. Refuses root as that user. Only `install`, `rm` and `systemctl` are elevated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from devtls.system.changes.change import ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.changes.service.account import (
    Account,
    Filed,
    Service,
    ServiceLogCommand,
    config_of,
    directory_variables,
    read_filed,
    service_argv,
)
from devtls.system.changes.service.quoting import quote
from devtls.system.changes.service.systemd import (
    MARK,
    PAC_SOCKET,
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
from devtls.system.machine.plan import ELEVATED_S, MakeDirectory, Plan, RemoveFile, Run, Step, WriteFile

_DIRECTORY = "etc/systemd/system"
# One unit for each port: FileDescriptorName= holds for all sockets of a unit (systemd.socket(5)).
_HTTPS, _HTTP = "devtls.socket", "devtls-http.socket"
_UNITS = (_HTTPS, _HTTP, PAC_SOCKET, UNIT)

_ANOTHER = "devtls setup ports, without --method, applies the usual one."

# Name spaces: only the system's manager can make them without unprivileged user name spaces.
_FENCES = (
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
)


@dataclass(frozen=True, slots=True)
class SocketFacts:
    """The files in the order of `_UNITS`, and what systemd says of the https socket and of the service.

    `ipv6` = ::1 is there; `by_user` = a service of the user's own manager is installed; `silent` as in UnitFacts.
    """

    filed: tuple[Filed, ...]
    systemctl: Path | None = None
    socket: dict[str, str] = field(default_factory=dict)
    service: dict[str, str] = field(default_factory=dict)
    silent: str = ""
    ipv6: bool = True
    by_user: bool = False

    @property
    def ours(self) -> tuple[Filed, ...]:
        """The files that are there and were written by devtls."""
        return tuple(each for each in self.filed if each.content is not None and not each.foreign)

    @property
    def argv(self) -> tuple[str, ...]:
        """The command of the service."""
        return () if self.filed[-1].foreign else argv_of(self.filed[-1].content)


class SocketUnit(Service[SocketFacts]):
    """The change `ports:socket-unit`, which is applied when it is asked for."""

    name = "ports:socket-unit"
    part = Part.PORTS
    label = "systemd sockets of the system"
    purpose = (
        "systemd itself opens ports 443 and 80 on this machine's own addresses and starts devtls serve for the first "
        "connection; the unit runs your own Python as you, never as root."
    )

    def __init__(self, machine: Machine, runner: Runner, *, config: Path | None = None) -> None:
        self._machine = machine
        self._runner = runner
        self._config = config

    def probe(self) -> SocketFacts:
        """Read the files and ask the system's manager, which tells everybody."""
        machine = self._machine
        filed = tuple(read_filed(machine.root / _DIRECTORY / name, MARK) for name in _UNITS)
        by_user = read_filed(machine.config_home / "systemd/user" / UNIT, MARK).content is not None
        systemctl = machine.elevated_tool("systemctl")
        if systemctl is None or not (machine.root / "run/systemd/system").is_dir():
            silent = machine.refusal_of_system_tool("systemctl") or "systemd does not run this machine"
            return SocketFacts(filed, systemctl, silent=silent, by_user=by_user)
        told = [ask_systemctl(self._runner, systemctl, (), unit) for unit in (_HTTPS, UNIT)]
        https, service = (each if isinstance(each, dict) else {} for each in told)
        return SocketFacts(
            filed,
            systemctl,
            https,
            service,
            silent=next((each for each in told if isinstance(each, str)), ""),
            ipv6=has_ipv6(self._machine.root),
            by_user=by_user,
        )

    def state(self, facts: SocketFacts, desired: DesiredState) -> ChangeState:
        """Say whether the units are there as desired and the ports open."""
        blocked = self._blocked(facts, desired) or refusal(desired, self._config_of(facts))
        if blocked is not None:
            return blocked
        if not facts.ours:
            return ChangeState(Status.ABSENT)
        if {each.path: each.content for each in facts.ours} != self._units(facts, desired):
            return ChangeState(Status.OUTDATED, "the units were written for another devtls, user or port")
        if not runs(facts.socket):
            why = trouble_in(facts.socket) or "systemd does not hold the ports"
            return ChangeState(Status.OUTDATED, f"the units are there, but {why}")
        return ChangeState(Status.APPLIED)

    def _blocked(self, facts: SocketFacts, desired: DesiredState) -> ChangeState | None:
        foreign = [str(each.path) for each in facts.filed if each.foreign]
        if foreign:
            what = f"{' and '.join(foreign)} was not written by devtls"
            return ChangeState(Status.MANUAL, what, "Move that file away, then devtls setup ports.")
        if facts.systemctl is None or facts.silent:
            return ChangeState(Status.NO_TOOL, facts.silent or "this system has no systemd", _ANOTHER)
        if desired.user.uid == 0:
            return ChangeState(Status.SKIPPED, "you are root, who may open every port without it")
        # Both would want the same ports, and the control socket of one user.
        if facts.by_user and not facts.ours:
            return ChangeState(
                Status.MANUAL, "a service of your own starts devtls already", "devtls service uninstall, then this."
            )
        return None

    def _units(self, facts: SocketFacts, desired: DesiredState) -> dict[Path, bytes]:
        """Return the wanted files; the service's first, since a socket must not start what is not there."""
        https, http, pac, service = (each.path for each in facts.filed)
        files = {
            service: self._service(facts, desired),
            https: socket_unit(desired.https_port, "https", ipv6=facts.ipv6),
        }
        if desired.http_port is not None:
            files[http] = socket_unit(desired.http_port, "http", ipv6=facts.ipv6)
        if desired.pac_port is not None:
            files[pac] = socket_unit(desired.pac_port, "pac", ipv6=facts.ipv6)
        return files

    def _config_of(self, facts: SocketFacts) -> str:
        return str(self._config) if self._config else config_of(facts.argv)

    def _service(self, facts: SocketFacts, desired: DesiredState) -> bytes:
        user, runtime = desired.user, f"/run/user/{desired.user.uid}"
        http, pac = desired.http_port is not None, desired.pac_port is not None
        sockets = " ".join((_HTTPS, *((_HTTP,) if http else ()), *((PAC_SOCKET,) if pac else ())))
        # Before the user logs in nobody else makes the directory in which `devtls status` looks for the control socket.
        before = f"user-runtime-dir@{user.uid}.service"
        return service_unit(
            service_argv(desired, self._config_of(facts)),
            directory_variables(desired.environment),
            # Wants=, not Requires=: a serve that runs may have the port of the PAC file, and https works without it.
            unit=[
                f"Requires={_HTTPS}",
                *([f"Wants={PAC_SOCKET}", f"After={PAC_SOCKET}"] if pac else []),
                f"Wants={before}",
                f"After={before}",
            ],
            service=[
                f"User={user.name}",
                f"Sockets={sockets}",
                *_FENCES,
                # The - passes over a directory that is not there yet (systemd.exec(5)).
                f"ReadWritePaths={quote(str(self._state_directory(desired)))} {quote(f'-{runtime}')}",
            ],
        )

    def _state_directory(self, desired: DesiredState) -> Path:
        return Path(desired.environment.get("DEVTLS_STATE_DIR") or self._machine.data_home / "devtls")

    def apply_plan(self, facts: SocketFacts, desired: DesiredState) -> Plan:
        """Return: write the units, have them read, open the ports."""
        status = self.state(facts, desired).status
        if facts.systemctl is None or status not in (Status.ABSENT, Status.OUTDATED):
            return Plan()
        there = {each.path: each.content for each in facts.filed}
        wanted = self._units(facts, desired)
        # systemd sees to it that the directory can be written, not that it is there.
        steps: list[Step] = [MakeDirectory(self._state_directory(desired), 0o700)]
        # A socket unit that listens cannot be changed by a reload: it must be stopped first.
        if there[facts.filed[-1].path] is not None:
            steps.append(self._systemctl(facts.systemctl, "stop", *(each.path.name for each in facts.ours)))
        steps += [
            WriteFile(path, data, elevate=True, replaces=there[path] is not None)
            for path, data in wanted.items()
            if there[path] != data
        ]
        steps += [RemoveFile(each.path, elevate=True) for each in facts.ours if each.path not in wanted]
        # The service has no [Install]: the first connection starts it.
        sockets = [path.name for path in wanted if path.name not in (UNIT, PAC_SOCKET)]
        steps.append(self._systemctl(facts.systemctl, "daemon-reload"))
        steps.append(self._systemctl(facts.systemctl, "enable", "--now", *sockets))
        # Not --now: a serve that runs may have that port, which would be a failure; the service takes it along.
        if desired.pac_port is not None:
            steps.append(self._systemctl(facts.systemctl, "enable", PAC_SOCKET))
        return Plan(tuple(steps))

    def previous_state(self, facts: SocketFacts, desired: DesiredState) -> PreviousState:
        """Return nothing: what is ours says so itself."""
        return {}

    def revert_plan(self, facts: SocketFacts, previous_state: PreviousState) -> Plan:
        """Return: close the ports, stop the service, remove the files."""
        if not facts.ours:
            return Plan()
        remove = tuple(RemoveFile(each.path, elevate=True) for each in facts.ours)
        if facts.systemctl is None or facts.silent:
            # Without systemctl nobody removes the links that `enable` made.
            wants = [each.path.parent / "sockets.target.wants" / each.path.name for each in facts.ours]
            return Plan((*(RemoveFile(link, elevate=True) for link in wants if link.name != UNIT), *remove))
        units = [each.path.name for each in facts.ours]
        sockets = [name for name in units if name != UNIT]
        # Sockets first: a connection would start the service again right after its stop.
        steps: list[Step] = [self._systemctl(facts.systemctl, "disable", "--now", *sockets)] if sockets else []
        if UNIT in units:
            steps.append(self._systemctl(facts.systemctl, "stop", UNIT))
        return Plan((*steps, *remove, self._systemctl(facts.systemctl, "daemon-reload")))

    def _systemctl(self, tool: Path, *arguments: str) -> Run:
        return Run((str(tool), *arguments), elevate=True, timeout_s=ELEVATED_S)

    def read_failure(self, facts: SocketFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        again = "Run the commands above yourself."
        match outcome.trouble:
            case StepFailure.READ_ONLY:
                return ChangeState(Status.READ_ONLY, outcome.detail, _ANOTHER)
            case StepFailure.NO_TOOL | StepFailure.NO_ELEVATION:
                return ChangeState(Status.NO_TOOL, outcome.detail, again)
            case _ if isinstance(outcome.failed, Run) and "--now" in outcome.failed.argv:
                return ChangeState(Status.FAILED, outcome.detail, "systemctl status devtls.socket devtls-http.socket")
            case _:
                return ChangeState(Status.FAILED, outcome.detail, again)

    def explain(self, facts: SocketFacts, desired: DesiredState) -> str:
        """Return the manual way where there is no plan."""
        return self.state(facts, desired).remedy

    def account(self, facts: SocketFacts) -> Account:
        """Return the account of the service."""
        return Account(
            installed=bool(facts.ours),
            place=str(facts.filed[-1].path),
            argv=facts.argv,
            enabled=facts.socket.get("UnitFileState") == "enabled",
            running=runs(facts.service),
            pid=int(facts.service.get("MainPID", "0")),
            trouble=trouble_in(facts.service) or trouble_in(facts.socket) or facts.silent,
            stop=("sudo", "systemctl", "stop", *(each.path.name for each in facts.ours)),
        )

    def log(self, facts: SocketFacts) -> ServiceLogCommand:
        """Return journalctl's command."""
        argv = (str(self._machine.system_tool("journalctl") or "journalctl"), "--unit", UNIT)
        return ServiceLogCommand((*argv, "--no-pager", "--lines"), (*argv, "--follow", "--lines"))
