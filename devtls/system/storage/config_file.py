"""Atomic replacement of a configuration file.

Owns the way to write it: beside the old one, on disk, then in its place, with the mode and owner it had; where a link
stands, the file that it leads to. Refuses to write over what changed since it was read.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path

from devtls.errors import ConfigError
from devtls.system.machine.private_files import sync_directory
from devtls.system.storage.config_discovery import read_config_file

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def replace_config_file(path: Path, content: bytes, *, before: bytes | None) -> None:
    """Put `content` in the place of `path`, which held `before` (None: there was no file). Raises ConfigError."""
    # rename(2) would replace the link itself.
    real = Path(os.path.realpath(path))
    if (read_config_file(real) if real.exists() else None) != before:
        raise ConfigError("the file changed meanwhile.", source=str(path), hint="Do it again.")
    # In the same directory: rename(2) does not cross file systems.
    fresh = real.with_name(f".{real.name}.{os.getpid()}.new")
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)  # what a crash left behind
        try:
            _write(fresh, content, None if before is None else real.stat())
            fresh.replace(real)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        # fsync(2) of the file says nothing of its name.
        sync_directory(real.parent)
    except OSError as error:
        raise ConfigError(
            f"the file cannot be written: {error.strerror}.",
            source=str(path),
            hint=f"ls -ld {shlex.quote(str(real.parent))}",
        ) from error


def _write(path: Path, content: bytes, like: os.stat_result | None) -> None:
    # A new file gets what the umask leaves, as from an editor; another is closed until it has its old owner and mode.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666 if like is None else 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if like is not None and sys.platform != "win32":
            if (like.st_uid, like.st_gid) != _owner(descriptor):
                os.chown(path, like.st_uid, like.st_gid)  # before the mode: chown takes bits away
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        os.fsync(descriptor)


def _owner(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_uid, status.st_gid
