"""Probes with a time limit: of a resolver, an app, a store.

Owns the threads. They are daemons, and left behind when they do not end: a resolver may hang for minutes, and neither
a finding nor the end of the program waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A probe without a result: `why` completes "... could not be looked at: "."""

    why: str


def probe_within(question: Callable[[], _T], within_s: float) -> _T | ProbeFailed:
    """Return the result of a probe, or the reason why there is none."""
    return ProbeThread(question).answer(time.monotonic() + within_s)


def probe_all(questions: Sequence[Callable[[], _T]], within_s: float, *, otherwise: _T) -> list[_T]:
    """Return the results of probes that run at the same time; `otherwise` stands for a probe without a result."""
    deadline = time.monotonic() + within_s
    asked = [ProbeThread(question) for question in questions]
    answers = [each.answer(deadline) for each in asked]
    return [otherwise if isinstance(answer, ProbeFailed) else answer for answer in answers]


class ProbeThread(Generic[_T]):
    """A probe that runs in a thread of its own."""

    def __init__(self, question: Callable[[], _T]) -> None:
        self._answers: list[_T | ProbeFailed] = []
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(question,), name="devtls-doctor", daemon=True)
        self._thread.start()

    def _run(self, question: Callable[[], _T]) -> None:
        try:
            self._answers.append(question())
        except Exception as error:  # noqa: BLE001 - a probe that breaks is a finding: the others have to be told all the same
            text = " ".join(str(error).split())
            self._answers.append(ProbeFailed(f"{type(error).__name__}{f', {text}' if text else ''}"))

    def answer(self, deadline: float) -> _T | ProbeFailed:
        """Return the result when there is one by `deadline` (of the monotonic clock)."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        # The list, not is_alive(): the thread may have put its result there between the two.
        if not self._answers:
            return ProbeFailed(f"it took longer than {deadline - self._began:.0f} s")
        return self._answers[0]
