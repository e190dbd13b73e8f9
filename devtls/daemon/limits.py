"""The numbers of `[limits]` as the types of each layer.

Owns nothing but the mapping: `config` knows the names and the ranges, the layers know what a number means.
"""

from __future__ import annotations

import msgspec

from devtls.config import LimitsConfig
from devtls.http.h1.head import HeadLimits
from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.net.upstream.pool import PoolLimits


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
