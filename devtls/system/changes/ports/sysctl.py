"""Linux's border between ports of root and ports of everybody, moved down to where devtls needs it.

Owns one file in /etc/sysctl.d, and the setting that it makes count at once: net.ipv4.ip_unprivileged_port_start, for
IPv4 and IPv6 (ip-sysctl.rst, Linux 4.11). Refuses a file at that place that is not ours, and systems that declare their
settings elsewhere. The kernel's value is the truth; files say what it will be after the next boot. The value from
before stands in our file, so that it can be brought back when the record of it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devtls.system.changes.change import Change, ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.changes.ports.sysctl_files import KEY, OWN_FILE, OwnFile, Setting, read_others, read_own, write_own
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import Machine, is_read_only
from devtls.system.machine.plan import ELEVATED_S, MakeDirectory, Plan, RemoveFile, Run, Step, WriteFile

_KERNEL = "proc/sys/net/ipv4/ip_unprivileged_port_start"
# The kernel's default border (ip-sysctl.rst), and the highest port.
_FIRST_OPEN, _LAST = 1024, 65535
_AGAIN = "devtls setup ports"
_WITHOUT = "devtls serve --https-port 8443 needs none of it"


@dataclass(frozen=True, slots=True)
class SysctlFacts:
    """`lowest` is the lowest port of everybody, None where the kernel does not tell; `own` our file.

    `not_ours` says why the file in our place is not ours ("" = it is, or there is none), `unsafe` why a tool that is
    there must not be elevated.
    """

    lowest: int | None = None
    own: OwnFile | None = None
    not_ours: str = ""
    others: tuple[Setting, ...] = ()
    tool: Path | None = None
    directory: Path = Path()
    has_directory: bool = True
    read_only: bool = False
    declared: bool = False
    unsafe: str = ""

    @property
    def path(self) -> Path:
        """The path of our file."""
        return self.directory / Path(OWN_FILE).name

    @property
    def overruled_by(self) -> Setting | None:
        """The file of others that has the last word at boot, if one is read after ours."""
        return next((each for each in reversed(self.others) if each.after_ours), None)

    def at_boot(self) -> tuple[int, Path] | None:
        """Return the value after the next boot and the file that sets it; None = the kernel's own value."""
        if (last := self.overruled_by) is not None:
            return last.value, last.path
        if self.own is not None:
            return self.own.value, self.path
        return (self.others[-1].value, self.others[-1].path) if self.others else None


