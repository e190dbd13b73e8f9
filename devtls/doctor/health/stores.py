"""The trust stores: those that hold the root, by fingerprint, and those that hold roots nobody needs any more.

Owns the meaning of an absence: a browser's store without the root is a warning page, the system's or a JDK's may be a
choice (`devtls trust --store nss`) unless the record says that the root was there. A root of ours that is not the
present one is only removed when the record says that this state directory put it there: another CA of the same user, in
another state directory, may be in use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import assert_never

from devtls.doctor.health.authority import ProbedCa
from devtls.doctor.health.finding import Finding, Level, Section, as_command, listed
from devtls.errors import StateError
from devtls.system.changes.change import BLOCKED, ChangeState, Kind, Status
from devtls.system.changes.engine import Proposal, propose_on, propose_revert_on
from devtls.system.changes.record import ChangeRecord, Installed
from devtls.system.changes.truststore.discovery import MACHINE_WIDE, Scope, find_stores
from devtls.system.changes.truststore.other_tools import OtherRoot
from devtls.system.changes.truststore.root import fingerprint_of
from devtls.system.changes.truststore.store import AnyStore
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

_TRUST = "devtls trust"
_ONLY_OURS = "devtls untrust --all && devtls trust"
"""Takes every root of devtls out and puts the present one back."""


@dataclass(frozen=True, slots=True)
class StaleRoot:
    """A root of devtls that is not the present one; `recorded` = this state directory put it there."""

    nickname: str
    fingerprint: str
    recorded: bool


@dataclass(frozen=True, slots=True)
class ProbedStore:
    """One store after its probe.

    `state` is None when there is no root to ask for; `recorded` = it got the present root once. `trust` puts the root
    in and `untrust` takes the roots of earlier CAs out, where that needs no administrator.
    """

    name: str
    label: str
    kind: Kind
    state: ChangeState | None
    recorded: bool = False
    trust: Proposal | None = None
    untrust: Proposal | None = None
    stale: tuple[StaleRoot, ...] = ()
    others: tuple[OtherRoot, ...] = ()


def check_stores(stores: Sequence[ProbedStore]) -> Iterator[Finding]:
    """Yield the findings about each store; when none that matters trusts the root, that first."""
    asked = [(store, store.state) for store in stores if store.state is not None]
    trusted = any(state.status is Status.APPLIED and store.kind is not Kind.RUNTIME for store, state in asked)
    if asked and not trusted:
        unread = any(state.status in BLOCKED and store.kind is not Kind.RUNTIME for store, state in asked)
        yield Finding(
            "untrusted",
            Section.STORES,
            Level.TROUBLE,
            f"Neither the system nor any browser {'is seen to trust' if unread else 'trusts'} the root.",
            "Every address of devtls opens with a warning page.",
            _TRUST,
        )
    for store, state in asked:
        yield _on_state(store, state, elsewhere=trusted)
    for store in stores:
        yield from _on_stale(store)
    yield from _on_other_tools(stores)


def _on_state(store: ProbedStore, state: ChangeState, *, elsewhere: bool) -> Finding:
    def found(name: str, level: Level, what: str, why: str = "", remedy: str = "") -> Finding:
        fix = store.trust if level is not Level.OK else None
        return Finding(name, Section.STORES, level, what, why, remedy, store.name, fix)

    if state.status is Status.APPLIED:
        return found("store-trusts", Level.OK, f"{store.label}: the root is there.")
    matters = store.recorded or store.kind is Kind.BROWSER
    level = Level.WARNING if matters and elsewhere else Level.NOTE
    if state.status in BLOCKED:
        detail = f": {state.detail}" if state.detail else ""
        what = f"{store.label}: it cannot be worked with ({state.status.value}{detail})."
        level = Level.WARNING if matters else Level.NOTE
        return found("store-blocked", level, what, _reader(store), as_command(state.remedy) or _TRUST)
    if store.recorded:
        return found("store-lost", level, f"{store.label}: the root was there, and is no more.", _reader(store), _TRUST)
    return found("store-lacks", level, f"{store.label}: the root is not there.", _reader(store), _TRUST)


def _reader(store: ProbedStore) -> str:
    match store.kind:
        case Kind.BROWSER:
            return "That browser shows a warning page."
        case Kind.RUNTIME:
            return "Programs of that runtime refuse your sites, unless a variable of devtls env tells them."
        case Kind.SYSTEM:
            return "curl, git, Python and others go by it, unless a variable of devtls env tells them."
        case unknown:
            assert_never(unknown)


def _on_stale(store: ProbedStore) -> Iterator[Finding]:
    why = "It is still trusted, for development names only; nobody needs it once its CA is gone."
    recorded = [root for root in store.stale if root.recorded]
    if recorded:
        names, verb = _many(root.nickname for root in recorded)
        remedy = "devtls doctor --fix" if store.untrust else _ONLY_OURS
        what = f"{names}, of an earlier CA, {verb} still in {store.label}."
        yield Finding("root-stale", Section.STORES, Level.WARNING, what, why, remedy, store.name, store.untrust)
    unknown = [root for root in store.stale if not root.recorded]
    if unknown:
        names, verb = _many(root.nickname for root in unknown)
        what = f"{names}, of an earlier or another CA, {verb} in {store.label}."
        why += " It may also belong to a CA in another state directory: only you know."
        remedy = _ONLY_OURS
        yield Finding("root-unknown", Section.STORES, Level.WARNING, what, why, remedy, store.name)


def _many(names: Iterable[str]) -> tuple[str, str]:
    every = list(names)
    return listed(every), "are" if len(every) > 1 else "is"


def _on_other_tools(stores: Sequence[ProbedStore]) -> Iterator[Finding]:
    holders: dict[OtherRoot, list[str]] = {}
    for store in stores:
        for root in store.others:
            holders.setdefault(root, []).append(store.label)
    for root, labels in holders.items():
        yield Finding(
            "root-of-other-tool",
            Section.STORES,
            Level.NOTE,
            f"A root of {root.tool} ({root.name}) is in {listed(labels)}.",
            "It can speak for every site, and its key lies on a disk: a risk, unless you still need it; without it "
            f"browsers warn of what {root.tool} serves. The command takes devtls's own root out too, and puts it back.",
            f"devtls untrust --also {root.tool} && devtls trust",
            root.tool,
        )


_AT_ONCE = 4


def probe_stores(machine: Machine, runner: Runner, ca: ProbedCa) -> tuple[ProbedStore, ...]:
    """Probe every store of this machine."""
    entries = _entries(ChangeRecord(ca.facts.directory))
    recorded = tuple(dict.fromkeys(entry.store for entry in entries))
    # Who trusted for the whole machine has no use for a warning about the user's own store.
    scope = Scope.MACHINE if any(name in MACHINE_WIDE for name in recorded) else Scope.USER
    stores = find_stores(machine, runner, recorded=recorded, scope=scope)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(lambda store: _probe(store, ca, entries), stores))


def _entries(record: ChangeRecord) -> tuple[Installed, ...]:
    try:
        return record.installed()
    except StateError:  # a finding about the CA says so
        return ()


def _probe(store: AnyStore, ca: ProbedCa, entries: Collection[Installed]) -> ProbedStore:
    found, root = store.probe(), ca.root
    mine = {entry.fingerprint for entry in entries if entry.store == store.name}
    present = root.fingerprint if root else ""
    # Older roots of this CA are meant to be there until they are retired.
    known = {fingerprint_of(der) for der in root.ders} if root else set()
    stale = tuple(
        StaleRoot(each.nickname, each.fingerprint, each.fingerprint in mine)
        for each in found.roots
        if each.fingerprint not in known and (root or not ca.facts.exists)  # else any of them may be the present one
    )
    return ProbedStore(
        name=store.name,
        label=store.label,
        kind=store.kind,
        state=store.trust_state(found, present) if root else None,
        recorded=present in mine,
        trust=_safe(propose_on(store, found, root)) if root is not None and ca.authority is not None else None,
        untrust=_safe(propose_revert_on(store, found, {each.fingerprint: "" for each in stale if each.recorded})),
        stale=stale,
        others=tuple(other for other in found.others if other.fingerprint not in known),
    )


def _safe(proposal: Proposal) -> Proposal | None:
    """Return a proposal that does something, and needs no administrator for it."""
    return proposal if proposal.plan and not proposal.plan.elevated else None
