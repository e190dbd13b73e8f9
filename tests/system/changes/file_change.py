"""A change that is as real as a file: the marked content in it, what was there before, and ways to go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from devtls.system.changes.change import Change, ChangeState, DesiredState, Part, Status, User
from devtls.system.machine.execute import Outcome
from devtls.system.machine.plan import Plan, RemoveFile, Run, Step, WriteFile

MARK = "# made by devtls\n"
DESIRED = DesiredState(
    User("me", 1000, 1000, PurePosixPath("/home/me")), ("dev.local", "test"), ("app.dev.local", "app.test")
)


def program(name: str) -> Step:
    """Return a step that runs a program of the system, true or false."""
    return Run((f"/bin/{name}",))


@dataclass(frozen=True)
class FileChange(Change[str | None, DesiredState]):
    """The desired names below a mark in one file; with a `tail` the file is half of it; `lies` writes nothing."""

    path: Path
    method: str = "file"
    part: Part = Part.NAMES
    elevate: bool = False
    lies: bool = False
    tail: tuple[Step, ...] = ()
    blocked: ChangeState | None = None
    stuck: tuple[Step, ...] = field(default=())
    """The first steps of a revert."""

    @property
    def name(self) -> str:
        return f"{self.part.value}:{self.method}"

    @property
    def label(self) -> str:
        return f"Lines in {self.path.name}"

    @property
    def purpose(self) -> str:
        return f"Writes the names into {self.path.name}, where nobody reads them."

    def probe(self) -> str | None:
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return None

    def state(self, facts: str | None, desired: DesiredState) -> ChangeState:
        if self.blocked:
            return self.blocked
        if facts == self.wanted(desired):
            return ChangeState(Status.ABSENT, "half of it is missing") if self.tail else ChangeState(Status.APPLIED)
        if facts is not None and facts.startswith(MARK):
            return ChangeState(Status.OUTDATED, "other names")
        return ChangeState(Status.ABSENT)

    def wanted(self, desired: DesiredState) -> str:
        return MARK + "".join(f"{name}\n" for name in desired.hostnames)

    def apply_plan(self, facts: str | None, desired: DesiredState) -> Plan:
        if self.blocked or facts == self.wanted(desired):
            return Plan()
        write = WriteFile(self.path, self.wanted(desired).encode(), elevate=self.elevate)
        return Plan((program("true") if self.lies else write, *self.tail))

    def previous_state(self, facts: str | None, desired: DesiredState) -> Mapping[str, str]:
        return {} if facts is None else {"content": facts}

    def revert_plan(self, facts: str | None, previous_state: Mapping[str, str]) -> Plan:
        if facts is None or not facts.startswith(MARK):
            return Plan()
        before = previous_state.get("content")
        if before is None or before.startswith(MARK):
            return Plan((*self.stuck, RemoveFile(self.path, elevate=self.elevate)))
        return Plan((*self.stuck, WriteFile(self.path, before.encode(), elevate=self.elevate)))

    def read_failure(self, facts: str | None, outcome: Outcome) -> ChangeState:
        return ChangeState(Status.FAILED, outcome.detail or "it failed", "devtls setup names")

    def explain(self, facts: str | None, desired: DesiredState) -> str:
        return f"Write the names into {self.path.name}."
