"""How a command reaches a running proxy of the same user: a Unix socket, or on Windows a port and a token.

Owns the choice between `control_socket` and `control_port`, and nothing else; what is not chosen is not loaded.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devtls.system.control.port import ControlPort
    from devtls.system.control.unix_socket import ControlSocket

    Place = ControlSocket | ControlPort


def uses_ports() -> bool:
    """Say whether this system has no Unix sockets in Python."""
    return sys.platform == "win32"


def open_channel(runtime_dir: Path) -> tuple[Place, socket.socket]:
    """Return a new channel of this process, and the socket, which listens. Raises StateError; blocks."""
    if uses_ports():
        from devtls.system.control.port import open_control_port

        return open_control_port(runtime_dir)
    from devtls.system.control.unix_socket import open_control_socket

    return open_control_socket(runtime_dir)


def find_channels(runtime_dir: Path) -> list[Place]:
    """Return what is there, dead or alive, in the order of the process ids; blocks. Raises StateError."""
    if uses_ports():
        from devtls.system.control.port import find_control_ports

        return [*find_control_ports(runtime_dir)]
    from devtls.system.control.unix_socket import find_control_sockets

    return [*find_control_sockets(runtime_dir)]


def is_gone(place: Place) -> bool:
    """Say whether the process of a channel has ended, or is past all it had to do; blocks."""
    return not place.path.exists() or not place.answers()


def remove_leftovers(runtime_dir: Path) -> None:
    """Remove the channels of processes that were killed; blocks."""
    if uses_ports():
        from devtls.system.control.port import remove_dead_ports

        return remove_dead_ports(runtime_dir)
    from devtls.system.control.unix_socket import remove_leftovers as remove_dead_sockets

    return remove_dead_sockets(runtime_dir)


def end_by_force(pid: int) -> str:
    """Return the command that ends a process which does not answer."""
    return f"taskkill /F /PID {pid}" if sys.platform == "win32" else f"kill {pid}"
