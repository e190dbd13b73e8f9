"""`devtls stop`: a running proxy ends, as with Ctrl-C.

Owns the wait for its end. Refuses to call it ended while it is there.
"""

from __future__ import annotations

import time

import click

from devtls.cli.proxy.config_choice import config_here
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import DevtlsError
from devtls.operations.control import RunningProxy, choose, find_running, raise_trouble
from devtls.system.control.channel import end_by_force, is_gone
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.web.control_messages import STOP, StopRequest

_LOOK_S = 0.02
_MARGIN_S = 5.0


@click.command()
@click.option("--pid", type=int, metavar="N", help="Which one, when several run.")
@click.option("--now", is_flag=True, help="Do not wait for requests to finish.")
def command(pid: int | None, now: bool) -> None:
    """End a running devtls serve: requests may finish first, as with Ctrl-C."""
    refuse_sudo_for("stop")
    paths = Paths.from_environment()
    one = choose(find_running(paths, TerminalReporter()), pid, config_here(paths), "stop")
    end(one, now=now)
    click.echo(f"{one.label} has ended.")


def end(one: RunningProxy, *, now: bool = False) -> None:
    """End a proxy and wait until it is gone. Raises DevtlsError."""
    done = one.send(STOP, StopRequest(now=now))
    raise_trouble(done.trouble)
    deadline = time.monotonic() + done.grace_s + _MARGIN_S
    while not is_gone(one.channel):
        if time.monotonic() > deadline:
            raise DevtlsError(f"{one.label} has not ended yet.", hint=end_by_force(one.about.pid))
        time.sleep(_LOOK_S)
