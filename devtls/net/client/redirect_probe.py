"""Where a port leads: into our own listening socket, or elsewhere.

Owns one connection to ourselves, before anything is served. A redirect of the system's cannot be read by an ordinary
user, and one that is configured may not work; a connection that arrives says both. Refuses to believe a port that
merely answers.
"""

from __future__ import annotations

import contextlib
import select
import socket

from devtls.net.client.listener import Bound

_TIMEOUT_S = 0.2


def leads_here(bound: Bound, port: int) -> bool:
    """Say whether connections to `port` arrive at every socket of `bound`; blocks, 0.4 s at most."""
    places = list(zip(bound.sockets, bound.addresses, strict=True))
    return bool(places) and all(_arrives(sock, address, port) for sock, address in places)


def _arrives(listening: socket.socket, address: str, port: int) -> bool:
    with socket.socket(listening.family, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(_TIMEOUT_S)
        try:
            knocking.connect((address, port))
        except OSError:
            return False
        return _has_come(listening, knocking.getsockname()[:2])


def _has_come(listening: socket.socket, who: tuple[str, int]) -> bool:
    """Accept until it is `who`; somebody who came before is dropped and comes again, as nothing is served yet."""
    with contextlib.suppress(OSError):
        while select.select([listening], [], [], _TIMEOUT_S)[0]:
            accepted, peer = listening.accept()
            accepted.close()
            if peer[:2] == who:
                return True
    return False
