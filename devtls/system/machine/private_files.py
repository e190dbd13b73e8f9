"""Files and directories that only their owner may read, and a lock between processes.

Owns the way such a file comes to be: exclusive, never through a link, with its final mode from the first instant,
whatever the umask; on disk (fsync) before anything points at it. Refuses to read what others can read or own. On
Windows, modes mean nothing: there the user's profile directory is what protects.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtls.errors import StateError

_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700
_OTHERS = 0o077
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a FIFO in the place of a file must not hang us

_WHOSE = "run devtls as the user who ran devtls trust, or name another folder in DEVTLS_STATE_DIR"

_LOCK_TIMEOUT_S = 10.0
# flock(2) knows no time limit, so it is tried again and again.
_LOCK_RETRY_S = 0.02


def ensure_private_directory(path: Path) -> None:
    """Make sure that `path` is a directory of mode 0700 that is ours; parents are made 0700 too.

    An empty directory of ours is tightened; one with something in it that others can read is refused (StateError),
    because what is in it may not be ours either, and because it may be a directory that others need.
    """
    if path.is_dir():
        if _is_ours(path.stat()) and not any(path.iterdir()):
            path.chmod(_DIRECTORY_MODE)
        check_private_directory(path)
        return
    for directory in (*reversed(path.parents), path):
        if not directory.is_dir():
            make_private_directory(directory, exist_ok=True)
    check_private_directory(path)


def make_private_directory(path: Path, *, exist_ok: bool = False) -> None:
    """Make one directory of mode 0700."""
    path.mkdir(_DIRECTORY_MODE, exist_ok=exist_ok)
    path.chmod(_DIRECTORY_MODE)  # a umask can only have taken bits away


def check_private_directory(path: Path) -> None:
    """Raise StateError unless `path` is a directory that belongs to us and that nobody else can look into."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise StateError(f"{path} is not a folder.", path=str(path), hint=f"move {path} out of the way")
    _check_owner_and_mode(path, status)


def _is_ours(status: os.stat_result) -> bool:
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def _check_owner_and_mode(path: Path, status: os.stat_result) -> None:
    if not _is_ours(status):
        raise StateError(
            f"{path} belongs to another user ({status.st_uid}).",
            path=str(path),
            hint=_WHOSE,
        )
    if sys.platform != "win32" and status.st_mode & _OTHERS:
        raise StateError(
            f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}).",
            path=str(path),
            hint=f"chmod go= {path}",
        )


def create_private_file(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600 and put it on disk; raises FileExistsError when there is something already."""
    _write(path, content, os.O_EXCL)


def append_private_file(path: Path, content: bytes) -> None:
    """Add to a file of mode 0600, made now if it is not there, and put it on disk; the caller holds a lock."""
    is_new = not path.exists()
    _write(path, content, os.O_APPEND)
    if is_new:
        sync_directory(path.parent)


def _write(path: Path, content: bytes, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags | _NO_FOLLOW, _FILE_MODE)
    try:
        if sys.platform != "win32":
            os.fchmod(descriptor, _FILE_MODE)  # a umask can only have taken bits away
        view = memoryview(content)
        while view:
            # write(2) may take less than it was given.
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_private_file(path: Path, content: bytes) -> None:
    """Put `content` in the place of `path` in one step; the caller holds the lock of the directory."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)  # what a crash left behind
    create_private_file(fresh, content)
    fresh.replace(path)
    sync_directory(path.parent)


def read_private_file(path: Path) -> bytes:
    """Return the content of a file that is ours alone; raises FileNotFoundError, StateError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}.", path=str(path), hint=_WHOSE) from error
    try:
        # Of the open file: the path may lead to another one by now.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StateError(f"{path} is not a file.", path=str(path), hint=f"move {path} out of the way")
        _check_owner_and_mode(path, status)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk."""
    if sys.platform == "win32":  # has no such thing: its journal does it
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


FileStamp = tuple[str, int, int, int]


def stamp_of(path: Path) -> FileStamp:
    """Return what changes with a file: name, time in ns, size and inode; zeros for one that is not there.

    It tells without reading whether a file is the one that was read: ours are only added to, or replaced.
    """
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` against every other process and thread; raises StateError after ten seconds.

    The kernel lets go of the lock when a process dies, so a crash leaves nothing to clean. Whoever holds the lock may
    remove the file: a lock of a file that is gone by then counts for nothing.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, _FILE_MODE)
        try:
            _wait_for_lock(descriptor, path, deadline)
            if _is_still_there(path, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, deadline: float) -> None:
    while not _try_lock(descriptor):
        if time.monotonic() >= deadline:
            raise StateError(
                "Another devtls is busy with the CA.", path=str(path), hint="wait for it to end, then try again"
            )
        time.sleep(_LOCK_RETRY_S)


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            # Not fcntl(2)'s locks: a process has those as a whole, so two threads would hold one at the same time.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
