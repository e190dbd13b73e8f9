"""The engine of every change to this machine: propose, apply, probe again; and the same for reverting.

Owns the order plan -> record -> execute -> probe. Refuses to let the failure of one change stop the others: each ends
in a Result. The exit code of a tool proves nothing; only the second probe does. A plan that stopped halfway is undone
as far as it got; two are left as they are: a change that an earlier run had applied, and that could not be brought up
to date, and a service that was put in place and does not run, whose log says why.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from devtls.errors import DevtlsError
from devtls.system.changes.change import BLOCKED, AnyChange, ChangeState, Kind, Part, PreviousState, Status
from devtls.system.changes.record import AppliedChange, ChangeRecord
from devtls.system.machine.execute import Outcome, Runner, StepFailure, execute
from devtls.system.machine.plan import Elevation, Plan, render_plan

_PROBE_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change, and the plan that applies or reverts it; an empty plan = nothing to do, or nothing that we can do.

    `desired` is None in a proposal to revert, `previous_state` in a proposal to apply a change that is not recorded.
    A trust store that another one feeds has an empty plan too: it is probed again when its turn comes.
    """

    change: AnyChange
    facts: Any  # of the change's own type: handed back to it, never read here
    desired: Any
    state: ChangeState
    plan: Plan
    previous_state: PreviousState | None

    @property
    def reverts(self) -> bool:
        """Whether the plan reverts the change."""
        return self.desired is None


@dataclass(frozen=True, slots=True)
class Result:
    """The state of a change afterwards; `changed` = a plan ran to its end, `manual` = the steps of a person instead."""

    name: str
    part: Part
    kind: Kind | None
    label: str
    state: ChangeState
    changed: bool = False
    commands: tuple[str, ...] = ()
    manual: str = ""

    @property
    def is_applied(self) -> bool:
        """Whether the desired state is reached."""
        return self.state.status is Status.APPLIED


@dataclass(frozen=True, slots=True)
class Executor:
    """Everything that plans are executed with; `elevation` None = elevated steps cannot be run.

    `patience_s` is how long a change may take to be effective after its tools ended well: some only start something.
    """

    runner: Runner
    elevation: Elevation | None
    record: ChangeRecord
    patience_s: float = 5.0

    def can_run(self, plan: Plan) -> bool:
        """Whether there is a way to the rights that the plan needs."""
        return self.elevation is not None or not plan.elevated


def propose(change: AnyChange, desired: object) -> Proposal:
    """Probe a change and plan the steps that apply it."""
    return propose_on(change, change.probe(), desired)


def propose_on(change: AnyChange, facts: Any, desired: object) -> Proposal:
    """Plan the steps that apply a change which was probed already."""
    state, plan = change.state(facts, desired), change.apply_plan(facts, desired)
    return Proposal(change, facts, desired, state, plan, change.previous_state(facts, desired))


def apply(proposal: Proposal, executor: Executor) -> Result:
    """Apply one change and return its state afterwards."""
    try:
        result = _apply(proposal, executor)
    except DevtlsError as error:  # the record cannot be written: a change that cannot be reverted is not made
        return _result(proposal, ChangeState(Status.FAILED, _half(str(error)), error.hint), executor)
    return _explained(result, proposal)


def _apply(proposal: Proposal, executor: Executor) -> Result:
    if not proposal.plan:
        return _found(proposal, executor)
    if not executor.can_run(proposal.plan):
        return _result(proposal, _skipped(proposal.change.part.apply_command), executor)
    change = proposal.change
    # Before the machine is touched: a crash leaves an entry too many, never a change that nobody knows of.
    _remember(proposal, executor.record)
    outcome = execute(proposal.plan, executor.runner)
    after, state = _probed_again(proposal, executor.patience_s if outcome.done else 0)
    if state.status is Status.APPLIED:
        return _result(proposal, state, executor, changed=True)
    failure = _failure(change, after, outcome, state)
    # Undoing would take away what an earlier run had applied, or a unit whose log says why it does not run.
    if proposal.state.status is Status.OUTDATED or (change.part is Part.SERVICE and _is_in_place(proposal, outcome)):
        return _result(proposal, failure, executor)
    return _result(proposal, _undo(proposal, after, failure, executor), executor)


