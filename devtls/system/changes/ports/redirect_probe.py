"""Which ports the system sends elsewhere, found out by knocking: an ordinary user may not read the rules.

Owns one connection to each loopback address of a port. A port on which nobody listens, and which answers all the same,
is redirected. Where nobody listens at its target either, this does for as long as it knocks.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator

from devtls.system.machine.port_holder import is_listened_to

_FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_KNOCK_S = 0.3


def redirected_ports(ports: Iterable[int], target: int) -> frozenset[int]:
    """Return those of `ports` that lead to `target`, or to another port that is listened to, on this machine."""
    with _listening(target) as families:
        asked = [port for port in ports if not is_listened_to(port)]
        return frozenset(port for port in asked if all(_answers(port, *family) for family in families))


@contextlib.contextmanager
def _listening(port: int) -> Iterator[list[tuple[socket.AddressFamily, str]]]:
    """Yield the families of this machine, with somebody listening on `port` in each."""
    families = []
    with contextlib.ExitStack() as listeners:
        for family, address in _FAMILIES:
            try:
                listeners.enter_context(socket.create_server((address, port), family=family))
            except OSError:
                if not _answers(port, family, address):  # no IPv6 here
                    continue
            families.append((family, address))
        yield families


def _answers(port: int, family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(_KNOCK_S)
            knocking.connect((address, port))
    except OSError:
        return False
    return True
