"""The peak of a process's memory, and the end of one that grows without end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import memory
from tests.bench.load import LoadFailed
from tests.bench.process import Process
from tests.conftest import RequireTool

BLOAT_MIB = 64
_PROGRAM = f"""
import signal
import time
held = b"x" * ({BLOAT_MIB} * 2**20)
time.sleep(0.15)
del held
print("free", flush=True)
signal.pause()  # until it is ended
"""


@pytest.fixture
def bloating(tmp_path: Path, require_tool: RequireTool) -> Iterator[Process]:
    """Run a program that takes BLOAT_MIB, gives them back, and waits."""
    require_tool("taskset", "util-linux")
    process = Process([sys.executable, "-c", _PROGRAM], core=0, env={}, folder=tmp_path)
    try:
        yield process
    finally:
        process.stop()


def test_the_peak_outlives_its_moment(bloating: Process) -> None:
    deadline = time.monotonic() + 15
    peak = memory.peak_mib(bloating, 0, lambda: "free" in bloating.output() or time.monotonic() > deadline)
    assert "free" in bloating.output()
    assert peak > BLOAT_MIB > bloating.rss_mib()


def test_a_process_that_grows_past_the_limit_ends_the_run(bloating: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LIMIT_MIB", BLOAT_MIB // 2)
    deadline = time.monotonic() + 15
    with pytest.raises(LoadFailed, match="grew by more than 32 MiB"):
        memory.peak_mib(bloating, 0, lambda: time.monotonic() > deadline)
