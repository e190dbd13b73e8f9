"""Fair reading: a turn serves a few of those that have had their share, in order; a transport rests for two reasons."""

from __future__ import annotations

import asyncio
import gc
import weakref

from devtls.net.read_turns import PacedReading, ReadTurns, read_turns_of
from tests.net.h2_stand_ins import NotingTransport


async def test_four_go_on_in_a_turn_in_the_order_in_which_they_came() -> None:
    turns, went = read_turns_of(asyncio.get_running_loop()), list[int]()
    for number in range(10):
        turns.wait(lambda number=number: went.append(number))  # type: ignore[misc]  # mypy knows no default of a lambda
    assert went == []
    for count in (4, 8, 10):
        await asyncio.sleep(0)
        assert went == list(range(count))


async def test_those_that_are_not_done_stand_at_the_end_again() -> None:
    turns, went = read_turns_of(asyncio.get_running_loop()), list[str]()

    def greedy() -> None:
        went.append("greedy")
        if went.count("greedy") < 3:
            turns.wait(greedy)

    turns.wait(greedy)
    for number in range(5):
        turns.wait(lambda number=number: went.append(str(number)))  # type: ignore[misc]  # as above
    for _ in range(4):
        await asyncio.sleep(0)
    assert went == ["greedy", "0", "1", "2", "3", "4", "greedy", "greedy"]


async def test_a_bug_of_one_does_not_stop_those_of_the_next_turn() -> None:
    turns, went, told = read_turns_of(asyncio.get_running_loop()), list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))

    def fail() -> None:
        raise ArithmeticError("a bug")

    turns.wait(fail)
    for number in range(5):
        turns.wait(lambda number=number: went.append(number))  # type: ignore[misc]  # as above
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [type(error) for error in told] == [ArithmeticError]
    assert 4 in went


async def test_a_transport_is_read_again_when_both_reasons_are_gone() -> None:
    transport, turns = NotingTransport(), ReadTurns(asyncio.get_running_loop())
    reading = PacedReading(transport, turns)
    reading.end_turn()
    reading.end_turn()
    reading.hold()
    assert transport.calls == ["pause"]
    await asyncio.sleep(0)
    assert transport.calls == ["pause"]
    assert reading.stopped
    reading.go_on()
    assert transport.calls == ["pause", "resume"]
    assert not reading.stopped
    reading.end_turn()
    reading.hold()
    reading.go_on()
    assert transport.calls == ["pause", "resume", "pause"]
    await asyncio.sleep(0)
    assert transport.calls == ["pause", "resume", "pause", "resume"]


async def test_what_is_left_over_is_worked_off_in_the_next_turn() -> None:
    worked = list[str]()
    reading = PacedReading(NotingTransport(), ReadTurns(asyncio.get_running_loop()), lambda: worked.append("rest"))
    reading.end_turn()
    assert worked == []
    await asyncio.sleep(0)
    assert worked == ["rest"]


async def test_a_transport_that_closes_or_has_another_reader_is_left_alone() -> None:
    for closes in (True, False):
        transport = NotingTransport()
        reading = PacedReading(transport, ReadTurns(asyncio.get_running_loop()))
        reading.end_turn()
        if closes:
            transport.close()
        else:
            reading.leave()
        before = list(transport.calls)
        await asyncio.sleep(0)
        reading.hold()
        assert transport.calls == before
        assert reading.stopped


def test_a_loop_has_one_queue_and_is_not_kept_alive_by_it() -> None:
    loop = asyncio.new_event_loop()
    turns = read_turns_of(loop)
    assert read_turns_of(loop) is turns
    loop.close()
    gone = weakref.ref(turns)
    del turns, loop
    gc.collect()
    assert gone() is None
