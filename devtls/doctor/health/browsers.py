"""Browsers: the right directory, a sandbox that sees it, and a restart, besides a root in a store.

Owns Chromium's rule of two directories (docs/explanation/platforms.md): where ~/.pki/nssdb exists, it is the only one
that is read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from devtls.doctor.health.finding import Finding, Level, Section, listed
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.nss_profiles import Notice, find_notices
from devtls.system.machine.machine import Machine


@dataclass(frozen=True, slots=True)
class BrowserFacts:
    """`legacy` and `modern` are Chromium's directories as far as they exist, as a person writes them.

    `trusting` names the stores that trust the root; `old_processes` are browsers that have run since before the last
    change of trust: name -> process id.
    """

    legacy: str = ""
    modern: str = ""
    trusting: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()
    old_processes: dict[str, int] = field(default_factory=dict)


def check_browsers(facts: BrowserFacts) -> Iterator[Finding]:
    """Yield the obstacles between a browser and its store."""
    if facts.legacy and facts.modern:
        yield _on_two_directories(facts)
    for notice in facts.notices:
        yield Finding(
            "browser-sandboxed",
            Section.BROWSERS,
            Level.NOTE,
            notice.text,
            "Sandboxed browsers see only what their permissions let through.",
            notice.remedy,
        )
    if facts.old_processes:
        running = listed(f"{name} (process {number})" for name, number in facts.old_processes.items())
        verb = "has" if len(facts.old_processes) == 1 else "have"
        yield Finding(
            "browser-runs-since-before",
            Section.BROWSERS,
            Level.NOTE,
            f"{running} {verb} run since before the last devtls trust or untrust.",
            "Browsers read their list of roots when they start, or remember what they found in it.",
            "Restart the browser",
        )
    if not (facts.notices or facts.old_processes or (facts.legacy and facts.modern)):
        yield Finding("browsers-fine", Section.BROWSERS, Level.OK, "Nothing stands between browsers and their stores.")


def _on_two_directories(facts: BrowserFacts) -> Finding:
    hides = f"Chromium reads {facts.legacy} alone: that directory hides {facts.modern}"
    if f"nss:{facts.modern}" in facts.trusting and f"nss:{facts.legacy}" not in facts.trusting:
        return Finding(
            "browser-folder-hidden",
            Section.BROWSERS,
            Level.WARNING,
            f"{hides}, where the root is.",
            "Chromium, Chrome, Edge and Brave show a warning page although the root is in a store of theirs.",
            "devtls trust",
        )
    return Finding("browser-two-folders", Section.BROWSERS, Level.OK, f"{hides}.")


_BROWSERS = frozenset({"chromium", "chrome", "brave", "msedge", "firefox", "firefox-esr", "librewolf", "vivaldi-bin"})


def probe_browsers(machine: Machine, record: ChangeRecord, trusting: Iterable[str]) -> BrowserFacts:
    """Probe the browsers; `trusting` are the names of the stores that trust the root."""
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
            # The directory's owner is the process's effective user (proc(5)).
            status = directory.stat()
            if name in _BROWSERS and status.st_uid == os.geteuid() and _started(directory, proc, ticks) < written:
                yield name, int(directory.name)
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue


def _started(directory: Path, proc: Path, ticks: int) -> float:
    """Return when a process started, in seconds since 1970: proc(5), field 22 of stat, in `ticks` of a second."""
    # comm in field 2 may hold spaces and parentheses: count from the last closing one (proc(5)).
    fields = (directory / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    lines = (proc / "stat").read_text("ascii", "replace").splitlines()
    boot = [line.split()[1] for line in lines if line.startswith("btime ")][0]  # noqa: RUF015 - IndexError, not StopIteration
    return float(boot) + int(fields[19]) / ticks
