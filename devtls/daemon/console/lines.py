"""Lines for a terminal or a pipe, written by a thread: a reader that stops (Ctrl-S, a full pipe) blocks nothing else.

Owns the order of the lines and their bound: what a reader does not take within 10,000 lines is dropped and counted.
A burst of lines is one write, and on a terminal none is cut in the middle of a word.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TextIO

from devtls.daemon.console.folding import fold_text, terminal_columns

# A reader that stopped must not cost memory without end.
_MOST_WAITING = 10_000
# Seconds: no eye sees the delay.
_BURST_S = 0.02


class LineWriter:
    """Writes lines to `stream`; `write` returns at once and may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = not stream.closed and stream.isatty()
        # append and popleft of a deque are atomic, so no lock is needed.
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._woken = threading.Event()
        self._stopping = threading.Event()
        # A daemon thread: a reader that takes nothing must not hold the end of the process.
        self._thread = threading.Thread(target=self._run, name="devtls-log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue one line (without its end)."""
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(line)
        # is_set takes no lock, set does: worth asking first for each request.
        if not self._woken.is_set():
            self._woken.set()

    def close(self, patience_s: float = 1.0) -> None:
        """Write what waits; give up on a reader that takes nothing."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            self._woken.wait()
            # Before the lines are taken: one that is queued from now on wakes the thread again.
            self._woken.clear()
            if not self._write_waiting():
                return
            if self._stopping.is_set() and not self._waiting:
                return
            # Under load the next lines are gathered: one wake-up per burst, not per request.
            self._stopping.wait(_BURST_S)

    def _write_waiting(self) -> bool:
        burst = [self._waiting.popleft() for _ in range(len(self._waiting))]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines, them = ("1 line was", "it") if dropped == 1 else (f"{dropped} lines were", "them")
            burst.append(f"({lines} not written: nobody read {them})")
        if not burst:
            return True
        text = "\n".join(burst)
        if self._is_terminal:
            text = fold_text(text, terminal_columns(self._stream))
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # the terminal or the pipe is gone: serving goes on without a log
            return False
        return True
