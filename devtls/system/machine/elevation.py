"""Administrator rights for a single command: sudo, doas, pkexec.

Owns the order: real root needs nothing, then sudo, doas, pkexec. Refuses tools outside the directories that belong to
the system (a `sudo` earlier on somebody's PATH could be anything). Finding the tool does not promise that it says yes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from devtls.system.machine.plan import ALREADY_ROOT, Elevation

SYSTEM_DIRECTORIES = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin", "usr/local/bin")
"""Where tools that may be elevated are looked for, below the root of the file system."""

_WRAPPERS = "run/wrappers/bin"  # NixOS keeps its setuid programs there


def find_elevation(effective_uid: int, root: Path = Path("/")) -> Elevation | None:
    """Return how to elevate one command, or None when there is no way."""
    if effective_uid == 0:
        return ALREADY_ROOT
    for name in ("sudo", "doas", "pkexec"):
        tool = find_tool((name,), (_WRAPPERS, *SYSTEM_DIRECTORIES), root)
        if tool is not None:
            return Elevation(name, (str(tool),))
    return None


def find_tool(
    names: Iterable[str], directories: Iterable[str] = SYSTEM_DIRECTORIES, root: Path = Path("/")
) -> Path | None:
    """Return the first of `names` that is an executable file in `directories` below `root`, or None."""
    places = list(directories)
    for name in names:
        for directory in places:
            candidate = root / directory / name
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return candidate
    return None
