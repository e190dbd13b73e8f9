"""Files of our own in a directory that a resolver of this machine reads: one change for every such resolver.

Owns looking at the directory, writing and removing our files there, and telling the resolver. A file is ours when its
first line says so; any other of the name that we need, a link, or a directory that others may write to, is left as it
is and reported. A Recipe names the directory, the content and the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from devtls.system.changes.change import Change, ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import is_read_only
from devtls.system.machine.plan import ELEVATED_S, MakeDirectory, Plan, RemoveFile, Run, Step, WriteFile

MARK = "# Written by devtls setup; devtls unsetup takes it out."
_OURS = b"# Written by devtls setup"
_LARGEST = 1 << 16
# Write bits of group and others.
_OPEN_TO_OTHERS = 0o022
_AGAIN = "devtls setup names"
# As they stand in records of earlier versions: such words cannot be renamed.
_DIRECTORY, _ABSENT = "folder", "absent"
_RMDIR = "/bin/rmdir"


@dataclass(frozen=True, slots=True)
class DropInFacts:
    """`ours` are our files by name, `taken` the other names and what they are; `is_there` = there is a directory.

    `trouble` is why the directory must not be written to.
    """

    is_there: bool = True
    ours: Mapping[str, bytes] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The method of one resolver: `directory` counts from the root of the file system, `files` are name -> content.

    `refresh` makes the resolver read them; `writer` as in WriteFile.
    """

    method: str
    label: str
    purpose: str
    directory: str
    files: Callable[[DesiredState], Mapping[str, str]]
    refresh: tuple[tuple[str, ...], ...] = ()
    writer: Literal["install", "tee"] = "install"


