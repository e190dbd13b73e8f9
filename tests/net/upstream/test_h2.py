"""A shared connection to an app: whose events are whose, one write for a burst, and how it ends. The app is `h2`."""

from __future__ import annotations

import asyncio

import h2.config
import h2.connection
import h2.events
import pytest

from devtls.http.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    Malformed,
    Reset,
    Response,
    UpstreamEvent,
)
from devtls.http.h2.limits import H2Limits
from tests.net.h2_stand_ins import Shared, User
from tests.net.harness import until

FRAME_BYTES = 9


async def test_it_is_ready_when_the_apps_settings_have_come() -> None:
    made = Shared()
    made.connection.connection_made(made.transport)
    assert not made.connection.available
    made.app.initiate_connection()
    made.exchange()
    assert await made.connection.ready() is None
    assert made.connection.available
    assert made.connection.idle
    made.connection.close()


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the app answers in HTTP/1.1: write http:// or https:// for it"),
        (b"220 mail ESMTP ready, and more of it\r\n", "the app does not speak HTTP/2 as it should"),
        (b"", "The app closed the connection."),
    ],
    ids=["HTTP/1.1", "something else", "the end"],
)
async def test_it_says_why_it_never_will_be(wire: bytes, why: str) -> None:
    made = Shared()
    made.connection.connection_made(made.transport)
    if wire:
        made.connection.data_received(wire)
    else:
        assert made.connection.eof_received() is False
    assert await made.connection.ready() == why
    assert made.connection.closed
    assert made.lost == [made.connection]
    assert "close" in made.transport.calls


async def test_what_one_read_brings_too_much_of_is_worked_off_over_turns(shared: Shared) -> None:
    stream, user = shared.asked()
    await shared.settle()
    shared.answer(1, b"")
    shared.exchange()
    head = b"\0\0\1\0\0\0\0\0"
    stream, user = shared.asked()
    await shared.settle()
    shared.app.send_headers(3, [(b":status", b"200")])
    shared.connection.data_received(shared.app.data_to_send() + (head + b"\3x") * 1_000)
    assert len(user.events) == 512
    assert shared.transport.calls[-1] == "pause"
    await until(lambda: len(user.events) == 1_001)
    assert shared.transport.calls[-1] == "resume"
    stream.release()


async def test_requests_of_one_turn_leave_in_one_write(shared: Shared) -> None:
    users = [shared.asked(label) for label in (1, 5, 9)]
    assert shared.transport.written == b""
    await asyncio.sleep(0)
    assert shared.transport.written.count(b"\x01\x05\0\0\0") == 3
    shared.exchange()
    assert [event.stream_id for event in shared.of_kind(h2.events.RequestReceived)] == [1, 3, 5]
    for stream_id in (1, 3, 5):
        shared.answer(stream_id, b"ok")
    shared.exchange()
    for (_, user), label in zip(users, (1, 5, 9), strict=True):
        assert len(user.bursts) == 1
        head, body, end = user.events
        assert isinstance(head, Response)
        assert head.stream_id == label
        assert (body, end) == (Data(label, b"ok"), EndOfMessage(label))


async def test_a_stream_that_was_given_back_frees_its_place(shared: Shared) -> None:
    stream, _ = shared.asked()
    await shared.settle()
    assert not shared.connection.idle
    shared.answer(1, b"ok")
    shared.exchange()
    stream.release()
    assert shared.connection.idle
    assert shared.connection.available
    assert stream.closed


async def test_an_upload_is_held_back_and_goes_on(shared: Shared) -> None:
    stream, user = shared.asked(method=b"PUT", body_length=None)
    await shared.settle()
    sent = 0
    while not user.writable:
        stream.send(Data(1, bytes(16_384)))
        stream.flush()
        sent += 16_384
        await shared.settle()
    assert user.writable == [False]
    assert sent <= 65_535 + 65_536 + 16_384
    assert stream.waiting_bytes > 0
    shared.app.acknowledge_received_data(65_535, 1)
    await shared.settle()
    assert user.writable == [False, True]
    stream.send(EndOfMessage(1))
    stream.flush()
    shared.app.acknowledge_received_data(sent - 65_535, 1)
    await shared.settle()
    assert sum(len(event.data) for event in shared.of_kind(h2.events.DataReceived)) == sent
    assert shared.of_kind(h2.events.StreamEnded)


async def test_a_transport_that_is_full_gets_nothing_until_it_has_room(shared: Shared) -> None:
    shared.connection.pause_writing()
    shared.asked()
    await asyncio.sleep(0)
    assert shared.transport.written == b""
    shared.connection.resume_writing()
    await shared.settle()
    assert shared.of_kind(h2.events.RequestReceived)


async def test_a_paused_stream_gives_no_credit_and_its_sibling_does(shared: Shared) -> None:
    paused, _ = shared.asked(1)
    shared.asked(3)
    await shared.settle()
    paused.pause_reading()
    for stream_id in (1, 3):
        shared.answer(stream_id, end=False)
    shared.exchange()
    window = shared.app.local_flow_control_window(1)
    for _ in range(12):
        for stream_id in (1, 3):
            shared.app.send_data(stream_id, bytes(16_384))
        shared.exchange()
    assert shared.app.local_flow_control_window(1) == window - 12 * 16_384
    assert shared.app.local_flow_control_window(3) > window // 3
    paused.resume_reading()
    await shared.settle()
    assert shared.app.local_flow_control_window(1) == window


