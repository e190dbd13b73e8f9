"""Facts about services that start devtls: what is installed, and whether what it names is there."""

from __future__ import annotations

from pathlib import Path

from devtls.doctor.health.service import ServiceFacts
from devtls.system.changes.change import Part
from devtls.system.changes.service.discovery import find_services
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

_MENDS = {Part.SERVICE: "devtls service install", Part.PORTS: "devtls setup ports"}


def look_at_services(machine: Machine, runner: Runner) -> tuple[ServiceFacts, ...]:
    """Return what is installed."""
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
                on_demand=service.part is Part.PORTS,
                trouble=account.trouble,
            )
            found.append(facts)
    return tuple(found)
