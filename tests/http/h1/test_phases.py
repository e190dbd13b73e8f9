"""The phases of an HTTP/1 client connection: every pair of a phase and an event."""

from __future__ import annotations

from itertools import product

import pytest

from devtls.errors import LocalProtocolError
from devtls.http.h1 import phases
from devtls.http.h1.phases import ConnectionEvent, ConnectionPhase, advance

PAIRS = list(product(ConnectionPhase, ConnectionEvent))


@pytest.mark.parametrize(("phase", "event"), PAIRS, ids=lambda value: value.name)
def test_each_step_is_the_tables_or_refused(phase: ConnectionPhase, event: ConnectionEvent) -> None:
    expected = phases.CLOSED if event is ConnectionEvent.LOST else phases.STEPS[phase].get(event)
    if expected is None:
        with pytest.raises(LocalProtocolError, match=f"{event.name} is no step .* {phase.name}"):
            advance(phase, event)
    else:
        assert advance(phase, event) is expected


@pytest.mark.parametrize("event", [event for event in ConnectionEvent if event is not ConnectionEvent.LOST])
def test_a_column_is_the_same_table(event: ConnectionEvent) -> None:
    column = phases.column(event)
    assert {phase: column[phase] for phase in ConnectionPhase if column[phase] is not None} == {
        phase: steps[event] for phase, steps in phases.STEPS.items() if event in steps
    }
    assert len(column) == len(ConnectionPhase) + 1


def test_no_phase_is_false() -> None:
    """The connection takes a column's None for a step that may not be."""
    assert all(ConnectionPhase)


def walk(*events: ConnectionEvent) -> list[str]:
    phase, seen = phases.IDLE, []
    for event in events:
        phase = advance(phase, event)
        seen.append(phase.name)
    return seen


def test_an_exchange_leads_back_to_idle() -> None:
    event = ConnectionEvent
    steps = (event.HEAD_STARTED, event.REQUEST, event.RESPONSE_STARTED, event.RESPONSE_ENDED, event.NEXT_REQUEST)
    assert walk(*steps) == ["HEAD", "WAITING", "RESPONDING", "RESPONDED", "IDLE"]


def test_a_client_that_does_not_read_stalls_and_goes_on() -> None:
    event = ConnectionEvent
    steps = (event.REQUEST, event.RESPONSE_STARTED, event.RESPONSE_ENDED, event.CLIENT_STALLED, event.CLIENT_RESUMED)
    assert walk(*steps)[-2:] == ["STALLED", "RESPONDED"]


def test_a_response_that_breaks_off_leads_nowhere_but_to_the_end() -> None:
    assert set(phases.STEPS[phases.TRUNCATED].values()) == {phases.CLOSING}


def test_every_phase_can_be_reached_and_left() -> None:
    reached = {phases.IDLE}
    for _ in ConnectionPhase:
        reached |= {advance(phase, event) for phase, event in PAIRS if phase in reached and _allowed(phase, event)}
    assert reached == set(ConnectionPhase)
    for phase in set(ConnectionPhase) - {phases.CLOSING, phases.CLOSED}:
        assert phases.CLOSING in _reachable(phase)


def _allowed(phase: ConnectionPhase, event: ConnectionEvent) -> bool:
    return event is ConnectionEvent.LOST or event in phases.STEPS[phase]


def _reachable(phase: ConnectionPhase) -> set[ConnectionPhase]:
    found, left = set(), [phase]
    while left:
        for following in phases.STEPS[left.pop()].values():
            if following not in found:
                found.add(following)
                left.append(following)
    return found


def test_a_response_is_never_begun_twice_nor_behind_the_end() -> None:
    begins = [phase for phase in ConnectionPhase if ConnectionEvent.RESPONSE_STARTED in phases.STEPS[phase]]
    assert begins == [phases.WAITING]


def test_the_phases_in_which_nothing_is_parsed_come_last() -> None:
    """The connection compares for that: once for each read."""
    silent = [phase for phase in ConnectionPhase if phase >= phases.LINGERING]
    assert silent == [phases.LINGERING, phases.CLOSING, phases.CLOSED]
    for phase in silent:
        assert ConnectionEvent.REQUEST not in phases.STEPS[phase]
    assert phases.BUSY.isdisjoint(silent)
