"""A route written into a configuration file, or taken out, so that what runs can use the result.

Owns the order: lock, read, edit, judge by the rules of `devtls serve`, write. Refuses what a proxy would refuse, before
the file is touched. What the user has just typed needs no `devtls allow`; what else the file may ask for is as allowed,
or not, as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.config import COMMAND_LINE, Config, StaticTarget
from devtls.config.edit import NEW_FILE, Written
from devtls.errors import NoAuthority
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.routing import RouteTable, build_routes
from devtls.system.machine.paths import Paths
from devtls.system.machine.private_files import ensure_private_directory, locked
from devtls.system.storage.allowlist import Allowlist, check_private_sockets, reasons_of
from devtls.system.storage.config_discovery import Found, read_config_file
from devtls.system.storage.config_file import replace_config_file
from devtls.system.storage.keystore import Keystore

_LOCK_NAME = "config.lock"


class Change(msgspec.Struct, frozen=True):
    """A file that was written: what it meant before and means now."""

    before: Config
    after: Config
    created: bool


def rewrite(found: Found, paths: Paths, edit: Callable[[Written], bytes | None]) -> Change | None:
    """Write what `edit` makes of the file (of an empty new one where there is none); None when that is nothing.

    Raises ConfigError, StateError.
    """
    ensure_private_directory(paths.state_dir)
    with locked(paths.state_dir / _LOCK_NAME):
        data = read_config_file(found.path) if found.path.exists() else None
        old = Written(NEW_FILE if data is None else data, str(found.path), str(found.path.parent))
        edited = edit(old)
        if edited is None:
            return None
        change = Change(old.parse(), msgspec.structs.replace(old, data=edited).parse(), data is None)
        judged = _as_typed(change)
        check_private_sockets(judged, paths)
        routes_of(judged, paths)
        _keep_allowed(found, paths, change, old.data, edited)
        replace_config_file(found.path, edited, before=data)
    return change


def _as_typed(change: Change) -> Config:
    """Return the new configuration; an error about what is new in it names no line, since none is written yet."""
    routes = (
        route if route in change.before.routes else msgspec.structs.replace(route, line=0, source=COMMAND_LINE)
        for route in change.after.routes
    )
    return msgspec.structs.replace(change.after, routes=tuple(routes))


def routes_of(config: Config, paths: Paths) -> RouteTable:
    """Return the routes as a proxy would have them. Raises ConfigError for a name in none of the zones."""
    directories = (route.target.directory for route in config.routes if isinstance(route.target, StaticTarget))
    return build_routes(config, zones(paths), static_sockets=dict.fromkeys(directories, ""))


def zones(paths: Paths) -> tuple[Hostname, ...]:
    """Return the zones of the CA, or those that a new one would have."""
    try:
        return Keystore(paths.state_dir, terminal_passphrases()).load_signer(datetime.now(UTC)).zones
    except NoAuthority:
        return DEFAULT_ZONES


def _keep_allowed(found: Found, paths: Paths, change: Change, old: bytes, edited: bytes) -> None:
    """Allow the new content when all but what was typed just now was allowed: else one's own line would stop serve."""
    allowlist = Allowlist(paths.state_dir)
    before, after = reasons_of(change.before, found.path), reasons_of(change.after, found.path)
    if after and (not before or allowlist.allows(found.path, old, before)):
        # Before the file is there: a running serve reads it at once.
        allowlist.remember(found.path, edited, after, datetime.now(UTC))


def spelled(path: Path) -> str:
    """Return a file's name as a person in this folder says it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        pass
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
