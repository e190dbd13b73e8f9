"""Flow control and SETTINGS of an HTTP/2 connection, and the limits of frames without a message (RFC 9113 5.2, 10.5).

Owns both windows of ours, the effect of the peer's settings, and two budgets: one for streams that are reset as soon as
they are opened, one for every frame besides HEADERS and DATA. Refuses settings out of range, as ConnectionFault, and a
peer that has spent a budget: six bytes of SETTINGS make us visit every stream (CVE-2020-11080).

Strategy: requests that are answered and DATA that is sent pay for the frames that they bring with them, a
WINDOW_UPDATE or two for each DATA and the PINGs of a bandwidth estimate (gRPC), so that no honest peer comes near its
limit; what was earned is counted only when a budget is spent, so that a frame costs one subtraction.
"""

from __future__ import annotations

from typing import Final

from devtls.http.h2 import frames
from devtls.http.h2.frames import ConnectionFault, ErrorCode, protocol_error
from devtls.http.h2.hpack import EMPTY_TABLE
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.outgoing import OUT_BYTES, Outgoing
from devtls.http.h2.streams import Ended, Stream

_RESETS_AT_ONCE = 200
_RESETS_PER_S = 100.0
_RESETS_MOST = 1000  # by what was completed: a page of modules is mostly fetched before its reload takes back the rest

CONTROL_COST: Final = 8
"""What a frame costs that asks us for another, or ends or changes something: SETTINGS, PING, RST_STREAM."""
LIGHT_COST: Final = 4
"""WINDOW_UPDATE, PRIORITY, frames of unknown types."""
ACK_COST: Final = 1
"""An acknowledgement is looked at, and that is all."""
_CONTROL_AT_ONCE = 1024 * CONTROL_COST
_CONTROL_PER_S = 100 * CONTROL_COST
_CONTROL_MOST = 10 * _CONTROL_AT_ONCE  # of what a peer has earned in advance
_PER_STREAM = 8 * CONTROL_COST
_PER_PIECE = 4 * CONTROL_COST  # of a body: two WINDOW_UPDATEs and a PING leave half
_BYTES_SHIFT = 4  # Go credits every 4 KiB twice, h2 (Python) half a window, some clients each read


