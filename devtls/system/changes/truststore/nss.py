"""One NSS database, which Chromium or Firefox read on Linux, driven through NSS's own certutil.

Owns the argv of certutil and the reading of what it prints. Refuses to answer a database's password: certutil gets
neither terminal nor input, so that such a database is `locked` and the others go on. Trust is `C,,`: a CA for TLS
servers, for nothing else. Certificates are told apart by their bytes; the nickname is only the handle that certutil
wants (it keeps the first one).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

try:
    import sqlite3
except ImportError:  # a Python that was built without SQLite
    sqlite3 = None  # type: ignore[assignment]  # None where there is no module

from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.truststore.other_tools import OtherRoot, other_roots
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, fingerprint_of, ours
from devtls.system.changes.truststore.store import TrustStore
from devtls.system.machine.execute import Finished, NotFinished, Outcome, Runner, StepFailure
from devtls.system.machine.plan import QUICK_S, MakeDirectory, Plan, Run, Step

# Nicknames hold spaces: the flags are told apart as the last word with two commas.
_LISTED = re.compile(r"(?P<nickname>\S.*?)\s+(?P<flags>[a-zA-Z]*,[a-zA-Z]*,[a-zA-Z]*)\s*\Z")
_TRUST = "C,,"
_VALUES = "SELECT a11 FROM nssPublic WHERE a11 IS NOT NULL"  # attribute 0x11 of PKCS #11: CKA_VALUE


@dataclass(frozen=True, slots=True)
class NssPlace:
    """A directory that holds, or shall hold, a database; `reader` is who reads it."""

    directory: Path
    reader: str
    shown: str


@dataclass(frozen=True, slots=True)
class NssEntry:
    """One certificate in a database."""

    nickname: str
    flags: str
    der: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER."""
        return fingerprint_of(self.der)

    @property
    def trusted(self) -> bool:
        """Whether NSS takes it as a CA for servers: C in the first of the three fields."""
        return "C" in self.flags.partition(",")[0]


@dataclass(frozen=True, slots=True)
class NssFacts:
    """The facts that certutil gives; `blocked` is set when it gave none."""

    exists: bool
    certutil: Path | None
    entries: tuple[NssEntry, ...] = ()
    blocked: ChangeState | None = None

    @property
    def roots(self) -> tuple[RootCertificate, ...]:
        """Every devtls root in the database."""
        return tuple(found for entry in self.entries if (found := ours(entry.der)))

    @property
    def others(self) -> tuple[OtherRoot, ...]:
        """Every root of another tool in the database."""
        return other_roots(entry.der for entry in self.entries)


