"""Which stores hold the root, by fingerprint; which hold roots that nobody needs any more.

Owns what an absence means: a browser's store without the root is a warning page, the system's or a JDK's may be a
choice (`devtls trust --store nss`) unless the record says that the root was there. A root of ours that is not the
present one is only called ours to remove when the record says that this state folder put it there: another CA of the
same user, in another state folder, may be in use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, assert_never

from devtls.doctor.health.authority import Ca
from devtls.doctor.health.finding import Finding, InstallRoot, Level, RemoveRoots, Section, as_command, listed
from devtls.errors import StateError
from devtls.system.changes.change import BLOCKED, ChangeState, Kind, Status
from devtls.system.changes.record import ChangeRecord, Installed
from devtls.system.changes.truststore.discovery import MACHINE_WIDE, Scope, find_stores
from devtls.system.changes.truststore.other_tools import OtherRoot
from devtls.system.changes.truststore.root import fingerprint_of
from devtls.system.changes.truststore.store import AnyStore
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan

_TRUST = "devtls trust"
_ONLY_OURS = "devtls untrust --all && devtls trust"
"""Takes every root of devtls out and puts the present one back."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A root of devtls that is not the present one; `recorded` = this state folder put it there."""

    nickname: str
    fingerprint: str
    recorded: bool


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """One store as it was found.

    `state` is None when there is no root to ask for; `recorded` = it got the present root once; `installable` and
    `removable` = there is a plan that needs no administrator.
    """

    name: str
    label: str
    kind: Kind
    state: ChangeState | None
    recorded: bool = False
    installable: bool = False
    removable: bool = False
    stale: tuple[Stale, ...] = ()
    others: tuple[OtherRoot, ...] = ()


def judge_stores(stores: Sequence[StoreFacts]) -> Iterator[Finding]:
    """Yield what each store says; when none that matters trusts the root, that first."""
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


def _on_state(store: StoreFacts, state: ChangeState, *, elsewhere: bool) -> Finding:
    def found(name: str, level: Level, what: str, why: str = "", mend: str = "") -> Finding:
        fix = InstallRoot(store.name) if store.installable and level is not Level.OK else None
        return Finding(name, Section.STORES, level, what, why, mend, store.name, fix)

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


def _reader(store: StoreFacts) -> str:
    match store.kind:
        case Kind.BROWSER:
            return "That browser shows a warning page."
        case Kind.RUNTIME:
            return "Programs of that runtime refuse your sites, unless a variable of devtls env tells them."
        case Kind.SYSTEM:
            return "curl, git, Python and others go by it, unless a variable of devtls env tells them."
        case unknown:
            assert_never(unknown)


def _on_stale(store: StoreFacts) -> Iterator[Finding]:
    why = "It is still trusted, for development names only; nobody needs it once its CA is gone."
    recorded = [root for root in store.stale if root.recorded]
    if recorded:
        names, verb = _many(root.nickname for root in recorded)
        mend = "devtls doctor --fix" if store.removable else _ONLY_OURS
        fix = RemoveRoots(store.name, frozenset(root.fingerprint for root in recorded)) if store.removable else None
        what = f"{names}, of an earlier CA, {verb} still in {store.label}."
        yield Finding("root-stale", Section.STORES, Level.WARNING, what, why, mend, store.name, fix)
    unknown = [root for root in store.stale if not root.recorded]
    if unknown:
        names, verb = _many(root.nickname for root in unknown)
        what = f"{names}, of an earlier or another CA, {verb} in {store.label}."
        why += " It may also belong to a CA in another state folder: only you know."
        mend = _ONLY_OURS
        yield Finding("root-unknown", Section.STORES, Level.WARNING, what, why, mend, store.name)


def _many(names: Iterable[str]) -> tuple[str, str]:
    every = list(names)
    return listed(every), "are" if len(every) > 1 else "is"


def _on_other_tools(stores: Sequence[StoreFacts]) -> Iterator[Finding]:
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
            "It can speak for every site, and its key lies on a disk: a risk, unless you still need it.",
            f"devtls untrust --also {root.tool} && devtls trust",
            root.tool,
        )


_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Probed:
    """A store, what its probe found, and what is said of it."""

    store: AnyStore
    found: Any  # the store's own Facts: handed back to it, never looked into
    facts: StoreFacts


def look_at_stores(machine: Machine, runner: Runner, ca: Ca) -> tuple[Probed, ...]:
    """Return every store of this machine as it is now."""
    entries = _entries(ChangeRecord(ca.facts.directory))
    recorded = tuple(dict.fromkeys(entry.store for entry in entries))
    scope = Scope.MACHINE if any(name in MACHINE_WIDE for name in recorded) else Scope.USER
    stores = find_stores(machine, runner, recorded=recorded, scope=scope)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(lambda store: _probe(store, ca, entries), stores))


def _entries(record: ChangeRecord) -> tuple[Installed, ...]:
    try:
        return record.installed()
    except StateError:  # a finding about the CA says so
        return ()


def _probe(store: AnyStore, ca: Ca, entries: Collection[Installed]) -> Probed:
    found, root = store.probe(), ca.root
    mine = {entry.fingerprint for entry in entries if entry.store == store.name}
    present = root.fingerprint if root else ""
    known = {fingerprint_of(der) for der in root.ders} if root else set()
    stale = tuple(
        Stale(each.nickname, each.fingerprint, each.fingerprint in mine)
        for each in found.roots
        if each.fingerprint not in known and (root or not ca.facts.exists)  # else any of them may be the present one
    )
    removal = store.revert_plan(found, frozenset(each.fingerprint for each in stale if each.recorded))
    facts = StoreFacts(
        name=store.name,
        label=store.label,
        kind=store.kind,
        state=store.trust_state(found, present) if root else None,
        recorded=present in mine,
        installable=root is not None and ca.authority is not None and _is_safe(store.apply_plan(found, root)),
        removable=_is_safe(removal),
        stale=stale,
        others=tuple(other for other in found.others if other.fingerprint not in known),
    )
    return Probed(store, found, facts)


def _is_safe(plan: Plan) -> bool:
    return bool(plan) and not plan.elevated
