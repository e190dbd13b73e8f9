"""Every limit of the file reaches its layer."""

from __future__ import annotations

from devtls.config import LimitsConfig
from devtls.daemon.limits import head_limits, pool_limits, server_limits


def test_the_defaults_of_config_are_those_of_the_layers() -> None:
    limits = LimitsConfig()
    assert server_limits(limits) == type(server_limits(limits))()
    assert pool_limits(limits) == type(pool_limits(limits))()
    assert head_limits(limits) == type(head_limits(limits))()


def test_numbers_arrive() -> None:
    limits = LimitsConfig(max_fields=50, continue_wait_s=0.5, linger_s=1.0, upstream_idle_s=9.0, max_connections=7)
    assert head_limits(limits).max_fields == server_limits(limits).head.max_fields == 50
    assert server_limits(limits).exchange.continue_wait_s == 0.5
    assert (server_limits(limits).linger_s, server_limits(limits).max_connections) == (1.0, 7)
    assert pool_limits(limits).idle_s == 9.0


def test_sizes_and_graces_arrive() -> None:
    limits = LimitsConfig(half_close_grace_s=1.5, max_buffer_bytes=20_000, max_drain_bytes=3, max_informational=9)
    served = server_limits(limits)
    assert (served.half_close_grace_s, served.max_buffer_bytes, served.max_drain_bytes) == (1.5, 20_000, 3)
    assert pool_limits(limits).max_buffer_bytes == 20_000
    assert head_limits(limits).max_informational == 9
