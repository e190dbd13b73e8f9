"""The error of a `devtls serve` whose port another one has: one of this user that it may not join, or of another user.

Owns the offer: to join after all, or another port. A proxy that the system started is called a service, with the
command that stops it; one of another user, or of another state directory, is known by its certificate.
"""

from __future__ import annotations

import re
import shlex
import socket
import ssl
from collections.abc import Sequence

from devtls.errors import PortInUse
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy, find_running
from devtls.system.changes.service.discovery import find_services
from devtls.system.storage.config_discovery import Found

# Seconds; it is asked on loopback, before an error is shown.
_LOOK_S = 1.0


def explain_port_in_use(context: Context, error: PortInUse, routes: Sequence[str], found: Found | None) -> PortInUse:
    """Return the error with the name of the proxy that has the port, or as it is when none of this user has it.

    `routes` are those that were typed, `found` is the file that the second one read.
    """
    # The holder is a sentence for people; its process id is what the running proxies can be compared with.
    process = re.search(r"\(process ([0-9]+)\)", error.holder)
    running = find_running(context.paths, context.reporter)
    first = next((one for one in running if process and one.about.pid == int(process[1])), None)
    if first is None:
        return _of_another(error) if error.holder and _is_devtls(error.port) else error
    stop_command = find_stop_command(context, first.about.pid)
    label = f"devtls service (process {first.about.pid})" if stop_command else f"other {first.label}"
    stops = [f"{stop_command}   stops the service"] if stop_command else []
    return PortInUse(
        f"Port {error.port} is taken: your {label} has it.",
        port=error.port,
        holder=error.holder,
        hint="\n       ".join([_offer(first, routes, found), *stops]),
    )


def _of_another(error: PortInUse) -> PortInUse:
    """Return the error about a devtls that shares no state with this one."""
    user = error.holder.removeprefix("a program of ")
    if user != error.holder:
        return PortInUse(
            f"Port {error.port} is taken: a devtls serve of {user} has it.",
            port=error.port,
            holder=error.holder,
            hint=f"only {user} can give that one routes; --https-port 8443, or 0, is a port of your own",
        )
    return PortInUse(
        f"Port {error.port} is taken: a devtls serve with another state directory has it ({error.holder}).",
        port=error.port,
        holder=error.holder,
        hint="name the same one in DEVTLS_STATE_DIR to join it; --https-port 0 takes any free port",
    )


def _is_devtls(port: int) -> bool:
    """Say whether what listens on a port of this machine shows a certificate of a devtls CA."""
    context = ssl.create_default_context()
    # It is looked at, and not believed: nothing is sent.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), _LOOK_S) as tcp, context.wrap_socket(tcp) as tls:
            return b"devtls" in (tls.getpeercert(binary_form=True) or b"")
    except OSError:
        return False


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
    own = "--https-port 0   takes any free port for a process of its own"
    if not routes and found is not None and first.reads(found.path):
        return "devtls status   shows it; it reads this file already"
    typed = " ".join(["devtls serve", *map(shlex.quote, routes)])
    return f"{typed}   joins that one, without --alone and without another address\n       {own}"
