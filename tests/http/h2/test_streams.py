from devtls.http.h2.frames import MAX_WINDOW
from devtls.http.h2.streams import Ended, EndedStreams, Stream


def test_a_window_opens_to_its_most_and_no_further() -> None:
    stream = Stream(1, 1, -5, 0, b"GET")
    assert stream.open_window(MAX_WINDOW + 5)
    assert stream.send_window == MAX_WINDOW
    assert not stream.open_window(1)


def test_the_last_ended_streams_are_remembered() -> None:
    ended = EndedStreams()
    assert ended.how(1) is None
    for stream_id in range(1, 1027, 2):
        ended.note(stream_id, Ended.COMPLETE)
    assert ended.how(1) is Ended.FORGOTTEN
    assert ended.how(3) is Ended.COMPLETE
    ended.note(1025, Ended.RESET_BY_US)
    assert ended.how(1025) is Ended.RESET_BY_US
    assert ended.how(5) is Ended.COMPLETE
