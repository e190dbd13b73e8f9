"""What a second `devtls serve` says when the first one of the same user has the port.

Owns the offer: the routes that were typed can be lent to the one that runs, and a file is read by a serve of its own on
another port. One that the system started is called the service that it is, with the command that stops it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import PortInUse
from devtls.operations.control import RunningProxy, find_running
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import Found


def explain(error: PortInUse, paths: Paths, routes: Sequence[str], found: Found | None) -> PortInUse:
    """Return the error as it is, or a better one when a proxy of this user has the port."""
    process = re.search(r"\(process ([0-9]+)\)", error.holder)
    first = next(
        (one for one in find_running(paths, TerminalReporter()) if process and one.about.pid == int(process[1])), None
    )
    if first is None:
        return error
    stop = find_stop_command(first.about.pid)
    label = f"devtls service (process {first.about.pid})" if stop else f"other {first.label}"
    return PortInUse(
        f"Port {error.port} is taken: your {label} has it.",
        port=error.port,
        holder=error.holder,
        hint="\n       ".join([_offer(first, routes, found), *([f"{stop}   stops the service"] if stop else [])]),
    )


def find_stop_command(pid: int) -> str:
    """Return what stops the service that the process is, "" when it is none."""
    from devtls.system.changes.service.discovery import find_services
    from devtls.system.machine.execute import ProcessRunner
    from devtls.system.machine.machine import Machine

    machine = Machine.here()
    accounts = (each.account(each.probe()) for each in find_services(machine, ProcessRunner(machine.elevation)))
    return next((shlex.join(each.stop) for each in accounts if each.installed and each.pid == pid), "")


def _offer(first: RunningProxy, routes: Sequence[str], found: Found | None) -> str:
    lines = [f"devtls add {_spaced(route)} --temporary" for route in routes]
    if lines:
        lines[-1] += "   gives that one your route" + ("s" if len(lines) > 1 else "")
    elif found is not None and first.reads(found.path):
        return "devtls status   shows it; it reads this file already"
    return "\n       ".join([*lines, "--https-port 0   takes any free port for a second one"])


def _spaced(route: str) -> str:
    name, _, target = route.partition("=")
    return f"{shlex.quote(name)} {shlex.quote(target)}"
