"""What `devtls setup` and `devtls service` wish for: the names that routes serve, the ports, and how devtls is started.

Owns where the names come from: what runs, the `devtls.toml` that counts here (allowed or not: a name in a zone of the
CA leads to this machine and nowhere else), `--name`, and earlier runs, because another project's names shall stay. A
file that is broken is named and passed over. A service stands in no project's folder: its ports are those of the file
that it will read itself, and without routes there it is refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from devtls.cli import show
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.config import Config, RouteConfig, StaticTarget, TcpTarget, parse_config
from devtls.errors import ConfigError, DevtlsError, Refused
from devtls.names import LOCALHOST, Hostname, is_wildcard, parse_pattern, zone_of
from devtls.operations.control import find_running
from devtls.routing import build_routes
from devtls.system.changes.change import DesiredState, User
from devtls.system.changes.service.account import DIRECTORY_VARIABLES
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import FILE_NAME, find_config, load_config, named_config, read_config_file
from devtls.web.control_messages import STATUS, StatusAnswer

EXAMPLE = "app"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Exact names, each in its zone, and whether some route is a wildcard."""

    exact: tuple[str, ...]
    wildcards: bool


def read_wish(
    paths: Paths, home: Path, zones: Sequence[Hostname], *, names: Sequence[str], earlier: Sequence[str]
) -> DesiredState:
    """Return the wish of somebody who works in this folder. Raises InvalidName, ConfigError for `names`."""
    config = _config_here(paths)
    hosts = [*_named(names, zones), *_of_file(config, zones), *_of_what_runs(paths)]
    found = _sorted(hosts, zones)
    exact = tuple(sorted({*found.exact, *(name for name in earlier if zone_of(name, zones))}))
    return replace(_by_file(config, home), zones=tuple(zones), hostnames=exact, wildcards=found.wildcards)


def wish_for_service(config: Config, home: PurePath) -> DesiredState:
    """Return the wish of a service that reads `config`; names are no business of its."""
    return _by_file(config, home)


def _by_file(config: Config, home: PurePath) -> DesiredState:
    serve = config.serve
    return DesiredState(
        user=_user(home),
        zones=(),
        hostnames=(),
        dns_port=config.dns.port or Config().dns.port,
        https_port=serve.https_port or 443,
        http_port=(serve.http_port or 80) if serve.redirect else None,
        command=(sys.executable, "-m", "devtls"),
        environment=_environment(),
    )


def with_example(wish: DesiredState) -> DesiredState:
    """Return the wish of somebody who has no route yet: for `app`, the name of every example."""
    if wish.hostnames or wish.wildcards:
        return wish
    zones = [Hostname(zone) for zone in wish.zones]
    return replace(wish, hostnames=_sorted(_named((EXAMPLE,), zones), zones).exact)


def config_of_service(machine: Machine, paths: Paths, named: Path | None, *, then: str) -> Config:
    """Return what a service will read: `named`, else what `serve` finds in the home folder.

    Raises DevtlsError when it could not serve with it; the hint ends with the command that is to be run `then`.
    """
    own = paths.config_dir.absolute() / FILE_NAME
    if named is not None:
        found = named_config(named)
    elif (searched := find_config(machine.home, home=machine.home, config_dir=paths.config_dir)) is not None:
        found = searched
    else:
        raise Refused(
            f"The service would have no routes: there is no {machine.tilde(own)}.",
            hint=f"devtls add app 3000 --global, then {then}",
        )
    config = load_config(found, paths)
    if not config.routes:
        where = "--global" if found.path == own else f"--config {found.path}"
        raise ConfigError(
            "it has no routes, so the service would end at once.",
            source=str(found.path),
            hint=f"devtls add app 3000 {where}, then {then}",
        )
    return config


def _user(home: PurePath) -> User:
    """Return who runs this: by the number where there is one, since LOGNAME can say anything."""
    if sys.platform == "win32":
        return User(os.environ.get("USERNAME", ""), -1, -1, home)
    import pwd

    uid, gid = os.getuid(), os.getgid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run under a number that nobody has
        name = str(uid)
    return User(name, uid, gid, home)


def _environment() -> dict[str, str]:
    # A service works in another folder: what counts from this one is written in full.
    directories = {name: Path(value).expanduser() for name in DIRECTORY_VARIABLES if (value := os.environ.get(name))}
    return {name: str(directory.absolute()) for name, directory in directories.items()}


def _config_here(paths: Paths) -> Config:
    """Return what the file says that `devtls serve` would read here; the defaults without one, and for a broken one."""
    try:
        found = find_config(Path.cwd(), home=Path.home(), config_dir=paths.config_dir)
        if found is None:
            return Config()
        return parse_config(read_config_file(found.path), source=str(found.path), directory=str(found.path.parent))
    except ConfigError as error:
        show(f"{error} Its names are left out.", error.hint)
    except FileNotFoundError as error:  # the folder that the shell stands in was removed
        show(f"There is no current folder: {error.strerror}.", "")
    return Config()


def _of_file(config: Config, zones: Sequence[Hostname]) -> Iterator[str]:
    directories = (route.target.directory for route in config.routes if isinstance(route.target, StaticTarget))
    try:
        table = build_routes(config, zones, static_sockets=dict.fromkeys(directories, ""))
    except ConfigError as error:
        show(f"{error} Its names are left out.", error.hint)
        return
    for route in table.routes:
        yield from route.hosts


def _of_what_runs(paths: Paths) -> Iterator[str]:
    for one in find_running(paths, TerminalReporter()):
        try:
            serve = one.get(STATUS, StatusAnswer).serve
        except DevtlsError as error:
            show(str(error), error.hint)
            continue
        for route in serve.routes:
            yield from route.hosts


def _named(names: Iterable[str], zones: Sequence[Hostname]) -> Iterator[str]:
    """Yield what `--name` stands for, by the rules of a route."""
    for name in names:
        route = RouteConfig(parse_pattern(name), "/", TcpTarget("http", "", 1), key=f"--name {name}")
        for each in build_routes(Config(routes=(route,)), zones, static_sockets={}).routes:
            yield from each.hosts


def _sorted(hosts: Iterable[str], zones: Sequence[Hostname]) -> Hosts:
    """Tell names from wildcards; leave out `localhost`, which leads here by itself, and what is in no zone of ours."""
    found = frozenset(hosts)
    exact = {host for host in found if not is_wildcard(host) and host != LOCALHOST and zone_of(host, zones)}
    return Hosts(tuple(sorted(exact)), any(is_wildcard(host) for host in found))
