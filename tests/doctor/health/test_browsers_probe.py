from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.doctor.health.browsers import probe_browsers
from devtls.system.changes.change import Part
from devtls.system.changes.record import AppliedChange, ChangeRecord
from devtls.system.machine.machine import Machine

TICKS = os.sysconf("SC_CLK_TCK")


def process(machine: Machine, number: int, name: str, started_s: float) -> None:
    """Put a process into the redirected /proc whose boot was at 1000."""
    directory = machine.root / "proc" / str(number)
    directory.mkdir(parents=True)
    (directory / "comm").write_text(f"{name}\n")
    fields = ["S", *("0" * 18), str(int(started_s * TICKS)), "0"]
    (directory / "stat").write_text(f"{number} (a ) b) {' '.join(fields)}")
    (machine.root / "proc/stat").write_text("cpu 1 2\nbtime 1000\nctxt 5\n")


@pytest.fixture
def record(state: Path) -> ChangeRecord:
    """Return a record that was last written at 1500."""
    made = ChangeRecord(state)
    made.add(AppliedChange(Part.TRUST, "system", {"ff": "0a"}))
    os.utime(made.path, (1500, 1500))
    return made


def test_directories_are_named_as_far_as_they_exist(machine: Machine, state: Path) -> None:
    found = probe_browsers(machine, ChangeRecord(state), ["nss:x"])
    assert (found.legacy, found.modern, found.trusting) == ("", "", frozenset({"nss:x"}))
    (machine.home / ".pki/nssdb").mkdir(parents=True)
    (machine.data_home / "pki/nssdb").mkdir(parents=True)
    found = probe_browsers(machine, ChangeRecord(state), [])
    assert (found.legacy, found.modern) == ("~/.pki/nssdb", "~/.local/share/pki/nssdb")


def test_sandboxed_browsers_are_noticed(machine: Machine, state: Path) -> None:
    (machine.home / ".var/app/com.google.Chrome").mkdir(parents=True)
    (notice,) = probe_browsers(machine, ChangeRecord(state), []).notices
    assert "Flatpak" in notice.text


def test_browsers_older_than_the_record_are_named(machine: Machine, record: ChangeRecord) -> None:
    process(machine, 11, "firefox", 400)
    process(machine, 12, "chromium", 600)
    process(machine, 13, "bash", 400)
    (machine.root / "proc/14").mkdir()
    assert probe_browsers(machine, record, []).old_processes == {"firefox": 11}


def test_without_a_record_or_a_proc_nobody_is(machine: Machine, record: ChangeRecord, state: Path) -> None:
    assert probe_browsers(machine, record, []).old_processes == {}
    process(machine, 11, "firefox", 400)
    (machine.root / "proc/stat").write_text("")
    assert probe_browsers(machine, record, []).old_processes == {}
    nothing = replace(record, directory=state / "none")
    assert probe_browsers(machine, nothing, []).old_processes == {}
