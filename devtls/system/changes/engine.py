"""Takes measures and takes them back: survey, then one step per measure, then look again.

Owns the order plan -> record -> execute -> probe. Refuses to let one measure's trouble stop the others: each ends in a
Result. What a tool says about its success is not believed; only the second probe is. A measure that stopped half way
is taken back as far as it got; two stay as they are: one that an earlier run had put in force, and that could not be
brought up to date, and a service that was put in place and does not run, whose log says why.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from devtls.errors import DevtlsError
from devtls.system.changes.change import BLOCKED, AnyChange, ChangeState, Part, PreviousState, Status, Wish
from devtls.system.changes.record import SetupRecord, Taken
from devtls.system.machine.execute import Outcome, Runner, execute
from devtls.system.machine.plan import Elevation, Plan, render_plan

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done about one measure; an empty plan = nothing to do, or nothing that we can do (see `state`)."""

    change: AnyChange
    facts: Any  # the measure's own: handed back to it, never looked into
    state: ChangeState
    plan: Plan
    previous_state: PreviousState


@dataclass(frozen=True, slots=True)
class Result:
    """How a measure stands now; `changed` = a plan ran to its end, `by_hand` = a way round a plan that could not."""

    name: str
    part: Part
    label: str
    state: ChangeState
    changed: bool = False
    commands: tuple[str, ...] = ()
    by_hand: str = ""

    @property
    def is_applied(self) -> bool:
        """Whether what was wished for is so."""
        return self.state.status is Status.APPLIED


@dataclass(frozen=True, slots=True)
class Bench:
    """What plans are carried out with; `elevation` None = elevated steps cannot be run.

    `patience_s` is how long a measure may take to be in force after its tools ended well: some only start something.
    """

    runner: Runner
    elevation: Elevation | None
    record: SetupRecord
    patience_s: float = 5.0


def propose(change: AnyChange, wish: Wish) -> Proposal:
    """Look at a measure and plan what puts it in force."""
    facts = change.probe()
    plan = change.install_plan(facts, wish)
    return Proposal(change, facts, change.state(facts, wish), plan, change.previous_state(facts))


def carry_out(proposal: Proposal, wish: Wish, bench: Bench) -> Result:
    """Take one measure and return how it stands afterwards."""
    if not proposal.plan:
        return _explained(as_planned(proposal, bench.elevation), proposal, wish)
    if proposal.plan.elevated and bench.elevation is None:
        return _explained(_result(proposal, _skipped("devtls setup"), bench), proposal, wish)
    try:
        return _explained(_take(proposal, wish, bench), proposal, wish)
    except DevtlsError as error:  # the record cannot be written: what cannot be taken back is not done
        return _result(proposal, ChangeState(Status.FAILED, _half(str(error)), error.hint), bench)


def _take(proposal: Proposal, wish: Wish, bench: Bench) -> Result:
    change, record = proposal.change, bench.record
    record.add(change.name, proposal.previous_state)
    outcome = execute(proposal.plan, bench.runner)
    after, state = _settled(change, wish, bench.patience_s if outcome.done else 0)
    if state.status is Status.APPLIED:
        return _result(proposal, state, bench, changed=True)
    failure = _failure(change, after, outcome, state)
    if proposal.state.status is Status.OUTDATED or (change.part is Part.SERVICE and _is_in_place(proposal, outcome)):
        return _result(proposal, failure, bench)
    previous_state = record.previous_state_of(change.name) or {}
    execute(change.remove_plan(after, previous_state), bench.runner)
    if change.remove_plan(change.probe(), previous_state):
        failure = replace(failure, detail=f"{failure.detail}; a part of it is left, which devtls unsetup takes back")
    else:
        record.drop(change.name)
    return _result(proposal, failure, bench)


def _is_in_place(proposal: Proposal, outcome: Outcome) -> bool:
    """Whether nothing is missing but what the last step starts."""
    return outcome.done or outcome.failed is proposal.plan.steps[-1]


