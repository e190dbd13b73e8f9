"""The end of a log file, and what is added to it.

Owns the looking: no system tells all of ours of a change, so it looks five times a second. A file that began anew is
read from its start.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devtls.errors import StateError

_LOOK_S = 0.2
_LARGEST_TAIL = 16 << 20


def show_log(path: Path, lines: int, write: Callable[[str], None], *, follow: bool) -> None:
    """Write the last lines of a log, then, to `follow`, what comes, until Ctrl-C. Raises StateError."""
    try:
        place = _show_end(path, lines, write)
        while follow:
            time.sleep(_LOOK_S)
            place = _show_new(path, place, write)
    except OSError as error:
        raise StateError(
            f"The log {path} cannot be read: {error.strerror}.", path=str(path), hint="devtls service status"
        ) from error


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a file was shown, and which file that was."""

    offset: int
    inode: int


def _show_end(path: Path, lines: int, write: Callable[[str], None]) -> _Place:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        file.seek(max(0, status.st_size - _LARGEST_TAIL))
        for line in deque(file, maxlen=lines):
            write(line.decode("utf-8", "replace"))
        return _Place(file.tell(), status.st_ino)


def _show_new(path: Path, place: _Place, write: Callable[[str], None]) -> _Place:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            same = status.st_ino == place.inode and status.st_size >= place.offset
            file.seek(place.offset if same else 0)
            write(file.read().decode("utf-8", "replace"))
            return _Place(file.tell(), status.st_ino)
    except FileNotFoundError:  # between two files
        return place
