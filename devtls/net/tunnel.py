"""Raw bytes both ways, after an upgrade was accepted.

Owns two transports that no codec reads any more. Each direction ends by itself (a FIN from one side closes only that
direction, the other drains), a slow reader slows only its own writer, and an error on either side frees both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from devtls.net.read_turns import FULL_READ_BYTES, PacedReading, read_turns_of
from devtls.net.tap import Direction, ExchangeRecorder


class _TunnelEnd(asyncio.Protocol):
    """One side of the tunnel."""

    __slots__ = ("_direction", "_tunnel", "ended", "other", "reading", "transport")

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport, direction: Direction) -> None:
        self._tunnel = tunnel
        self._direction = direction
        self.transport = transport
        self.reading = PacedReading(transport, read_turns_of(asyncio.get_running_loop()))
        self.ended = False
        self.other: _TunnelEnd

    def data_received(self, data: bytes) -> None:
        tunnel = self._tunnel
        tunnel.touch()
        if tunnel.recorder is not None:
            tunnel.recorder.tunnel(self._direction, data)
        self.other.transport.write(data)
        if len(data) >= FULL_READ_BYTES:
            self.reading.end_turn()

    def eof_received(self) -> bool:
        self.ended = True
        other = self.other.transport
        if not other.is_closing() and other.can_write_eof():
            other.write_eof()
        self._tunnel.side_ended()
        return True  # keep our write side open: the other direction drains

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.close(abort=exc is not None)

    def pause_writing(self) -> None:
        self.other.reading.hold()

    def resume_writing(self) -> None:
        self.other.reading.go_on()


class Tunnel:
    """Join two transports; after one direction has ended, the other may be silent for `grace_s`."""

    def __init__(
        self,
        client: asyncio.Transport,
        upstream: asyncio.Transport,
        idle_timeout_s: float,
        grace_s: float,
        recorder: ExchangeRecorder | None = None,
    ) -> None:
        self.recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._idle_timeout_s = idle_timeout_s
        self._grace_s = grace_s
        self._client = _TunnelEnd(self, client, Direction.FROM_CLIENT)
        self._upstream = _TunnelEnd(self, upstream, Direction.FROM_UPSTREAM)
        self._client.other, self._upstream.other = self._upstream, self._client
        self._closed: Callable[[], None] | None = None
        self._touched = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        if self._closed is None:
            return "<Tunnel closed>"
        ended = [name for name, end in (("client", self._client), ("upstream", self._upstream)) if end.ended]
        return f"<Tunnel {f'ended by {ended[0]}' if ended else 'open'}, idle {self._loop.time() - self._touched:.1f} s>"

    def start(self, from_client: bytes, from_upstream: bytes, closed: Callable[[], None]) -> None:
        """Take both transports over; the arguments are bytes that the codecs had read too far."""
        self._closed = closed
        self._client.transport.set_protocol(self._client)
        self._upstream.transport.set_protocol(self._upstream)
        # Before reading is resumed: these bytes came first.
        if from_client:
            self._client.data_received(from_client)
        if from_upstream:
            self._upstream.data_received(from_upstream)
        # Either may have been paused by the exchange that the tunnel comes from.
        self._client.transport.resume_reading()
        self._upstream.transport.resume_reading()
        self._timer = self._loop.call_later(self._idle_timeout_s, self._check_idle)

    def touch(self) -> None:
        """A byte went through."""
        self._touched = self._loop.time()

    def side_ended(self) -> None:
        """One direction is over; both over = done, else the other gets its grace."""
        if self._client.ended and self._upstream.ended:
            self.close()
        else:
            self.touch()
            # A program that half-closes waits for an answer; one that is gone never sends the other FIN.
            self._idle_timeout_s = min(self._idle_timeout_s, self._grace_s)
            self._check_idle()

    def _check_idle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # One timer that looks again is cheaper than one that each piece sets anew.
        left_s = self._idle_timeout_s - (self._loop.time() - self._touched)
        if left_s <= 0:
            self.close()
        elif self._closed is not None:
            self._timer = self._loop.call_later(left_s, self._check_idle)

    def close(self, *, abort: bool = False) -> None:
        """End both connections; what was written is flushed unless `abort`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Cleared first: to close a transport may lead here again.
        closed, self._closed = self._closed, None
        for end in (self._client, self._upstream):
            if abort:
                end.transport.abort()
            else:
                end.transport.close()
        if closed is not None:
            closed()
