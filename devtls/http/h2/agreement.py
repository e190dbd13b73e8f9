"""What the two ends of an HTTP/2 connection have agreed on: SETTINGS and their acknowledgement (RFC 9113 6.5).

Owns what the peer's settings change, and the budget of what costs us more than it costs the peer. Refuses values out of
range, as ConnectionFault, and windows that change without end: six octets are a look at every stream (CVE-2020-11080).
"""

from __future__ import annotations

from devtls.http.h2 import frames
from devtls.http.h2.budget import Budget
from devtls.http.h2.credit import Credit
from devtls.http.h2.frames import ConnectionFault, ErrorCode, protocol_error
from devtls.http.h2.hpack import EMPTY_TABLE
from devtls.http.h2.limits import H2Limits
from devtls.http.h2.outgoing import OUT_OCTETS

_NUISANCES_AT_ONCE = 1000
_NUISANCES_PER_S = 100.0


class Agreement(Credit):
    """An endpoint's settings, and its peer's."""

    def __init__(self, limits: H2Limits) -> None:
        super().__init__(limits)
        self._now_s = 0.0
        self._greeted = False
        """The peer's SETTINGS have come; they must be its first frame."""
        self._settings_since_s: float | None = None
        self._peer_window = frames.DEFAULT_WINDOW
        self._nuisances = Budget(_NUISANCES_AT_ONCE, _NUISANCES_PER_S)

    def _greet(self, settings: dict[int, int]) -> None:
        settings = {frames.SETTINGS_INITIAL_WINDOW_SIZE: self._window, **settings}
        self._append(frames.settings(settings))
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
        if len(payload) % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS are no multiple of six octets.")
        if not self._greeted:
            self._greeted = True
            self._settings_since_s = self._now_s
        for key, value in frames.parse_settings(payload):
            self._apply(key, value)
        self._reply(frames.SETTINGS_ACK)

    def _apply(self, key: int, value: int) -> None:
        if key == frames.SETTINGS_INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "The initial window is too large.")
            change, self._peer_window = value - self._peer_window, value
            if change and self._streams:
                self._change_windows(change)
        elif key == frames.SETTINGS_MAX_FRAME_SIZE:
            if not frames.MIN_FRAME_OCTETS <= value <= frames.MAX_FRAME_OCTETS:
                raise protocol_error("The maximum frame size is out of range.")
            self._peer_max_frame = min(value, OUT_OCTETS)
        elif key == frames.SETTINGS_HEADER_TABLE_SIZE:
            self._table_prefix = EMPTY_TABLE  # RFC 7541 4.2: the next block must say that ours is no larger
        else:
            self._apply_other(key, value)

    def _change_windows(self, change: int) -> None:
        if not self._nuisances.take(self._now_s):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "The windows change too often.")
        for stream in self._streams.values():
            if not stream.open_window(change):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "A stream's window is too large.")
            self._into_ring(stream)

    def _apply_other(self, key: int, value: int) -> None:
        """Take a setting that concerns one side only; unknown ones are ignored (RFC 9113 6.5.2)."""
        if key in (frames.SETTINGS_ENABLE_PUSH, frames.SETTINGS_ENABLE_CONNECT_PROTOCOL) and value > 1:
            raise protocol_error("A setting that is a switch is neither 0 nor 1.")
