"""The allowlist of `devtls allow`: configuration files that may name remote targets, sockets and other directories.

Owns `allowed.json` in the state directory: path, SHA-256 of the content, and the reasons that the person saw. Any
change of the file asks again; so does a link that leads elsewhere than it did, since the reasons name resolved
directories. Refuses files that need it and do not have it (NotAllowed), and always routes into our own directories: the
control API is never behind a route, the CA's key never on a site.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec.json

from devtls.config import (
    AllowanceReason,
    Config,
    RouteConfig,
    StaticTarget,
    Target,
    UnixTarget,
    needs_allow,
    private_routes,
)
from devtls.errors import ConfigError, NotAllowed, StateError
from devtls.pki.signature import sha256_hex
from devtls.system.machine.paths import Paths
from devtls.system.machine.private_files import (
    ensure_private_directory,
    locked,
    read_private_file,
    replace_private_file,
)

_FORMAT = 1
_FILE_NAME = "allowed.json"
_LOCK_NAME = "allowed.lock"


class Allowed(msgspec.Struct, frozen=True):
    """One remembered file; `reasons` are the texts that were shown, `allowed_at` is ISO 8601 in UTC."""

    path: str
    sha256: str
    reasons: tuple[str, ...]
    allowed_at: str


class Allowlist:
    """The memory of `devtls allow`; every call reads the disk, so that a running serve sees what was just allowed."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir
        self._file = state_dir / _FILE_NAME

    def entries(self) -> tuple[Allowed, ...]:
        """Return what is remembered, in the order of the paths. Raises StateError."""
        return tuple(sorted(self._read().values(), key=lambda entry: entry.path))

    def allows(self, path: Path, data: bytes, reasons: list[AllowanceReason]) -> bool:
        """Say whether this content at this path was allowed for all of `reasons`."""
        entry = self._read().get(os.path.realpath(path))
        # The reasons, too: a link may lead elsewhere now although the file is the same.
        return entry is not None and entry.sha256 == sha256_hex(data) and set(_texts(reasons)) <= set(entry.reasons)

    def remember(self, path: Path, data: bytes, reasons: list[AllowanceReason], now: datetime) -> None:
        """Allow this content at this path."""
        place = os.path.realpath(path)
        stamp = now.isoformat(timespec="seconds")
        with self._writing():
            entries = self._read()
            entries[place] = Allowed(place, sha256_hex(data), _texts(reasons), stamp)
            self._write(entries)

    def revoke(self, path: Path) -> bool:
        """Forget a path; False when it was not remembered."""
        if not self._file.exists():
            return False
        with self._writing():
            entries = self._read()
            if entries.pop(os.path.realpath(path), None) is None:
                return False
            self._write(entries)
        return True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            ensure_private_directory(self._directory)
            with locked(self._directory / _LOCK_NAME):
                yield
        except OSError as error:
            raise StateError(
                f"{self._file} cannot be written: {error.strerror or error}.",
                path=str(self._file),
                hint="check who owns the folder and whether the disk is full, or name another in DEVTLS_STATE_DIR",
            ) from error

    def _read(self) -> dict[str, Allowed]:
        try:
            data = read_private_file(self._file)
        except FileNotFoundError:
            return {}
        return _parse(data, self._file)

    def _write(self, entries: dict[str, Allowed]) -> None:
        files = {
            entry.path: {"sha256": entry.sha256, "reasons": list(entry.reasons), "allowed_at": entry.allowed_at}
            for entry in entries.values()
        }
        content = msgspec.json.encode({"format": _FORMAT, "files": files}, order="sorted")
        replace_private_file(self._file, msgspec.json.format(content, indent=2) + b"\n")


def _parse(data: bytes, file: Path) -> dict[str, Allowed]:
    try:
        content = msgspec.json.decode(data)
        # First of all: what a later devtls wrote may have another shape, and is not damaged.
        version = content["format"]
        if type(version) is int and version > _FORMAT:
            raise StateError(
                f"{file} was written by a newer devtls (format {version}).",
                path=str(file),
                hint="Update devtls, or delete the file and allow your projects again.",
            )
        return {
            str(path): Allowed(
                str(path), str(entry["sha256"]), tuple(map(str, entry["reasons"])), str(entry["allowed_at"])
            )
            for path, entry in content["files"].items()
        }
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(
            f"{file} is damaged.",
            path=str(file),
            hint=f"Delete it and allow your projects again: rm {_quoted(file)}",
        ) from error


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _texts(reasons: list[AllowanceReason]) -> tuple[str, ...]:
    return tuple(f"{reason.key}: {reason.text}" for reason in reasons)


def reasons_of(config: Config, path: Path) -> list[AllowanceReason]:
    """Return what the file at `path` needs `devtls allow` for; links are followed."""
    return needs_allow(config, str(path.parent), resolve=os.path.realpath)


def pin_links(config: Config) -> Config:
    """Return `config` with the links of every static target and socket followed: from now on, that is what is checked.

    A directory or a socket that becomes a link later was not checked, and is not used (`devtls.web.static_root`,
    `devtls.net.upstream.dial`).
    """
    return msgspec.structs.replace(config, routes=pin_routes(config.routes))


def pin_routes(routes: Iterable[RouteConfig]) -> tuple[RouteConfig, ...]:
    """Return routes that somebody typed with their links followed; no reload follows others in their place.

    Nobody is asked about them: the directory that was meant is the one that was there.
    """
    return tuple(_pinned(route) for route in routes)


def _pinned(route: RouteConfig) -> RouteConfig:
    match route.target:
        case StaticTarget(directory, root="") as target:
            pinned: Target = msgspec.structs.replace(target, root=os.path.realpath(directory))
        case UnixTarget(path, label="", real="") as target:
            pinned = msgspec.structs.replace(target, real=os.path.realpath(path))
        case target:
            pinned = target
    return msgspec.structs.replace(route, target=pinned)


def check_allowed(config: Config, path: Path, data: bytes, allowlist: Allowlist) -> None:
    """Raise NotAllowed when a found file asks for more than it may and was not allowed with this content."""
    reasons = reasons_of(config, path)
    if reasons and not allowlist.allows(path, data, reasons):
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        first = reasons[0]
        what, key = ("route", f"routes.{first.key}") if first.is_route else ("section", first.key)
        raise NotAllowed(
            f"this {what} {first.text}{more}: a file that was found by searching needs your word for that.",
            source=str(path),
            key=key,
            line=first.line,
            hint=f"devtls allow {_quoted(path)}",
        )


def check_private_sockets(config: Config, paths: Paths) -> None:
    """Raise ConfigError when a route leads to a socket or to files of devtls itself; no permission changes that."""
    ours = [str(directory) for directory in paths.private()]
    for route in private_routes(config, ours, resolve=os.path.realpath):
        site = isinstance(route.target, StaticTarget)
        raise ConfigError(
            "this folder holds devtls's own files, such as the CA's key: it is never served."
            if site
            else "this socket is devtls's own: it is never behind a route.",
            source=route.source,
            key=f"routes.{route.key}" if route.line else route.key,
            line=route.line,
            hint=f"Name a folder apart from {' and '.join(ours)}." if site else "Name the socket of your app.",
        )