async def test_the_end_of_the_connection_is_a_cut_or_a_chance_to_ask_again(shared: Shared) -> None:
    answered, unanswered = shared.asked(1), shared.asked(3)
    await shared.settle()
    shared.answer(1, b"half", end=False)
    shared.exchange()
    shared.connection.connection_lost(None)
    assert answered[1].events[-1] == Reset(1, "The connection to the app was lost.")
    assert unanswered[1].events == [ConnectionClosed(3)]
    assert (answered[1].flushes, unanswered[1].flushes) == (1, 1)
    assert shared.lost == [shared.connection]
    shared.connection.connection_lost(None)
    assert len(shared.lost) == 1


async def test_a_connection_fault_of_the_app_is_broken_http_for_every_stream(shared: Shared) -> None:
    users = [shared.asked(label)[1] for label in (1, 3)]
    await shared.settle()
    shared.connection.data_received(b"\0\0\0\x00\0\0\0\0\0")  # DATA on stream 0
    for user, label in zip(users, (1, 3), strict=True):
        assert isinstance(user.events[0], Malformed)
        assert user.events[0].stream_id == label
    assert b"\x07" in shared.transport.taken()
    assert shared.connection.closed


async def test_after_goaway_it_takes_no_more_and_closes_behind_the_last(shared: Shared) -> None:
    stream, user = shared.asked()
    await shared.settle()
    shared.connection.data_received(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0")
    assert shared.lost == [shared.connection]
    assert not shared.connection.available
    assert not shared.connection.closed
    shared.answer(1, b"ok")
    shared.exchange()
    assert user.events[-1] == EndOfMessage(1)
    stream.release()
    await asyncio.sleep(0)
    assert shared.connection.closed
    assert shared.lost == [shared.connection]


async def test_goaway_without_streams_is_the_end(shared: Shared) -> None:
    shared.connection.data_received(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0")
    assert shared.connection.closed


async def test_settings_that_are_not_acknowledged_end_it() -> None:
    made = Shared(H2Limits(answer_s=0.01))
    made.connection.connection_made(made.transport)
    made.transport.taken()
    made.connection.data_received(b"\0\0\0\x04\0\0\0\0\0")
    assert await made.connection.ready() is None
    made.connection._tick()
    assert not made.connection.closed
    await asyncio.sleep(0.02)
    made.connection._tick()
    assert made.connection.closed
    assert b"\0\0\0\x04" in made.transport.taken()  # GOAWAY, SETTINGS_TIMEOUT
    await until(lambda: made.lost)


async def test_an_app_that_reads_nothing_is_asked_no_more_on_this_connection(shared: Shared) -> None:
    shared.connection.pause_writing()
    asked = 0
    while shared.connection.available:
        stream, _ = shared.asked(target=b"/" + b"x" * 10_000)
        stream.abort()  # its client takes back what it asks
        asked += 1
        assert asked < 100
    shared.connection.resume_writing()
    await shared.settle()
    assert shared.connection.available


async def test_an_app_that_reads_nothing_does_not_keep_a_closed_connection(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtls.net.upstream.h2._LAST_WORDS_S", 0.01)
    shared.transport.waiting = 10
    shared.connection.close()
    assert "abort" not in shared.transport.calls
    await until(lambda: "abort" in shared.transport.calls)


class FaultyUser(User):
    """A user with a bug."""

    def upstream_events(self, events: list[UpstreamEvent]) -> None:
        raise ArithmeticError("a bug")

    def upstream_event(self, event: UpstreamEvent) -> None:
        raise ArithmeticError("a bug")

    def upstream_writable(self, writable: bool) -> None:
        raise ArithmeticError("a bug")


@pytest.fixture
async def told() -> list[object]:
    """What the loop's handler hears."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context.get("exception")))
    return errors


async def test_a_bug_ends_the_connection_and_is_told_to_every_user_and_the_loop(
    shared: Shared, told: list[object]
) -> None:
    faulty, _ = shared.asked(1)
    faulty.user = FaultyUser()
    _, other = shared.asked(3)
    await shared.settle()
    shared.answer(1, b"ok")
    shared.exchange()
    assert [str(error) for error in told] == ["a bug", "a bug"]  # its end is more than the faulty one takes, too
    assert other.events == [ConnectionClosed(3)]
    assert shared.connection.closed
    assert shared.lost == [shared.connection]
    shared.connection.data_received(b"what was on its way")
    assert other.events == [ConnectionClosed(3)]


@pytest.mark.parametrize("where", ["send_out", "_tick"])
async def test_a_bug_at_the_end_of_a_turn_or_in_time_ends_the_connection(
    shared: Shared, told: list[object], where: str
) -> None:
    stream, _ = shared.asked(1, body_length=None)
    await shared.settle()
    stream.user = FaultyUser()
    shared.connection.codec.drained = [1]
    getattr(shared.connection, where)()
    assert [str(error) for error in told[:1]] == ["a bug"]
    assert shared.connection.closed