class NssStore(TrustStore[NssFacts]):
    """The TrustStore of one database."""

    kind = Kind.BROWSER

    def __init__(
        self, place: NssPlace, certutil: Path | None, runner: Runner, *, package: str, timeout_s: float = QUICK_S
    ) -> None:
        self.place = place
        self._certutil = certutil
        self._runner = runner
        self._package = package
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """`nss:` and the directory."""
        return f"nss:{self.place.shown}"

    @property
    def label(self) -> str:
        """The browser that reads it, and its place."""
        return f"{self.place.reader} ({self.place.shown})"

    def probe(self) -> NssFacts:
        """List the database; one more certutil for each nickname, since only the bytes identify a certificate."""
        exists = (self.place.directory / "cert9.db").is_file()
        if self._certutil is None:
            missing = ChangeState(
                Status.NO_TOOL, "NSS's certutil is not installed", f"{self._package}, then devtls trust"
            )
            return NssFacts(exists, None, tuple(self._peek()) if exists else (), missing)
        if not exists:
            return NssFacts(exists, self._certutil)
        listed = self._runner.run(self._call(self._certutil, "-L"))
        if isinstance(listed, NotFinished) or listed.code != 0:
            return NssFacts(exists, self._certutil, blocked=self._blocked(listed))
        entries: list[NssEntry] = []
        for nickname, flags in _listed(listed.stdout):
            shown = self._runner.run(self._call(self._certutil, "-L", "-n", nickname, "-a"))
            if isinstance(shown, NotFinished):
                return NssFacts(exists, self._certutil, blocked=self._blocked(shown))
            entries.extend(NssEntry(nickname, flags, der) for der in certificates_in(shown.stdout))
        return NssFacts(exists, self._certutil, tuple(entries))

    def _peek(self) -> Iterator[NssEntry]:
        """Yield the certificates without certutil: enough to say that one is there, not to change anything."""
        if sqlite3 is None:
            return
        file = (self.place.directory / "cert9.db").absolute().as_uri()
        try:
            # immutable: no lock is taken, so that a running browser is not disturbed (SQLite's URI parameters).
            with closing(sqlite3.connect(f"{file}?mode=ro&immutable=1", uri=True)) as database:
                values = [row[0] for row in database.execute(_VALUES)]
        except sqlite3.Error:
            return
        yield from (NssEntry("", "", value) for value in values if isinstance(value, bytes))

    def _call(self, certutil: Path, action: str, *arguments: str) -> Run:
        # sql: by name: older NSS takes a bare directory for the dbm format.
        argv = (str(certutil), action, "-d", f"sql:{self.place.directory}", *arguments)
        return Run(argv, timeout_s=self._timeout_s)

    def _blocked(self, ended: Finished | NotFinished) -> ChangeState:
        if isinstance(ended, NotFinished):
            return self._in_words(ended.trouble, ended.detail)
        return self._in_words(StepFailure.FAILED, ended.last_line)

    def trust_state(self, facts: NssFacts, fingerprint: str) -> ChangeState:
        """Say whether the certificate is there with trust for servers."""
        held = [entry for entry in facts.entries if entry.fingerprint == fingerprint]
        if facts.blocked is not None:
            return (
                replace(facts.blocked, detail=f"it holds the root, {facts.blocked.detail}") if held else facts.blocked
            )
        if any(entry.trusted for entry in held):
            return ChangeState(Status.APPLIED)
        if held:
            return ChangeState(Status.ABSENT, "the root is there without trust for web sites")
        return ChangeState(Status.ABSENT, "" if facts.exists else "the database will be made")

    def apply_plan(self, facts: NssFacts, desired: RootCertificate) -> Plan:
        """Return: make the database when there is none, add the root (which also sets its trust flags)."""
        if facts.certutil is None or self.trust_state(facts, desired.fingerprint).status is not Status.ABSENT:
            return Plan()
        steps: list[Step] = []
        if not facts.exists:
            steps.append(MakeDirectory(self.place.directory, 0o700))
            # As browsers make theirs: with a password each of them would ask for it.
            steps.append(self._call(facts.certutil, "-N", "--empty-password"))
        steps.append(self._call(facts.certutil, "-A", "-t", _TRUST, "-n", desired.nickname, "-i", str(desired.path)))
        return Plan(tuple(steps))

    def revert_plan(self, facts: NssFacts, previous_state: Collection[str]) -> Plan:
        """Return: one deletion for each entry with one of these fingerprints."""
        if facts.certutil is None:
            return Plan()
        nicknames = [entry.nickname for entry in facts.entries if entry.fingerprint in previous_state]
        return Plan(tuple(self._call(facts.certutil, "-D", "-n", nickname) for nickname in nicknames))

    def undo_plan(self, before: NssFacts, after: NssFacts, previous_state: Collection[str]) -> Plan:
        """Return: delete the root, which certutil files before it asks for the password that trust needs."""
        return Plan() if _holds(before, previous_state) else self.revert_plan(after, previous_state)

    def read_failure(self, facts: NssFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        return self._in_words(outcome.trouble or StepFailure.FAILED, outcome.detail)

    def _in_words(self, trouble: StepFailure, detail: str) -> ChangeState:
        directory = self.place.shown
        if trouble is StepFailure.TIMED_OUT:
            return ChangeState(Status.HANGING, detail, "Close the browser, then devtls trust.")
        if trouble is StepFailure.NO_TOOL:
            return ChangeState(Status.NO_TOOL, detail, f"{self._package}, then devtls trust")
        if "SEC_ERROR_BAD_PASSWORD" in detail:
            return ChangeState(
                Status.LOCKED,
                f"{directory} has a password",
                "Run its command from devtls trust --dry-run in a terminal: certutil asks for the password.",
            )
        if trouble in (StepFailure.READ_ONLY, StepFailure.NOT_PERMITTED) or "SEC_ERROR_READ_ONLY" in detail:
            return ChangeState(
                Status.READ_ONLY,
                f"{directory} cannot be written",
                f'Take it back with sudo chown -R "$USER" {directory}, then devtls trust.',
            )
        if "SEC_ERROR_BAD_DATABASE" in detail:
            return ChangeState(
                Status.FAILED,
                f"{directory} is no NSS database that certutil can read",
                "Move the directory away; the browser makes a new one.",
            )
        return ChangeState(Status.FAILED, detail, "Run its command from devtls trust --dry-run to see more.")

    def explain(self, facts: NssFacts, desired: RootCertificate) -> str:
        """Return the way through the browser's own window, for when certutil cannot help."""
        return f"In the browser's settings, open the certificate manager, Authorities, and import {desired.path}."


def _holds(facts: NssFacts, fingerprints: Collection[str]) -> bool:
    return any(entry.fingerprint in fingerprints for entry in facts.entries)


def _listed(output: bytes) -> Iterator[tuple[str, str]]:
    """Yield nickname and flags of each line of `certutil -L`, once per nickname (its two title lines do not match)."""
    seen: set[str] = set()
    for line in output.decode("utf-8", "replace").splitlines():
        match = _LISTED.match(line)
        # Several certificates may share a nickname, and -n shows them all at once.
        if match and match["nickname"] not in seen:
            seen.add(match["nickname"])
            yield match["nickname"], match["flags"]
