"""Who gives way when there is no place: the longest idle, never one that works."""

from __future__ import annotations

import pytest

from devtls.net.admission import ConnectionTable


class Connection:
    """A connection that is idle since then; it tells `table` when it is lost."""

    def __init__(self, table: ConnectionTable, idle_since: float | None) -> None:
        self.table = table
        self.idle_since = idle_since
        self.told = False
        table.add(self)

    def yield_place(self) -> None:
        self.told = True


def table_of(most: int, *idle: float | None, within: ConnectionTable | None = None) -> list[Connection]:
    table = ConnectionTable(lambda: most, within)
    return [Connection(table, since) for since in idle]


def told(connections: list[Connection]) -> list[int]:
    return [number for number, each in enumerate(connections) if each.told]


def test_the_longest_idle_yield_place_first_and_those_who_work_never() -> None:
    found = table_of(4, 3.0, None, 1.0, 2.0)
    table = found[0].table
    assert table.room == 0
    assert table.make_room() == 1
    assert told(found) == [2]
    assert (table.room, table.leaving) == (1, 1)
    assert table.make_room(5) == 2
    assert told(found) == [0, 2, 3]
    assert table.make_room() == 0
    assert len(table) == 1
    table.discard(found[2])
    assert table.leaving == 2


def test_of_two_that_are_idle_for_as_long_the_elder_gives_way() -> None:
    found = table_of(3, 5.0, 0.0, 0.0)
    found[0].table.make_room()
    assert told(found) == [1]


def test_who_has_worked_since_the_others_were_asked_stays() -> None:
    found = table_of(3, 1.0, 2.0, 3.0)
    found[0].table.make_room()
    found[1].idle_since = None
    found[0].table.make_room()
    assert told(found) == [0, 2]
    found[1].idle_since = 9.0
    found[0].table.make_room()
    assert told(found) == [0, 1, 2]


def test_the_whole_has_a_limit_beside_each_part() -> None:
    whole = ConnectionTable(lambda: 4)
    one, other = table_of(3, 5.0, 6.0, within=whole), table_of(3, 1.0, 7.0, within=whole)
    assert (len(whole), whole.room, one[0].table.room) == (4, 0, 0)
    one[0].table.make_room()
    assert (told(one), told(other)) == ([], [0])
    one.append(Connection(one[0].table, 8.0))
    # Its own limit is reached: it makes room among its own.
    one[0].table.make_room()
    assert (told(one), told(other)) == ([0], [0])


def test_what_is_being_accepted_counts() -> None:
    table = ConnectionTable(lambda: 2)
    table.accepting += 2
    assert table.room == 0
    assert table.make_room() == 0


@pytest.mark.parametrize("count", [1, 50, 1000])
def test_a_large_table_is_not_looked_through_for_each_client(count: int) -> None:
    asked = 0

    class Counting(Connection):
        @property
        def idle_since(self) -> float:
            nonlocal asked
            asked += 1
            return 1.0

        @idle_since.setter
        def idle_since(self, value: float | None) -> None:
            """Ignore it."""

    table = ConnectionTable(lambda: count)
    for _ in range(count):
        Counting(table, 1.0)
    for _ in range(count):
        assert table.make_room() == 1
    assert asked < 2 * count + 40 * count
