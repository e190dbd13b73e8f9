"""`devtls reload`: a running proxy reads its file and the CA again.

A mistake in the file is found by the running proxy; its message is the error here.
"""

from __future__ import annotations

import click

from devtls.cli.proxy.route_lines import route_lines
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.proxies import reload
from devtls.system.machine.paths import Paths, refuse_sudo_for


@click.command()
@click.option("--pid", type=int, metavar="N", help="Which one, when several run.")
def command(pid: int | None) -> None:
    """Read the configuration and the CA again, as SIGHUP does, and show the result.

    A change of devtls.toml needs no reload: it counts when it is saved.
    """
    refuse_sudo_for("reload")
    done = reload(Paths.from_environment(), TerminalReporter(), pid)
    click.echo(f"{done.label} has read everything again.\n")
    click.echo("\n".join(route_lines(done.routes, details=False)))
