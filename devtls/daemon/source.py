"""The source of the configuration: a file, arguments and flags; read again at each reload.

Owns how the three add up: routes of the command line win over the file's, flags win over `[serve]`, and what a process
takes over from the proxy that it had joined stands below them all. Refuses what the file may not do without
`devtls allow`, and a name that two projects would serve.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from devtls.config import Config, Merged, RouteConfig, StaticTarget, merge
from devtls.config.lines import visible
from devtls.errors import AlreadyServed
from devtls.names import Hostname
from devtls.routing import Route, build_routes
from devtls.system.machine.paths import Paths
from devtls.system.storage.allowlist import check_private_sockets, pin_links
from devtls.system.storage.config_discovery import Found, load_config

SECTIONS = ("serve", "limits", "dns", "pac", "ca")
"""The sections that a joined process takes over with the listeners; the ACME server is the project's that has it."""
_OWN = "serve.log_format"
"""A joined process has a log of its own."""


class JoinedRoutes(msgspec.Struct, frozen=True):
    """The routes of one process; `owner` is that process in a sentence."""

    pid: int
    owner: str
    routes: tuple[RouteConfig, ...]


class TypedRoutes(msgspec.Struct, frozen=True):
    """The arguments as they were typed in `directory`, for another process to read."""

    routes: tuple[str, ...] = ()
    directory: str = ""
    allow_remote: bool = False


class Source(msgspec.Struct, frozen=True):
    """Where the configuration comes from; `flags` are fields of ServeConfig."""

    paths: Paths
    found: Found | None = None
    arguments: tuple[RouteConfig, ...] = ()
    flags: Mapping[str, Any] = {}
    temporary: tuple[RouteConfig, ...] = ()
    """Routes that a running proxy was given for this run; they win over all others."""
    inherited: Config | None = None
    """The settings of the proxy whose listeners this one took over; its routes do not count."""
    typed: TypedRoutes = TypedRoutes()
    demo: bool = False
    """The sample app of `devtls demo`."""
    trust_command: str = "devtls trust"
    """The command after which browsers trust the CA."""

    @property
    def project_directories(self) -> Sequence[Path]:
        """The directories that an app of this project may run in."""
        here = Path(self.typed.directory) if self.typed.directory else Path.cwd()
        return (here,) if self.found is None else (self.found.path.parent, here)

    def read(self) -> Merged:
        """Return the whole configuration as it is now; blocks. Raises ConfigError, NotAllowed."""
        file = Config() if self.found is None else load_config(self.found, self.paths)
        if self.inherited is not None:
            file = _above(file, self.inherited)
        merged = merge(file, self.arguments)
        if self.temporary:
            merged = replace(merged, config=merge(merged.config, self.temporary).config)
        # Flags last, and at each reload again: what was typed holds for the whole run.
        config = replace(pin_links(merged.config), serve=replace(merged.config.serve, **self.flags))
        # After all three are joined: a route of the command line may not publish the CA's key either.
        check_private_sockets(config, self.paths)
        return replace(merged, config=config)

    def with_joined(
        self, config: Config, joined: Sequence[JoinedRoutes], zones: Sequence[Hostname], *, own_are_new: bool
    ) -> Config:
        """Return `config` with the routes of joined processes; blocks. Raises AlreadyServed, ConfigError.

        Where two have a name in common, the own routes are refused when they are new, else the last one that joined.
        """
        own = JoinedRoutes(0, describe_owner(os.getpid(), self.typed.directory), config.routes)
        _refuse_shared_names((*joined, own) if own_are_new else (own, *joined), zones)
        routes = tuple(route for part in joined for route in part.routes)
        together = replace(config, routes=(*config.routes, *routes))
        check_private_sockets(together, self.paths)
        return together


def describe_owner(pid: int, directory: str) -> str:
    """Return a process of ours in a sentence."""
    return f"devtls serve (process {pid}{f' in {directory}' if directory else ''})"


def _above(file: Config, inherited: Config) -> Config:
    """Return the configuration of a file with the settings that it does not have from `inherited`."""
    sections = {}
    for section in SECTIONS:
        own = getattr(file, section)
        written = {name for name in own.__struct_fields__ if f"{section}.{name}" in (*file.written, _OWN)}
        sections[section] = replace(getattr(inherited, section), **{name: getattr(own, name) for name in written})
    return replace(file, **sections)


def written_settings(config: Config, flags: Mapping[str, Any]) -> dict[str, object]:
    """Return what a file and flags say of a proxy's settings, by their keys such as "serve.http2"."""
    names = dict.fromkeys((*config.written, *(f"serve.{name}" for name in flags)))
    return {name: setting(config, name) for name in names if name != _OWN}


def setting(config: Config, name: str) -> object:
    """Return the value of a setting by its key, None when there is none of that name."""
    section, _, key = name.partition(".")
    return getattr(getattr(config, section, None), key, None)


def _refuse_shared_names(parts: Sequence[JoinedRoutes], zones: Sequence[Hostname]) -> None:
    """Raise AlreadyServed when two of `parts` have a name and path in common; the later one is refused.

    A wildcard and a name below it, a path and one below that, are two: the more specific one wins, as in one file.
    """
    served: dict[tuple[str, bytes], tuple[JoinedRoutes, Route]] = {}
    for part in parts:
        sites = [route.target for route in part.routes if isinstance(route.target, StaticTarget)]
        # Each part alone: in one table a name in full would take the host of another part's short name in silence.
        table = build_routes(Config(routes=part.routes), zones, static_sockets=dict.fromkeys(sites, ""))
        for route in table.routes:
            for host in route.hosts:
                owner, other = served.setdefault((host, route.path_prefix), (part, route))
                if owner is not part:
                    raise _already_served(route, owner, other)


def _already_served(route: Route, owner: JoinedRoutes, other: Route) -> AlreadyServed:
    config = other.config
    where = f"{config.source}:{config.line}" if config.line else f"its {config.source}"
    return AlreadyServed(
        f"{visible(route.config.key)} is served already by {owner.owner}: there {visible(config.key)} goes to "
        f"{visible(other.upstream.label)} ({where}).",
        hint="choose another name, or end that one first (devtls status shows it)",
    )
