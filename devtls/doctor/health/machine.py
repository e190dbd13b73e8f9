"""This machine: versions that explain the other findings. Facts, never a fault."""

from __future__ import annotations

import platform
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import devtls
from devtls.doctor.health.finding import Finding, Level, Section
from devtls.doctor.health.names import probe_resolver
from devtls.system.changes.truststore.wsl import is_wsl
from devtls.system.machine.execute import Finished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run

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


def check_machine(facts: MachineFacts) -> Iterator[Finding]:
    """Yield the facts for a bug report."""
    where = f"{facts.system}{', inside WSL' if facts.wsl else ''}"
    yield _fact("versions", f"devtls {facts.devtls}, Python {facts.python}, {facts.openssl}, {where}.")
    if facts.sources:
        yield _fact("name-sources", f"Names are looked up in this order: {' '.join(facts.sources)}.")
    if facts.resolved:
        yield _fact("resolved", f"systemd-resolved {facts.systemd} runs{_zone_support(facts.systemd)}.")


def _zone_support(systemd: int) -> str:
    if systemd >= _FIRST_WITH_DELEGATES:
        return ": it can hand a whole zone to a DNS server of its own"
    if systemd >= _FIRST_WITH_PORTS:
        return ": it can ask another DNS server for a zone, but then asks it for every name"
    return ", too old to ask a DNS server on a port of its own"


def _fact(name: str, what: str) -> Finding:
    return Finding(name, Section.MACHINE, Level.OK, what)


_SYSTEMCTL_S = 2.0


def probe_machine(machine: Machine, runner: Runner) -> MachineFacts:
    """Probe the versions."""
    return MachineFacts(
        system=f"{platform.system()} {platform.machine()}",
        devtls=devtls.__version__,
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        systemd=_systemd(machine, runner),
        resolved=(machine.root / "run/systemd/resolve/stub-resolv.conf").is_file(),
        sources=probe_resolver(machine.root).sources,
        wsl=machine.platform == "linux" and is_wsl(machine),
    )


def _systemd(machine: Machine, runner: Runner) -> int:
    tool = machine.system_tool("systemctl")
    if tool is None:
        return 0
    ended = runner.run(Run((str(tool), "--version"), timeout_s=_SYSTEMCTL_S))
    found = re.match(rb"systemd (\d+)", ended.stdout) if isinstance(ended, Finished) else None
    return int(found[1]) if found else 0
