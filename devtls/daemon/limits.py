"""The numbers of `[limits]` as the types of each layer, and the shares of the open files that this process may have.

Owns the mapping, and the arithmetic of descriptors: `config` knows the names and the ranges, the layers know what a
number means. What auxiliary listeners may hold is a small share, so that https is served whatever happens there.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from devtls.config import LimitsConfig
from devtls.config.model import LIMIT_RANGES
from devtls.http.h1.head import HeadLimits
from devtls.http.terms import ExchangeLimits
from devtls.net.admission import ConnectionTable
from devtls.net.bind import Bound
from devtls.net.client.service import ClientLimits
from devtls.net.listener import Listener
from devtls.net.upstream.pool import PoolLimits
from devtls.web.lazy_site import SiteTerms, SiteTimeouts

_OWN_FILES = 64
"""Listening sockets, the log, watches, key and state files while they are read, and connections about to be closed."""
_MOST_AUXILIARY = 256
_MOST_PRIVATE = 512
_AUXILIARY_LISTENERS = 4
"""So many may be at their limit before all of them together are."""
_FEWEST = 4
# The proxy is their only client, and keeps an idle connection for 600 s at most (`upstream_idle_s`).
_PRIVATE_TIMEOUTS = SiteTimeouts(idle_s=610.0, head_s=10.0, body_s=60.0, stall_s=None, only_rested_yield=True)


def head_limits(limits: LimitsConfig) -> HeadLimits:
    """Return what the head of a request may cost."""
    return HeadLimits(limits.max_head_bytes, limits.max_fields, limits.max_target_bytes, limits.max_informational)


def response_limits(limits: LimitsConfig) -> HeadLimits:
    """Return what the head of an app's response may cost."""
    return msgspec.structs.replace(
        head_limits(limits), max_head_bytes=limits.max_response_head_bytes, max_fields=limits.max_response_fields
    )


def server_limits(limits: LimitsConfig) -> ClientLimits:
    """Return the limits of a client's connection."""
    return ClientLimits(
        head=head_limits(limits),
        exchange=ExchangeLimits(
            response_head_timeout_s=limits.response_head_timeout_s,
            body_idle_timeout_s=limits.body_idle_timeout_s,
            continue_wait_s=limits.continue_wait_s,
            retry_down_s=limits.retry_down_s,
        ),
        head_timeout_s=limits.head_timeout_s,
        keep_alive_s=limits.keep_alive_s,
        linger_s=limits.linger_s,
        tunnel_idle_timeout_s=limits.tunnel_idle_timeout_s,
        half_close_grace_s=limits.half_close_grace_s,
        max_drain_bytes=limits.max_drain_bytes,
        max_buffer_bytes=limits.max_buffer_bytes,
        max_connections=limits.max_connections,
        max_streams=limits.max_streams,
    )


def pool_limits(limits: LimitsConfig) -> PoolLimits:
    """Return the limits of the connections to apps."""
    return PoolLimits(
        connect_timeout_s=limits.connect_timeout_s,
        idle_s=limits.upstream_idle_s,
        max_buffer_bytes=limits.max_buffer_bytes,
    )


class DescriptorShares(msgspec.Struct, frozen=True):
    """How many connections there may be: of clients, at auxiliary listeners, and at private sockets."""

    clients: int
    auxiliary: int
    private: int


def descriptor_shares(open_files: int | None) -> DescriptorShares:
    """Return the shares of a process that may have so many files open; None is no limit."""
    if open_files is None:
        return DescriptorShares(1_000_000, _MOST_AUXILIARY, _MOST_PRIVATE)
    left = max(open_files - _OWN_FILES, 16 * _FEWEST)
    auxiliary = max(min(left // 8, _MOST_AUXILIARY), _FEWEST)
    private = max(min(left // 8, _MOST_PRIVATE), _FEWEST)
    # A request takes two: its client's connection and one to the app. A static file takes one more, beside its
    # connection at the private socket.
    return DescriptorShares((left - auxiliary - 2 * private) // 2, auxiliary, private)


class Admission:
    """The limits of all listeners but the proxy's own, and how each of their sites is served."""

    def __init__(self, report: Callable[[str], None], fault: Callable[[int, Exception], None]) -> None:
        self.shares = descriptor_shares(None)
        self._report = report
        self._fault = fault
        self._auxiliary = ConnectionTable(lambda: self.shares.auxiliary)
        self._private = ConnectionTable(lambda: self.shares.private)

    def auxiliary(self) -> ConnectionTable:
        """Return the places of one more auxiliary listener."""
        return ConnectionTable(lambda: max(self.shares.auxiliary // _AUXILIARY_LISTENERS, _FEWEST), self._auxiliary)

    def auxiliary_site(self) -> SiteTerms:
        """Return the terms of a site that anybody on this machine may connect to."""
        return self._terms(self.auxiliary(), SiteTimeouts())

    def control_site(self) -> SiteTerms:
        """Return the terms of the control API, whose clients are this user's: a log may wait for its terminal."""
        return self._terms(self.auxiliary(), SiteTimeouts(stall_s=None))

    def private_site(self) -> SiteTerms:
        """Return the terms of a site behind a route of ours."""
        terms = self._terms(ConnectionTable(lambda: self.shares.private, self._private), _PRIVATE_TIMEOUTS)
        # The proxy's own limit has been kept by then, whatever it is set to.
        return msgspec.structs.replace(terms, max_head_bytes=int(LIMIT_RANGES["max_head_bytes"][1]))

    def _terms(self, places: ConnectionTable, timeouts: SiteTimeouts) -> SiteTerms:
        return SiteTerms(
            lambda sock, make: Listener(Bound(0, [sock]), make, places, report=self._report),
            places,
            lambda error: self._fault(0, error),
            timeouts,
        )
