"""The protocol of a trust store: a Change whose desired state is a root, and how to propose changes of many stores.

Owns the differences to other changes: a store is asked about one certificate after another, by its SHA-256, and is
recorded also where it trusted the root already, so that `devtls untrust` takes it out again. The types fit a keychain
with a dialog, a registry store and a policy file as well as a directory: facts are the store's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from devtls.system.changes.change import BLOCKED, Change, ChangeState, Kind, Part, PreviousState, Status
from devtls.system.changes.engine import Proposal, Result, propose, propose_revert_on
from devtls.system.changes.truststore.other_tools import OtherRoot
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.plan import Plan


class StoreFacts(Protocol):
    """The facts of every store; each store has its own class with at least these."""

    @property
    def roots(self) -> Collection[RootCertificate]:
        """Every devtls root in the store, trusted or not, this machine's or an older one."""

    @property
    def others(self) -> Collection[OtherRoot]:
        """Every root in it that another development tool is known to have made."""


FactsT = TypeVar("FactsT", bound=StoreFacts)


class TrustStore(Change[FactsT, RootCertificate], Protocol[FactsT]):
    """One store: the system's, one NSS database, one keychain; its name is a group and, of several, the place."""

    takes_effect_later: ClassVar[bool] = False
    # It may have trusted the root before: `devtls untrust` has to take it out there as well.
    stays_recorded: ClassVar[bool] = True
    not_applied: ClassVar[str] = "the store does not hold the root"
    not_reverted: ClassVar[str] = "the store still holds the root"

    @property
    def part(self) -> Part:
        """Trust."""
        return Part.TRUST

    @property
    def purpose(self) -> str:
        """Nothing: the label says it."""
        return ""

    @property
    def kind(self) -> Kind:
        """The programs that read it."""

    def trust_state(self, facts: FactsT, fingerprint: str) -> ChangeState:
        """Say whether the store trusts the certificate with that SHA-256."""

    def state(self, facts: FactsT, desired: RootCertificate) -> ChangeState:
        """Say whether the store trusts the root."""
        return self.trust_state(facts, desired.fingerprint)

    def previous_state(self, facts: FactsT, desired: RootCertificate) -> PreviousState:
        """Return the root, which a revert takes out."""
        return {desired.fingerprint: desired.id}

    def revert_plan(self, facts: FactsT, previous_state: Collection[str]) -> Plan:
        """Return the steps that take exactly the certificates with these SHA-256 out."""

    def undo_plan(self, before: FactsT, after: FactsT, previous_state: Collection[str]) -> Plan:
        """Return the steps that take a half-done installation out; empty where it left nothing behind."""

    def revert_state(self, facts: FactsT, previous_state: PreviousState) -> ChangeState:
        """Return the worst news about these roots: one that is trusted, else what blocks the view, else absent."""
        states = [self.trust_state(facts, sha256) for sha256 in sorted(previous_state)] or [self.trust_state(facts, "")]
        trusted = [state for state in states if state.status is Status.APPLIED]
        # One that is still trusted is the worst news, whatever blocks the view of the others.
        return (trusted or states)[0]


AnyStore: TypeAlias = TrustStore[Any]
"""A store whose type of facts does not matter to the caller."""


def propose_trust(stores: Iterable[AnyStore], root: RootCertificate) -> tuple[Proposal, ...]:
    """Probe each store and plan the steps that make it trust `root`."""
    return tuple(propose(store, root) for store in stores)


def propose_untrust(
    stores: Iterable[AnyStore], fingerprints: Collection[str], *, every_root: bool, also: Collection[str] = ()
) -> tuple[Proposal, ...]:
    """Probe each store and plan the steps that take these roots out.

    `every_root` adds each devtls root that a store holds, `also` those of other tools by the tool's name.
    """
    proposals: list[Proposal] = []
    for store in stores:
        facts = store.probe()
        wanted = dict.fromkeys(fingerprints, "")
        if every_root:
            wanted |= {root.fingerprint: root.id for root in facts.roots}
        wanted |= {other.fingerprint: "" for other in facts.others if other.tool in also}
        proposals.append(propose_revert_on(store, facts, wanted))
    return tuple(proposals)


def fingerprints_of(proposal: Proposal) -> frozenset[str]:
    """Return the roots that a proposal to trust puts in, or that a proposal to untrust takes out."""
    return frozenset(proposal.previous_state or ())


def may_hold_a_root(proposal: Proposal, result: Result) -> bool:
    """Whether a root that was to go is known to be in a store about which nothing can be done."""
    wanted = fingerprints_of(proposal)
    return result.state.status in BLOCKED and any(root.fingerprint in wanted for root in proposal.facts.roots)


def is_trusted(results: Iterable[Result]) -> bool:
    """Whether a store that matters, the system's or a browser's, trusts the root."""
    return any(result.is_applied and result.kind is not Kind.RUNTIME for result in results)
