"""Listening sockets on loopback, both address families, bound before anything is promised about their port.

Owns binding, the reason when a port cannot be bound, and the test whether a port that the system redirects really
leads to a socket of ours. Refuses every address that is not loopback; where the system grants only a socket on every
address (macOS, below 1024), `net.client.listener` drops the clients of other machines.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
import socket
import sys
from collections.abc import Sequence
from enum import Enum

import msgspec

from devtls.errors import DevtlsError, PortInUse

LOOPBACK = ("127.0.0.1", "::1")
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - only for sockets behind the LoopbackFilter
BACKLOG = 512
"""Connections that the kernel accepts ahead of us: a browser opens hundreds at once."""
# Port 0 is chosen for the first address alone; the same number may be taken on the second.
_FREE_PORT_TRIES = 20
_PROBE_TIMEOUT_S = 0.2
_UNSENT_BYTES = 1024 * 1024
"""A quarter of it costs a download a tenth more CPU; without it an app can write 16 MB ahead of its client."""


class PortForbidden(DevtlsError):
    """The system does not let this user bind the port (below 1024)."""


class Origin(Enum):
    """How devtls got a port."""

    BOUND = "bound"
    INHERITED = "inherited"
    ALL_ADDRESSES = "everywhere"
    """Bound on every address; clients of other machines are dropped."""
    REDIRECTED = "redirected"
    """The system redirects a port below 1024 to one of ours."""


class Bound(msgspec.Struct):
    """The sockets of one port; `missing` says why a family is absent, `redirected_from` which port leads here."""

    port: int
    sockets: list[socket.socket]
    missing: str = ""
    origin: Origin = Origin.BOUND
    redirected_from: int = 0

    @property
    def public_port(self) -> int:
        """The port that people type."""
        return self.redirected_from or self.port

    @property
    def addresses(self) -> tuple[str, ...]:
        """The loopback addresses that answer."""
        if self.origin is Origin.ALL_ADDRESSES:
            return tuple(LOOPBACK[sock.family == socket.AF_INET6] for sock in self.sockets)
        return tuple(str(sock.getsockname()[0]) for sock in self.sockets)

    def close(self) -> None:
        """Close all of them."""
        for sock in self.sockets:
            sock.close()


def bind(port: int, addresses: Sequence[str] = LOOPBACK) -> Bound:
    """Bind `port` (0 = any free one, the same for all addresses) on loopback addresses.

    Raises PortForbidden, PortInUse (with the holder unknown: the caller looks), ValueError for an address that is not
    loopback. A machine without IPv6 gets 127.0.0.1 alone, and `missing` says so.
    """
    for _ in range(_FREE_PORT_TRIES if port == 0 else 0):
        # What is free on 127.0.0.1 may be taken on ::1.
        with contextlib.suppress(PortInUse):
            return _bind_all(0, addresses)
    return _bind_all(port, addresses)


def bind_all_addresses(port: int) -> Bound:
    """Bind `port` on every address of this machine, for a Listener that drops the clients of other machines.

    macOS gives every user ports below 1024, but on no single address. Raises PortForbidden, PortInUse.
    """
    # `_bind_all` refuses what is not loopback; here the listener drops such clients instead.
    bound = _open_all(port, _EVERY_ADDRESS)
    bound.origin = Origin.ALL_ADDRESSES
    return bound


def adopt(port: int, sockets: list[socket.socket]) -> Bound:
    """Return activated sockets (systemd, launchd), with the options that ours have."""
    for sock in sockets:
        _prepare(sock)
    return Bound(port, sockets, origin=Origin.INHERITED)


def share(bound: Bound) -> Bound:
    """Return the same listening sockets under descriptors of their own: to close them leaves the others open."""
    return Bound(bound.port, [sock.dup() for sock in bound.sockets], bound.missing, bound.origin, bound.redirected_from)


def _bind_all(port: int, addresses: Sequence[str]) -> Bound:
    for address in addresses:
        if not ipaddress.ip_address(address).is_loopback:
            raise ValueError(f"{address} is not a loopback address")
    return _open_all(port, addresses)


def _open_all(port: int, addresses: Sequence[str]) -> Bound:
    sockets: list[socket.socket] = []
    missing = ""
    try:
        for address in addresses:
            try:
                sock = _bind_one(address, port)
            except OSError as error:
                # A container or a kernel with ipv6.disable=1 has no ::1; with IPv6 as the only address it is an error.
                if _no_ipv6(address, error) and len(addresses) > 1:
                    missing = "no IPv6 on this machine: listening on 127.0.0.1 alone"
                    continue
                raise bind_error(address, port, error) from error
            sockets.append(sock)
            # With port 0 the kernel has chosen: the other family must get the same number.
            port = sock.getsockname()[1]
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return Bound(port, sockets, missing)


def _bind_one(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With its protocol named: asyncio sets TCP_NODELAY on no other socket, and an answer would wait 40 ms for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":
            # On Windows SO_REUSEADDR lets another program bind the same port and steal its connections.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Without it a restart fails while old connections are in TIME_WAIT (socket(7)).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Else `::` would take the port in IPv4 as well (ipv6(7)), and the bind for the other family would fail.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _prepare(sock)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket) -> None:
    """Set what accepted sockets inherit."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # idle tunnels to nobody end
    _limit_unsent(sock)
    sock.setblocking(False)


def _limit_unsent(sock: socket.socket) -> None:
    """Let the kernel queue little for a client that does not read; what is accepted inherits it."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS; Python names it there only
    if option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)


def _no_ipv6(address: str, error: OSError) -> bool:
    return ":" in address and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def bind_error(address: str, port: int, error: OSError) -> DevtlsError:
    """Return what a failed bind means, in our words."""
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    # bind(2) names EACCES; a sandbox or a security module may say EPERM.
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortForbidden(f"This user may not listen on {shown}.")
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"Port {port} is taken: something else listens on {shown}.", port=port)
    return DevtlsError(f"Cannot listen on {shown}: {error.strerror}.")


def is_redirected_here(bound: Bound, port: int) -> bool:
    """Say whether connections to `port` arrive at every socket of `bound`; blocks, 0.4 s at most.

    An ordinary user cannot read a redirect of the system's, and one that is configured may not work: a connection that
    arrives proves both. A port that merely answers proves nothing.
    """
    places = list(zip(bound.sockets, bound.addresses, strict=True))
    return bool(places) and all(_arrives(sock, address, port) for sock, address in places)


def _arrives(listening: socket.socket, address: str, port: int) -> bool:
    with socket.socket(listening.family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect((address, port))
        except OSError:
            return False
        # The client's own port names it: `accept` shows the same number when the connection came to us.
        return _accepts(listening, probe.getsockname()[:2])


def _accepts(listening: socket.socket, address: tuple[str, int]) -> bool:
    """Accept until the client is `address`; an earlier client is dropped and tries again: nothing is served yet."""
    with contextlib.suppress(OSError):
        while select.select([listening], [], [], _PROBE_TIMEOUT_S)[0]:
            accepted, peer = listening.accept()
            accepted.close()
            if peer[:2] == address:
                return True
    return False