def _found(proposal: Proposal, executor: Executor) -> Result:
    """Return the state of a change without a plan: one that another change brought about has to be probed again."""
    change, state = proposal.change, proposal.state
    # A plan that is empty since another change does it (Java fed by the system's store): that one ran meanwhile.
    if state.status is Status.ABSENT:
        state = change.state(change.probe(), proposal.desired)
    if state.status is Status.APPLIED and change.stays_recorded:
        _remember(proposal, executor.record)
    return _result(proposal, state, executor, changed=state.status is not proposal.state.status)


def _remember(proposal: Proposal, record: ChangeRecord) -> None:
    if proposal.previous_state is not None:
        record.add(AppliedChange(proposal.change.part, proposal.change.name, proposal.previous_state))


def _is_in_place(proposal: Proposal, outcome: Outcome) -> bool:
    """Whether every step was done but the last, which starts it."""
    return outcome.done or outcome.failed is proposal.plan.steps[-1]


def _probed_again(proposal: Proposal, patience_s: float) -> tuple[Any, ChangeState]:
    """Probe a change until it is applied or its time is up."""
    change = proposal.change
    # The wall clock may be set meanwhile.
    deadline = time.monotonic() + (patience_s if change.takes_effect_later else 0)
    while True:
        facts = change.probe()
        state = change.state(facts, proposal.desired)
        if state.status is Status.APPLIED or state.status in BLOCKED or time.monotonic() >= deadline:
            return facts, state
        time.sleep(_PROBE_INTERVAL_S)


def _failure(change: AnyChange, after: Any, outcome: Outcome, state: ChangeState) -> ChangeState:
    if outcome.trouble is StepFailure.UNSAFE:
        return ChangeState(Status.SKIPPED, outcome.detail, f"Give it to root alone, then {change.part.apply_command}.")
    if not outcome.done:
        # The tool's own message comes before anything that the second probe could say.
        return change.read_failure(after, outcome)
    if state.status in BLOCKED:  # its own state names the obstacle
        return state
    why = state.detail or change.not_applied
    remedy = state.remedy or (change.part.apply_command if change.part is Part.TRUST else "devtls doctor")
    return ChangeState(Status.FAILED, f"its tools reported success; still, {why}", remedy)


def _undo(proposal: Proposal, after: Any, failure: ChangeState, executor: Executor) -> ChangeState:
    """Revert a plan that stopped halfway, and return the failure with what is left of it."""
    change, record = proposal.change, executor.record
    previous_state = proposal.previous_state or {}
    if not change.stays_recorded:  # after a crash the machine was probed halfway; the record knows it from before
        previous_state = record.previous_state_of(change.part, change.name) or {}
    execute(change.undo_plan(proposal.facts, after, previous_state), executor.runner)
    # Its entry also covers roots that it had before this run: only a verified revert drops it.
    if change.stays_recorded:
        return failure
    if change.revert_plan(change.probe(), previous_state):
        left = f"a part of it is left, which {change.part.revert_command} reverts"
        return replace(failure, detail=f"{failure.detail}; {left}")
    # Only now, after a probe found nothing: the entry must outlive what it describes.
    record.drop(change.part, change.name)
    return failure


def _explained(result: Result, proposal: Proposal) -> Result:
    """Add the manual steps where the change has some that its remedy does not name."""
    if result.state.status not in BLOCKED:
        return result
    manual = proposal.change.explain(proposal.facts, proposal.desired)
    return result if manual == result.state.remedy else replace(result, manual=manual)


def _skipped(command: str) -> ChangeState:
    return ChangeState(
        Status.SKIPPED,
        "needs administrator rights, and neither sudo, doas nor pkexec is here",
        f"Run its commands as an administrator, then {command}.",
    )


def _half(sentence: str) -> str:
    return sentence.rstrip(".")


