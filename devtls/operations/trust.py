"""Trust: make the CA when there is none, put its root into the trust stores, and prove it with real clients.

Owns the order: plan, create, install store by store, prove. Refuses zones that the CA does not have. One store's
failure never stops the others; the result says whether a store that matters trusts the root.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from devtls.doctor.clients import CLIENTS, Client
from devtls.doctor.proof import ClientProof, ForeignOutcome, ProofFiles, prove
from devtls.errors import Refused, TrustFailed
from devtls.names import DEFAULT_ZONES, Hostname, is_below
from devtls.operations.changes import apply_all
from devtls.operations.client_environment import file_for, write_root_file
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.system.changes.change import Kind
from devtls.system.changes.clientenv.files import renew_files
from devtls.system.changes.clientenv.present import present_root
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.engine import Proposal, Result
from devtls.system.changes.truststore.discovery import MACHINE_WIDE, Scope, find_stores, select_stores
from devtls.system.changes.truststore.nss_profiles import Notice, find_notices
from devtls.system.changes.truststore.root import RootCertificate, fingerprint_of
from devtls.system.changes.truststore.store import AnyStore, is_trusted, propose_trust
from devtls.system.storage.ca_directory import NO_LOCKS, Locks


@dataclass(frozen=True, slots=True)
class TrustRequest:
    """The stores (none named: all), whether for every user of the machine, and the zones of a CA to be made."""

    zones: tuple[Hostname, ...] = ()
    stores: tuple[str, ...] = ()
    system_wide: bool = False


@dataclass(frozen=True, slots=True)
class TrustPlan:
    """The stores as they are, and the commands that make them trust the root.

    `authority` is None while there is no CA: `root` is then a placeholder whose id reads ID. `created` says whether
    `create_authority` made the CA.
    """

    request: TrustRequest
    authority: Authority | None
    root: RootCertificate
    stores: tuple[AnyStore, ...]
    proposals: tuple[Proposal, ...]
    created: bool = False

    @property
    def zones(self) -> tuple[Hostname, ...]:
        """The zones of the CA, or those that it will have."""
        return self.authority.zones if self.authority else self.request.zones or DEFAULT_ZONES

    @property
    def has_work(self) -> bool:
        """Whether any store would be changed."""
        return any(proposal.plan for proposal in self.proposals)


@dataclass(frozen=True, slots=True)
class TrustResult:
    """The stores afterwards, the verdicts of real clients, and remarks about other browsers and older roots."""

    authority: Authority
    stores: tuple[Result, ...]
    reports: tuple[ClientProof, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether a store that matters, the system's or a browser's, trusts the root."""
        return is_trusted(self.stores)

    @property
    def changed_a_browser(self) -> bool:
        """Whether browsers that are open have to be restarted."""
        return any(result.changed and result.kind is Kind.BROWSER for result in self.stores)

    def raise_for_failure(self) -> None:
        """Raise TrustFailed when no store that matters trusts the root, or a client trusts too much."""
        too_trusting = [report.client for report in self.reports if report.foreign is ForeignOutcome.ACCEPTED]
        if too_trusting:
            raise TrustFailed(
                f"{' and '.join(too_trusting)} accepted a certificate for a name outside the zones.",
                hint="look for a setting that turns its checks off (insecure in .curlrc, "
                "NODE_TLS_REJECT_UNAUTHORIZED), then devtls trust again; devtls untrust removes the root",
            )
        if not self.trusted:
            remedies = [result.state.remedy for result in self.stores if result.state.remedy]
            raise TrustFailed(
                "Neither the system's store nor a browser's trusts the root.",
                hint=remedies[0] if remedies else "devtls trust without --store",
            )


def plan_trust(context: Context, request: TrustRequest) -> TrustPlan:
    """Probe the stores and plan; nothing is changed. Raises UnknownStore, Refused, StateError."""
    recorded = tuple(dict.fromkeys(entry.store for entry in context.record.installed()))
    # A root that is in a machine-wide store was asked for there: the next run has to find it again.
    scope = Scope.MACHINE if request.system_wide or any(name in MACHINE_WIDE for name in recorded) else Scope.USER
    found = find_stores(context.machine, context.runner, recorded=recorded, scope=scope)
    stores = select_stores(found, request.stores)
    # No CA is made by a plan: --dry-run must leave nothing behind.
    authority = context.keystore.load(context.now) if context.keystore.exists() else None
    _check_zones(authority, request.zones)
    root = RootCertificate("ID", b"", context.paths.state_dir / ROOT_FILE)
    if authority is not None:
        root = present_root(context.keystore, authority)
    return TrustPlan(request, authority, root, stores, propose_trust(stores, root))


