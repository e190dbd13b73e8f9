"""The change of the files behind the variables: written, made anew for another CA, and retired.

Owns the files on disk. Each is replaced in one step, so a program that starts at that moment reads the old one or the
new one; one that is right already is not touched. Refuses to delete a list that a variable still names: it loses our
root and goes on, since without it the program would trust no site at all. Nothing is recorded: the files are ours by
their names, in a directory that is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from devtls.errors import CertificateError, StateError
from devtls.system.changes.change import Change, ChangeState, Part, Status
from devtls.system.changes.clientenv.bundle_file import head_of
from devtls.system.changes.clientenv.java_options import named_truststore
from devtls.system.changes.clientenv.java_roots import certificates_of
from devtls.system.changes.clientenv.planning import java_truststore
from devtls.system.changes.clientenv.variables import JAVA_VARIABLE, NAMES, ROOT_FILE, TRUSTSTORE_FILE
from devtls.system.changes.engine import Executor, Result, apply, propose, propose_revert, revert
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, fingerprint_of, ours, pem_of
from devtls.system.machine.execute import Outcome, ProcessRunner
from devtls.system.machine.plan import Plan, RemoveFile, Step, WriteFile

# Public certificates: nothing in them is secret.
_MODE = 0o644
_STORE = Path(TRUSTSTORE_FILE)
_REMEDY = "check who owns the directory and whether the disk is full"


@dataclass(frozen=True, slots=True)
class FilesFacts:
    """The content of every list of ours; `unreadable` are those that are there, with the reason."""

    contents: Mapping[Path, bytes] = field(default_factory=dict)
    unreadable: Mapping[Path, str] = field(default_factory=dict)
    has_root_file: bool = False


@dataclass(frozen=True, slots=True)
class DesiredFiles:
    """`files` shall have exactly these contents, and every list of ours `root` and its older ones as our only roots."""

    files: Mapping[Path, bytes] = field(default_factory=dict)
    root: RootCertificate | None = None


@dataclass(frozen=True, slots=True)
class ClientFiles(Change[FilesFacts, DesiredFiles]):
    """The files of one state directory; `environ` says which of them the variables of this shell name."""

    directory: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    # Files count as soon as they are written: there is nothing to wait for.
    takes_effect_later: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name."""
        return "files:env"

    @property
    def part(self) -> Part:
        """Files."""
        return Part.FILES

    @property
    def label(self) -> str:
        """The name for people."""
        return "Files of devtls env"

    @property
    def purpose(self) -> str:
        """The effect."""
        return "Makes the files of devtls env anew, with the root of the present CA."

    def probe(self) -> FilesFacts:
        """Read every list of ours."""
        contents: dict[Path, bytes] = {}
        unreadable: dict[Path, str] = {}
        for path in (*_lists(self.directory), self.directory / ROOT_FILE):
            try:
                contents[path] = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                unreadable[path] = error.strerror or str(error)
        return FilesFacts(contents, unreadable, self.directory / ROOT_FILE in contents)

    def state(self, facts: FilesFacts, desired: DesiredFiles) -> ChangeState:
        """Say whether every file is as desired."""
        if facts.unreadable:
            return _unreadable(facts)
        outdated = self._outdated(facts, desired)
        if not outdated:
            return ChangeState(Status.APPLIED)
        names = ", ".join(path.name for path in outdated)
        return ChangeState(Status.OUTDATED, f"not as devtls env would make them now: {names}")

    def apply_plan(self, facts: FilesFacts, desired: DesiredFiles) -> Plan:
        """Return: write each file that differs."""
        # One that cannot be read may hold roots of the user's own: writing it anew could lose them.
        if facts.unreadable:
            return Plan()
        outdated = self._outdated(facts, desired)
        return Plan(tuple(WriteFile(path, content, _MODE) for path, content in outdated.items()))

    def outdated(self, desired: DesiredFiles) -> tuple[Path, ...]:
        """Return the files that are not as desired."""
        return tuple(self._outdated(self.probe(), desired))

    def _outdated(self, facts: FilesFacts, desired: DesiredFiles) -> dict[Path, bytes]:
        wanted: dict[Path, bytes] = dict(desired.files)
        if desired.root is not None:
            for path, data in facts.contents.items():
                if path not in wanted and path.name != ROOT_FILE and (content := _with_root(path, data, desired.root)):
                    wanted[path] = content
        return {path: content for path, content in wanted.items() if facts.contents.get(path) != content}

    def previous_state(self, facts: FilesFacts, desired: DesiredFiles) -> None:
        """Return nothing: a revert needs to know nothing of the time before."""

    def revert_plan(self, facts: FilesFacts, previous_state: Collection[str]) -> Plan:
        """Return: take the roots of ours, and these, out of each list that a variable names; remove the others."""
        if facts.unreadable:
            return Plan()
        named = {path for _, path in self.named()}
        steps: list[Step] = []
        for path, data in facts.contents.items():
            if path.name == ROOT_FILE:
                continue
            # A variable that names a missing file leaves its program without any root, so such a list stays.
            content = _with_root(path, data, None, previous_state) if path in named else b""
            if not content:
                steps.append(RemoveFile(path))
            elif content != data:
                steps.append(WriteFile(path, content, _MODE))
        # Last: `are_retired` reads its absence as "untrust was done", so a stop half way must not say so.
        return Plan((*steps, *([RemoveFile(self.directory / ROOT_FILE)] if facts.has_root_file else [])))

    def revert_state(self, facts: FilesFacts, previous_state: Collection[str]) -> ChangeState:
        """Say whether any root of ours is left in them."""
        if facts.unreadable:
            return _unreadable(facts)
        return ChangeState(Status.APPLIED if self.revert_plan(facts, previous_state) else Status.ABSENT)

    def read_failure(self, facts: FilesFacts, outcome: Outcome) -> ChangeState:
        """Put a file that could not be written into words."""
        step = outcome.failed
        path = str(step.path) if isinstance(step, WriteFile | RemoveFile) else self.label
        return ChangeState(Status.FAILED, f"{path} cannot be written{outcome.detail.removeprefix(path)}", f"{_REMEDY}")

    def explain(self, facts: FilesFacts, desired: DesiredFiles) -> str:
        """Return nothing: the plan's commands say it all."""
        return ""

    def named(self) -> Iterator[tuple[str, Path]]:
        """Yield each variable of this shell that names a file of ours, with the file."""
        for name in NAMES:
            value = self.environ.get(name, "")
            path = named_truststore(value) if name == JAVA_VARIABLE else value
            if path and Path(path).parent == self.directory:
                yield name, Path(path)


