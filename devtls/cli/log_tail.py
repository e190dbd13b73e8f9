"""The end of a log file, and what is added to it.

Owns the looking: no system tells all of ours of a change, so it looks five times a second. A file that began anew is
read from its start.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from devtls.errors import StateError

_LOOK_S = 0.2
_LARGEST_TAIL = 16 << 20


def show_log(path: Path, lines: int, write: Callable[[str], None], *, follow: bool) -> None:
    """Write the last lines of a log, then, to `follow`, what comes, until Ctrl-C. Raises StateError."""
    try:
        end = _show_end(path, lines, write)
        while follow:
            time.sleep(_LOOK_S)
            end = _show_new(path, end, write)
    except OSError as error:
        raise StateError(
            f"The log {path} cannot be read: {error.strerror}.", path=str(path), hint="devtls service status"
        ) from error


def _show_end(path: Path, lines: int, write: Callable[[str], None]) -> int:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LARGEST_TAIL))
        for line in deque(file, maxlen=lines):
            write(line.decode("utf-8", "replace"))
        return file.tell()


def _show_new(path: Path, end: int, write: Callable[[str], None]) -> int:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(end if end <= size else 0)
            write(file.read().decode("utf-8", "replace"))
            return file.tell()
    except FileNotFoundError:  # between two files
        return 0
