"""Sockets that systemd or launchd opened for this process, sorted into the https and the http listener.

Owns that choice. A name says it (FileDescriptorName=https), else the port: 443 and what ends like it is https, 80 and
what ends like it is http. Refuses to guess about others: they are closed and named. Loaded only where sockets were
handed over.
"""

from __future__ import annotations

import os
import sys

import msgspec

from devtls.config import ServeConfig
from devtls.net.bind import Bound, adopt
from devtls.system.machine.activation import ActivatedSocket, ActivatedSockets, take_listen_fds
from devtls.system.machine.launchd import started_by_launchd, take_launchd_sockets

HTTPS, HTTP = "https", "http"


class ActivatedListeners(msgspec.Struct, frozen=True):
    """The listeners that need not be bound; `notes` are lines that a person should read."""

    https: Bound | None = None
    http: Bound | None = None
    notes: tuple[str, ...] = ()


def take_activated_listeners(serve: ServeConfig) -> ActivatedListeners:
    """Return what systemd or launchd opened for this process. Raises Refused for what other machines reach."""
    if started_by_launchd(sys.platform):
        return sort_out(take_launchd_sockets(), serve)
    return sort_out(take_listen_fds(os.environ, os.getpid()), serve)


def sort_out(inheritance: ActivatedSockets, serve: ServeConfig) -> ActivatedListeners:
    """Return the listeners among these sockets; every other socket is closed."""
    bound: dict[str, list[ActivatedSocket]] = {HTTPS: [], HTTP: []}
    notes = list(inheritance.notes)
    for activated in inheritance.sockets:
        role = _role_of(activated.name, activated.port, serve)
        if role is None:
            named = f"as {activated.name!r}" if activated.name else "without a name"
            notes.append(f"Port {activated.port} was handed over {named}; is it https or http? It is closed.")
            activated.sock.close()
        else:
            bound[role].append(activated)
    # Closed, not left open: the kernel would accept connections that nobody ever reads.
    if bound[HTTP] and not serve.redirect:
        notes.append(f"Port {bound[HTTP][0].port} was handed over, but redirect is off: nothing answers there.")
        for activated in bound.pop(HTTP):
            activated.sock.close()
    https, http = (_bound(bound.get(role, [])) for role in (HTTPS, HTTP))
    return ActivatedListeners(https, http, (*notes, *_unlike(https, "https_port", serve.https_port)))


def _role_of(name: str, port: int, serve: ServeConfig) -> str | None:
    # The name first: it is what a person wrote (FileDescriptorName=, sd_listen_fds_with_names(3)).
    if name in (HTTPS, HTTP):
        return name
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
