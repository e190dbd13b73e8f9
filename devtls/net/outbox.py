"""Writes of all connections at the end of a turn of the loop, one after the other.

Owns the order: first what came is read, from every socket that was ready, then what it led to is written. To write at
once costs more than it seems: the program at the other end of a loopback socket is woken, answers one message and
sleeps again, and is woken for the next. Written in a row, the first wakes it and it finds the others: a third of what
a request costs. Refuses nothing; nothing waits longer than the turn.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakValueDictionary


class Sender(Protocol):
    """A connection that has something to send."""

    def send_out(self) -> None:
        """Write what is there; called once for any number of `add`."""


class Outbox:
    """The senders of one loop's turn."""

    __slots__ = ("__weakref__", "_loop", "_senders")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._senders: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Have `sender` write at the end of the turn; added twice, it is called twice."""
        if not self._senders:
            self._loop.call_soon(self._send_out)
        self._senders.append(sender)

    def _send_out(self) -> None:
        senders = self._senders
        for sender in senders:  # grows while it runs: what plaintext leads to is ciphertext of another sender
            try:
                sender.send_out()
            except Exception as error:  # noqa: BLE001 - one sender's bug is not the others'
                self._loop.call_exception_handler(
                    {"message": "a connection could not be written to", "exception": error}
                )
        senders.clear()

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Say whether this is the loop's: a number that names one loop may name another later."""
        return self._loop is loop


_outboxes: WeakValueDictionary[int, Outbox] = WeakValueDictionary()
"""By the loop's id; a connection keeps its outbox, nothing else does, so that no loop is kept alive."""


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """Return the one outbox of a loop."""
    outbox = _outboxes.get(id(loop))
    if outbox is None or not outbox.serves(loop):
        outbox = _outboxes[id(loop)] = Outbox(loop)
    return outbox
