"""Listening sockets that somebody opened for us: systemd's LISTEN_FDS protocol (sd_listen_fds(3)), and what all of them
must be.

Owns what a descriptor has to be before it is served, whoever handed it over: TCP, listening, on a loopback address.
Refuses to start on a socket that other machines reach; one of another kind is closed and named. Strategy: LISTEN_PID
must be this very process, and the variables are removed, so that no child believes them; a socket is known by its
name, address and port, never by its position.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator, MutableMapping

import msgspec

from devtls.errors import Refused

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START: behind stdin, stdout and stderr."""
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_MOST_SOCKETS = 64
_DIGITS = 10  # Python makes no numbers of thousands of them


class ActivatedSocket(msgspec.Struct, frozen=True):
    """A socket that can be served; `name` is what its giver calls it ("" = nothing)."""

    sock: socket.socket
    name: str = ""

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.sock.getsockname()[1])


class ActivatedSockets(msgspec.Struct, frozen=True):
    """The sockets that were handed over; `notes` are lines about descriptors that cannot be used."""

    sockets: tuple[ActivatedSocket, ...] = ()
    notes: tuple[str, ...] = ()


def take_listen_fds(environ: MutableMapping[str, str], pid: int) -> ActivatedSockets:
    """Return what the service manager gave to process `pid`, and remove its variables. Raises Refused."""
    for_pid, count, names = (environ.pop(name, "") for name in _VARIABLES)
    if for_pid != str(pid) or not count:
        return ActivatedSockets()  # meant for a process that started us, and believed no longer
    if not (count.isascii() and count.isdigit() and len(count) < _DIGITS and int(count) <= _MOST_SOCKETS):
        return ActivatedSockets(
            notes=(f"LISTEN_FDS says {count[:20]!r}, which is no number of sockets: none is used.",)
        )
    # LISTEN_FDNAMES may be missing, or name fewer than there are.
    called = [*names.split(":"), *[""] * int(count)]
    return receive((FIRST_DESCRIPTOR + place, called[place]) for place in range(int(count)))


def receive(descriptors: Iterable[tuple[int, str]]) -> ActivatedSockets:
    """Return what of these descriptors, with their names, can be served; the others are closed. Raises Refused."""
    notes: list[str] = []
    with contextlib.ExitStack() as undo:
        sockets = []
        for descriptor, name in list(descriptors):
            try:
                sock = _open(descriptor)
            except _Unusable as problem:
                notes.append(f"The socket {_called(descriptor, name)} that was handed over {problem}: it is closed.")
                continue
            undo.callback(sock.close)
            sockets.append(ActivatedSocket(sock, name))
        for each in sockets:
            _refuse_strangers(each.sock)
        undo.pop_all()
    return ActivatedSockets(tuple(sockets), tuple(notes))


class _Unusable(Exception):
    """Why a descriptor cannot be served, as the end of a sentence."""


def _open(descriptor: int) -> socket.socket:
    """Return the socket behind a descriptor, closed on exec; an unusable one is closed."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError as error:
        if error.errno != errno.EBADF:  # a pipe, a FIFO, a file
            os.close(descriptor)
        raise _Unusable("is no socket") from error
    problems = list(_problems(found))
    if problems:
        found.close()
        raise _Unusable(problems[0])
    # With its protocol named, which not every system tells: asyncio sets TCP_NODELAY on no other socket.
    sock = socket.socket(found.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=found.detach())
    # As sd_listen_fds(3) does: a child that outlives us must not hold the port.
    sock.set_inheritable(False)
    return sock


def _problems(sock: socket.socket) -> Iterator[str]:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        yield "is not one of TCP"
    elif sock.type != socket.SOCK_STREAM:
        yield "is one for datagrams"
    elif not _listens(sock):
        yield "does not listen (Accept=yes in its unit?)"


def _listens(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:  # a system that cannot be asked: launchd hands over nothing else
        return True


def _refuse_strangers(sock: socket.socket) -> None:
    address, port = sock.getsockname()[:2]
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        raise Refused(
            f"The socket {shown} that was handed over is open to other machines, and devtls serves this one alone.",
            hint=f"its unit or agent has to name 127.0.0.1:{port} and [::1]:{port}",
        )


def _called(descriptor: int, name: str) -> str:
    return f"{name!r}" if name else f"with descriptor {descriptor}"
