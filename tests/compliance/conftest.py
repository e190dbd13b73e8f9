"""The data plane of tests/net, on both event loops: uvloop is what people run, asyncio what they get without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.net.upstream.pool import PoolLimits
from devtls.pki.authority import Authority
from tests.net.harness import Proxy, make_authority, proxy


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on both loops."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def authority() -> Authority:
    """One CA for all: making it costs a few milliseconds, trusting it none."""
    return make_authority()


@pytest.fixture
async def running(authority: Authority) -> AsyncIterator[Proxy]:
    """A proxy without routes."""
    async with proxy(authority) as started:
        yield started


@pytest.fixture
async def hasty(authority: Authority) -> AsyncIterator[Proxy]:
    """A proxy that waits for nothing longer than 0.15 s."""
    exchange = ExchangeLimits(response_head_timeout_s=0.15, body_idle_timeout_s=0.15, continue_wait_s=0.1)
    limits = ClientLimits(exchange=exchange, head_timeout_s=0.15, keep_alive_s=0.15, linger_s=0.15)
    async with proxy(authority, limits=limits, pool_limits=PoolLimits(connect_timeout_s=0.3)) as started:
        yield started
