"""`devtls remove NAME`: a route out of the file that counts here, or out of what runs when it was lent for this run.

Owns where the route is looked for, in this order: the file, then the routes that running proxies were lent. Refuses to
say that a route is gone which the command line of a running proxy keeps.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.proxy.config_choice import chosen_file
from devtls.cli.proxy.route_edit import rewrite, spelled
from devtls.cli.proxy.takeover import Takeover, ask_for_takeover, taken, tell
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.config import parse_identity
from devtls.config.edit import remove_route
from devtls.errors import ConfigError, DevtlsError, ExitCode
from devtls.operations.control import RunningProxy, find_running, raise_trouble
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.web.control_messages import FORMAT, REMOVE, RemoveRequest, RouteStatus


@click.command()
@click.argument("name")
@click.option("--global", "of_user", is_flag=True, help="Out of your own devtls.toml.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Out of this file.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(name: str, of_user: bool, config: Path | None, as_values: bool) -> int:
    """Take a route out of devtls.toml, or give one up that was added with --temporary.

    Comments and order stay. What runs with that file takes it over at once.
    """
    if of_user and config is not None:
        raise click.UsageError("Use only one of --global and --config.")
    refuse_sudo_for("remove")
    paths, identity = Paths.from_environment(), parse_identity(name)
    found = chosen_file(paths, config, of_user)
    running = find_running(paths, TerminalReporter())  # before: the file's own watch must not come first
    change = rewrite(found, paths, lambda file: remove_route(file, name)) if found.path.exists() else None
    if change is None:
        takeovers = _give_up(running, found.path, name)
    else:
        takeovers = ask_for_takeover(running, found.path, f"devtls remove {printable(name)}", identity)
    if as_values:
        told = {"file": None if change is None else str(found.path), "name": name, "serves": takeovers}
        print_json({"format": FORMAT, **told})
        return ExitCode.OK if all(one.taken_over for one in takeovers) else ExitCode.FAILED
    if change is not None:
        click.echo(printable(f"Taken out of {spelled(found.path)}: {name}"))
    return tell(takeovers, running, "")


def _give_up(running: list[RunningProxy], file: Path, name: str) -> list[Takeover]:
    """Have every proxy give up what it was lent. Raises DevtlsError when none was lent a route of that name."""
    identity, takeovers, kept = parse_identity(name), [], None
    for one in running:
        done = one.send(REMOVE, RemoveRequest(name=name))
        raise_trouble(done.trouble)
        answer = taken(one, done, identity)
        if done.removed:
            takeovers.append(answer)
        elif answer.route is not None:
            kept = one, answer.route
    if not takeovers:
        raise _not_there(file, name, kept)
    return takeovers


def _not_there(file: Path, name: str, kept: tuple[RunningProxy, RouteStatus] | None) -> DevtlsError:
    missing = (
        f"{spelled(file)} has no route {name}" if file.exists() else f"There is no devtls.toml here, and no {name}"
    )
    if kept is None:
        return ConfigError(f"{missing}.", hint="devtls list")
    one, route = kept
    if route.source == "command line":
        why, hint = f"the command line of {one.label} has it", f"devtls stop --pid {one.about.pid}, then without it"
    elif route.source == "acme":
        why, hint = f"it is the ACME server of {one.label}", "enabled = false in [acme] switches it off"
    else:
        why = f"{one.label} has it from {one.about.config_file}"
        hint = f"devtls remove {name} --config {shlex.quote(one.about.config_file or '')}"
    return ConfigError(f"{missing}; {why}.", hint=hint)
