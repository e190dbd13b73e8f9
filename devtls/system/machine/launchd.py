"""Sockets that macOS's launchd opened for its agent, by launch_activate_socket(3).

Owns the call through ctypes and its memory. Refuses nothing: a process that launchd did not start, or an agent without
sockets, gets none. Written from the manual page; what is around the call is tested, no Mac has run it yet.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from typing import Any

from devtls.system.machine.activation import ActivatedSockets, receive

SOCKET_NAMES = ("https", "http", "pac")
"""The keys of the agent's `Sockets` dictionary."""
_LIBRARY = "/usr/lib/libSystem.B.dylib"
_LAUNCHD = 1


def started_by_launchd(platform: str) -> bool:
    """Say whether this may be launchd's own child; costs a system call."""
    return platform == "darwin" and os.getppid() == _LAUNCHD


def take_launchd_sockets(library: Any = None, names: Sequence[str] = SOCKET_NAMES) -> ActivatedSockets:
    """Return the sockets of our agent; `library` stands in for libSystem. Raises Refused."""
    system = ctypes.CDLL(_LIBRARY) if library is None else library
    return receive((descriptor, name) for name in names for descriptor in _activate(system, name))


def _activate(system: Any, name: str) -> Iterator[int]:
    """Yield the descriptors of one entry of `Sockets`, one for each address.

    The result is 0 or an errno: ESRCH for a process that is no job of launchd's, ENOENT for a name that its agent does
    not have, EALREADY for a second call. None of them has sockets for us.
    """
    descriptors = ctypes.POINTER(ctypes.c_int)()
    count = ctypes.c_size_t(0)
    if system.launch_activate_socket(name.encode(), ctypes.byref(descriptors), ctypes.byref(count)) != 0:
        return
    found = [descriptors[place] for place in range(count.value)]
    system.free(ctypes.cast(descriptors, ctypes.c_void_p))  # the caller's to free: launch_activate_socket(3)
    yield from found
