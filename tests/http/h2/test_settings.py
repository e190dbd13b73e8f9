"""What settings may cost; what they mean is shown with both sides."""

from __future__ import annotations

from devtls.http.h2 import frames
from devtls.http.h2.frames import ErrorCode
from tests.http.h2.wire import POST, codes, headers, opened_server, sent, settings

WINDOW = frames.SETTINGS_INITIAL_WINDOW_SIZE
CHANGES = settings({WINDOW: 1}) + settings({WINDOW: 2})


def changes_until_the_end(streams: int) -> int:
    server = opened_server()
    for number in range(1, 2 * streams, 2):
        server.receive_data(headers(number, POST, end_stream=False), 0.0)
    for count in range(2_000):
        server.receive_data(CHANGES, 0.0)
        if server.broken:
            assert codes(server)[-1] == (0, ErrorCode.ENHANCE_YOUR_CALM)
            return 2 * count
        sent(server)
    raise AssertionError("the windows may change without end")


def test_changes_of_the_windows_cost_as_many_streams_as_they_concern() -> None:
    assert 700 < changes_until_the_end(1) < 900
    assert 50 < changes_until_the_end(100) < 100


def test_a_few_changes_of_the_windows_are_fine_whatever_else_is_open() -> None:
    server = opened_server()
    for number in range(1, 200, 2):
        server.receive_data(headers(number, POST, end_stream=False), 0.0)
    server.receive_data(CHANGES * 10, 0.0)
    assert not server.broken
