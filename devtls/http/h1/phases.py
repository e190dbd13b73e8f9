"""The phases of an HTTP/1 client connection, as a table: (phase, event) -> phase.

Owns which step may follow which. Refuses every other step (LocalProtocolError): it would be a fault of ours, and to go
on would desynchronise the client. `net.client.h1` performs what a phase allows; what the codec reads and writes inside
of a phase is the codec's (`client`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Final

from devtls.errors import LocalProtocolError


class ConnectionPhase(IntEnum):
    """Where a connection stands; from LINGERING on, nothing that the client sends is parsed any more."""

    IDLE = auto()
    """Between two requests: the keep-alive clock runs."""
    HEAD = auto()
    """Some bytes of a head are here: the head clock runs."""
    WAITING = auto()
    """A request was taken up, its final response has not begun."""
    RESPONDING = auto()
    RESPONDED = auto()
    """The response is complete; the next request has not been taken up."""
    STALLED = auto()
    """As RESPONDED, but the client does not read: it gets no further response until it does."""
    TRUNCATED = auto()
    """The response broke off: the connection has to end so that the client sees it (RFC 9112 8)."""
    TUNNEL = auto()
    LINGERING = auto()
    """Our side is closed; what the client still sends is read and dropped (RFC 9112 9.6)."""
    CLOSING = auto()
    """The transport is closing; it delivers what it holds as long as the client reads any of it."""
    CLOSED = auto()


class ConnectionEvent(IntEnum):
    """A step of a connection."""

    HEAD_STARTED = auto()
    REQUEST = auto()
    """A request is complete up to its body."""
    MALFORMED = auto()
    """There is no request, only bytes that get an error response."""
    RESPONSE_STARTED = auto()
    RESPONSE_ENDED = auto()
    RESPONSE_TRUNCATED = auto()
    SWITCHED = auto()
    """HTTP is over (101)."""
    CLIENT_STALLED = auto()
    CLIENT_RESUMED = auto()
    NEXT_REQUEST = auto()
    """The next request may be parsed."""
    LINGER = auto()
    CLOSE = auto()
    LOST = auto()


IDLE: Final = ConnectionPhase.IDLE
HEAD: Final = ConnectionPhase.HEAD
WAITING: Final = ConnectionPhase.WAITING
RESPONDING: Final = ConnectionPhase.RESPONDING
RESPONDED: Final = ConnectionPhase.RESPONDED
STALLED: Final = ConnectionPhase.STALLED
TRUNCATED: Final = ConnectionPhase.TRUNCATED
TUNNEL: Final = ConnectionPhase.TUNNEL
LINGERING: Final = ConnectionPhase.LINGERING
CLOSING: Final = ConnectionPhase.CLOSING
CLOSED: Final = ConnectionPhase.CLOSED

BUSY: Final = frozenset((WAITING, RESPONDING, TRUNCATED, TUNNEL))
"""An exchange runs: a drain lets it end, requests that are sent ahead wait."""

STEPS: Final[Mapping[ConnectionPhase, Mapping[ConnectionEvent, ConnectionPhase]]] = {
    IDLE: {
        ConnectionEvent.HEAD_STARTED: HEAD,
        ConnectionEvent.REQUEST: WAITING,
        ConnectionEvent.MALFORMED: WAITING,
        ConnectionEvent.CLOSE: CLOSING,
    },
    HEAD: {
        ConnectionEvent.REQUEST: WAITING,
        ConnectionEvent.MALFORMED: WAITING,
        ConnectionEvent.CLOSE: CLOSING,
    },
    WAITING: {
        ConnectionEvent.RESPONSE_STARTED: RESPONDING,
        ConnectionEvent.RESPONSE_TRUNCATED: TRUNCATED,
        ConnectionEvent.SWITCHED: TUNNEL,
        ConnectionEvent.CLOSE: CLOSING,
    },
    RESPONDING: {
        ConnectionEvent.RESPONSE_ENDED: RESPONDED,
        ConnectionEvent.RESPONSE_TRUNCATED: TRUNCATED,
        ConnectionEvent.CLOSE: CLOSING,
    },
    RESPONDED: {
        ConnectionEvent.NEXT_REQUEST: IDLE,
        ConnectionEvent.CLIENT_STALLED: STALLED,
        ConnectionEvent.LINGER: LINGERING,
        ConnectionEvent.CLOSE: CLOSING,
    },
    STALLED: {ConnectionEvent.CLIENT_RESUMED: RESPONDED, ConnectionEvent.CLOSE: CLOSING},
    TRUNCATED: {ConnectionEvent.CLOSE: CLOSING},
    TUNNEL: {ConnectionEvent.CLOSE: CLOSING},
    LINGERING: {ConnectionEvent.CLOSE: CLOSING},
    CLOSING: {},
    CLOSED: {},
}
"""Besides these, LOST leads to CLOSED from everywhere: the transport may end at any moment."""


def advance(phase: ConnectionPhase, event: ConnectionEvent) -> ConnectionPhase:
    """Return the phase that `event` leads to. Raises LocalProtocolError for a step that may not be."""
    following = CLOSED if event is ConnectionEvent.LOST else STEPS[phase].get(event)
    if following is None:
        raise LocalProtocolError(f"{event.name} is no step of a connection that is {phase.name}.")
    return following


def column(event: ConnectionEvent) -> tuple[ConnectionPhase | None, ...]:
    """Return the phase that `event` leads to from each phase, by the phase's number; None where it may not be.

    For the steps that every request takes: to index a tuple costs 0.05 us, to call `advance` 0.2.
    """
    return (None, *(STEPS[phase].get(event) for phase in ConnectionPhase))