class DropIn(Change[DropInFacts, DesiredState]):
    """The Change of one recipe; `obstacle` is why this machine does not go by it ("" = it does)."""

    part = Part.NAMES

    def __init__(self, recipe: Recipe, root: Path, obstacle: str = "", *, owner: int = 0) -> None:
        self._recipe = recipe
        self._directory = root / recipe.directory
        self._obstacle = obstacle
        self._owner = owner

    @property
    def name(self) -> str:
        """`names:` and the way."""
        return f"names:{self._recipe.method}"

    @property
    def label(self) -> str:
        """The label of the recipe."""
        return self._recipe.label

    @property
    def purpose(self) -> str:
        """The purpose of the recipe."""
        return self._recipe.purpose

    def probe(self) -> DropInFacts:
        """Read the directory, and in it what is small enough to be ours."""
        directory = self._directory
        # Whoever may set the link would choose where root writes.
        if directory.is_symlink():
            return DropInFacts(trouble=f"{directory} is a link, and links are not followed as administrator")
        try:
            about, entries = directory.stat(), sorted(directory.iterdir())
        except FileNotFoundError:
            return DropInFacts(is_there=False, read_only=is_read_only(_nearest(directory)))
        except OSError as error:
            return DropInFacts(trouble=f"{directory} cannot be read: {(error.strerror or str(error)).lower()}")
        trouble = ""
        if about.st_uid != self._owner:
            trouble = f"{directory} does not belong to root: whoever owns it could send any name anywhere"
        elif about.st_mode & _OPEN_TO_OTHERS:
            trouble = f"others than root may write to {directory}, and could send any name anywhere"
        found = {entry.name: _read(entry) for entry in entries}
        ours = {name: content for name, content in found.items() if isinstance(content, bytes)}
        taken = {name: what for name, what in found.items() if isinstance(what, str)}
        return DropInFacts(True, ours, taken, is_read_only(directory), trouble)

    def state(self, facts: DropInFacts, desired: DesiredState) -> ChangeState:
        """Say whether our files are there as desired, and only those."""
        if facts.trouble:
            return ChangeState(Status.MANUAL, facts.trouble, f"Fix that, then {_AGAIN}.")
        if self._obstacle:
            remedy = "devtls unsetup names takes out what an earlier setup left." if facts.ours else ""
            return ChangeState(Status.NO_TOOL, self._obstacle, remedy)
        wanted = self._wanted(desired)
        for name in wanted:
            if name in facts.taken:
                path = self._directory / name
                detail = f"{path} is there already and {facts.taken[name]}: it is left as it is"
                return ChangeState(Status.MANUAL, detail, f"Move it away, then {_AGAIN}.")
        if wanted == facts.ours:
            return ChangeState(Status.APPLIED)
        if facts.read_only:
            detail = f"{self._directory} lies on a read-only file system"
            return ChangeState(Status.READ_ONLY, detail, f"Make it writable, then {_AGAIN}.")
        return ChangeState(Status.OUTDATED, "zones or port have changed") if facts.ours else ChangeState(Status.ABSENT)

    def _wanted(self, desired: DesiredState) -> dict[str, bytes]:
        files = self._recipe.files(desired).items()
        return {name: f"{MARK}\n{content}".encode("ascii") for name, content in files}

    def apply_plan(self, facts: DropInFacts, desired: DesiredState) -> Plan:
        """Return: write what is missing or old, remove what is wanted no more, tell the resolver."""
        if self.state(facts, desired).status not in {Status.ABSENT, Status.OUTDATED}:
            return Plan()
        wanted = self._wanted(desired)
        steps: list[Step] = [] if facts.is_there else [MakeDirectory(self._directory, elevate=True)]
        for name, content in wanted.items():
            if facts.ours.get(name) != content:
                path, writer = self._directory / name, self._recipe.writer
                steps.append(WriteFile(path, content, elevate=True, replaces=name in facts.ours, tool=writer))
        steps.extend(RemoveFile(self._directory / name, elevate=True) for name in facts.ours if name not in wanted)
        return Plan((*steps, *self._refresh))

    @property
    def _refresh(self) -> tuple[Run, ...]:
        return tuple(Run(argv, elevate=True, timeout_s=ELEVATED_S) for argv in self._recipe.refresh)

    def previous_state(self, facts: DropInFacts, desired: DesiredState) -> PreviousState:
        """Return whether the directory has to be made."""
        return {} if facts.is_there else {_DIRECTORY: _ABSENT}

    def revert_plan(self, facts: DropInFacts, previous_state: PreviousState) -> Plan:
        """Return: remove our files, and the directory if we made it and it holds nothing else; tell the resolver."""
        # rmdir takes empty directories only, so a file that comes meanwhile is safe.
        made = previous_state.get(_DIRECTORY) == _ABSENT and facts.is_there and not facts.taken and not facts.trouble
        steps: list[Step] = [RemoveFile(self._directory / name, elevate=True) for name in facts.ours]
        if made:
            argv, touches = (_RMDIR, "--", str(self._directory)), (self._directory,)
            steps.append(Run(argv, elevate=True, timeout_s=ELEVATED_S, touches=touches))
        return Plan((*steps, *self._refresh)) if steps else Plan()

    def read_failure(self, facts: DropInFacts, outcome: Outcome) -> ChangeState:
        """Put a plan that stopped into words."""
        if outcome.failed in self._refresh:
            detail = f"the files are as they should be, but the resolver was not told: {outcome.detail}"
            return ChangeState(Status.FAILED, detail, f"Run {' '.join(self._recipe.refresh[0])} yourself.")
        if outcome.trouble is StepFailure.READ_ONLY:
            return ChangeState(Status.READ_ONLY, outcome.detail, f"Make it writable, then {_AGAIN}.")
        return ChangeState(Status.FAILED, outcome.detail, f"Run the commands above yourself, then {_AGAIN}.")

    def explain(self, facts: DropInFacts, desired: DesiredState) -> str:
        """Return nothing: where there is no plan, the state says what to do first."""
        return ""


def _nearest(directory: Path) -> Path:
    """Return the directory itself or the first above it that is there."""
    # A directory that is still to be made is as writable as the one that it will stand in.
    return next((each for each in (directory, *directory.parents) if each.is_dir()), directory)


def _read(path: Path) -> bytes | str:
    """Return the content of a file of ours, else what it is."""
    if path.is_symlink():
        return "is a link"
    if not path.is_file():
        return "is no file"
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST)
    except OSError:
        return "cannot be read"
    return content if content.startswith(_OURS) else "was not written by devtls"
