"""What settings may cost; what they mean is shown with both sides."""

from __future__ import annotations

from devtls.http.h2 import frames
from devtls.http.h2.frames import ErrorCode
from tests.http.h2.wire import POST, codes, headers, opened_server, sent, settings

WINDOW = frames.SETTINGS_INITIAL_WINDOW_SIZE
CHANGES = settings({WINDOW: 1}) + settings({WINDOW: 2})


def test_windows_of_streams_may_change_a_thousand_times_at_once_and_no_more() -> None:
    server = opened_server()
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    for _ in range(10):
        server.receive_data(CHANGES * 50, 0.0)
        sent(server)
    assert not server.broken
    server.receive_data(CHANGES, 0.005)
    assert codes(server) == [(0, ErrorCode.ENHANCE_YOUR_CALM)]


def test_a_window_that_stays_or_is_nobodys_yet_may_be_set_as_often_as_wanted() -> None:
    server = opened_server()
    for _ in range(20):
        server.receive_data(CHANGES * 50, 0.0)
        sent(server)
    server.receive_data(headers(1, POST, end_stream=False), 0.0)
    for _ in range(20):
        server.receive_data(settings({WINDOW: 2}) * 100, 0.0)
        sent(server)
    assert not server.broken
