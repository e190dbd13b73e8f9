"""The turnstile: at most so many per turn, in order, and none forgotten."""

from __future__ import annotations

import asyncio
from functools import partial

from devtls.net.tls.handshake import HandshakeLimiter


async def test_what_comes_alone_passes_at_once() -> None:
    handshake_limiter, passed = HandshakeLimiter(2), list[int]()
    for number in range(5):
        handshake_limiter.admit(partial(passed.append, number))
        assert passed[-1] == number
        await asyncio.sleep(0)


async def test_a_crowd_passes_a_few_per_turn_in_order() -> None:
    handshake_limiter, passed = HandshakeLimiter(3), list[int]()
    for number in range(8):
        handshake_limiter.admit(partial(passed.append, number))
    seen = [len(passed)]
    while len(passed) < 8:
        await asyncio.sleep(0)
        seen.append(len(passed))
    assert seen == [3, 6, 8]
    assert passed == list(range(8))


async def test_nobody_overtakes_those_who_wait() -> None:
    handshake_limiter, passed = HandshakeLimiter(1), list[str]()
    for name in ("a", "b"):
        handshake_limiter.admit(partial(passed.append, name))
    await asyncio.sleep(0)
    handshake_limiter.admit(partial(passed.append, "c"))
    for _ in range(4):
        await asyncio.sleep(0)
    assert passed == ["a", "b", "c"]
