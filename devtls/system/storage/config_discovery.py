"""The search for `devtls.toml`, and its loading.

Owns the search (the nearest file upwards from the current directory, then the user's config directory) and the reading.
Refuses what is no regular file, files over 1 MiB (without reading them whole), and, while searching, files of other
users, links of other users included: a user who may write to /tmp must not configure the proxy of all who work below
it. The search ends at the home directory, or at the file system's root.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from devtls.config import MAX_FILE_BYTES, Config, parse_config
from devtls.errors import ConfigError
from devtls.system.machine.paths import Paths
from devtls.system.storage.allowlist import Allowlist, check_allowed, check_private_sockets, pin_links

FILE_NAME = "devtls.toml"

# A pipe in the place of the file must not block us; Windows has neither the flag nor the problem.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


_CHECK = "Check the path."
_MOST_LINKS = 40  # as Linux has it (path_resolution(7))
_NAME_IT = "If you trust it, name it: devtls serve --config FILE."


class Found(msgspec.Struct, frozen=True):
    """A configuration file; `explicit` says that a person named it, which counts as `devtls allow`."""

    path: Path
    explicit: bool


def find_config(start: Path, *, home: Path, config_dir: Path) -> Found | None:
    """Return the file that counts in the directory `start`, or None."""
    # Both without links: the search ends where the two are the same.
    start, home = start.resolve(), home.resolve()
    for directory in (start, *start.parents):
        if _is_candidate(directory / FILE_NAME):
            return Found(directory / FILE_NAME, explicit=False)
        if directory == home:
            break
    path = config_dir.absolute() / FILE_NAME
    return Found(path, explicit=False) if _is_candidate(path) else None


def describe_obstacle(start: Path, *, home: Path) -> str:
    """Return a sentence about the nearest devtls.toml that the search from `start` passed over, "" for none."""
    start, home = start.resolve(), home.resolve()
    for directory in (start, *start.parents):
        path = directory / FILE_NAME
        if os.path.lexists(path) and not _is_candidate(path):
            return f"{path} {_what_it_is(path)}, and was passed over."
        if directory == home:
            break
    return ""


def _what_it_is(path: Path) -> str:
    try:
        status = path.stat()
    except FileNotFoundError:
        return "is a link that leads nowhere"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(status.st_mode):
        return "is a directory, not a file"
    return "belongs to another user" if stat.S_ISREG(status.st_mode) else "is no regular file"


def named_config(path: Path) -> Found:
    """Return the file of `--config`, which need not exist. Raises ConfigError for a name that no file can have."""
    path = path.absolute()
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError("the name is too long for a file.", source=str(path), hint=_CHECK) from error
    return Found(path, explicit=True)


def _is_candidate(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode) and all(map(_may_configure, _owners(path)))
    except OSError:
        return False  # not there, or in a directory that is closed to us: the search goes on above it


def _owners(path: Path) -> Iterator[int]:
    """Yield the owners of a file and of each link that leads to it: of a link, its maker chose the file."""
    for _ in range(_MOST_LINKS):
        yield path.lstat().st_uid
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def _may_configure(owner: int) -> bool:
    # Root may: it can do all that we can. And root itself, in a container, works on mounted files of any owner.
    return sys.platform == "win32" or os.geteuid() == 0 or owner in (0, os.geteuid())


def read_config_file(path: Path) -> bytes:
    """Return the file's bytes, at most one more than a config may have. Raises ConfigError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)
        try:
            # Of the open file: the path may lead to another one by now.
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError("this is no regular file.", source=str(path), hint="Name a file such as devtls.toml.")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                # One more than is allowed tells that it is too large.
                return file.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        hint = _CHECK if isinstance(error, FileNotFoundError) else f"ls -l {shlex.quote(str(path))}"
        raise ConfigError(f"the file cannot be read: {error.strerror}.", source=str(path), hint=hint) from error


def load_config(found: Found, paths: Paths) -> Config:
    """Read, parse and check a file: what `serve` does at the start and at each reload.

    Raises ConfigError; NotAllowed when it asks for more than a found file may.
    """
    if not found.explicit and found.path.exists() and not _is_candidate(found.path):
        raise ConfigError("the file, or a link to it, belongs to another user.", source=str(found.path), hint=_NAME_IT)
    data = read_config_file(found.path)
    config = pin_links(parse_config(data, source=str(found.path), directory=str(found.path.parent)))
    check_private_sockets(config, paths)
    if not found.explicit:
        check_allowed(config, found.path, data, Allowlist(paths.state_dir))
    return config
