"""The control channel of a running proxy: a Unix socket, or on Windows a port and a token.

Owns the choice between `unix_socket` and `port`, and nothing else.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from devtls.system.control import unix_socket
from devtls.system.control.port import ControlPort, find_control_ports, open_control_port, remove_dead_ports
from devtls.system.control.unix_socket import ControlSocket, find_control_sockets, open_control_socket

ControlChannel = ControlSocket | ControlPort


def uses_ports() -> bool:
    """Say whether this system has no Unix sockets in Python."""
    return sys.platform == "win32"


def open_channel(runtime_dir: Path) -> tuple[ControlChannel, socket.socket]:
    """Return a new channel of this process, and the socket, which listens. Raises StateError; blocks."""
    if uses_ports():
        return open_control_port(runtime_dir)
    return open_control_socket(runtime_dir)


def find_channels(runtime_dir: Path) -> list[ControlChannel]:
    """Return what is there, dead or alive, in the order of the process ids; blocks. Raises StateError."""
    if uses_ports():
        return [*find_control_ports(runtime_dir)]
    return [*find_control_sockets(runtime_dir)]


def is_gone(channel: ControlChannel) -> bool:
    """Say whether the process of a channel has ended, or is past all it had to do; blocks."""
    return not channel.path.exists() or not channel.answers()


def remove_leftovers(runtime_dir: Path) -> None:
    """Remove the channels of processes that were killed; blocks."""
    if uses_ports():
        return remove_dead_ports(runtime_dir)
    return unix_socket.remove_leftovers(runtime_dir)


def end_by_force(pid: int) -> str:
    """Return the command that ends a process which does not answer."""
    return f"taskkill /F /PID {pid}" if sys.platform == "win32" else f"kill {pid}"
