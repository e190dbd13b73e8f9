"""The control sockets of this user's running proxies: making, finding and checking them.

Owns `control-<pid>-<random>.sock` in the runtime directory. Each process has a name of its own, so none waits for a
lock and none can take another's place. A socket is bound and listens under a hidden name before it is renamed to the
one that is looked for: whatever has that name and refuses a connection has lost its process. It is in nobody's way; the
next start removes it. Refuses directories that others can write to, and peers of another user, in both directions.

A path that no Unix socket can have (107 bytes) is reached through the directory's descriptor on Linux.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from devtls.errors import StateError

_NAME = r"(\.?)control-([0-9]+)-[0-9a-f]{8}\.sock\Z"  # compiled when it is needed: no start waits for it
_NONE_HERE = "Python has no Unix sockets on Windows."
_BACKLOG = 16
_LONGEST_PATH = 100
"""Bytes; the systems allow 103 to 107."""
_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED = 0, 1, "II"
"""macOS and FreeBSD, sys/ucred.h: the version, then the user."""


class ControlSocket(msgspec.Struct, frozen=True):
    """The control socket of a running process, as it was found."""

    path: Path
    pid: int

    def connect(self, timeout_s: float) -> socket.socket:
        """Return a connection. Raises OSError when nobody listens, StateError for another user's socket."""
        return connect(self.path, timeout_s)

    def answers(self) -> bool:
        """Say whether somebody listens; blocks."""
        return _answers(self.path)


def open_control_socket(runtime_dir: Path) -> tuple[ControlSocket, socket.socket]:
    """Return a new control socket of this process, and the socket, which listens. Raises StateError; blocks."""
    if sys.platform == "win32":
        raise StateError(_NONE_HERE, path=str(runtime_dir))
    try:
        runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_directory(runtime_dir)
        name = f"control-{os.getpid()}-{os.urandom(4).hex()}.sock"
        hidden, path = runtime_dir / f".{name}", runtime_dir / name
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            with _short(hidden) as short:
                listening.bind(short)
            # Before listen(): until then nobody can connect; bind() leaves the mode to the umask (unix(7)).
            hidden.chmod(0o600)
            listening.listen(_BACKLOG)
            # Last: whatever has this name has listened once, so a refusal means that its process ended.
            hidden.rename(path)
        except BaseException:
            listening.close()
            hidden.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StateError(
            f"no control socket can be made in {runtime_dir}: {error.strerror or error}.",
            path=str(runtime_dir),
            hint="name another folder in DEVTLS_RUNTIME_DIR",
        ) from error
    return ControlSocket(path, os.getpid()), listening


def _check_directory(directory: Path) -> None:
    # Whoever can write to the parent could put a directory of their own in the place of ours.
    for one in (directory, directory.parent):
        found = one.lstat()
        if not _safe(found.st_mode, found.st_uid):
            raise StateError(
                f"others could put a socket of theirs in the place of ours in {one}.",
                path=str(one),
                hint="name another folder in DEVTLS_RUNTIME_DIR",
            )


def _safe(mode: int, uid: int) -> bool:
    # Root may do as it likes anyway; a sticky directory such as /tmp lets nobody move what is another's.
    closed = not mode & (stat.S_IWGRP | stat.S_IWOTH) or bool(mode & stat.S_ISVTX)
    return sys.platform != "win32" and stat.S_ISDIR(mode) and uid in (0, os.geteuid()) and closed


def find_control_sockets(runtime_dir: Path) -> list[ControlSocket]:
    """Return what is there, dead or alive, in the order of the process ids; blocks. Raises StateError."""
    found = [(path, match) for path in _entries(runtime_dir) if (match := re.match(_NAME, path.name)) and not match[1]]
    if found:
        _check_directory(runtime_dir)
    return sorted((ControlSocket(path, int(match[2])) for path, match in found), key=lambda one: (one.pid, one.path))


def _entries(runtime_dir: Path) -> list[Path]:
    try:
        return list(runtime_dir.iterdir())
    except OSError:  # not there yet, or not ours
        return []


def connect(path: Path, timeout_s: float) -> socket.socket:
    """Return a connection to a control socket. Raises OSError when nobody listens, StateError for another's socket."""
    if sys.platform == "win32":
        raise StateError(_NONE_HERE, path=str(path))
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(timeout_s)
        with _short(path) as short:
            client.connect(short)
        # The kernel's word: a path alone does not tell who listens behind it.
        if (uid := peer_uid(client)) != os.geteuid():
            raise StateError(
                f"the control socket {path} belongs to another user ({uid}).",
                path=str(path),
                hint="name a folder of your own in DEVTLS_RUNTIME_DIR",
            )
    except BaseException:
        client.close()
        raise
    return client


def peer_uid(connection: socket.socket) -> int:
    """Return the user at the other end of a Unix socket, as the kernel tells. Raises OSError."""
    if sys.platform == "linux":
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        # struct ucred: pid, uid, gid (unix(7)).
        return int(struct.unpack("3i", credentials)[1])
    return peer_of_xucred(connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 256))


def peer_of_xucred(credentials: bytes) -> int:
    """Return the user in a `struct xucred`. Raises OSError for another version of it."""
    version, uid = struct.unpack_from(_XUCRED, credentials)
    if version != 0:
        raise OSError(f"unknown version {version} of struct xucred")
    return int(uid)


def remove_leftovers(runtime_dir: Path) -> None:
    """Remove the sockets of processes that were killed; blocks."""
    for path in _entries(runtime_dir):
        match = re.match(_NAME, path.name)
        # Both: a process in another container has a number that means nothing here, and its socket answers.
        if match and not _alive(int(match[2])) and not _answers(path):
            with suppress(OSError):  # it is in nobody's way; the next start tries again
                path.unlink()


def _answers(path: Path) -> bool:
    try:
        connect(path, 1.0).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    # Full, slow, or another user's: in doubt it lives, and is not removed.
    except (OSError, StateError):
        return True
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a path that a socket can have."""
    if len(os.fsencode(path)) <= _LONGEST_PATH or sys.platform != "linux":
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
