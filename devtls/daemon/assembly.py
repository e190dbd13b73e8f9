"""A configuration and a CA joined to a running proxy.

Owns the order of a start (ports, routes, listeners) and of a reload (read, build, start what is new, swap, retire what
is gone): whatever fails before the swap leaves everything as it was. Pool, certificate cache and open connections
live through reloads. Refuses nothing itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from devtls.config import Config, Merged
from devtls.daemon.client_listeners import ClientListeners
from devtls.daemon.console.framework_hints import FrameworkHints
from devtls.daemon.console.log import Log
from devtls.daemon.generation import Generation, Site
from devtls.daemon.issuer import load_or_create_signer, make_issuer
from devtls.daemon.late_parts import (
    end_outdated,
    make_acme_site,
    make_client_trust,
    make_dns_site,
    make_pac_site,
    make_revocations,
)
from devtls.daemon.limits import Admission, pool_limits, response_limits, server_limits
from devtls.daemon.listeners import HTTP_PORT, BoundListeners, bind_listeners
from devtls.daemon.own_targets import refuse_own_targets
from devtls.daemon.shutdown import close_early, drain
from devtls.daemon.sites.control import ControlSite
from devtls.daemon.sites.pki import PkiSite
from devtls.daemon.sites.private_sockets import PrivateSockets, refuse_unix_targets
from devtls.daemon.sites.static import StaticSites
from devtls.daemon.source import JoinedRoutes, Source
from devtls.daemon.upstream_tls import ClientContexts
from devtls.errors import DevtlsError
from devtls.net.client.service import ProxyService
from devtls.net.tls.contexts import HTTP_1, HTTP_2, ContextCache
from devtls.net.upstream.pool import Pool
from devtls.pki.leaf import Signer
from devtls.routing import ClientAuth, RouteTable, Snapshot, build_routes
from devtls.system.machine.project import find_project
from devtls.system.machine.watch import ConfigWatch
from devtls.system.storage.keystore import Keystore

if TYPE_CHECKING:
    from devtls.daemon.client_trust import ClientTrust
    from devtls.daemon.revocations import Revocations
    from devtls.daemon.sites.acme import AcmeSite
    from devtls.daemon.sites.dns import DnsSite
    from devtls.daemon.sites.pac import PacSite
    from devtls.net.tls.client_auth import ClientPolicy


class Daemon:
    """One proxy. `prepare` blocks and binds; `start`, `reload` and `stop` run on the loop."""

    def __init__(self, source: Source, log: Log) -> None:
        self.source = source
        self.log = log
        self.keystore = Keystore(source.paths.state_dir)
        self.made_authority = False
        self.watch: ConfigWatch | None = None
        self.config_changed: Callable[[], None] = lambda: None
        """Called on the watch's thread; nobody calls it before `watch` is started."""
        self.joined: tuple[JoinedRoutes, ...] = ()
        """The routes of processes that joined this proxy."""
        self.addresses_changed: Callable[[], None] = lambda: None
        """Called when names resolve or ports are open that were not before."""
        self.listeners_closed: Callable[[], None] = lambda: None
        """Called at the end as soon as others may have the ports."""
        self.generation: Generation
        self.bound: BoundListeners
        self.service: ProxyService
        self.pki: PkiSite
        self._sites: list[Site] = []
        """What a reload replaces and the end closes, in the order in which they were started."""
        self._acme: AcmeSite | None = None
        self._client_contexts = ClientContexts()
        self._client_trust: ClientTrust | None = None
        self._admission = Admission(log.report, log.fault)
        private = PrivateSockets(source.paths.runtime_dir, self._admission.private_site)
        self._static = StaticSites(private, source.paths, log.report)
        self.control = ControlSite(source.paths.runtime_dir, self._admission.control_site())
        self.contexts: ContextCache
        self._clients: ClientListeners
        self._reloading = asyncio.Lock()

    # -- start --------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Read everything and bind the ports; makes the CA when there is none. Raises DevtlsError."""
        self.open(*self.read())

    def read(self) -> tuple[Merged, Signer]:
        """Return the configuration and the CA, which is made when there is none; opens nothing. Raises DevtlsError."""
        if self.source.found is not None and self.watch is None:
            # Made before the file is read, so that no change is missed; its thread starts after the ports are open.
            self.watch = ConfigWatch(self.source.found.path, lambda: self.config_changed())  # noqa: PLW0108 - it is set later
        merged = self.source.read()
        # After the file: a mistake in it must not leave a new CA behind.
        authority, self.made_authority = load_or_create_signer(self.keystore, datetime.now(UTC))
        # From now on nobody is asked: the reader of the log need not sit at a keyboard.
        self.keystore.passphrases = msgspec.structs.replace(self.keystore.passphrases, ask=None)
        return merged, authority

    def open(self, merged: Merged, authority: Signer) -> None:
        """Bind the ports. Raises DevtlsError."""
        try:
            self.generation = self._build(merged, authority)
            self.control.open()  # before the ports: whoever finds one of them open can ask
            self.bound = bind_listeners(merged.config.serve, merged.config.pac)
            try:
                refuse_own_targets(self.config, self.bound, authority.pki_port)
            except DevtlsError:
                self.bound.close()
                raise
        # Ctrl-C too: sockets in the file system outlive the process that made them.
        except BaseException:
            self.control.abandon()
            self._abandon_sites()
            raise

    def abandon(self) -> None:
        """Give up what `prepare` opened: the proxy will not start."""
        self.control.abandon()
        self.bound.close()
        self._abandon_sites()

    def _abandon_sites(self) -> None:
        if self._acme is not None:
            self._acme.abandon()
        self._static.abandon()

    def _build(
        self, merged: Merged, authority: Signer, joined: Sequence[JoinedRoutes] = (), *, own_are_new: bool = False
    ) -> Generation:
        if authority.ocsp != merged.config.ca.ocsp:
            authority = msgspec.structs.replace(authority, ocsp=merged.config.ca.ocsp)
        config = self._with_acme(merged.config)
        own_count = len(config.routes)
        if joined:
            config = self.source.with_joined(config, joined, authority.zones, own_are_new=own_are_new)
        refuse_unix_targets(config.routes)
        # Before the routes, which hold the paths of the sockets.
        sockets = self._static.open_sockets(config)
        routes = build_routes(config, authority.zones, static_sockets=sockets)
        self._client_contexts.prepare(routes.routes)
        snapshot = Snapshot(config, routes, authority.zones)
        policies = self._read_policies(routes, authority)
        return Generation(merged, authority, snapshot, frozenset(sockets), policies, own_count)

    def _read_policies(self, routes: RouteTable, authority: Signer) -> Mapping[ClientAuth, ClientPolicy]:
        if not routes.client_auths:
            return {}
        if self._client_trust is None:
            self._client_trust = make_client_trust(self.keystore)
        return self._client_trust.read(routes.routes, authority, datetime.now(UTC))

    def _with_acme(self, config: Config) -> Config:
        """Return `config` with a route to the ACME server, if there is to be one. Raises ConfigError."""
        if not config.acme.enabled:
            return config
        if self._acme is None:
            private, contexts = self._static.private, self._client_contexts
            self._acme = make_acme_site(self.keystore, private, lambda: self.generation.snapshot, contexts, self.log)
        return self._acme.routed(config)

    async def start(self) -> None:
        """Serve."""
        generation, config = self.generation, self.generation.snapshot.config
        self.service = ProxyService(
            snapshot=generation.snapshot,
            pool=Pool(pool_limits(config.limits), response_limits(config.limits), self._client_contexts),
            observer=self.log,
            limits=server_limits(config.limits),
            # Random, so that two devtls in a row do not take each other's Via for a loop (RFC 9110 7.6.3).
            pseudonym=b"devtls-" + os.urandom(4).hex().encode(),
            https_port=self.bound.https_port,
            policies=generation.policies,
        )
        hints = FrameworkHints(self.service, self.log.warn, find_project, lambda: self.source.project_directories)
        self.log.framework_hints = hints.found
        self.contexts = ContextCache(
            make_issuer(generation.authority, self.keystore.state_dir),
            protocols=HTTP_2 if config.serve.http2 else HTTP_1,
            now=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            report=self.log.report,
            policy=self.service.policy,
        )
        # Routed names are never evicted by whatever other names clients ask for.
        self.contexts.pin(generation.snapshot.routes.exact_hosts())
        self._clients = ClientListeners(
            self.service, self.contexts, self._admission, self.log, config.limits.handshake_timeout_s
        )
        # Listeners before sites: requests are what a start is measured by.
        await self._clients.start(self.bound)
        self.pki = PkiSite(self.keystore, generation.authority, self.log, self._admission.auxiliary_site())
        self._sites += [self._static, self.pki]
        self._connect_acme()
        for site in self._sites:
            await site.start()

    def _connect_acme(self) -> None:
        """Join the ACME server to port 80's listener and to the end of the proxy, once it was ever switched on."""
        if self._acme is None:
            return
        if self._acme not in self._sites:
            # A proof at port 80 would be asked of ourselves, over and over.
            self._acme.http_is_ours = self.bound.http_port == HTTP_PORT
            self._sites.append(self._acme)
        self.service.challenges = self._acme.challenges if self.config.acme.enabled else None

    async def open_besides(self, bound: BoundListeners) -> None:
        """Accept at the ports that `bound` has besides those of now; addresses name its https port from now on."""
        before, self.bound = self.bound, bound
        await self._clients.replace(before, bound)
        if self._acme is not None:
            self._acme.http_is_ours = bound.http_port == HTTP_PORT

    # DNS and PAC are made when they are first asked for: `run` starts them after the first answer, and no start imports
    # them.

    @cached_property
    def dns(self) -> DnsSite:
        """The DNS server."""
        site = make_dns_site(self.generation, self.bound.https, self.log, self._admission.auxiliary())
        self._sites.append(site)
        return site

    @cached_property
    def pac(self) -> PacSite:
        """The port for browsers that use devtls as their proxy."""
        entrance = (self.service, self._clients.gate, self._clients.inside, self._admission.auxiliary(), self.bound.pac)
        site = make_pac_site(self.generation, self.bound.https, self.log, entrance)
        self._sites.append(site)
        return site

    # -- reload -------------------------------------------------------------------------------------------------------

    async def reload(self, source: Source | None = None) -> None:
        """Take over the configuration and the CA as they are now, `source` with them if it is another one.

        Raises DevtlsError: then nothing has changed.
        """
        async with self._reloading:
            source = source or self.source
            after = await self._make_generation(lambda: self._read_again(source))
            self.source = source
            await self._use(after)

    async def replace_joined(self, joined: Sequence[JoinedRoutes]) -> None:
        """Serve the routes of these processes beside our own; neither file nor CA is read again.

        The last one is refused when it has a name of another. Raises DevtlsError: then nothing has changed.
        """
        async with self._reloading:
            merged, authority = self.generation.merged, self.generation.authority
            after = await self._make_generation(lambda: self._build(merged, authority, joined))
            self.joined = tuple(joined)
            await self._use(after)

    async def _make_generation(self, make: Callable[[], Generation]) -> Generation:
        try:
            # In a thread: it reads files and has OpenSSL load roots, while requests go on.
            return await asyncio.to_thread(self._made, make)
        # Sockets of new static directories are open by now: those that the old generation lacks are closed.
        except BaseException:
            await self._static.replace(self.generation)
            raise

    def _made(self, make: Callable[[], Generation]) -> Generation:
        made = make()
        refuse_own_targets(made.config, self.bound, made.authority.pki_port)
        return made

    async def _use(self, after: Generation) -> None:
        # No await in it: every request sees all of the old generation or all of the new one.
        self._swap(self.generation, after)
        self._connect_acme()
        # After the swap, so that a retired directory's socket is closed only when no new request can reach it.
        for site in list(self._sites):
            await site.replace(after)

    def _read_again(self, source: Source) -> Generation:
        merged = source.read()
        authority = self.generation.authority
        # The same Signer goes on otherwise: a locked key would be asked for again.
        if not self.keystore.is_current(authority):
            authority = self.keystore.load_signer(datetime.now(UTC))
        return self._build(merged, authority, self.joined, own_are_new=True)

    def _swap(self, before: Generation, after: Generation) -> None:
        self.generation = after
        self.service.snapshot, self.service.policies = after.snapshot, after.policies
        self.service.limits = server_limits(after.snapshot.config.limits)
        limits = after.snapshot.config.limits
        self.service.pool.limit(pool_limits(limits), response_limits(limits))
        self._clients.limit_handshakes(after.snapshot.config.limits.handshake_timeout_s)
        if after.authority is not before.authority:
            # Every cached leaf goes with it: it was signed by a CA that may be retired next.
            self.contexts.replace_issuer(make_issuer(after.authority, self.keystore.state_dir))
        self.contexts.pin(after.snapshot.routes.exact_hosts())
        if before.policies or after.policies:
            end_outdated(self.service.connections)

    async def refresh_policies(self) -> None:
        """Look again at the certificates and revocation lists that clients are judged by. Raises DevtlsError."""
        if not self.generation.policies:
            return
        async with self._reloading:
            before = self.generation
            policies = await asyncio.to_thread(self._read_policies, before.snapshot.routes, before.authority)
            if policies != before.policies:
                # Another table, though an equal one: what connections have remembered of it is looked at again.
                routes = msgspec.structs.replace(before.snapshot.routes)
                snapshot = msgspec.structs.replace(before.snapshot, routes=routes)
                self._swap(before, msgspec.structs.replace(before, snapshot=snapshot, policies=policies))

    @cached_property
    def revocations(self) -> Revocations:
        """What is revoked; no start needs it."""
        return make_revocations(self.keystore, lambda: self.generation.authority, self.log)

    async def drop_revoked_leaves(self) -> list[str]:
        """Drop leaves that were revoked, as the register is now; returns their names."""
        dropped = self.contexts.drop_serials(await self.revocations.look())
        for name in dropped:
            self.log.say(f"The certificate for {name} was revoked: it gets another one.", event="revoked", name=name)
        return dropped

    def authority_replaced(self) -> bool:
        """Say whether there is another CA on disk than the one in use; blocks for a moment. Raises StateError."""
        return not self.keystore.is_current(self.generation.authority)

    # -- stop ---------------------------------------------------------------------------------------------------------

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, finish what runs within `grace_s`, cut the rest."""
        service = self.service
        # Before the listeners stop: connections that were accepted a moment ago close after one response.
        service.draining = True
        self._clients.stop()
        public = [site for site in self._sites if not isinstance(site, StaticSites) and site is not self._acme]
        closing = await close_early(public)
        self.listeners_closed()
        await drain(service.connections, grace_s)
        # What drain left: it returns at the end of the grace whatever still runs.
        self.cut()
        # After the clients, whose exchanges hold connections of the pool.
        service.pool.close()
        # Exchanges that drained needed these sites, so they end after the clients.
        await asyncio.gather(*closing)
        for site in reversed(self._sites):
            if site not in public:
                await site.close()
        # The very last: its name in the file system says to `devtls stop` that the proxy is gone.
        await self.control.close()

    def cut(self) -> None:
        """Close every connection now."""
        for connection in list(self.service.connections):
            connection.abort()

    def busy_connections(self) -> int:
        """Return how many clients are connected."""
        return len(self.service.connections)

    # -- what others ask ----------------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self.generation.snapshot.config
