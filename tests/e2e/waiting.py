"""Waiting for what another program does: until it is so, not for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_POLL_S = 0.02


async def until(condition: Callable[[], object], what: Callable[[], str], *, timeout_s: float = 15.0) -> None:
    """Return once the condition is true; fail with `what()` when it takes too long."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what()
        await asyncio.sleep(_POLL_S)


async def until_still(number: Callable[[], int], *, for_s: float = 0.15, timeout_s: float = 15.0) -> int:
    """Return a number once it has not changed for a while."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_s
    last, since = number(), clock()
    while clock() - since < for_s:
        assert clock() < deadline, f"still changing: {last}"
        await asyncio.sleep(_POLL_S)
        if (now := number()) != last:
            last, since = now, clock()
    return last
