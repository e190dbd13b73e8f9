"""A few handshakes per turn of the loop, the others a turn later.

Owns fairness at the door: a browser that opens hundreds of connections at once would otherwise have all their keys
exchanged in one turn (0.4 ms each), and every request in flight would wait for all of them. Refuses nobody, keeps
the order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

_PER_TURN = 16


class HandshakeLimiter:
    """Runs at most `per_turn` of what is brought to it in one turn of the loop."""

    def __init__(self, per_turn: int = _PER_TURN) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._waiting: deque[Callable[[], None]] = deque()
        self._turning = False

    def admit(self, begin: Callable[[], None]) -> None:
        """Run `begin` now, or in one of the next turns."""
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)
        if self._left and not self._waiting:
            self._left -= 1
            begin()
        else:
            self._waiting.append(begin)

    def _turn(self) -> None:
        count = min(self._per_turn, len(self._waiting))
        self._left = self._per_turn - count
        self._turning = count > 0
        if count:
            asyncio.get_running_loop().call_soon(self._turn)
        for _ in range(count):
            self._waiting.popleft()()
