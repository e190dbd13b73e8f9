"""Windows' Root store seen from WSL, which the browsers on the Windows side read.

Owns the way through interop: powershell.exe lists the user's store, certutil.exe changes it, wslpath translates names.
A distribution in WSL has two worlds of trust, and this is the second; the first is Linux's. Refuses to go through sudo,
under which Windows' programs are not found. Where interop is off it says what to do on the Windows side. Its plans are
tested, no Windows has run them yet.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath

from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.truststore.other_tools import OtherRoot, other_roots
from devtls.system.changes.truststore.root import RootCertificate, fingerprint_of, ours, sha1_of
from devtls.system.changes.truststore.store import TrustStore
from devtls.system.machine.execute import Finished, Outcome, Runner, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ELEVATED_S, Plan, Run

_SYSTEM = r"C:\Windows\System32"
_POWERSHELL = "WindowsPowerShell/v1.0/powershell.exe"
_LIST = r"Get-ChildItem Cert:\CurrentUser\Root | ForEach-Object { [Convert]::ToBase64String($_.RawData) }"
_PROBE_S = 20.0
"""PowerShell's first start on a sleeping virtual machine takes seconds."""


@dataclass(frozen=True, slots=True)
class WslFacts:
    """`certutil` is Windows' own, by its Linux path; `prefix` is this distribution's root directory for Windows."""

    certificates: tuple[bytes, ...] = ()
    certutil: Path | None = None
    prefix: str = ""
    blocked: ChangeState | None = None

    @property
    def roots(self) -> tuple[RootCertificate, ...]:
        """Every devtls root in the store."""
        return tuple(found for der in self.certificates if (found := ours(der)))

    @property
    def others(self) -> tuple[OtherRoot, ...]:
        """Every root of another tool in the store."""
        return other_roots(self.certificates)


def is_wsl(machine: Machine) -> bool:
    """Say whether this Linux runs inside Windows."""
    if machine.environ.get("WSL_DISTRO_NAME") or machine.environ.get("WSL_INTEROP"):
        return True
    try:
        return "microsoft" in (machine.root / "proc/sys/kernel/osrelease").read_text("utf-8", "replace").lower()
    except OSError:
        return False


class WslStore(TrustStore[WslFacts]):
    """The TrustStore of the Windows user."""

    name = "windows"
    label = "Windows' own store, for its browsers"
    kind = Kind.BROWSER

    def __init__(self, machine: Machine, runner: Runner, *, timeout_s: float = ELEVATED_S) -> None:
        self._machine = machine
        self._runner = runner
        self._timeout_s = timeout_s

    def probe(self) -> WslFacts:
        """Find Windows' programs, list the store, and learn how Windows names our files."""
        system, prefix = self._translated("-u", _SYSTEM), self._translated("-w", "/")
        if not system or not prefix:
            return WslFacts(blocked=_closed("wslpath does not answer"))
        argv = (f"{system}/{_POWERSHELL}", "-NoProfile", "-NonInteractive", "-Command", _LIST)
        listed = self._runner.run(Run(argv, timeout_s=_PROBE_S))
        if not isinstance(listed, Finished):
            return WslFacts(blocked=_closed(listed.detail))
        if listed.code != 0:
            return WslFacts(blocked=_closed(listed.last_line))
        return WslFacts(tuple(_certificates(listed.stdout)), Path(system) / "certutil.exe", prefix)

    def _translated(self, direction: str, path: str) -> str:
        tool = self._machine.system_tool("wslpath")
        if tool is None:
            return ""
        ended = self._runner.run(Run((str(tool), direction, path)))
        return ended.stdout.decode("utf-8", "replace").strip() if isinstance(ended, Finished) and not ended.code else ""

    def trust_state(self, facts: WslFacts, fingerprint: str) -> ChangeState:
        """Say whether the store holds the certificate."""
        if facts.blocked is not None:
            return facts.blocked
        held = any(fingerprint_of(der) == fingerprint for der in facts.certificates)
        return ChangeState(Status.APPLIED if held else Status.ABSENT)

    def apply_plan(self, facts: WslFacts, desired: RootCertificate) -> Plan:
        """Return: one command, with the file as Windows names it."""
        if self.trust_state(facts, desired.fingerprint).status is not Status.ABSENT:
            return Plan()
        return Plan((self._certutil(facts, "-addstore", windows_path(facts.prefix, desired.path)),))

    def revert_plan(self, facts: WslFacts, previous_state: Collection[str]) -> Plan:
        """Return: one deletion for each of these certificates, by hash."""
        hashes = [sha1_of(der) for der in facts.certificates if fingerprint_of(der) in previous_state]
        return Plan(tuple(self._certutil(facts, "-delstore", sha1) for sha1 in hashes))

    def undo_plan(self, before: WslFacts, after: WslFacts, previous_state: Collection[str]) -> Plan:
        """Return: nothing, since Windows adds a certificate after the dialog or not at all."""
        return Plan()

    def _certutil(self, facts: WslFacts, verb: str, subject: str) -> Run:
        return Run((str(facts.certutil), "-user", verb, "Root", subject), timeout_s=self._timeout_s)

    def read_failure(self, facts: WslFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        if outcome.trouble is StepFailure.TIMED_OUT:
            return ChangeState(Status.HANGING, outcome.detail, "Answer Windows' dialog, then devtls trust.")
        return ChangeState(Status.FAILED, outcome.detail, "Run the command above yourself, then devtls trust.")

    def explain(self, facts: WslFacts, desired: RootCertificate) -> str:
        """Return the steps on the Windows side."""
        return (
            "On the Windows side: devtls ca export --format der --out devtls-root.cer into a directory that Windows "
            "sees, then in PowerShell there: certutil -user -addstore Root devtls-root.cer"
        )


def windows_path(prefix: str, path: PurePath) -> str:
    """Return the Windows path of a file of this distribution; `prefix` is how it names the root directory."""
    parts = path.parts
    if parts[:2] == ("/", "mnt") and len(parts) > 3 and len(parts[2]) == 1:  # a drive of Windows, mounted here
        return str(PureWindowsPath(f"{parts[2].upper()}:\\", *parts[3:]))
    return prefix.rstrip("\\") + "\\" + "\\".join(parts[1:])


def _closed(why: str) -> ChangeState:
    return ChangeState(
        Status.MANUAL,
        f"Windows' programs cannot be started from here: {why}",
        "Turn interop on in /etc/wsl.conf and run wsl --shutdown, or change it on the Windows side.",
    )


def _certificates(output: bytes) -> Iterator[bytes]:
    for line in output.split():
        try:
            yield base64.b64decode(line, validate=True)
        except binascii.Error:
            continue
