"""`devtls add NAME TARGET`: the options of a route, and how its addition is shown."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from devtls.cli.proxy.outcome_lines import exit_code, show_outcomes
from devtls.cli.proxy.route_names import complete_route
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import folded, print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.config_choice import chosen_file, display_path
from devtls.operations.context import Context
from devtls.operations.route_file import RouteOptions
from devtls.operations.routes import AddedRoute, add, add_temporarily
from devtls.system.machine.paths import refuse_sudo_for
from devtls.web.control_messages import FORMAT


@click.command()
@click.argument("name", shell_complete=complete_route)
@click.argument("target", required=False)
@click.option("--temporary", is_flag=True, help="For this run only: the route goes when devtls serve ends.")
@click.option("--global", "of_user", is_flag=True, help="Into your own devtls.toml, which counts where no other is.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Into this file.")
@click.option("--pid", type=int, metavar="N", help="With --temporary: which devtls serve, when several run.")
@click.option("--host", type=click.Choice(["keep", "upstream"]), default=None, help="The Host that the app sees.")
@click.option("--strip-prefix", is_flag=True, help="Cut the route's path off before the app sees it.")
@click.option("--allow-remote", is_flag=True, help="The target is another machine, and that is meant.")
@click.option("--ca", type=click.Path(), metavar="FILE", help="PEM file that an https or h2 target is verified with.")
@click.option("--no-verify", is_flag=True, help="Do not check the certificate of an https or h2 target.")
@click.option("--hsts", type=click.Choice(["strip", "keep"]), help="What becomes of Strict-Transport-Security.")
@click.option("--no-via", is_flag=True, help="Add no Via.")
@click.option("--cookie-domain", type=click.Choice(["keep", "strip"]), help="What becomes of Domain in Set-Cookie.")
@click.option("--retry-down-s", type=float, metavar="SECONDS", help="How long a request waits while the app restarts.")
@click.option("--client-auth", type=click.Choice(["request", "require"]), help="Ask clients for a certificate.")
@click.option("--client-ca", type=click.Path(), metavar="FILE", help="PEM file with the CA of clients; else your own.")
@click.option("--spa", is_flag=True, help="A static folder's index.html for page loads that no file is there for.")
@click.option("--listing", is_flag=True, help="List a static folder's directories that have no index.html.")
@click.option("--dotfiles", is_flag=True, help="Serve a static folder's dot files, too.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    name: str,
    target: str | None,
    temporary: bool,
    of_user: bool,
    config: Path | None,
    pid: int | None,
    as_values: bool,
    **options: Any,
) -> int:
    """Add a route, or replace the one of that name: devtls add api 4000, or devtls add api=4000.

    It is written into the devtls.toml that devtls serve would use here, or into a new one in this directory; comments
    and order stay. A devtls serve that runs with that file applies it at once.
    """
    if sum((temporary, of_user, config is not None)) > 1:
        raise click.UsageError("Use only one of --temporary, --global and --config.")
    if pid is not None and not temporary:
        raise click.UsageError("--pid goes with --temporary.")
    refuse_sudo_for("add")
    name, target = _name_and_target(name, target)
    context = Context.here(TerminalReporter())
    given = RouteOptions(**{key: value for key, value in options.items() if value is not None})
    if temporary:
        added = add_temporarily(context, pid, name, target, given)
    else:
        added = add(context, chosen_file(context.paths, config, of_user), name, target, given)
    if as_values:
        print_json({"format": FORMAT, **_values(added)})
        return exit_code(added.outcomes)
    if added.file is not None:
        verb = "Changed in" if added.replaced is not None else "Written to a new" if added.created else "Added to"
        click.echo("\n".join(folded(printable(f"{verb} {display_path(added.file)}: {added.line}"))))
    return show_outcomes(added.outcomes, added.running, "temporary" if added.file is None else "file")


def _name_and_target(name: str, target: str | None) -> tuple[str, str]:
    """Return both, for `api=4000` as well, which is how devtls serve takes them."""
    if target is None:
        name, equals, target = name.partition("=")
        if not equals or not name or not target:
            raise click.UsageError(f"A route has a name and a target: devtls add {_example(name or target)}")
    elif "=" in name and "=" in target:
        raise click.UsageError("Add one route at a time.")
    return name, target


def _example(given: str) -> str:
    # A port alone is a target, and everything else is most likely a name.
    return f"app {given}" if given.isdigit() else f"{shlex.quote(given or 'app')} 3000"


def _values(added: AddedRoute) -> dict[str, Any]:
    return {
        "file": None if added.file is None else str(added.file),
        "created": added.created,
        "line": added.line,
        "replaced": added.replaced,
        "serves": added.outcomes,
    }
