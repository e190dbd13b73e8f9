"""Sockets as systemd hands them over: at neighbouring descriptors, with the three variables."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from devtls.system.machine import activation as inherited


def open_server(address: str, port: int = 0) -> socket.socket:
    """Listen on `address`."""
    return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)


def place(monkeypatch: pytest.MonkeyPatch, sockets: Sequence[socket.socket]) -> int:
    """Duplicate sockets to where they are looked for, and return the first descriptor; whoever takes them closes them.

    The real place, behind stderr, is pytest's.
    """
    first = fcntl.fcntl(0, fcntl.F_DUPFD, 700)
    os.close(first)
    for number, sock in enumerate(sockets, first):
        os.dup2(sock.fileno(), number)
    monkeypatch.setattr(inherited, "FIRST_DESCRIPTOR", first)
    return first


@contextmanager
def given(
    monkeypatch: pytest.MonkeyPatch, *addresses: str, names: Sequence[str] = (), pid: int | None = None
) -> Iterator[list[socket.socket]]:
    """Hand over a socket for each address; yields the giver's own descriptors of them."""
    place(monkeypatch, sockets := [open_server(address) for address in addresses])
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() if pid is None else pid))
    monkeypatch.setenv("LISTEN_FDS", str(len(sockets)))
    monkeypatch.setenv("LISTEN_FDNAMES", ":".join(names))
    yield sockets
    for sock in sockets:
        sock.close()
