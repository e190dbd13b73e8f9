"""Windows' Root store: the user's through crypt32, the machine's through certutil.exe with administrator rights.

Owns the commands and the reading of the stores. The user's store is the default: no administrator, one dialog of
Windows' own. Refuses to start that dialog where nobody can see it (ssh, services); there the machine's store is the
way: its certificate stands in the elevated command itself, since a file of the user's could be swapped while Windows
asks. Chrome, Edge, Firefox 120 and later, .NET, curl and git follow both. certutil.exe is named in full, since NSS has
a tool of the same name; what it returns is not believed. Its plans are tested, no Windows has run them yet.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass

from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.truststore.crypt32 import Location, RootStore
from devtls.system.changes.truststore.other_tools import OtherRoot, other_roots
from devtls.system.changes.truststore.root import RootCertificate, fingerprint_of, ours, sha1_of
from devtls.system.changes.truststore.store import TrustStore
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ELEVATED_S, Plan, Run
from devtls.system.machine.run_as import (
    quoted,
    run_as_administrator,
    run_script_as_administrator,
    system_directory,
    was_refused,
)

_PROGRAM = ("-P", "-m", "devtls.system.changes.truststore.crypt32")
_DECLINED = "with no"
_X509 = "Security.Cryptography.X509Certificates"
_NAMES = {Location.CURRENT_USER: "user", Location.LOCAL_MACHINE: "machine"}


@dataclass(frozen=True, slots=True)
class WindowsFacts:
    """The content of the store; `desktop` = a dialog could be answered."""

    certificates: tuple[bytes, ...] = ()
    desktop: bool = True
    blocked: ChangeState | None = None

    @property
    def roots(self) -> tuple[RootCertificate, ...]:
        """Every devtls root in the store."""
        return tuple(found for der in self.certificates if (found := ours(der)))

    @property
    def others(self) -> tuple[OtherRoot, ...]:
        """Every root of another tool in the store."""
        return other_roots(self.certificates)

    def holds(self, fingerprint: str) -> bool:
        """Whether the certificate is there."""
        return any(fingerprint_of(der) == fingerprint for der in self.certificates)


def read_windows(location: Location) -> tuple[bytes, ...]:
    """Return the certificates of a location's Root store. Raises OSError."""
    return RootStore.of_windows().certificates(location)


class WindowsStore(TrustStore[WindowsFacts]):
    """The TrustStore of one location; `read` is the seam where tests put their own."""

    kind = Kind.SYSTEM

    def __init__(
        self,
        location: Location,
        machine: Machine,
        *,
        read: Callable[[Location], tuple[bytes, ...]] = read_windows,
        python: str = sys.executable,
    ) -> None:
        self._location = location
        self._machine = machine
        self._read = read
        self._python = python

    @property
    def name(self) -> str:
        """`windows:` and whose."""
        return f"windows:{_NAMES[self._location]}"

    @property
    def label(self) -> str:
        """The store and its owner."""
        return f"Windows Root store of this {_NAMES[self._location]}"

    def probe(self) -> WindowsFacts:
        """Read the store; no dialog comes of that."""
        desktop = not self._machine.environ.get("SSH_CONNECTION")
        try:
            return WindowsFacts(self._read(self._location), desktop)
        except OSError as error:
            why = error.strerror or str(error)
            return WindowsFacts(blocked=ChangeState(Status.FAILED, f"the store cannot be read: {why}", "devtls trust"))

    def trust_state(self, facts: WindowsFacts, fingerprint: str) -> ChangeState:
        """Say whether the store holds the certificate: in this store every certificate is trusted."""
        if facts.blocked is not None:
            return facts.blocked
        if facts.holds(fingerprint):
            return ChangeState(Status.APPLIED)
        if self._location is Location.CURRENT_USER and not facts.desktop:
            return ChangeState(
                Status.MANUAL,
                "Windows asks for consent in a window, and this session has no desktop",
                "Run devtls trust on the desktop, or devtls trust --system as an administrator.",
            )
        return ChangeState(Status.ABSENT)

    def apply_plan(self, facts: WindowsFacts, desired: RootCertificate) -> Plan:
        """Return: one command."""
        if self.trust_state(facts, desired.fingerprint).status is not Status.ABSENT:
            return Plan()
        if self._location is Location.CURRENT_USER:
            return Plan((self._of_user("add", str(desired.path)),))
        return Plan((run_script_as_administrator(_adding_script(desired.der)),))

    def revert_plan(self, facts: WindowsFacts, previous_state: Collection[str]) -> Plan:
        """Return: one deletion for each of these certificates, by hash."""
        hashes = [sha1_of(der) for der in facts.certificates if fingerprint_of(der) in previous_state]
        return Plan(tuple(self._remove(sha1) for sha1 in hashes))

    def undo_plan(self, before: WindowsFacts, after: WindowsFacts, previous_state: Collection[str]) -> Plan:
        """Return: nothing, since Windows adds a certificate after the dialog or not at all."""
        return Plan()

    def _of_user(self, verb: str, subject: str) -> Run:
        return Run((self._python, *_PROGRAM, verb, subject), timeout_s=ELEVATED_S)

    def _remove(self, sha1: str) -> Run:
        if self._location is Location.CURRENT_USER:
            return self._of_user("remove", sha1)
        return run_as_administrator(system_directory() / "certutil.exe", ("-delstore", "Root", sha1))

    def read_failure(self, facts: WindowsFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        if outcome.trouble is StepFailure.TIMED_OUT:
            return ChangeState(Status.HANGING, outcome.detail, "Answer Windows' dialog, then devtls trust.")
        if _DECLINED in outcome.detail or was_refused(outcome.detail):
            return ChangeState(Status.SKIPPED, "the dialog was answered with no", "devtls trust")
        return ChangeState(Status.FAILED, outcome.detail, "Run the command above yourself, then devtls trust.")

    def explain(self, facts: WindowsFacts, desired: RootCertificate) -> str:
        """Return the way through Windows' own window."""
        return (
            f"Open certmgr.msc, Trusted Root Certification Authorities, All Tasks, Import, and choose {desired.path} "
            "(show all files)."
        )


def _adding_script(der: bytes) -> str:
    """Return a line of PowerShell that adds a certificate to the machine's Root store: classes, no commands."""
    text = base64.b64encode(der).decode("ascii")
    return (
        f"$s=[{_X509}.X509Store]::new('Root','LocalMachine'); $s.Open('ReadWrite'); "
        f"$s.Add([{_X509}.X509Certificate2]::new([Convert]::FromBase64String({quoted(text)}))); $s.Close()"
    )
