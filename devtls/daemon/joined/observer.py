"""Where the log lines of a shared proxy go: to the terminal of the process whose route they are about.

Owns the choice alone, and only while another process has joined: until then the proxy's own log is the observer, so
that no request pays for it. What belongs to no route is the proxy's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from devtls.daemon.assembly import Daemon
from devtls.daemon.console.log import Log
from devtls.net.client.access import AccessRecord
from devtls.net.tls.handshake import HandshakeFailure
from devtls.routing import Route, host_of

if TYPE_CHECKING:
    from devtls.http.frameworks.advice import FrameworkFinding


class SharedObserver:
    """`net.access.Observer` that passes on; `logs` are those of joined processes, by name and path of their routes."""

    def __init__(self, daemon: Daemon, logs: Mapping[tuple[str, str], Log]) -> None:
        self._daemon = daemon
        self._logs = logs

    @property
    def wants_requests(self) -> bool:
        """Whether any of the logs records requests."""
        return self._daemon.log.wants_requests or any(log.wants_requests for log in self._logs.values())

    def request(self, record: AccessRecord) -> None:
        """Write one line about a request."""
        target = record.target.encode("latin-1", "replace")
        log = self._log_of(host_of(record.host.encode("latin-1", "replace")), target)
        # Asked once for all of them, when the connection began.
        if log.wants_requests:
            log.request(record)

    def framework(self, host: str, route: Route, found: FrameworkFinding) -> None:
        """Pass on what a response showed of its framework."""
        self._logs.get(route.config.identity, self._daemon.log).framework(host, route, found)

    def cookie_domain(self, route: str, host: str, cookie: str, domain: str) -> None:
        """Pass on that a cookie's Domain was removed."""
        self._log_of(host).cookie_domain(route, host, cookie, domain)

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        """Say that a client does not trust us, or we not it."""
        self._log_of(failure.sni or "").handshake_failed(failure)

    def fault(self, connection_id: int, error: Exception) -> None:
        """Write about a bug of ours."""
        self._daemon.log.fault(connection_id, error)

    def _log_of(self, host: str, target: bytes = b"/") -> Log:
        route = self._daemon.generation.snapshot.routes.match(host, target)
        own = self._daemon.log
        return own if route is None else self._logs.get(route.config.identity, own)