def propose_revert(change: AnyChange, previous_state: PreviousState) -> Proposal:
    """Probe a change and plan the steps that revert it, recorded or not."""
    return propose_revert_on(change, change.probe(), previous_state)


def propose_revert_on(change: AnyChange, facts: Any, previous_state: PreviousState) -> Proposal:
    """Plan the steps that revert a change which was probed already."""
    state = _in_words_of_revert(change, change.revert_state(facts, previous_state))
    return Proposal(change, facts, None, state, change.revert_plan(facts, previous_state), previous_state)


def propose_reverts(changes: Iterable[AnyChange], recorded: Iterable[AppliedChange]) -> tuple[Proposal, ...]:
    """Propose to revert each change; the last one that was applied comes first."""
    previous = {(entry.part, entry.name): entry.previous_state for entry in recorded}
    # A later change may stand on an earlier one: a service on the ports that were opened for it.
    ordered = reversed(tuple(changes))
    return tuple(propose_revert(change, previous.get((change.part, change.name), {})) for change in ordered)


def revert(proposal: Proposal, executor: Executor) -> Result:
    """Revert one change and return its state afterwards."""
    try:
        return _revert(proposal, executor)
    except DevtlsError as error:  # the record cannot be written: the next run drops the entry
        return _result(proposal, ChangeState(Status.FAILED, _half(str(error)), error.hint), executor)


def _revert(proposal: Proposal, executor: Executor) -> Result:
    change, previous_state = proposal.change, proposal.previous_state or {}
    if not proposal.plan:
        return _found_reverted(proposal, executor)
    if not executor.can_run(proposal.plan):
        return _result(proposal, _skipped(change.part.revert_command), executor)
    outcome = execute(proposal.plan, executor.runner)
    after = change.probe()
    state = _in_words_of_revert(change, change.revert_state(after, previous_state))
    if not outcome.done:  # the steps after the failed one were not done, even where the change itself is gone
        return _result(proposal, _in_words_of_revert(change, _failure(change, after, outcome, state)), executor)
    if state.status in BLOCKED:  # it cannot be probed again, so it may be there as before
        return _result(proposal, state, executor)
    if state.status is not Status.ABSENT or change.revert_plan(after, previous_state):
        detail = f"its tools reported success, but {change.not_reverted}"
        return _result(proposal, ChangeState(Status.FAILED, detail, change.part.revert_command), executor)
    # After the second probe: a tool's exit code alone must not make us forget what is still there.
    executor.record.drop(change.part, change.name, previous_state)
    return _result(proposal, ChangeState(Status.ABSENT), executor, changed=True)


def _found_reverted(proposal: Proposal, executor: Executor) -> Result:
    """Return the state of a change with nothing to revert; one that goes with another has to be probed again."""
    change, state, previous_state = proposal.change, proposal.state, proposal.previous_state or {}
    if state.status is Status.APPLIED:
        state = _in_words_of_revert(change, change.revert_state(change.probe(), previous_state))
    if state.status is Status.ABSENT:
        executor.record.drop(change.part, change.name, previous_state)
    return _result(proposal, state, executor, changed=state.status is not proposal.state.status)


def _in_words_of_revert(change: AnyChange, state: ChangeState) -> ChangeState:
    """Return a state with the remedy of a revert: the changes themselves only name the command that applies them."""
    if state.status is Status.ABSENT:
        return ChangeState(Status.ABSENT)
    part = change.part
    return replace(state, remedy=state.remedy.replace(part.apply_command, part.revert_command))


def _result(proposal: Proposal, state: ChangeState, executor: Executor, *, changed: bool = False) -> Result:
    return replace(as_planned(proposal, executor.elevation), state=state, changed=changed)


def as_planned(proposal: Proposal, elevation: Elevation | None) -> Result:
    """Return a proposal in the shape of a result, for showing its plan."""
    change = proposal.change
    commands = render_plan(proposal.plan, elevation)
    return Result(change.name, change.part, change.kind, change.label, proposal.state, commands=commands)
