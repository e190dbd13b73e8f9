"""The parts of a daemon that no start must import: each is made when its configuration or its time has come.

Owns the late imports, and nothing else: cryptography.x509 costs a start 30 ms, dnspython as much.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devtls.daemon.client_trust import ClientTrust
    from devtls.daemon.console.log import Log
    from devtls.daemon.generation import Generation
    from devtls.daemon.revocations import Revocations
    from devtls.daemon.sites.acme import AcmeSite
    from devtls.daemon.sites.dns import DnsSite
    from devtls.daemon.sites.pac import PacSite
    from devtls.daemon.sites.private_sockets import PrivateSockets
    from devtls.daemon.upstream_tls import ClientContexts
    from devtls.net.admission import ConnectionTable
    from devtls.net.bind import Bound
    from devtls.net.client.listener import ConnectionLimiter, TlsGate
    from devtls.net.client.service import ClientConnection, ProxyService
    from devtls.pki.leaf import Signer
    from devtls.routing import Snapshot
    from devtls.system.storage.keystore import Keystore


def make_client_trust(keystore: Keystore) -> ClientTrust:
    """Return the verification of clients."""
    from devtls.daemon.client_trust import ClientTrust  # cryptography.x509: 30 ms

    return ClientTrust(keystore)


def end_outdated(connections: AbstractSet[ClientConnection]) -> None:
    """End connections whose clients would have to show another certificate today.

    What runs is finished, except for those who would be let in no more: an event stream has no end.
    """
    from devtls.daemon.client_trust import would_be_refused

    # A copy: a connection that ends leaves the set.
    for connection in list(connections):
        # A client's certificate was checked in its handshake; nothing asks for it again on an open connection.
        if connection.outdated:
            connection.drain()
            if would_be_refused(connection.claim):
                connection.abort()


def make_revocations(keystore: Keystore, authority: Callable[[], Signer], log: Log) -> Revocations:
    """Return what is revoked."""
    from devtls.daemon.revocations import Revocations  # cryptography.x509

    return Revocations(keystore, authority, log)


def make_acme_site(
    keystore: Keystore,
    private: PrivateSockets,
    snapshot: Callable[[], Snapshot],
    contexts: ClientContexts,
    log: Log,
) -> AcmeSite:
    """Return the ACME server."""
    from devtls.daemon.sites.acme import AcmeSite

    return AcmeSite(keystore, private, snapshot, contexts, log)


def make_dns_site(generation: Generation, https: Bound, log: Log, places: ConnectionTable) -> DnsSite:
    """Return the DNS server."""
    from devtls.daemon.sites.dns import DnsSite  # dnspython

    return DnsSite(generation, https, log, places)


def make_pac_site(
    generation: Generation,
    https: Bound,
    log: Log,
    entrance: tuple[ProxyService, TlsGate, ConnectionLimiter, ConnectionTable, Bound | None],
) -> PacSite:
    """Return the port for browsers that use devtls as their proxy."""
    from devtls.daemon.sites.pac import PacSite
    from devtls.net.pac import PacEntrance

    return PacSite(generation, https, log, PacEntrance(*entrance))
