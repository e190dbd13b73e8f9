"""The methods by which this machine's resolver can learn the names of the zones.

Owns the choice: the hosts file always, beside it the method that knows wildcards where one is harmless. A method with a
price (systemd-resolved's drop-in, Windows' NRPT) is there for those who ask for it by name, and says why when it cannot
be applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from devtls.system.changes.change import AnyChange
from devtls.system.changes.resolver.dnsmasq import DNSMASQ, NETWORK_MANAGER
from devtls.system.changes.resolver.drop_in import DropIn, Recipe
from devtls.system.changes.resolver.hosts import HostsFile, HostsPlace
from devtls.system.changes.resolver.hosts_block import UnusableHosts, parse_hosts
from devtls.system.changes.resolver.hosts_unix import UnixHosts
from devtls.system.changes.resolver.hosts_windows import WindowsHosts
from devtls.system.changes.resolver.lookups import read_lookups
from devtls.system.changes.resolver.macos import RESOLVER
from devtls.system.changes.resolver.nrpt import NrptRules
from devtls.system.changes.resolver.resolved import DELEGATE, DROP_IN
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine


def find_changes(
    machine: Machine, runner: Runner, *, methods: Collection[str] = (), recorded: Collection[str] = ()
) -> tuple[AnyChange, ...]:
    """Return the changes that suit this machine, in their order.

    `methods` asks for certain ones by the second half of their names, beside those that suit by themselves; `recorded`
    adds those of an earlier setup.
    """
    hosts = HostsFile(_hosts_place(machine))
    asked = {*(f"names:{method}" for method in methods), *recorded}
    match machine.platform:
        case "darwin":
            return (hosts, DropIn(RESOLVER, machine.root))
        case "win32":
            rules = NrptRules(runner)
            return (hosts, *((rules,) if rules.name in asked else ()))
        case _:
            return (hosts, *_of_linux(machine, runner, asked))


def names_in_block(machine: Machine) -> frozenset[str]:
    """Return the names that an earlier setup wrote into the hosts file; none of a file that is not understood."""
    try:
        return frozenset(parse_hosts(_hosts_place(machine).look().content or b"").names)
    except UnusableHosts:
        return frozenset()


def _hosts_place(machine: Machine) -> HostsPlace:
    return WindowsHosts(machine) if machine.platform == "win32" else UnixHosts(machine)


def _of_linux(machine: Machine, runner: Runner, asked: Collection[str]) -> Iterator[AnyChange]:
    lookups = read_lookups(machine, runner)
    candidates: tuple[tuple[Recipe, str, bool], ...] = (
        (DELEGATE, lookups.against_delegate(), True),
        # Not harmless: it makes devtls a server for every name of this machine (resolved.conf(5)).
        (DROP_IN, lookups.against_drop_in(), False),
        (NETWORK_MANAGER, lookups.against_network_manager(), True),
        (DNSMASQ, lookups.against_dnsmasq(), True),
    )
    for recipe, obstacle, harmless in candidates:
        change = DropIn(recipe, machine.root, obstacle)
        # Our file is there: a setup whose record is lost can still be reverted.
        if change.name in asked or (harmless and not obstacle) or change.probe().ours:
            yield change
