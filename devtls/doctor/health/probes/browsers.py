"""Facts about browsers: Chromium's folders, sandboxed browsers, and processes older than the last change of trust."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from devtls.doctor.health.browsers import BrowserFacts
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.nss_profiles import find_notices
from devtls.system.machine.machine import Machine

_BROWSERS = frozenset({"chromium", "chrome", "brave", "msedge", "firefox", "firefox-esr", "librewolf", "vivaldi-bin"})


def look_at_browsers(machine: Machine, record: ChangeRecord, trusting: Iterable[str]) -> BrowserFacts:
    """Return what is there; `trusting` are the names of the stores that trust the root."""
    legacy, modern = machine.home / ".pki" / "nssdb", machine.data_home / "pki" / "nssdb"
    return BrowserFacts(
        legacy=machine.tilde(legacy) if legacy.is_dir() else "",
        modern=machine.tilde(modern) if modern.is_dir() else "",
        trusting=frozenset(trusting),
        notices=find_notices(machine),
        old_processes=dict(_older_than(record.path, machine.root / "proc")),
    )


def _older_than(file: Path, proc: Path) -> Iterator[tuple[str, int]]:
    """Yield browsers of this user that started before `file` was written (Linux; elsewhere there is no /proc)."""
    if sys.platform != "linux":
        return
    ticks = os.sysconf("SC_CLK_TCK")
    try:
        written = file.stat().st_mtime
    except OSError:
        return
    for directory in sorted(proc.glob("[0-9]*"), key=lambda directory: int(directory.name), reverse=True):
        try:
            name = (directory / "comm").read_text("utf-8", "replace").strip()
            status = directory.stat()
            if name in _BROWSERS and status.st_uid == os.geteuid() and _started(directory, proc, ticks) < written:
                yield name, int(directory.name)
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue


def _started(directory: Path, proc: Path, ticks: int) -> float:
    """Return when a process started, in seconds since 1970: proc(5), field 22 of stat, in `ticks` of a second."""
    fields = (directory / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    lines = (proc / "stat").read_text("ascii", "replace").splitlines()
    boot = [line.split()[1] for line in lines if line.startswith("btime ")][0]  # noqa: RUF015 - IndexError, not StopIteration
    return float(boot) + int(fields[19]) / ticks
