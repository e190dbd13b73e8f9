"""`devtls list`: the routes of the running proxies, or of the file when none runs."""

from __future__ import annotations

from pathlib import Path

import click

from devtls.cli.proxy.route_lines import route_lines
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import folded, print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.config_choice import display_path
from devtls.operations.context import Context
from devtls.operations.route_lists import RouteList, in_browser_order, lists
from devtls.system.machine.paths import refuse_sudo_for
from devtls.web.control_messages import FORMAT


@click.command("list")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The routes of this file, not of what runs.",
)
@click.option("--json", "as_values", is_flag=True, help="Print it as JSON.")
def command(config: Path | None, as_values: bool) -> None:
    """Show the routes of every devtls serve that runs; when none does, those of the devtls.toml that counts here."""
    refuse_sudo_for("list")
    found = lists(Context.here(TerminalReporter()), config)
    if as_values:
        print_json({"format": FORMAT, "running": found[0].pid is not None, "lists": found})
        return
    click.echo("\n\n".join(_in_words(in_browser_order(each)) for each in found))


def _in_words(listed: RouteList) -> str:
    file = "" if listed.config_file is None else display_path(Path(listed.config_file))
    none = "  No routes: devtls add app 3000"
    if listed.pid is None:
        head = f"No devtls serve runs; {file} has" + (":" if listed.routes else " no routes yet:")
        none = "  devtls add app 3000"
    else:
        joined = "" if listed.joined is None else f", which joined process {listed.joined}"
        head = f"devtls serve (process {listed.pid}{joined})" + (f" with {file}:" if file else ":")
    lines = list(route_lines(listed.routes, details=listed.pid is not None)) or [none]
    return "\n".join([*folded(printable(head)), "", *lines])
