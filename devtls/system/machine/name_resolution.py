"""Where a name leads on this machine, and which of a route's names a browser here can open.

Owns the reading of getaddrinfo's failures. A resolver without a network does not say that a name is unknown: it says
nothing, and a browser waits for it all the same. Refuses to guess: a name that was not looked up is unknown.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from enum import Enum

from devtls.names import LOCALHOST, is_below, is_wildcard

_PROBE_LABEL = "devtls-check"
"""Stands for any name below a wildcard."""


class Resolves(Enum):
    """Where a name leads."""

    HERE = "here"
    NOWHERE = "nowhere"
    ELSEWHERE = "elsewhere"
    UNANSWERED = "unanswered"
    """The resolver does not answer: most often there is no network."""
    UNKNOWN = "unknown"


LOST = frozenset({Resolves.NOWHERE, Resolves.UNANSWERED})
"""Names that no browser opens, unless it knows them by itself."""


def resolve(host: str) -> Resolves:
    """Return where a host name leads, or any name below a wildcard; blocks."""
    name = _PROBE_LABEL + host[1:] if is_wildcard(host) else host
    try:
        answers = socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        # EAI_AGAIN: the resolver did not answer (getaddrinfo(3)).
        return Resolves.UNANSWERED if error.errno == socket.EAI_AGAIN else Resolves.NOWHERE
    except OSError:
        return Resolves.UNKNOWN
    return Resolves.HERE if _all_loopback(str(answer[4][0]) for answer in answers) else Resolves.ELSEWHERE


def _all_loopback(addresses: Iterable[str]) -> bool:
    # A scope (fe80::1%en0) is no part of the address.
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses)


def opens_in_browsers(host: str, found: Mapping[str, Resolves]) -> bool:
    """Say whether a browser on this machine opens a name; those below localhost it resolves by itself."""
    return found.get(host) is Resolves.HERE or is_below(host, LOCALHOST)


def browser_order(hosts: Iterable[str], found: Mapping[str, Resolves]) -> tuple[str, ...]:
    """Return names with those first that a browser opens, in their own order; all of it where nothing is known."""
    return tuple(sorted(hosts, key=lambda host: bool(found) and not opens_in_browsers(host, found)))
