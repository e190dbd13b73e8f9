"""Private Unix sockets behind routes that this process serves itself: static directories, the ACME server.

Owns one directory of mode 0700 per process in the runtime directory, and the 0600 sockets in it. The directory is
locked while its process runs. One that can be locked was left by a killed process and is removed: a process id would
prove less, since numbers are used again and mean nothing in another container. A path that no Unix socket can have
(107 bytes) moves the directory to the system's temporary one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from devtls.config import RouteConfig, UnixTarget
from devtls.errors import ConfigError
from devtls.web.lazy_site import SiteTerms

if sys.platform != "win32":
    import fcntl

# sun_path has 108 bytes on Linux, 104 on macOS (unix(7), unix(4)): 100 fits both.
_LONGEST_PATH = 100
# 4194304 is the highest process id of Linux (PID_MAX_LIMIT, proc(5)).
_LONGEST_NAME = len("serve-4194304-abcdefgh/9999.sock")
_BACKLOG = 128
_ATTEMPTS = 5


class PrivateSockets:
    """The sockets of one process; every call may block."""

    def __init__(self, runtime_dir: Path, terms: Callable[[], SiteTerms]) -> None:
        self.terms = terms
        """Gives the terms of one more site behind such a socket."""
        self._runtime_dir = runtime_dir
        self._home: Path | None = None
        self._lock: int | None = None
        self._count = 0

    def listen(self, what: str, hint: str) -> tuple[str, socket.socket]:
        """Return the path of a new socket, and the socket, which listens. Raises ConfigError where there are none."""
        if sys.platform == "win32":
            raise ConfigError(f"{what} on Windows yet.", hint=hint)
        if self._home is None:
            self._home, self._lock = _make_home(self._runtime_dir)
        self._count += 1
        path = str(self._home / f"{self._count}.sock")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.bind(path)
            Path(path).chmod(0o600)  # nobody else gets into the directory before that
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
        return path, listening

    def remove(self) -> None:
        """Leave nothing behind; the sockets are closed."""
        if self._home is not None:
            _remove_home(self._home)
            self._home = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def refuse_unix_targets(routes: Iterable[RouteConfig]) -> None:
    """Raise ConfigError for the first route to a Unix socket where Python cannot reach one: on Windows."""
    if sys.platform != "win32":
        return
    for route in routes:
        if isinstance(route.target, UnixTarget):
            raise ConfigError(
                "Python cannot reach Unix sockets on Windows.",
                source=route.source,
                key=f"routes.{route.key}" if route.line else route.key,
                line=route.line,
                hint="Let the app listen on a port, and name that.",
            )


def _make_home(runtime_dir: Path) -> tuple[Path, int | None]:
    """Return a new directory, and the descriptor that locks it where others look for leftovers."""
    if len(os.fsencode(runtime_dir)) + 1 + _LONGEST_NAME <= _LONGEST_PATH:
        try:
            runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _only_ours(runtime_dir):
                _remove_leftovers(runtime_dir)
                return _make_locked(runtime_dir)
        except OSError:  # no /run/user/1000 in a container or over `su`
            pass
    return _make_directory("devtls-"), None


def _make_locked(runtime_dir: Path) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        home = _make_directory(f"serve-{os.getpid()}-", runtime_dir)
        lock = _lock(home)
        if lock is not None:
            if home.exists():
                return home, lock
            os.close(lock)  # another start took it for a leftover in the moment before it was locked
    raise OSError("no directory stayed ours")


def _make_directory(prefix: str, parent: Path | None = None) -> Path:
    # tempfile and shutil take 2 ms to import, which a start without private sockets need not pay.
    parent = Path(os.environ.get("TMPDIR", "/tmp")) if parent is None else parent  # noqa: S108 - a new name, mode 0700
    home = parent / f"{prefix}{os.urandom(4).hex()}"
    home.mkdir(mode=0o700)
    return home


def _remove_home(home: Path) -> None:
    """Remove a directory of sockets; what is already gone, or is not ours to remove, stays as it is."""
    with contextlib.suppress(OSError):
        # Sockets in the file system stay after close (unix(7)); the next bind would find them in use.
        for path in home.iterdir():
            path.unlink()
        home.rmdir()


def _only_ours(runtime_dir: Path) -> bool:
    """Whether nobody else can move the directory: without /run/user it is below /tmp, where anybody may come first."""
    found = [directory.lstat() for directory in (runtime_dir, runtime_dir.parent)]
    return sys.platform != "win32" and all(
        one.st_uid == os.geteuid() and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in found
    )


def _remove_leftovers(runtime_dir: Path) -> None:
    for directory in runtime_dir.glob("serve-*"):
        lock = _lock(directory)
        if lock is not None:
            _remove_home(directory)
            os.close(lock)


def _lock(directory: Path) -> int | None:
    """Return a descriptor that locks the directory until it is closed; None where another process has the lock."""
    if sys.platform != "win32":
        try:
            # O_NOFOLLOW: a link that somebody put there must not have us lock, then empty, another directory.
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # gone meanwhile
            return None
        try:
            # The kernel gives it up with the process, however that ends (flock(2)).
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None
