"""The CA and the proxy that the network tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devtls.pki.authority import Authority
from tests.net.harness import Proxy, make_authority, proxy


@pytest.fixture(scope="session")
def authority() -> Authority:
    """One CA for all: making it costs a few milliseconds, trusting it none."""
    return make_authority()


@pytest.fixture
async def running(authority: Authority) -> AsyncIterator[Proxy]:
    """A proxy without routes."""
    async with proxy(authority) as started:
        yield started
