"""The configuration that counts in this directory: whether it can be read, fits the CA, and its apps answer.

Owns the findings about routes. An app that is down is a note: that is everyday life, and no fault of devtls.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from devtls.config import Config, StaticTarget
from devtls.config.lines import visible
from devtls.doctor.health.authority import ErrorMessage
from devtls.doctor.health.bounded import probe_all
from devtls.doctor.health.finding import Finding, Level, Section, as_command, counted, listed
from devtls.errors import DevtlsError, NotAllowed
from devtls.names import Hostname
from devtls.routing import Upstream, build_routes
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import find_config, load_config


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """`file` is "" where there is none; `apps`: target -> "" or why not; `kept`: names that keep HSTS."""

    file: str = ""
    refused: ErrorMessage | None = None
    forbidden: bool = False
    routes: int = 0
    apps: Mapping[str, str] = field(default_factory=dict)
    missing_directories: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    https_port: int | None = None


def check_project(facts: ProjectFacts, *, served: bool = False) -> Iterator[Finding]:
    """Yield the findings about the configuration; its apps are not spoken of where a running proxy has its routes."""
    if not facts.file:
        if served:
            return
        yield Finding(
            "config-none",
            Section.PROJECT,
            Level.OK,
            "There is no devtls.toml here or above, so no routes were looked at.",
        )
        return
    if facts.refused is not None:
        yield _on_refusal(facts.refused, forbidden=facts.forbidden)
        return
    down = {} if served else {target: why for target, why in facts.apps.items() if why}
    if served:
        yield Finding("config-served", Section.PROJECT, Level.OK, f"{facts.file} is served.")
    elif not down and not facts.missing_directories:
        what = f"{facts.file} has {counted(facts.routes, 'route')}, and every app answers."
        yield Finding("config-fine", Section.PROJECT, Level.OK, what)
    for target, why in down.items():
        yield Finding(
            "app-down",
            Section.PROJECT,
            Level.NOTE,
            f"The app at {visible(target)} does not answer: {visible(why)}.",
            "Its addresses show a page that says so, and load it when it is up.",
            "Start the app",
            target,
        )
    for directory in facts.missing_directories:
        yield Finding(
            "folder-missing",
            Section.PROJECT,
            Level.WARNING,
            f"There is no directory {visible(directory)}, which a route serves.",
            "Its addresses answer 404.",
            f"Make the directory, or change the route in {facts.file}",
            directory,
        )
    if facts.kept:
        yield _on_hsts(facts.kept)


def _on_refusal(error: ErrorMessage, *, forbidden: bool) -> Finding:
    name = "config-not-allowed" if forbidden else "config-refused"
    why = "devtls serve does not start with it; one that runs goes on with the last good version."
    return Finding(
        name, Section.PROJECT, Level.TROUBLE, error.sentence, why, as_command(error.hint) or "Change that line"
    )


def _on_hsts(kept: tuple[str, ...]) -> Finding:
    return Finding(
        "hsts-kept",
        Section.PROJECT,
        Level.NOTE,
        f'{listed(kept)} {"keeps" if len(kept) == 1 else "keep"} Strict-Transport-Security (hsts = "keep").',
        "A browser that saw it refuses every other project under that name, on every port, until it expires.",
        'Take hsts = "keep" out; in Chromium, chrome://net-internals/#hsts makes it forget a name',
    )


_CONNECT_S = 0.5
_ALL_S = 2.0
_NOT_IN_TIME = "no answer in time"


def probe_project(directory: Path, home: Path, paths: Paths, zones: tuple[Hostname, ...]) -> ProjectFacts:
    """Probe the configuration that `devtls serve` would find in `directory`, and its apps."""
    found = find_config(directory, home=home, config_dir=paths.config_dir)
    if found is None:
        return ProjectFacts()
    file = str(found.path)
    try:
        config = load_config(found, paths)
        # No server for static files runs here; the routes only want some name of a socket.
        sites = {route.target: "-" for route in config.routes if isinstance(route.target, StaticTarget)}
        routes = build_routes(config, zones, static_sockets=sites).routes
    except DevtlsError as error:
        return ProjectFacts(file, ErrorMessage(str(error), error.hint), isinstance(error, NotAllowed))
    apps = {
        route.upstream.label: route.upstream for route in routes if not isinstance(route.config.target, StaticTarget)
    }
    return ProjectFacts(
        file=file,
        routes=len(routes),
        apps=_try_apps(apps),
        missing_directories=tuple(dict.fromkeys(site.directory for site in sites if not Path(site.directory).is_dir())),
        kept=_names_with_hsts(config),
        hosts=tuple(dict.fromkeys(host for route in routes for host in route.hosts)),
        https_port=config.serve.https_port,
    )


def _names_with_hsts(config: Config) -> tuple[str, ...]:
    return tuple(dict.fromkeys(route.name for route in config.routes if route.hsts == "keep"))


def _try_apps(apps: dict[str, Upstream]) -> dict[str, str]:
    answers = probe_all([partial(_try_app, app) for app in apps.values()], _ALL_S, otherwise=_NOT_IN_TIME)
    return dict(zip(apps, answers, strict=True))


def _try_app(app: Upstream) -> str:
    """Return "" when something listens there, else why not."""
    if app.unix_path:
        return _connect_to_path(app.unix_path)
    return _first_success(app.addresses or ((app.host, app.port),))


def _first_success(addresses: Iterable[tuple[str, int]]) -> str:
    trouble = ""
    for address in addresses:
        try:
            socket.create_connection(address, _CONNECT_S).close()
        except OSError as error:
            trouble = trouble or _words(error)
        else:
            return ""
    return trouble


def _connect_to_path(path: str) -> str:
    if sys.platform == "win32":
        return "Python has no Unix sockets on Windows"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_CONNECT_S)
            connection.connect(path)
    except OSError as error:
        return _words(error)
    return ""


def _words(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return (error.strerror or str(error)).lower()
