"""The filter for a socket on every address: who is not on this machine is dropped before a byte is read.

Owns the look at the peer, right after accept and before TLS or HTTP have a say. Refuses everybody whose address is not
loopback, and whoever has no address. A machine takes no packet from 127.0.0.0/8 or ::1 off a network (RFC 1122,
3.2.1.3; RFC 4291, 2.5.3), so the address cannot be made up from outside.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import cast


def filter_loopback(make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
    """Return a factory of connections that become one of `make`'s when the client is on this machine."""
    return lambda: _LoopbackFilter(make)


class _LoopbackFilter(asyncio.Protocol):
    def __init__(self, make: Callable[[], asyncio.Protocol]) -> None:
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tcp = cast("asyncio.Transport", transport)
        if not _is_here(tcp.get_extra_info("peername")):
            tcp.abort()
            return
        protocol = self._make()
        tcp.set_protocol(protocol)
        protocol.connection_made(transport)


def _is_here(peer: object) -> bool:
    try:
        return isinstance(peer, tuple) and ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback
    except (ValueError, IndexError):
        return False
