"""The limits of one HTTP/2 connection.

Owns the numbers that come from the configuration and the two windows that follow from them.
"""

from __future__ import annotations

import msgspec

from devtls.http.h1.head import HeadLimits
from devtls.http.h2 import frames


class H2Limits(msgspec.Struct, frozen=True):
    """Limits of one connection; bytes and seconds.

    `window_bytes` is what a peer may send on one stream before we have passed it on (65,535 at least: so much it may
    send before it has read our settings), `max_streams` how many it may have open; `linger_s` and `max_drain_bytes`
    say how much of a request is read away behind its answer, after how much silence; `still_s` is how long a stream may
    stand still, `answer_s` how long a peer may take for what a protocol asks of it at once (the rest of a head, the
    acknowledgement of our settings).
    """

    head: HeadLimits = HeadLimits()
    window_bytes: int = 262_144
    max_streams: int = 128
    still_s: float = 60.0
    linger_s: float = 2.0
    max_drain_bytes: int = 67_108_864
    answer_s: float = 10.0

    @property
    def stream_window_bytes(self) -> int:
        """The window of a stream (RFC 9113 6.9.2)."""
        return max(self.window_bytes, frames.DEFAULT_WINDOW)

    @property
    def connection_window_bytes(self) -> int:
        """Enough for every stream at once, so that no stream that stands still can stop another."""
        return min(self.stream_window_bytes * self.max_streams, frames.MAX_WINDOW)
