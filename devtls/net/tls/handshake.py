"""TLS handshakes: the alerts we send, how one failed, and how many run in one turn of the loop.

Owns fairness between handshakes and the requests in flight. Refuses nobody and keeps the order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import IntEnum

import msgspec

_PER_TURN = 16
"""A browser that opens hundreds of connections at once would have all their keys exchanged in one turn, 0.4 ms each."""


class Alert(IntEnum):
    """TLS alert descriptions that we send or name (RFC 8446 6)."""

    BAD_CERTIFICATE = 42
    CERTIFICATE_UNKNOWN = 46
    UNKNOWN_CA = 48
    DECODE_ERROR = 50
    PROTOCOL_VERSION = 70
    INTERNAL_ERROR = 80
    UNRECOGNIZED_NAME = 112
    NO_APPLICATION_PROTOCOL = 120


HUNG_UP = "the connection ended during the handshake"
"""The reason when the client gave none."""


class HandshakeFailure(msgspec.Struct, frozen=True):
    """Why a handshake did not come about: `sni` as sent, `reason` as OpenSSL names it (lower case) or our own word."""

    sni: str | None
    reason: str
    client_ip: str = ""
    asked: bool = False
    """The client was asked for a certificate."""

    @property
    def refused_certificate(self) -> bool:
        """The client said that it does not accept our certificate."""
        # Clients differ in which of the three they send for a root that they do not trust.
        return any(word in self.reason for word in ("unknown ca", "bad certificate", "certificate unknown"))


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
        # Nobody passes those who wait.
        if self._left and not self._waiting:
            self._left -= 1
            begin()
        else:
            self._waiting.append(begin)

    def _turn(self) -> None:
        count = min(self._per_turn, len(self._waiting))
        self._left = self._per_turn - count
        self._turning = count > 0
        # Scheduled before the handshakes run: one that raises must not stop those behind it.
        if count:
            asyncio.get_running_loop().call_soon(self._turn)
        for _ in range(count):
            self._waiting.popleft()()
