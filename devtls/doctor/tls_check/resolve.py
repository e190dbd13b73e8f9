"""From a name to a TCP connection, within a time limit.

Owns the look-up, which may block for long and cannot be interrupted: a thread that may be left behind does it. Names
at and below `localhost` are loopback without asking, as in browsers (RFC 6761 6.3).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from devtls.errors import DevtlsError
from devtls.names import is_below

_LOOPBACK = ("127.0.0.1", "::1")


class CannotReach(DevtlsError):
    """No connection; the text is half a sentence. `resolved` = the name led to an address at least."""

    def __init__(
        self, message: str, *, resolved: bool, refused: bool = False, silent: bool = False, ip: str = ""
    ) -> None:
        super().__init__(message)
        self.resolved = resolved
        self.refused = refused
        self.silent = silent
        self.ip = ip


def resolve(host: str, timeout_s: float) -> tuple[str, ...]:
    """Return the addresses of `host`, in the system's order; raises CannotReach."""
    if is_below(host, "localhost"):
        return _LOOPBACK
    found: list[str] = []
    failed: list[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.extend(str(answer[4][0]) for answer in answers)
        except (OSError, UnicodeError) as error:
            failed.append(getattr(error, "strerror", None) or str(error))

    # getaddrinfo takes no time limit and cannot be interrupted: a daemon may be left behind.
    asking = threading.Thread(target=ask, name="devtls-resolve", daemon=True)
    asking.start()
    asking.join(timeout_s)
    if failed or not found:
        raise CannotReach(failed[0] if failed else "its name servers do not answer", resolved=False)
    return tuple(dict.fromkeys(found))


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """Return a connection to the first address of `host` that accepts one; raises CannotReach."""
    deadline = time.monotonic() + timeout_s
    last = CannotReach("no address", resolved=False)
    for address in resolve(host, timeout_s):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((address, port), left)
        except TimeoutError:
            last = CannotReach("no answer in time", resolved=True, silent=True, ip=address)
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            if not (last.refused and refused):  # both families refuse: the first is the one that people know
                last = CannotReach(error.strerror or str(error), resolved=True, refused=refused, ip=address)
    raise last


@contextmanager
def cut_after(connection: socket.socket, timeout_s: float) -> Iterator[threading.Event]:
    """Cut the connection when the block takes longer; the event says that this happened.

    A socket's own time limit counts anew for every byte, so that a slow enough peer could hold us for hours.
    """
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        with suppress(OSError):
            # Not the method of an SSLSocket, which also takes the TLS state away from under the other thread.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def accepts(host: str, port: int, timeout_s: float) -> bool:
    """Say whether a program listens there."""
    try:
        connect(host, port, timeout_s).close()
    except CannotReach:
        return False
    return True
