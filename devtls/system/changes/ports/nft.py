"""The kernel's own redirect from 443 and 80 to a port that everybody may have, by nft(8); done only when asked for.

Owns one table of its own, `inet devtls`, with rules for connections that this machine makes to its own loopback
addresses: no other machine and no container is touched. Where systemd runs, a unit loads it again at each boot, and
with nftables.service, which empties all tables; elsewhere it is gone after the next boot, and the state says so.
Refuses files at its places that are not ours. What counts is whether a connection arrives: an ordinary user may not
list rules.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from devtls.system.changes.change import Change, ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.changes.ports.sysctl import lowest_open
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ELEVATED_S, Plan, RemoveFile, Run, Step, WriteFile
from devtls.system.machine.port_holder import is_listened_to

# The number is above 1024: this is for users who may not listen below.
TARGET = 8443
"""Where devtls listens when 443 is closed to it; it redirects plain HTTP there as well."""
HTTPS, HTTP = 443, 80

_RULES_FILE = "etc/devtls-redirect.nft"
_UNIT = "devtls-redirect.service"
_UNITS = "etc/systemd/system"
_MARK = "# Made by `devtls setup ports`; `devtls unsetup ports` takes it back.\n"
_EMPTY = "table inet devtls\ndelete table inet devtls\n"
"""Naming a table makes it where there is none: so this removes it whether it is there or not."""
_AGAIN = "devtls setup ports --method nft"
_UNTIL_BOOT = "until the next boot: without systemd nothing loads it again"
_LARGEST = 1 << 16
_FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
# Loopback answers at once; a limit is for rules of others that drop packets.
_CONNECT_S = 0.3

PortProbe = Callable[[Iterable[int], int], frozenset[int]]


@dataclass(frozen=True, slots=True)
class NftFacts:
    """`leading` are the ports that lead to TARGET; `rules` and `unit` our files, None where there is none.

    `not_ours` names the first file in our places that is not ours, `lowest` is the lowest port of everybody, `unsafe`
    the reason why a tool that is there must not be elevated.
    """

    tool: Path | None = None
    systemctl: Path | None = None
    leading: frozenset[int] = frozenset()
    rules_path: Path = Path()
    unit_path: Path = Path()
    rules: bytes | None = None
    unit: bytes | None = None
    not_ours: str = ""
    lowest: int | None = None
    unsafe: str = ""


def redirected_ports(ports: Iterable[int], target: int) -> frozenset[int]:
    """Return those of `ports` that lead to `target`, or to another port that is listened to, on this machine.

    One connection to each loopback address: a port on which nobody listens, and which answers all the same, is
    redirected. Where nobody listens at the target either, this does for as long as it connects.
    """
    with _listening(target) as families:
        # A port with a listener of its own answers without any redirect and would prove nothing.
        asked = [port for port in ports if not is_listened_to(port)]
        return frozenset(port for port in asked if all(_answers(port, *family) for family in families))


@contextlib.contextmanager
def _listening(port: int) -> Iterator[list[tuple[socket.AddressFamily, str]]]:
    """Yield the families of this machine, with somebody listening on `port` in each."""
    families = []
    with contextlib.ExitStack() as listeners:
        for family, address in _FAMILIES:
            try:
                listeners.enter_context(socket.create_server((address, port), family=family))
            except OSError:
                if not _answers(port, family, address):  # no IPv6 here
                    continue
            families.append((family, address))
        yield families


def _answers(port: int, family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(_CONNECT_S)
            connection.connect((address, port))
    except OSError:
        return False
    return True


class NftRedirect(Change[NftFacts, DesiredState]):
    """The Change that sends 443 and 80 to 8443."""

    name = "ports:nft"
    part = Part.PORTS
    label = "Redirect of 443 and 80 to 8443 (nft)"
    purpose = (
        "Connections of this machine to its own 127.0.0.1 and ::1 go from ports 443 and 80 to 8443: whoever listens "
        "there gets them, any local user included, and no list of open ports shows why."
    )

    def __init__(self, machine: Machine, *, redirected: PortProbe = redirected_ports) -> None:
        self._machine = machine
        self._redirected = redirected

    def probe(self) -> NftFacts:
        """PortProbe on the ports and read our files."""
        root, machine = self._machine.root, self._machine
        rules_path, unit_path = root / _RULES_FILE, root / _UNITS / _UNIT
        found = {path: _read(path) for path in (rules_path, unit_path)}
        strangers = [path for path, content in found.items() if content is not None and not _is_ours(path, content)]
        runs_systemd, tool = (root / "run/systemd/system").is_dir(), machine.elevated_tool("nft")
        return NftFacts(
            tool=tool,
            unsafe=machine.refusal_of_system_tool("nft"),
            systemctl=machine.elevated_tool("systemctl") if runs_systemd else None,
            # What counts is whether connections arrive: listing rules takes root (CAP_NET_ADMIN).
            leading=frozenset() if tool is None else self._redirected((HTTPS, HTTP), TARGET),
            rules_path=rules_path,
            unit_path=unit_path,
            rules=found[rules_path],
            unit=found[unit_path],
            not_ours=str(strangers[0]) if strangers else "",
            lowest=lowest_open(root),
        )

    def state(self, facts: NftFacts, desired: DesiredState) -> ChangeState:
        """Say whether connections to the desired ports arrive at 8443, and will after the next boot."""
        if desired.https_port != HTTPS:
            detail = f"devtls.toml asks for port {desired.https_port}, and it is 443 that is redirected"
            return ChangeState(Status.MANUAL, detail, "Take https_port out of devtls.toml, or choose another method.")
        if desired.user.uid == 0 or (facts.lowest is not None and facts.lowest <= HTTPS):
            # It would take the connections away from a devtls that listens on 443 itself.
            return ChangeState(Status.SKIPPED, "there is no need: this user may have port 443 itself")
        if facts.not_ours:
            return ChangeState(Status.MANUAL, f"{facts.not_ours} is not devtls's own", f"Move it away, then {_AGAIN}.")
        if facts.unsafe:
            return ChangeState(Status.SKIPPED, facts.unsafe, f"Give it to root alone (chown, chmod), then {_AGAIN}.")
        if facts.tool is None:
            return ChangeState(Status.NO_TOOL, "nft is not installed", f"Install nftables, then {_AGAIN}.")
        ports, kept = ports_of(desired), facts.rules is not None and facts.unit is not None
        if not ports <= facts.leading:
            return ChangeState(Status.OUTDATED if kept else Status.ABSENT, _unled(ports - facts.leading))
        if facts.systemctl is None:
            return ChangeState(Status.APPLIED, _UNTIL_BOOT)
        if not kept:
            return ChangeState(Status.ABSENT, "it holds until the next boot only")
        if facts.rules != rules_for(ports):
            return ChangeState(Status.OUTDATED, "its file names other ports")
        return ChangeState(Status.APPLIED)

    def apply_plan(self, facts: NftFacts, desired: DesiredState) -> Plan:
        """Return: write rules and unit and start it; without systemd, hand the rules to nft."""
        if facts.tool is None or self.state(facts, desired).status not in (Status.ABSENT, Status.OUTDATED):
            return Plan()
        rules = rules_for(ports_of(desired))
        if facts.systemctl is None:
            return Plan((self._load(facts.tool, rules),))
        unit = unit_for(_as_seen(facts.tool, self._machine), PurePath("/") / _RULES_FILE)
        return Plan(
            (
                WriteFile(facts.rules_path, rules, elevate=True, replaces=facts.rules is not None),
                WriteFile(facts.unit_path, unit, elevate=True, replaces=facts.unit is not None),
                self._systemctl(facts.systemctl, "daemon-reload"),
                self._systemctl(facts.systemctl, "enable", _UNIT),
                # Not `start`: with RemainAfterExit a unit that ran once is active and would not load new rules.
                self._systemctl(facts.systemctl, "restart", _UNIT),
            )
        )

    def previous_state(self, facts: NftFacts, desired: DesiredState) -> PreviousState:
        """Return nothing: the table is ours alone."""
        return {}

    def revert_plan(self, facts: NftFacts, previous_state: PreviousState) -> Plan:
        """Return: stop the unit and remove the files and the table."""
        # A file without our mark is an administrator's, and the unit that it belongs to may be as well.
        if facts.not_ours:
            return Plan()
        steps: list[Step] = []
        if facts.unit is not None and facts.systemctl is not None:
            # Before its file goes: ExecStop in it is what removes the table.
            steps.append(self._systemctl(facts.systemctl, "disable", "--now", _UNIT))
        files = ((facts.unit_path, facts.unit), (facts.rules_path, facts.rules))
        steps += [RemoveFile(path, elevate=True) for path, content in files if content is not None]
        if facts.unit is not None and facts.systemctl is not None:
            steps.append(self._systemctl(facts.systemctl, "daemon-reload"))
        elif facts.tool is not None and facts.leading:
            steps.append(self._load(facts.tool, _EMPTY.encode()))
        return Plan(tuple(steps))

    def _load(self, tool: Path, rules: bytes) -> Run:
        return Run((str(tool), "-f", "-"), elevate=True, timeout_s=ELEVATED_S, stdin=rules)

    def _systemctl(self, tool: Path, *arguments: str) -> Run:
        return Run((str(tool), *arguments), elevate=True, timeout_s=ELEVATED_S)

    def read_failure(self, facts: NftFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        remedy = f"Run the commands above yourself, then {_AGAIN}."
        match outcome.trouble:
            case StepFailure.READ_ONLY:
                return ChangeState(Status.READ_ONLY, outcome.detail, "Choose another method: this system is read-only.")
            case StepFailure.NO_ELEVATION:
                return ChangeState(Status.MANUAL, outcome.detail, remedy)
            case StepFailure.NO_TOOL:
                return ChangeState(Status.NO_TOOL, outcome.detail, remedy)
            case _:
                return ChangeState(Status.FAILED, outcome.detail, remedy)

    def explain(self, facts: NftFacts, desired: DesiredState) -> str:
        """Return the steps of a person against an obstacle."""
        return self.state(facts, desired).remedy


def ports_of(desired: DesiredState) -> frozenset[int]:
    """Return the ports that are to lead to 8443."""
    return frozenset({HTTPS, HTTP} if desired.http_port == HTTP else {HTTPS})


def rules_for(ports: frozenset[int]) -> bytes:
    """Return a script for nft that makes the table anew, whole or not at all."""
    listed = ", ".join(map(str, sorted(ports)))
    return (
        f"{_MARK}{_EMPTY}table inet devtls {{\n"
        "  chain out {\n"
        # -100 is dstnat, where destinations are rewritten (nft(8)). Hook output: packets of this machine alone.
        "    type nat hook output priority -100; policy accept;\n"
        f'    oifname "lo" ip daddr 127.0.0.1 tcp dport {{ {listed} }} redirect to :{TARGET}\n'
        f'    oifname "lo" ip6 daddr ::1 tcp dport {{ {listed} }} redirect to :{TARGET}\n'
        "  }\n"
        "}\n"
    ).encode()


def unit_for(tool: PurePath, rules: PurePath) -> bytes:
    """Return the unit that loads the rules at each boot, and again when nftables.service has emptied all tables."""
    return (
        f"{_MARK}[Unit]\n"
        "Description=Ports 443 and 80 of this machine lead to devtls\n"
        "Documentation=man:nft(8)\n"
        # nftables.service flushes every table when it starts: ours is loaded behind it, and again with it.
        "After=nftables.service\n"
        "PartOf=nftables.service\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"ExecStart={tool} -f {rules}\n"
        # The - lets a table that is gone already pass (systemd.service(5)).
        f"ExecStop=-{tool} delete table inet devtls\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    ).encode()


def _unled(ports: frozenset[int]) -> str:
    noun = "ports" if len(ports) > 1 else "port"
    return f"{noun} {' and '.join(map(str, sorted(ports, reverse=True)))} of this machine lead nowhere yet"


def _as_seen(tool: Path, machine: Machine) -> PurePath:
    """Return where a tool is once the machine has booted, which a test's is not."""
    return PurePath("/") / tool.relative_to(machine.root)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as opened:
            return opened.read(_LARGEST)
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _is_ours(path: Path, content: bytes) -> bool:
    # A link could lead an elevated write to any file.
    return not path.is_symlink() and content.startswith(_MARK.encode())
