"""One CA after the other: a new one beside the present one, trusted wherever that one is, and the earlier ones' end.

Owns the order of a rollover: make the CA or adopt an imported one, have its root trusted, list both roots in the files
of `devtls env`, and only then let it sign. A crash anywhere leaves a CA that signs and is trusted; the next run goes
on from there. Refuses to switch while a store that holds the present root does not trust the new one, and to delete an
earlier CA whose root a store may still hold. The present root stays trusted until it is retired: an earlier CA is an
older one of a renewal, a renewal that was not finished, and every other root that the record names.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import DevtlsError, Refused, TrustFailed
from devtls.names import Hostname, is_below
from devtls.operations.ca_keys import root_key_lock
from devtls.operations.changes import apply_all, revert_all
from devtls.operations.client_environment import list_roots
from devtls.operations.context import Context
from devtls.operations.control import find_running, raise_failure
from devtls.pki.authority import Authority
from devtls.system.changes.change import Part, Status
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.engine import Proposal, Result
from devtls.system.changes.truststore.discovery import Scope, find_stores, is_gone
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.changes.truststore.store import AnyStore, propose_trust, propose_untrust
from devtls.system.storage.ca_directory import ROOT, Locks
from devtls.system.storage.passphrase import PassphraseSource
from devtls.web.control_messages import LOOK, RefreshRequest

_ID = "ID"
"""Stands for the id of a root that is not made yet."""


@dataclass(frozen=True, slots=True)
class RenewalPreview:
    """A renewal of which nothing is made yet: the zones of the new CA, and the stores that would get its root."""

    present: Authority
    zones: tuple[Hostname, ...]
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class RolloverPlan:
    """The CA that will sign after the present one: on disk, signing nothing yet; and the stores that get its root."""

    present: Authority
    following: Authority
    root: RootCertificate
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class RolloverResult:
    """What came of a plan; `switched` = the following CA signs, `told` = the processes that sign with it already."""

    plan: RolloverPlan
    results: tuple[Result, ...]
    switched: bool
    told: tuple[int, ...]
    loses_root_key: bool
    """The present root's key was kept, the following one's was not."""

    def raise_for_failure(self) -> None:
        """Raise TrustFailed when a store did not take the root, so that the present CA goes on signing."""
        if self.switched:
            return
        missing = [result for result in self.results if result.state.status is not Status.APPLIED]
        names = ", ".join(result.label for result in missing)
        verb = "do" if len(missing) > 1 else "does"
        remedies = [result.state.remedy.rstrip(".") for result in missing if result.state.remedy]
        first = f"{remedies[0]}, then devtls ca renew goes on" if remedies else "devtls ca renew tries again"
        raise TrustFailed(
            f"{names} {verb} not trust the new root, so the present CA goes on signing.",
            hint=f"{first}; --anyway switches without it, devtls ca retire removes the new root again",
        )


@dataclass(frozen=True, slots=True)
class RetirementPlan:
    """The roots of earlier CAs, fingerprint -> id, and the stores that may hold one of them."""

    roots: dict[str, str]
    proposals: tuple[Proposal, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the roots."""
        return tuple(self.roots.values())


@dataclass(frozen=True, slots=True)
class RetirementResult:
    """How the stores stand after a retirement."""

    retired: tuple[str, ...]
    results: tuple[Result, ...]

    def raise_for_failure(self) -> None:
        """Raise DevtlsError when a store may still hold an earlier root, so that nothing was deleted."""
        left = [result for result in self.results if result.state.status is not Status.ABSENT]
        if left:
            raise DevtlsError(
                f"{', '.join(result.label for result in left)} may still hold an earlier root, so nothing was deleted.",
                hint=left[0].state.remedy or "devtls ca retire tries again",
            )


# -- renewal ----------------------------------------------------------------------------------------------------------


def preview_renewal(context: Context, more_zones: tuple[Hostname, ...] = ()) -> RenewalPreview:
    """Return what a renewal would do, with ID for the id of the root; makes nothing.

    Raises NoAuthority, StateError, Refused when the CA has `more_zones` already.
    """
    present = context.keystore.load_ended_too()
    root = RootCertificate(_ID, b"", context.paths.state_dir / f"ca-{_ID}" / ROOT)
    return RenewalPreview(present, _zones(present, more_zones), _holders(context, present, root))


def prepare_renewal(
    context: Context, more_zones: tuple[Hostname, ...] = (), root_passphrases: PassphraseSource | None = None
) -> RolloverPlan:
    """Make the next CA, for the present one's zones and more; with `root_passphrases` its root's key is kept.

    Raises what `preview_renewal` raises, and Refused for a passphrase that is too short.
    """
    present = context.keystore.load_ended_too()
    zones = _zones(present, more_zones)
    kept = root_key_lock(root_passphrases).root if root_passphrases else None
    locks = Locks(kept, context.keystore.lock_like(present))
    return plan_rollover(context, present, context.keystore.prepare_next(zones, context.now, locks))


def _zones(present: Authority, more: tuple[Hostname, ...]) -> tuple[Hostname, ...]:
    # A zone below one of the CA's adds nothing: constraints cover everything below (RFC 5280 4.2.1.10).
    fresh = [zone for zone in more if not any(is_below(zone, own) for own in present.zones)]
    if more and not fresh:
        raise Refused(
            f"The CA speaks for {', '.join(present.zones)}, so for {', '.join(more)} already.",
            hint="devtls ca renew without --zone makes a new one all the same",
        )
    return tuple(dict.fromkeys((*present.zones, *fresh)))


