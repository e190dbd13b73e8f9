"""The changes that `devtls setup` offers on this machine: the one place that asks every part.

Owns the order (names, ports, the service) and the choice of methods: those that are asked for, else those that an
earlier setup was asked for, beside those that suit the machine by themselves. Ports have one method at a time. Refuses
methods that do not exist here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from devtls.errors import UnknownMethod
from devtls.system.changes.change import AnyChange, Part
from devtls.system.changes.ports.discovery import find_changes as find_ports
from devtls.system.changes.resolver.discovery import find_changes as find_names
from devtls.system.changes.service.discovery import find_changes as find_service
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

METHODS = (
    *("hosts", "delegate", "resolved", "networkmanager", "dnsmasq", "resolver", "nrpt"),
    *("open", "sysctl", "socket-unit", "nft"),
    *("systemd", "launchd", "task"),
)
"""Every method of every system, for a search without a record."""


def find_changes(
    machine: Machine,
    runner: Runner,
    parts: Collection[Part],
    *,
    methods: Collection[str] = (),
    recorded: Iterable[str] = (),
) -> tuple[AnyChange, ...]:
    """Return the changes of these parts that `devtls setup` applies. Raises UnknownMethod."""
    here = {method_of(change): change.part for change in _find(machine, runner, parts, METHODS)}
    for method in methods:
        if method not in here:
            hint = f"--method with one of: {', '.join(here)}" if here else ""
            raise UnknownMethod(f"There is no method {method!r} for this on this machine.", hint=hint)
    # Who asks for a method of a part replaces the earlier choice for that part only.
    asked_parts = {here[method] for method in methods}
    earlier = {name.partition(":")[2] for name in recorded}
    asked = [
        method for method, part in here.items() if method in methods or (method in earlier and part not in asked_parts)
    ]
    found = _find(machine, runner, parts, asked)
    # Two methods for one port take connections from each other: a redirect leads away from who listens there.
    exclusive = {method for method in asked if here[method] is Part.PORTS}
    return tuple(each for each in found if each.part is not Part.PORTS or not exclusive or method_of(each) in exclusive)


def method_of(change: AnyChange) -> str:
    """Return the second half of a change's name."""
    return change.name.partition(":")[2]


def find_applied(
    machine: Machine, runner: Runner, parts: Collection[Part], *, recorded: Collection[str]
) -> tuple[AnyChange, ...]:
    """Return every change of these parts that an earlier setup may have applied, recorded or not."""
    return _find(machine, runner, parts, METHODS, recorded)


def _find(
    machine: Machine, runner: Runner, parts: Collection[Part], methods: Collection[str], recorded: Collection[str] = ()
) -> tuple[AnyChange, ...]:
    """Return every change once, in the order of the parts: the finder of services may know a method for ports."""
    found: dict[str, AnyChange] = {}
    for find in (find_names, find_ports, find_service):
        for change in find(machine, runner, methods=methods, recorded=recorded):
            # The service's finder knows the socket unit, which is a change of ports: once is enough.
            found.setdefault(change.name, change)
    order = list(Part)
    wanted = (change for change in found.values() if change.part in parts)
    return tuple(sorted(wanted, key=lambda change: order.index(change.part)))
