"""The last lines of a log file, and the new ones as they are written, as `tail -F` shows them.

Owns the polling, five times a second: no notification of changed files exists on all of our systems. A file that was
rotated is read from its start.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devtls.errors import StateError

_POLL_S = 0.2
# Bytes: a log may be huge, and only its last lines are wanted.
_LARGEST_TAIL = 16 << 20


def show_log(path: Path, lines: int, write: Callable[[str], None], *, follow: bool) -> None:
    """Write the last lines of a log and, to `follow`, new ones until Ctrl-C. Raises StateError."""
    try:
        position = _show_end(path, lines, write)
        while follow:
            time.sleep(_POLL_S)
            position = _show_new(path, position, write)
    except OSError as error:
        raise StateError(
            f"The log {path} cannot be read: {error.strerror}.", path=str(path), hint="devtls service status"
        ) from error


@dataclass(frozen=True, slots=True)
class _Position:
    """The offset up to which a file was shown, and the inode of that file."""

    offset: int
    inode: int


def _show_end(path: Path, lines: int, write: Callable[[str], None]) -> _Position:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        file.seek(max(0, status.st_size - _LARGEST_TAIL))
        for line in deque(file, maxlen=lines):
            write(line.decode("utf-8", "replace"))
        return _Position(file.tell(), status.st_ino)


def _show_new(path: Path, position: _Position, write: Callable[[str], None]) -> _Position:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # A smaller file was truncated in place (copytruncate of logrotate(8)).
            same = status.st_ino == position.inode and status.st_size >= position.offset
            file.seek(position.offset if same else 0)
            write(file.read().decode("utf-8", "replace"))
            return _Position(file.tell(), status.st_ino)
    except FileNotFoundError:  # between two files
        return position