def plan_rollover(context: Context, present: Authority, following: Authority) -> RolloverPlan:
    """Return how `following`, which is on disk, takes over from `present`; reports which CA it is."""
    earlier = (present.root_der, *(root.public_bytes(Encoding.DER) for root in context.keystore.older_roots()))
    # An intermediate that is imported again may be under the root that is trusted already.
    older = tuple(der for der in earlier if der != following.root_der)
    path = context.keystore.directory_of(following) / ROOT
    root = RootCertificate(following.id, following.root_der, path, older)
    verb, zones = "Imported" if following.imported else "Made", ", ".join(following.zones)
    context.reporter.info(f"{verb} devtls root {following.id} for {zones}, until {following.not_after:%Y-%m-%d}.")
    return RolloverPlan(present, following, root, _holders(context, present, root))


def abandon_rollover(context: Context, plan: RolloverPlan) -> None:
    """Delete the following CA, unless a store was given its root once: then the next rollover goes on with it."""
    # A store may hold the new root by now: deleting its CA would leave trust in a key of nobody's.
    if all(entry.fingerprint != plan.following.fingerprint for entry in context.record.installed()):
        context.keystore.drop_next()


def apply_rollover(context: Context, plan: RolloverPlan, *, anyway: bool = False) -> RolloverResult:
    """Have the new root trusted, then let the new CA sign, and tell the running proxies.

    `anyway` switches also when a store does not take the root. Raises StateError.
    """
    results = apply_all(context, plan.proposals)
    switched = anyway or all(result.state.status is Status.APPLIED for result in results)
    if switched:
        # Files before the switch: the first leaf of the new CA must find both roots in them.
        list_roots(context, plan.root)
        context.keystore.switch_to_next(plan.following)
    told = tell_running(context) if switched else ()
    key_of = context.keystore.root_key_file
    loses_root_key = key_of(plan.present) is not None and key_of(plan.following) is None
    return RolloverResult(plan, results, switched, told, loses_root_key)


# -- retirement -------------------------------------------------------------------------------------------------------


def plan_retirement(context: Context) -> RetirementPlan:
    """Return the earlier roots and the stores that may hold them. Raises NoAuthority, StateError."""
    present, pointer = context.keystore.load_ended_too(), context.keystore.pointer()
    entries = context.record.installed()
    known = {entry.root_sha256: entry.root_id for entry in (pointer.entries if pointer else ())}
    # The record too: a CA that was deleted is in no pointer, but its root may still be trusted.
    known |= {entry.fingerprint: entry.id for entry in entries}
    roots = {fingerprint: root_id for fingerprint, root_id in known.items() if fingerprint != present.fingerprint}
    if not roots:
        return RetirementPlan({}, ())
    recorded = {entry.store for entry in entries if entry.fingerprint in roots}
    proposals = tuple(
        proposal
        for proposal in propose_untrust(_stores(context), roots, every_root=False)
        # A recorded store that cannot be read counts: absence is not proven by silence.
        if proposal.plan or proposal.state.status is Status.APPLIED or proposal.change.name in recorded
    )
    return RetirementPlan(roots, proposals)


def apply_retirement(context: Context, plan: RetirementPlan) -> RetirementResult:
    """Remove the earlier roots from the stores, and then those CAs with their keys. Raises StateError."""
    if not plan.roots:
        # An earlier intermediate of the present root, of a CA that was imported twice, needs no store to change.
        context.keystore.retire(())
        return RetirementResult((), ())
    entries = context.record.installed()
    results = revert_all(context, plan.proposals)
    for entry in entries:
        if entry.fingerprint in plan.roots and is_gone(entry.store, context.machine):
            context.record.drop(Part.TRUST, entry.store, {entry.fingerprint})
    # Keys go last: while a store trusts a root, its CRL must still be signed.
    if all(result.state.status is Status.ABSENT for result in results):
        present = context.keystore.load_ended_too()
        list_roots(context, RootCertificate(present.id, present.root_der, context.paths.state_dir / ROOT_FILE))
        context.keystore.retire(plan.roots)
        tell_running(context)
    return RetirementResult(plan.ids, results)


# -- running proxies --------------------------------------------------------------------------------------------------


def tell_running(context: Context) -> tuple[int, ...]:
    """Have every running proxy take over the CA that signs now; returns the process ids of those that did.

    A proxy that cannot be told finds out by itself in a moment: that is reported, and no failure.
    """
    told = []
    for proxy in find_running(context.paths, context.reporter):
        try:
            raise_failure(proxy.send(LOOK, RefreshRequest()).error, f"{proxy.label} goes on as before: ")
        except DevtlsError as error:
            context.reporter.error(error)
        else:
            told.append(proxy.about.pid)
    return tuple(told)


# -- stores ------------------------------------------------------------------------------------------------------------


def _stores(context: Context) -> tuple[AnyStore, ...]:
    recorded = tuple(dict.fromkeys(entry.store for entry in context.record.installed()))
    return find_stores(context.machine, context.runner, recorded=recorded, scope=Scope.BOTH)


def _holders(context: Context, present: Authority, root: RootCertificate) -> tuple[Proposal, ...]:
    """Return a proposal for each store that has, or once got, the present root."""
    recorded = {entry.store for entry in context.record.installed() if entry.fingerprint == present.fingerprint}
    held = RootCertificate(present.id, present.root_der, context.paths.state_dir / ROOT_FILE)

    def holds(proposal: Proposal) -> bool:
        status = proposal.change.state(proposal.facts, held).status
        # A store that cannot be read just now, but once got the root, is taken to have it still.
        return status is Status.APPLIED or (proposal.change.name in recorded and status is not Status.ABSENT)

    return tuple(proposal for proposal in propose_trust(_stores(context), root) if holds(proposal))
