"""`devtls add NAME TARGET`: a route, written into the file that counts here, or given to what runs for this run only.

Owns the options and how the result is shown. `route_edit` writes, `takeover` asks what runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from devtls.cli import printable
from devtls.cli.proxy.config_choice import chosen_file, config_here
from devtls.cli.proxy.route_edit import rewrite, spelled
from devtls.cli.proxy.takeover import Takeover, ask_for_takeover, taken, tell
from devtls.cli.proxy.typed_route import typed_value
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.config import parse_identity
from devtls.config.edit import Value, add_route, as_line, find_route
from devtls.errors import ExitCode
from devtls.operations.control import choose, find_running, raise_trouble
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.system.storage.config_discovery import Found
from devtls.web.control_messages import FORMAT, ROUTES, AddRequest


@click.command()
@click.argument("name")
@click.argument("target")
@click.option("--temporary", is_flag=True, help="For this run only: the route goes when devtls serve ends.")
@click.option("--global", "of_user", is_flag=True, help="Into your own devtls.toml, which counts where no other is.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Into this file.")
@click.option("--pid", type=int, metavar="N", help="With --temporary: which devtls serve, when several run.")
@click.option("--host", type=click.Choice(["keep", "upstream"]), help="The Host that the app sees.")
@click.option("--strip-prefix", is_flag=True, help="Cut the route's path off before the app sees it.")
@click.option("--allow-remote", is_flag=True, help="The target is another machine, and that is meant.")
@click.option("--ca", type=click.Path(), metavar="FILE", help="PEM file that an https or h2 target is verified with.")
@click.option("--no-verify", is_flag=True, help="Do not check the certificate of an https or h2 target.")
@click.option("--hsts", type=click.Choice(["strip", "keep"]), help="What becomes of Strict-Transport-Security.")
@click.option("--no-via", is_flag=True, help="Add no Via.")
@click.option("--client-auth", type=click.Choice(["request", "require"]), help="Ask clients for a certificate.")
@click.option("--client-ca", type=click.Path(), metavar="FILE", help="PEM file with the CA of clients; else your own.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    name: str,
    target: str,
    temporary: bool,
    of_user: bool,
    config: Path | None,
    pid: int | None,
    as_values: bool,
    **options: Any,
) -> int:
    """Add a route, or replace the one of that name: devtls add api 4000.

    It is written into the devtls.toml that devtls serve would use here, or into a new one in this folder; comments and
    order stay. What runs with that file takes it over at once.
    """
    if sum((temporary, of_user, config is not None)) > 1:
        raise click.UsageError("Use only one of --temporary, --global and --config.")
    if pid is not None and not temporary:
        raise click.UsageError("--pid goes with --temporary.")
    refuse_sudo_for("add")
    paths, here = Paths.from_environment(), Path.cwd()
    if temporary:
        value = typed_value(name, target, options, here=here, directory=here)
        return _lend(paths, pid, AddRequest(name=name, value=value, directory=str(here)), as_values=as_values)
    found = chosen_file(paths, config, of_user)
    value = typed_value(name, target, options, here=here, directory=found.path.parent)
    return _write(paths, found, name, value, as_values=as_values)


def _lend(paths: Paths, pid: int | None, request: AddRequest, *, as_values: bool) -> int:
    identity = parse_identity(request.name)
    one = choose(
        find_running(paths, TerminalReporter()), pid, config_here(paths), f"add {request.name} TARGET --temporary"
    )
    done = one.send(ROUTES, request)
    raise_trouble(done.trouble)
    takeover = taken(one, done, identity)
    if as_values:
        return _print(None, False, as_line(request.name, request.value), None, [takeover])
    return tell([takeover], [one], "temporary")


def _write(paths: Paths, found: Found, name: str, value: Value, *, as_values: bool) -> int:
    running = find_running(paths, TerminalReporter())  # before: the file's own watch must not come first
    change = rewrite(found, paths, lambda file: add_route(file, name, value))
    if change is None:
        raise TypeError("add_route always returns a file")
    old, new = find_route(change.before, name), find_route(change.after, name)
    key = name if new is None else new.key
    takeovers = ask_for_takeover(running, found.path, f"devtls add {printable(name)}", parse_identity(name))
    line = as_line(key, value)
    if as_values:
        return _print(str(found.path), change.created, line, None if old is None else old.key, takeovers)
    verb = "Changed in" if old is not None else "Written to a new" if change.created else "Added to"
    click.echo(printable(f"{verb} {spelled(found.path)}: {line}"))
    return tell(takeovers, running, "file")


def _print(file: str | None, created: bool, line: str, replaced: str | None, takeovers: list[Takeover]) -> int:
    told = {"file": file, "created": created, "line": line, "replaced": replaced, "serves": takeovers}
    print_json({"format": FORMAT, **told})
    return ExitCode.OK if all(one.taken_over for one in takeovers) else ExitCode.FAILED
