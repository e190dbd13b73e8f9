"""The streams of an HTTP/2 connection: open ones with their windows, and how the last ones ended (RFC 9113 5.1, 5.2).

Owns the record of a stream and the memory of ended ones, which tells a late frame from a broken peer. Refuses nothing:
`endpoint` and its two sides check. Strategy: an open stream is a dict entry; an ended one is remembered by how it
ended, the last few hundred of them.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import Final

from devtls.http.events import Headers, Trailers
from devtls.http.h2.frames import MAX_WINDOW

_MOST_ENDED: Final = 512  # frames that come later are forgiven


class Ended(IntEnum):
    """How a stream came to its end."""

    COMPLETE = 0
    RESET_BY_PEER = 1
    RESET_BY_US = 2
    FORGOTTEN = 3


class EndMarker:
    """What stands last in a stream's queue."""


END: Final = EndMarker()


class Stream:
    """One open stream.

    `send_window` and `receive_window` count the bytes of DATA that either side may still send; `held` were received
    and not yet credited; `queue` is what waits to be sent, `queued` its bytes of DATA. `label` is the stream number in
    its events: on the upstream's side that of the request which it serves.
    """

    __slots__ = (
        "answered",
        "body_left",
        "deserted",
        "discarded",
        "empties",
        "full",
        "handshake",
        "held",
        "id",
        "interims",
        "label",
        "method",
        "opened_s",
        "our_side_open",
        "paused",
        "peer_open",
        "queue",
        "queued",
        "receive_window",
        "ringed",
        "send_window",
        "sent",
        "still_sent",
        "still_since",
        "tunnel",
    )

    def __init__(self, stream_id: int, label: int, send_window: int, receive_window: int, method: bytes) -> None:
        self.id = stream_id
        self.label = label
        self.method = method
        self.send_window = send_window
        self.receive_window = receive_window
        self.peer_open = True
        self.our_side_open = True
        self.answered = False
        """A final response head was sent (server) or received (client)."""
        self.tunnel = False
        self.deserted = False
        """Whatever the peer still sends is dropped: the stream is over when our side has ended."""
        self.body_left: int | None = None
        """What the peer's Content-Length still promises."""
        self.handshake: Headers = []
        """What turns the answer to a WebSocket's CONNECT into a 101 (client)."""
        self.discarded = 0
        """How many bytes came behind the response, and were dropped."""
        self.opened_s = 0.0
        self.empties = 0
        self.interims = 0
        self.held = 0
        self.paused = False
        self.queue: deque[memoryview | Trailers | EndMarker] = deque()
        self.queued = 0
        self.ringed = False
        self.full = False
        self.sent = 0
        self.still_sent = -1
        self.still_since = 0.0

    def open_window(self, increment: int) -> bool:
        """Let more be sent; False when the window would exceed what a window may be (RFC 9113 6.9.1)."""
        self.send_window += increment
        return self.send_window <= MAX_WINDOW


class EndedStreams:
    """How the last streams ended; of older ones nothing is known but that there were some."""

    __slots__ = ("_ended", "_forgotten")

    def __init__(self) -> None:
        self._ended: dict[int, Ended] = {}
        self._forgotten = 0
        """The highest number among the forgotten ones."""

    def note(self, stream_id: int, how: Ended) -> None:
        """Remember one, forget the oldest."""
        ended = self._ended
        if len(ended) >= _MOST_ENDED:
            oldest = next(iter(ended))
            del ended[oldest]
            self._forgotten = max(self._forgotten, oldest)
        ended[stream_id] = how

    def how(self, stream_id: int) -> Ended | None:
        """Return how a stream ended, None when there was none."""
        known = self._ended.get(stream_id)
        return Ended.FORGOTTEN if known is None and stream_id <= self._forgotten else known
