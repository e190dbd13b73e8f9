"""Untrust: remove the root from every trust store; where asked for, delete the CA as well.

Owns the choice of the roots: those in the record of installations, the CA's own, and, without a record or where all
are asked for, every root in a store that is provably made by devtls. Works when the CA is gone. Refuses to guess by
name alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from devtls.errors import DevtlsError, StateError
from devtls.operations.changes import revert_all
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.system.changes.change import Kind, Part, Status
from devtls.system.changes.clientenv.files import retire_files
from devtls.system.changes.engine import Proposal, Result
from devtls.system.changes.record import Installed
from devtls.system.changes.truststore.discovery import Scope, find_stores, is_gone, select_stores
from devtls.system.changes.truststore.other_tools import OtherRoot
from devtls.system.changes.truststore.store import fingerprints_of, may_hold_a_root, propose_untrust
from devtls.system.leftovers import clear_state


@dataclass(frozen=True, slots=True)
class UntrustRequest:
    """The stores (none named: all), and roots besides the CA's own.

    `every_root` adds those of other devtls CAs, `also` those of other tools by the tool's name. `forget` deletes the
    CA with its key.
    """

    stores: tuple[str, ...] = ()
    every_root: bool = False
    also: tuple[str, ...] = ()
    forget: bool = False


@dataclass(frozen=True, slots=True)
class RemainingRoot:
    """A root of another tool, and the labels of the stores that it stays in."""

    root: OtherRoot
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UntrustPlan:
    """The stores as they are, and the commands that remove the root from them; `recorded` is the record.

    `authority` is the CA, None where it cannot be read or there is none; `deletes_authority` says whether it goes.
    """

    request: UntrustRequest
    recorded: tuple[Installed, ...]
    proposals: tuple[Proposal, ...]
    deletes_authority: bool
    authority: Authority | None

    @property
    def changes_stores(self) -> bool:
        """Whether any store would be changed."""
        return any(proposal.plan for proposal in self.proposals)

    @property
    def has_work(self) -> bool:
        """Whether anything would be changed."""
        return self.changes_stores or self.deletes_authority

    @property
    def fingerprints(self) -> frozenset[str]:
        """The roots that are removed."""
        return frozenset(each for proposal in self.proposals for each in fingerprints_of(proposal))

    @property
    def remaining_roots(self) -> tuple[RemainingRoot, ...]:
        """The roots of other tools that stay, each once."""
        found: dict[OtherRoot, list[str]] = {}
        for proposal in self.proposals:
            for root in proposal.facts.others:
                if root.fingerprint not in fingerprints_of(proposal):
                    found.setdefault(root, []).append(proposal.change.label)
        return tuple(RemainingRoot(root, tuple(labels)) for root, labels in found.items())

    @property
    def remaining_own_roots(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """A store's label and the nicknames of roots of other devtls CAs that stay in it."""
        found: list[tuple[str, tuple[str, ...]]] = []
        for proposal in self.proposals:
            roots = [root for root in proposal.facts.roots if root.fingerprint not in fingerprints_of(proposal)]
            if roots:
                found.append((proposal.change.label, tuple(root.nickname for root in roots)))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class UntrustResult:
    """The stores afterwards.

    `forgotten` says whether a CA was deleted, `kept` names the files that stay in the state directory, with the reason,
    and `variables` are those of this shell that name a file of ours.
    """

    plan: UntrustPlan
    stores: tuple[Result, ...]
    forgotten: bool = False
    kept: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def changed_a_browser(self) -> bool:
        """Whether browsers that are open have to be restarted."""
        return any(result.changed and result.kind is Kind.BROWSER for result in self.stores)

    def raise_for_failure(self) -> None:
        """Raise DevtlsError when a root is left; a store that cannot be read counts when it once got the root."""
        recorded = {entry.store for entry in self.plan.recorded}
        left = [
            result
            for proposal, result in zip(self.plan.proposals, self.stores, strict=True)
            if result.state.status is not Status.ABSENT
            # A store that never held the root and cannot be read is no reason to fail.
            and (result.commands or result.is_applied or result.name in recorded or may_hold_a_root(proposal, result))
        ]
        if left:
            raise DevtlsError(
                f"{', '.join(result.label for result in left)} may still hold the root.",
                hint=left[0].state.remedy or "devtls untrust",
            )


def plan_untrust(context: Context, request: UntrustRequest) -> UntrustPlan:
    """Probe each store and plan the removal; nothing is changed. Raises UnknownStore, StateError (damaged record)."""
    recorded = context.record.installed()
    names = tuple(dict.fromkeys(entry.store for entry in recorded))
    found = find_stores(context.machine, context.runner, recorded=names, scope=Scope.BOTH)
    fingerprints = {entry.fingerprint for entry in recorded} | _own_roots(context)
    # Without a record nothing tells which roots were ours, so every one that devtls provably made goes.
    every_root = request.every_root or not context.record.knows_roots()
    stores = select_stores(found, request.stores)
    proposals = propose_untrust(stores, fingerprints, every_root=every_root, also=request.also)
    deletes = request.forget and context.keystore.exists()
    return UntrustPlan(request, recorded, proposals, deletes, _authority(context) if deletes else None)


def _authority(context: Context) -> Authority | None:
    try:
        return context.keystore.load(context.now)
    except StateError:
        return None


def _own_roots(context: Context) -> set[str]:
    try:
        pointer = context.keystore.pointer()
    except StateError as error:  # a damaged CA must not keep its root in the stores: the record still names it
        context.reporter.warning(f"{error} Going by the record instead.")
        return set()
    return {entry.root_sha256 for entry in pointer.entries} if pointer else set()


def apply_untrust(context: Context, plan: UntrustPlan) -> UntrustResult:
    """Remove the root store by store, end the trust of clients' variables, and delete the CA where asked for."""
    request, state_dir, keystore = plan.request, context.paths.state_dir, context.keystore
    stores = _remove_from_stores(context, plan)
    forgotten = request.forget and keystore.exists()
    # The key goes although a store may still hold the root: without it nobody can abuse that trust.
    if request.forget:
        keystore.forget()
    variables: tuple[str, ...] = ()
    # With --store the trust ends in these stores alone, and variables are none of them.
    if request.forget or not request.stores:
        variables = retire_files(state_dir, context.environ, plan.fingerprints)
    if keystore.exists() and not request.stores:
        # An empty record says that untrust ran: devtls env then stays silent, even where env was all there was.
        context.record.begin_trust()
    kept = clear_state(state_dir) if request.forget else ()
    return UntrustResult(plan, stores, forgotten, kept, variables)


def _remove_from_stores(context: Context, plan: UntrustPlan) -> tuple[Result, ...]:
    """Remove the root store by store; entries of stores that are gone from this machine are dropped."""
    results = revert_all(context, plan.proposals)
    for entry in plan.recorded:
        if is_gone(entry.store, context.machine):
            context.record.drop(Part.TRUST, entry.store, {entry.fingerprint})
    return results
