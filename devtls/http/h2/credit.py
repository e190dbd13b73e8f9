"""What the peer of an HTTP/2 connection may still send: windows that we open as its DATA is consumed.

Owns both windows of ours (RFC 9113 5.2, 6.9). The connection's is large enough for every stream's at once, so that a
stream that stands still never stops another; credit is given back by halves of a stream's window, since a frame for
each piece would cost as much as the piece.
"""

from __future__ import annotations

from devtls.http.h2 import frames
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.outgoing import Outgoing
from devtls.http.h2.streams import Ended, Stream


class Credit(Outgoing):
    """An endpoint's account of what it lets its peer send."""

    def __init__(self, limits: H2Limits) -> None:
        super().__init__()
        self._receive_window = limits.connection_window_octets
        self._window = limits.stream_window_octets
        self._held = 0

    def _credit(self, stream: Stream) -> None:
        """Give back what was consumed on a stream, when it is worth a frame."""
        if stream.held * 2 >= self._window:
            stream.receive_window += stream.held
            self._append(frames.window_update(stream.id, stream.held))
            self._credit_connection(stream.held)
            stream.held = 0

    def _credit_connection(self, octets: int) -> None:
        self._held += octets
        # Half of a stream's window, not of ours: what is kept back must not be what the last stream needs.
        if self._held * 2 >= self._window:
            self._receive_window += self._held
            self._append(frames.window_update(0, self._held))
            self._held = 0

    def pause_reading(self, stream_id: int) -> None:
        """Let a stream's peer send no more than its window has left."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.paused = True

    def resume_reading(self, stream_id: int) -> None:
        """What was received is consumed."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.paused = False
            if stream.peer_open:
                self._credit(stream)

    def _remove(self, stream: Stream, how: Ended) -> None:
        super()._remove(stream, how)
        if stream.held:
            self._credit_connection(stream.held)
            stream.held = 0