def write_files(directory: Path, files: Mapping[Path, bytes]) -> None:
    """Write the files that are not as they should be; raises StateError."""
    change = ClientFiles(directory)
    _require(apply(propose(change, DesiredFiles(files)), _executor(directory)), Status.APPLIED)


def renew_files(directory: Path, root: RootCertificate) -> None:
    """Make `root` and its older ones the only roots of ours in every list that a shell may name; raises StateError."""
    change = ClientFiles(directory)
    _require(apply(propose(change, DesiredFiles(root=root)), _executor(directory)), Status.APPLIED)


def retire_files(directory: Path, environ: Mapping[str, str], fingerprints: Collection[str] = ()) -> tuple[str, ...]:
    """End the trust that variables give, and return the variables that still name a file of ours; raises StateError.

    `fingerprints` are roots that go besides those of ours: imported ones, which nothing tells from the user's own.
    """
    change = ClientFiles(directory, environ)
    _require(revert(propose_revert(change, dict.fromkeys(fingerprints, "")), _executor(directory)), Status.ABSENT)
    return tuple(name for name, _ in change.named())


def are_retired(directory: Path) -> bool:
    """Whether `devtls untrust` was the last word here: `devtls trust` writes the root's file, untrust removes it."""
    return ChangeRecord(directory).knows_roots() and not (directory / ROOT_FILE).exists()


def _executor(directory: Path) -> Executor:
    return Executor(ProcessRunner(), None, ChangeRecord(directory))


def _require(result: Result, wanted: Status) -> None:
    if result.state.status is not wanted:
        raise StateError(f"{result.state.detail}.", hint=result.state.remedy)


def _unreadable(facts: FilesFacts) -> ChangeState:
    path, why = next(iter(facts.unreadable.items()))
    return ChangeState(Status.FAILED, f"{path} cannot be read: {why}", _REMEDY)


def _lists(directory: Path) -> Iterator[Path]:
    for pattern in ("ca-bundle*.pem", f"{_STORE.stem}*{_STORE.suffix}"):
        yield from sorted(directory.glob(pattern))


def _with_root(path: Path, data: bytes, root: RootCertificate | None, dropped: Collection[str] = ()) -> bytes:
    """Return a file of ours with `root` and its older ones as the only roots of ours, b"" when there are no others."""
    is_java = path.suffix == _STORE.suffix
    present = _java_roots(data) if is_java else certificates_in(data)
    gone = {*dropped, *(fingerprint_of(der) for der in (root.ders if root else ()))}
    others = [der for der in present if ours(der) is None and fingerprint_of(der) not in gone]
    if not others:
        return b""
    certificates = [*others, *(root.ders if root else ())]
    if is_java:
        return java_truststore(certificates, root)
    # The head stays: it names the user's own file, which `devtls env` goes back to.
    return head_of(data) + b"".join(pem_of(der) for der in certificates)


def _java_roots(data: bytes) -> tuple[bytes, ...]:
    try:
        return certificates_of(data)
    except CertificateError:  # not as we left it: nothing can be kept of it
        return ()
