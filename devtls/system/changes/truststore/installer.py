"""Puts the root into stores and takes it out: survey, then one step per store, then ask the store again.

Owns the order plan -> record -> execute -> probe. Refuses to let one store's trouble stop the others: each ends in a
Result. What a tool says about its success is not believed; only the second probe is. A plan that stopped half way is
taken back as far as it got.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from devtls.system.changes.truststore.discovery import AnyStore
from devtls.system.changes.truststore.protocol import BLOCKED, Kind, Status, StoreState
from devtls.system.changes.truststore.record import Installed, Record
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import Runner, execute
from devtls.system.machine.plan import Elevation, Plan, render_plan


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done to one store; an empty plan = nothing to do, or nothing that we can do (see `state`).

    A store that another one feeds has an empty plan too: it is asked again when its turn comes.
    """

    store: AnyStore
    facts: Any  # the store's own Facts: handed back to it, never looked into
    state: StoreState
    plan: Plan
    fingerprints: frozenset[str]


@dataclass(frozen=True, slots=True)
class Result:
    """How a store stands now; `changed` = a plan ran to its end, `by_hand` = a way round a plan that could not.

    `holds` = a root is known to be there, though nothing can be done about it.
    """

    name: str
    kind: Kind
    label: str
    state: StoreState
    changed: bool = False
    commands: tuple[str, ...] = ()
    by_hand: str = ""
    holds: bool = False


def propose_install(stores: Iterable[AnyStore], root: RootCertificate) -> tuple[Proposal, ...]:
    """Probe each store and plan what makes it trust `root`."""
    proposals: list[Proposal] = []
    for store in stores:
        facts = store.probe()
        state, plan = store.state(facts, root.fingerprint), store.install_plan(facts, root)
        proposals.append(Proposal(store, facts, state, plan, frozenset({root.fingerprint})))
    return tuple(proposals)


def install(
    proposal: Proposal, root: RootCertificate, runner: Runner, elevation: Elevation | None, record: Record
) -> Result:
    """Carry out one proposal and return how the store stands afterwards."""
    if not proposal.plan:
        state = proposal.state
        if state.status is Status.ABSENT:
            state = proposal.store.state(proposal.store.probe(), root.fingerprint)
        if state.status is Status.TRUSTED:
            record.add(Installed(proposal.store.name, root.fingerprint, root.id))
        changed = state.status is not proposal.state.status
        return _explained(_result(proposal, state, elevation, changed=changed), proposal, root)
    if proposal.plan.elevated and elevation is None:
        return _result(proposal, _skipped("devtls trust"), elevation)
    record.add(Installed(proposal.store.name, root.fingerprint, root.id))
    outcome = execute(proposal.plan, runner)
    after = proposal.store.probe()
    state = proposal.store.state(after, root.fingerprint)
    if state.status is Status.TRUSTED:
        return _result(proposal, state, elevation, changed=True)
    execute(proposal.store.undo_plan(proposal.facts, after, root), runner)
    if not outcome.done:
        state = proposal.store.read_failure(after, outcome)
    else:
        state = StoreState(Status.FAILED, "its tool ended well, but the store does not hold the root", "devtls trust")
    return _explained(_result(proposal, state, elevation), proposal, root)


def _explained(result: Result, proposal: Proposal, root: RootCertificate) -> Result:
    """Add the way by hand where the store has one that its remedy does not name."""
    if result.state.status not in BLOCKED:
        return result
    by_hand = proposal.store.explain(proposal.facts, root)
    return result if by_hand == result.state.remedy else replace(result, by_hand=by_hand)


def _skipped(command: str) -> StoreState:
    return StoreState(
        Status.SKIPPED,
        "needs administrator rights, and neither sudo, doas nor pkexec is here",
        f"Run its commands as an administrator, then {command}.",
    )


def propose_removal(
    stores: Iterable[AnyStore], fingerprints: Collection[str], *, every_root: bool, also: Collection[str] = ()
) -> tuple[Proposal, ...]:
    """Probe each store and plan what takes these roots out.

    `every_root` adds each devtls root that a store holds, `also` those of other tools by the tool's name.
    """
    proposals: list[Proposal] = []
    for store in stores:
        facts = store.probe()
        wanted = frozenset(fingerprints) | (
            frozenset(root.fingerprint for root in facts.roots) if every_root else frozenset()
        )
        wanted |= {other.fingerprint for other in facts.others if other.tool in also}
        proposals.append(Proposal(store, facts, _held(store, facts, wanted), store.remove_plan(facts, wanted), wanted))
    return tuple(proposals)


def _held(store: AnyStore, facts: Any, fingerprints: Collection[str]) -> StoreState:
    """Return the worst news about these roots: one that is trusted, else what blocks the view, else absent."""
    states = [store.state(facts, fingerprint) for fingerprint in sorted(fingerprints)] or [store.state(facts, "")]
    trusted = [state for state in states if state.status is Status.TRUSTED]
    return _for_removal((trusted or states)[0])


def _for_removal(state: StoreState) -> StoreState:
    """Return a state in the words of removing: the stores themselves only speak of installing."""
    if state.status is Status.ABSENT:
        return StoreState(Status.ABSENT)
    return replace(state, remedy=state.remedy.replace("devtls trust", "devtls untrust"))


def remove(proposal: Proposal, runner: Runner, elevation: Elevation | None, record: Record) -> Result:
    """Carry out one removal and return how the store stands afterwards."""
    if not proposal.plan:
        state = proposal.state
        if state.status is Status.TRUSTED:
            state = _held(proposal.store, proposal.store.probe(), proposal.fingerprints)
        if state.status is Status.ABSENT:
            record.drop(proposal.store.name, proposal.fingerprints)
        changed = state.status is not proposal.state.status
        return _result(proposal, state, elevation, changed=changed)
    if proposal.plan.elevated and elevation is None:
        return _result(proposal, _skipped("devtls untrust"), elevation)
    outcome = execute(proposal.plan, runner)
    after = proposal.store.probe()
    state = _held(proposal.store, after, proposal.fingerprints)
    if not outcome.done:  # what came after the step that failed was not done, even where the root itself is gone
        return _result(proposal, _for_removal(proposal.store.read_failure(after, outcome)), elevation)
    if state.status in BLOCKED:  # it cannot be asked again, so it may hold the root as before
        return _result(proposal, state, elevation)
    if state.status is not Status.ABSENT or proposal.store.remove_plan(after, proposal.fingerprints):
        failed = StoreState(Status.FAILED, "its tool ended well, but the store still holds the root", "devtls untrust")
        return _result(proposal, failed, elevation)
    record.drop(proposal.store.name, proposal.fingerprints)
    return _result(proposal, StoreState(Status.ABSENT), elevation, changed=True)


def _result(proposal: Proposal, state: StoreState, elevation: Elevation | None, *, changed: bool = False) -> Result:
    store = proposal.store
    commands = render_plan(proposal.plan, elevation)
    seen = any(root.fingerprint in proposal.fingerprints for root in proposal.facts.roots)
    return Result(store.name, store.kind, store.label, state, changed, commands, "", seen and state.status in BLOCKED)


def as_planned(proposal: Proposal, elevation: Elevation | None) -> Result:
    """Return a proposal in the shape of a result, for showing what would be done."""
    return _result(proposal, proposal.state, elevation)


def counts(results: Iterable[Result]) -> bool:
    """Whether a store that matters, the system's or a browser's, trusts the root."""
    return any(result.state.status is Status.TRUSTED and result.kind is not Kind.RUNTIME for result in results)
