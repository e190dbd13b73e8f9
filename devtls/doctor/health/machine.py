"""What this machine is: versions that explain what else was found. Facts, never a fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devtls.doctor.health.finding import Finding, Level, Section

_FIRST_WITH_DELEGATES = 258
_FIRST_WITH_PORTS = 246


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """`systemd` is its version (0 = it is not there), `sources` the line `hosts:` of nsswitch.conf."""

    system: str
    devtls: str
    python: str
    openssl: str
    systemd: int = 0
    resolved: bool = False
    sources: tuple[str, ...] = ()
    wsl: bool = False


def judge_machine(facts: MachineFacts) -> Iterator[Finding]:
    """Yield what to write into a bug report."""
    where = f"{facts.system}{', inside WSL' if facts.wsl else ''}"
    yield _fact("versions", f"devtls {facts.devtls}, Python {facts.python}, {facts.openssl}, {where}.")
    if facts.sources:
        yield _fact("name-sources", f"Names are looked up in this order: {' '.join(facts.sources)}.")
    if facts.resolved:
        yield _fact("resolved", f"systemd-resolved {facts.systemd} runs{_zone_way(facts.systemd)}.")


def _zone_way(systemd: int) -> str:
    if systemd >= _FIRST_WITH_DELEGATES:
        return ": it can hand a whole zone to a DNS server of its own"
    if systemd >= _FIRST_WITH_PORTS:
        return ": it can ask another DNS server for a zone, but then asks it for every name"
    return ", too old to ask a DNS server on a port of its own"


def _fact(name: str, what: str) -> Finding:
    return Finding(name, Section.MACHINE, Level.OK, what)
