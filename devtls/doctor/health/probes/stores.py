"""Facts about the trust stores: each is probed once, by the driver that `devtls trust` uses."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from devtls.doctor.health.probes.authority import Ca
from devtls.doctor.health.stores import Stale, StoreFacts
from devtls.errors import StateError
from devtls.system.changes.record import ChangeRecord, Installed
from devtls.system.changes.truststore.discovery import MACHINE_WIDE, Scope, find_stores
from devtls.system.changes.truststore.root import fingerprint_of
from devtls.system.changes.truststore.store import AnyStore
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan

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
