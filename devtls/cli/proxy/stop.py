"""`devtls stop`: a running proxy ends, as with Ctrl-C."""

from __future__ import annotations

import click

from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.proxies import stop
from devtls.system.machine.paths import Paths, refuse_sudo_for


@click.command()
@click.option("--pid", type=int, metavar="N", help="Which one, when several run.")
@click.option("--now", is_flag=True, help="Do not wait for requests to finish.")
def command(pid: int | None, now: bool) -> None:
    """End a running devtls serve: requests may finish first, as with Ctrl-C."""
    refuse_sudo_for("stop")
    label = stop(Paths.from_environment(), TerminalReporter(), pid, now=now)
    click.echo(f"{label} has ended.")
