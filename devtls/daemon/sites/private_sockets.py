"""Private Unix sockets for what this process serves behind routes of its own: static folders, the ACME server.

Owns one folder of mode 0700 per process in the runtime folder, and the 0600 sockets in it. Removes what a crashed
process of ours left there. A path that no Unix socket can have (107 bytes) moves the folder to the system's temporary
one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from devtls.config import RouteConfig, UnixTarget
from devtls.errors import ConfigError

_LONGEST_PATH = 100
_BACKLOG = 128


class PrivateSockets:
    """The sockets of one process; every call may block."""

    def __init__(self, runtime_dir: Path) -> None:
        self._runtime_dir = runtime_dir
        self._home: Path | None = None
        self._count = 0

    def listen(self, what: str, hint: str) -> tuple[str, socket.socket]:
        """Return the path of a new socket, and the socket, which listens. Raises ConfigError where there are none."""
        if sys.platform == "win32":
            raise ConfigError(f"{what} on Windows yet.", hint=hint)
        if self._home is None:
            self._home = _make_home(self._runtime_dir)
        self._count += 1
        path = str(self._home / f"{self._count}.sock")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.bind(path)
            Path(path).chmod(0o600)  # nobody else gets into the folder before that
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


def _make_home(runtime_dir: Path) -> Path:
    home = runtime_dir / f"serve-{os.getpid()}"
    if len(os.fsencode(home)) > _LONGEST_PATH - len("/9999.sock"):
        return _make_temporary_home()
    try:
        runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _only_ours(runtime_dir):
            return _make_temporary_home()
        _remove_leftovers(runtime_dir)
        _remove_home(home)
        home.mkdir(mode=0o700)
    except OSError:  # no /run/user/1000 in a container or over `su`
        return _make_temporary_home()
    return home


def _make_temporary_home() -> Path:
    # tempfile and shutil take 2 ms to import, which a start without private sockets need not pay.
    home = Path(os.environ.get("TMPDIR", "/tmp"), f"devtls-{os.urandom(8).hex()}")  # noqa: S108 - mode 0700, a new name
    home.mkdir(mode=0o700)
    return home


def _remove_home(home: Path) -> None:
    """Remove a directory of sockets; what is already gone, or is not ours to remove, stays as it is."""
    with contextlib.suppress(OSError):
        for path in home.iterdir():
            path.unlink()
        home.rmdir()


def _only_ours(runtime_dir: Path) -> bool:
    """Whether nobody else can move the folder: without /run/user it is below /tmp, where anybody may come first."""
    found = [directory.lstat() for directory in (runtime_dir, runtime_dir.parent)]
    return sys.platform != "win32" and all(
        one.st_uid == os.geteuid() and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in found
    )


def _remove_leftovers(runtime_dir: Path) -> None:
    for directory in runtime_dir.glob("serve-*"):
        pid = directory.name.removeprefix("serve-")
        if pid.isdecimal() and not _alive(int(pid)):
            _remove_home(directory)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
