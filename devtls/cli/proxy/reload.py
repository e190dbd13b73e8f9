"""`devtls reload`: a running proxy reads its file and the CA again.

Owns how the answer is shown. A mistake in the file is the running proxy's to find; its word is the error here.
"""

from __future__ import annotations

import click

from devtls.cli.proxy.config_choice import config_here
from devtls.cli.proxy.route_lines import route_lines
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.control import choose, find_running, raise_trouble
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.web.control_messages import RELOAD, ReloadRequest


@click.command()
@click.option("--pid", type=int, metavar="N", help="Which one, when several run.")
def command(pid: int | None) -> None:
    """Read the configuration and the CA again, as SIGHUP does, and say what came of it.

    A change of devtls.toml needs no reload: it counts when it is saved.
    """
    refuse_sudo_for("reload")
    paths = Paths.from_environment()
    one = choose(find_running(paths, TerminalReporter()), pid, config_here(paths), "reload")
    done = one.send(RELOAD, ReloadRequest(why="devtls reload"))
    raise_trouble(done.trouble, f"{one.label} goes on with what it had: ")
    click.echo(f"{one.label} has read everything again.\n")
    click.echo("\n".join(route_lines(done.routes, details=False)))
