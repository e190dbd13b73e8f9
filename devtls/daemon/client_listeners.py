"""The listeners of https and of its redirect, and what all of their connections share.

Owns their start and end, the limit of clients, and one more https port while the proxy runs: the usual one, when this
user may have it at last. The port from before goes on answering, and its clients go on to be on that one.
"""

from __future__ import annotations

from devtls.daemon.console.log import Log
from devtls.daemon.limits import Admission, descriptor_shares
from devtls.daemon.listeners import BoundListeners
from devtls.net.bind import Bound
from devtls.net.client.listener import ConnectionLimiter, TlsGate, https_protocol, redirect_protocol
from devtls.net.client.service import ProxyService
from devtls.net.listener import Listener
from devtls.net.tls.contexts import ContextCache
from devtls.system.machine.descriptors import descriptor_limit


class ClientListeners:
    """What clients connect to."""

    def __init__(
        self, service: ProxyService, contexts: ContextCache, admission: Admission, log: Log, handshake_timeout_s: float
    ) -> None:
        self._service = service
        self._contexts = contexts
        self._admission = admission
        self._log = log
        self._gates = [TlsGate(service, contexts, handshake_timeout_s)]
        admission.shares = descriptor_shares(descriptor_limit())
        most = admission.shares.clients
        self.inside = ConnectionLimiter(service, lambda: min(service.limits.max_connections, most))
        self._listeners: list[Listener] = []

    @property
    def gate(self) -> TlsGate:
        """What answers the handshakes of the port that addresses name."""
        return self._gates[-1]

    async def start(self, bound: BoundListeners) -> None:
        """Accept."""
        if (wanted := self._service.limits.max_connections) > (most := self._admission.shares.clients):
            self._log.say(
                f"This process may open {descriptor_limit()} files: {most} clients at once, not {wanted} "
                "(max_connections); ulimit -n raises it.",
                event="few_descriptors",
            )
        await self._accept_https(bound.https)
        if bound.http is not None:
            await self._accept_http(bound.http)

    async def replace(self, before: BoundListeners, after: BoundListeners) -> None:
        """Accept at the ports that `after` has besides, and have addresses name its https port."""
        if after.https.port != before.https.port:
            self.gate.stay_at(before.https_port)
            self._gates.append(TlsGate(self._service, self._contexts, self.gate.handshake_timeout_s))
            await self._accept_https(after.https)
        self._service.https_port = after.https_port
        if after.http is not None and before.http is None:
            await self._accept_http(after.http)

    def limit_handshakes(self, timeout_s: float) -> None:
        """Set the time that a handshake may take."""
        for gate in self._gates:
            gate.handshake_timeout_s = timeout_s

    def stop(self) -> None:
        """Accept no more; connections that are open go on."""
        for listener in self._listeners:
            listener.stop()

    async def _accept_https(self, bound: Bound) -> None:
        protocol, places = https_protocol(self._service, self.gate, self.inside), self.inside.connections
        await self._add(Listener(bound, protocol, places, turns_away=True, report=self._log.report))

    async def _accept_http(self, bound: Bound) -> None:
        places = self._admission.auxiliary()
        await self._add(Listener(bound, redirect_protocol(self._service, places), places, report=self._log.report))

    async def _add(self, listener: Listener) -> None:
        self._listeners.append(listener)
        await listener.start()
