"""What tests share with each other and with another run on this machine: one at a time, or a port each.

Owns a file per thing in the temporary directory of the session, locked by the kernel, so that a killed test holds
nothing. On Windows, where the tests that share something do not run, nothing is locked.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

SYSTEM_STORE = "system-store"
"""The machine's own trust store in /etc, and copies that are made of it."""

PORTS = range(10_000, 20_000)
"""Below what systems hand out to outgoing connections, and below where a CA's own port is chosen."""

_DIRECTORY = Path(tempfile.gettempdir())
_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


@contextmanager
def locked(thing: str, *, shared: bool = False) -> Iterator[int]:
    """Hold a thing alone, or together with others that only read it; gives the descriptor of its file."""
    user = os.getuid() if sys.platform != "win32" else "user"
    descriptor = os.open(_DIRECTORY / f"devtls-tests-{user}-{thing}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def free_port() -> int:
    """Return a port that is free and that no other test gets soon, for a program that cannot be told "any"."""
    with locked("ports") as descriptor:
        last = int(os.read(descriptor, 16) or PORTS[0])
        for step in range(1, len(PORTS)):
            port = PORTS[(last - PORTS[0] + step) % len(PORTS)]
            if _is_free(port):
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.ftruncate(descriptor, 0)
                os.write(descriptor, b"%d" % port)
                return port
    raise AssertionError("no free port")


def _is_free(port: int) -> bool:
    for family, address in _ADDRESSES:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                with socket.socket(family, kind) as probe:
                    probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:  # any other says that the machine has no such address
                    return False
    return True
