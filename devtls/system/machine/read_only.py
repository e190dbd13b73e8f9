"""File systems that nothing can be written to: images of containers, immutable distributions, a remounted disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def is_read_only(path: Path) -> bool:
    """Say whether `path` is there and on a file system that is mounted read-only (statvfs(3); Windows cannot tell)."""
    if sys.platform == "win32":
        return False
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
