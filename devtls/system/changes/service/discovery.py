"""The services that devtls can be on this machine."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from devtls.system.changes.change import AnyChange
from devtls.system.changes.service.account import AnyService
from devtls.system.changes.service.launchd_agent import LaunchAgent
from devtls.system.changes.service.socket_unit import SocketUnit
from devtls.system.changes.service.systemd_unit import UserUnit
from devtls.system.changes.service.windows_task import LogonTask
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine


def find_changes(
    machine: Machine, runner: Runner, *, methods: Collection[str] = (), recorded: Collection[str] = ()
) -> tuple[AnyChange, ...]:
    """Return the changes that suit this machine, in their order.

    `methods` asks for certain ones by the second half of their names; `recorded` adds those of an earlier setup.
    """
    wanted = {f"service:{method}" for method in methods} | {f"ports:{method}" for method in methods} | set(recorded)
    user, *system = find_services(machine, runner)
    return (user, *(each for each in system if each.name in wanted))


def find_services(machine: Machine, runner: Runner, *, config: Path | None = None) -> tuple[AnyService, ...]:
    """Return every method to start devtls by itself here, the user's own first; `config` is the file to read."""
    match machine.platform:
        case "darwin":
            return (LaunchAgent(machine, runner, config=config),)
        case "win32":
            return (LogonTask(machine, runner, config=config),)
        case _:
            return (UserUnit(machine, runner, config=config), SocketUnit(machine, runner, config=config))
