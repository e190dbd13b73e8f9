"""A program under measurement: its own process group, pinned to one core, its CPU time and memory from /proc.

Owns starting and ending it. Refuses anything but Linux: /proc is where the numbers come from.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_END_TIMEOUT_S = 10.0


class Process:
    """One program with all its children."""

    def __init__(self, argv: Sequence[str], *, core: int, env: Mapping[str, str], folder: Path) -> None:
        self._log = folder / "output.log"
        with self._log.open("ab") as output:
            self._popen = subprocess.Popen(
                ["taskset", "-c", str(core), *argv],
                cwd=folder,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def cpu_s(self) -> float:
        """Return the user and system time that the group has used so far, in seconds (10 ms steps)."""
        return sum(int(stat[11]) + int(stat[12]) for stat in self._stats()) / _TICKS_PER_S

    def rss_mib(self) -> float:
        """Return the resident memory of the group in MiB; pages that two of its processes share count twice."""
        return sum(int(stat[21]) for stat in self._stats()) * _PAGE_BYTES / 2**20

    def stop(self) -> None:
        if self.alive:
            self._popen.terminate()
        try:
            self._popen.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def _stats(self) -> Iterator[list[str]]:
        for entry in _PROC.iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue  # The process ended between the listing and the look.
            # proc(5): the command's name is in parentheses and may hold any character; what follows starts at field 3.
            fields = text[text.rindex(")") + 2 :].split()
            if int(fields[2]) == self._popen.pid:
                yield fields
