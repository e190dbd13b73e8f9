"""A route written into a configuration file, or removed from it, so that a running proxy can use the result.

Owns the order: lock, read, edit, check by the rules of `devtls serve`, write; and relative paths: typed, they count
from the directory that the user is in; written, from the file's. Refuses what a proxy would refuse, before the file is
touched, and another machine as a target without `--allow-remote`. A route that the user has just typed needs no
`devtls allow`; everything else in the file stays as allowed, or not, as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import msgspec

from devtls.config import COMMAND_LINE, Config, StaticTarget, TcpTarget, UnixTarget, is_loopback_host
from devtls.config.edit import NEW_FILE, ConfigText, Value
from devtls.config.schema import SCHEMA_LINE, SCHEMA_NAME, config_schema
from devtls.config.target import TargetError, join_path, parse_target
from devtls.errors import ConfigError, StateError
from devtls.operations.context import Context
from devtls.operations.route_lists import routes_of
from devtls.system.machine.execute import write_atomically
from devtls.system.machine.private_files import ensure_private_directory, locked
from devtls.system.storage.allowlist import Allowlist, check_private_sockets, reasons_of
from devtls.system.storage.config_discovery import Found, read_config_file
from devtls.system.storage.config_file import replace_config_file

_LOCK_NAME = "config.lock"


class RouteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one route, as `devtls add` takes them; "" and False are a route's defaults."""

    host: str = ""
    strip_prefix: bool = False
    allow_remote: bool = False
    ca: str = ""
    no_verify: bool = False
    hsts: str = ""
    no_via: bool = False
    cookie_domain: str = ""
    retry_down_s: float | None = None
    client_auth: str = ""
    client_ca: str = ""
    spa: bool = False
    listing: bool = False
    dotfiles: bool = False


class EditedConfig(msgspec.Struct, frozen=True):
    """A file that was written: its meaning before and after."""

    before: Config
    after: Config
    created: bool


def route_value(name: str, target: str, options: RouteOptions, *, here: Path, directory: Path) -> Value:
    """Return what `name = …` is in a file of `directory` for a target typed in `here`. Raises ConfigError."""
    try:
        written = _target(name, target, here, directory, allowed=options.allow_remote)
        chosen: dict[str, Any] = {
            "host": options.host,
            "strip_prefix": options.strip_prefix,
            "allow_remote": options.allow_remote,
            "hsts": options.hsts,
            "cookie_domain": options.cookie_domain,
            "client_auth": options.client_auth,
            "spa": options.spa,
            "listing": options.listing,
            "dotfiles": options.dotfiles,
        }
        for key, path in (("ca", options.ca), ("client_ca", options.client_ca)):
            chosen[key] = path and _path(join_path(path, str(here)), here, directory)
    except TargetError as error:
        raise ConfigError(f"{error}.", source=COMMAND_LINE, key=name, hint=error.hint) from error
    given = {key: value for key, value in chosen.items() if value}
    if options.no_verify:
        given["verify"] = False
    if options.no_via:
        given["via"] = False
    if options.retry_down_s is not None:
        given["retry_down_s"] = options.retry_down_s
    return {"target": written, **given} if given else written


def _target(name: str, target: str, here: Path, directory: Path, *, allowed: bool) -> int | str:
    meant = parse_target(target, str(here))
    match meant:
        case StaticTarget(path):
            place = _path(path, here, directory)
            # `./` is how parse_target tells a directory from a host.
            return place if PurePath(place).is_absolute() else f"./{place}"
        case UnixTarget(path):
            return f"unix:{_path(path, here, directory)}"
        case TcpTarget(_, host, _) if not is_loopback_host(host) and not allowed:
            raise ConfigError(
                f"the target {host} is another machine.",
                source=COMMAND_LINE,
                key=name,
                hint=f"If you mean it: devtls add {name} {target} --allow-remote",
            )
        case _:
            digits = target.removeprefix(":")
            return int(digits) if digits.isdigit() else target


def _path(path: str, here: Path, directory: Path) -> str:
    """Return a path as a file in `directory` says it: relative when it lies below, and only then."""
    whole = here / path
    return whole.relative_to(directory).as_posix() if whole.is_relative_to(directory) else str(whole)


def rewrite(context: Context, found: Found, edit: Callable[[ConfigText], bytes | None]) -> EditedConfig | None:
    """Write what `edit` makes of the file (of an empty new one where there is none); None when that is nothing.

    Raises ConfigError, StateError.
    """
    paths = context.paths
    ensure_private_directory(paths.state_dir)
    # A read, an edit and a write: two devtls add at once would lose one route without the lock.
    with locked(paths.state_dir / _LOCK_NAME):
        data = read_config_file(found.path) if found.path.exists() else None
        old = ConfigText(_new_file(context, found) if data is None else data, str(found.path), str(found.path.parent))
        edited = edit(old)
        if edited is None:
            return None
        config = EditedConfig(old.parse(), msgspec.structs.replace(old, data=edited).parse(), data is None)
        typed = _as_typed(config)
        # Everything that a running serve would refuse is refused here, before the file is touched.
        check_private_sockets(typed, paths)
        routes_of(context, typed)
        _keep_allowed(context, found, config, old.data, edited)
        # `before` catches an editor that saved meanwhile: it knows nothing of our lock.
        replace_config_file(found.path, edited, before=data)
    return config


def _new_file(context: Context, found: Found) -> bytes:
    """Return a file without routes; its first line names the schema where that lies beside it.

    It does in the user's own directory, where it is written now; in a project only when a person put it there.
    """
    schema = found.path.parent / SCHEMA_NAME
    if found.path.parent == context.paths.config_dir:
        ensure_private_directory(schema.parent)
        write_schema(schema)
    return SCHEMA_LINE + NEW_FILE if schema.exists() else NEW_FILE


def write_schema(file: Path) -> None:
    """Write the JSON Schema of devtls.toml into a file. Raises StateError."""
    try:
        write_atomically(file, (json.dumps(config_schema(), indent=2) + "\n").encode(), 0o644)
    except OSError as error:
        raise StateError(
            f"{file} cannot be written: {error.strerror or error}.", path=str(file), hint="Name another file."
        ) from error


def _as_typed(config: EditedConfig) -> Config:
    """Return the new configuration; an error about what is new in it names no line, since none is written yet."""
    routes = (
        route if route in config.before.routes else msgspec.structs.replace(route, line=0, source=COMMAND_LINE)
        for route in config.after.routes
    )
    return msgspec.structs.replace(config.after, routes=tuple(routes))


def _keep_allowed(context: Context, found: Found, config: EditedConfig, old: bytes, edited: bytes) -> None:
    """Allow the new content when all but the typed route was allowed: else one's own line would stop serve."""
    allowlist = Allowlist(context.paths.state_dir)
    before, after = reasons_of(config.before, found.path), reasons_of(config.after, found.path)
    if after and (not before or allowlist.allows(found.path, old, before)):
        # Before the file is there: a running serve reads it at once.
        allowlist.remember(found.path, edited, after, context.now)