class SysctlChange(Change[SysctlFacts, DesiredState]):
    """The Change that lets every user have the ports from the lowest of ours up."""

    name = "ports:sysctl"
    part = Part.PORTS
    label = "Ports below 1024 (sysctl)"
    purpose = (
        "Linux keeps ports below 1024 for root. This gives those from devtls's lowest (80 as a rule) up to everybody: "
        "any local user may then listen there, which is fine on your own machine and worth a thought on a shared one."
    )

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def probe(self) -> SysctlFacts:
        """Read the kernel's value and the files."""
        root = self._machine.root
        own, directory = read_own(root), (root / OWN_FILE).parent
        return SysctlFacts(
            lowest=lowest_open(root),
            own=own if isinstance(own, OwnFile) else None,
            not_ours=own if isinstance(own, str) else "",
            others=read_others(root),
            tool=self._machine.elevated_tool("sysctl"),
            unsafe=self._machine.refusal_of_system_tool("sysctl"),
            directory=directory,
            has_directory=directory.is_dir(),
            read_only=is_read_only(root / _KERNEL),
            declared=(root / "etc/NIXOS").exists(),
        )

    def state(self, facts: SysctlFacts, desired: DesiredState) -> ChangeState:
        """Say whether the kernel lets this user have the ports, and will after the next boot."""
        wanted = lowest_wanted(desired)
        if wanted is None:
            return ChangeState(Status.APPLIED, "no port below 1024 is wanted")
        if desired.user.uid == 0:
            return ChangeState(Status.APPLIED, "root may have every port")
        if facts.lowest is None:
            return ChangeState(Status.MANUAL, f"this kernel has no {KEY}", f"{_WITHOUT}.")
        if facts.lowest <= wanted and (stays := _stays(facts, wanted)) is not None:
            return stays
        return _obstacle(facts, wanted) or _missing(facts, wanted)

    def apply_plan(self, facts: SysctlFacts, desired: DesiredState) -> Plan:
        """Return: write the file, make the kernel read it."""
        wanted = lowest_wanted(desired)
        if wanted is None or facts.tool is None or facts.lowest is None or self.state(facts, desired).status not in (
            Status.ABSENT, Status.OUTDATED
        ):  # fmt: skip
            return Plan()
        # The value before the first setup, not that of our own file from an earlier one.
        before = facts.own.before if facts.own is not None else facts.lowest
        steps: list[Step] = [] if facts.has_directory else [MakeDirectory(facts.directory, elevate=True)]
        content, there = write_own(wanted, before), facts.own is not None
        steps.append(WriteFile(facts.path, content, elevate=True, replaces=there))
        # One that is lower already, as in containers, is not raised.
        if facts.lowest > wanted:
            argv, touches = (str(facts.tool), "-p", str(facts.path)), (facts.path,)
            steps.append(Run(argv, elevate=True, timeout_s=ELEVATED_S, touches=touches))
        return Plan(tuple(steps))

    def previous_state(self, facts: SysctlFacts, desired: DesiredState) -> PreviousState:
        """Return the kernel's value from before our file."""
        before = facts.own.before if facts.own is not None else facts.lowest
        return {} if before is None else {"value": str(before)}

    def revert_plan(self, facts: SysctlFacts, previous_state: PreviousState) -> Plan:
        """Return: remove the file, and bring the value back unless somebody has changed it since.

        The record is the user's own, the file is root's: a record can close ports again, it opens none.
        """
        if facts.own is None:
            return Plan()
        steps: list[Step] = [RemoveFile(facts.path, elevate=True)]
        # Both must agree: root's file guards against a record that a user's program could have edited.
        before = max(_number(previous_state.get("value", "")), facts.own.before)
        # Somebody who set another value since meant that value.
        untouched = facts.lowest == facts.own.value != before
        if untouched and facts.tool is not None and not facts.read_only:
            steps.append(Run((str(facts.tool), "-w", f"{KEY}={before}"), elevate=True, timeout_s=ELEVATED_S))
        return Plan(tuple(steps))

    def read_failure(self, facts: SysctlFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        match outcome.trouble:
            case StepFailure.READ_ONLY:
                return ChangeState(Status.READ_ONLY, outcome.detail, f"{_WITHOUT}.")
            case StepFailure.NO_ELEVATION:
                remedy = f"Have an administrator run the commands above, then {_AGAIN}."
                return ChangeState(Status.MANUAL, outcome.detail, remedy)
            case StepFailure.NO_TOOL:
                return ChangeState(Status.NO_TOOL, outcome.detail, f"Run the commands above yourself, then {_AGAIN}.")
            case _:
                return ChangeState(Status.FAILED, outcome.detail, f"Run the commands above yourself, then {_AGAIN}.")

    def explain(self, facts: SysctlFacts, desired: DesiredState) -> str:
        """Return the remedy where no file of ours helps."""
        wanted = lowest_wanted(desired)
        blocked = None if wanted is None else _obstacle(facts, wanted)
        return blocked.remedy if blocked is not None else ""


def lowest_wanted(desired: DesiredState) -> int | None:
    """Return the lowest port of root's that is desired, None for none."""
    return min((port for port in (desired.https_port, desired.http_port) if port and port < _FIRST_OPEN), default=None)


def _stays(facts: SysctlFacts, wanted: int) -> ChangeState | None:
    """Return the state of a kernel whose value is low enough; None = only until the next boot, and we can help."""
    boot = facts.at_boot()
    if boot is None:
        # Container runtimes set 0 from outside; where files cannot do it, whoever did it does it again.
        if facts.lowest == 0 or facts.read_only or facts.declared:
            return ChangeState(Status.APPLIED, f"ports from {facts.lowest} up are everybody's here")
        return None
    value, path = boot
    if value <= wanted:
        return ChangeState(Status.APPLIED, "" if facts.own is not None else f"{path} does it")
    if facts.own is None and not facts.overruled_by:
        return None
    return ChangeState(
        Status.APPLIED, f"but {path} sets {value} again at the next boot", f"Take the line with {KEY} out of {path}."
    )


def _obstacle(facts: SysctlFacts, wanted: int) -> ChangeState | None:
    """Return the obstacle to our file: it cannot be put there, or would not count."""
    if facts.declared:
        line = f'boot.kernel.sysctl."{KEY}" = {wanted};'
        return ChangeState(
            Status.MANUAL, "NixOS declares its settings", f"Add {line} to your configuration and nixos-rebuild switch."
        )
    if facts.read_only:
        return ChangeState(
            Status.READ_ONLY,
            "/proc/sys is read-only, as in most containers",
            f"Start the container with --sysctl {KEY}={wanted}; {_WITHOUT}.",
        )
    if facts.not_ours:
        return ChangeState(
            Status.MANUAL,
            f"{facts.path} is not devtls's own: {facts.not_ours}",
            f"Put {KEY} = {wanted} into it and run sysctl --system, or remove it, then {_AGAIN}.",
        )
    if facts.unsafe:
        return ChangeState(Status.SKIPPED, facts.unsafe, f"Give it to root alone (chown, chmod), then {_AGAIN}.")
    if facts.tool is None:
        return ChangeState(Status.NO_TOOL, "sysctl is not installed", f"Install procps, then {_AGAIN}.")
    return None


def _missing(facts: SysctlFacts, wanted: int) -> ChangeState:
    if facts.own is not None:
        found = f"its file says {facts.own.value}, the kernel {facts.lowest}"
        return ChangeState(Status.OUTDATED, f"ports from {wanted} up are wanted; {found}")
    if facts.lowest is not None and facts.lowest <= wanted:
        return ChangeState(Status.ABSENT, "it holds until the next boot only")
    return ChangeState(Status.ABSENT, f"ports below {facts.lowest} are root's")


def lowest_open(root: Path) -> int | None:
    """Return the lowest port of everybody on a machine below `root`, None where the kernel does not tell."""
    try:
        return int((root / _KERNEL).read_text("ascii"))
    except (OSError, ValueError):
        return None


def _number(text: str) -> int:
    """Return the port in a record, 0 for what is none."""
    # The record is a file of the user's; what stands in it ends in a root's command line.
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return number if number <= _LAST else 0
