"""The log file of a `devtls serve` without a terminal or a journal, and its rotation.

Owns the file and its one predecessor: at 5 MiB it becomes FILE.1, in the place of the one before. Refuses symlinks. The
whole process writes there, errors and tracebacks included: pythonw.exe has neither stdout nor stderr.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TextIO, cast

from devtls.errors import StateError

MOST_BYTES = 5 << 20
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class RotatingLog(io.TextIOBase):
    """A text stream that starts anew when it is full."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._descriptor = os.open(path, _FLAGS, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self._within_line = False

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Append, in one piece; the rest of the process may write at the same time."""
        data = text.encode("utf-8", "backslashreplace")
        # print() writes the end of a line by itself: it stays in the file of its line.
        if self._size and self._size + len(data) > self._most_bytes and not self._within_line:
            self._turn()
        os.write(self._descriptor, data)
        self._size += len(data)
        self._within_line = not data.endswith(b"\n")
        return len(text)

    def _turn(self) -> None:
        os.close(self._descriptor)  # Windows does not rename what is open
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._descriptor = os.open(self._path, _FLAGS, 0o600)
        self._size = 0


def divert_output(path: Path) -> None:
    """Let everything that this process says go to `path` from now on. Raises StateError."""
    path = path.absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = cast(TextIO, RotatingLog(path))
    except OSError as error:
        raise StateError(
            f"The log {path} cannot be written: {error.strerror}.", path=str(path), hint="name another --log-file"
        ) from error
    sys.stdout = sys.stderr = stream
