"""The routes of the running proxies, or of a file when none runs.

Imports nothing that edits files: `devtls list` and each Tab on a route's name wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from devtls.config import Config, StaticTarget
from devtls.doctor.health.bounded import probe_all
from devtls.errors import NotRunning
from devtls.operations.config_choice import chosen_file
from devtls.operations.context import Context
from devtls.operations.control import statuses
from devtls.routing import Route, RouteTable, build_routes
from devtls.system.machine.name_resolution import Resolves, browser_order, resolve
from devtls.system.storage.config_discovery import Found, load_config
from devtls.web.control_messages import RouteStatus, ServeStatus

# What `devtls serve` looks up as well, and how long it waits.
_MOST_NAMES = 40
_RESOLVING_S = 0.9


class RouteList(msgspec.Struct, frozen=True):
    """The routes of the proxy `pid`, or of a file (`pid` null).

    `joined` is the process id of the proxy that serves them for the process `pid`, null when that serves itself.
    """

    pid: int | None
    config_file: str | None
    routes: tuple[RouteStatus, ...]
    joined: int | None = None


def lists(context: Context, named: Path | None) -> list[RouteList]:
    """Return the routes of every running proxy; those of `named`, or of the file that counts here, when none runs.

    Raises DevtlsError.
    """
    found = [] if named is not None else _of_running(context)
    return found or [_of_file(context, chosen_file(context.paths, named, False))]


def in_browser_order(listed: RouteList) -> RouteList:
    """Return a file's list with the name to open by for each route; a running proxy has said so itself."""
    if listed.pid is not None:
        return listed
    hosts = list(dict.fromkeys(host for route in listed.routes for host in route.hosts))[:_MOST_NAMES]
    answers = probe_all([partial(resolve, host) for host in hosts], _RESOLVING_S, otherwise=Resolves.UNKNOWN)
    names = dict(zip(hosts, answers, strict=True))
    ordered = (
        msgspec.structs.replace(route, url=next(iter(browser_order(route.hosts, names)), "")) for route in listed.routes
    )
    return msgspec.structs.replace(listed, routes=tuple(ordered))


def _of_running(context: Context) -> list[RouteList]:
    serves = statuses(context.paths, context.reporter)
    return [each for serve in serves if not serve.demo for each in _by_process(serve)]


def _by_process(serve: ServeStatus) -> Iterator[RouteList]:
    yield RouteList(serve.pid, serve.config_file, routes_by(serve, 0))
    for each in serve.joined:
        yield RouteList(each.pid, each.config_file, routes_by(serve, each.pid), serve.pid)


def routes_by(serve: ServeStatus, joined: int) -> tuple[RouteStatus, ...]:
    """Return the routes of a joined process, or the proxy's own for 0."""
    return tuple(route for route in serve.routes if route.joined == joined)


def _of_file(context: Context, found: Found) -> RouteList:
    if not found.explicit and not found.path.exists():
        raise NotRunning("No devtls serve of yours runs, and there is no devtls.toml here.", hint="devtls add app 3000")
    table = routes_of(context, load_config(found, context.paths))
    return RouteList(None, str(found.path), tuple(_from_file(route) for route in table.routes))


def _from_file(route: Route) -> RouteStatus:
    config, target = route.config, route.config.target
    place = target.directory if isinstance(target, StaticTarget) else route.upstream.label
    return RouteStatus(name=config.key, hosts=route.hosts, urls=(), target=place, source="file", line=config.line)


def routes_of(context: Context, config: Config) -> RouteTable:
    """Return the routes as a proxy would have them. Raises ConfigError for a name in none of the zones."""
    sites = (route.target for route in config.routes if isinstance(route.target, StaticTarget))
    return build_routes(config, context.zones, static_sockets=dict.fromkeys(sites, ""))
