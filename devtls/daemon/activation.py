"""Sockets that systemd or launchd opened for this process, sorted into the listeners of https, http and the PAC file.

Owns that choice. A name says it (FileDescriptorName=https), else the port: the one of [pac], 443 and what ends like it
is https, 80 and what ends like it is http. Refuses to guess about others: they are closed and named. Loaded only where
sockets were handed over.
"""

from __future__ import annotations

import os
import sys

import msgspec

from devtls.config import PacConfig, ServeConfig
from devtls.net.bind import Bound, adopt
from devtls.system.machine.activation import ActivatedSocket, ActivatedSockets, take_listen_fds
from devtls.system.machine.launchd import started_by_launchd, take_launchd_sockets

HTTPS, HTTP, PAC = "https", "http", "pac"


class ActivatedListeners(msgspec.Struct, frozen=True):
    """The listeners that need not be bound; `notes` are lines that a person should read."""

    https: Bound | None = None
    http: Bound | None = None
    pac: Bound | None = None
    notes: tuple[str, ...] = ()


def take_activated_listeners(serve: ServeConfig, pac: PacConfig) -> ActivatedListeners:
    """Return what systemd or launchd opened for this process. Raises Refused for what other machines reach."""
    if started_by_launchd(sys.platform):
        return sort_out(take_launchd_sockets(), serve, pac)
    return sort_out(take_listen_fds(os.environ, os.getpid()), serve, pac)


def sort_out(inheritance: ActivatedSockets, serve: ServeConfig, pac: PacConfig) -> ActivatedListeners:
    """Return the listeners among these sockets; every other socket is closed."""
    bound: dict[str, list[ActivatedSocket]] = {HTTPS: [], HTTP: [], PAC: []}
    notes = list(inheritance.notes)
    for activated in inheritance.sockets:
        role = _role_of(activated, serve, pac)
        if role is None:
            named = f"as {activated.name!r}" if activated.name else "without a name"
            notes.append(f"Port {activated.port} was handed over {named}; is it https or http? It is closed.")
            activated.sock.close()
        else:
            bound[role].append(activated)
    # Closed, not left open: the kernel would accept connections that nobody ever reads.
    if bound[HTTP] and not serve.redirect:
        notes.append(f"Port {bound[HTTP][0].port} was handed over, but redirect is off: nothing answers there.")
        _close(bound.pop(HTTP))
    if bound[PAC] and not (pac.enabled and pac.port in (0, bound[PAC][0].port)):
        wanted = f"port {pac.port}" if pac.enabled else "none"
        notes.append(
            f"Port {bound[PAC][0].port} was handed over for the PAC file, but [pac] says {wanted}: "
            "devtls service install writes it anew."
        )
        _close(bound.pop(PAC))
    https, http, held = (_bound(bound.get(role, [])) for role in (HTTPS, HTTP, PAC))
    return ActivatedListeners(https, http, held, (*notes, *_unlike(https, "https_port", serve.https_port)))


def _close(sockets: list[ActivatedSocket]) -> None:
    for activated in sockets:
        activated.sock.close()


def _role_of(activated: ActivatedSocket, serve: ServeConfig, pac: PacConfig) -> str | None:
    name, port = activated.name, activated.port
    # The name first: it is what a person wrote (FileDescriptorName=, sd_listen_fds_with_names(3)).
    if name in (HTTPS, HTTP, PAC):
        return name
    if port == pac.port:
        return PAC
    if port == serve.https_port:
        return HTTPS
    if port == serve.http_port:
        return HTTP
    if str(port).endswith("443"):
        return HTTPS
    return HTTP if str(port).endswith("80") else None


def _bound(activated: list[ActivatedSocket]) -> Bound | None:
    """Return the listener of one role; of several ports all are served, and the lowest is the one in addresses."""
    # A unit may have several ListenStream= lines, one per address or port.
    return adopt(min(each.port for each in activated), [each.sock for each in activated]) if activated else None


def _unlike(bound: Bound | None, key: str, wanted: int | None) -> tuple[str, ...]:
    if bound is None or wanted in (None, 0, bound.port):
        return ()
    return (f"{key} is {wanted}, but the socket that was handed over is on port {bound.port}: that one counts.",)
