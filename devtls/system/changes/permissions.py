"""The change that takes other users' rights from files and directories of ours.

Owns the one command. Refuses to give rights back: a file of the CA that others could read was never meant to be.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from devtls.system.changes.change import Change, ChangeState, Part, Status
from devtls.system.machine.execute import Outcome
from devtls.system.machine.plan import Plan, Run

_CHMOD = "/bin/chmod"
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class PrivateFiles(Change[Mapping[Path, int], Collection[Path]]):
    """Files of the CA; desired are the paths that only their owner may use."""

    paths: tuple[Path, ...]
    # A mode counts at once.
    takes_effect_later: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name."""
        return "files:private"

    @property
    def part(self) -> Part:
        """Files."""
        return Part.FILES

    @property
    def label(self) -> str:
        """The name for people."""
        return "Files of the CA"

    @property
    def purpose(self) -> str:
        """The effect."""
        return "Closes the CA's files to other users."

    def probe(self) -> dict[Path, int]:
        """Read the modes of those that are there."""
        found: dict[Path, int] = {}
        for path in self.paths:
            try:
                found[path] = stat.S_IMODE(path.stat().st_mode)
            except OSError:  # it is gone, so nobody reads it
                continue
        return found

    def state(self, facts: Mapping[Path, int], desired: Collection[Path]) -> ChangeState:
        """Say whether others have rights."""
        return ChangeState(Status.OUTDATED if self._open(facts, desired) else Status.APPLIED)

    def apply_plan(self, facts: Mapping[Path, int], desired: Collection[Path]) -> Plan:
        """Return: one command for each."""
        # `--`: a path is never an option. `go=` leaves the owner's own bits as they are.
        return Plan(tuple(Run((_CHMOD, "go=", "--", str(path))) for path in self._open(facts, desired)))

    def _open(self, facts: Mapping[Path, int], desired: Collection[Path]) -> list[Path]:
        return [path for path in desired if facts.get(path, 0) & _OTHERS]

    def previous_state(self, facts: Mapping[Path, int], desired: Collection[Path]) -> None:
        """Return nothing: this is not reverted."""

    def revert_plan(self, facts: Mapping[Path, int], previous_state: Collection[str]) -> Plan:
        """Return nothing."""
        return Plan()

    def read_failure(self, facts: Mapping[Path, int], outcome: Outcome) -> ChangeState:
        """Put chmod's message into words."""
        return ChangeState(Status.FAILED, outcome.detail, "Check who owns the files.")

    def explain(self, facts: Mapping[Path, int], desired: Collection[Path]) -> str:
        """Return nothing: the plan's commands say it all."""
        return ""
