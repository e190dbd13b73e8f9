"""The error of a second `devtls serve` of the same user, whose port the first one has.

Owns the offer: the routes that were typed can be added to the first one, and a file is read by a second one on another
port. A proxy that the system started is called a service, with the command that stops it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from devtls.config import parse_route_argument
from devtls.errors import ConfigError, PortInUse
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy, find_running
from devtls.system.changes.service.discovery import find_services
from devtls.system.storage.config_discovery import Found


def explain_port_in_use(context: Context, error: PortInUse, routes: Sequence[str], found: Found | None) -> PortInUse:
    """Return the error with the name of the proxy that has the port, or as it is when none of this user has it.

    `routes` are those that were typed, `found` is the file that the second one read.
    """
    # The holder is a sentence for people; its process id is what the running proxies can be compared with.
    process = re.search(r"\(process ([0-9]+)\)", error.holder)
    running = find_running(context.paths, context.reporter)
    first = next((one for one in running if process and one.about.pid == int(process[1])), None)
    if first is None:
        return error
    stop_command = find_stop_command(context, first.about.pid)
    label = f"devtls service (process {first.about.pid})" if stop_command else f"other {first.label}"
    stops = [f"{stop_command}   stops the service"] if stop_command else []
    return PortInUse(
        f"Port {error.port} is taken: your {label} has it.",
        port=error.port,
        holder=error.holder,
        hint="\n       ".join([_offer(first, routes, found), *stops]),
    )


def find_stop_command(context: Context, pid: int) -> str:
    """Return the command that stops the service which runs as process `pid`, "" when it is no service."""
    accounts = (each.account(each.probe()) for each in find_services(context.machine, context.runner))
    return next((shlex.join(each.stop) for each in accounts if each.installed and each.pid == pid), "")


def _offer(first: RunningProxy, routes: Sequence[str], found: Found | None) -> str:
    if first.about.demo:
        return (
            f"devtls stop --pid {first.about.pid}   ends the demo\n       "
            "--https-port 0   takes any free port beside it"
        )
    # --temporary, because what was typed for a serve was meant for one run as well.
    lines = [f"devtls add {_spaced(route)} --temporary{_permission(route)}" for route in routes]
    if lines:
        lines[-1] += "   gives that one your route" + ("s" if len(lines) > 1 else "")
    elif found is not None and first.reads(found.path):
        return "devtls status   shows it; it reads this file already"
    return "\n       ".join([*lines, "--https-port 0   takes any free port for a second one"])


def _permission(route: str) -> str:
    """Return the option that a target on another machine needs, which was given for all routes at once."""
    try:
        return " --allow-remote" if parse_route_argument(route, allow_remote=True).allow_remote else ""
    except ConfigError:  # the port was taken before anything was read
        return ""


def _spaced(route: str) -> str:
    name, _, target = route.partition("=")
    return f"{shlex.quote(name)} {shlex.quote(target)}"
