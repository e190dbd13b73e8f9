"""An HTTP/2 stream as an `asyncio.Transport`, for tunnels: what joins two connections joins streams as well.

Owns the calls of a transport that mean something on a stream: write is DATA, write_eof is END_STREAM, close ends both
directions, abort is RST_STREAM, and pausing holds back the peer's credit. Who carries the stream (`StreamCarrier`)
delivers what arrives.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast


class StreamCarrier(Protocol):
    """What a transport needs of the stream underneath."""

    def carry(self, data: bytes) -> bool:
        """Send bytes; True when no more should be sent until `resume_writing`."""

    def carry_end(self) -> None:
        """Send nothing after this."""

    def finish(self) -> None:
        """End both directions, in order."""

    def reset(self) -> None:
        """End both directions now."""

    def pause_reading(self) -> None:
        """Let the peer wait."""

    def resume_reading(self) -> None:
        """Let the peer go on."""

    def extra_info(self, name: str) -> Any:
        """Return what the connection's transport says about itself."""

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be sent."""


class StreamTransport(asyncio.Transport):
    """One stream; the carrier calls `deliver`, `deliver_end`, `lose`, `pause_writing` and `resume_writing`."""

    def __init__(self, carrier: StreamCarrier) -> None:
        super().__init__()
        self._carrier = carrier
        self._protocol: asyncio.Protocol | None = None
        self._closing = False
        self._ended = False
        self._held: list[bytes] = []
        self._end_held = False

    # -- from the carrier ---------------------------------------------------------------------------------------------

    def deliver(self, data: bytes) -> None:
        """Pass bytes on; they are kept while there is no protocol."""
        # A client may send on its stream before the app has said yes: nothing of it may be lost.
        if self._protocol is None:
            self._held.append(data)
        elif not self._closing:
            self._protocol.data_received(data)

    def deliver_end(self) -> None:
        """The peer sends no more."""
        if self._protocol is None:
            self._end_held = True
        elif not self._closing and not self._protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None) -> None:
        """The stream is gone."""
        self._closing = True
        # Cleared first: nothing is delivered to a protocol that was told of the end.
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        if self._protocol is not None:
            self._protocol.resume_writing()

    # -- asyncio.Transport --------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to `protocol`, first what has been kept."""
        self._protocol = cast(asyncio.Protocol, protocol)
        held, self._held = self._held, []
        for data in held:
            self._protocol.data_received(data)
        if self._end_held:
            self._end_held = False
            self.deliver_end()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that bytes are delivered to."""
        assert self._protocol is not None  # noqa: S101 - set_protocol is the first thing a tunnel does
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the connection's transport."""
        found = self._carrier.extra_info(name)
        return default if found is None else found

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        # A copy: asyncio lets the caller reuse a bytearray once `write` has returned.
        if not self._closing and not self._ended and data and self._carrier.carry(bytes(data)):
            self.pause_writing()

    def can_write_eof(self) -> bool:
        """A stream's directions end one by one."""
        return True

    def write_eof(self) -> None:
        """End our direction."""
        if not self._closing and not self._ended:
            self._ended = True
            self._carrier.carry_end()

    def is_closing(self) -> bool:
        """Say whether the stream is over or about to be."""
        return self._closing

    def close(self) -> None:
        """Send what waits, then end both directions."""
        if not self._closing:
            self._closing = True
            self._carrier.finish()

    def abort(self) -> None:
        """End both directions at once."""
        if not self._closing:
            self._closing = True
            self._carrier.reset()

    def pause_reading(self) -> None:
        """Give the peer no more credit."""
        self._carrier.pause_reading()

    def resume_reading(self) -> None:
        """Give it again."""
        self._carrier.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """A stream's queue has its own limits."""

    def get_write_buffer_size(self) -> int:
        """Return what waits, in bytes."""
        return self._carrier.waiting_bytes