def _check_zones(authority: Authority | None, zones: tuple[Hostname, ...]) -> None:
    if authority is None:
        return
    outside = [zone for zone in zones if not any(is_below(zone, own) for own in authority.zones)]
    if outside:
        new = " ".join(f"--zone {zone}" for zone in dict.fromkeys(outside))
        raise Refused(
            f"The CA of this machine speaks for {', '.join(authority.zones)}: {', '.join(outside)} needs a new one.",
            hint=f"devtls ca renew {new} makes it, and the present one stays trusted until you retire it",
        )


def create_authority(context: Context, plan: TrustPlan, locks: Locks = NO_LOCKS) -> TrustPlan:
    """Return the plan with a CA, made now where there is none, and with the root in the file that commands name.

    Raises Refused when another process made a CA of other zones at the same moment, StateError.
    """
    if plan.authority is None:
        _, plan = _create(context, plan, locks)
    _write_files(context, plan)
    return plan


def _create(context: Context, plan: TrustPlan, locks: Locks) -> tuple[Authority, TrustPlan]:
    authority = context.keystore.load_or_create(plan.zones, context.now, locks)
    # Another process may have made the CA since the plan; its zones are not ours to choose then.
    _check_zones(authority, plan.request.zones)
    root = present_root(context.keystore, authority)
    proposals = propose_trust(plan.stores, root)
    return authority, replace(plan, authority=authority, root=root, proposals=proposals, created=True)


def _write_files(context: Context, plan: TrustPlan) -> None:
    # Stores take every certificate in the file; the older roots, which they have already, are added at the end.
    write_root_file(context, plan.root.pem if plan.has_work else plan.root.list_pem)
    renew_files(context.paths.state_dir, plan.root)  # shells that devtls env prepared go on with this CA


def apply_trust(context: Context, plan: TrustPlan) -> TrustResult:
    """Install the root store by store, and let real clients prove it; a CA that is missing is created first."""
    authority = plan.authority
    if authority is None:
        authority, plan = _create(context, plan, NO_LOCKS)
    _write_files(context, plan)
    # Proven with clients only after the stores: they read them at their start.
    results = apply_all(context, plan.proposals)
    reports = _prove(authority, plan.root, context)
    write_root_file(context, plan.root.list_pem)
    notices = (*_older_roots(plan.proposals, plan.root), *find_notices(context.machine))
    return TrustResult(authority, results, reports, notices)


def _older_roots(proposals: Iterable[Proposal], root: RootCertificate) -> tuple[Notice, ...]:
    """Return a notice for each root of another devtls CA that a store holds."""
    holders: dict[str, list[str]] = {}
    # A CA before ours that is not retired is meant to be trusted: nothing to remark.
    known = {fingerprint_of(der) for der in root.ders}
    for proposal in proposals:
        for other in proposal.facts.roots:
            if other.fingerprint not in known:
                holders.setdefault(other.nickname, []).append(proposal.change.label)
    remedy = "devtls untrust --all, then devtls trust: only the present one stays"
    return tuple(
        Notice(f"{nickname}, of an earlier or another CA, is still in: {', '.join(dict.fromkeys(labels))}.", remedy)
        for nickname, labels in holders.items()
    )


def _prove(authority: Authority, root: RootCertificate, context: Context) -> tuple[ClientProof, ...]:
    found = [(context.machine.user_tool(*client.names), client) for client in CLIENTS]
    clients = {tool: client for tool, client in found if tool is not None}
    writing = threading.Lock()  # two clients may share a bundle

    def for_client(client: Client) -> Path | None:
        with writing:
            return file_for(client, root, context)

    return prove(authority, clients, ProofFiles(context.paths.state_dir, for_client), context.runner, context.now)
