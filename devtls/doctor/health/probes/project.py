"""Facts about the configuration that counts in a folder, and whether the apps behind its routes answer."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from devtls.config import Config, StaticTarget
from devtls.doctor.health.authority import Said
from devtls.doctor.health.probes.bounded import ask_all
from devtls.doctor.health.project import ProjectFacts
from devtls.errors import DevtlsError, NotAllowed
from devtls.names import Hostname
from devtls.routing import Upstream, build_routes
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import find_config, load_config

_KNOCK_S = 0.5
_ALL_S = 2.0
_NOT_IN_TIME = "no answer in time"


def look_at_project(directory: Path, home: Path, paths: Paths, zones: tuple[Hostname, ...]) -> ProjectFacts:
    """Return the configuration that `devtls serve` would find in `folder`, and how its apps are."""
    found = find_config(directory, home=home, config_dir=paths.config_dir)
    if found is None:
        return ProjectFacts()
    file = str(found.path)
    try:
        config = load_config(found, paths)
        directories = {route.target.directory: "-" for route in config.routes if isinstance(route.target, StaticTarget)}
        routes = build_routes(config, zones, static_sockets=directories).routes
    except DevtlsError as error:
        return ProjectFacts(file, Said(str(error), error.hint), isinstance(error, NotAllowed))
    apps = {
        route.upstream.label: route.upstream for route in routes if not isinstance(route.config.target, StaticTarget)
    }
    return ProjectFacts(
        file=file,
        routes=len(routes),
        apps=_knock_on(apps),
        missing_directories=tuple(name for name in directories if not Path(name).is_dir()),
        kept=_names_with_hsts(config),
        hosts=tuple(dict.fromkeys(host for route in routes for host in route.hosts)),
        https_port=config.serve.https_port,
    )


def _names_with_hsts(config: Config) -> tuple[str, ...]:
    return tuple(dict.fromkeys(route.name for route in config.routes if route.hsts == "keep"))


def _knock_on(apps: dict[str, Upstream]) -> dict[str, str]:
    answers = ask_all([partial(_knock, app) for app in apps.values()], _ALL_S, otherwise=_NOT_IN_TIME)
    return dict(zip(apps, answers, strict=True))


def _knock(app: Upstream) -> str:
    """Return "" when something listens there, else why not."""
    if app.unix_path:
        return _knock_on_path(app.unix_path)
    return _first_success(app.addresses or ((app.host, app.port),))


def _first_success(addresses: Iterable[tuple[str, int]]) -> str:
    trouble = ""
    for address in addresses:
        try:
            socket.create_connection(address, _KNOCK_S).close()
        except OSError as error:
            trouble = trouble or _words(error)
        else:
            return ""
    return trouble


def _knock_on_path(path: str) -> str:
    if sys.platform == "win32":
        return "Python has no Unix sockets on Windows"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(_KNOCK_S)
            knocking.connect(path)
    except OSError as error:
        return _words(error)
    return ""


def _words(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return (error.strerror or str(error)).lower()
