"""Shared connections: one dial for all who ask at once, and who may take another request."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from devtls.http.actions import DialFailed
from devtls.net.upstream.h2_pool import IDLE_S, H2UpstreamPool
from tests.net.h2_stand_ins import UPSTREAM, Dialler


class Connection:
    """What H2UpstreamPool sees of a H2UpstreamConnection: room for `room` streams."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.taken = 0
        self.idle = True
        self.idle_since = 0.0
        self.closed = 0
        self.upstream = UPSTREAM

    @property
    def available(self) -> bool:
        return self.taken < self.room

    def open(self) -> Any:
        self.taken += 1
        return self, self.taken

    def close(self) -> None:
        self.closed += 1


def shared(*outcomes: Any) -> tuple[H2UpstreamPool, Dialler]:
    dialler = Dialler(*outcomes)
    return H2UpstreamPool(dialler), dialler


async def test_many_at_once_wait_for_one_dial() -> None:
    connection = Connection()
    connections, dialler = shared(connection)
    assert connections.open() is None
    dialler.go.clear()
    waiting = [asyncio.create_task(connections.dial()) for _ in range(20)]
    await asyncio.sleep(0)
    dialler.go.set()
    streams = await asyncio.gather(*waiting)
    assert (dialler.asked, connection.taken, len(set(streams))) == (1, 20, 20)
    assert len(connections) == 1


async def test_who_finds_no_room_dials_another() -> None:
    first, second = Connection(1), Connection(5)
    connections, dialler = shared(first, second)
    await connections.dial()
    assert connections.open() is None
    await connections.dial()
    assert (dialler.asked, first.taken, second.taken, len(connections)) == (2, 1, 1, 2)
    assert connections.open() is not None
    assert second.taken == 2


async def test_the_idle_ones_are_counted() -> None:
    first, second = Connection(1), Connection(5)
    connections, _ = shared(first, second)
    await connections.dial()
    await connections.dial()
    assert connections.idle_count == 2
    first.idle = False
    assert connections.idle_count == 1


async def test_a_dial_that_fails_fails_for_all_who_waited_and_the_next_tries_again() -> None:
    connections, dialler = shared()
    dialler.go.clear()
    waiting = [asyncio.create_task(connections.dial()) for _ in range(3)]
    await asyncio.sleep(0)
    dialler.go.set()
    for outcome in await asyncio.gather(*waiting):
        assert isinstance(outcome, DialFailed)
    dialler.outcomes.append(Connection())
    assert not isinstance(await connections.dial(), DialFailed)
    assert dialler.asked == 2


async def test_a_connection_that_takes_nothing_is_a_failure_not_a_reason_to_dial_for_ever() -> None:
    useless = Connection(0)
    connections, dialler = shared(useless)
    outcome = await connections.dial()
    assert isinstance(outcome, DialFailed)
    assert outcome.tried == ((UPSTREAM.label, "the app takes no requests on a new connection"),)
    assert (dialler.asked, useless.closed, len(connections)) == (1, 1, 0)


async def test_who_gives_up_waiting_leaves_the_dial_to_the_others() -> None:
    connection = Connection()
    connections, dialler = shared(connection)
    dialler.go.clear()
    impatient, patient = (asyncio.create_task(connections.dial()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    dialler.go.set()
    assert not isinstance(await patient, DialFailed)
    assert (dialler.asked, connection.taken) == (1, 1)


async def test_what_nobody_has_used_for_a_minute_is_closed() -> None:
    fresh, old, busy = Connection(1), Connection(1), Connection(1)
    fresh.idle_since, busy.idle = 50.0, False
    connections, _ = shared(fresh, old, busy)
    for _ in range(3):
        await connections.dial()
    assert connections.sweep(IDLE_S + 1) == 3  # those that are closed say so by `drop`
    assert (fresh.closed, old.closed, busy.closed) == (0, 1, 0)
    connections.drop(cast(Any, old))
    connections.drop(cast(Any, old))
    assert connections.sweep(IDLE_S + 1) == 2


async def test_closing_spares_what_is_in_use_and_ends_a_dial() -> None:
    idle, busy = Connection(1), Connection(1)
    busy.idle = False
    connections, dialler = shared(idle, busy)
    await connections.dial()
    await connections.dial()
    dialler.go.clear()
    waiting = asyncio.create_task(connections.dial())
    await asyncio.sleep(0)
    connections.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (idle.closed, busy.closed) == (1, 0)
