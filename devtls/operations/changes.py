"""Changes to the machine, one after the other, each reported when it begins.

Owns the loop over proposals. Decides nothing: the engine turns the failure of one change into its result, and the
others go on.
"""

from __future__ import annotations

from collections.abc import Iterable

from devtls.operations.context import Context
from devtls.system.changes import engine
from devtls.system.changes.engine import Proposal, Result


def apply_all(context: Context, proposals: Iterable[Proposal]) -> tuple[Result, ...]:
    """Apply each change and return its state afterwards."""
    results: list[Result] = []
    for proposal in proposals:
        _begin(context, proposal)
        results.append(engine.apply(proposal, context.executor))
    return tuple(results)


def revert_all(context: Context, proposals: Iterable[Proposal]) -> tuple[Result, ...]:
    """Revert each change and return its state afterwards."""
    results: list[Result] = []
    for proposal in proposals:
        _begin(context, proposal)
        results.append(engine.revert(proposal, context.executor))
    return tuple(results)


def planned_results(context: Context, proposals: Iterable[Proposal]) -> tuple[Result, ...]:
    """Return each change as it is, in the shape of a result, with the commands that would change it."""
    return tuple(engine.as_planned(proposal, context.machine.elevation) for proposal in proposals)


def _begin(context: Context, proposal: Proposal) -> None:
    """Report that a plan begins, unless it is empty or there is no way to run it elevated."""
    plan, elevation = proposal.plan, context.machine.elevation
    if plan and context.executor.can_run(plan):
        # Elevation without argv is a process that is the administrator already: nobody is asked.
        asks = plan.elevated and elevation is not None and elevation.argv
        context.reporter.begin(proposal.change.label, elevation.name if asks and elevation else "")
