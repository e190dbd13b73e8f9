"""`devtls list`: the routes of what runs, or of the file when nothing does.

Owns which of the two is shown, and that it is said.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from devtls.cli import printable
from devtls.cli.proxy.config_choice import chosen_file
from devtls.cli.proxy.route_edit import routes_of, spelled
from devtls.cli.proxy.route_lines import route_lines
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.config import StaticTarget
from devtls.errors import NotRunning
from devtls.operations.control import find_running
from devtls.routing import Route
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.system.storage.config_discovery import Found, load_config
from devtls.web.control_messages import FORMAT, STATUS, RouteStatus, StatusAnswer


class Routes(msgspec.Struct, frozen=True):
    """One list: of the proxy `pid`, or of a file (`pid` null)."""

    pid: int | None
    config_file: str | None
    routes: tuple[RouteStatus, ...]


@click.command("list")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="The routes of this file, not of what runs."
)
@click.option("--json", "as_values", is_flag=True, help="Print it as JSON.")
def command(config: Path | None, as_values: bool) -> None:
    """Show the routes of every devtls serve that runs; when none does, those of the devtls.toml that counts here."""
    refuse_sudo_for("list")
    paths = Paths.from_environment()
    lists = [] if config is not None else _of_what_runs(paths)
    if not lists:
        lists = [_of_file(chosen_file(paths, config, False), paths)]
    if as_values:
        print_json({"format": FORMAT, "running": lists[0].pid is not None, "lists": lists})
        return
    click.echo("\n\n".join(_in_words(each) for each in lists))


def _of_what_runs(paths: Paths) -> list[Routes]:
    serves = [one.get(STATUS, StatusAnswer).serve for one in find_running(paths, TerminalReporter())]
    return [Routes(serve.pid, serve.config_file, serve.routes) for serve in serves]


def _of_file(found: Found, paths: Paths) -> Routes:
    if not found.explicit and not found.path.exists():
        raise NotRunning("No devtls serve of yours runs, and there is no devtls.toml here.", hint="devtls add app 3000")
    table = routes_of(load_config(found, paths), paths)
    return Routes(None, str(found.path), tuple(_from_file(route) for route in table.routes))


def _from_file(route: Route) -> RouteStatus:
    config, target = route.config, route.config.target
    place = target.directory if isinstance(target, StaticTarget) else route.upstream.label
    return RouteStatus(name=config.key, hosts=route.hosts, urls=(), target=place, source="file", line=config.line)


def _in_words(listed: Routes) -> str:
    if listed.pid is None:
        head = f"Nothing runs; {spelled(Path(listed.config_file or ''))} has:"
    else:
        file = f" with {spelled(Path(listed.config_file))}" if listed.config_file else ""
        head = f"devtls serve (process {listed.pid}){file}:"
    lines = list(route_lines(listed.routes, details=listed.pid is not None)) or ["  No routes: devtls add app 3000"]
    return "\n".join([printable(head), "", *lines])
