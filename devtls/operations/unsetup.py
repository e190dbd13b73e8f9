"""Unsetup: revert the changes of `devtls setup`, the trust excepted.

Owns the choice of the changes: those in the record, and those that the machine shows to be ours, also without a record
and without a CA. Refuses to touch anything else. The failure of one change never stops the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devtls.errors import SetupFailed
from devtls.operations.changes import revert_all
from devtls.operations.context import Context
from devtls.system.changes.change import SETUP_PARTS, ChangeState, Part, Status
from devtls.system.changes.discovery import find_applied
from devtls.system.changes.engine import Proposal, Result, propose_reverts
from devtls.system.changes.record import AppliedChange
from devtls.system.machine.plan import Plan


@dataclass(frozen=True, slots=True)
class UnsetupPlan:
    """The changes as they are, and the commands that revert them.

    `recorded` are the names of those in the record, `unknown` the entries that no change of this version goes with.
    """

    parts: tuple[Part, ...]
    proposals: tuple[Proposal, ...]
    recorded: frozenset[str]
    unknown: tuple[AppliedChange, ...]

    @property
    def working(self) -> tuple[Proposal, ...]:
        """The proposals with something to do."""
        return tuple(proposal for proposal in self.proposals if proposal.plan)

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans with something to do."""
        return tuple(proposal.plan for proposal in self.working)

    @property
    def has_work(self) -> bool:
        """Whether the machine would be changed."""
        return bool(self.working)


@dataclass(frozen=True, slots=True)
class UnsetupResult:
    """The changes afterwards: those that there was something to do about, or that were recorded."""

    changes: tuple[Result, ...]

    def raise_for_failure(self) -> None:
        """Raise SetupFailed when something is left."""
        left = [result for result in self.changes if result.state.status is not Status.ABSENT]
        if left:
            labels = ", ".join(result.label for result in left)
            raise SetupFailed(f"Still there: {labels}.", hint=left[0].state.remedy or "devtls unsetup")


def plan_unsetup(context: Context, parts: Sequence[Part] = SETUP_PARTS) -> UnsetupPlan:
    """Probe the changes of these parts and plan their revert. Raises StateError for a damaged record."""
    entries = context.record.entries(*parts)
    recorded = frozenset(entry.name for entry in entries)
    changes = find_applied(context.machine, context.runner, parts, recorded=recorded)
    known = {change.name for change in changes}
    # Written by a newer devtls: kept in the record, so that one can revert it.
    unknown = tuple(entry for entry in entries if entry.name not in known)
    return UnsetupPlan(tuple(parts), propose_reverts(changes, entries), recorded, unknown)


def apply_unsetup(context: Context, plan: UnsetupPlan) -> UnsetupResult:
    """Revert the changes, the last one that was applied first."""
    results = revert_all(context, plan.proposals)
    changes = [
        result
        for proposal, result in zip(plan.proposals, results, strict=True)
        if proposal.plan or result.name in plan.recorded
    ]
    if Part.NAMES in plan.parts and context.record.hostnames():
        # Else the next setup would bring back the names of every project that ever was.
        context.record.remember_hostnames(())
    return UnsetupResult((*changes, *(_not_known(entry, context.record.path) for entry in plan.unknown)))


def _not_known(entry: AppliedChange, file: Path) -> Result:
    remedy = f"Upgrade devtls; or, if you reverted it yourself, take its entry out of {file}."
    state = ChangeState(Status.FAILED, "this devtls does not know how to revert it", remedy)
    return Result(entry.name, entry.part, None, entry.name, state)
