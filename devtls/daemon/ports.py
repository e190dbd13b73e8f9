"""Which ports the proxy gets: the usual ones, their one stand-in, or the ones that were asked for.

Owns the rules: 443, or 8443 where this user may not have 443; a port that is taken stops the start and says by whom;
port 80 only carries redirects, so without it there is one line less and never another port.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from devtls.config import ServeConfig
from devtls.errors import DevtlsError, PortInUse
from devtls.net.listener import LOOPBACK, Bound, PortForbidden, bind
from devtls.system.port_holder import port_holder

HTTPS_PORT = 443
HTTPS_STAND_IN = 8443
HTTP_PORT = 80

_LOW_PORTS = "sudo sysctl net.ipv4.ip_unprivileged_port_start=80" if sys.platform == "linux" else ""


class Doors(msgspec.Struct):
    """The open ports; `notes` are lines that a person should read."""

    https: Bound
    http: Bound | None
    notes: tuple[str, ...]

    def close(self) -> None:
        """Close them again."""
        self.https.close()
        if self.http is not None:
            self.http.close()


def open_doors(serve: ServeConfig) -> Doors:
    """Bind the ports of `serve`. Raises PortInUse (with its holder), PortForbidden, DevtlsError."""
    addresses = serve.listen or LOOPBACK
    notes: list[str] = []
    https = _open_https(serve.https_port, addresses, notes)
    try:
        http = _open_http(serve, https.port, addresses, notes) if serve.redirect else None
    except DevtlsError:
        https.close()
        raise
    if https.missing:
        notes.append(https.missing[0].upper() + https.missing[1:] + ".")
    return Doors(https, http, tuple(notes))


def _open_https(port: int | None, addresses: Sequence[str], notes: list[str]) -> Bound:
    if port is not None:
        return _bind(port, addresses, "--https-port 0 takes any free port")
    try:
        return _bind(HTTPS_PORT, addresses, f"--https-port {HTTPS_STAND_IN}, or stop the other program")
    except PortForbidden:
        bound = _bind(HTTPS_STAND_IN, addresses, "--https-port 0 takes any free port")
    how = f" To get it: {_LOW_PORTS}" if _LOW_PORTS else ""
    notes.append(f"Port {HTTPS_PORT} is closed to this user, so it is {HTTPS_STAND_IN}.{how}")
    return bound


def _open_http(serve: ServeConfig, https_port: int, addresses: Sequence[str], notes: list[str]) -> Bound | None:
    if serve.http_port is not None:
        return _bind(serve.http_port, addresses, "--no-redirect, or --http-port 0 for any free port")
    if https_port == HTTP_PORT:
        return None  # it answers plain HTTP with the same redirect
    try:
        return bind(HTTP_PORT, addresses)
    except PortForbidden:
        notes.append(f"Port {HTTP_PORT} is closed to this user: http:// addresses are not redirected.")
    except PortInUse:
        holder = port_holder(HTTP_PORT) or "another program"
        notes.append(f"Port {HTTP_PORT} belongs to {holder}: http:// addresses are not redirected.")
    except DevtlsError as error:
        notes.append(f"{error} Addresses with http:// are not redirected.")
    return None


def _bind(port: int, addresses: Sequence[str], hint: str) -> Bound:
    try:
        return bind(port, addresses)
    except PortInUse as error:
        holder = port_holder(port)
        by = f"{holder} has it" if holder else "another program has it"
        if holder.startswith("devtls "):
            hint = f"give that one your routes too, or --https-port {HTTPS_STAND_IN}"
        raise PortInUse(f"Port {port} is taken: {by}.", port=port, holder=holder, hint=hint) from error
    except PortForbidden as error:
        raise PortForbidden(str(error), hint=_LOW_PORTS or f"--https-port {HTTPS_STAND_IN}") from error
