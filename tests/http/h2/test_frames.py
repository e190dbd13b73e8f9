"""Our frames, read by hyperframe."""

from __future__ import annotations

from typing import Any

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from devtls.http.h2 import frames
from devtls.http.h2.frames import ErrorCode


def read(wire: bytes) -> list[Any]:
    found = []
    while wire:
        one, length = Frame.parse_frame_header(memoryview(wire[:9]), strict=True)
        assert length <= len(wire) - 9
        one.parse_body(memoryview(wire[9 : 9 + length]))
        found.append(one)
        wire = wire[9 + length :]
    return found


def test_a_frame_header_is_written_and_read() -> None:
    header = frames.frame_header(0x123456, frames.DATA, frames.END_STREAM, 0x01020304)
    assert header == bytes.fromhex("123456 00 01 01020304")
    assert frames.unpack_header(b"?" + header, 1) == (0x1234, 0x56, 0, 1, 0x01020304)


def test_the_frames_of_the_connection_are_read_alike() -> None:
    wire = (
        frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 70_000, frames.SETTINGS_ENABLE_CONNECT_PROTOCOL: 1})
        + frames.SETTINGS_ACK
        + frames.ping(b"12345678", ack=True)
        + frames.ping(b"12345678", ack=False)
        + frames.goaway(5, ErrorCode.ENHANCE_YOUR_CALM, b"why")
        + frames.window_update(0, 2**31 - 1)
        + frames.rst_stream(7, ErrorCode.CANCEL)
    )
    one, ack, pong, ping, goaway, update, reset = read(wire)
    assert isinstance(one, SettingsFrame)
    assert one.settings == {4: 70_000, 8: 1}
    assert isinstance(ack, SettingsFrame)
    assert (set(ack.flags), ack.settings) == ({"ACK"}, {})
    assert isinstance(pong, PingFrame)
    assert (set(pong.flags), pong.opaque_data) == ({"ACK"}, b"12345678")
    assert set(ping.flags) == set()
    assert isinstance(goaway, GoAwayFrame)
    assert (goaway.last_stream_id, goaway.error_code, goaway.additional_data) == (5, 11, b"why")
    assert isinstance(update, WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (0, 2**31 - 1)
    assert isinstance(reset, RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (7, 8)


def test_settings_are_read_in_their_order() -> None:
    assert frames.parse_settings(bytes.fromhex("0004 00000001 0004 00000002")) == [(4, 1), (4, 2)]


@pytest.mark.parametrize("end_stream", [False, True])
@pytest.mark.parametrize("length", [101, 200, 201])
def test_a_field_block_goes_on_in_continuations(length: int, end_stream: bool) -> None:
    block = bytes(index & 255 for index in range(length))
    first, *rest = read(frames.continued(3, block, end_stream=end_stream, max_bytes=100))
    assert isinstance(first, HeadersFrame)
    assert ("END_STREAM" in first.flags) is end_stream
    assert all(isinstance(one, ContinuationFrame) and one.stream_id == 3 for one in rest)
    assert len(rest) == -(-length // 100) - 1
    assert ["END_HEADERS" in one.flags for one in (first, *rest)] == [False] * len(rest) + [True]
    assert b"".join(one.data for one in (first, *rest)) == block


def test_data_is_a_header_and_its_bytes() -> None:
    (one,) = read(frames.frame_header(4, frames.DATA, frames.END_STREAM, 1) + b"body")
    assert isinstance(one, DataFrame)
    assert (one.data, set(one.flags)) == (b"body", {"END_STREAM"})


def test_every_error_has_a_name() -> None:
    assert frames.error_name(8) == "CANCEL"
    assert frames.error_name(4711) == "error 4711"
