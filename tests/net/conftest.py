"""The CA and the proxy that the network tests share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from devtls.pki.authority import Authority
from tests.net.h2_stand_ins import Shared
from tests.net.harness import Proxy, make_authority, proxy


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on both loops: uvloop's transports differ from asyncio's in more than speed."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if sys.platform != "win32" and sys.implementation.name == "cpython":
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    return loops


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
async def shared() -> AsyncIterator[Shared]:
    """A connection to an app on `h2`, greeted."""
    made = Shared()
    made.begin()
    yield made
    made.connection.close()
