"""`devtls stop`: a running proxy ends, as with Ctrl-C."""

from __future__ import annotations

import click

from devtls.cli.proxy.config_choice import config_here
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.control import choose, find_running, stop_proxy
from devtls.system.machine.paths import Paths, refuse_sudo_for


@click.command()
@click.option("--pid", type=int, metavar="N", help="Which one, when several run.")
@click.option("--now", is_flag=True, help="Do not wait for requests to finish.")
def command(pid: int | None, now: bool) -> None:
    """End a running devtls serve: requests may finish first, as with Ctrl-C."""
    refuse_sudo_for("stop")
    paths = Paths.from_environment()
    proxy = choose(find_running(paths, TerminalReporter()), pid, config_here(paths), "stop")
    stop_proxy(proxy, now=now)
    click.echo(f"{proxy.label} has ended.")
