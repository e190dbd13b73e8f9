"""Which measures `devtls setup` has on this machine: the one place that knows every part.

Owns the order (names, ports, the service) and which way of a part is taken: the one that is asked for, else the one
that an earlier setup was asked for, else what suits the machine. Refuses ways that do not exist, or not here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from devtls.errors import UnknownWay
from devtls.system.execute import Runner
from devtls.system.ports.discovery import find_measures as find_ports
from devtls.system.resolver.discovery import find_measures as find_names
from devtls.system.service.discovery import find_measures as find_service
from devtls.system.setup.protocol import AnyMeasure, Part
from devtls.system.truststore.machine import Machine

_FINDERS: Mapping[Part, Callable[..., tuple[AnyMeasure, ...]]] = {
    Part.NAMES: find_names,
    Part.PORTS: find_ports,
    Part.SERVICE: find_service,
}
WAYS: Mapping[Part, tuple[str, ...]] = {Part.NAMES: (), Part.PORTS: (), Part.SERVICE: ()}
"""Every way of every system, for `--way` and for a search without a record."""


def way_of(measure: str) -> str:
    """Return the second half of a measure's name."""
    return measure.partition(":")[2]


def find_measures(
    machine: Machine,
    runner: Runner,
    parts: Iterable[Part],
    *,
    ways: Collection[str] = (),
    recorded: Collection[str] = (),
) -> tuple[AnyMeasure, ...]:
    """Return what `devtls setup` wishes of these parts. Raises UnknownWay."""
    parts = tuple(part for part in Part if part in frozenset(parts))
    _check(ways, [way for part in parts for way in WAYS[part]])
    found = tuple(measure for part in parts for measure in _of_part(part, machine, runner, ways, recorded))
    _check(ways, [way_of(measure.name) for measure in found], " on this machine")
    return found


def _check(ways: Collection[str], known: Collection[str], where: str = "") -> None:
    for way in ways:
        if way not in known:
            others = ", ".join(known)
            raise UnknownWay(
                f"There is no way {way!r}{where}.",
                hint=f"--way with one of: {others}" if others else "leave --way out",
            )


def _of_part(
    part: Part, machine: Machine, runner: Runner, ways: Collection[str], recorded: Collection[str]
) -> tuple[AnyMeasure, ...]:
    find = _FINDERS[part]
    asked = [way for way in WAYS[part] if way in ways]
    if asked:
        return find(machine, runner, ways=asked)
    usual = find(machine, runner)
    earlier = _recorded(part, recorded)
    if earlier <= {measure.name for measure in usual}:
        return usual
    return find(machine, runner, ways=[way_of(name) for name in sorted(earlier)]) or usual


def _recorded(part: Part, recorded: Collection[str]) -> frozenset[str]:
    return frozenset(name for name in recorded if name.startswith(f"{part.value}:"))


def find_taken(
    machine: Machine, runner: Runner, parts: Iterable[Part], *, recorded: Collection[str]
) -> tuple[AnyMeasure, ...]:
    """Return every measure of these parts that an earlier setup may have taken, recorded or not."""
    found: dict[str, AnyMeasure] = {}
    for part in (part for part in Part if part in frozenset(parts)):
        find, own = _FINDERS[part], _recorded(part, recorded)
        for measure in (*find(machine, runner, recorded=own), *find(machine, runner, ways=WAYS[part], recorded=own)):
            found.setdefault(measure.name, measure)
    return tuple(found.values())
