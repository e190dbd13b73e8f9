from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from devtls.doctor.health.bounded import ProbeFailed, probe_all, probe_within


@contextmanager
def waiting() -> Iterator[threading.Event]:
    """Give a question something to wait for, and let it end with the test."""
    over = threading.Event()
    yield over
    over.set()


def test_an_answer_is_passed_on() -> None:
    assert probe_within(lambda: 7, 5) == 7
    assert probe_within(lambda: None, 5) is None


def test_a_question_that_breaks_says_what_broke() -> None:
    def fail() -> int:
        raise ValueError("of\nno use")

    assert probe_within(fail, 5) == ProbeFailed("ValueError, of no use")

    def stop() -> int:
        raise RuntimeError

    assert probe_within(stop, 5) == ProbeFailed("RuntimeError")


def test_a_question_that_hangs_is_left_behind() -> None:
    with waiting() as over:
        began = time.monotonic()
        assert probe_within(lambda: over.wait(30), 0.05) == ProbeFailed("it took longer than 0 s")
        assert time.monotonic() - began < 5


def test_many_are_asked_at_once_and_the_missing_answers_stand_for_themselves() -> None:
    with waiting() as over:
        began = time.monotonic()
        answers = probe_all([lambda: 1, lambda: int(over.wait(30)), lambda: 3], 0.1, otherwise=-1)
        assert answers == [1, -1, 3]
        assert time.monotonic() - began < 5
