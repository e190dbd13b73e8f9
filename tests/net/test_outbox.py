"""The end of a turn: everything that was added is written, once it is over, in order."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from devtls.net.outbox import Outbox, outbox_of


class Noting:
    def __init__(self, written: list[str], name: str, outbox: Outbox, leads_to: Noting | None = None) -> None:
        self._written = written
        self._name = name
        self._outbox = outbox
        self._leads_to = leads_to

    def send_out(self) -> None:
        self._written.append(self._name)
        if self._leads_to is not None:
            self._outbox.add(self._leads_to)


class Failing:
    def send_out(self) -> None:
        raise ValueError("a bug")


async def test_nothing_is_written_before_the_turn_is_over_and_all_of_it_then() -> None:
    outbox, written = outbox_of(asyncio.get_running_loop()), list[str]()
    ciphertext = Noting(written, "ciphertext", outbox)
    outbox.add(Noting(written, "plaintext", outbox, leads_to=ciphertext))
    outbox.add(Noting(written, "other", outbox))
    assert written == []
    await asyncio.sleep(0)
    assert written == ["plaintext", "other", "ciphertext"]
    outbox.add(ciphertext)
    await asyncio.sleep(0)
    assert written[3:] == ["ciphertext"]


async def test_one_senders_bug_stops_no_other() -> None:
    loop = asyncio.get_running_loop()
    outbox, written, reported = outbox_of(loop), list[str](), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    outbox.add(Failing())
    outbox.add(Noting(written, "next", outbox))
    await asyncio.sleep(0)
    assert written == ["next"]
    assert [type(context["exception"]) for context in reported] == [ValueError]


def test_a_loop_has_one_outbox_and_is_not_kept_alive_by_it() -> None:
    loop = asyncio.new_event_loop()
    outbox = outbox_of(loop)
    assert outbox_of(loop) is outbox
    loop.close()
    gone = weakref.ref(outbox)
    del outbox, loop
    gc.collect()
    assert gone() is None


def test_a_loop_that_comes_to_the_number_of_another_gets_an_outbox_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtls.net.outbox.id", lambda _: 1, raising=False)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    outbox = outbox_of(first)
    other = outbox_of(second)
    assert other is not outbox
    assert other.serves(second)
    for loop in (first, second):
        loop.close()
