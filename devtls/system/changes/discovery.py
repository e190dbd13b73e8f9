"""Which measures `devtls setup` has on this machine: the one place that asks every part.

Owns the order (names, ports, the service) and which ways count: those that are asked for, else those that an earlier
setup was asked for, beside what suits the machine by itself. Ports have one way at a time. Refuses ways that do not
exist here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from devtls.errors import UnknownWay
from devtls.system.changes.change import AnyChange, Part
from devtls.system.changes.ports.discovery import find_changes as find_ports
from devtls.system.changes.resolver.discovery import find_changes as find_names
from devtls.system.changes.service.discovery import find_changes as find_service
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

WAYS = (
    *("hosts", "delegate", "resolved", "networkmanager", "dnsmasq", "resolver", "nrpt"),
    *("open", "sysctl", "socket-unit", "nft"),
    *("systemd", "launchd", "task"),
)
"""Every way of every system: what a search without a record asks for."""


def find_changes(
    machine: Machine,
    runner: Runner,
    parts: Collection[Part],
    *,
    ways: Collection[str] = (),
    recorded: Iterable[str] = (),
) -> tuple[AnyChange, ...]:
    """Return what `devtls setup` wishes of these parts. Raises UnknownWay."""
    here = {way_of(change): change.part for change in _find(machine, runner, parts, WAYS)}
    for way in ways:
        if way not in here:
            hint = f"--way with one of: {', '.join(here)}" if here else ""
            raise UnknownWay(f"There is no way {way!r} for this on this machine.", hint=hint)
    asked_parts = {here[way] for way in ways}
    earlier = {name.partition(":")[2] for name in recorded}
    asked = [way for way, part in here.items() if way in ways or (way in earlier and part not in asked_parts)]
    found = _find(machine, runner, parts, asked)
    exclusive = {way for way in asked if here[way] is Part.PORTS}
    return tuple(each for each in found if each.part is not Part.PORTS or not exclusive or way_of(each) in exclusive)


def way_of(change: AnyChange) -> str:
    """Return the second half of a measure's name."""
    return change.name.partition(":")[2]


def find_taken(
    machine: Machine, runner: Runner, parts: Collection[Part], *, recorded: Collection[str]
) -> tuple[AnyChange, ...]:
    """Return every measure of these parts that an earlier setup may have taken, recorded or not."""
    return _find(machine, runner, parts, WAYS, recorded)


def _find(
    machine: Machine, runner: Runner, parts: Collection[Part], ways: Collection[str], recorded: Collection[str] = ()
) -> tuple[AnyChange, ...]:
    """Return every measure once, in the order of the parts: a service's finder may know a way for ports."""
    found: dict[str, AnyChange] = {}
    for find in (find_names, find_ports, find_service):
        for change in find(machine, runner, ways=ways, recorded=recorded):
            found.setdefault(change.name, change)
    order = list(Part)
    wanted = (change for change in found.values() if change.part in parts)
    return tuple(sorted(wanted, key=lambda change: order.index(change.part)))
