"""The services that start devtls: whether they can still do so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtls.doctor.health.finding import Finding, Level, Section
from devtls.system.changes.change import Part
from devtls.system.changes.service.discovery import find_services
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """An installed service, and whether the files that it names are still there.

    `config` is "" when it looks for one itself; `on_demand` = it is started by the first connection; `remedy` is the
    command that writes it anew.
    """

    label: str
    remedy: str
    interpreter: str = ""
    interpreter_is_there: bool = True
    config: str = ""
    config_is_there: bool = True
    running: bool = False
    on_demand: bool = False
    trouble: str = ""


def check_services(services: Sequence[ServiceFacts]) -> Iterator[Finding]:
    """Yield the findings about each."""
    if not services:
        yield Finding("service-none", Section.SERVICE, Level.OK, "No service is installed: you start devtls yourself.")
    for facts in services:
        yield _check(facts)


def _check(facts: ServiceFacts) -> Finding:
    if not facts.interpreter_is_there:
        return _finding(
            facts,
            "service-interpreter-gone",
            Level.TROUBLE,
            f"{facts.label}: it starts {facts.interpreter}, which is not there any more.",
            why="An upgrade moves the interpreter (pipx, uv, Homebrew), and devtls cannot be started without it.",
            remedy=facts.remedy,
        )
    if not facts.config_is_there:
        return _finding(
            facts,
            "service-config-gone",
            Level.TROUBLE,
            f"{facts.label}: it reads {facts.config}, which is not there any more.",
            why="Without its file devtls does not start.",
            remedy="Put the file back, or devtls service uninstall and install it without --config",
        )
    if facts.trouble:
        why = "Nothing is served until it starts."
        what = f"{facts.label}: {facts.trouble}."
        return _finding(facts, "service-down", Level.WARNING, what, why=why, remedy="devtls service logs")
    if not facts.running and not facts.on_demand:
        what = f"{facts.label}: installed, and does not run just now."
        return _finding(
            facts, "service-stopped", Level.NOTE, what, why="Somebody stopped it.", remedy="devtls service install"
        )
    runs = "it runs" if facts.running else "the first connection starts it"
    return _finding(facts, "service-fine", Level.OK, f"{facts.label}: {runs}.")


def _finding(facts: ServiceFacts, name: str, level: Level, what: str, *, why: str = "", remedy: str = "") -> Finding:
    return Finding(name, Section.SERVICE, level, what, why, remedy, subject=facts.label)


_MENDS = {Part.SERVICE: "devtls service install", Part.PORTS: "devtls setup ports"}


def probe_services(machine: Machine, runner: Runner) -> tuple[ServiceFacts, ...]:
    """Probe the installed services."""
    found = []
    for service in find_services(machine, runner):
        account = service.account(service.probe())
        if account.installed:
            interpreter = account.argv[0] if account.argv else ""
            facts = ServiceFacts(
                service.label,
                _MENDS.get(service.part, ""),
                interpreter=interpreter or "a program that cannot be read",
                interpreter_is_there=bool(interpreter) and Path(interpreter).exists(),
                config=account.config,
                config_is_there=not account.config or Path(account.config).exists(),
                running=account.running,
                # Sockets of the system's manager start it, so it need not run now.
                on_demand=service.part is Part.PORTS,
                trouble=account.trouble,
            )
            found.append(facts)
    return tuple(found)