class TokenBucket:
    """A rate limit for streams that are reset (RFC 9113 10.5, CVE-2023-44487, CVE-2025-8671).

    `size` at once, `per_s` more each second; seconds are those of the caller's clock.
    """

    __slots__ = ("_left", "_per_s", "_seen_s", "_size")

    def __init__(self, size: float, per_s: float) -> None:
        self._size = size
        self._per_s = per_s
        self._left = size
        self._seen_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take one; False when nothing is left."""
        if self._seen_s is not None:
            with_time = min(self._size, self._left + (now_s - self._seen_s) * self._per_s)
            self._left = max(self._left, with_time)
        self._seen_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give(self, count: int, most: int) -> None:
        """Put some in, beyond the size, too."""
        self._left = max(self._left, min(most, self._left + count))


class FlowControl(Outgoing):
    """The windows within which the peer may send DATA.

    The connection's is large enough for every stream's at once, so that a stream that stands still never stops another.
    Credit is given back by halves of a stream's window: a frame for each piece would cost as much as the piece.
    """

    def __init__(self, limits: H2Limits) -> None:
        super().__init__()
        self._receive_window = limits.connection_window_bytes
        self._window = limits.stream_window_bytes
        self._held = 0

    def _credit(self, stream: Stream) -> None:
        """Give back what was consumed on a stream, when it is worth a frame."""
        if stream.held * 2 >= self._window:
            stream.receive_window += stream.held
            self._append(frames.window_update(stream.id, stream.held))
            self._credit_connection(stream.held)
            stream.held = 0

    def _credit_connection(self, size: int) -> None:
        # Given back apart from the streams': a stream that ended early gives no credit of its own.
        self._held += size
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


class Settings(FlowControl):
    """Our settings, the peer's, and their acknowledgement."""

    def __init__(self, limits: H2Limits) -> None:
        super().__init__(limits)
        self._now_s = 0.0
        self._greeted = False
        """The peer's SETTINGS have come; they must be its first frame."""
        self._settings_since_s: float | None = None
        self._peer_window = frames.DEFAULT_WINDOW
        self._resets = TokenBucket(_RESETS_AT_ONCE, _RESETS_PER_S)
        self._completed_before = 0
        self._control_left = _CONTROL_AT_ONCE
        self._control_since_s = 0.0
        self._earned_before = 0

    # -- abuse --------------------------------------------------------------------------------------------------------

    def _charge(self, cost: int) -> None:
        """Take from the budget for frames that carry no message. Raises ConnectionFault when it is spent."""
        self._control_left -= cost
        if self._control_left < 0:
            self._refill_control()

    def _refill_control(self) -> None:
        earned = self._completed * _PER_STREAM + self._pieces * _PER_PIECE + (self.bytes_sent >> _BYTES_SHIFT)
        with_time = min(int((self._now_s - self._control_since_s) * _CONTROL_PER_S), _CONTROL_AT_ONCE)
        self._control_left += min(earned - self._earned_before, _CONTROL_MOST) + with_time
        self._earned_before, self._control_since_s = earned, self._now_s
        if self._control_left < 0:
            reason = "Too many frames came that carry no message: SETTINGS, PING, PRIORITY, WINDOW_UPDATE or unknown."
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason)

    def _take_reset(self) -> bool:
        """Count a stream that was reset; False when there are too many. Each that is completed makes up for one."""
        self._resets.give(self._completed - self._completed_before, _RESETS_MOST)
        self._completed_before = self._completed
        return self._resets.take(self._now_s)

    # -- settings -----------------------------------------------------------------------------------------------------

    def _greet(self, settings: dict[int, int]) -> None:
        settings = {frames.SETTINGS_INITIAL_WINDOW_SIZE: self._window, **settings}
        self._append(frames.settings(settings))
        # SETTINGS change the streams' windows only; the connection's grows by WINDOW_UPDATE (RFC 9113 6.9.2).
        if (more := self._receive_window - frames.DEFAULT_WINDOW) > 0:
            self._append(frames.window_update(0, more))

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise protocol_error("SETTINGS on a stream.")
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "An acknowledgement of SETTINGS has a payload.")
            if not self._greeted:
                raise protocol_error("The first frame is not SETTINGS.")
            self._settings_since_s = None
            return
        if len(payload) % 6:  # RFC 9113 6.5
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS are no multiple of six bytes.")
        self._charge(len(payload) // 6)  # one frame may hold 2,730 settings
        if not self._greeted:
            self._greeted = True
            # Our settings went out without a clock; the peer's first frame shows that it is there.
            self._settings_since_s = self._control_since_s = self._now_s
        for key, value in frames.parse_settings(payload):
            self._apply(key, value)
        self._reply(frames.SETTINGS_ACK)

    def _apply(self, key: int, value: int) -> None:
        if key == frames.SETTINGS_INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:  # RFC 9113 6.5.2
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "The initial window is too large.")
            change, self._peer_window = value - self._peer_window, value
            if change and self._streams:
                self._change_windows(change)
        elif key == frames.SETTINGS_MAX_FRAME_SIZE:
            if not frames.MIN_FRAME_BYTES <= value <= frames.MAX_FRAME_BYTES:
                raise protocol_error("The maximum frame size is out of range.")
            # Larger frames would let one stream hold up the others.
            self._peer_max_frame = min(value, OUT_BYTES)
        elif key == frames.SETTINGS_HEADER_TABLE_SIZE:
            self._table_prefix = EMPTY_TABLE  # RFC 7541 4.2: the next block must say that ours is no larger
        else:
            self._apply_other(key, value)

    def _change_windows(self, change: int) -> None:
        self._charge(len(self._streams))
        # RFC 9113 6.9.2: also those that are open, and a window may become negative.
        for stream in self._streams.values():
            if not stream.open_window(change):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "A stream's window is too large.")
            self._into_ring(stream)

    def _apply_other(self, key: int, value: int) -> None:
        """Take a setting that concerns one side only; unknown ones are ignored (RFC 9113 6.5.2)."""
        if key in (frames.SETTINGS_ENABLE_PUSH, frames.SETTINGS_ENABLE_CONNECT_PROTOCOL) and value > 1:
            raise protocol_error("A setting that is a switch is neither 0 nor 1.")
