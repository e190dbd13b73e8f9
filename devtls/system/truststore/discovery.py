"""Which stores this machine has: the one place that knows every driver.

Owns the order in which stores are done (the system first: most tools follow it). Refuses nothing; a store whose tool
is missing is listed too, so that its row can say how to get it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from devtls.errors import UnknownStore
from devtls.system.execute import Runner
from devtls.system.truststore.families import FAMILIES, NIXOS, UNKNOWN_NSS_PACKAGE
from devtls.system.truststore.linux import SystemStore
from devtls.system.truststore.machine import Machine
from devtls.system.truststore.nss import NssPlace, NssStore
from devtls.system.truststore.nss_profiles import find_places
from devtls.system.truststore.protocol import Kind, Status, TrustStore

AnyStore: TypeAlias = TrustStore[Any]
"""A store whose kind of Facts the caller does not care about."""


def find_stores(machine: Machine, runner: Runner, *, recorded: tuple[str, ...] = ()) -> tuple[AnyStore, ...]:
    """Return the stores of this machine; `recorded` names stores that got a root before."""
    certutil = machine.user_tool("certutil", "nsscertutil")
    package = nss_package(machine)
    places = list(find_places(machine, runner, may_make=certutil is not None))
    known = {place.folder for place in places}
    for name in recorded:
        folder = _recorded_folder(name, machine)
        if folder is not None and folder not in known and (folder / "cert9.db").is_file():
            places.append(NssPlace(folder, "NSS database", machine.tilde(folder)))
    return (SystemStore(machine), *(NssStore(place, certutil, runner, package=package) for place in places))


def root_is_trusted(machine: Machine, runner: Runner, fingerprint: str) -> bool:
    """Say whether the system's store or a browser's trusts the root; stops at the first that does (4 ms)."""
    return any(
        store.state(store.probe(), fingerprint).status is Status.TRUSTED
        for store in find_stores(machine, runner)
        if store.kind is not Kind.RUNTIME
    )


def is_gone(name: str, machine: Machine) -> bool:
    """Say whether a store that got a root before was deleted since, such as a browser's profile."""
    folder = _recorded_folder(name, machine)
    return folder is not None and not (folder / "cert9.db").exists()


def _recorded_folder(name: str, machine: Machine) -> Path | None:
    group, _, place = name.partition(":")
    if group != "nss":
        return None
    return machine.home / place[2:] if place.startswith("~/") else Path(place)


def nss_package(machine: Machine) -> str:
    """Return the command that installs certutil here."""
    family = SystemStore(machine).probe().family
    known = (*FAMILIES, NIXOS)
    return family.nss_package if family in known and family is not None else UNKNOWN_NSS_PACKAGE


def select_stores(stores: tuple[AnyStore, ...], names: tuple[str, ...]) -> tuple[AnyStore, ...]:
    """Return the stores that `--store` names (a group such as nss, or one store's full name); no names = all."""
    if not names:
        return stores
    chosen: list[AnyStore] = []
    for name in names:
        matching = [store for store in stores if name in (store.name, store.name.partition(":")[0])]
        if not matching:
            groups = dict.fromkeys(store.name.partition(":")[0] for store in stores)
            hint = " or ".join(f"--store {group}" for group in groups)
            raise UnknownStore(f"This machine has no store {name!r}.", hint=hint)
        chosen.extend(store for store in matching if store not in chosen)
    return tuple(chosen)
