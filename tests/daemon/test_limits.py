"""Every limit of the file reaches its layer."""

from __future__ import annotations

import pytest

from devtls.config import LimitsConfig
from devtls.daemon.limits import (
    Admission,
    descriptor_shares,
    head_limits,
    pool_limits,
    response_limits,
    server_limits,
)
from devtls.http.h1.response_head import RESPONSE_LIMITS


def test_the_defaults_of_config_are_those_of_the_layers() -> None:
    limits = LimitsConfig()
    assert server_limits(limits) == type(server_limits(limits))()
    assert pool_limits(limits) == type(pool_limits(limits))()
    assert head_limits(limits) == type(head_limits(limits))()
    assert response_limits(limits) == RESPONSE_LIMITS


def test_numbers_arrive() -> None:
    limits = LimitsConfig(max_fields=50, continue_wait_s=0.5, linger_s=1.0, upstream_idle_s=9.0, max_connections=7)
    assert head_limits(limits).max_fields == server_limits(limits).head.max_fields == 50
    assert server_limits(limits).exchange.continue_wait_s == 0.5
    assert (server_limits(limits).linger_s, server_limits(limits).max_connections) == (1.0, 7)
    assert pool_limits(limits).idle_s == 9.0


def test_responses_have_limits_of_their_own() -> None:
    limits = LimitsConfig(max_fields=50, max_response_fields=60, max_response_head_bytes=70_000, max_informational=9)
    given = response_limits(limits)
    assert (given.max_fields, given.max_head_bytes, given.max_informational) == (60, 70_000, 9)
    assert head_limits(limits).max_fields == 50
    assert server_limits(LimitsConfig(retry_down_s=0.5)).exchange.retry_down_s == 0.5


def test_sizes_and_graces_arrive() -> None:
    limits = LimitsConfig(half_close_grace_s=1.5, max_buffer_bytes=20_000, max_drain_bytes=3, max_informational=9)
    served = server_limits(limits)
    assert (served.half_close_grace_s, served.max_buffer_bytes, served.max_drain_bytes) == (1.5, 20_000, 3)
    assert pool_limits(limits).max_buffer_bytes == 20_000
    assert head_limits(limits).max_informational == 9


@pytest.mark.parametrize(
    ("open_files", "clients", "auxiliary", "private"),
    [
        (None, 1_000_000, 256, 512),
        (1_048_576, 523_616, 256, 512),
        (16_384, 7_520, 256, 512),
        (4_096, 1_384, 256, 504),
        (1_024, 300, 120, 120),
        (256, 60, 24, 24),
        (128, 20, 8, 8),
        (16, 20, 8, 8),
    ],
)
def test_auxiliary_listeners_have_a_small_share_of_the_open_files(
    open_files: int | None, clients: int, auxiliary: int, private: int
) -> None:
    shares = descriptor_shares(open_files)
    assert (shares.clients, shares.auxiliary, shares.private) == (clients, auxiliary, private)
    if open_files is not None and open_files >= 128:
        # A client's connection and its app's; a private socket's connection and its file.
        assert 2 * shares.clients + shares.auxiliary + 2 * shares.private <= open_files - 60


def test_every_auxiliary_listener_has_places_and_all_together_have_a_limit() -> None:
    admission = Admission(print, print)
    admission.shares = descriptor_shares(256)
    tables = [admission.auxiliary() for _ in range(5)]
    assert {table.room for table in tables} == {6}
    tables[0].accepting = 6
    assert (tables[0].room, tables[1].room) == (0, 6)
    for table in tables[1:4]:
        table.accepting = 6
    assert tables[4].room == 0
