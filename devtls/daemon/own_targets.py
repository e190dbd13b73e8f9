"""Targets that are devtls itself: refused when they are read, not discovered as a loop at the first request.

Owns the comparison of targets with the listeners of this process: https, its redirect, and the auxiliary listeners.
Refuses ports and addresses; a name that leads here is told at its first request (508). Refuses nothing that another
program answers: where one listens on a port of an auxiliary listener already, it is the app, and the listener is the
one that goes without.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from devtls.config import Config, RouteConfig, TcpTarget
from devtls.config.lines import dotted
from devtls.daemon.listeners import BoundListeners
from devtls.errors import ConfigError
from devtls.names import LOCALHOST, is_ip_address
from devtls.net.bind import LOOPBACK
from devtls.system.machine.port_holder import is_listened_to, port_holder


def refuse_own_targets(config: Config, bound: BoundListeners, pki_port: int) -> None:
    """Raise ConfigError for the first route whose target is a listener of this process; may block."""
    ours = dict(_listeners(bound))
    auxiliary = {port: words for port, words in _auxiliary(config, pki_port) if port not in ours}
    for route in config.routes:
        target = route.target
        if not isinstance(target, TcpTarget):
            continue
        addresses = _addresses(target.host)
        if target.port in ours and not addresses.isdisjoint(bound.https.addresses):
            raise _refused(route, ours[target.port])
        # Looked up for a port that is one of ours alone: it takes a look at every process.
        if target.port in auxiliary and not addresses.isdisjoint(LOOPBACK) and _is_ours(target.port):
            raise _refused(route, auxiliary[target.port])


def _listeners(bound: BoundListeners) -> Iterator[tuple[int, str]]:
    yield bound.https.port, "https"
    yield bound.https.public_port, "https"
    if bound.former is not None:
        yield bound.former.port, "https"
    if bound.http_port is not None:
        yield bound.http_port, "the redirect to https"


def _auxiliary(config: Config, pki_port: int) -> Iterator[tuple[int, str]]:
    yield pki_port, "the CA's page and revocation lists"
    if config.dns.enabled:
        yield config.dns.port, "DNS ([dns] port)"
    if config.pac.enabled:
        yield config.pac.port, "the PAC file ([pac] port)"


def _addresses(host: str) -> frozenset[str]:
    """Return the addresses of a target that names a port alone, localhost or an address."""
    if is_ip_address(host):
        return frozenset([host])
    return frozenset(LOOPBACK) if host in ("", LOCALHOST) else frozenset()


def _is_ours(port: int) -> bool:
    """Say whether this process listens on an auxiliary port, or will as soon as it can."""
    return not is_listened_to(port) or f"(process {os.getpid()})" in port_holder(port)


def _refused(route: RouteConfig, words: str) -> ConfigError:
    return ConfigError(
        f"the target is devtls itself, which has that port for {words}.",
        source=route.source,
        key=dotted(("routes", route.key)) if route.line else route.key,
        line=route.line,
        hint="Write the port of your app.",
    )
