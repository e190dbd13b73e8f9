"""Limits on open connections: how many a listener may have, and which one gives way to a new client.

Owns the connections that count against a limit, and the choice at the limit: an idle one is closed, the longest idle
first; one that works for its client is never closed. A table may lie within another, whose limit holds for the sum of
its members. Strategy: nothing is recorded while requests run; who is idle is asked when a place is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

# A look at all connections serves so many evictions, of a large table a sixteenth of it.
_PER_SCAN = 16


class AdmittedConnection(Protocol):
    """A connection that holds a place."""

    @property
    def idle_since(self) -> float | None:
        """When it began to wait for its client, on the loop's clock; None while it works for it, or closes."""

    def yield_place(self) -> None:
        """Close now: a new client needs the place."""


class ConnectionTable:
    """The open connections of one listener or several; `most` gives the limit of the moment."""

    def __init__(self, most: Callable[[], int], within: ConnectionTable | None = None) -> None:
        self.accepting = 0
        """Accepted by the kernel's word, but without a protocol yet: they hold a descriptor, too."""
        self._most = most
        self._within = within
        self._members: list[ConnectionTable] = []
        self._open: dict[AdmittedConnection, None] = {}
        """In the order in which they came: the clock may not tell two of one turn apart."""
        self._leaving: set[AdmittedConnection] = set()
        """Told to give way, and not closed yet."""
        self._longest_idle: deque[tuple[float, AdmittedConnection, ConnectionTable]] = deque()
        if within is not None:
            within._members.append(self)

    def __len__(self) -> int:
        held = len(self._open) + self.accepting
        return held + sum(len(member) for member in self._members)

    def __contains__(self, connection: AdmittedConnection) -> bool:
        return connection in self._open

    @property
    def leaving(self) -> int:
        """How many were told to give way and still hold a descriptor."""
        return len(self._leaving)

    @property
    def room(self) -> int:
        """How many more there may be."""
        own = self._most() - len(self)
        return own if self._within is None else min(own, self._within.room)

    def add(self, connection: AdmittedConnection) -> None:
        """Count a connection."""
        self._open[connection] = None

    def discard(self, connection: AdmittedConnection) -> None:
        """Count it no more: it is lost, or counts elsewhere."""
        self._open.pop(connection, None)
        self._leaving.discard(connection)

    def make_room(self, count: int = 1) -> int:
        """Have up to `count` idle connections give way, and return how many do; they count no more."""
        if self._within is not None and self._most() > len(self):
            return self._within.make_room(count)
        return self._evict(count)

    def _evict(self, count: int) -> int:
        evicted = 0
        while evicted < count:
            if not self._longest_idle:
                self._longest_idle.extend(self._scan())
                if not self._longest_idle:
                    break
            since, connection, table = self._longest_idle.popleft()
            # It may have had a request since the scan.
            if connection in table._open and connection.idle_since == since:
                del table._open[connection]
                table._leaving.add(connection)
                connection.yield_place()
                evicted += 1
        return evicted

    def _scan(self) -> list[tuple[float, AdmittedConnection, ConnectionTable]]:
        asked = ((connection.idle_since, connection, table) for connection, table in self._all())
        found = [(since, connection, table) for since, connection, table in asked if since is not None]
        found.sort(key=lambda each: each[0])
        return found[: max(_PER_SCAN, len(found) // _PER_SCAN)]

    def _all(self) -> Iterator[tuple[AdmittedConnection, ConnectionTable]]:
        for connection in self._open:
            yield connection, self
        for member in self._members:
            yield from member._all()
