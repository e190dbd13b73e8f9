"""`devtls remove NAME`: the options, and how the removal of a route is shown."""

from __future__ import annotations

from pathlib import Path

import click

from devtls.cli.proxy.outcome_lines import exit_code, show_outcomes
from devtls.cli.proxy.route_names import complete_route
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import folded, print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.config_choice import chosen_file, display_path
from devtls.operations.context import Context
from devtls.operations.routes import remove
from devtls.system.machine.paths import refuse_sudo_for
from devtls.web.control_messages import FORMAT


@click.command()
@click.argument("name", shell_complete=complete_route)
@click.option("--global", "of_user", is_flag=True, help="Out of your own devtls.toml.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Out of this file.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(name: str, of_user: bool, config: Path | None, as_values: bool) -> int:
    """Remove a route from devtls.toml, or one that was added with --temporary.

    Comments and order stay. A devtls serve that runs with that file applies it at once.
    """
    if of_user and config is not None:
        raise click.UsageError("Use only one of --global and --config.")
    refuse_sudo_for("remove")
    context = Context.here(TerminalReporter())
    removed = remove(context, chosen_file(context.paths, config, of_user), name)
    if as_values:
        file = None if removed.file is None else str(removed.file)
        print_json({"format": FORMAT, "file": file, "name": name, "serves": removed.outcomes})
        return exit_code(removed.outcomes)
    if removed.file is not None:
        click.echo("\n".join(folded(printable(f"Removed from {display_path(removed.file)}: {name}"))))
    return show_outcomes(removed.outcomes, removed.running, "")
