"""The trust stores of this machine: the one place that knows every driver.

Owns the order in which stores are done (the system first: most tools follow it). Refuses nothing; a store whose tool
is missing is listed too, so that its row can say how to get it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from devtls.errors import UnknownStore
from devtls.system.changes.change import Kind, Status
from devtls.system.changes.truststore.crypt32 import Location
from devtls.system.changes.truststore.families import NIXOS, UNKNOWN_NSS_PACKAGE, Family
from devtls.system.changes.truststore.firefox_policy import FirefoxPolicyStore
from devtls.system.changes.truststore.java import Feeder, JavaStore
from devtls.system.changes.truststore.java_homes import JavaPlace, find_java
from devtls.system.changes.truststore.linux import SystemStore, find_family, is_complete
from devtls.system.changes.truststore.macos import Domain, KeychainStore
from devtls.system.changes.truststore.nss import NssPlace, NssStore
from devtls.system.changes.truststore.nss_profiles import find_places, has_firefox
from devtls.system.changes.truststore.store import AnyStore
from devtls.system.changes.truststore.windows import WindowsStore
from devtls.system.changes.truststore.wsl import WslStore, is_wsl
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

MACHINE_WIDE = ("keychain:system", "windows:machine")
"""Stores that make the user's own superfluous."""


class Scope(Enum):
    """Whose stores, where a system has one of the user's and one of the machine's: macOS and Windows."""

    USER = "user"
    MACHINE = "machine"
    BOTH = "both"


def find_stores(
    machine: Machine, runner: Runner, *, recorded: tuple[str, ...] = (), scope: Scope = Scope.USER
) -> tuple[AnyStore, ...]:
    """Return the stores of this machine; `recorded` names stores that got a root before."""
    windows_side = _windows_side(machine, runner)
    return (*_native_stores(machine, runner, recorded, scope), *windows_side, *_java_stores(machine, runner, recorded))


def _native_stores(
    machine: Machine, runner: Runner, recorded: tuple[str, ...] = (), scope: Scope = Scope.BOTH
) -> Iterator[AnyStore]:
    """Yield the stores that browsers and the system's own tools read."""
    match machine.platform:
        case "darwin":
            return _keychains(machine, runner, scope)
        case "win32":
            return _windows_stores(machine, scope)
        case _:
            return _linux_stores(machine, runner, recorded)


def _keychains(machine: Machine, runner: Runner, scope: Scope) -> Iterator[AnyStore]:
    if scope is not Scope.MACHINE:
        yield KeychainStore(Domain.USER, machine, runner)
    if scope is not Scope.USER:
        yield KeychainStore(Domain.ADMIN, machine, runner)


def _windows_stores(machine: Machine, scope: Scope) -> Iterator[AnyStore]:
    if scope is not Scope.MACHINE:
        yield WindowsStore(Location.CURRENT_USER, machine)
    if scope is not Scope.USER:
        yield WindowsStore(Location.LOCAL_MACHINE, machine)


def _windows_side(machine: Machine, runner: Runner) -> Iterator[AnyStore]:
    """Yield the other half of a machine whose Linux runs inside Windows."""
    if machine.platform == "linux" and is_wsl(machine):
        yield WslStore(machine, runner)


def _linux_stores(machine: Machine, runner: Runner, recorded: tuple[str, ...]) -> Iterator[AnyStore]:
    yield SystemStore(machine, runner=runner)
    certutil, family = machine.user_tool("certutil", "nsscertutil"), find_family(machine)
    package = family.nss_package if family else UNKNOWN_NSS_PACKAGE
    places = list(find_places(machine, runner, may_make=certutil is not None))
    known = {place.directory for place in places}
    places += [
        NssPlace(directory, "NSS database", machine.tilde(directory))
        for directory in _recorded(recorded, "nss", machine)
        # A profile that left Firefox' list still trusts our root: it must be found to be taken out.
        if directory not in known and (directory / "cert9.db").is_file()
    ]
    yield from (NssStore(place, certutil, runner, package=package) for place in places)
    policy = FirefoxPolicyStore(machine)
    # With certutil the profiles' own stores do it, which needs no administrator.
    if policy.name in recorded or (certutil is None and has_firefox(machine)) or policy.probe().roots:
        yield policy


def _java_stores(machine: Machine, runner: Runner, recorded: tuple[str, ...]) -> Iterator[AnyStore]:
    places = list(find_java(machine, runner))
    known = {place.keystore for place in places}
    places += [  # a JDK that JAVA_HOME named then, or a cacerts that a jssecacerts has put aside since
        JavaPlace(keystore, tuple(keystore.parents[2:3]), dormant=True)
        for keystore in _recorded(recorded, "java", machine)
        if keystore not in known and keystore.is_file()
    ]
    feeder = _feeder(machine) if places else None
    yield from (JavaStore(place, machine, feeder=feeder) for place in places)


def _feeder(machine: Machine) -> Feeder | None:
    """Return the feeder of the distribution's own keystore, if this system keeps one and can rebuild it."""
    family = find_family(machine)
    if family is None or family is NIXOS or not is_complete(machine, family) or not _feeds_java(machine, family):
        return None
    for name in family.java_keystores:
        keystore = machine.root / name
        if keystore.is_file():
            return Feeder(keystore.resolve(), machine.root / family.anchor_directory)
    return None


def _feeds_java(machine: Machine, family: Family) -> bool:
    return not family.java_hooks or any((machine.root / hook).is_file() for hook in family.java_hooks)


def root_is_trusted(machine: Machine, runner: Runner, fingerprint: str) -> bool:
    """Say whether the system's store or a browser's trusts the root; stops at the first that does (4 ms)."""
    return any(
        store.trust_state(store.probe(), fingerprint).status is Status.APPLIED
        for store in _native_stores(machine, runner)
        # A JDK's list says nothing of what a browser would do.
        if store.kind is not Kind.RUNTIME
    )


_PROOFS = {"nss": "cert9.db", "java": ""}
"""What is there as long as a store that lives in one place is there; below the directory that its name tells."""


def is_gone(name: str, machine: Machine) -> bool:
    """Say whether a store that got a root before was deleted since, such as a browser's profile or a JDK."""
    group = name.partition(":")[0]
    return any(not (place / _PROOFS[group]).exists() for place in _recorded((name,), group, machine))


def _recorded(names: tuple[str, ...], group: str, machine: Machine) -> Iterator[Path]:
    for name in names:
        named, _, place = name.partition(":")
        if named == group and group in _PROOFS and place:
            yield machine.home / place[2:] if place.startswith("~/") else Path(place)


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
