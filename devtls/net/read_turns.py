"""Fair reading: how much of one connection is worked off in a turn of the loop, and who goes on in the next.

Owns the queue of the connections that have had their share. Refuses nothing: what is left waits in the kernel or in
the codec, the connection's reading pauses, and TCP holds the peer back. A turn serves a few of those that wait, in the
order in which they came, so that a peer that sends without end costs the others a share of their time and no more.

libuv, below uvloop, reads one socket up to 32 times in a turn, 256,000 bytes each: 8 MB, seconds of work when they are
small frames.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

SHARE_BYTES: Final = 262_144
"""What is read of one connection in a turn, at most."""
SHARE_S: Final = 0.002
"""How long one connection is worked on in a turn, about: a chunk of one byte costs as much as one of a thousand."""
FULL_READ_BYTES: Final = 250_000
"""A read of this size has filled the loop's buffer, so that the loop would read again in the same turn."""
_PER_TURN: Final = 4


class ReadTurns:
    """The connections of one loop that have read their share."""

    __slots__ = ("__weakref__", "_due", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._due = False

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` in one of the next turns; it must not raise."""
        self._waiting.append(go_on)
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._due:
            self._due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._due = False
        ready = [self._waiting.popleft() for _ in range(min(_PER_TURN, len(self._waiting)))]
        # Before they run: one that fails must not stop those behind it.
        self._schedule()
        for go_on in ready:
            go_on()

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Say whether this is the loop's: a number that names one loop may name another later."""
        return self._loop is loop


class PacedReading:
    """The reading of one transport: it rests while its reader cannot keep up, and when its turn is over.

    `rest` works off what a turn has left over, if anything can be left over; it must not raise.
    """

    __slots__ = ("_left", "_over", "_rest", "_transport", "_turns", "held", "stopped")

    def __init__(self, transport: asyncio.Transport, turns: ReadTurns, rest: Callable[[], None] | None = None) -> None:
        self._transport = transport
        self._turns = turns
        self._rest = rest
        self._over = False
        self._left = False
        self.held = False
        """The reader has asked for a pause."""
        self.stopped = False
        """It has, or the turn is over."""

    def hold(self) -> None:
        """Pause until `go_on`."""
        self.held = True
        self._stop()

    def go_on(self) -> None:
        """Read again, now or in the next turn."""
        self.held = False
        self._start()

    def end_turn(self) -> None:
        """Read no more in this turn."""
        if not self._over:
            self._over = True
            self._stop()
            self._turns.wait(self._next)

    def leave(self) -> None:
        """Another reader has taken the transport over."""
        self._left = True

    def _stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def _start(self) -> None:
        if self.stopped and not self.held and not self._over:
            self.stopped = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _next(self) -> None:
        if self._left:
            return
        self._over = False
        self._start()
        if self._rest is not None:
            self._rest()


_turns: WeakValueDictionary[int, ReadTurns] = WeakValueDictionary()
"""By the loop's id; a connection keeps its loop's, nothing else does, so that no loop is kept alive."""


def read_turns_of(loop: asyncio.AbstractEventLoop) -> ReadTurns:
    """Return the one queue of a loop."""
    turns = _turns.get(id(loop))
    if turns is None or not turns.serves(loop):
        turns = _turns[id(loop)] = ReadTurns(loop)
    return turns
