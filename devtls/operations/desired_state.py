"""The desired state of names, ports and service: the names that routes serve, the ports, and the command of devtls.

Owns the sources of the names: running proxies, the `devtls.toml` of the project (allowed or not: a name in a zone of
the CA leads to this machine and nowhere else), the names that were asked for, and those of earlier runs, because the
names of another project shall stay. A file that is broken is reported and left out. A service runs in no project's
directory: its ports are those of the file that it will read itself, and without routes there it is refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from devtls.config import Config, RouteConfig, StaticTarget, TcpTarget, parse_config
from devtls.errors import ConfigError, DevtlsError, Refused
from devtls.names import LOCALHOST, Hostname, is_wildcard, parse_pattern, zone_of
from devtls.operations.context import Context
from devtls.operations.control import find_running
from devtls.routing import build_routes
from devtls.system.changes.change import DesiredState, User
from devtls.system.changes.service.account import DIRECTORY_VARIABLES
from devtls.system.storage.config_discovery import FILE_NAME, find_config, load_config, named_config, read_config_file
from devtls.web.control_messages import STATUS, StatusAnswer

if sys.platform != "win32":
    import pwd

EXAMPLE = "app"
"""The name of every example, for a machine without a route."""


def read_desired_state(
    context: Context, directory: Path | None, zones: Sequence[Hostname], names: Sequence[str]
) -> DesiredState:
    """Return the desired state of a person who works in `directory` (None: in no project).

    Raises InvalidName and ConfigError for `names`, StateError for a damaged record.
    """
    config = _config_of_project(context, directory)
    hosts = frozenset([*_named(names, zones), *_of_file(context, config, zones), *_of_running_proxies(context)])
    # Zones may have shrunk since: a name that no certificate covers needs no entry.
    earlier = [name for name in context.record.hostnames() if zone_of(name, zones)]
    return replace(
        desired_state_of_service(context, config),
        zones=tuple(zones),
        hostnames=tuple(sorted({*_exact(hosts, zones), *earlier})),
        wildcards=any(is_wildcard(host) for host in hosts),
    )


def desired_state_of_service(context: Context, config: Config) -> DesiredState:
    """Return the desired state for a service that reads `config`; it has no names."""
    serve = config.serve
    return DesiredState(
        user=_user(context.machine.home),
        zones=(),
        hostnames=(),
        # Port 0 is another one at each start, which no resolver could be told of.
        dns_port=config.dns.port or Config().dns.port,
        # The same for 0 and for an unset port: what people type has no number.
        https_port=serve.https_port or 443,
        http_port=(serve.http_port or 80) if serve.redirect else None,
        # Port 0 cannot be held either.
        pac_port=(config.pac.port or None) if config.pac.enabled else None,
        # Not the `devtls` script: a service's PATH need not lead to it, and this interpreter has the package.
        command=(sys.executable, "-m", "devtls"),
        environment=_directory_variables(context.environ),
    )


def with_example(desired: DesiredState) -> DesiredState:
    """Return the same with the name of every example, where there is no other yet."""
    if desired.hostnames or desired.wildcards:
        return desired
    zones = [Hostname(zone) for zone in desired.zones]
    return replace(desired, hostnames=_exact(_named((EXAMPLE,), zones), zones))


def config_of_service(context: Context, named: Path | None, *, then: str) -> Config:
    """Return the configuration that a service will read: `named`, else the one that `serve` finds in the home.

    Raises DevtlsError when it could not serve with it; the hint ends with the command that is to be run `then`.
    """
    machine, paths = context.machine, context.paths
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
    """Return the user of this process: by its number where there is one, since LOGNAME proves nothing."""
    if sys.platform == "win32":
        # Windows has no numbers for users; -1 is no id on any other system.
        return User(os.environ.get("USERNAME", ""), -1, -1, home)
    else:  # noqa: RET505 - mypy checks what follows a return for Windows, too, and finds no pwd there
        uid, gid = os.getuid(), os.getgid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:  # a container may run under a number without an entry
            name = str(uid)
        return User(name, uid, gid, home)


def _directory_variables(environ: Mapping[str, str]) -> dict[str, str]:
    # A service works in another directory: what counts from this one is written in full.
    directories = {name: Path(value).expanduser() for name in DIRECTORY_VARIABLES if (value := environ.get(name))}
    return {name: str(directory.absolute()) for name, directory in directories.items()}


def _config_of_project(context: Context, directory: Path | None) -> Config:
    """Return the configuration that `devtls serve` would read there; the defaults without one, and for a broken one."""
    if directory is None:
        return Config()
    try:
        found = find_config(directory, home=context.machine.home, config_dir=context.paths.config_dir)
        if found is not None:
            data = read_config_file(found.path)
            return parse_config(data, source=str(found.path), directory=str(found.path.parent))
    except ConfigError as error:
        _leave_out(context, error)
    return Config()


def _leave_out(context: Context, error: ConfigError) -> None:
    context.reporter.warning(f"{error} Its names are left out.", error.hint)


def _of_file(context: Context, config: Config, zones: Sequence[Hostname]) -> Iterator[str]:
    sites = (route.target for route in config.routes if isinstance(route.target, StaticTarget))
    try:
        # Only the names matter here, so no socket is opened for a static directory.
        table = build_routes(config, zones, static_sockets=dict.fromkeys(sites, ""))
    except ConfigError as error:
        _leave_out(context, error)
        return
    for route in table.routes:
        yield from route.hosts


def _of_running_proxies(context: Context) -> Iterator[str]:
    for proxy in find_running(context.paths, context.reporter):
        try:
            serve = proxy.get(STATUS, StatusAnswer).serve
        except DevtlsError as error:
            context.reporter.error(error)
            continue
        # The names of a demo go with it.
        for route in () if serve.demo else serve.routes:
            yield from route.hosts


def _named(names: Iterable[str], zones: Sequence[Hostname]) -> Iterator[str]:
    """Yield the hosts of names that were asked for, by the rules of a route."""
    for name in names:
        # A stand-in target: only the hosts of the route are read.
        route = RouteConfig(parse_pattern(name), "/", TcpTarget("http", "", 1), key=f"--name {name}")
        for each in build_routes(Config(routes=(route,)), zones, static_sockets={}).routes:
            yield from each.hosts


def _exact(hosts: Iterable[str], zones: Sequence[Hostname]) -> tuple[str, ...]:
    """Return the names that need an entry: neither wildcards, nor `localhost`, nor names outside the zones."""
    return tuple(
        # localhost has its own entry everywhere; a hosts file knows no wildcards (hosts(5)).
        sorted(host for host in set(hosts) if not is_wildcard(host) and host != LOCALHOST and zone_of(host, zones))
    )