def _settled(change: AnyChange, wish: Wish, patience_s: float) -> tuple[Any, ChangeState]:
    """Look at a measure until it is in force or its time is up."""
    deadline = time.monotonic() + patience_s
    while True:
        facts = change.probe()
        state = change.state(facts, wish)
        if state.status is Status.APPLIED or state.status in BLOCKED or time.monotonic() >= deadline:
            return facts, state
        time.sleep(_LOOK_S)


def _failure(change: AnyChange, after: Any, outcome: Outcome, state: ChangeState) -> ChangeState:
    if not outcome.done:
        return change.read_failure(after, outcome)
    if state.status in BLOCKED:  # it says itself what stands in the way
        return state
    why = state.detail or "it is not in force"
    return ChangeState(Status.FAILED, f"its tools ended well; still, {why}", state.remedy or "devtls doctor")


def _explained(result: Result, proposal: Proposal, wish: Wish) -> Result:
    """Add the way by hand where the measure has one that its remedy does not name."""
    if result.state.status not in BLOCKED:
        return result
    by_hand = proposal.change.explain(proposal.facts, wish)
    return result if by_hand == result.state.remedy else replace(result, by_hand=by_hand)


def _skipped(command: str) -> ChangeState:
    return ChangeState(
        Status.SKIPPED,
        "needs administrator rights, and neither sudo, doas nor pkexec is here",
        f"Run its commands as an administrator, then {command}.",
    )


def _half(sentence: str) -> str:
    return sentence.rstrip(".")


def propose_removal(changes: Iterable[AnyChange], entries: Iterable[Taken]) -> tuple[Proposal, ...]:
    """Look at each measure and plan what takes back what is ours, recorded or not; what was taken last goes first."""
    previous_states = {entry.name: entry.previous_state for entry in entries}
    proposals: list[Proposal] = []
    for change in reversed(tuple(changes)):
        facts, previous_state = change.probe(), previous_states.get(change.name, {})
        plan = change.remove_plan(facts, previous_state)
        state = ChangeState(Status.APPLIED if plan else Status.ABSENT)
        proposals.append(Proposal(change, facts, state, plan, previous_state))
    return tuple(proposals)


def take_back(proposal: Proposal, bench: Bench) -> Result:
    """Carry out one removal and return how the measure stands afterwards."""
    try:
        return _take_back(proposal, bench)
    except DevtlsError as error:  # the record cannot be written: the entry is dropped by the next unsetup
        return _result(proposal, ChangeState(Status.FAILED, _half(str(error)), error.hint), bench)


def _take_back(proposal: Proposal, bench: Bench) -> Result:
    change = proposal.change
    if not proposal.plan:
        bench.record.drop(change.name)
        return _result(proposal, ChangeState(Status.ABSENT), bench)
    if proposal.plan.elevated and bench.elevation is None:
        return _result(proposal, _skipped("devtls unsetup"), bench)
    outcome = execute(proposal.plan, bench.runner)
    after = change.probe()
    if not outcome.done:  # what came after the step that failed was not done, even where the measure itself is gone
        return _result(proposal, _for_removal(change.read_failure(after, outcome)), bench)
    if change.remove_plan(after, proposal.previous_state):
        failed = ChangeState(Status.FAILED, "its tools ended well, but a part of it is still there", "devtls unsetup")
        return _result(proposal, failed, bench)
    bench.record.drop(change.name)
    return _result(proposal, ChangeState(Status.ABSENT), bench, changed=True)


def _for_removal(state: ChangeState) -> ChangeState:
    """Return a failure in the words of taking back: measures only speak of taking."""
    return replace(state, remedy=state.remedy.replace("devtls setup", "devtls unsetup"))


def _result(proposal: Proposal, state: ChangeState, bench: Bench, *, changed: bool = False) -> Result:
    return replace(as_planned(proposal, bench.elevation), state=state, changed=changed)


def as_planned(proposal: Proposal, elevation: Elevation | None) -> Result:
    """Return a proposal in the shape of a result, for showing what would be done."""
    change = proposal.change
    commands = render_plan(proposal.plan, elevation)
    return Result(change.name, change.part, change.label, proposal.state, commands=commands)
