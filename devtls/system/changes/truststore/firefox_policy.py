"""Firefox's policy file: it reaches every profile of this machine where NSS's certutil is missing.

Owns /etc/firefox/policies: one certificate file of ours and one line in policies.json. Refuses to write that file anew
(it may be the work of an administrator) and to touch one that it cannot read as JSON. The merged text goes to a file
beside it first and takes its place by a rename, so that a full disk leaves the old one. Firefox copies what the policy
names into each profile when it starts: taking the line out does not take those copies back, the profiles' own stores
do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.truststore.other_tools import OtherRoot, other_roots
from devtls.system.changes.truststore.policy_json import (
    UnusablePolicies,
    add_certificate,
    named_certificates,
    remove_certificate,
)
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, fingerprint_of, ours
from devtls.system.changes.truststore.store import TrustStore
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ELEVATED_S, MakeDirectory, Plan, RemoveFile, Run, Step, WriteFile

_DIRECTORY = "etc/firefox/policies"
_FILE = "policies.json"
_OUR_FILE = re.compile(r"devtls-[0-9a-f]{8}\.pem")
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A certificate file: named by the policy, lying in its directory under a name of ours, or both."""

    path: str
    der: bytes
    named: bool

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER ("" = the file is gone or holds none)."""
        return fingerprint_of(self.der) if self.der else ""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """`text` is None when there is no policies.json; `blocked` is set when it cannot be merged into."""

    text: str | None = None
    mode: int = 0o644
    files: tuple[PolicyFile, ...] = ()
    blocked: ChangeState | None = None

    @property
    def roots(self) -> tuple[RootCertificate, ...]:
        """Every devtls root that the policy names or that lies beside it."""
        return tuple({found.fingerprint: found for file in self.files if (found := ours(file.der))}.values())

    @property
    def others(self) -> tuple[OtherRoot, ...]:
        """Every root of another tool that the policy names."""
        return other_roots(file.der for file in self.files)


class FirefoxPolicyStore(TrustStore[PolicyFacts]):
    """The TrustStore of /etc/firefox/policies."""

    name = "firefox-policy"
    kind = Kind.BROWSER

    def __init__(self, machine: Machine) -> None:
        self._directory = machine.root / _DIRECTORY
        self._path = self._directory / _FILE

    @property
    def label(self) -> str:
        """The policy, and its file."""
        return f"Firefox, every profile ({self._path})"

    def probe(self) -> PolicyFacts:
        """Read the policy and the certificates that it names."""
        beside = tuple(self._beside())
        try:
            mode, text = self._path.stat().st_mode & 0o777, self._path.read_text("utf-8")
            named = named_certificates(text)
        except (FileNotFoundError, NotADirectoryError):
            return PolicyFacts(files=beside)
        except (OSError, UnicodeDecodeError, UnusablePolicies) as error:
            why = error.strerror if isinstance(error, OSError) else error
            return PolicyFacts(blocked=ChangeState(Status.MANUAL, f"{self._path} cannot be merged into: {why}", _FIX))
        listed = tuple(PolicyFile(path, _certificate(Path(path)), named=True) for path in named if path.startswith("/"))
        paths = {file.path for file in listed}
        return PolicyFacts(text, mode, (*listed, *(file for file in beside if file.path not in paths)))

    def _beside(self) -> Iterator[PolicyFile]:
        try:
            files = sorted(self._directory.iterdir())
        except OSError:
            return
        for file in files:
            if _OUR_FILE.fullmatch(file.name):
                yield PolicyFile(str(file), _certificate(file), named=False)

    def trust_state(self, facts: PolicyFacts, fingerprint: str) -> ChangeState:
        """Say whether the policy names a file that holds the certificate."""
        if facts.blocked is not None:
            return facts.blocked
        named = any(file.named and file.fingerprint == fingerprint for file in facts.files)
        return ChangeState(Status.APPLIED if named else Status.ABSENT)

    def apply_plan(self, facts: PolicyFacts, desired: RootCertificate) -> Plan:
        """Return: file the certificate where every user can read it, name it in the policy."""
        if self.trust_state(facts, desired.fingerprint).status is not Status.ABSENT:
            return Plan()
        file = self._directory / f"devtls-{desired.id}.pem"
        steps: list[Step] = [] if self._directory.is_dir() else [MakeDirectory(self._directory, elevate=True)]
        there = any(other.path == str(file) for other in facts.files)
        steps.append(WriteFile(file, desired.pem, elevate=True, source=desired.path, replaces=there))
        if not any(other.named and other.path == str(file) for other in facts.files):
            steps.extend(self._replace(facts, add_certificate(facts.text or "", str(file))))
        return Plan(tuple(steps))

    def _replace(self, facts: PolicyFacts, text: str) -> tuple[Step, ...]:
        new = self._new_path()
        argv = ("/bin/mv", "-f", "--", str(new), str(self._path))
        move = Run(argv, elevate=True, timeout_s=ELEVATED_S, touches=(new, self._path))
        return WriteFile(new, text.encode(), facts.mode, elevate=True), move

    def revert_plan(self, facts: PolicyFacts, previous_state: Collection[str]) -> Plan:
        """Return: take the lines and files of these roots away, and what is empty without them."""
        # One of ours whose bytes are gone or broken goes along: no fingerprint can ever name it.
        wanted = [file for file in facts.files if file.fingerprint in previous_state or self._is_left_over(file)]
        if facts.blocked is not None or not any(file.fingerprint in previous_state for file in wanted):
            return Plan()
        text = facts.text
        for file in wanted:
            text = remove_certificate(text, file.path) if text is not None and file.named else text
        steps: list[Step] = []
        emptied = facts.text is not None and text is not None and not text.strip()
        if emptied:
            steps.append(RemoveFile(self._path, elevate=True))
        elif text is not None and text != facts.text:
            steps.extend(self._replace(facts, text))
        # After the policy: it must not name a file that is gone, should the plan stop here.
        steps.extend(RemoveFile(Path(file.path), elevate=True) for file in wanted if self._is_ours(file))
        if emptied:
            directories = (self._directory, self._directory.parent)
            # rmdir takes what is empty only; others may keep files there.
            argv = ("/bin/rmdir", "--ignore-fail-on-non-empty", "--", *map(str, directories))
            steps.append(Run(argv, True, ELEVATED_S, touches=directories))
        return Plan(tuple(steps))

    def _is_ours(self, file: PolicyFile) -> bool:
        path = Path(file.path)
        return path.parent == self._directory and _OUR_FILE.fullmatch(path.name) is not None

    def _is_left_over(self, file: PolicyFile) -> bool:
        return not file.der and self._is_ours(file)

    def undo_plan(self, before: PolicyFacts, after: PolicyFacts, previous_state: Collection[str]) -> Plan:
        """Return: remove the certificate that nothing names, and the text that did not get into its place."""
        known = {file.path for file in before.files if file.der}
        added = [file for file in after.files if file.path not in known and file.fingerprint in previous_state]
        left = [Path(file.path) for file in added if self._is_ours(file)]
        new = self._new_path()
        return Plan(tuple(RemoveFile(path, elevate=True) for path in (*left, *([new] if new.is_file() else []))))

    def _new_path(self) -> Path:
        return self._path.with_name(f"{_FILE}.devtls")

    def read_failure(self, facts: PolicyFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        again = "Run the commands above yourself, then devtls trust."
        match outcome.trouble:
            case StepFailure.TIMED_OUT:
                return ChangeState(Status.HANGING, outcome.detail, again)
            case StepFailure.READ_ONLY:
                return ChangeState(
                    Status.READ_ONLY, outcome.detail, f"Make {self._directory} writable, then devtls trust."
                )
            case _:
                return ChangeState(Status.FAILED, outcome.detail, again)

    def explain(self, facts: PolicyFacts, desired: RootCertificate) -> str:
        """Return the line to add manually to a file that we cannot merge into."""
        if facts.blocked is None:
            return ""
        return f'In {self._path}, add "{desired.path}" to the list "Install" of "Certificates" of "policies".'


_FIX = "Fix the file, then devtls trust."


def _certificate(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            held = list(certificates_in(file.read(_LARGEST)))
    except OSError:
        return b""
    # A file with several certificates is not of our making.
    return held[0] if len(held) == 1 else b""
