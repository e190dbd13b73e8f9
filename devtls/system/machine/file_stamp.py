"""Whether a file is the one that was read before, without reading it again.

Owns what tells two states of a file apart: our files are only added to, or replaced by others.
"""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[str, int, int, int]


def stamp_of(path: Path) -> Stamp:
    """Return what changes with a file: name, time in ns, size and inode; zeros for one that is not there."""
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino
