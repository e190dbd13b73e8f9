"""The listeners of the proxy: bound on the usual ports, their one stand-in, or the configured ones.

Owns the order: sockets that systemd or launchd opened for us; 443, or the port that was asked for; on macOS the same on
every address, with a filter; 8443 where this user may not have 443, under the name of 443 when the system redirects it
there. A port that is taken stops the start and says by whom; port 80 only carries redirects, so without it there is one
line less and never another port.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from devtls.config import PacConfig, ServeConfig
from devtls.errors import DevtlsError, PortInUse
from devtls.net.bind import LOOPBACK, Bound, Origin, PortForbidden, bind, bind_all_addresses, is_redirected_here
from devtls.system.machine.port_holder import is_listened_to, port_holder

HTTPS_PORT = 443
# The usual unprivileged sister of 443, as 8080 is of 80.
HTTPS_STAND_IN = 8443
HTTP_PORT = 80

_USUAL_PAC = PacConfig()
_OPEN_THEM = "devtls setup ports"
_FORBIDDEN_HINTS = {
    "linux": _OPEN_THEM,
    # Winsock knows no privileged ports: what is forbidden was set aside for others, most often for http.sys.
    "win32": "netsh interface ipv4 show excludedportrange protocol=tcp shows what Windows keeps for itself",
}


class BoundListeners(msgspec.Struct):
    """The open ports; `notes` are lines that a person should read."""

    https: Bound
    http: Bound | None
    notes: tuple[str, ...]
    pac: Bound | None = None
    """The port of the PAC file, where systemd or launchd holds it; else it is opened later."""
    sent_here: int | None = None
    """The port from which the system sends plain HTTP to the https port, which redirects it."""
    former: Bound | None = None
    """The stand-in of the start, which goes on beside the usual port that was to be had later."""
    forbidden: frozenset[int] = frozenset()
    """The usual ports that this user was not allowed to have."""

    @property
    def https_port(self) -> int:
        """The port of https in addresses."""
        return self.https.public_port

    @property
    def http_port(self) -> int | None:
        """The port from which clients are redirected to https, None for none."""
        return self.sent_here if self.http is None else self.http.port

    def close(self) -> None:
        """Close them again."""
        self.https.close()
        for bound in (self.former, self.http, self.pac):
            if bound is not None:
                bound.close()


def bind_listeners(serve: ServeConfig, pac: PacConfig = _USUAL_PAC) -> BoundListeners:
    """Bind the ports of `serve`. Raises PortInUse (with its holder), PortForbidden, Refused, DevtlsError."""
    addresses = serve.listen or LOOPBACK
    notes: list[str] = []
    forbidden: set[int] = set()
    https, http, held = _take_activated(serve, pac, notes)
    sent_here = None
    try:
        https = https or _open_https(serve.https_port, addresses, notes, forbidden)
        if http is None and serve.redirect:
            sent_here = _sent_here(serve, https)
            http = _open_http(serve, https.port, addresses, notes, forbidden) if sent_here is None else None
    except DevtlsError:
        for bound in (https, http, held):
            if bound is not None:
                bound.close()
        raise
    if https.missing:
        notes.append(https.missing[0].upper() + https.missing[1:] + ".")
    return BoundListeners(https, http, tuple(notes), held, sent_here, forbidden=frozenset(forbidden))


def bind_forbidden(bound: BoundListeners) -> BoundListeners:
    """Return `bound` with those of its forbidden ports besides that this user may have by now. May block.

    A port that somebody else has got by then is theirs for good: to take it while they restart would break them.
    """
    found: dict[int, Bound] = {}
    forbidden = set(bound.forbidden)
    for port in bound.forbidden:
        try:
            found[port] = _bind_somehow(port, bound.https.addresses)
        except PortForbidden:
            continue
        except DevtlsError:
            forbidden.discard(port)
    forbidden -= found.keys()
    notes = tuple(note for note in bound.notes if not any(note.startswith(f"Port {port} ") for port in found))
    https = found.get(HTTPS_PORT)
    return msgspec.structs.replace(
        bound,
        https=https or bound.https,
        http=found.get(HTTP_PORT) or bound.http,
        notes=notes,
        former=bound.former if https is None else bound.https,
        forbidden=frozenset(forbidden),
    )


def _take_activated(
    serve: ServeConfig, pac: PacConfig, notes: list[str]
) -> tuple[Bound | None, Bound | None, Bound | None]:
    # A child of process 1 on macOS may be launchd's.
    # sd_listen_fds(3); launchd sets no variable, and its jobs are children of process 1.
    if "LISTEN_FDS" not in os.environ and not (sys.platform == "darwin" and os.getppid() == 1):
        return None, None, None
    from devtls.daemon.activation import take_activated_listeners  # ctypes: 2 ms that no other start needs

    inherited = take_activated_listeners(serve, pac)
    notes.extend(inherited.notes)
    return inherited.https, inherited.http, inherited.pac


def _open_https(port: int | None, addresses: Sequence[str], notes: list[str], forbidden: set[int]) -> Bound:
    if port not in (None, HTTPS_PORT):
        return _bind(port, addresses, "--https-port 0 takes any free port")
    try:
        return _bind(HTTPS_PORT, addresses, f"--https-port {HTTPS_STAND_IN}, or stop the other program")
    except PortForbidden:
        # First 8443, then the question: a redirect can only be proven by who listens at its end.
        bound = _bind(HTTPS_STAND_IN, addresses, "--https-port 0 takes any free port")
        # With a redirect the addresses have no port, as if 443 were ours.
        if _is_redirected(bound):
            return bound
        # 443 was asked for by number: another port is no answer to that.
        if port is not None:
            bound.close()
            raise
    hint = _FORBIDDEN_HINTS.get(sys.platform, "")
    forbidden.add(HTTPS_PORT)
    notes.append(
        f"Port {HTTPS_PORT} is closed to this user, so it is {HTTPS_STAND_IN}.{f' To get it: {hint}' if hint else ''}"
    )
    return bound


def _is_redirected(bound: Bound) -> bool:
    """Note on `bound` whether the system sends 443 there."""
    if is_listened_to(HTTPS_PORT):
        return False  # by somebody of root's; knocking there would cost a wait
    if not is_redirected_here(bound, HTTPS_PORT):
        return False
    bound.origin, bound.redirected_from = Origin.REDIRECTED, HTTPS_PORT
    return True


def _open_http(
    serve: ServeConfig, https_port: int, addresses: Sequence[str], notes: list[str], forbidden: set[int]
) -> Bound | None:
    if serve.http_port is not None:
        return _bind(serve.http_port, addresses, "--no-redirect, or --http-port 0 for any free port")
    # Plain HTTP on the TLS port is told by its first byte, which is 0x16 in TLS (RFC 8446 5.1).
    if https_port == HTTP_PORT:
        return None  # it answers plain HTTP with the same redirect
    try:
        return _bind_somehow(HTTP_PORT, addresses)
    except PortForbidden:
        forbidden.add(HTTP_PORT)
        notes.append(f"Port {HTTP_PORT} is closed to this user: http:// addresses are not redirected.")
    except PortInUse:
        holder = port_holder(HTTP_PORT) or "another program"
        notes.append(f"Port {HTTP_PORT} belongs to {holder}: http:// addresses are not redirected.")
    # Every failure of port 80 is a note: https is the purpose, the redirect a courtesy.
    except DevtlsError as error:
        notes.append(f"{error} Addresses with http:// are not redirected.")
    return None


def _sent_here(serve: ServeConfig, https: Bound) -> int | None:
    """Return 80 where the system sends that to the https port as well."""
    if https.origin is not Origin.REDIRECTED or serve.http_port is not None:
        return None
    return HTTP_PORT if is_redirected_here(https, HTTP_PORT) else None


def _bind(port: int, addresses: Sequence[str], hint: str) -> Bound:
    try:
        return _bind_somehow(port, addresses)
    except PortInUse as error:
        holder = port_holder(port)
        by = f"{holder} has it" if holder else "another program has it"
        if holder.startswith("devtls "):
            hint = f"give that one your routes too, or --https-port {HTTPS_STAND_IN}"
        raise PortInUse(f"Port {port} is taken: {by}.", port=port, holder=holder, hint=hint) from error
    except PortForbidden as error:
        hint = _FORBIDDEN_HINTS.get(sys.platform, f"--https-port {HTTPS_STAND_IN}")
        raise PortForbidden(str(error), hint=hint) from error


def _bind_somehow(port: int, addresses: Sequence[str]) -> Bound:
    """Bind, on macOS in the one way that is open to everybody. Raises what `bind` raises."""
    try:
        return bind(port, addresses)
    except PortForbidden:
        # macOS lets everybody bind ports below 1024, but on the wildcard address only.
        if sys.platform != "darwin" or tuple(addresses) != LOOPBACK:
            raise
    return _bind_wildcard(port)


def _bind_wildcard(port: int) -> Bound:
    bound = bind_all_addresses(port)
    # Else we would seem to serve, and every client would reach somebody else.
    if not is_redirected_here(bound, port):  # a socket on 127.0.0.1 itself, which root may have, comes first
        bound.close()
        raise PortInUse(f"Port {port} is taken: something else listens on 127.0.0.1 or ::1.", port=port)
    return bound
